//go:build linux

package ring_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestPipe(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, a, b *ring.Conn)
	}{
		{"X01_large", testLarge},
		{"X02_receive_into", testReceiveInto},
		{"X03_short_buffer", testShortBuffer},
		{"X07_nothing_there", testNothingThere},
		{"X08_empty_message", testEmptyMessage},
		{"X09_boundaries", testBoundaries},
		{"X10_end", testEnd},
		{"X11_broken", testBroken},
		{"X12_closed", testConnClosed},
		{"full", testPipeFull},
		{"both_ways", testBothWays},
		{"cancelled", testPipeCancelled},
		{"close_while_blocked", testPipeCloseWhileBlocked},
		{"sizes", testPipeSizes},
		{"two_senders", testTwoSenders},
		{"two_receivers", testTwoReceivers},
	} {
		t.Run(test.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, seg *shm.Segment) {
				a, b := newPipe(t, seg, 4096)
				t.Run("A", func(t *testing.T) { test.f(t, a, b) })
				a, b = newPipe(t, seg, 4096)
				t.Run("B", func(t *testing.T) { test.f(t, b, a) })
			})
		})
	}
}

// receive receives a message and checks it.
func receive(t testing.TB, c *ring.Conn, want []byte) {
	t.Helper()
	if msg, err := c.Receive(Within(t)); err != nil || !bytes.Equal(msg, want) {
		t.Fatalf("Receive: %d bytes, %v, want %d: %.20q, %.20q", len(msg), err, len(want), msg, want)
	}
}

func testLarge(t *testing.T, a, b *ring.Conn) {
	limit := a.Limit()
	if limit != 4096/2-16 {
		t.Errorf("the longest message has %d bytes", limit)
	}
	for range 20 {
		for _, n := range []int{limit - 1, limit} {
			msg := pattern(make([]byte, n), n)
			WantNil(t, "TrySend", a.TrySend(msg))
			receive(t, b, msg)
		}
		for _, n := range []int{limit + 1, 2 * limit, 4096, 100000} {
			msg := make([]byte, n)
			WantError(t, "TrySend", a.TrySend(msg), ring.ErrTooLarge)
		}
		if _, err := b.TryReceive(); !errors.Is(err, ring.ErrEmpty) {
			t.Fatalf("TryReceive after sends of messages that are too large: %v, want ErrEmpty", err)
		}
		WantNil(t, "TrySend", a.TrySend([]byte("next")))
		receive(t, b, []byte("next"))
	}
}

func testReceiveInto(t *testing.T, a, b *ring.Conn) {
	for n := range 40 {
		msg := pattern(make([]byte, n), n)
		WantNil(t, "TrySend", a.TrySend(msg))
		buf := bytes.Repeat([]byte{0xee}, 50)
		got, err := b.ReceiveInto(t.Context(), buf)
		if err != nil || got != n || !bytes.Equal(buf[:n], msg) {
			t.Fatalf("ReceiveInto: %d, %v", got, err)
		}
		if i := slices.IndexFunc(buf[n:], func(c byte) bool { return c != 0xee }); i >= 0 {
			t.Fatalf("byte %d after a message of %d was written", i, n)
		}
	}
}

// If the buffer is too small, the message stays, and its length is returned.
func testShortBuffer(t *testing.T, a, b *ring.Conn) {
	msg := []byte("0123456789")
	for range 500 {
		WantNil(t, "TrySend", a.TrySend(msg))
		for _, n := range []int{0, 9} {
			buf := make([]byte, n)
			if got, err := b.TryReceiveInto(buf); !errors.Is(err, io.ErrShortBuffer) || got != 10 {
				t.Fatalf("TryReceiveInto: %d, %v", got, err)
			}
			if got, err := b.ReceiveInto(t.Context(), buf); !errors.Is(err, io.ErrShortBuffer) || got != 10 {
				t.Fatalf("ReceiveInto: %d, %v", got, err)
			}
		}
		receive(t, b, msg)
	}
}

func testNothingThere(t *testing.T, a, b *ring.Conn) {
	for range 3 {
		_, err := b.TryReceive()
		WantError(t, "TryReceive", err, ring.ErrEmpty)
		_, err = b.TryReceiveInto(make([]byte, 1))
		WantError(t, "TryReceiveInto", err, ring.ErrEmpty)
		_, err = b.Receive(Expired)
		WantError(t, "Receive, expired", err, context.Canceled)
		_, err = b.ReceiveInto(Expired, nil)
		WantError(t, "ReceiveInto, expired", err, context.Canceled)
		_, err = b.ReceiveInPlace(Expired)
		WantError(t, "ReceiveInPlace, expired", err, context.Canceled)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		_, err = b.Receive(ctx)
		WantError(t, "Receive", err, context.DeadlineExceeded)
		cancel()
		if d := time.Since(begin); d < 5*time.Millisecond {
			t.Errorf("Receive gave up after %v", d)
		}
		// A message is received even if the context has expired.
		WantNil(t, "Send, expired", a.Send(Expired, []byte("x")))
		msg, err := b.Receive(Expired)
		if err != nil || string(msg) != "x" {
			t.Errorf("Receive, expired: %q, %v", msg, err)
		}
	}
}

func testEmptyMessage(t *testing.T, a, b *ring.Conn) {
	for range 1000 { // many laps of empty records
		WantNil(t, "TrySend", a.TrySend(nil))
		WantNil(t, "TrySend", a.TrySend([]byte{}))
		msg, err := b.TryReceive()
		if err != nil || msg == nil || len(msg) != 0 {
			t.Fatalf("TryReceive: %v, %v", msg, err)
		}
		if n, err := b.ReceiveInto(t.Context(), nil); err != nil || n != 0 {
			t.Fatalf("ReceiveInto: %d, %v", n, err)
		}
	}
	_, err := b.TryReceive()
	WantError(t, "TryReceive", err, ring.ErrEmpty)
}

func testBoundaries(t *testing.T, a, b *ring.Conn) {
	for i := range 30 {
		WantNil(t, "TrySend", a.TrySend(pattern(make([]byte, i), i)))
	}
	for i := range 30 {
		_, err := a.TryReceive()
		WantError(t, "TryReceive of the other direction", err, ring.ErrEmpty)
		receive(t, b, pattern(make([]byte, i), i))
	}
}

func testEnd(t *testing.T, a, b *ring.Conn) {
	for i := range 10 {
		WantNil(t, "TrySend", a.TrySend(pattern(make([]byte, i*20), i)))
	}
	WantNil(t, "Close", a.Close())
	for i := range 10 {
		receive(t, b, pattern(make([]byte, i*20), i))
	}
	for range 3 {
		_, err := b.TryReceive()
		WantError(t, "TryReceive", err, io.EOF)
		_, err = b.Receive(t.Context())
		WantError(t, "Receive", err, io.EOF)
		_, err = b.Receive(Expired)
		WantError(t, "Receive, expired", err, io.EOF)
		_, err = b.ReceiveInto(t.Context(), make([]byte, 1))
		WantError(t, "ReceiveInto", err, io.EOF)
		_, err = b.ReceiveInPlace(t.Context())
		WantError(t, "ReceiveInPlace", err, io.EOF)
	}
}

func testBroken(t *testing.T, a, b *ring.Conn) {
	WantNil(t, "TrySend", a.TrySend(nil))
	// A sender that waits for space returns when the other end is closed.
	for a.TrySend(make([]byte, 1000)) == nil {
	}
	blocked := Async(func() error { return a.Send(context.Background(), make([]byte, 1000)) })
	AwaitAsleep(t, os.Getpid(), 1)
	WantNil(t, "Close", b.Close())
	WantError(t, "blocked Send", Await(t, blocked, "Send without a receiver"), syscall.EPIPE)
	for range 3 {
		WantError(t, "TrySend", a.TrySend(nil), ring.ErrBrokenPipe)
		WantError(t, "Send", a.Send(t.Context(), nil), ring.ErrBrokenPipe)
		WantError(t, "Send, expired", a.Send(Expired, nil), ring.ErrBrokenPipe)
		_, err := a.Reserve(t.Context(), 1)
		WantError(t, "Reserve", err, ring.ErrBrokenPipe)
	}
}

// connFails checks that every method of a closed end returns ErrClosed.
func connFails(t *testing.T, c *ring.Conn) {
	t.Helper()
	for range 3 {
		WantError(t, "TrySend", c.TrySend(nil), ring.ErrClosed)
		WantError(t, "Send", c.Send(t.Context(), nil), ring.ErrClosed)
		WantError(t, "Send, expired", c.Send(Expired, nil), ring.ErrClosed)
		WantError(t, "TryReceive", Second(c.TryReceive()), ring.ErrClosed)
		WantError(t, "Receive", Second(c.Receive(t.Context())), ring.ErrClosed)
		WantError(t, "Receive, expired", Second(c.Receive(Expired)), ring.ErrClosed)
		WantError(t, "TryReceiveInto", Second(c.TryReceiveInto(nil)), ring.ErrClosed)
		WantError(t, "ReceiveInto", Second(c.ReceiveInto(t.Context(), nil)), ring.ErrClosed)
		r, err := c.Reserve(t.Context(), 0)
		if err == nil { // only the segment was closed: Commit fails
			err = r.Commit()
		}
		WantError(t, "Reserve", err, ring.ErrClosed)
		m, err := c.ReceiveInPlace(t.Context())
		if err == nil { // likewise
			err = m.Release()
		}
		WantError(t, "ReceiveInPlace", err, ring.ErrClosed)
	}
}

func testConnClosed(t *testing.T, a, _ *ring.Conn) {
	for range 3 {
		WantNil(t, "Close", a.Close())
	}
	connFails(t, a)
	if a.Handle() != (shm.Handle{}) {
		t.Error("a closed end has a handle")
	}
	var zero ring.Conn
	connFails(t, &zero)
	WantNil(t, "Close of the zero Conn", zero.Close())
}

func testPipeFull(t *testing.T, a, b *ring.Conn) {
	for _, n := range []int{0, 1, 100, a.Limit()} {
		msg := pattern(make([]byte, n), n)
		sent := 0
		for a.TrySend(msg) == nil {
			sent++
		}
		if need := 8 + (n+7)&^7; sent < 4096/2/need-1 || sent > 4096/need {
			t.Errorf("%d messages of %d bytes fit", sent, n)
		}
		WantError(t, "TrySend", a.TrySend(msg), ring.ErrFull)
		WantError(t, "Send, expired", a.Send(Expired, msg), context.Canceled)
		WantError(t, "Reserve, expired", Second(a.Reserve(Expired, n)), context.Canceled)
		for range sent {
			receive(t, b, msg)
		}
		WantError(t, "TryReceive", Second(b.TryReceive()), ring.ErrEmpty)
	}
}

// sendNumbered sends messages 0 to n-1 of sender from. Each holds the sender, its number, and bytes
// that depend on both.
func sendNumbered(ctx context.Context, c *ring.Conn, from uint32, n int) error {
	var buf [800]byte
	for i := range n {
		msg := buf[:8+(i*13+int(from)*101)%600]
		binary.LittleEndian.PutUint32(msg, from)
		binary.LittleEndian.PutUint32(msg[4:], uint32(i))
		pattern(msg[8:], i+int(from))
		if err := c.Send(ctx, msg); err != nil {
			return fmt.Errorf("sender %d: message %d: %w", from, i, err)
		}
	}
	return nil
}

// numbered checks a message of sendNumbered and returns its sender and its number.
func numbered(msg []byte) (from, seq uint32, err error) {
	if len(msg) < 8 {
		return 0, 0, fmt.Errorf("message of %d bytes", len(msg))
	}
	from, seq = binary.LittleEndian.Uint32(msg), binary.LittleEndian.Uint32(msg[4:])
	if len(msg) != 8+(int(seq)*13+int(from)*101)%600 {
		return from, seq, fmt.Errorf("message %d of sender %d has %d bytes", seq, from, len(msg))
	}
	if !bytes.Equal(msg[8:], pattern(make([]byte, len(msg)-8), int(seq)+int(from))) {
		return from, seq, fmt.Errorf("message %d of sender %d has wrong bytes", seq, from)
	}
	return from, seq, nil
}

// receiveNumbered receives n messages of each sender and checks their order.
func receiveNumbered(ctx context.Context, c *ring.Conn, senders, n int) error {
	next := make([]uint32, senders)
	for range senders * n {
		msg, err := c.Receive(ctx)
		if err != nil {
			return fmt.Errorf("receive after %v: %w", next, err)
		}
		from, seq, err := numbered(msg)
		if err != nil {
			return err
		}
		if int(from) >= senders || seq != next[from] {
			return fmt.Errorf("message %d of sender %d after %v", seq, from, next)
		}
		next[from]++
	}
	return nil
}

func testBothWays(t *testing.T, a, b *ring.Conn) {
	const n = 1500
	ctx := Within(t)
	All(t, "both ways", 4, func(i int) error {
		switch i {
		case 0:
			return sendNumbered(ctx, a, 0, n)
		case 1:
			return sendNumbered(ctx, b, 0, n)
		case 2:
			return receiveNumbered(ctx, a, 1, n)
		default:
			return receiveNumbered(ctx, b, 1, n)
		}
	})
}

func testPipeCancelled(t *testing.T, a, b *ring.Conn) {
	for a.TrySend(make([]byte, 100)) == nil {
	}
	for name, call := range map[string]func(ctx context.Context) error{
		"Send":           func(ctx context.Context) error { return a.Send(ctx, make([]byte, 100)) },
		"Reserve":        func(ctx context.Context) error { return Second(a.Reserve(ctx, 100)) },
		"Receive":        func(ctx context.Context) error { return Second(a.Receive(ctx)) },
		"ReceiveInto":    func(ctx context.Context) error { return Second(a.ReceiveInto(ctx, nil)) },
		"ReceiveInPlace": func(ctx context.Context) error { return Second(a.ReceiveInPlace(ctx)) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := Async(func() error { return call(ctx) })
		AwaitAsleep(t, os.Getpid(), 1)
		begin := time.Now()
		cancel()
		WantError(t, name, Await(t, done, "cancelled "+name), context.Canceled)
		if d := time.Since(begin); d > prompt {
			t.Errorf("%s returned %v after it was cancelled", name, d)
		}
	}
	for {
		_, err := b.TryReceive()
		if errors.Is(err, ring.ErrEmpty) {
			break
		}
		WantNil(t, "TryReceive", err)
	}
	WantNil(t, "TrySend", a.TrySend([]byte("after")))
	receive(t, b, []byte("after"))
}

func testPipeCloseWhileBlocked(t *testing.T, a, b *ring.Conn) {
	for a.TrySend(make([]byte, 100)) == nil {
	}
	errs := make(chan error)
	for range 2 {
		go func() { errs <- a.Send(context.Background(), make([]byte, 100)) }()
		go func() { errs <- Second(a.Receive(context.Background())) }()
	}
	AwaitAsleep(t, os.Getpid(), 4)
	WantNil(t, "Close", a.Close())
	for range 4 {
		WantError(t, "blocked call", Await(t, errs, "calls of a closed end"), ring.ErrClosed)
	}
}

// Messages of all sizes go around the end of the ring, with 0 to 3 other messages in the ring.
func testPipeSizes(t *testing.T, a, b *ring.Conn) {
	for company := range 4 {
		queued := 0
		for n := range 601 {
			WantNil(t, "TrySend", a.TrySend(pattern(make([]byte, n), n)))
			if queued++; queued > company {
				receive(t, b, pattern(make([]byte, n-company), n-company))
				queued--
			}
		}
		for n := 601 - queued; n <= 600; n++ {
			receive(t, b, pattern(make([]byte, n), n))
		}
	}
	// A sender and a receiver at the same time, as fast as they can.
	ctx := Within(t)
	const laps = 5
	sent := Async(func() error {
		buf := make([]byte, 601)
		for i := range laps * 601 {
			if err := a.Send(ctx, pattern(buf[:i%601], i)); err != nil {
				return err
			}
		}
		return nil
	})
	buf := make([]byte, 601)
	for i := range laps * 601 {
		n, err := b.ReceiveInto(ctx, buf)
		if err != nil || n != i%601 || !bytes.Equal(buf[:n], pattern(make([]byte, n), i)) {
			t.Fatalf("message %d: %d bytes, %v", i, n, err)
		}
	}
	WantNil(t, "Send", Await(t, sent, "sender"))
}

// A second goroutine on a side revokes the bias of the first.
func testTwoSenders(t *testing.T, a, b *ring.Conn) {
	WantNil(t, "TrySend", a.TrySend([]byte("0")))
	if tx, rx := a.Biased(); !tx || !rx {
		t.Errorf("biased with one goroutine: %v, %v", tx, rx)
	}
	WantNil(t, "TrySend", Await(t, Async(func() error { return a.TrySend([]byte("1")) }), "sender"))
	if tx, rx := a.Biased(); tx || !rx {
		t.Errorf("biased with two senders: %v, %v", tx, rx)
	}
	WantNil(t, "TrySend", a.TrySend([]byte("2")))
	for i := range 3 {
		receive(t, b, []byte{'0' + byte(i)})
	}
	ctx := Within(t)
	done := Async(func() error { return receiveNumbered(ctx, b, 3, 700) })
	All(t, "senders", 3, func(i int) error { return sendNumbered(ctx, a, uint32(i), 700) })
	WantNil(t, "receiver", Await(t, done, "receiver"))
}

func testTwoReceivers(t *testing.T, a, b *ring.Conn) {
	for i := range 3 {
		WantNil(t, "TrySend", a.TrySend([]byte{'0' + byte(i)}))
	}
	receive(t, b, []byte("0"))
	Await(t, Async(func() error { receive(t, b, []byte("1")); return nil }), "receiver")
	if tx, rx := b.Biased(); !tx || rx {
		t.Errorf("biased with two receivers: %v, %v", tx, rx)
	}
	receive(t, b, []byte("2"))

	const n, receivers = 2000, 3
	ctx := Within(t)
	var counts [n]atomic.Uint32
	var received atomic.Int32
	stop, cancel := context.WithCancel(ctx)
	done := Async(func() error {
		All(t, "receivers", receivers, func(int) error {
			last := -1
			for {
				msg, err := b.Receive(stop)
				if stop.Err() != nil && err != nil {
					return nil
				}
				if err != nil {
					return err
				}
				_, seq, err := numbered(msg)
				if err != nil {
					return err
				}
				if int(seq) <= last {
					return fmt.Errorf("message %d after %d", seq, last)
				}
				last = int(seq)
				counts[seq].Add(1)
				if received.Add(1) == n {
					cancel()
				}
			}
		})
		return nil
	})
	WantNil(t, "sender", sendNumbered(ctx, a, 0, n))
	Await(t, done, "receivers")
	cancel()
	for i := range counts {
		if c := counts[i].Load(); c != 1 {
			t.Fatalf("message %d was received %d times", i, c)
		}
	}
}

func TestPipeMisuse(t *testing.T) {
	seg := Heap(t, room)
	a, b, err := ring.NewPipe(seg, "p", nil)
	WantNil(t, "NewPipe", err)
	defer a.Close()
	defer b.Close()
	if a.Limit() != 1<<15-16 {
		t.Errorf("by default a message has up to %d bytes", a.Limit())
	}
	q := Closing(t, Must(ring.NewQueue[message](seg, "q", 1, nil))(t))
	third := func(_, _ *ring.Conn, err error) error { return err }
	WantError(t, "name that is taken", third(ring.NewPipe(seg, "p", nil)), fs.ErrExist)
	WantError(t, "name of nothing", Second(ring.OpenPipe(seg, "x", ring.A)), fs.ErrNotExist)
	WantError(t, "pipe opened as a queue", Second(ring.OpenQueue[message](seg, "p")), shm.ErrMismatch)
	for _, end := range []ring.End{0, 3, -1} {
		WantError(t, fmt.Sprint("end ", int(end)), Second(ring.OpenPipe(seg, "p", end)), shm.ErrHandle)
	}
	for _, capacity := range []int{-1, math.MinInt, math.MaxInt} {
		WantError(t, fmt.Sprint("capacity ", capacity),
			third(ring.NewPipe(seg, "", &ring.PipeOptions{Capacity: capacity})), shm.ErrSize)
	}
	WantError(t, "more than the segment has", third(ring.NewPipe(seg, "", &ring.PipeOptions{Capacity: 1 << 22})), shm.ErrNoSpace)
	for _, capacity := range []int{1, 4095, 4097, 5000, 8192} {
		c, d := newPipe(t, seg, capacity)
		want := 4096
		if capacity > want {
			want = 8192
		}
		if c.Limit() != want/2-16 || d.Limit() != want/2-16 {
			t.Errorf("capacity %d: limit %d, want %d", capacity, c.Limit(), want/2-16)
		}
	}
	h := q.Handle()
	h.Role = uint32(ring.A)
	WantError(t, "handle of a queue", new(ring.Conn).UnmarshalText([]byte(h.String())), shm.ErrMismatch)
	h = a.Handle()
	for _, role := range []uint32{0, 3, 1 << 31, math.MaxUint32} {
		h.Role = role
		WantError(t, fmt.Sprint("handle of end ", role), new(ring.Conn).UnmarshalText([]byte(h.String())), shm.ErrHandle)
	}
	WantError(t, "no handle", new(ring.Conn).UnmarshalText(nil), shm.ErrHandle)

	// A pipe whose size field is not valid is not opened.
	o := Must(object.Open(seg, shm.KindPipe, "p", ring.PipePrint))(t)
	size := view.At[atomic.Uint64](o.Bytes(), 0)
	good := size.Load()
	for _, bad := range []uint64{0, 1, 8, 2048, good - 1, good + 8, 2 * good, 3 << 10, 1 << 31, 1 << 32, 1 << 40, 1 << 63, math.MaxUint64} {
		size.Store(bad)
		WantError(t, fmt.Sprintf("pipe with rings of %d bytes", bad), Second(ring.OpenPipe(seg, "p", ring.A)), ring.ErrCorrupt)
		WantError(t, "its handle", new(ring.Conn).UnmarshalText([]byte(a.Handle().String())), ring.ErrCorrupt)
	}
	size.Store(good)
	WantNil(t, "Close", Must(ring.OpenPipe(seg, "p", ring.A))(t).Close())
	runtime.KeepAlive(o)

	// The pipe still works, and has no more holders than before.
	WantNil(t, "TrySend", a.TrySend([]byte("x")))
	WantNil(t, "Close", a.Close())
	receive(t, b, []byte("x"))
	WantError(t, "TryReceive", Second(b.TryReceive()), io.EOF)
}

// TestPipeSegmentClosed shows that every method returns ErrClosed after the segment's Close.
func TestPipeSegmentClosed(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		party := Attach(t, seg)
		a, b, err := ring.NewPipe(party, "p", &ring.PipeOptions{Capacity: 1})
		WantNil(t, "NewPipe", err)
		far := Closing(t, Must(ring.OpenPipe(seg, "p", ring.B))(t))
		errs := make(chan error)
		go func() { errs <- Second(a.Receive(context.Background())) }()
		AwaitAsleep(t, os.Getpid(), 1)
		WantNil(t, "TrySend", a.TrySend([]byte("left")))
		WantNil(t, "Close", party.Close())
		WantError(t, "blocked Receive", Await(t, errs, "Receive of a closed segment"), ring.ErrClosed)
		receive(t, far, []byte("left"))
		WantError(t, "Receive at the end", Second(far.Receive(Within(t))), io.EOF)
		WantError(t, "TrySend", far.TrySend(nil), ring.ErrBrokenPipe)
		connFails(t, a)
		connFails(t, b)
		WantNil(t, "Close", a.Close())
	})
}

func TestPipeSegmentClosedWhileBusy(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	for range rounds {
		seg := Anonymous(t, room)
		a, b, err := ring.NewPipe(seg, "", &ring.PipeOptions{Capacity: 1})
		WantNil(t, "NewPipe", err)
		ops := []func() error{
			func() error { return a.TrySend(make([]byte, 100)) },
			func() error { return Second(b.TryReceive()) },
			func() error { return b.Send(t.Context(), make([]byte, 700)) },
			func() error { return Second(a.Receive(t.Context())) },
		}
		closeWhileBusy(t, seg, ops)
		if t.Failed() {
			return
		}
	}
}

// The tasks of the children follow. Cell 0 counts the children that are ready.

var echoTask = Task("echo", func(ctx context.Context, j job) (int, error) {
	for n := 0; ; n++ {
		msg, err := j.Conn.Receive(ctx)
		if err == io.EOF {
			return n, nil
		}
		if err == nil {
			err = j.Conn.Send(ctx, msg)
		}
		if err != nil {
			return n, err
		}
	}
})

var sendTask = Task("send", func(ctx context.Context, j job) (int, error) {
	return j.N, sendNumbered(ctx, j.Conn, j.From, j.N)
})

// receiveTask receives until the end and counts message i of sender s in cell
// 1+s*N+i.
var receiveTask = Task("receive", func(ctx context.Context, j job) (int, error) {
	j.Cells.Add(0)
	for n := 0; ; n++ {
		msg, err := j.Conn.Receive(ctx)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		from, seq, err := numbered(msg)
		if err != nil {
			return n, err
		}
		j.Cells.At(1 + int(from)*j.N + int(seq)).Add(1)
	}
})

// holdTask holds an end until cell 1 is 1.
var holdTask = Task("hold", func(ctx context.Context, j job) (int, error) {
	j.Cells.Add(0)
	return 0, j.Cells.Until(ctx, 1, 1)
})

// blockTask blocks in Receive.
var blockTask = Task("block", func(ctx context.Context, j job) (int, error) {
	j.Cells.Add(0)
	msg, err := j.Conn.Receive(ctx)
	return len(msg), err
})

func TestPipeProcesses(t *testing.T) {
	t.Run("X01_echo", testEcho)
	t.Run("X14_holder_from_the_start", testHolderFromStart)
	t.Run("X14_last_holder", testLastHolder)
	t.Run("X17_handle_in_a_message", testConnInMessage)
	t.Run("X19_killed", testPeerKilled)
	t.Run("turns_of_senders", testTurnsOfSenders)
	t.Run("turns_of_receivers", testTurnsOfReceivers)
}

func testEcho(t *testing.T) {
	seg := Anonymous(t, room)
	a, b := newPipe(t, seg, 1<<20)
	p := Start(t, echoTask, job{Conn: b})
	WantNil(t, "Close", b.Close())
	ctx := Within(t)
	n := 0
	for _, size := range []int{0, 1, 7, 8, 9, 4096, 65535, 100_000, a.Limit() - 1, a.Limit()} {
		for range 3 {
			msg := pattern(make([]byte, size), size)
			WantNil(t, "Send", a.Send(ctx, msg))
			receive(t, a, msg)
			n++
		}
		WantError(t, "TrySend", a.TrySend(make([]byte, a.Limit()+1)), ring.ErrTooLarge)
	}
	// Both ways at once.
	const many = 3000
	done := Async(func() error { return receiveNumbered(ctx, a, 1, many) })
	WantNil(t, "Send", sendNumbered(ctx, a, 0, many))
	WantNil(t, "Receive", Await(t, done, "echo"))
	WantNil(t, "Close", a.Close())
	if got := Result(t, p); got != n+many {
		t.Errorf("the child saw %d messages, want %d", got, n+many)
	}
}

// A child that gets an end in its argument holds the end before it runs.
func testHolderFromStart(t *testing.T) {
	for range 20 {
		seg := Anonymous(t, room)
		a, b := newPipe(t, seg, 0)
		c := NewCells(t, seg, 2)
		p := Start(t, holdTask, job{Conn: b, Cells: c})
		WantNil(t, "Close", b.Close())
		for c.At(0).Load() == 0 {
			if err := a.TrySend([]byte("x")); err != nil && !errors.Is(err, ring.ErrFull) {
				t.Fatalf("Send while the child starts: %v", err)
			}
			if _, err := a.TryReceive(); !errors.Is(err, ring.ErrEmpty) {
				t.Fatalf("Receive while the child starts: %v", err)
			}
			if !p.Alive() {
				t.Fatal(p.Join(Within(t)))
			}
			runtime.Gosched()
		}
		done := Async(func() error { return Second(a.Receive(context.Background())) })
		c.Add(1)
		WantError(t, "Receive", Await(t, done, "end of the pipe"), io.EOF)
		WantError(t, "Send", a.Send(Within(t), nil), ring.ErrBrokenPipe)
		Result(t, p)
	}
}

// Receive returns io.EOF only when the last of several holders has closed the end or died.
func testLastHolder(t *testing.T) {
	seg := Anonymous(t, room)
	a, b, err := ring.NewPipe(seg, "p", nil)
	WantNil(t, "NewPipe", err)
	Closing(t, a)
	first, last := NewCells(t, seg, 2), NewCells(t, seg, 2)
	p := Start(t, holdTask, job{Conn: b, Cells: first})
	q := Start(t, holdTask, job{Conn: b, Cells: last})
	again := Must(ring.OpenPipe(seg, "p", ring.B))(t)
	done := Async(func() error { return Second(a.Receive(context.Background())) })
	open := func(what string) {
		t.Helper()
		WantNil(t, "Send after "+what, a.Send(Within(t), []byte("x")))
		select {
		case err := <-done:
			t.Fatalf("Receive after %s: %v", what, err)
		default:
		}
	}
	WantNil(t, "Close", b.Close())
	open("one Close here")
	WantNil(t, "Close", again.Close())
	open("the other Close here")
	first.Add(1)
	Result(t, p)
	open("the end of a child")
	last.Await(t, 0, 1)
	WantNil(t, "Kill", q.Kill())
	WantError(t, "Receive", Await(t, done, "end of the pipe"), io.EOF)
	WantError(t, "Send", a.Send(Within(t), nil), ring.ErrBrokenPipe)
	Await(t, q.Done(), "end of the child")
}

// adoptTask receives the handle of an end, opens the end, and sends a message.
var adoptTask = Task("adopt", func(ctx context.Context, j job) (int, error) {
	text, err := j.Conn.Receive(ctx)
	if err != nil {
		return 0, err
	}
	var c ring.Conn
	if err := c.UnmarshalText(text); err != nil {
		return 0, err
	}
	defer c.Close()
	return 0, c.Send(ctx, []byte("from the child"))
})

func testConnInMessage(t *testing.T) {
	seg, other := Anonymous(t, room), Anonymous(t, room)
	a, b := newPipe(t, seg, 0)
	c, d := newPipe(t, other, 0)
	p := Start(t, adoptTask, job{Conn: b})
	WantNil(t, "Send", a.Send(Within(t), Must(d.MarshalText())(t)))
	receive(t, c, []byte("from the child"))
	Result(t, p)
}

func testPeerKilled(t *testing.T) {
	var took []time.Duration
	for range 15 {
		seg := Anonymous(t, room)
		a, b := newPipe(t, seg, 4096)
		c := NewCells(t, seg, 2)
		p := Start(t, blockTask, job{Conn: b, Cells: c})
		WantNil(t, "Close", b.Close())
		c.Await(t, 0, 1)
		AwaitAsleep(t, p.PID(), 1)
		ended := make(chan time.Time, 2)
		errs := make(chan error, 2)
		go func() {
			err := Second(a.Receive(context.Background()))
			ended <- time.Now()
			errs <- err
		}()
		AwaitAsleep(t, os.Getpid(), 1)
		begin := time.Now()
		WantNil(t, "Kill", p.Kill())
		took = append(took, Await(t, ended, "EOF of a killed peer").Sub(begin))
		WantError(t, "Receive", Await(t, errs, "error"), io.EOF)
		WantError(t, "Send", a.Send(Within(t), nil), ring.ErrBrokenPipe)
		WantNil(t, "Close", seg.Close())
	}
	slices.Sort(took)
	t.Logf("SIGKILL to EOF: median %v, worst %v", took[len(took)/2], took[len(took)-1])
	if took[len(took)-1] > prompt {
		t.Errorf("EOF came %v after the death of the peer", took[len(took)-1])
	}
}

// Several goroutines and processes send to one end.
func testTurnsOfSenders(t *testing.T) {
	const goroutines, children, each = 4, 2, 1500
	seg := Anonymous(t, room)
	a, b := newPipe(t, seg, 8192)
	ctx := Within(t)
	done := Async(func() error { return receiveNumbered(ctx, b, goroutines+children, each) })
	var procs []*proc.Call[int]
	for i := range children {
		procs = append(procs, Start(t, sendTask, job{N: each, From: uint32(goroutines + i), Conn: a}))
	}
	All(t, "senders", goroutines, func(i int) error { return sendNumbered(ctx, a, uint32(i), each) })
	WantNil(t, "receiver", Await(t, done, "receiver"))
	for _, p := range procs {
		Result(t, p)
	}
	WantNil(t, "Close", a.Close())
	WantError(t, "Receive", Second(b.Receive(ctx)), io.EOF)
}

// Several goroutines and processes receive from one end. Each message is received once.
func testTurnsOfReceivers(t *testing.T) {
	const senders, children, each = 2, 2, 2000
	seg := Anonymous(t, room)
	a, b := newPipe(t, seg, 8192)
	c := NewCells(t, seg, 1+senders*each)
	ctx := Within(t)
	var procs []*proc.Call[int]
	for range children {
		procs = append(procs, Start(t, receiveTask, job{N: each, Conn: b, Cells: c}))
	}
	received := make(chan error, 2)
	for range cap(received) {
		go func() {
			for {
				m, err := b.ReceiveInPlace(ctx)
				if err == io.EOF {
					received <- nil
					return
				}
				if err != nil {
					received <- err
					return
				}
				from, seq, err := numbered(m.Bytes())
				if err == nil {
					err = m.Release()
				}
				if err != nil {
					received <- err
					return
				}
				c.At(1 + int(from)*each + int(seq)).Add(1)
			}
		}()
	}
	c.Await(t, 0, children)
	All(t, "senders", senders, func(i int) error { return sendNumbered(ctx, a, uint32(i), each) })
	WantNil(t, "Close", a.Close())
	for range cap(received) {
		WantNil(t, "receiver", Await(t, received, "receiver"))
	}
	for _, p := range procs {
		Result(t, p)
	}
	wantOnce(t, c, 1)
}
