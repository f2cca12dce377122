package connection_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/connection"
	"github.com/seed-2e7ecdea/mp/ring"
)

// upgrading dials, upgrades, and sends each message back.
var upgrading = testkit.Task("connection upgrading", func(ctx context.Context, address string) (proc.None, error) {
	c, err := connection.Dial(ctx, "unix", address, options())
	if err != nil {
		return proc.None{}, err
	}
	defer c.Close()
	return proc.None{}, echoUpgraded(ctx, c)
})

// TestUpgrade moves a connection between two processes to memory, and kills, or stops, one of them there.
func TestUpgrade(t *testing.T) {
	for what, end := range map[string]func(t *testing.T, p *proc.Call[proc.None], pipe *ring.Conn){
		"killed": func(t *testing.T, p *proc.Call[proc.None], pipe *ring.Conn) {
			testkit.Kill(t, p)
			testkit.WantError(t, "Receive", testkit.Second(pipe.Receive(testkit.Within(t))), io.EOF)
		},
		"stopped": func(t *testing.T, p *proc.Call[proc.None], pipe *ring.Conn) {
			testkit.Stop(t, p)
			testkit.WantNil(t, "Send", pipe.Send(testkit.Within(t), []byte("hello")))
			testkit.WantError(t, "Receive", testkit.Second(pipe.Receive(shortly(t))), context.DeadlineExceeded)
			testkit.Continue(t, p)
			testkit.Want(t, "message", string(testkit.Must(pipe.Receive(testkit.Within(t)))(t)), "hello")
			testkit.WantNil(t, "Close", pipe.Close())
			testkit.Result(t, p)
		},
		"closed": func(t *testing.T, p *proc.Call[proc.None], pipe *ring.Conn) {
			testkit.WantNil(t, "Close", pipe.Close())
			testkit.Result(t, p)
		},
	} {
		t.Run(what, func(t *testing.T) {
			l, address := listen(t, options())
			p := testkit.Start(t, upgrading, address)
			c := testkit.Closing(t, testkit.Must(l.Accept(testkit.Within(t)))(t))
			pipe, memory, err := c.Upgrade(testkit.Within(t), &ring.PipeOptions{Capacity: 8000})
			testkit.WantNil(t, "Upgrade", err)
			defer memory.Close()
			testkit.WantError(t, "Send by the socket", c.Send(testkit.Within(t), nil), connection.ErrClosed)
			for _, size := range []int{0, 1, 3000, 1 << 20} {
				msg := bytes.Repeat([]byte{7}, size)
				sent := testkit.Async(func() error { return pipe.Send(testkit.Within(t), msg) })
				got := testkit.Must(pipe.Receive(testkit.Within(t)))(t)
				testkit.WantNil(t, "Send", testkit.Await(t, sent, "Send"))
				testkit.Want(t, "message", bytes.Equal(got, msg), true)
			}
			end(t, p, pipe)
		})
	}
}

// TestUpgrade_Inside upgrades a connection whose ends are in one process. Each has an attachment of its own.
func TestUpgrade_Inside(t *testing.T) {
	a, b := connect(t, "unix", abstract())
	type upgraded struct {
		pipe *ring.Conn
		err  error
	}
	done := testkit.Async(func() upgraded {
		pipe, memory, err := b.Upgrade(testkit.Within(t), nil)
		if err == nil {
			t.Cleanup(func() { memory.Close() })
		}
		return upgraded{pipe, err}
	})
	pipe, memory, err := a.Upgrade(testkit.Within(t), nil)
	testkit.WantNil(t, "Upgrade", err)
	other := testkit.Await(t, done, "Upgrade")
	testkit.WantNil(t, "Upgrade", other.err)
	testkit.WantNil(t, "Send", pipe.Send(testkit.Within(t), []byte("hello")))
	testkit.WantNil(t, "Close", memory.Close())
	testkit.Want(t, "message", string(testkit.Must(other.pipe.Receive(testkit.Within(t)))(t)), "hello")
	testkit.WantError(t, "Receive at the end", testkit.Second(other.pipe.Receive(testkit.Within(t))), io.EOF)
}

// TestUpgrade_Errors covers the failures at each side.
func TestUpgrade_Errors(t *testing.T) {
	upgrade := func(ctx context.Context, c *connection.Conn) error {
		_, memory, err := c.Upgrade(ctx, nil)
		if err == nil {
			memory.Close()
		}
		return err
	}
	a, b := connect(t, "tcp", "127.0.0.1:0")
	testkit.WantError(t, "over TCP", upgrade(testkit.Within(t), a), errors.ErrUnsupported)
	testkit.WantError(t, "over TCP", upgrade(testkit.Within(t), b), errors.ErrUnsupported)

	// The side that dialed is as before after ctx's error and ErrMessage.
	a, b = connect(t, "unix", abstract())
	testkit.WantError(t, "Upgrade", upgrade(canceled(), a), context.Canceled)
	testkit.WantNil(t, "Send", b.Send(testkit.Within(t), []byte("first")))
	testkit.WantError(t, "Upgrade", upgrade(testkit.Within(t), a), connection.ErrMessage)
	testkit.Want(t, "message", string(testkit.Must(a.Receive(testkit.Within(t)))(t)), "first")

	// The other side is in Upgrade, and gives it up.
	ctx, cancel := context.WithCancel(testkit.Within(t))
	other := testkit.Async(func() error { return upgrade(ctx, b) })
	testkit.WantError(t, "Receive", testkit.Second(a.Receive(testkit.Within(t))), connection.ErrUpgrade)
	cancel()
	testkit.WantError(t, "Upgrade", testkit.Await(t, other, "Upgrade"), context.Canceled)
	if err := upgrade(testkit.Within(t), a); err == nil {
		t.Error("Upgrade with a side that has given it up succeeds")
	}

	// The other side closes or dies, before the offer and after it.
	a, b = connect(t, "unix", abstract())
	testkit.WantNil(t, "Close", b.Close())
	testkit.WantError(t, "Upgrade", upgrade(testkit.Within(t), a), io.EOF)
	a, b = connect(t, "unix", abstract())
	other = testkit.Async(func() error { return upgrade(testkit.Within(t), b) })
	testkit.WantNil(t, "Poll", a.Poll(testkit.Within(t)))
	testkit.WantNil(t, "Close", a.Close())
	testkit.WantError(t, "Upgrade", testkit.Await(t, other, "Upgrade"), io.EOF)
	a, b = connect(t, "unix", abstract())
	other = testkit.Async(func() error { return upgrade(testkit.Within(t), b) })
	testkit.WantNil(t, "Poll", a.Poll(testkit.Within(t)))
	testkit.WantNil(t, "Send", a.Send(testkit.Within(t), nil))
	testkit.WantError(t, "Upgrade", testkit.Await(t, other, "Upgrade"), connection.ErrMessage)
}

// TestUpgrade_Hostile offers files that are not memory of mp. They must be closed.
func TestUpgrade_Hostile(t *testing.T) {
	r, w := pipe(t)
	memory := testkit.Must(os.Create(filepath.Join(t.TempDir(), "memory")))(t)
	defer memory.Close()
	testkit.WantNil(t, "Truncate", memory.Truncate(1<<20))
	for _, f := range []*os.File{w, memory} {
		front := testkit.Closing(t, testkit.Must(net.Listen("unix", abstract()))(t))
		dialed := testkit.Async(func() *connection.Conn {
			return testkit.Must(connection.Dial(testkit.Within(t), "unix", front.Addr().String(), options()))(t)
		})
		c := testkit.Closing(t, testkit.Must(front.Accept())(t)).(*net.UnixConn)
		admit(t, c)
		a := testkit.Await(t, dialed, "Dial")
		testkit.WantNil(t, "write", write(c, frame(1, 1, ""), syscall.UnixRights(int(f.Fd()))))
		testkit.WantError(t, "Upgrade", func() error { _, _, err := a.Upgrade(testkit.Within(t), nil); return err }(), connection.ErrProtocol)
	}
	w.Close()
	wantEnd(t, "the offered file", r)
}
