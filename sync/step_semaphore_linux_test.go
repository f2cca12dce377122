package sync_test

import (
	"context"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

func stepSemaphore(value int) func(*stepScene) job {
	return func(s *stepScene) job {
		return job{Semaphore: Closing(s, Must(psync.NewSemaphore(s.Seg, "", value))(s)), Cells: NewCells(s, s.Seg, 2)}
	}
}

func takePermit(ctx context.Context, j job) error { return j.Semaphore.Acquire(ctx) }
func givePermit(_ context.Context, j job) error   { return j.Semaphore.Release() }

// given counts in cell 1 the permits that the test's process has given.
func given(s *stepScene) {
	if s.Job.Cells.At(1).CompareAndSwap(0, 1) {
		WantNil(s, "Release", s.Job.Semaphore.Release())
	}
}

var semaphoreSteps = []stepRow{
	{
		Name:    "Semaphore.Acquire",
		Promise: "A permit is taken once, or not at all.",
		Set:     step.Sets(stepSemaphore(2)),
		Do:      step.Does(takePermit),
		Other:   func(s *stepScene) (uint64, error) { return try(s.Job.Semaphore.TryAcquire, psync.ErrNoPermit) },
		Check:   func(s *stepScene, o step.Outcome) { checkPermits(s, o, 2-int(o.OtherValue), -1) },
	}, {
		Name:    "Semaphore.Acquire the last",
		Promise: "One of two gets the last permit.",
		Set:     step.Sets(stepSemaphore(1)),
		Do:      step.Does(takePermit),
		Asleep:  given,
		Other:   func(s *stepScene) (uint64, error) { return try(s.Job.Semaphore.TryAcquire, psync.ErrNoPermit) },
		Check: func(s *stepScene, o step.Outcome) {
			checkPermits(s, o, 1-int(o.OtherValue)+int(s.Job.Cells.At(1).Load()), -1)
		},
	}, {
		Name:    "Semaphore.Acquire none",
		Promise: "A waiter that dies takes at most one permit, and no wake is lost with it.",
		Set:     step.Sets(stepSemaphore(0)),
		Before:  func(ctx context.Context, j job) error { return step.Vainly(ctx, j.Semaphore.Acquire) },
		Do:      step.Does(takePermit),
		Asleep:  given,
		Other: func(s *stepScene) (uint64, error) {
			given(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) { checkPermits(s, o, int(s.Job.Cells.At(1).Load()), -1) },
	}, {
		Name:    "Semaphore.Release",
		Promise: "A permit is given once, or not at all.",
		Set:     step.Sets(stepSemaphore(0)),
		Do:      step.Does(givePermit),
		Other:   func(s *stepScene) (uint64, error) { return try(s.Job.Semaphore.TryAcquire, psync.ErrNoPermit) },
		Check:   func(s *stepScene, o step.Outcome) { checkPermits(s, o, -int(o.OtherValue), 1) },
	}, {
		Name:    "Semaphore.Release to a waiter",
		Promise: "The waiter gets the permit that was given.",
		Set:     step.Sets(stepSemaphore(0)),
		Ready:   func(s *stepScene) { s.Begin(1, s.Job.Semaphore.Acquire) },
		Do:      step.Does(givePermit),
		Other:   step.Nothing[job],
		Check: func(s *stepScene, o step.Outcome) {
			if !o.OK() {
				// The child may have died before it gave the permit: then the waiter takes this
				// one.
				WantNil(s, "Release", s.Job.Semaphore.Release())
			}
			WantNil(s, "the waiter", s.Results()[0])
			n, err := s.Job.Semaphore.Value()
			WantNil(s, "Value", err)
			if n != 0 && (o.OK() || n != 1) {
				s.Errorf("%d permits are left", n)
			}
		},
	},
}

// checkPermits checks that the semaphore has n permits, or n+change if the child's operation has
// taken effect, which it has if it has returned.
func checkPermits(s *stepScene, o step.Outcome, n, change int) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	got, err := s.Job.Semaphore.Value()
	WantNil(s, "Value", err)
	if got != n+change && (o.OK() || got != n) {
		s.Errorf("%d permits, want %d", got, n+change)
	}
	for range got {
		WantNil(s, "TryAcquire", s.Job.Semaphore.TryAcquire())
	}
	WantError(s, "TryAcquire of one more", s.Job.Semaphore.TryAcquire(), psync.ErrNoPermit)
	WantNil(s, "Release", s.Job.Semaphore.Release())
	WantNil(s, "Acquire", s.Job.Semaphore.Acquire(Within(s)))
}

func stepBounded(n int) func(*stepScene) job {
	return func(s *stepScene) job {
		return job{Bounded: Closing(s, Must(psync.NewBoundedSemaphore(s.Seg, "", n))(s))}
	}
}

func takeBounded(ctx context.Context, j job) error { return j.Bounded.Acquire(ctx) }
func giveBounded(_ context.Context, j job) error   { return j.Bounded.Release() }
func tryBounded(s *stepScene) (uint64, error) {
	return try(s.Job.Bounded.TryAcquire, psync.ErrNoPermit)
}

// returnBounded gives back what the test's process has taken.
func returnBounded(s *stepScene) {
	for {
		if err := s.Job.Bounded.Release(); err != nil {
			WantNilOr(s, "Release", err, psync.ErrNotHeld, psync.ErrOverRelease)
			return
		}
	}
}

var boundedSteps = []stepRow{
	{
		Name:    "BoundedSemaphore.Acquire",
		Promise: "The permits of a process that dies become free.",
		Set:     step.Sets(stepBounded(2)),
		Do:      step.Does(takeBounded),
		Other:   tryBounded,
		Check:   checkBounded(2),
	}, {
		Name:    "BoundedSemaphore.Acquire none",
		Promise: "A waiter that dies leaves nothing behind, and no wake is lost with it.",
		Set: step.Sets(func(s *stepScene) job {
			j := stepBounded(1)(s)
			WantNil(s, "Acquire", j.Bounded.Acquire(Within(s)))
			return j
		}),
		Before: func(ctx context.Context, j job) error { return step.Vainly(ctx, j.Bounded.Acquire) },
		Do:     step.Does(takeBounded),
		Asleep: returnBounded,
		Other: func(s *stepScene) (uint64, error) {
			returnBounded(s)
			return tryBounded(s)
		},
		Check: func(s *stepScene, o step.Outcome) {
			if o.OK() && o.OtherValue == 1 && !o.Slept {
				s.Error("the child took the permit that the other kept")
			}
			checkBounded(1)(s, o)
		},
	}, {
		Name:    "BoundedSemaphore.Release",
		Promise: "A permit is given back once, by its holder or by its death.",
		Set:     step.Sets(stepBounded(1)),
		Before:  takeBounded,
		Do:      step.Does(giveBounded),
		Other:   tryBounded,
		Check:   checkBounded(1),
	}, {
		Name:    "BoundedSemaphore.Release to a waiter",
		Promise: "The waiter gets the permit.",
		Set:     step.Sets(stepBounded(1)),
		Before:  takeBounded,
		Ready:   func(s *stepScene) { s.Begin(1, s.Job.Bounded.Acquire) },
		Do:      step.Does(giveBounded),
		Other:   step.Nothing[job],
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "the waiter", s.Results()[0])
			checkBounded(1)(s, o)
		},
	},
}

// checkBounded returns a check that all n permits are free after the child's death.
func checkBounded(n int) func(*stepScene, step.Outcome) {
	return func(s *stepScene, o step.Outcome) {
		s.Helper()
		WantNil(s, "the other's operation", o.OtherErr)
		returnBounded(s)
		for range n {
			WantNil(s, "Acquire", s.Job.Bounded.Acquire(Within(s)))
		}
		WantError(s, "TryAcquire of one more", s.Job.Bounded.TryAcquire(), psync.ErrNoPermit)
	}
}
