package ring_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
)

// ack tells the test that the victim is done with v.
func (in *crashArgs) ack(ctx context.Context, v uint64) error {
	return in.Acks.Send(ctx, binary.LittleEndian.AppendUint64(nil, v))
}

var crashHolder = proc.Register("crash holder", func(ctx context.Context, in crashArgs) (int, error) {
	for i := range in.Count {
		l, err := in.Queue.Lease(ctx)
		if err != nil {
			return i, err
		}
		v := l.Value()
		if err := errors.Join(l.Done(), in.ack(ctx, v)); err != nil {
			return i, err
		}
	}
	return in.Count, nil
})

var crashReturner = proc.Register("crash returner", func(ctx context.Context, in crashArgs) (int, error) {
	for i := range in.Count {
		l, err := in.Queue.Lease(ctx)
		if err == nil {
			err = l.Return()
		}
		if err != nil {
			return i, err
		}
	}
	return in.Count, nil
})

var crashWorker = proc.Register("crash worker", func(ctx context.Context, in crashArgs) (int, error) {
	for i := range in.Count {
		v, err := in.Queue.Get(ctx)
		if err != nil {
			return i, err
		}
		if err := errors.Join(in.Queue.TaskDone(), in.ack(ctx, v)); err != nil {
			return i, err
		}
	}
	return in.Count, nil
})

var crashJoiner = proc.Register("crash joiner", func(ctx context.Context, in crashArgs) (int, error) {
	return 0, in.Queue.Join(ctx)
})

var crashBatcher = proc.Register("crash batcher", func(ctx context.Context, in crashArgs) (int, error) {
	return in.Queue.PutMany(ctx, count(0, in.Count))
})

// TestHolderDies kills a process at each step of a lease and of a task. What it was not done with is
// done by this process, and Join returns then.
func TestHolderDies(t *testing.T) {
	for _, test := range []struct {
		task     *proc.Task[crashArgs, int]
		joinable bool
		point    crash.Point
		missing  int // how many values may be done without an acknowledgement
	}{
		{crashHolder, false, crash.QueueGetClaimed, 0},
		{crashHolder, false, crash.QueueGetHelped, 0},
		{crashHolder, false, crash.QueueLeaseDone, 1},
		{crashReturner, false, crash.QueueLeaseReturned, 0},
		{crashReturner, false, crash.QueueLeaseTold, 0},
		{crashReturner, false, crash.QueueGetAdopted, 0},
		{crashWorker, true, crash.QueueGetClaimed, 0},
		{crashWorker, true, crash.QueueGetCopied, 0},
		{crashWorker, true, crash.QueueLeaseDone, 1},
		{crashJoiner, true, crash.QueueJoinWaiting, 0},
		{crashJoiner, false, crash.QueueJoinWaiting, 0},
	} {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%v/%d", test.task.Name(), test.point, n), func(t *testing.T) {
				if test.point == crash.QueueJoinWaiting && n > 1 {
					t.Skip("how often it waits is up to the scheduler; its first wait is tested")
				}
				s := newCrashScene(t)
				if test.joinable {
					s.queue = newJoinable(t, s.seg, "tasks", crashCapacity)
				}
				var put []uint64
				for i := range uint64(crashCapacity) {
					WantNil(s, "Put", s.queue.Put(s.ctx, i))
					put = append(put, i)
				}
				Killed(s, StartToDie(s, test.task, crashArgs{Queue: s.queue, Acks: s.given, Count: 100}, test.point, n))
				got := s.acked()
				joined := Async(func() error { return s.queue.Join(s.ctx) })
				WantNil(s, "Shutdown", s.queue.Shutdown())
				for {
					v, err := s.queue.Get(s.ctx)
					if errors.Is(err, ring.ErrShutdown) {
						break
					}
					WantNil(s, "Get", err)
					got = append(got, v)
					if test.joinable {
						WantNil(s, "TaskDone", s.queue.TaskDone())
					}
				}
				slices.Sort(got) // what came back may be late
				s.check(put, got, test.missing, 0)
				WantNil(s, "Join", Await(t, joined, "Join"))
			})
		}
	}
}

// TestBatcherDies kills a process at each step of PutMany. Some first values of its batch are there.
func TestBatcherDies(t *testing.T) {
	for point := range crash.Points(crash.QueuePutClaimed, crash.QueuePutReady) {
		for n := 1; n <= crashCapacity-1; n++ {
			if n > 1 && (point == crash.QueuePutHelped || point == crash.QueuePutCopied) {
				continue // it passes that once
			}
			t.Run(fmt.Sprintf("%v/%d", point, n), func(t *testing.T) {
				s := newCrashScene(t)
				Killed(s, StartToDie(s, crashBatcher, crashArgs{Queue: s.queue, Count: crashCapacity - 1}, point, n))
				WantNil(s, "Put", s.queue.Put(s.ctx, 7777))
				want := []uint64{7777}
				if point == crash.QueuePutReady {
					want = append(count(0, n), 7777)
				}
				if got := s.drain(); !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
				s.checkQueue()
			})
		}
	}
}
