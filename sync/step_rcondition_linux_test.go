package sync_test

import (
	"context"
	"errors"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// stepRCondition makes a condition of a recursive lock. Cell 1 says whether the waiter was notified.
func stepRCondition(s *stepScene) job {
	j := stepRLock(s)
	j.RCond = Closing(s, Must(psync.NewRCondition(s.Seg, "", j.RLock, nil))(s))
	j.Cells = NewCells(s, s.Seg, 2)
	return j
}

// acquireTwiceAndWaitVainly leaves the child with the lock, twice, after a wait that was cancelled.
func acquireTwiceAndWaitVainly(ctx context.Context, j job) error {
	if err := errors.Join(acquireRLock(ctx, j), acquireRLock(ctx, j)); err != nil {
		return err
	}
	return step.Vainly(ctx, func(ctx context.Context) error { return waitRCondition(ctx, j) })
}

func waitRCondition(ctx context.Context, j job) error { return j.RCond.Wait(ctx, &childHolder) }

// notifyRConditionOnce notifies a waiter, the first time that it can get the lock.
func notifyRConditionOnce(s *stepScene) {
	if s.Job.Cells.At(1).Load() == 1 {
		return
	}
	if err := s.Job.RLock.TryAcquire(&testHolder); err != nil {
		WantNilOr(s, "TryAcquire", err, psync.ErrHeld)
		return
	}
	s.Job.Cells.At(1).Store(1)
	WantNil(s, "Notify", s.Job.RCond.Notify(&testHolder, 1))
	WantNil(s, "Release", s.Job.RLock.Release(&testHolder))
}

var rconditionSteps = []stepRow{
	{
		Name:    "RCondition.Wait",
		Promise: "A waiter that dies leaves the lock free, or with a dead owner, however often it had acquired it.",
		Set:     step.Sets(stepRCondition),
		Before:  acquireTwiceAndWaitVainly,
		Do:      step.Does(waitRCondition),
		Asleep:  notifyRConditionOnce,
		Other: func(s *stepScene) (uint64, error) {
			notifyRConditionOnce(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			if o.Err != "" {
				s.Errorf("the child: %s", o.Err)
			}
			checkRCondition(s)
		},
	},
}

// checkRCondition repairs the lock and checks that the condition can be used.
func checkRCondition(s *stepScene) {
	s.Helper()
	j := s.Job
	err := j.RLock.Acquire(Within(s), &testHolder)
	if errors.Is(err, psync.ErrOwnerDied) {
		WantNil(s, "Recover", j.RLock.Recover(Within(s), &testHolder, func() error { return j.RCond.NotifyAll(&testHolder) }))
		err = j.RLock.Acquire(Within(s), &testHolder)
	}
	WantNil(s, "Acquire", err)
	WantNil(s, "Release", j.RLock.Release(&testHolder))
	s.Begin(1, func(ctx context.Context) error {
		var h psync.Holder
		if err := j.RLock.Acquire(ctx, &h); err != nil {
			return err
		}
		return errors.Join(j.RCond.Wait(ctx, &h), j.RLock.Release(&h))
	})
	WantNil(s, "Acquire", j.RLock.Acquire(Within(s), &testHolder))
	WantNil(s, "Notify", j.RCond.Notify(&testHolder, 1))
	WantNil(s, "Release", j.RLock.Release(&testHolder))
	WantNil(s, "a waiter that was notified", s.Results()[0])
}
