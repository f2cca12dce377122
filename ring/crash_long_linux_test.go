package ring_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
)

// longRecord returns message i of n bytes.
func longRecord(i, n int) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(i)), pattern(make([]byte, n-8), i)...)
}

// longRecordSize is more than the size of the ring.
const longRecordSize = 5000

// recordNumber returns the number of a message of longRecord or record.
func recordNumber(msg []byte) (uint64, error) {
	if len(msg) == 1000 {
		return binary.LittleEndian.Uint64(msg), nil
	}
	if i := binary.LittleEndian.Uint64(msg); i < 1000 {
		if slices.Equal(msg, longRecord(int(i), len(msg))) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("a torn message of %d bytes", len(msg))
}

var crashLongSender = proc.Register("crash long sender", func(ctx context.Context, in crashArgs) (int, error) {
	for i := range in.Count {
		if err := in.Data.Send(ctx, longRecord(i, longRecordSize)); err != nil {
			return i, err
		}
		if err := in.Queue.Put(ctx, uint64(i)); err != nil {
			return i, err
		}
	}
	return in.Count, nil
})

var crashLongReceiver = proc.Register("crash long receiver", func(ctx context.Context, in crashArgs) (int, error) {
	for i := range in.Count {
		msg, err := in.Data.Receive(ctx)
		if err != nil {
			return i, err
		}
		v, err := recordNumber(msg)
		if err != nil {
			return i, err
		}
		if err := in.Queue.Put(ctx, v); err != nil {
			return i, err
		}
	}
	return in.Count, nil
})

// crashGivingUp gives up sending before and after the receiver has claimed the message.
var crashGivingUp = proc.Register("crash giving up", crashGiveUp)

func crashGiveUp(ctx context.Context, in crashArgs) (int, error) {
	much := muchMore()
	for range in.Count {
		brief, cancel := context.WithTimeout(ctx, time.Millisecond)
		err := in.Data.Send(brief, much)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			return 0, fmt.Errorf("send of a message that is too long for its time: %w", err)
		}
	}
	return in.Count, nil
}

// crashGivingUpSecond gives up sending behind a message that nobody has received.
var crashGivingUpSecond = proc.Register("crash giving up second", func(ctx context.Context, in crashArgs) (int, error) {
	if err := in.Data.Send(ctx, record(1)); err != nil {
		return 0, err
	}
	return crashGiveUp(ctx, in)
})

// crashRefusing gives up receiving, unless the whole message is there by then.
var crashRefusing = proc.Register("crash refusing", func(ctx context.Context, in crashArgs) (int, error) {
	expired, cancel := context.WithCancel(ctx)
	cancel()
	for {
		msg, err := in.Data.Receive(expired)
		if errors.Is(err, context.Canceled) {
			continue
		}
		if err != nil {
			return 0, err
		}
		v, err := recordNumber(msg)
		if err != nil {
			return 0, err
		}
		if err := in.Queue.Put(ctx, v); err != nil {
			return 0, err
		}
	}
})

// TestLongSenderDies kills the sender of long messages at each step. Another holder of its end goes
// on.
func TestLongSenderDies(t *testing.T) {
	for _, way := range []struct {
		first, last crash.Point
		task        *proc.Task[crashArgs, int]
	}{
		{crash.PipePieceCopied, crash.PipePieceMoved, crashLongSender},
		{crash.PipeAborted, crash.PipeAborted, crashGivingUp},
	} {
		eachDeath(t, way.first, way.last, []*proc.Task[crashArgs, int]{way.task}, func(s *pipeScene, victim *proc.Call[int]) {
			t, a, b := s.T, s.a, s.b
			received := make(chan []uint64, 1)
			go func() {
				var got []uint64
				defer func() { received <- got }()
				for {
					msg, err := a.Receive(s.ctx)
					if err != nil {
						t.Errorf("Receive hangs on a dead sender: %v", err)
						return
					}
					v, err := recordNumber(msg)
					if err != nil {
						t.Error(err)
					}
					if v == 7777 {
						return
					}
					got = append(got, v)
				}
			}()
			Killed(s, victim)
			if err := b.Send(s.ctx, record(7777)); err != nil {
				t.Fatalf("Send hangs on a dead sender: %v", err)
			}
			got := <-received
			s.check(s.acked(), got, 0, 1)
			s.checkPipe(a, b)
			b.Close()
			if _, err := a.Receive(s.ctx); err != io.EOF {
				t.Errorf("Receive when no process holds the other end: %v, want EOF", err)
			}
		})
	}
}

// TestLongSenderDiesTakingBack kills a sender that takes its message back: the first in the ring, and
// one behind a message that nobody has received. The end's other holder goes on.
func TestLongSenderDiesTakingBack(t *testing.T) {
	first, second := []*proc.Task[crashArgs, int]{crashGivingUp}, []*proc.Task[crashArgs, int]{crashGivingUpSecond}
	eachDeath(t, crash.PipeTailBack, crash.PipeTailBack, first, func(s *pipeScene, victim *proc.Call[int]) {
		Killed(s, victim)
		// The message is there until its sender is known to be dead.
		Eventually(s, "the message is not there", func() bool { return errors.Is(s.a.TryPoll(), ring.ErrEmpty) })
		s.checkPipe(s.a, s.b)
	})
	eachDeath(t, crash.PipeTakenBack, crash.PipeTakenBack, first, func(s *pipeScene, victim *proc.Call[int]) {
		Killed(s, victim)
		if err := s.a.TryPoll(); !errors.Is(err, ring.ErrEmpty) {
			s.Errorf("TryPoll after the message was taken back: %v", err)
		}
		s.checkPipe(s.a, s.b)
	})
	eachDeath(t, crash.PipeTailBack, crash.PipeTakenBack, second, func(s *pipeScene, victim *proc.Call[int]) {
		Killed(s, victim)
		sent := Async(func() error { return s.b.Send(s.ctx, record(2)) })
		for _, want := range []uint64{1, 2} {
			msg, err := s.a.Receive(s.ctx)
			WantNil(s, "Receive", err)
			Want(s, "message", Must(recordNumber(msg))(s), want)
		}
		WantNil(s, "Send", Await(s, sent, "Send"))
		s.checkPipe(s.a, s.b)
	})
}

// TestLongReceiverDies kills the receiver of long messages at each step. Another holder of its end
// receives the rest.
func TestLongReceiverDies(t *testing.T) {
	for _, way := range []struct {
		first, last crash.Point
		task        *proc.Task[crashArgs, int]
		count, size int // of the messages; this process receives the last ones
		missing     int
	}{
		{crash.PipeClaimed, crash.PipePieceFreed, crashLongReceiver, 16, longRecordSize, 1},
		// These are so long that the victim gives up many times before it has received one.
		{crash.PipeAgain, crash.PipeAgain, crashRefusing, 2, 1 << 20, 0},
	} {
		eachDeath(t, way.first, way.last, []*proc.Task[crashArgs, int]{way.task}, func(s *pipeScene, victim *proc.Call[int]) {
			t, a, b := s.T, s.a, s.b
			done := make(chan error, 1)
			go func() {
				for i := range way.count {
					if err := a.Send(s.ctx, longRecord(i, way.size)); err != nil {
						done <- err
						return
					}
				}
				done <- a.Send(s.ctx, record(7777))
			}()
			Killed(s, victim)
			var put []uint64
			for i := range uint64(way.count) {
				put = append(put, i)
			}
			got := s.acked()
			for {
				msg, err := b.Receive(s.ctx)
				if err != nil {
					t.Fatalf("Receive hangs on a dead receiver: %v, got %v", err, got)
				}
				v, err := recordNumber(msg)
				if err != nil {
					t.Fatal(err)
				}
				if v == 7777 {
					break
				}
				got = append(got, v)
			}
			if err := <-done; err != nil {
				t.Fatalf("Send hangs on a dead receiver: %v", err)
			}
			s.check(put, got, way.missing, 0)
			s.checkPipe(a, b)
		})
	}
}
