//go:build linux

package ring_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestTurns tests Sender and Receiver, with the bias and with the lock.
func TestTurns(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, a, b *ring.Conn)
	}{
		{"stream", testTurnStream},
		{"limit", testTurnLimit},
		{"reserved", testReserved},
		{"in_hand", testInHand},
		{"misuse", testTurnMisuse},
		{"sender_excludes", testSenderExcludes},
		{"receiver_excludes", testReceiverExcludes},
		{"full_and_empty", testTurnWaits},
		{"end", testTurnEnd},
		{"closed", testTurnClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, seg *shm.Segment) {
				a, b := newPipe(t, seg, 4096)
				t.Run("alone", func(t *testing.T) { test.f(t, a, b) })
				a, b = newPipe(t, seg, 4096)
				revoke(t, a, b)
				t.Run("in_turns", func(t *testing.T) { test.f(t, a, b) })
			})
		})
	}
}

// revoke revokes the biases of a's sending and b's receiving side.
func revoke(t *testing.T, a, b *ring.Conn) {
	t.Helper()
	for range 2 {
		Await(t, Async(func() error {
			WantNil(t, "TrySend", a.TrySend(nil))
			receive(t, b, nil)
			return nil
		}), "revocation")
		WantNil(t, "TrySend", a.TrySend(nil))
		receive(t, b, nil)
	}
}

// turn acquires the sending side of a and the receiving side of b.
func turn(t *testing.T, a, b *ring.Conn) (*ring.Sender, *ring.Receiver) {
	t.Helper()
	return Closing(t, Must(a.Sender(Within(t)))(t)), Closing(t, Must(b.Receiver(Within(t)))(t))
}

// commit reserves, writes and commits msg.
func commit(t *testing.T, s *ring.Sender, msg []byte) {
	t.Helper()
	b := Must(s.Reserve(Within(t), len(msg)))(t)
	if len(b) != len(msg) || cap(b) != len(msg) {
		t.Fatalf("Reserve(%d) has %d bytes of %d", len(msg), len(b), cap(b))
	}
	copy(b, msg)
	WantNil(t, "Commit", s.Commit())
}

// next receives a message and checks that it is msg.
func next(t *testing.T, r *ring.Receiver, msg []byte) {
	t.Helper()
	if got := Must(r.Receive(Within(t)))(t); !bytes.Equal(got, msg) {
		t.Fatalf("Receive: %.20q of %d bytes, want %.20q of %d", got, len(got), msg, len(msg))
	}
}

// A message may be as long as the limit, at any offset in the ring.
func testTurnLimit(t *testing.T, a, b *ring.Conn) {
	s, r := turn(t, a, b)
	for i := range 40 {
		commit(t, s, pattern(make([]byte, 8*i), i))
		WantError(t, "Next", Second(s.Next(t.Context(), a.Limit()+1)), ring.ErrTooLarge)
		WantError(t, "Reserve", Second(s.Reserve(t.Context(), 1<<30)), ring.ErrTooLarge)
		next(t, r, pattern(make([]byte, 8*i), i))
		WantNil(t, "Release", r.Release())
		commit(t, s, pattern(make([]byte, a.Limit()), i)) // it fits into an empty ring
		next(t, r, pattern(make([]byte, a.Limit()), i))
		WantNil(t, "Release", r.Release())
	}
	WantNil(t, "Close", s.Close())
	WantNil(t, "Close", r.Close())
}

// length returns the length of message i: sometimes that of the message before, sometimes not.
func length(i int) int { return i / (1 + i/100%3) % 601 }

// Messages of all lengths go around the end of the ring many times. Both sides are released and
// acquired again now and then.
func testTurnStream(t *testing.T, a, b *ring.Conn) {
	const n = 4000
	ctx := Within(t)
	sent := Async(func() error {
		for i := 0; i < n; {
			s, err := a.Sender(ctx)
			if err != nil {
				return err
			}
			for j := range min(1+i%97, n-i) {
				msg, err := s.Next(ctx, length(i))
				if err != nil {
					return err
				}
				pattern(msg, i)
				i++
				if j%5 != 0 { // Next commits the others
					continue
				}
				if err := s.Commit(); err != nil {
					return err
				}
			}
			if err := s.Commit(); err != nil && !errors.Is(err, ring.ErrNothingReserved) {
				return err
			}
			if err := s.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	for i := 0; i < n; {
		r := Must(b.Receiver(ctx))(t)
		for range min(1+i%89, n-i) {
			next(t, r, pattern(make([]byte, length(i)), i))
			i++
		}
		WantNil(t, "Release", r.Release())
		WantNil(t, "Close", r.Close())
	}
	WantNil(t, "sender", Await(t, sent, "sender"))
	if msg, err := b.TryReceive(); !errors.Is(err, ring.ErrEmpty) {
		t.Errorf("TryReceive after all messages: %q, %v, want ErrEmpty", msg, err)
	}
}

// A reserved message is not received before Commit. Another Reserve or Close discards it.
func testReserved(t *testing.T, a, b *ring.Conn) {
	s, r := turn(t, a, b)
	for range 200 {
		copy(Must(s.Reserve(t.Context(), 100))(t), "never")
		WantError(t, "Receive of a message that is only reserved", Second(r.Receive(Expired)), context.Canceled)
		commit(t, s, []byte("sent"))
		next(t, r, []byte("sent"))
	}
	for range 200 {
		copy(Must(s.Next(t.Context(), 3))(t), "one")
		WantError(t, "Receive of a message that is only reserved", Second(r.Receive(Expired)), context.Canceled)
		copy(Must(s.Next(t.Context(), 3))(t), "two")
		next(t, r, []byte("one"))
		WantError(t, "Receive of a message that is only reserved", Second(r.Receive(Expired)), context.Canceled)
		WantNil(t, "Commit", s.Commit())
		next(t, r, []byte("two"))
	}
	Must(s.Reserve(t.Context(), 5))(t)
	WantNil(t, "Close", s.Close())
	WantError(t, "Receive", Second(r.Receive(Expired)), context.Canceled)
}

// A message in hand counts as received after the next Receive or Release. Otherwise it stays in the
// pipe.
func testInHand(t *testing.T, a, b *ring.Conn) {
	s, r := turn(t, a, b)
	for _, msg := range []string{"1", "2", "3"} {
		commit(t, s, []byte(msg))
	}
	next(t, r, []byte("1"))
	next(t, r, []byte("2"))
	WantNil(t, "Close", r.Close())
	receive(t, b, []byte("2"))
	r = Must(b.Receiver(t.Context()))(t)
	next(t, r, []byte("3"))
	WantNil(t, "Release", r.Release())
	WantNil(t, "Release of nothing", r.Release())
	WantNil(t, "Close", r.Close())
	WantError(t, "TryReceive", Second(b.TryReceive()), ring.ErrEmpty)
}

func testTurnMisuse(t *testing.T, a, b *ring.Conn) {
	s, r := turn(t, a, b)
	WantError(t, "Commit of nothing", s.Commit(), ring.ErrNothingReserved)
	for _, n := range []int{-1, -9, -1 << 31, a.Limit() + 1, 1 << 30} {
		WantError(t, "Reserve", Second(s.Reserve(t.Context(), n)), ring.ErrTooLarge)
		WantError(t, "Commit", s.Commit(), ring.ErrNothingReserved)
		copy(Must(s.Next(t.Context(), 4))(t), "sent")
		WantError(t, "Next", Second(s.Next(t.Context(), n)), ring.ErrTooLarge)
		WantError(t, "Commit", s.Commit(), ring.ErrNothingReserved)
		next(t, r, []byte("sent"))
	}
	commit(t, s, pattern(make([]byte, a.Limit()), 1))
	WantError(t, "second Commit", s.Commit(), ring.ErrNothingReserved)
	next(t, r, pattern(make([]byte, a.Limit()), 1))
	for range 2 {
		WantNil(t, "Close", s.Close())
		WantNil(t, "Close", r.Close())
	}
	WantError(t, "Commit after Close", s.Commit(), ring.ErrClosed)
	WantError(t, "Reserve after Close", Second(s.Reserve(t.Context(), 1)), ring.ErrClosed)
	WantError(t, "Next after Close", Second(s.Next(t.Context(), 1)), ring.ErrClosed)
	WantError(t, "Receive after Close", Second(r.Receive(t.Context())), ring.ErrClosed)
	WantError(t, "Release after Close", r.Release(), ring.ErrClosed)
}

func testSenderExcludes(t *testing.T, a, b *ring.Conn) {
	s := Closing(t, Must(a.Sender(t.Context()))(t))
	Await(t, Async(func() error {
		WantError(t, "TrySend", a.TrySend(nil), ring.ErrBusy)
		WantError(t, "Sender, expired", Second(a.Sender(Expired)), context.Canceled)
		return nil
	}), "sender that does not wait")
	sent := Async(func() error { return a.Send(context.Background(), []byte("second")) })
	AwaitAsleep(t, os.Getpid(), 1)
	commit(t, s, []byte("first"))
	receive(t, b, []byte("first"))
	WantNil(t, "Close", s.Close())
	WantNil(t, "Send", Await(t, sent, "sender that waits for its turn"))
	receive(t, b, []byte("second"))
}

func testReceiverExcludes(t *testing.T, a, b *ring.Conn) {
	r := Closing(t, Must(b.Receiver(t.Context()))(t))
	Await(t, Async(func() error {
		WantError(t, "TryReceive", Second(b.TryReceive()), ring.ErrBusy)
		WantError(t, "Receiver, expired", Second(b.Receiver(Expired)), context.Canceled)
		return nil
	}), "receiver that does not wait")
	received := Async(func() error {
		receive(t, b, []byte("second"))
		return nil
	})
	AwaitAsleep(t, os.Getpid(), 1)
	for _, msg := range []string{"first", "second"} {
		WantNil(t, "TrySend", a.TrySend([]byte(msg)))
	}
	next(t, r, []byte("first"))
	WantNil(t, "Release", r.Release())
	WantNil(t, "Close", r.Close())
	Await(t, received, "receiver that waits for its turn")
}

// A Sender waits for space, a Receiver for a message, and both are woken.
func testTurnWaits(t *testing.T, a, b *ring.Conn) {
	s, r := turn(t, a, b)
	got := Async(func() error { return Second(r.Receive(context.Background())) })
	AwaitAsleep(t, os.Getpid(), 1)
	commit(t, s, nil)
	WantNil(t, "Receive", Await(t, got, "receiver"))
	WantNil(t, "Release", r.Release())

	n := 0
	for ; Second(s.Reserve(Expired, 1000)) == nil; n++ {
		WantNil(t, "Commit", s.Commit())
	}
	if n == 0 {
		t.Fatal("no message fits")
	}
	WantError(t, "Reserve of a full pipe", Second(s.Reserve(Expired, 1000)), context.Canceled)
	done := Async(func() error { return Second(s.Reserve(context.Background(), 1000)) })
	AwaitAsleep(t, os.Getpid(), 1)
	for range n {
		Must(r.Receive(t.Context()))(t)
	}
	WantNil(t, "Release", r.Release())
	WantNil(t, "Reserve", Await(t, done, "sender"))

	// Next sends the reserved message even if there is no space for the next one.
	WantNil(t, "Commit", s.Commit())
	for n = 1; Second(s.Next(Expired, 1000)) == nil; n++ {
	}
	WantError(t, "Commit", s.Commit(), ring.ErrNothingReserved)
	done = Async(func() error { return Second(s.Next(context.Background(), 1000)) })
	AwaitAsleep(t, os.Getpid(), 1)
	for range n {
		Must(r.Receive(t.Context()))(t)
	}
	WantError(t, "Receive", Second(r.Receive(Expired)), context.Canceled)
	WantNil(t, "Next", Await(t, done, "sender"))
}

func testTurnEnd(t *testing.T, a, b *ring.Conn) {
	s, r := turn(t, a, b)
	commit(t, s, []byte("last"))
	WantNil(t, "Close", s.Close())
	WantNil(t, "Close", a.Close())
	next(t, r, []byte("last"))
	WantError(t, "Receive", Second(r.Receive(t.Context())), io.EOF)
	WantError(t, "Sender", Second(b.Sender(t.Context())), ring.ErrBrokenPipe)
}

// The methods of a Sender or Receiver return ErrClosed after its end was closed, also those that
// wait.
func testTurnClosed(t *testing.T, a, b *ring.Conn) {
	s, r := turn(t, a, b)
	Must(s.Reserve(t.Context(), 1))(t)
	got := Async(func() error { return Second(r.Receive(context.Background())) })
	AwaitAsleep(t, os.Getpid(), 1)
	WantNil(t, "Close", b.Close())
	WantError(t, "Receive of a closed end", Await(t, got, "receiver"), ring.ErrClosed)
	WantNil(t, "Close", a.Close())
	WantError(t, "Commit to a closed end", s.Commit(), ring.ErrClosed)
	WantError(t, "Reserve", Second(s.Reserve(t.Context(), 1)), ring.ErrClosed)
	WantError(t, "Next", Second(s.Next(t.Context(), 1)), ring.ErrClosed)
}

// TestTurnsInClosedSegment shows that the methods of a Sender or Receiver return ErrClosed after
// the segment was closed.
func TestTurnsInClosedSegment(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		a, b := newPipe(t, seg, 4096)
		s, r := turn(t, a, b)
		for range 3 { // so that the next calls take the fast way
			commit(t, s, []byte("1"))
			next(t, r, []byte("1"))
		}
		commit(t, s, []byte("2"))
		Must(s.Reserve(t.Context(), 1))(t)
		WantNil(t, "Close", seg.Close())
		WantError(t, "Commit", s.Commit(), ring.ErrClosed)
		WantError(t, "Next", Second(s.Next(t.Context(), 1)), ring.ErrClosed)
		WantError(t, "Reserve", Second(s.Reserve(t.Context(), 1)), ring.ErrClosed)
		WantError(t, "Receive", Second(r.Receive(t.Context())), ring.ErrClosed)
		WantError(t, "Release", r.Release(), ring.ErrClosed)
	})
}
