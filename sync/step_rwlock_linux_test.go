package sync_test

import (
	"context"
	"errors"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

func stepRWLock(s *stepScene) job {
	return job{RWLock: Closing(s, Must(psync.NewRWLock(s.Seg, "rw", nil))(s)), Cells: NewCells(s, s.Seg, 1)}
}

func writeHeld(s *stepScene) job {
	j := stepRWLock(s)
	WantNil(s, "Acquire", j.RWLock.Acquire(Within(s)))
	return j
}

func readHeld(s *stepScene) job {
	j := stepRWLock(s)
	WantNil(s, "RAcquire", j.RWLock.RAcquire(Within(s)))
	return j
}

func readLock(ctx context.Context, j job) error     { return j.RWLock.RAcquire(ctx) }
func readUnlock(_ context.Context, j job) error     { return j.RWLock.RRelease() }
func writeLock(ctx context.Context, j job) error    { return j.RWLock.Acquire(ctx) }
func writeUnlock(_ context.Context, j job) error    { return j.RWLock.Release() }
func readVainly(ctx context.Context, j job) error   { return step.Vainly(ctx, j.RWLock.RAcquire) }
func writeVainly(ctx context.Context, j job) error  { return step.Vainly(ctx, j.RWLock.Acquire) }
func tryWrite(s *stepScene) (uint64, error)         { return try(s.Job.RWLock.TryAcquire, psync.ErrHeld) }
func tryRead(s *stepScene) (uint64, error)          { return try(s.Job.RWLock.TryRAcquire, psync.ErrHeld) }
func giveAndWrite(s *stepScene) (uint64, error)     { giveRW(s); return tryWrite(s) }
func giveAndReadAgain(s *stepScene) (uint64, error) { giveRW(s); return tryRead(s) }

var rwlockSteps = []stepRow{
	{
		Name:    "RWLock.RAcquire",
		Promise: "A writer and a reader never hold the lock at once. The hold of a reader ends with it.",
		Set:     step.Sets(stepRWLock),
		Do:      step.Does(readLock),
		Asleep:  giveRW,
		Other:   tryWrite,
		Check:   checkReader,
	}, {
		Name:    "RWLock.RAcquire beside a writer",
		Promise: "A reader that waits and dies leaves nothing behind, and no wake is lost with it.",
		Set:     step.Sets(writeHeld),
		Before:  readVainly,
		Do:      step.Does(readLock),
		Asleep:  giveRW,
		Other:   giveAndWrite,
		Check:   checkReader,
	}, {
		Name:    "RWLock.RRelease",
		Promise: "The hold of a reader that dies ends, whether it was released or not.",
		Set:     step.Sets(stepRWLock),
		Before:  readLock,
		Do:      step.Does(readUnlock),
		Other:   tryWrite,
		Check:   checkReadReleased,
	}, {
		Name:    "RWLock.RRelease to a writer",
		Promise: "The writer that waits gets the lock.",
		Set:     step.Sets(stepRWLock),
		Before:  readLock,
		Ready:   func(s *stepScene) { s.Begin(1, s.Job.RWLock.Acquire) },
		Do:      step.Does(readUnlock),
		Other:   step.Nothing[job],
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "the writer", s.Results()[0])
			WantNil(s, "Release by the writer", s.Job.RWLock.Release())
			checkReadReleased(s, o)
		},
	}, {
		Name:    "RWLock.Acquire",
		Promise: "A writer holds the lock alone. If it dies, the lock has a dead owner.",
		Set:     step.Sets(stepRWLock),
		Do:      step.Does(writeLock),
		Asleep:  giveRW,
		Other:   tryRead,
		Check:   checkWriter,
	}, {
		Name:    "RWLock.Acquire beside a reader",
		Promise: "A writer that waits and dies does not keep readers out.",
		Set:     step.Sets(readHeld),
		Before:  writeVainly,
		Do:      step.Does(writeLock),
		Asleep:  giveRW,
		Other:   giveAndReadAgain,
		Check:   checkWriter,
	}, {
		Name:    "RWLock.Acquire beside a writer",
		Promise: "A writer that waits and dies leaves nothing behind, and no wake is lost with it.",
		Set:     step.Sets(writeHeld),
		Before:  writeVainly,
		Do:      step.Does(writeLock),
		Asleep:  giveRW,
		Other:   giveAndWrite,
		Check:   checkWriter,
	}, {
		Name:    "RWLock.Release",
		Promise: "The lock is free, or it has a dead owner.",
		Set:     step.Sets(stepRWLock),
		Before:  writeLock,
		Do:      step.Does(writeUnlock),
		Other:   tryRead,
		Check:   checkWritten,
	}, {
		Name:    "RWLock.Release to a reader",
		Promise: "The reader that waits gets the lock, or is told that its owner died.",
		Set:     step.Sets(stepRWLock),
		Before:  writeLock,
		Ready:   func(s *stepScene) { s.Begin(1, s.Job.RWLock.RAcquire) },
		Do:      step.Does(writeUnlock),
		Other:   step.Nothing[job],
		Check: func(s *stepScene, o step.Outcome) {
			err := s.Results()[0]
			switch {
			case err == nil:
				WantNil(s, "RRelease by the reader", s.Job.RWLock.RRelease())
			case o.OK():
				s.Errorf("the reader: %v", err)
			default:
				WantError(s, "the reader", err, psync.ErrOwnerDied)
			}
			checkWritten(s, o)
		},
	}, {
		Name:    "RWLock.Recover",
		Promise: "The lock is not acquired before a repair has succeeded.",
		Set: step.Sets(func(s *stepScene) job {
			j := stepRWLock(s)
			other := attachOther(s)
			WantNil(s, "Acquire", Must(psync.OpenRWLock(other, "rw"))(s).Acquire(Within(s)))
			Dies(s, s.Seg, other)
			return j
		}),
		Do: step.Does(func(ctx context.Context, j job) error {
			return j.RWLock.Recover(ctx, func() error { j.Cells.At(0).Store(1); return nil })
		}),
		Other: func(s *stepScene) (uint64, error) {
			err := s.Job.RWLock.TryRAcquire()
			if err == nil {
				return 1, s.Job.RWLock.RRelease()
			}
			WantNilOr(s, "TryRAcquire", err, psync.ErrHeld, psync.ErrOwnerDied)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			repaired := s.Job.Cells.At(0).Load() == 1
			if o.OtherValue == 1 && !repaired {
				s.Error("acquired before the repair")
			}
			err := s.Job.RWLock.Acquire(Within(s))
			if err == nil && !repaired {
				s.Error("acquired without a repair")
			}
			if o.OK() {
				WantNil(s, "Acquire after Recover", err)
			}
			leaveRW(s, err)
		},
	},
}

// giveRW ends what the test's process holds of the lock.
func giveRW(s *stepScene) {
	for _, release := range []func() error{s.Job.RWLock.Release, s.Job.RWLock.RRelease} {
		WantNilOr(s, "release", release(), psync.ErrNotHeld)
	}
}

// checkReader checks the lock after the child has died, or ended, in or after RAcquire.
func checkReader(s *stepScene, o step.Outcome) {
	s.Helper()
	if o.OK() && o.OtherValue == 1 && !o.Slept {
		s.Error("a reader and a writer held the lock")
	}
	checkReadReleased(s, o)
}

// checkReadReleased checks that no hold of the child is left.
func checkReadReleased(s *stepScene, o step.Outcome) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	giveRW(s)
	leaveRW(s, s.Job.RWLock.Acquire(Within(s)))
}

// checkWriter checks the lock after the child has died, or ended, in or after Acquire.
func checkWriter(s *stepScene, o step.Outcome) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.OK() && o.OtherValue == 1 && !o.Slept {
		s.Error("a reader and a writer held the lock")
	}
	giveRW(s)
	err := s.Job.RWLock.Acquire(Within(s))
	if o.OK() && !errors.Is(err, psync.ErrOwnerDied) {
		s.Errorf("Acquire after the owner has died: %v", err)
	}
	leaveRW(s, err)
}

// checkWritten checks the lock after the child has died, or ended, in or after Release.
func checkWritten(s *stepScene, o step.Outcome) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	giveRW(s)
	err := s.Job.RWLock.Acquire(Within(s))
	if o.OK() || o.OtherValue == 1 {
		WantNil(s, "Acquire of the free lock", err)
	}
	leaveRW(s, err)
}

// leaveRW checks that the lock can be used, after an Acquire that failed with err, and leaves it
// free.
func leaveRW(s *stepScene, err error) {
	s.Helper()
	l := s.Job.RWLock
	if errors.Is(err, psync.ErrOwnerDied) {
		WantNil(s, "Recover", l.Recover(Within(s), func() error { return nil }))
		err = l.Acquire(Within(s))
	}
	WantNil(s, "Acquire", err)
	WantNil(s, "Release", l.Release())
	WantNil(s, "RAcquire", l.RAcquire(Within(s)))
	WantNil(s, "RRelease", l.RRelease())
}
