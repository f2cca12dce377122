package value_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

// TestEveryInstruction kills and stops a process at each instruction of each operation.
func TestEveryInstruction(t *testing.T) { steps.Run(t) }

var steps = step.NewTable("value", slices.Concat(wordSteps, wideSteps)...)

type (
	stepRow   = step.Row[job]
	stepScene = step.Scene[job]
)

// A row's operation replaces before by after. Its Other writes between, if it writes.
const (
	before  = 1
	after   = 2
	between = 10
)

// sets returns a Set that makes a job.
func sets(make func(s *stepScene) job) func(*stepScene) {
	return func(s *stepScene) { s.Job = make(s) }
}

// does returns a Do that calls f.
func does(f func(ctx context.Context, j job) error) func(context.Context, job) (uint64, error) {
	return func(ctx context.Context, j job) (uint64, error) { return 0, f(ctx, j) }
}

// word converts a bool to what Do and Other return.
func word(b bool) uint64 {
	if b {
		return 1
	}
	return 0
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

// Cells of a round.
const (
	cellTurn  = iota // 1: the child is ready for a waiter of the test's process, 2: the waiter sleeps
	cellGiven        // 1: the test's process has made what the child waits for happen
	stepCells
)

// once calls f the first time that it is called in a round.
func once(s *stepScene, f func()) {
	if s.Job.Cells.At(cellGiven).CompareAndSwap(0, 1) {
		f()
	}
}

// awaitTurn is the end of the Before of a row whose Ready is waitForChild.
func awaitTurn(ctx context.Context, j job) error {
	j.Cells.Set(cellTurn, 1)
	return j.Cells.Until(ctx, cellTurn, 2)
}

// waitForChild begins wait when the child is ready, and lets the child go on when it sleeps.
func waitForChild(s *stepScene, wait func(context.Context) error) {
	s.Job.Cells.Await(s, cellTurn, 1)
	s.Begin(1, wait)
	s.Job.Cells.Set(cellTurn, 2)
}

// checkWritten checks what load returns after the child has died, or returned, in or after a write. Other was the same load.
func checkWritten(s *stepScene, o step.Outcome, load func() uint64) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	now := load()
	if now != after && (o.OK() || now != before) {
		s.Errorf("the value is %d, want %d", now, after)
	}
	if o.Between && o.OtherValue != before && o.OtherValue != now {
		s.Errorf("the other loaded %d, and the value is %d now", o.OtherValue, now)
	}
}
