package value_test

import (
	"slices"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

// TestEveryInstruction kills and stops a process at each instruction of each operation.
func TestEveryInstruction(t *testing.T) { steps.Run(t) }

var steps = step.NewTable("value", slices.Concat(wordSteps, wideSteps, typeSteps)...)

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

// word converts a bool to what Do and Other return.
func word(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// Cells of a round.
const (
	cellGiven = iota // 1: the test's process has made what the child waits for happen
	stepCells
)

// once calls f the first time that it is called in a round.
func once(s *stepScene, f func()) {
	if s.Job.Cells.At(cellGiven).CompareAndSwap(0, 1) {
		f()
	}
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
