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

// crashSpans is how many values the batches of the following tests have. The first one has a slot that is
// claimed alone, those up to spanEnds ones of a span, and all that follow them another span.
const (
	crashSpans = 32
	spanEnds   = 16
)

var crashManyGetter = proc.Register("crash many getter", func(ctx context.Context, in crashArgs) (int, error) {
	return in.Queue.GetMany(ctx, make([]uint64, crashSpans))
})

// TestSpanPutterDies kills a process at each step of PutMany of two spans. Those before the one that it
// was publishing are there.
func TestSpanPutterDies(t *testing.T) {
	for _, test := range []struct {
		point crash.Point
		n     int
		left  int // how many values
	}{
		{crash.QueuePutClaimed, 1, 0}, {crash.QueuePutClaimed, 2, 0}, {crash.QueuePutClaimed, 3, 0},
		{crash.QueuePutCopied, 1, 0},
		{crash.QueuePutReady, 1, 1}, {crash.QueuePutReady, 2, 1}, {crash.QueuePutReady, spanEnds - 1, 1},
		{crash.QueuePutReady, spanEnds, spanEnds}, {crash.QueuePutReady, spanEnds + 1, spanEnds},
		{crash.QueuePutReady, crashSpans, crashSpans},
	} {
		t.Run(fmt.Sprintf("%v/%d", test.point, test.n), func(t *testing.T) {
			s := newSpanScene(t)
			Killed(s, StartToDie(s, crashBatcher, crashArgs{Queue: s.queue, Count: crashSpans}, test.point, test.n))
			WantNil(s, "Put", s.queue.Put(s.ctx, 7777))
			wantValues(s, s.drain(), append(count(0, test.left), 7777))
			s.checkSpans()
		})
	}
}

// TestSpanGetterDies kills a process at each step of GetMany of two spans. The values whose slots it has
// not given back are there.
func TestSpanGetterDies(t *testing.T) {
	for _, test := range []struct {
		point crash.Point
		n     int
		lost  int // how many of the first values
	}{
		{crash.QueueGetClaimed, 1, 0}, {crash.QueueGetClaimed, 2, 0}, {crash.QueueGetClaimed, 3, 0},
		{crash.QueueGetCopied, 1, 0},
		{crash.QueueGetFreed, 1, 1}, {crash.QueueGetFreed, spanEnds, spanEnds}, {crash.QueueGetFreed, crashSpans, crashSpans},
	} {
		t.Run(fmt.Sprintf("%v/%d", test.point, test.n), func(t *testing.T) {
			s := newSpanScene(t)
			Must(s.queue.PutMany(s.ctx, count(0, crashSpans)))(t)
			Killed(s, StartToDie(s, crashManyGetter, crashArgs{Queue: s.queue}, test.point, test.n))
			WantNil(s, "Put", s.queue.Put(s.ctx, 7777))
			wantValues(s, s.sorted(), append(count(uint64(test.lost), crashSpans-test.lost), 7777))
			s.checkSpans()
		})
	}
	t.Run("within a span", func(t *testing.T) {
		s := newSpanScene(t)
		Must(s.queue.PutMany(s.ctx, count(0, crashSpans)))(t)
		Killed(s, StartToDie(s, crashManyGetter, crashArgs{Queue: s.queue}, crash.QueueGetFreed, 3))
		left := append([]uint64{1}, count(4, crashSpans-4)...) // 0, 2 and 3 were given back
		wantValues(s, s.sorted(), left)
		s.checkSpans()
	})
}

// TestSpanHeirDies kills a process while it undoes the claim of a span whose owner was killed. The next one
// undoes the rest.
func TestSpanHeirDies(t *testing.T) {
	for _, n := range []int{1, 2, spanEnds - 2} {
		t.Run(fmt.Sprintf("of a putter/%d", n), func(t *testing.T) {
			s := newSpanScene(t)
			Killed(s, StartToDie(s, crashBatcher, crashArgs{Queue: s.queue, Count: crashSpans}, crash.QueuePutReady, 5))
			Killed(s, StartToDie(s, crashManyGetter, crashArgs{Queue: s.queue}, crash.QueueGetFreed, 1)) // the first value
			Killed(s, StartToDie(s, crashManyGetter, crashArgs{Queue: s.queue}, crash.QueueSpanUndone, n))
			WantNil(s, "Put", s.queue.Put(s.ctx, 7777))
			wantValues(s, s.drain(), []uint64{7777})
			s.checkSpans()
		})
		t.Run(fmt.Sprintf("of a getter/%d", n), func(t *testing.T) {
			s := newSpanScene(t)
			Must(s.queue.PutMany(s.ctx, count(0, crashSpans)))(t)
			Killed(s, StartToDie(s, crashManyGetter, crashArgs{Queue: s.queue}, crash.QueueGetCopied, 1))
			Killed(s, StartToDie(s, crashManyGetter, crashArgs{Queue: s.queue}, crash.QueueSpanUndone, n))
			wantValues(s, s.sorted(), count(1, crashSpans-1)) // the heir had given back the first one
			s.checkSpans()
		})
	}
}

// wantValues checks that got is want.
func wantValues(t testing.TB, got, want []uint64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// newSpanScene is newCrashScene with a queue in which batches of crashSpans values have spans.
func newSpanScene(t *testing.T) *crashScene {
	s := newCrashScene(t)
	s.queue = Must(ring.NewQueue[uint64](s.seg, "spans", crashSpans+1, nil))(t)
	return s
}

// sorted is drain, sorted: what came back may be late.
func (s *crashScene) sorted() []uint64 {
	s.Helper()
	return slices.Sorted(slices.Values(s.drain()))
}

// checkSpans checks that each slot of the queue, which is empty, can be used.
func (s *crashScene) checkSpans() {
	s.Helper()
	vs := make([]uint64, crashSpans+1)
	for range 3 {
		Want(s, "values put", Must(s.queue.TryPutMany(count(0, len(vs))))(s), len(vs))
		WantError(s, "TryPut", s.queue.TryPut(0), ring.ErrFull)
		Want(s, "values got", Must(s.queue.TryGetMany(vs))(s), len(vs))
		wantValues(s, vs, count(0, len(vs)))
	}
}
