//go:build linux

package ring_test

import (
	"context"
	"errors"
	"os"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
)

// commitQuiet sends msg by CommitQuiet.
func commitQuiet(t testing.TB, s *ring.Sender, msg string) {
	t.Helper()
	copy(Must(s.Reserve(Within(t), len(msg)))(t), msg)
	WantNil(t, "CommitQuiet", s.CommitQuiet())
}

// TestCommitQuiet shows that CommitQuiet sends at once, and leaves a receiver asleep until something
// else wakes it.
func TestCommitQuiet(t *testing.T) {
	for _, tt := range []struct {
		name string
		wake func(t *testing.T, s *ring.Sender)
	}{
		{"Wake", func(t *testing.T, s *ring.Sender) { s.Wake() }},
		{"Close", func(t *testing.T, s *ring.Sender) { WantNil(t, "Close", s.Close()) }},
		{"Commit", func(t *testing.T, s *ring.Sender) {
			Must(s.Reserve(Within(t), 0))(t)
			WantNil(t, "Commit", s.Commit())
		}},
		{"Next", func(t *testing.T, s *ring.Sender) {
			Must(s.Reserve(Within(t), 0))(t)
			Must(s.Next(Within(t), 1))(t)
		}},
		{"full", func(t *testing.T, s *ring.Sender) {
			for {
				_, err := s.Reserve(Expired, 100)
				if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
					return
				}
				WantNil(t, "Reserve", err)
				WantNil(t, "CommitQuiet", s.CommitQuiet())
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seg := Blocking(t, 1<<20) // so that a waiter sleeps at once
			a, b := newPipe(t, seg, 4096)
			s := Closing(t, Must(a.Sender(Within(t)))(t))
			commitQuiet(t, s, "awake")
			Want(t, "message", string(Must(b.TryReceive())(t)), "awake")

			got := Async(func() string { return string(Must(b.Receive(Within(t)))(t)) })
			AwaitAsleep(t, os.Getpid(), 1)
			before := ring.ReceiversWoken(a)
			commitQuiet(t, s, "asleep")
			Want(t, "wakes by CommitQuiet", ring.ReceiversWoken(a), before)
			Want(t, "Asleep", s.Asleep(), true)
			tt.wake(t, s)
			Want(t, "message", Await(t, got, "Receive"), "asleep")
			s.Wake()
			Want(t, "Asleep after Wake", s.Asleep(), false)
		})
	}
}

// TestReady shows that Ready tells a message from none, and keeps the one in hand.
func TestReady(t *testing.T) {
	a, b := newPipe(t, Anonymous(t, 1<<20), 4096)
	ctx := Within(t)
	r := Closing(t, Must(b.Receiver(ctx))(t))
	Want(t, "at first", r.Ready(), false)
	for range 3 {
		WantNil(t, "Send", a.Send(ctx, []byte("one")))
	}
	msg := Must(r.Receive(ctx))(t)
	Want(t, "after the first", r.Ready(), true)
	Want(t, "message in hand", string(msg), "one")
	Must(r.Receive(ctx))(t)
	Want(t, "after the second", r.Ready(), true)
	Must(r.Receive(ctx))(t)
	Want(t, "after the last", r.Ready(), false)
	WantNil(t, "Send", a.Send(ctx, nil))
	Want(t, "after another Send", r.Ready(), true)
	WantNil(t, "Close", r.Close())
	Want(t, "after Close", r.Ready(), false)
}
