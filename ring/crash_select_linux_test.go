package ring_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/poll"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
)

// TestSelectSenderDies kills the sender of a pipe at each step, while a process receives from it by Select and
// TryReceive. It gets all messages, and their end.
func TestSelectSenderDies(t *testing.T) {
	tasks := []*proc.Task[crashArgs, int]{crashSender, crashHoldingSender, crashStreamingSender}
	eachDeath(t, crash.PipeSendEntered, crash.PipeSendLeft, tasks, func(s *pipeScene, victim *proc.Call[int]) {
		type result struct {
			got []uint64
			err error
		}
		revoke(s.T, s.b, s.a)
		done := Async(func() (r result) {
			for {
				if _, r.err = poll.Select(s.ctx, s.a); r.err != nil {
					return r
				}
				msg, err := s.a.TryReceive()
				switch {
				case err == nil:
					r.got = append(r.got, binary.LittleEndian.Uint64(msg))
				case !errors.Is(err, ring.ErrEmpty):
					r.err = err
					return r
				}
			}
		})
		Killed(s, victim)
		WantNil(s.T, "Close", s.b.Close())
		r := Await(s.T, done, "the end of the messages")
		WantError(s.T, "TryReceive", r.err, io.EOF)
		s.check(s.acked(), r.got, 0, 1)
	})
}

// A Select does not return for a message that was received already, though its sender was stopped before it
// has moved the cursor.
func TestSelectStoppedSender(t *testing.T) {
	s := newPipeScene(t, false)
	revoke(t, s.b, s.a)
	p := StartToStop(t, crashSender, crashArgs{Queue: s.acks, Data: s.b, Acks: s.given, Count: 2}, crash.PipeSendPublished, 1)
	AwaitStopped(t, p)
	WantNil(t, "Select", Second(poll.Select(s.ctx, s.a)))
	Want(t, "the message", binary.LittleEndian.Uint64(Must(s.a.TryReceive())(t)), 0)
	short, cancel := context.WithTimeout(s.ctx, 100*time.Millisecond)
	defer cancel()
	WantError(t, "Select", Second(poll.Select(short, s.a)), context.DeadlineExceeded)
	Continue(t, p)
	WantNil(t, "Select", Second(poll.Select(s.ctx, s.a)))
	Want(t, "the message", binary.LittleEndian.Uint64(Must(s.a.TryReceive())(t)), 1)
	Want(t, "messages sent", Result(t, p), 2)
}
