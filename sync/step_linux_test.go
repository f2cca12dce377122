package sync_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// TestEveryInstruction kills and stops a process at each instruction of each operation.
func TestEveryInstruction(t *testing.T) { steps.Run(t) }

var steps = step.NewTable("sync",
	step.Row[job]{
		Name:    "Lock.Acquire free",
		Promise: "The lock is free or has a dead owner, never both a dead owner and a living one.",
		Set:     func(t testing.TB, seg *shm.Segment) job { return job{Lock: newLock(t, seg)} },
		Do:      func(ctx context.Context, j job) (uint64, error) { return 0, j.Lock.Acquire(ctx) },
		Asleep:  releaseLock,
		Other:   tryLock,
		Check:   checkLock,
	},
	step.Row[job]{
		Name:    "Lock.Acquire held",
		Promise: "A waiter that dies leaves nothing behind.",
		Set: func(t testing.TB, seg *shm.Segment) job {
			j := job{Lock: newLock(t, seg)}
			WantNil(t, "Acquire", j.Lock.Acquire(Within(t)))
			return j
		},
		Before: func(ctx context.Context, j job) error { return vainly(ctx, j.Lock.Acquire) },
		Do:     func(ctx context.Context, j job) (uint64, error) { return 0, j.Lock.Acquire(ctx) },
		Asleep: releaseLock,
		Other: func(ctx context.Context, j job) (uint64, error) {
			if err := j.Lock.Release(); err != nil && !errors.Is(err, psync.ErrNotHeld) {
				return 0, err
			}
			return tryLock(ctx, j)
		},
		Check: checkLock,
	},
)

// releaseLock releases the lock if this process holds it.
func releaseLock(t testing.TB, j job) {
	if err := j.Lock.Release(); !errors.Is(err, psync.ErrNotHeld) {
		WantNil(t, "Release", err)
	}
}

// vainly calls wait, which has to sleep, with a context that ends soon, so that the next wait is not the first of
// the process.
func vainly(ctx context.Context, wait func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if err := wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("a wait that must be in vain: %w", err)
	}
	return nil
}

// tryLock returns 1 if it has got the lock, which it keeps.
func tryLock(ctx context.Context, j job) (uint64, error) {
	err := j.Lock.TryAcquire()
	switch {
	case err == nil:
		return 1, nil
	case errors.Is(err, psync.ErrHeld):
		return 0, nil
	}
	return 0, err
}

// checkLock checks that the lock can be used after the child has died.
func checkLock(t testing.TB, j job, o step.Outcome) {
	t.Helper()
	WantNil(t, "the other's operation", o.OtherErr)
	if err := j.Lock.Release(); err == nil && o.OK() {
		t.Error("both had the lock")
	}
	err := j.Lock.Acquire(Within(t))
	switch {
	case errors.Is(err, psync.ErrOwnerDied):
		WantNil(t, "Recover", j.Lock.Recover(Within(t), func() error { return nil }))
		WantNil(t, "Acquire after Recover", j.Lock.Acquire(Within(t)))
	case err != nil:
		t.Errorf("Acquire: %v", err)
	case o.OK():
		t.Error("Acquire succeeds although the child died owning the lock")
	}
	WantNil(t, "Release", j.Lock.Release())
}
