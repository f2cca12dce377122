package connection_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc/connection"
	"github.com/seed-2e7ecdea/mp/ring"
)

// A messenger is an end of a pipe or of a connection: what works with one works with the other.
type messenger interface {
	Send(ctx context.Context, msg []byte) error
	TrySend(msg []byte) error
	Receive(ctx context.Context) ([]byte, error)
	TryReceive() ([]byte, error)
	ReceiveInto(ctx context.Context, buf []byte) (int, error)
	TryReceiveInto(buf []byte) (int, error)
	Skip(ctx context.Context) (int, error)
	Poll(ctx context.Context) error
	TryPoll() error
	SetMaxMessage(n int)
	Close() error
}

// eachMessenger runs f with both ends of a pipe, and of each kind of connection.
func eachMessenger(t *testing.T, f func(t *testing.T, a, b messenger)) {
	t.Run("pipe", func(t *testing.T) {
		a, b, err := ring.NewPipe(nil, "", nil)
		testkit.WantNil(t, "NewPipe", err)
		f(t, testkit.Closing(t, a), testkit.Closing(t, b))
	})
	for _, tt := range []struct {
		network, address string
		o                *connection.Options
	}{{"unix", abstract(), options()}, {"tcp", "127.0.0.1:0", options()}, {"tcp", "127.0.0.1:0", secured(t)}} {
		name := tt.network
		if tt.o.TLS != nil {
			name = "tls"
		}
		t.Run(name, func(t *testing.T) {
			a, b := connectWith(t, tt.network, tt.address, tt.o)
			f(t, a, b)
		})
	}
}

// TestMessenger shows that a connection does what a pipe does.
func TestMessenger(t *testing.T) {
	eachMessenger(t, func(t *testing.T, a, b messenger) {
		ctx := testkit.Within(t)
		testkit.WantError(t, "TryReceive", testkit.Second(b.TryReceive()), ring.ErrEmpty)
		testkit.WantError(t, "TryReceiveInto", testkit.Second(b.TryReceiveInto(nil)), ring.ErrEmpty)
		for _, size := range []int{0, 1, 1000} {
			msg := bytes.Repeat([]byte{'x'}, size)
			for range 4 {
				// Over TLS, a goroutine may still be sending the message before it.
				testkit.Eventually(t, "TrySend", func() bool {
					err := a.TrySend(msg)
					testkit.WantNilOr(t, "TrySend", err, ring.ErrFull)
					return err == nil
				})
			}
			testkit.WantNil(t, "Poll", b.Poll(ctx))
			got := testkit.Must(b.Receive(ctx))(t)
			testkit.Want(t, "Receive", string(got), string(msg))
			testkit.WantNil(t, "Poll", b.Poll(ctx))
			testkit.Want(t, "TryReceive", string(testkit.Must(b.TryReceive())(t)), string(msg))
			if size > 0 {
				testkit.WantNil(t, "Poll", b.Poll(ctx))
				n, err := b.TryReceiveInto(make([]byte, size-1))
				testkit.WantError(t, "TryReceiveInto a short buffer", err, io.ErrShortBuffer)
				testkit.Want(t, "length", n, size)
			}
			testkit.WantNil(t, "Poll", b.Poll(ctx))
			testkit.Want(t, "TryReceiveInto", testkit.Must(b.TryReceiveInto(make([]byte, size)))(t), size)
			testkit.Want(t, "Skip", testkit.Must(b.Skip(ctx))(t), size)
			testkit.WantError(t, "TryReceive", testkit.Second(b.TryReceive()), ring.ErrEmpty)
		}
		// Skip takes away a message beyond the limit, and no other.
		b.SetMaxMessage(10)
		testkit.WantNil(t, "Send", a.Send(ctx, make([]byte, 11)))
		testkit.WantNil(t, "Send", a.Send(ctx, []byte("next")))
		testkit.WantError(t, "Receive", testkit.Second(b.Receive(ctx)), tooLarge(b))
		testkit.Want(t, "Skip", testkit.Must(b.Skip(ctx))(t), 11)
		testkit.Want(t, "Receive", string(testkit.Must(b.Receive(ctx))(t)), "next")
		testkit.WantNil(t, "Close", a.Close())
		testkit.WantError(t, "Skip", testkit.Second(b.Skip(ctx)), io.EOF)
		testkit.WantError(t, "TryReceive", testkit.Second(b.TryReceive()), io.EOF)
		testkit.WantNil(t, "Close", b.Close())
		closed := connection.ErrClosed
		if _, ok := b.(*ring.Conn); ok {
			closed = ring.ErrClosed
		}
		testkit.WantError(t, "TrySend", b.TrySend(nil), closed)
		testkit.WantError(t, "TryReceive", testkit.Second(b.TryReceive()), closed)
		testkit.WantError(t, "Skip", testkit.Second(b.Skip(ctx)), closed)
	})
}

// tooLarge returns the error of m for a message that is too large.
func tooLarge(m messenger) error {
	if _, ok := m.(*ring.Conn); ok {
		return ring.ErrTooLarge
	}
	return connection.ErrTooLarge
}

// TestTrySendFull fills what is between the ends. What TrySend has accepted arrives, whole and in order, and no more.
func TestTrySendFull(t *testing.T) {
	eachMessenger(t, func(t *testing.T, a, b messenger) {
		ctx := testkit.Within(t)
		fill := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 10_000+i) }
		n := 0
		testkit.Eventually(t, "several messages are sent", func() bool {
			// Over TLS, ErrFull also means that a goroutine is still sending the message before.
			err := a.TrySend(fill(n))
			for ; err == nil; err = a.TrySend(fill(n)) {
				n++
			}
			testkit.WantError(t, "TrySend", err, ring.ErrFull)
			return n >= 3
		})
		for i := range n {
			got := testkit.Must(b.Receive(ctx))(t)
			if !bytes.Equal(got, fill(i)) {
				t.Fatalf("message %d of %d has %d bytes, or differs", i, n, len(got))
			}
		}
		testkit.WantNil(t, "Send", a.Send(ctx, []byte("after")))
		testkit.Want(t, "message", string(testkit.Must(b.Receive(ctx))(t)), "after")
	})
}

// TestParts receives, skips and polls messages of which only a part is there.
func TestParts(t *testing.T) {
	c, b := hostile(t)
	ctx := testkit.Within(t)
	send := func(b []byte) { testkit.Must(c.Write(b))(t) }
	send(frame(0, 0, "hello")[:3])
	testkit.WantError(t, "TryReceive", testkit.Second(b.TryReceive()), ring.ErrEmpty)
	send(frame(0, 0, "hello")[3:8])
	testkit.WantNil(t, "TryPoll", b.TryPoll())
	testkit.WantError(t, "TryReceive", testkit.Second(b.TryReceive()), ring.ErrEmpty)
	testkit.WantError(t, "TryReceiveInto", testkit.Second(b.TryReceiveInto(make([]byte, 9))), ring.ErrEmpty)
	send(frame(0, 0, "hello")[8:])
	testkit.Want(t, "TryReceive", string(testkit.Must(b.TryReceive())(t)), "hello")

	// The context of a Skip ends inside the message. The rest of the message goes, too.
	long := frame(0, 0, string(make([]byte, 100_000)))
	send(long[:50_000])
	soon, cancel := context.WithCancel(ctx)
	skipped := testkit.Async(func() error { return testkit.Second(b.Skip(soon)) })
	cancel()
	testkit.WantError(t, "Skip", testkit.Await(t, skipped, "Skip"), context.Canceled)
	if b.Stats().Received != 1 {
		t.Errorf("%+v", b.Stats())
	}
	if testkit.Second(b.TryReceive()) == nil {
		t.Error("a part of a message was received")
	}
	go c.Write(append(long[50_000:], frame(0, 0, "next")...))
	got := testkit.Must(b.Receive(ctx))(t)
	if len(got) == 100_000 { // Skip has not got to the message before its context ended
		got = testkit.Must(b.Receive(ctx))(t)
	}
	testkit.Want(t, "message", string(got), "next")

	send(frame(0, 0, "hello")[:8])
	skipped = testkit.Async(func() error { return testkit.Second(b.Skip(ctx)) })
	testkit.WantNil(t, "Close", c.Close())
	testkit.WantError(t, "Skip", testkit.Await(t, skipped, "Skip"), io.ErrUnexpectedEOF)
}

// TestHugeLength announces 4 GiB and sends little. The receiver takes memory for what has arrived.
func TestHugeLength(t *testing.T) {
	c, b := hostile(t)
	b.SetMaxMessage(0)
	huge := frame(0, 0, "")
	for i := range 4 {
		huge[i] = 0xff
	}
	testkit.Must(c.Write(append(huge, make([]byte, 1000)...)))(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := testkit.Second(b.Receive(ctx))
	if math.MaxInt == math.MaxInt32 {
		testkit.WantError(t, "Receive", err, connection.ErrTooLarge)
	} else {
		testkit.WantError(t, "Receive", err, context.DeadlineExceeded)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 2<<20 {
		t.Errorf("%d bytes were allocated for 1,000", grown)
	}
	b.SetMaxMessage(1 << 20)
	testkit.WantError(t, "Receive", testkit.Second(b.Receive(testkit.Within(t))), connection.ErrTooLarge)
}

// FuzzFrames sends any bytes after a handshake. The receiver gets messages and then an error, and takes no
// more memory than what has come and one step.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{}, byte(0))
	f.Add(frame(0, 0, "hello"), byte(0))
	f.Add(append(frame(0, 0, "hello"), frame(0, 0, "world")[:7]...), byte(1))
	f.Add(append(frame(1, 1, "offer"), 1), byte(2))
	f.Add(frame(2, 0, ""), byte(3))
	f.Add([]byte{255, 255, 255, 255, 0, 0, 1, 2, 3}, byte(0))
	f.Add([]byte{255, 255, 255, 127, 0, 0, 1, 2, 3}, byte(4))
	f.Fuzz(func(t *testing.T, data []byte, how byte) {
		c, b := hostile(t)
		b.SetMaxMessage(0)
		go func() {
			c.Write(data) // fails if the receiver has closed
			c.Close()
		}()
		ctx := testkit.Within(t)
		total := 0
		for {
			n, err := receiveSomehow(ctx, b, how)
			if total += n; total > len(data) {
				t.Fatalf("%d bytes of %d were received", total, len(data))
			}
			switch {
			case err == nil:
			case errors.Is(err, ring.ErrEmpty):
				runtime.Gosched()
			case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, connection.ErrProtocol),
				errors.Is(err, connection.ErrUpgrade), errors.Is(err, connection.ErrMessage), errors.Is(err, connection.ErrTooLarge),
				errors.Is(err, connection.ErrClosed), errors.Is(err, io.ErrShortBuffer),
				errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET): // of Upgrade's answer
				return
			default:
				t.Fatalf("%v", err)
			}
		}
	})
}

// receiveSomehow receives a message by one of the methods that do, and returns its length.
func receiveSomehow(ctx context.Context, c *connection.Conn, how byte) (int, error) {
	switch how % 6 {
	case 1:
		msg, err := c.TryReceive()
		return len(msg), err
	case 2:
		return c.ReceiveInto(ctx, make([]byte, 100))
	case 3:
		return c.Skip(ctx)
	case 4:
		msg, files, err := c.ReceiveFiles(ctx)
		for _, f := range files {
			f.Close()
		}
		return len(msg), err
	case 5:
		_, seg, err := c.Upgrade(ctx, nil)
		if err == nil {
			seg.Close()
		}
		return 0, err
	}
	msg, err := c.Receive(ctx)
	return len(msg), err
}

// TestAllocations bounds what a message costs: its own memory, and that of its header.
func TestAllocations(t *testing.T) {
	a, b := connect(t, "unix", abstract())
	ctx := context.Background()
	msg, buf := make([]byte, 64), make([]byte, 64)
	allocs := testing.AllocsPerRun(1000, func() {
		testkit.WantNil(t, "Send", a.Send(ctx, msg))
		testkit.Must(b.ReceiveInto(ctx, buf))(t)
	})
	if allocs > 11 {
		t.Errorf("%v allocations for a message", allocs)
	}
}
