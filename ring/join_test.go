//go:build linux

package ring_test

import (
	"context"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestJoin(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"J01_join_returns_when_all_done", testJoinAll},
		{"J02_too_many_done", testTooManyDone},
		{"J03_worker_dies", testJoinDeath},
		{"not_joinable", testJoinPlain},
		{"tasks_that_make_tasks", testJoinRecursive},
		{"order_of_done", testTaskDoneOrder},
		{"batch", testTaskBatch},
		{"close", testJoinClose},
		{"reservation_and_lease", testJoinReservation},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

func newJoinable(t testing.TB, seg *shm.Segment, name string, capacity int) *ring.Queue[uint64] {
	t.Helper()
	return Closing(t, Must(ring.NewQueue(seg, name, capacity, &ring.QueueOptions[uint64]{Joinable: true}))(t))
}

func joining(t testing.TB, q *ring.Queue[uint64]) <-chan error {
	return Async(func() error { return q.Join(Within(t)) })
}

// wantUnfinished checks that Join does not return.
func wantUnfinished(t testing.TB, q *ring.Queue[uint64]) {
	t.Helper()
	WantError(t, "Join", q.Join(Expired), context.Canceled)
}

func testJoinAll(t *testing.T, seg *shm.Segment) {
	const tasks, workers = 10, 4
	q := newJoinable(t, seg, "", tasks)
	WantNil(t, "Join of an empty queue", q.Join(Expired))
	for round := range 5 {
		putEach(t, q, count(0, tasks)...)
		joined := joining(t, q)
		All(t, "workers", workers, func(int) error {
			for {
				if err := Second(q.TryGet()); err != nil {
					return nil
				}
				if round < 3 {
					wantUnfinished(t, q)
				}
				if err := q.TaskDone(); err != nil {
					return err
				}
			}
		})
		WantNil(t, "Join", Await(t, joined, "Join"))
		WantNil(t, "Join", q.Join(Expired))
	}
}

func testTooManyDone(t *testing.T, seg *shm.Segment) {
	q := newJoinable(t, seg, "", 2)
	WantError(t, "TaskDone", q.TaskDone(), ring.ErrTooManyDone)
	putEach(t, q, 1, 2)
	WantError(t, "TaskDone before Get", q.TaskDone(), ring.ErrTooManyDone)
	Must(q.Get(Within(t)))(t)
	WantNil(t, "TaskDone", q.TaskDone())
	WantError(t, "TaskDone", q.TaskDone(), ring.ErrTooManyDone)
	wantUnfinished(t, q)
	Must(q.Get(Within(t)))(t)
	WantError(t, "Put beside a task that is not done", q.TryPut(3), nil)
	WantNil(t, "TaskDone", q.TaskDone())
	Want(t, "the value", Must(q.Get(Within(t)))(t), 3)
	WantNil(t, "TaskDone", q.TaskDone())
	WantNil(t, "Join", q.Join(Expired))
}

// testJoinDeath shows that the task of a worker that dies goes to another, and Join waits for it.
func testJoinDeath(t *testing.T, seg *shm.Segment) {
	q := newJoinable(t, seg, "q", 4)
	for range 3 {
		far := Attach(t, seg)
		other := Closing(t, Must(ring.OpenQueue[uint64](far, "q"))(t))
		putEach(t, q, 1, 2, 3)
		Want(t, "the value", Must(other.Get(Within(t)))(t), 1)
		Want(t, "the value", Must(other.Get(Within(t)))(t), 2)
		WantNil(t, "TaskDone", other.TaskDone())
		joined := joining(t, q)
		Dies(t, seg, far)
		for _, want := range []uint64{2, 3} {
			wantUnfinished(t, q)
			Want(t, "the value", Must(q.Get(Within(t)))(t), want)
			WantNil(t, "TaskDone", q.TaskDone())
		}
		WantNil(t, "Join", Await(t, joined, "Join"))
	}
}

func testJoinPlain(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 4)
	putEach(t, q, 1, 2)
	joined := joining(t, q)
	wantGot(t, q, 1, 2)
	WantNil(t, "Join", Await(t, joined, "Join"))
	WantError(t, "TaskDone", q.TaskDone(), ring.ErrTooManyDone)
	for range 20 {
		putEach(t, q, 3, 4)
		a, b := lease(t, q, 3), lease(t, q, 4)
		joined = joining(t, q)
		WantNil(t, "Done", b.Done())
		wantUnfinished(t, q)
		WantNil(t, "Done", a.Done())
		WantNil(t, "Join", Await(t, joined, "Join"))
	}
}

// testJoinRecursive has workers put what follows from a task before they mark it done. Join must not
// return in between, although each slot is free at times.
func testJoinRecursive(t *testing.T, seg *shm.Segment) {
	const depth, workers, capacity = 2000, 2, 64
	q := newJoinable(t, seg, "", capacity)
	for range 3 {
		done := NewCells(t, seg, 1)
		putEach(t, q, depth, depth)
		ctx, stop := context.WithCancel(Within(t))
		works := Async(func() error {
			All(t, "workers", workers, func(int) error {
				for v, err := range q.All(ctx) {
					if err != nil {
						return nil // stopped
					}
					if v > 0 {
						if err := q.Put(ctx, v-1); err != nil {
							return err
						}
					}
					done.Add(0)
					if err := q.TaskDone(); err != nil {
						return err
					}
				}
				return nil
			})
			return nil
		})
		All(t, "joiners", 2, func(i int) error {
			for i == 0 && q.Join(Expired) != nil { // looks all the time
			}
			if err := q.Join(ctx); err != nil {
				return err
			}
			Want(t, "tasks done when Join returned", done.At(0).Load(), 2*(depth+1))
			return nil
		})
		stop()
		Await(t, works, "workers")
	}
}

func testTaskDoneOrder(t *testing.T, seg *shm.Segment) {
	q := newJoinable(t, seg, "q", 4)
	far := Attach(t, seg)
	other := Closing(t, Must(ring.OpenQueue[uint64](far, "q"))(t))
	putEach(t, q, 1, 2, 3)
	for want := range uint64(3) {
		Want(t, "the value", Must(other.Get(Within(t)))(t), want+1)
	}
	WantNil(t, "TaskDone", other.TaskDone())
	Dies(t, seg, far)
	wantGot(t, q, 2, 3)
}

func testTaskBatch(t *testing.T, seg *shm.Segment) {
	q := newJoinable(t, seg, "", 8)
	for range 5 {
		Must(q.PutMany(Within(t), count(0, 6)))(t)
		got := make([]uint64, 8)
		Want(t, "values got", Must(q.GetMany(Within(t), got))(t), 6)
		for range 6 {
			wantUnfinished(t, q)
			WantNil(t, "TaskDone", q.TaskDone())
		}
		WantNil(t, "Join", q.Join(Expired))
	}
}

// testJoinClose shows that tasks come back when their Queue is closed.
func testJoinClose(t *testing.T, seg *shm.Segment) {
	q := newJoinable(t, seg, "q", 4)
	other := Must(ring.OpenQueue[uint64](seg, "q"))(t)
	putEach(t, q, 1, 2)
	Must(other.Get(Within(t)))(t)
	WantNil(t, "Close", other.Close())
	WantError(t, "TaskDone", other.TaskDone(), ring.ErrClosed)
	WantError(t, "Join", other.Join(Within(t)), ring.ErrClosed)
	wantGot(t, q, 1, 2)
	joined := joining(t, q)
	WantNil(t, "Close", q.Close())
	WantError(t, "Join", Await(t, joined, "Join"), ring.ErrClosed)
}

// testJoinReservation shows that Join waits for what is not committed yet.
func testJoinReservation(t *testing.T, seg *shm.Segment) {
	q := Closing(t, Must(ring.NewQueue[uint64](seg, "q", 4, nil))(t))
	s := reserveValue(t, q, 1)
	joined := joining(t, q)
	wantUnfinished(t, q)
	s.Abort()
	WantNil(t, "Join", Await(t, joined, "Join"))

	far := Attach(t, seg)
	reserveValue(t, Closing(t, Must(ring.OpenQueue[uint64](far, "q"))(t)), 1)
	joined = joining(t, q)
	Dies(t, seg, far)
	WantNil(t, "Join", Await(t, joined, "Join"))
}
