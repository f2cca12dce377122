package sync_test

import (
	"context"
	"errors"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// stepCondition makes a condition. Cell 1 says how far the row's Asleep is.
func stepCondition(s *stepScene) job {
	l := stepLock(s)
	return job{Lock: l, Cond: Closing(s, Must(psync.NewCondition(s.Seg, "", l, nil))(s)), Cells: NewCells(s, s.Seg, 2)}
}

func waitCondition(ctx context.Context, j job) error { return j.Cond.Wait(ctx) }

// waitLocked acquires the lock, waits, and releases it.
func waitLocked(j job) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := j.Lock.Acquire(ctx); err != nil {
			return err
		}
		if err := j.Cond.Wait(ctx); err != nil {
			return err
		}
		return j.Lock.Release()
	}
}

// acquireAndWaitVainly leaves the child with the lock, after a wait that was cancelled.
func acquireAndWaitVainly(ctx context.Context, j job) error {
	if err := j.Lock.Acquire(ctx); err != nil {
		return err
	}
	return step.Vainly(ctx, j.Cond.Wait)
}

// notifyOnce notifies n waiters, the first time that it can get the lock.
func notifyOnce(s *stepScene, n int) {
	if s.Job.Cells.At(1).Load() == 2 {
		return
	}
	switch err := s.Job.Lock.TryAcquire(); {
	case err == nil:
		s.Job.Cells.At(1).Store(2)
		WantNil(s, "Notify", s.Job.Cond.Notify(n))
		WantNil(s, "Release", s.Job.Lock.Release())
	default:
		WantNilOr(s, "TryAcquire", err, psync.ErrHeld)
	}
}

var conditionSteps = []stepRow{
	{
		Name:    "Condition.Wait",
		Promise: "A waiter that dies leaves the lock free, or with a dead owner, and takes no notification with it.",
		Set:     step.Sets(stepCondition),
		Before:  acquireAndWaitVainly,
		Do:      step.Does(waitCondition),
		Asleep:  func(s *stepScene) { notifyOnce(s, 1) },
		Other: func(s *stepScene) (uint64, error) {
			notifyOnce(s, 1)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) { checkCondition(s) },
	}, {
		Name:    "Condition.Wait beside another waiter",
		Promise: "The notification of a waiter that dies goes to the other that waited.",
		Set:     step.Sets(stepCondition),
		Before:  acquireAndWaitVainly,
		Do:      step.Does(waitCondition),
		Asleep: func(s *stepScene) {
			if s.Job.Cells.At(1).CompareAndSwap(0, 1) {
				s.Begin(1, waitLocked(s.Job))
			}
			notifyOnce(s, 1)
		},
		Check: func(s *stepScene, o step.Outcome) {
			if o.OK() {
				// It used the notification, and died as the lock's owner.
				checkCondition(s)
				return
			}
			if s.Job.Cells.At(1).Load() == 2 {
				for _, err := range s.Results() {
					WantNilOr(s, "the other waiter", err, psync.ErrOwnerDied)
				}
			}
			checkCondition(s)
		},
	}, {
		Name:    "Condition.Notify",
		Promise: "The waiter is notified, or the lock has a dead owner whose repair notifies it.",
		Set: func(s *stepScene) {
			s.Job = stepCondition(s)
			s.Begin(1, waitLocked(s.Job))
		},
		Before: acquireLock,
		Do:     step.Does(func(_ context.Context, j job) error { return j.Cond.Notify(1) }),
		Check:  func(s *stepScene, o step.Outcome) { checkCondition(s) },
	}, {
		Name:    "Lock.Recover with Condition.NotifyAll",
		Promise: "The waiter is notified by the repair, or told of the death. If the process dies in its repair, the next one notifies.",
		Set: func(s *stepScene) {
			s.Job = stepCondition(s)
			s.Begin(1, waitLocked(s.Job))
			other := attachOther(s)
			WantNil(s, "Acquire", Must(psync.OpenLock(other, "lock"))(s).Acquire(Within(s)))
			Dies(s, s.Seg, other)
		},
		Do: step.Does(func(ctx context.Context, j job) error { return j.Lock.Recover(ctx, j.Cond.NotifyAll) }),
		Check: func(s *stepScene, o step.Outcome) {
			if o.OK() { // no other notification
				WantNilOr(s, "the waiter", s.Results()[0], psync.ErrOwnerDied)
			}
			checkCondition(s)
		},
	},
}

// checkCondition repairs the lock, ends all waits that the test's process has begun, and checks
// that the condition can be used.
func checkCondition(s *stepScene) {
	s.Helper()
	j := s.Job
	err := j.Lock.Acquire(Within(s))
	if errors.Is(err, psync.ErrOwnerDied) {
		WantNil(s, "Recover", j.Lock.Recover(Within(s), j.Cond.NotifyAll))
	} else {
		WantNil(s, "Acquire", err)
		WantNil(s, "NotifyAll", j.Cond.NotifyAll())
		WantNil(s, "Release", j.Lock.Release())
	}
	for _, err := range s.Results() {
		WantNilOr(s, "the waiter", err, psync.ErrOwnerDied)
	}
	s.Begin(1, waitLocked(j))
	WantNil(s, "Acquire", j.Lock.Acquire(Within(s)))
	WantNil(s, "Notify", j.Cond.Notify(1))
	WantNil(s, "Release", j.Lock.Release())
	WantNil(s, "a waiter that was notified", s.Results()[0])
}
