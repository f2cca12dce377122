package sync_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestEveryInstruction kills and stops a process at each instruction of each operation.
func TestEveryInstruction(t *testing.T) { steps.Run(t) }

var steps = step.NewTable("sync", slices.Concat(
	lockSteps, rlockSteps, rwlockSteps, semaphoreSteps, boundedSteps, conditionSteps, rconditionSteps,
	eventSteps, barrierSteps, groupSteps, onceSteps)...)

type (
	stepRow   = step.Row[job]
	stepScene = step.Scene[job]
)

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
