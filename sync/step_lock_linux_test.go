package sync_test

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// stepLock makes a lock that has a name, so that a test can look at its words.
func stepLock(s *stepScene) *psync.Lock {
	return Closing(s, Must(psync.NewLock(s.Seg, "lock", nil))(s))
}

// heldStepLock makes a lock that the test's process holds.
func heldStepLock(s *stepScene) *psync.Lock {
	l := stepLock(s)
	WantNil(s, "Acquire", l.Acquire(Within(s)))
	return l
}

func acquireLock(ctx context.Context, j job) error { return j.Lock.Acquire(ctx) }
func releaseLock(_ context.Context, j job) error   { return j.Lock.Release() }

var lockSteps = []stepRow{
	{
		Name:    "Lock.Acquire",
		Promise: "At most one process holds the lock. If it dies, the lock has a dead owner.",
		Set:     step.Sets(func(s *stepScene) job { return job{Lock: stepLock(s)} }),
		Do:      step.Does(acquireLock),
		Asleep:  giveLock,
		Other:   tryLock,
		Check:   checkLock,
	}, {
		Name:    "Lock.Acquire again",
		Promise: "The same for a process that has used the lock before.",
		Set:     step.Sets(func(s *stepScene) job { return job{Lock: stepLock(s)} }),
		Before: func(ctx context.Context, j job) error {
			return errors.Join(j.Lock.Acquire(ctx), j.Lock.Release(), j.Lock.Acquire(ctx), j.Lock.Release())
		},
		Do:     step.Does(acquireLock),
		Asleep: giveLock,
		Other:  tryLock,
		Check:  checkLock,
	}, {
		Name:    "Lock.Acquire held",
		Promise: "A waiter that dies leaves nothing behind, and no wake is lost with it.",
		Set:     step.Sets(func(s *stepScene) job { return job{Lock: heldStepLock(s)} }),
		Before:  func(ctx context.Context, j job) error { return step.Vainly(ctx, j.Lock.Acquire) },
		Do:      step.Does(acquireLock),
		Asleep:  giveLock,
		Other: func(s *stepScene) (uint64, error) {
			giveLock(s)
			return tryLock(s)
		},
		Check: checkLock,
	}, {
		Name:    "Lock.Acquire handed over",
		Promise: "An heir that dies does not own the lock, unless it had acquired it.",
		Set:     step.Sets(func(s *stepScene) job { return job{Lock: heldStepLock(s)} }),
		Before:  func(ctx context.Context, j job) error { return step.Vainly(ctx, j.Lock.Acquire) },
		Do:      step.Does(acquireLock),
		Asleep: func(s *stepScene) {
			if prodHeir(s) {
				giveLock(s)
			}
		},
		Other: func(s *stepScene) (uint64, error) {
			giveLock(s)
			return tryLock(s)
		},
		Check: checkLock,
	}, {
		Name:    "Lock.Release",
		Promise: "The lock is free, or it has a dead owner.",
		Set:     step.Sets(func(s *stepScene) job { return job{Lock: stepLock(s)} }),
		Before:  acquireLock,
		Do:      step.Does(releaseLock),
		Other:   tryLock,
		Check:   checkReleased,
	}, {
		Name:    "Lock.Release to a waiter",
		Promise: "The waiter gets the lock, or is told that its owner died.",
		Set:     step.Sets(func(s *stepScene) job { return job{Lock: stepLock(s)} }),
		Before:  acquireLock,
		Do:      step.Does(releaseLock),
		Ready:   func(s *stepScene) { s.Begin(1, s.Job.Lock.Acquire) },
		Other:   step.Nothing[job],
		Check: func(s *stepScene, o step.Outcome) {
			switch err := s.Results()[0]; {
			case err == nil:
				WantNil(s, "Release by the waiter", s.Job.Lock.Release())
			case o.OK():
				s.Errorf("the waiter: %v", err)
			default:
				WantError(s, "the waiter", err, psync.ErrOwnerDied)
			}
			checkReleased(s, o)
		},
	}, {
		Name:    "Lock.Recover",
		Promise: "The lock is not acquired before a repair has succeeded.",
		Set: step.Sets(func(s *stepScene) job {
			l := stepLock(s)
			other := attachOther(s)
			WantNil(s, "Acquire", Must(psync.OpenLock(other, "lock"))(s).Acquire(Within(s)))
			Dies(s, s.Seg, other)
			return job{Lock: l, Cells: NewCells(s, s.Seg, 1)}
		}),
		Do: step.Does(func(ctx context.Context, j job) error {
			return j.Lock.Recover(ctx, func() error { j.Cells.At(0).Store(1); return nil })
		}),
		Other: func(s *stepScene) (uint64, error) {
			err := s.Job.Lock.TryAcquire()
			if err == nil {
				return 1, s.Job.Lock.Release()
			}
			WantNilOr(s, "TryAcquire", err, psync.ErrHeld, psync.ErrOwnerDied)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			repaired := s.Job.Cells.At(0).Load() == 1
			if o.OtherValue == 1 && !repaired {
				s.Error("acquired before the repair")
			}
			err := s.Job.Lock.Acquire(Within(s))
			if err == nil && !repaired {
				s.Error("acquired without a repair")
			}
			if o.OK() {
				WantNil(s, "Acquire after Recover", err)
			}
			leaveLock(s, err)
		},
	},
}

// giveLock releases the lock if the test's process holds it.
func giveLock(s *stepScene) {
	if err := s.Job.Lock.Release(); !errors.Is(err, psync.ErrNotHeld) {
		WantNil(s, "Release", err)
	}
}

// tryLock returns 1 if the test's process has got the lock, which it keeps.
func tryLock(s *stepScene) (uint64, error) { return try(s.Job.Lock.TryAcquire, psync.ErrHeld) }

// prodHeir wakes the waiters of the lock until one has claimed to be the heir. It reports whether
// one has.
func prodHeir(s *stepScene) bool {
	memory := Must(object.Open(s.Seg, shm.KindLock, "lock", 1))(s)
	defer memory.Close()
	// The words of a lock: see package internal/robust.
	word, gate := view.At[atomic.Uint64](memory.Bytes(), 0), view.At[atomic.Uint32](memory.Bytes(), 8)
	futex.Wake(gate, futex.All)
	return word.Load()>>33 != 0
}

// checkLock checks the lock after the child has died, or ended, in or after Acquire.
func checkLock(s *stepScene, o step.Outcome) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.OK() && o.OtherValue == 1 && !o.Slept {
		s.Error("the child acquired the lock that the other kept")
	}
	if err := s.Job.Lock.Release(); err == nil && o.OK() {
		s.Error("two processes held the lock")
	}
	err := s.Job.Lock.Acquire(Within(s))
	if o.OK() && !errors.Is(err, psync.ErrOwnerDied) {
		s.Errorf("Acquire after the owner has died: %v", err)
	}
	leaveLock(s, err)
}

// checkReleased checks the lock after the child has died, or ended, in or after Release.
func checkReleased(s *stepScene, o step.Outcome) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.OtherValue == 1 {
		WantNil(s, "Release by the other", s.Job.Lock.Release())
	}
	err := s.Job.Lock.Acquire(Within(s))
	if o.OK() || o.OtherValue == 1 {
		WantNil(s, "Acquire of the free lock", err)
	}
	leaveLock(s, err)
}

// leaveLock checks that the lock can be used, after an Acquire that failed with err, and leaves it
// free.
func leaveLock(s *stepScene, err error) {
	s.Helper()
	l := s.Job.Lock
	if errors.Is(err, psync.ErrOwnerDied) {
		WantNil(s, "Recover", l.Recover(Within(s), func() error { return nil }))
		err = l.Acquire(Within(s))
	}
	WantNil(s, "Acquire", err)
	WantNil(s, "Release", l.Release())
}
