//go:build linux

package ring_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

var huge = flag.Bool("huge", false, "send a message of more than 2 GiB")

// TestX01_LongThroughChild sends messages of up to 16 MiB through a ring of 64 KiB to a child, which
// sends them back.
func TestX01_LongThroughChild(t *testing.T) {
	seg := Anonymous(t, room)
	a, b := newPipe(t, seg, 0)
	p := Start(t, echoTask, job{Conn: b})
	WantNil(t, "Close", b.Close())
	ctx := Within(t)
	for _, n := range []int{0, 1, a.Limit(), a.Limit() + 1, 1 << 16, 1 << 20, 16 << 20, 3} {
		msg := pattern(make([]byte, n), n)
		sent := Async(func() error { return a.Send(ctx, msg) })
		receive(t, a, msg)
		WantNil(t, "Send", Await(t, sent, "Send"))
	}
	WantNil(t, "Close", a.Close())
	Want(t, "messages", Result(t, p), 8)
}

// TestX20_MoreThan2GiB sends a message whose length does not fit into 31 bits.
func TestX20_MoreThan2GiB(t *testing.T) {
	if !*huge || ^uint(0)>>32 == 0 {
		t.Skip("needs -huge and 64 bits")
	}
	seg := Anonymous(t, room)
	a, b := newPipe(t, seg, 1<<20)
	longest := int64(2<<30 + 5)
	n := int(longest)
	msg := make([]byte, n)
	msg[0], msg[n-1] = 1, 2
	ctx := Within(t)
	for _, how := range []string{"Skip", "ReceiveInto"} {
		begin := time.Now()
		sent := Async(func() error { return a.Send(ctx, msg) })
		if how == "Skip" {
			Want(t, "length", Must(b.Skip(ctx))(t), n)
		} else {
			buf := make([]byte, n)
			Want(t, "length", Must(b.ReceiveInto(ctx, buf))(t), n)
			if !bytes.Equal(buf, msg) {
				t.Error("the message differs")
			}
		}
		WantNil(t, "Send", Await(t, sent, "Send"))
		t.Logf("%s: %v", how, time.Since(begin))
	}
}

// longSizes are lengths of messages that are too long for a ring of 4,096 bytes.
func longSizes(limit int) []int {
	return []int{limit + 1, limit + 2, 2*limit + 7, 4079, 4080, 4096, 4097, 10_000, 100_003}
}

func testLongSizes(t *testing.T, a, b *ring.Conn) {
	ctx := Within(t)
	sizes := longSizes(a.Limit())
	sent := Async(func() error {
		for lap := range 7 {
			for _, n := range sizes {
				for _, n := range []int{n, lap * 40} { // a short one follows each
					if err := a.Send(ctx, pattern(make([]byte, n), n)); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	for lap := range 7 {
		for _, n := range sizes {
			if lap%2 == 0 {
				receive(t, b, pattern(make([]byte, n), n))
			} else {
				buf := make([]byte, n)
				got, err := b.ReceiveInto(ctx, buf)
				if err != nil || got != n || !bytes.Equal(buf, pattern(make([]byte, n), n)) {
					t.Fatalf("ReceiveInto: %d bytes, %v, want %d", got, err, n)
				}
			}
			receive(t, b, pattern(make([]byte, lap*40), lap*40))
		}
	}
	WantNil(t, "Send", Await(t, sent, "sender"))
}

// Methods that need a message in one piece leave a long one alone. Receive still can receive it.
func testLongStays(t *testing.T, a, b *ring.Conn) {
	ctx := Within(t)
	msg := pattern(make([]byte, 50_000), 1)
	WantError(t, "TrySend", a.TrySend(msg), ring.ErrTooLarge)
	WantError(t, "Reserve", Second(a.Reserve(ctx, len(msg))), ring.ErrTooLarge)
	for range 3 {
		sent := Async(func() error { return a.Send(ctx, msg) })
		WantNil(t, "Poll", b.Poll(ctx))
		for range 2 {
			WantNil(t, "TryPoll", b.TryPoll())
			WantError(t, "TryReceive", Second(b.TryReceive()), ring.ErrTooLarge)
			WantError(t, "TryReceiveInto", Second(b.TryReceiveInto(make([]byte, len(msg)))), ring.ErrTooLarge)
			WantError(t, "ReceiveInPlace", Second(b.ReceiveInPlace(ctx)), ring.ErrTooLarge)
			x := Must(b.Receiver(ctx))(t)
			WantError(t, "Receiver.Receive", Second(x.Receive(ctx)), ring.ErrTooLarge)
			WantNil(t, "Close", x.Close())
			n, err := b.ReceiveInto(ctx, make([]byte, len(msg)-1))
			WantError(t, "ReceiveInto", err, io.ErrShortBuffer)
			Want(t, "length", n, len(msg))
			n, err = b.TryReceiveInto(nil)
			WantError(t, "TryReceiveInto", err, io.ErrShortBuffer)
			Want(t, "length", n, len(msg))
		}
		receive(t, b, msg)
		WantNil(t, "Send", Await(t, sent, "Send"))
		WantError(t, "TryReceive", Second(b.TryReceive()), ring.ErrEmpty)
	}
}

// testMaxMessage is X05: a message above the limit stays, and the end remains usable.
func testMaxMessage(t *testing.T, a, b *ring.Conn) {
	ctx := Within(t)
	for _, n := range []int{101, 20_000} {
		b.SetMaxMessage(100)
		sent := Async(func() error {
			return errors.Join(a.Send(ctx, make([]byte, n)), a.Send(ctx, make([]byte, n)), a.Send(ctx, make([]byte, 100)))
		})
		for range 2 {
			WantError(t, "Receive", Second(b.Receive(ctx)), ring.ErrTooLarge)
			WantError(t, "TryReceive", Second(b.TryReceive()), ring.ErrTooLarge)
		}
		Want(t, "skipped", Must(b.Skip(ctx))(t), n)
		WantError(t, "Receive", Second(b.Receive(ctx)), ring.ErrTooLarge)
		b.SetMaxMessage(0)
		receive(t, b, make([]byte, n))
		b.SetMaxMessage(100)
		receive(t, b, make([]byte, 100))
		WantNil(t, "Send", Await(t, sent, "Send"))
	}
}

// A sender that gives up has sent nothing.
func testLongSenderGivesUp(t *testing.T, a, b *ring.Conn) {
	ctx := Within(t)
	msg := pattern(make([]byte, 30_000), 3)
	much := muchMore()
	for i := range 1 << 19 { // bytes like a header of a first piece must not be taken for one
		binary.NativeEndian.PutUint64(much[8*i:], uint64(4096/8-16)<<4|3)
	}
	for i := range 40 {
		// The receiver has taken nothing, or is in the middle of the message.
		var received <-chan error
		if i%2 == 1 {
			received = Async(func() error {
				msg, err := b.Receive(ctx)
				if err == nil && string(msg) != "next" {
					err = fmt.Errorf("received %d bytes", len(msg))
				}
				return err
			})
			brief, cancel := context.WithTimeout(ctx, time.Millisecond)
			err := a.Send(brief, much)
			cancel()
			WantError(t, "Send", err, context.DeadlineExceeded)
			WantNil(t, "Send", a.Send(ctx, []byte("next")))
			WantNil(t, "Receive", Await(t, received, "Receive"))
			continue
		}
		WantError(t, "Send, expired", a.Send(Expired, msg), context.Canceled)
		WantError(t, "TryReceive", Second(b.TryReceive()), ring.ErrEmpty)
		WantError(t, "Send, expired", a.Send(Expired, msg), context.Canceled)
		WantNil(t, "TrySend", a.TrySend([]byte("next")))
		receive(t, b, []byte("next"))
		WantError(t, "TryPoll", b.TryPoll(), ring.ErrEmpty)
	}
}

// testLongHammer has several senders and receivers, whose contexts often end too early. Each
// message whose Send returned nil is received once, whole, and no other message is received.
func testLongHammer(t *testing.T, a, b *ring.Conn) {
	const senders, receivers, n = 2, 2, 60
	ctx := Within(t)
	stop, cancel := context.WithCancel(ctx)
	got := make(chan [2]uint32, senders*n)
	done := Async(func() error {
		All(t, "receivers", receivers, func(i int) error {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for {
				brief, cancel := context.WithTimeout(stop, time.Duration(r.IntN(400))*time.Microsecond)
				msg, err := b.Receive(brief)
				cancel()
				switch {
				case stop.Err() != nil && err != nil:
					return nil
				case errors.Is(err, context.DeadlineExceeded):
					continue
				case err != nil:
					return err
				}
				from, seq := binary.LittleEndian.Uint32(msg), binary.LittleEndian.Uint32(msg[4:])
				if !bytes.Equal(msg[8:], pattern(make([]byte, len(msg)-8), int(from*n+seq))) {
					return fmt.Errorf("message %d of sender %d is torn", seq, from)
				}
				got <- [2]uint32{from, seq}
			}
		})
		return nil
	})
	All(t, "senders", senders, func(i int) error {
		r := rand.New(rand.NewPCG(uint64(i), 2))
		for seq := range uint32(n) {
			msg := make([]byte, 8+r.IntN(1<<(4+r.IntN(12))))
			binary.LittleEndian.PutUint32(msg, uint32(i))
			binary.LittleEndian.PutUint32(msg[4:], seq)
			pattern(msg[8:], i*n+int(seq))
			for {
				brief, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(400))*time.Microsecond)
				err := a.Send(brief, msg)
				cancel()
				if err == nil {
					break
				}
				if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
					return err
				}
			}
		}
		return nil
	})
	var seen [senders]map[uint32]bool
	for range senders * n {
		v := Await(t, got, "a message")
		if seen[v[0]] == nil {
			seen[v[0]] = map[uint32]bool{}
		}
		if seen[v[0]][v[1]] {
			t.Errorf("message %d of sender %d was received twice", v[1], v[0])
		}
		seen[v[0]][v[1]] = true
	}
	cancel()
	Await(t, done, "receivers")
	WantError(t, "TryReceive", Second(b.TryReceive()), ring.ErrEmpty)
}

// TestLong has the rules of messages that are longer than the ring.
func TestLong(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, a, b *ring.Conn)
	}{
		{"sizes", testLongSizes},
		{"X03_short_buffer", testLongStays},
		{"X05_limit", testMaxMessage},
		{"sender_gives_up", testLongSenderGivesUp},
		{"hammer", testLongHammer},
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

// sendLongTask sends one message of N MiB.
var sendLongTask = Task("send long", func(ctx context.Context, j job) (proc.None, error) {
	j.Cells.Add(0)
	return proc.None{}, j.Conn.Send(ctx, pattern(make([]byte, j.N<<20), j.N))
})

// TestLongReceiverGivesUp stops the sender in the middle of its message. A receiver gives up, and
// another one receives the message whole.
func TestLongReceiverGivesUp(t *testing.T) {
	seg := Anonymous(t, room)
	for range 5 {
		a, b := newPipe(t, seg, 4096)
		other := Closing(t, Must(openAgain(t, seg, a))(t))
		cells := NewCells(t, seg, 1)
		p := Start(t, sendLongTask, job{N: 4, Conn: b, Cells: cells})
		cells.Await(t, 0, 1)
		WantNil(t, "Poll", a.Poll(Within(t)))
		Stop(t, p)
		brief, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		WantError(t, "Receive", Second(a.Receive(brief)), context.DeadlineExceeded)
		cancel()
		WantError(t, "TryPoll", a.TryPoll(), ring.ErrEmpty)
		Continue(t, p)
		receive(t, other, pattern(make([]byte, 4<<20), 4))
		Result(t, p)
	}
}

// openAgain opens another Conn of c's end for another party.
func openAgain(t *testing.T, seg *shm.Segment, c *ring.Conn) (*ring.Conn, error) {
	Attach(t, seg)
	other := new(ring.Conn)
	text, err := c.MarshalText()
	if err != nil {
		return nil, err
	}
	return other, other.UnmarshalText(text)
}

// TestLongSenderKilled kills the sender in the middle of its message. The receiver receives the next
// message of another holder of the end, then the end of file.
func TestLongSenderKilled(t *testing.T) {
	seg := Anonymous(t, room)
	for i := range 6 {
		a, b := newPipe(t, seg, 4096)
		cells := NewCells(t, seg, 1)
		p := Start(t, sendLongTask, job{N: 64, Conn: b, Cells: cells})
		cells.Await(t, 0, 1)
		WantNil(t, "Poll", a.Poll(Within(t)))
		// With even i the receiver is in the middle of the message, too.
		var received <-chan error
		take := func() error {
			msg, err := a.Receive(Within(t))
			if err == nil && string(msg) != "next" {
				err = fmt.Errorf("received %d bytes", len(msg))
			}
			return err
		}
		if i%2 == 0 {
			Stop(t, p)
			received = Async(take)
			runtime.Gosched()
		}
		Kill(t, p)
		WantNil(t, "Send", b.Send(Within(t), []byte("next")))
		if i%2 != 0 {
			received = Async(take)
		}
		WantNil(t, "Receive", Await(t, received, "Receive"))
		WantNil(t, "Close", b.Close())
		WantError(t, "Receive", Second(a.Receive(Within(t))), io.EOF)
	}
}

// TestLongDeadSenderIsForgotten shows that a receiver does not keep the side, nor what it has of the
// message, once the sender has died.
func TestLongDeadSenderIsForgotten(t *testing.T) {
	seg := Anonymous(t, room)
	a, b := newPipe(t, seg, 4096)
	other := Closing(t, Must(openAgain(t, seg, a))(t))
	cells := NewCells(t, seg, 1)
	p := Start(t, sendLongTask, job{N: 64, Conn: b, Cells: cells})
	cells.Await(t, 0, 1)
	WantNil(t, "Poll", a.Poll(Within(t)))
	Stop(t, p)
	ctx, cancel := context.WithCancel(Within(t))
	received := Async(func() error { return Second(a.Receive(ctx)) })
	Eventually(t, "the receiver owns the side", func() bool { return errors.Is(other.TryPoll(), ring.ErrBusy) })
	Kill(t, p)
	Eventually(t, "the receiver gives the side up", func() bool { return errors.Is(other.TryPoll(), ring.ErrEmpty) })
	cancel()
	WantError(t, "Receive", Await(t, received, "Receive"), context.Canceled)
	runtime.KeepAlive(b)
}

// TestLongReceiverKilled kills receivers in the middle of a message. The sender starts it over for
// the next receiver.
func TestLongReceiverKilled(t *testing.T) {
	seg := Anonymous(t, room)
	a, b := newPipe(t, seg, 4096)
	msg := pattern(make([]byte, 64<<20), 1)
	ctx := Within(t)
	sent := Async(func() error { return errors.Join(a.Send(ctx, msg), a.Send(ctx, []byte("next"))) })
	for range 3 {
		cells := NewCells(t, seg, 1)
		p := Start(t, receiveLongTask, job{Conn: b, Cells: cells})
		cells.Await(t, 0, 1)
		Kill(t, p)
	}
	// If a receiver was killed after the last piece was sent, the message is lost.
	got, err := b.Receive(ctx)
	WantNil(t, "Receive", err)
	if string(got) != "next" {
		if !bytes.Equal(got, msg) {
			t.Errorf("the message of %d bytes is torn", len(got))
		}
		receive(t, b, []byte("next"))
	}
	WantNil(t, "Send", Await(t, sent, "Send"))
}

var receiveLongTask = Task("receive long", func(ctx context.Context, j job) (int, error) {
	j.Cells.Add(0)
	msg, err := j.Conn.Receive(ctx)
	return len(msg), err
})

// TestLongHostileLength shows that the length of a message alone makes a receiver allocate little.
func TestLongHostileLength(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		a, b, err := ring.NewPipe(seg, "hostile", &ring.PipeOptions{Capacity: 4096})
		WantNil(t, "NewPipe", err)
		defer a.Close()
		defer b.Close()
		ctx, cancel := context.WithCancel(t.Context())
		sent := Async(func() error { return a.Send(ctx, pattern(make([]byte, 5000), 1)) })
		WantNil(t, "Poll", b.Poll(Within(t)))
		o := Must(object.Open(seg, shm.KindPipe, "hostile", ring.PipePrint))(t)
		length := view.At[uint64](o.Bytes(), ring.RingAt+8)
		Want(t, "length", *length, 5000)
		*length = 1 << 45
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		brief, cancelBrief := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err = Second(b.Receive(brief))
		cancelBrief()
		// With 32 bits, no slice can be that long.
		if !errors.Is(err, ring.ErrCorrupt) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ring.ErrTooLarge) {
			t.Errorf("Receive: %v", err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
			t.Errorf("Receive allocated %d bytes", n)
		}
		cancel()
		Await(t, sent, "Send")
	})
}

// muchMore returns a message that is far longer than what can be received in a millisecond.
func muchMore() []byte {
	if strconv.IntSize == 32 {
		return make([]byte, 32<<20) // the test program has few addresses
	}
	return make([]byte, 256<<20)
}
