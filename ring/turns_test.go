//go:build linux

package ring_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"

	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestTurns(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, a, b *ring.Conn)
	}{
		{"stream", testTurnStream},
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

// revoke makes every visit of a's sending and b's receiving side take the lock.
func revoke(t *testing.T, a, b *ring.Conn) {
	t.Helper()
	for range 2 {
		await(t, async(func() error {
			wantNil(t, "TrySend", a.TrySend(nil))
			receive(t, b, nil)
			return nil
		}), "revocation")
		wantNil(t, "TrySend", a.TrySend(nil))
		receive(t, b, nil)
	}
}

// turn takes both sides.
func turn(t *testing.T, a, b *ring.Conn) (*ring.Sender, *ring.Receiver) {
	t.Helper()
	return closing(t, must(a.Sender(within(t)))(t)), closing(t, must(b.Receiver(within(t)))(t))
}

// commit sends msg.
func commit(t *testing.T, s *ring.Sender, msg []byte) {
	t.Helper()
	b := must(s.Reserve(within(t), len(msg)))(t)
	if len(b) != len(msg) || cap(b) != len(msg) {
		t.Fatalf("Reserve(%d) has %d bytes of %d", len(msg), len(b), cap(b))
	}
	copy(b, msg)
	wantNil(t, "Commit", s.Commit())
}

// next receives msg.
func next(t *testing.T, r *ring.Receiver, msg []byte) {
	t.Helper()
	if got := must(r.Receive(within(t)))(t); !bytes.Equal(got, msg) {
		t.Fatalf("Receive: %.20q of %d bytes, want %.20q of %d", got, len(got), msg, len(msg))
	}
}

// Messages of all lengths, around the end of the ring many times, with both
// sides given back and taken again now and then.
func testTurnStream(t *testing.T, a, b *ring.Conn) {
	const n = 4000
	ctx := within(t)
	sent := async(func() error {
		for i := 0; i < n; {
			s, err := a.Sender(ctx)
			if err != nil {
				return err
			}
			for range min(1+i%97, n-i) {
				msg, err := s.Reserve(ctx, i%601)
				if err != nil {
					return err
				}
				pattern(msg, i)
				if err := s.Commit(); err != nil {
					return err
				}
				i++
			}
			if err := s.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	for i := 0; i < n; {
		r := must(b.Receiver(ctx))(t)
		for range min(1+i%89, n-i) {
			next(t, r, pattern(make([]byte, i%601), i))
			i++
		}
		wantNil(t, "Release", r.Release())
		wantNil(t, "Close", r.Close())
	}
	wantNil(t, "sender", await(t, sent, "sender"))
	if msg, err := b.TryReceive(); err != ring.ErrEmpty {
		t.Errorf("%q, %v is left", msg, err)
	}
}

// What is reserved is not there before Commit, nor after another Reserve or
// Close.
func testReserved(t *testing.T, a, b *ring.Conn) {
	s, r := turn(t, a, b)
	for range 200 {
		copy(must(s.Reserve(t.Context(), 100))(t), "never")
		wantError(t, "Receive of what is only reserved", second(r.Receive(expired)), context.Canceled)
		commit(t, s, []byte("sent"))
		next(t, r, []byte("sent"))
	}
	must(s.Reserve(t.Context(), 5))(t)
	wantNil(t, "Close", s.Close())
	wantError(t, "Receive", second(r.Receive(expired)), context.Canceled)
}

// A message in hand is received by Receive or Release, and stays otherwise.
func testInHand(t *testing.T, a, b *ring.Conn) {
	s, r := turn(t, a, b)
	for _, msg := range []string{"1", "2", "3"} {
		commit(t, s, []byte(msg))
	}
	next(t, r, []byte("1"))
	next(t, r, []byte("2"))
	wantNil(t, "Close", r.Close())
	receive(t, b, []byte("2"))
	r = must(b.Receiver(t.Context()))(t)
	next(t, r, []byte("3"))
	wantNil(t, "Release", r.Release())
	wantNil(t, "Release of nothing", r.Release())
	wantNil(t, "Close", r.Close())
	wantError(t, "TryReceive", second(b.TryReceive()), ring.ErrEmpty)
}

func testTurnMisuse(t *testing.T, a, b *ring.Conn) {
	s, r := turn(t, a, b)
	wantError(t, "Commit of nothing", s.Commit(), ring.ErrNothingReserved)
	for _, n := range []int{-1, -9, -1 << 31, a.Limit() + 1, 1 << 30} {
		wantError(t, "Reserve", second(s.Reserve(t.Context(), n)), ring.ErrTooLarge)
		wantError(t, "Commit", s.Commit(), ring.ErrNothingReserved)
	}
	commit(t, s, pattern(make([]byte, a.Limit()), 1))
	wantError(t, "second Commit", s.Commit(), ring.ErrNothingReserved)
	next(t, r, pattern(make([]byte, a.Limit()), 1))
	for range 2 {
		wantNil(t, "Close", s.Close())
		wantNil(t, "Close", r.Close())
	}
	wantError(t, "Commit after Close", s.Commit(), ring.ErrClosed)
	wantError(t, "Reserve after Close", second(s.Reserve(t.Context(), 1)), ring.ErrClosed)
	wantError(t, "Receive after Close", second(r.Receive(t.Context())), ring.ErrClosed)
	wantError(t, "Release after Close", r.Release(), ring.ErrClosed)
}

func testSenderExcludes(t *testing.T, a, b *ring.Conn) {
	s := closing(t, must(a.Sender(t.Context()))(t))
	await(t, async(func() error {
		wantError(t, "TrySend", a.TrySend(nil), ring.ErrBusy)
		wantError(t, "Sender, expired", second(a.Sender(expired)), context.Canceled)
		return nil
	}), "sender that does not wait")
	sent := async(func() error { return a.Send(context.Background(), []byte("second")) })
	awaitAsleep(t, os.Getpid(), 1)
	commit(t, s, []byte("first"))
	receive(t, b, []byte("first"))
	wantNil(t, "Close", s.Close())
	wantNil(t, "Send", await(t, sent, "sender that waits for its turn"))
	receive(t, b, []byte("second"))
}

func testReceiverExcludes(t *testing.T, a, b *ring.Conn) {
	r := closing(t, must(b.Receiver(t.Context()))(t))
	await(t, async(func() error {
		wantError(t, "TryReceive", second(b.TryReceive()), ring.ErrBusy)
		wantError(t, "Receiver, expired", second(b.Receiver(expired)), context.Canceled)
		return nil
	}), "receiver that does not wait")
	received := async(func() error {
		receive(t, b, []byte("second"))
		return nil
	})
	awaitAsleep(t, os.Getpid(), 1)
	for _, msg := range []string{"first", "second"} {
		wantNil(t, "TrySend", a.TrySend([]byte(msg)))
	}
	next(t, r, []byte("first"))
	wantNil(t, "Release", r.Release())
	wantNil(t, "Close", r.Close())
	await(t, received, "receiver that waits for its turn")
}

// Both sides wait, and are woken.
func testTurnWaits(t *testing.T, a, b *ring.Conn) {
	s, r := turn(t, a, b)
	got := async(func() error { return second(r.Receive(context.Background())) })
	awaitAsleep(t, os.Getpid(), 1)
	commit(t, s, nil)
	wantNil(t, "Receive", await(t, got, "receiver"))
	wantNil(t, "Release", r.Release())

	n := 0
	for ; second(s.Reserve(expired, 1000)) == nil; n++ {
		wantNil(t, "Commit", s.Commit())
	}
	if n == 0 {
		t.Fatal("nothing fits")
	}
	wantError(t, "Reserve of a full pipe", second(s.Reserve(expired, 1000)), context.Canceled)
	done := async(func() error { return second(s.Reserve(context.Background(), 1000)) })
	awaitAsleep(t, os.Getpid(), 1)
	for range n {
		must(r.Receive(t.Context()))(t)
	}
	wantNil(t, "Release", r.Release())
	wantNil(t, "Reserve", await(t, done, "sender"))
}

func testTurnEnd(t *testing.T, a, b *ring.Conn) {
	s, r := turn(t, a, b)
	commit(t, s, []byte("last"))
	wantNil(t, "Close", s.Close())
	wantNil(t, "Close", a.Close())
	next(t, r, []byte("last"))
	wantError(t, "Receive", second(r.Receive(t.Context())), io.EOF)
	wantError(t, "Sender", second(b.Sender(t.Context())), ring.ErrBrokenPipe)
}

// Who has a side learns that its end was closed, also when it waits.
func testTurnClosed(t *testing.T, a, b *ring.Conn) {
	s, r := turn(t, a, b)
	must(s.Reserve(t.Context(), 1))(t)
	got := async(func() error { return second(r.Receive(context.Background())) })
	awaitAsleep(t, os.Getpid(), 1)
	wantNil(t, "Close", b.Close())
	wantError(t, "Receive of a closed end", await(t, got, "receiver"), ring.ErrClosed)
	wantNil(t, "Close", a.Close())
	wantError(t, "Commit to a closed end", s.Commit(), ring.ErrClosed)
	wantError(t, "Reserve", second(s.Reserve(t.Context(), 1)), ring.ErrClosed)
}
