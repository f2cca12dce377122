package connection_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/connection"
)

func TestN01_BindTwice(t *testing.T) {
	for network, address := range map[string]string{"unix": filepath.Join(t.TempDir(), "s"), "tcp": "127.0.0.1:0"} {
		l := testkit.Must(connection.Listen(network, address, options()))(t)
		_, err := connection.Listen(network, l.Addr().String(), options())
		testkit.WantError(t, "Listen at the same address", err, syscall.EADDRINUSE)

		waiting := testkit.Async(func() error { return testkit.Second(l.Accept(context.Background())) })
		testkit.WantNil(t, "Close", l.Close())
		testkit.WantError(t, "Accept during Close", testkit.Await(t, waiting, "Accept"), connection.ErrClosed)
		testkit.WantError(t, "Accept after Close", testkit.Second(l.Accept(context.Background())), connection.ErrClosed)
		testkit.WantNil(t, "second Close", l.Close())

		again := testkit.Must(connection.Listen(network, l.Addr().String(), options()))(t)
		testkit.WantNil(t, "Close", again.Close())
	}
}

func TestN02_SendBeforeAccept(t *testing.T) {
	for network, address := range map[string]string{"unix": abstract(), "tcp": "127.0.0.1:0"} {
		l := testkit.Closing(t, testkit.Must(connection.Listen(network, address, options()))(t))
		c := testkit.Must(connection.Dial(testkit.Within(t), network, l.Addr().String(), options()))(t)
		testkit.WantNil(t, "Send", c.Send(testkit.Within(t), []byte("hello")))
		testkit.WantNil(t, "Close", c.Close())

		got := testkit.Closing(t, testkit.Must(l.Accept(testkit.Within(t)))(t))
		testkit.WantNil(t, "Poll", got.Poll(testkit.Within(t)))
		testkit.Want(t, "message", string(testkit.Must(got.Receive(testkit.Within(t)))(t)), "hello")
		testkit.WantNil(t, "Poll at the end", got.Poll(testkit.Within(t)))
		if _, err := got.Receive(testkit.Within(t)); err != io.EOF {
			t.Errorf("Receive at the end: %v, want io.EOF", err)
		}
	}
}

var echo = testkit.Task("connection echo", func(ctx context.Context, address string) (proc.None, error) {
	c, err := connection.Dial(ctx, "unix", address, options())
	if err != nil {
		return proc.None{}, err
	}
	defer c.Close()
	for {
		msg, err := c.Receive(ctx)
		if err == io.EOF {
			return proc.None{}, nil
		}
		if err == nil {
			err = c.Send(ctx, msg)
		}
		if err != nil {
			return proc.None{}, err
		}
	}
})

// TestN04_Abstract exchanges messages with another process by an abstract name, and then kills it inside Receive.
func TestN04_Abstract(t *testing.T) {
	l, address := listen(t, options())
	p := testkit.Start(t, echo, address)
	c := testkit.Closing(t, testkit.Must(l.Accept(testkit.Within(t)))(t))
	for _, size := range []int{0, 1, 3000, 64 << 10, 64<<10 + 1, 3 << 20} {
		msg := bytes.Repeat([]byte{byte(size), 7, 9}, size/3+1)[:size]
		sent := testkit.Async(func() error { return c.Send(testkit.Within(t), msg) })
		got := testkit.Must(c.Receive(testkit.Within(t)))(t)
		testkit.WantNil(t, "Send", testkit.Await(t, sent, "Send"))
		if !bytes.Equal(got, msg) {
			t.Errorf("%d bytes come back as %d others", size, len(got))
		}
	}
	testkit.Kill(t, p)
	if _, err := c.Receive(testkit.Within(t)); err != io.EOF {
		t.Errorf("Receive after the death of the other process: %v, want io.EOF", err)
	}
}

func TestLimits(t *testing.T) {
	a, b := connect(t, "tcp", "127.0.0.1:0")
	testkit.WantNil(t, "Send", a.Send(testkit.Within(t), []byte("0123456789")))
	b.SetMaxMessage(9)
	testkit.WantError(t, "Receive over the limit", testkit.Second(b.Receive(testkit.Within(t))), connection.ErrTooLarge)
	b.SetMaxMessage(10)
	n, err := b.ReceiveInto(testkit.Within(t), make([]byte, 9))
	testkit.Want(t, "length", n, 10)
	testkit.WantError(t, "ReceiveInto a short buffer", err, io.ErrShortBuffer)
	buf := make([]byte, 12)
	n = testkit.Must(b.ReceiveInto(testkit.Within(t), buf))(t)
	testkit.Want(t, "message", string(buf[:n]), "0123456789")
}

// TestContexts ends contexts before and inside operations. No byte of a message that is received in pieces may be lost, and
// the other end of a message that was sent in part may not take it for whole.
func TestContexts(t *testing.T) {
	a, b := connect(t, "unix", abstract())
	for what, err := range map[string]error{
		"Send":        a.Send(canceled(), nil),
		"Receive":     testkit.Second(b.Receive(canceled())),
		"ReceiveInto": testkit.Second(b.ReceiveInto(canceled(), nil)),
		"Poll":        b.Poll(canceled()),
	} {
		testkit.WantError(t, what, err, context.Canceled)
	}
	ctx, cancel := context.WithCancel(context.Background())
	waiting := testkit.Async(func() error { return testkit.Second(b.Receive(ctx)) })
	cancel()
	testkit.WantError(t, "Receive", testkit.Await(t, waiting, "Receive"), context.Canceled)

	// Contexts end again and again while one long message is received.
	long := bytes.Repeat([]byte("0123456789abcde\n"), 1<<18)
	sent := testkit.Async(func() error { return a.Send(testkit.Within(t), long) })
	var got []byte
	for err := error(context.Canceled); err != nil; {
		ctx, cancel := context.WithCancel(testkit.Within(t))
		testkit.WantNil(t, "Poll", b.Poll(ctx))
		go cancel()
		if got, err = b.Receive(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		cancel()
	}
	testkit.WantNil(t, "Send", testkit.Await(t, sent, "Send"))
	if !bytes.Equal(got, long) {
		t.Error("the message came in pieces and is not the same")
	}

	// No goroutine receives, so the message does not fit into the socket.
	ctx, cancel = context.WithCancel(testkit.Within(t))
	sent = testkit.Async(func() error { return a.Send(ctx, long) })
	testkit.WantNil(t, "Poll", b.Poll(testkit.Within(t)))
	cancel()
	testkit.WantNilOr(t, "Send", testkit.Await(t, sent, "Send"), context.Canceled)
	testkit.WantError(t, "Receive of a part", testkit.Second(b.Receive(testkit.Within(t))), io.ErrUnexpectedEOF)
	testkit.WantError(t, "Send after a part", a.Send(testkit.Within(t), nil), connection.ErrClosed)
}

// TestTurns sends from several goroutines to several others.
func TestTurns(t *testing.T) {
	const each = 200
	a, b := connect(t, "unix", abstract())
	got := make(chan byte, 4*each)
	done := testkit.Async(func() error {
		testkit.All(t, "receivers", 4, func(int) error {
			for range each {
				msg, err := b.Receive(testkit.Within(t))
				if err != nil {
					return err
				}
				if !bytes.Equal(msg, bytes.Repeat(msg[:1], 100)) {
					t.Errorf("mixed message %q", msg)
				}
				got <- msg[0]
			}
			return nil
		})
		return nil
	})
	testkit.All(t, "senders", 4, func(i int) error {
		for range each {
			if err := a.Send(testkit.Within(t), bytes.Repeat([]byte{byte(i)}, 100)); err != nil {
				return err
			}
		}
		return nil
	})
	testkit.Await(t, done, "receivers")
	close(got)
	var all []byte
	for i := range got {
		all = append(all, i)
	}
	slices.Sort(all)
	var want []byte
	for i := range 4 {
		want = append(want, bytes.Repeat([]byte{byte(i)}, each)...)
	}
	if !bytes.Equal(all, want) {
		t.Errorf("received %v", all)
	}
}
