package sync_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestEveryInstruction kills and stops a process at each instruction of each operation.
func TestEveryInstruction(t *testing.T) { steps.Run(t) }

var steps = step.NewTable("sync", slices.Concat(
	lockSteps, rlockSteps, rwlockSteps, semaphoreSteps, boundedSteps, conditionSteps,
	eventSteps, barrierSteps, groupSteps, onceSteps)...)

type (
	stepRow   = step.Row[job]
	stepScene = step.Scene[job]
)

// sets returns a Set that makes a job.
func sets(make func(s *stepScene) job) func(*stepScene) {
	return func(s *stepScene) { s.Job = make(s) }
}

// does returns a Do that calls f.
func does(f func(ctx context.Context, j job) error) func(context.Context, job) (uint64, error) {
	return func(ctx context.Context, j job) (uint64, error) { return 0, f(ctx, j) }
}

// vainly calls wait, which has to sleep, with a context that ends soon, so that the next wait is
// not the first of the process.
func vainly(ctx context.Context, wait func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if err := wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("a wait that must be in vain: %w", err)
	}
	return nil
}

// unlessOneOf fails the test if err is neither nil nor one of others.
func unlessOneOf(t testing.TB, what string, err error, others ...error) {
	t.Helper()
	if err != nil && !slices.ContainsFunc(others, func(o error) bool { return errors.Is(err, o) }) {
		t.Errorf("%s: %v", what, err)
	}
}

// try returns 1 if f succeeds, and 0 if it fails with busy.
func try(f func() error, busy error) (uint64, error) {
	err := f()
	switch {
	case err == nil:
		return 1, nil
	case errors.Is(err, busy):
		return 0, nil
	}
	return 0, err
}

// attachOther attaches another party to the segment of a scene. It must die, by Dies.
func attachOther(s *stepScene) *shm.Segment { return Attach(s, s.Seg) }
