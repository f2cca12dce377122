package sync_test

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// heldUp is the longest time by which a stopped process may delay others on a busy machine.
const heldUp = 10 * time.Second

// A stopJob is a child's argument: how it waits, and the objects that it uses.
type stopJob struct {
	Way  string
	Uses job
}

// stopWays are the ways in which children wait. Cell 0 counts the waits that have returned. A child
// that must be alone checks that it is.
var stopWays = map[string]func(ctx context.Context, j job) error{
	"Lock": func(ctx context.Context, j job) error {
		return j.Lock.With(ctx, func() error { return alone(j.Cells) })
	},
	"RLock": func(ctx context.Context, j job) error {
		return j.RLock.With(ctx, new(psync.Holder), func() error { return alone(j.Cells) })
	},
	"RWLock.Acquire": func(ctx context.Context, j job) error {
		if err := j.RWLock.Acquire(ctx); err != nil {
			return err
		}
		if err := alone(j.Cells); err != nil {
			return err
		}
		return j.RWLock.Release()
	},
	"RWLock.RAcquire": func(ctx context.Context, j job) error {
		if err := j.RWLock.RAcquire(ctx); err != nil {
			return err
		}
		j.Cells.Add(0)
		return j.RWLock.RRelease()
	},
	"Semaphore":   func(ctx context.Context, j job) error { return counted(j, j.Semaphore.Acquire(ctx)) },
	"Bounded":     func(ctx context.Context, j job) error { return counted(j, j.Bounded.Acquire(ctx)) },
	"Event":       func(ctx context.Context, j job) error { return counted(j, j.Event.Wait(ctx)) },
	"WaitGroup":   func(ctx context.Context, j job) error { return counted(j, j.Group.Wait(ctx)) },
	"Once":        func(ctx context.Context, j job) error { return counted(j, j.Once.Do(ctx, nothing)) },
	"Condition":   func(ctx context.Context, j job) error { return counted(j, waitOnce(ctx, j)) },
	"Barrier":     func(ctx context.Context, j job) error { _, err := j.Barrier.Wait(ctx); return counted(j, err) },
	"LockOnCue":   lockOnCue,
	"SetEvent":    func(ctx context.Context, j job) error { return j.Event.Set() },
	"GivePermit":  func(ctx context.Context, j job) error { return j.Semaphore.Release() },
	"TakeAndGive": func(ctx context.Context, j job) error { return takeAndGive(ctx, j) },
}

func counted(j job, err error) error {
	if err == nil {
		j.Cells.Add(0)
	}
	return err
}

// alone counts the child in cell 0. It fails if another child is in it at the same time.
func alone(c *Cells) error {
	if n := c.At(1).Add(1); n != 1 {
		return fmt.Errorf("%d hold the lock", n)
	}
	c.Add(0)
	time.Sleep(time.Millisecond) // so that another child can come
	c.At(1).Add(math.MaxUint32)
	return nil
}

func waitOnce(ctx context.Context, j job) error {
	if err := j.Lock.Acquire(ctx); err != nil {
		return err
	}
	j.Cells.Add(2)
	if err := j.Cond.Wait(ctx); err != nil {
		return err
	}
	return j.Lock.Release()
}

// lockOnCue acquires the lock, sets cell 1, and releases the lock when cell 1 is 0.
func lockOnCue(ctx context.Context, j job) error {
	return j.Lock.With(ctx, func() error {
		j.Cells.Set(1, 1)
		for j.Cells.At(1).Load() != 0 {
			if err := futex.Wait(ctx, j.Cells.At(1), 1); err != nil {
				return err
			}
		}
		return nil
	})
}

func takeAndGive(ctx context.Context, j job) error {
	if err := j.Bounded.Acquire(ctx); err != nil {
		return err
	}
	j.Cells.Add(0)
	return j.Bounded.Release()
}

var stopTask = task("to be stopped", func(ctx context.Context, j stopJob) error { return stopWays[j.Way](ctx, j.Uses) })

// A stopScene has the objects for which two children wait. The first child is stopped.
type stopScene struct {
	*testing.T
	job
	seg *shm.Segment
}

func newStopScene(t *testing.T) *stopScene {
	seg := Blocking(t, room)
	s := &stopScene{T: t, seg: seg}
	s.Lock = Closing(t, Must(psync.NewLock(seg, "lock", nil))(t))
	s.RLock = Closing(t, Must(psync.NewRLock(seg, "rlock", nil))(t))
	s.RWLock = Closing(t, Must(psync.NewRWLock(seg, "rwlock", nil))(t))
	s.Cond = Closing(t, Must(psync.NewCondition(seg, "cond", s.Lock, nil))(t))
	s.Semaphore = Closing(t, Must(psync.NewSemaphore(seg, "semaphore", 0))(t))
	s.Bounded = Closing(t, Must(psync.NewBoundedSemaphore(seg, "bounded", 1))(t))
	s.Event = Closing(t, Must(psync.NewEvent(seg, "event"))(t))
	s.Once = Closing(t, Must(psync.NewOnce(seg, "once"))(t))
	s.Barrier = Closing(t, Must(psync.NewBarrier(seg, "barrier", 3, nil))(t))
	s.Group = Closing(t, Must(psync.NewWaitGroup(seg, "group"))(t))
	s.Cells = NewCells(t, seg, 3)
	return s
}

// start starts a child, and returns when it sleeps.
func (s *stopScene) start(way string) *proc.Call[int] {
	s.Helper()
	inCondition, inBarrier := s.Cells.At(2).Load(), s.Barrier.Waiting()
	p := Start(s, stopTask, stopJob{way, s.job})
	switch way { // here the child must wait in the object already
	case "Condition":
		s.Cells.Await(s, 2, inCondition+1)                  // the child holds the lock
		WantNil(s, "With", s.Lock.With(Within(s), nothing)) // the child waits, and has released the lock
	case "Barrier":
		Eventually(s, "the child is at the barrier", func() bool { return s.Barrier.Waiting() > inBarrier })
	}
	AwaitAsleep(s, p.PID(), 1)
	return p
}

// goesOn waits until n waits have returned.
func (s *stopScene) goesOn(n uint32) {
	s.Helper()
	begin := time.Now()
	s.Cells.Await(s, 0, n)
	took := time.Since(begin)
	s.Logf("it took %v", took)
	if took > heldUp {
		s.Errorf("a stopped process has held up another for %v", took)
	}
}

// heir waits until a waiter claims to be the heir of the lock at offset off of an object.
func (s *stopScene) heir(kind shm.Kind, name string, print uint64, off int) {
	s.Helper()
	o := Must(object.Open(s.seg, kind, name, print))(s)
	Eventually(s, "a waiter is the heir", func() bool {
		return view.At[atomic.Uint64](o.Bytes(), off).Load()>>33 != 0
	})
	o.Close()
}

// The first of two waiters is stopped asleep, when it is the next one to be woken, or to which the
// lock will be handed over. The other one gets what it waits for all the same. Then the first one
// is continued, and gets it, too.
func TestStoppedWaiter(t *testing.T) {
	here := new(psync.Holder)
	inOnce, end := make(chan error, 1), make(chan struct{})
	for _, test := range []struct {
		first, other string
		before       func(*stopScene) error // makes both wait
		claims       func(*stopScene)       // waits until the first claims to be the heir
		give         func(*stopScene) error
		again        func(*stopScene) error // gives something to the first
	}{
		{first: "Lock", before: func(s *stopScene) error { return s.Lock.Acquire(Within(s)) },
			claims: func(s *stopScene) { s.heir(shm.KindLock, "lock", 1, 0) },
			give:   func(s *stopScene) error { return s.Lock.Release() }},
		{first: "RLock", before: func(s *stopScene) error { return s.RLock.Acquire(Within(s), here) },
			claims: func(s *stopScene) { s.heir(shm.KindRLock, "rlock", 1, 0) },
			give:   func(s *stopScene) error { return s.RLock.Release(here) }},
		{first: "RWLock.Acquire", before: func(s *stopScene) error { return s.RWLock.Acquire(Within(s)) },
			claims: func(s *stopScene) { s.heir(shm.KindRWLock, "rwlock", 2, 128) },
			give:   func(s *stopScene) error { return s.RWLock.Release() }},
		{first: "RWLock.Acquire", other: "RWLock.RAcquire", before: func(s *stopScene) error { return s.RWLock.Acquire(Within(s)) },
			claims: func(s *stopScene) { s.heir(shm.KindRWLock, "rwlock", 2, 128) },
			give:   func(s *stopScene) error { return s.RWLock.Release() }},
		{first: "RWLock.RAcquire", other: "RWLock.Acquire", before: func(s *stopScene) error { return s.RWLock.Acquire(Within(s)) },
			give: func(s *stopScene) error { return s.RWLock.Release() }},
		{first: "RWLock.RAcquire", before: func(s *stopScene) error { return s.RWLock.Acquire(Within(s)) },
			give: func(s *stopScene) error { return s.RWLock.Release() }},
		{first: "Semaphore", give: func(s *stopScene) error { return s.Semaphore.Release() },
			again: func(s *stopScene) error { return s.Semaphore.Release() }},
		{first: "Bounded", other: "TakeAndGive", before: func(s *stopScene) error { return s.Bounded.Acquire(Within(s)) },
			give: func(s *stopScene) error { return s.Bounded.Release() }},
		{first: "Event", give: func(s *stopScene) error { return s.Event.Set() }},
		{first: "WaitGroup", before: func(s *stopScene) error { return s.Group.Add(1) },
			give: func(s *stopScene) error { return s.Group.Done() }},
		{first: "Once", before: func(s *stopScene) error {
			begun := make(chan struct{})
			go func() { inOnce <- s.Once.Do(Within(s), func() error { close(begun); <-end; return nil }) }()
			<-begun
			return nil
		}, give: func(s *stopScene) error { close(end); return <-inOnce }},
		{first: "Condition", give: func(s *stopScene) error {
			return s.Lock.With(Within(s), func() error { return s.Cond.Notify(1) })
		}},
		{first: "Condition", give: func(s *stopScene) error {
			return s.Lock.With(Within(s), s.Cond.NotifyAll)
		}},
		{first: "Barrier", give: func(s *stopScene) error { _, err := s.Barrier.Wait(Within(s)); return err }},
	} {
		if test.other == "" {
			test.other = test.first
		}
		name := test.first
		if test.other != name {
			name += "_before_" + test.other
		}
		t.Run(name, func(t *testing.T) {
			s := newStopScene(t)
			if test.before != nil {
				WantNil(t, "before", test.before(s))
			}
			first := s.start(test.first)
			if test.claims != nil {
				test.claims(s)
			}
			Stop(t, first)
			other := s.start(test.other)
			WantNil(t, "give", test.give(s))
			s.goesOn(1)
			Result(t, other)
			Continue(t, first)
			if test.again != nil {
				WantNil(t, "give again", test.again(s))
			}
			Result(t, first)
			if n := s.Cells.At(0).Load(); n != 2 {
				t.Errorf("%d have had it, want 2", n)
			}
		})
	}
}

// A lock that was handed over to a stopped process can be taken by a process that only polls.
func TestStoppedHeirTryAcquire(t *testing.T) {
	s := newStopScene(t)
	WantNil(t, "Acquire", s.Lock.Acquire(Within(t)))
	heir := s.start("Lock")
	s.heir(shm.KindLock, "lock", 1, 0)
	Stop(t, heir)
	WantNil(t, "Release", s.Lock.Release())
	WantError(t, "handed over", s.Lock.TryAcquire(), psync.ErrHeld)
	begin := time.Now()
	Eventually(t, "the lock is free", func() bool { return s.Lock.TryAcquire() == nil })
	if took := time.Since(begin); took > heldUp {
		t.Errorf("a stopped process has held the lock up for %v", took)
	}
	Continue(t, heir)
	AwaitAsleep(t, heir.PID(), 1)
	if n := s.Cells.At(0).Load(); n != 0 {
		t.Error("the heir has a lock that was taken back")
	}
	WantNil(t, "Release", s.Lock.Release())
	Result(t, heir)
}

// A process stops exactly at a step, while it holds nothing. Another one waits for what is free,
// and gets it.
func TestStoppedAtStep(t *testing.T) {
	NeedCrashPoints(t)
	hold := func(s *stopScene) error { return s.Lock.Acquire(Within(s)) }
	release := func(s *stopScene) error { return s.Lock.Release() }
	give := func(s *stopScene) error { return s.Semaphore.Release() }
	for _, test := range []struct {
		point  crash.Point
		first  string // how the first waits, or what it gives
		other  string
		before func(*stopScene) error
		give   func(*stopScene) error // nil if the first gives
	}{
		{crash.LockFreed, "Lock", "Lock", nil, nil},
		{crash.SemaphoreReleased, "GivePermit", "Semaphore", nil, nil},
		{crash.BoundedFreed, "TakeAndGive", "TakeAndGive", nil, nil},
		{crash.EventSet, "SetEvent", "Event", nil, nil},
		{crash.LockWaiting, "Lock", "Lock", hold, release},
		{crash.LockClaimed, "Lock", "Lock", hold, release},
		{crash.LockWoken, "Lock", "Lock", hold, release},
		{crash.SemaphoreWaiting, "Semaphore", "Semaphore", nil, give},
		{crash.SemaphoreWoken, "Semaphore", "Semaphore", nil, give},
		{crash.RWLockQueued, "RWLock.RAcquire", "RWLock.Acquire",
			func(s *stopScene) error { return s.RWLock.Acquire(Within(s)) },
			func(s *stopScene) error { return s.RWLock.Release() }},
		{crash.RWLockDraining, "RWLock.Acquire", "RWLock.RAcquire",
			func(s *stopScene) error { return s.RWLock.RAcquire(Within(s)) },
			func(s *stopScene) error { return s.RWLock.RRelease() }},
		{crash.RWLockTold, "RWLock.Acquire", "RWLock.RAcquire", nil, nil},
	} {
		t.Run(fmt.Sprintf("%v_%s", test.point, test.other), func(t *testing.T) {
			s := newStopScene(t)
			if test.before != nil {
				WantNil(t, "before", test.before(s))
			}
			first := StartToStop(t, stopTask, stopJob{test.first, s.job}, test.point, 1)
			woken := test.point == crash.LockWoken || test.point == crash.SemaphoreWoken
			if woken { // the first stops when it has been woken
				AwaitAsleep(t, first.PID(), 1)
			} else {
				AwaitStopped(t, first)
			}
			had := s.Cells.At(0).Load()
			var other *proc.Call[int]
			if test.give == nil {
				other = Start(t, stopTask, stopJob{test.other, s.job})
			} else {
				other = s.start(test.other)
				WantNil(t, "give", test.give(s))
			}
			s.goesOn(had + 1)
			Result(t, other)
			if test.first == "Semaphore" {
				WantNil(t, "give again", give(s)) // wakes the first if the other one was faster
			}
			if woken {
				AwaitStopped(t, first)
			}
			Continue(t, first)
			Result(t, first)
		})
	}
}

// A process stops after it has given something, before it wakes the other one, which sleeps.
func TestStoppedBeforeWake(t *testing.T) {
	NeedCrashPoints(t)
	for _, test := range []struct {
		point        crash.Point
		first, other string
	}{
		{crash.LockFreed, "LockOnCue", "Lock"},
		{crash.LockHanded, "LockOnCue", "Lock"},
		{crash.SemaphoreReleased, "GivePermit", "Semaphore"},
		{crash.EventSet, "SetEvent", "Event"},
	} {
		t.Run(test.point.String(), func(t *testing.T) {
			s := newStopScene(t)
			first := (*proc.Call[int])(nil)
			if test.first == "LockOnCue" {
				first = StartToStop(t, stopTask, stopJob{test.first, s.job}, test.point, 1)
				s.Cells.Await(t, 1, 1)
			}
			other := s.start(test.other)
			if test.point == crash.LockHanded {
				s.heir(shm.KindLock, "lock", 1, 0)
			}
			if first == nil {
				first = StartToStop(t, stopTask, stopJob{test.first, s.job}, test.point, 1)
			}
			s.Cells.Set(1, 0)
			AwaitStopped(t, first)
			s.goesOn(1)
			Continue(t, first)
			Result(t, first)
			Result(t, other)
		})
	}
}
