package sync_test

import (
	"context"
	"errors"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// childHolder is the Holder of the child, testHolder that of the test's process.
var childHolder, testHolder psync.Holder

func stepRLock(s *stepScene) job {
	testHolder = psync.Holder{}
	return job{RLock: Closing(s, Must(psync.NewRLock(s.Seg, "", nil))(s))}
}

func acquireRLock(ctx context.Context, j job) error { return j.RLock.Acquire(ctx, &childHolder) }
func releaseRLock(_ context.Context, j job) error   { return j.RLock.Release(&childHolder) }

var rlockSteps = []stepRow{
	{
		Name:    "RLock.Acquire",
		Promise: "At most one Holder holds the lock. If its process dies, the lock has a dead owner.",
		Set:     step.Sets(stepRLock),
		Do:      step.Does(acquireRLock),
		Asleep:  giveRLock,
		Other:   tryRLock,
		Check:   checkRLock,
	}, {
		Name:    "RLock.Acquire by its owner",
		Promise: "However often it was acquired, the lock has a dead owner.",
		Set:     step.Sets(stepRLock),
		Before:  acquireRLock,
		Do:      step.Does(acquireRLock),
		Other:   tryRLock,
		Check:   checkRLock,
	}, {
		Name:    "RLock.Acquire held",
		Promise: "A waiter that dies leaves nothing behind, and no wake is lost with it.",
		Set: step.Sets(func(s *stepScene) job {
			j := stepRLock(s)
			WantNil(s, "Acquire", j.RLock.Acquire(Within(s), &testHolder))
			return j
		}),
		Before: func(ctx context.Context, j job) error {
			return step.Vainly(ctx, func(ctx context.Context) error { return acquireRLock(ctx, j) })
		},
		Do:     step.Does(acquireRLock),
		Asleep: giveRLock,
		Other: func(s *stepScene) (uint64, error) {
			giveRLock(s)
			return tryRLock(s)
		},
		Check: checkRLock,
	}, {
		Name:    "RLock.Release of one of two",
		Promise: "The lock is held, or has a dead owner.",
		Set:     step.Sets(stepRLock),
		Before: func(ctx context.Context, j job) error {
			return errors.Join(acquireRLock(ctx, j), acquireRLock(ctx, j))
		},
		Do:    step.Does(releaseRLock),
		Other: tryRLock,
		Check: func(s *stepScene, o step.Outcome) {
			Want(s, "the other acquired", o.OtherValue, 0)
			checkRLock(s, o)
		},
	}, {
		Name:    "RLock.Release",
		Promise: "The lock is free, or it has a dead owner.",
		Set:     step.Sets(stepRLock),
		Before:  acquireRLock,
		Do:      step.Does(releaseRLock),
		Other:   tryRLock,
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "the other's operation", o.OtherErr)
			giveRLock(s)
			err := s.Job.RLock.Acquire(Within(s), &testHolder)
			if o.OK() || o.OtherValue == 1 {
				WantNil(s, "Acquire of the free lock", err)
			}
			leaveRLock(s, err)
		},
	},
}

func giveRLock(s *stepScene) {
	if err := s.Job.RLock.Release(&testHolder); !errors.Is(err, psync.ErrNotHeld) {
		WantNil(s, "Release", err)
	}
}

func tryRLock(s *stepScene) (uint64, error) {
	return try(func() error { return s.Job.RLock.TryAcquire(&testHolder) }, psync.ErrHeld)
}

func checkRLock(s *stepScene, o step.Outcome) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.OK() && o.OtherValue == 1 && !o.Slept {
		s.Error("the child acquired the lock that the other kept")
	}
	if err := s.Job.RLock.Release(&testHolder); err == nil && o.OK() {
		s.Error("two processes held the lock")
	}
	err := s.Job.RLock.Acquire(Within(s), &testHolder)
	if o.OK() && !errors.Is(err, psync.ErrOwnerDied) {
		s.Errorf("Acquire after the owner has died: %v", err)
	}
	leaveRLock(s, err)
}

func leaveRLock(s *stepScene, err error) {
	s.Helper()
	l := s.Job.RLock
	if errors.Is(err, psync.ErrOwnerDied) {
		WantNil(s, "Recover", l.Recover(Within(s), &testHolder, func() error { return nil }))
		err = l.Acquire(Within(s), &testHolder)
	}
	WantNil(s, "Acquire", err)
	WantNil(s, "Release", l.Release(&testHolder))
	WantNil(s, "Acquire after the last Release", l.TryAcquire(new(psync.Holder)))
}
