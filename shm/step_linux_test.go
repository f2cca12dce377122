package shm_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestEveryInstruction kills and stops a process at each instruction of each operation.
func TestEveryInstruction(t *testing.T) { steps.Run(t) }

var steps = step.NewTable("shm", slices.Concat(segmentSteps, objectSteps)...)

type (
	stepRow   = step.Row[job]
	stepScene = step.Scene[job]
)

// What a child keeps until it ends.
var (
	childSegment *shm.Segment
	childObject  object.Object
	childBlock   *shm.Block
)

// does returns a Do that calls f.
func does(f func(j job) error) func(context.Context, job) (uint64, error) {
	return func(_ context.Context, j job) (uint64, error) { return 0, f(j) }
}

// found returns 1 if err is nil, and 0 if it is fs.ErrNotExist.
func found(err error) (uint64, error) {
	switch {
	case err == nil:
		return 1, nil
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	}
	return 0, err
}

// opens returns a Do that calls open. It returns 1 with an error that wraps fs.ErrNotExist.
func opens(open func(j job) error) func(context.Context, job) (uint64, error) {
	return func(_ context.Context, j job) (uint64, error) {
		err := open(j)
		if errors.Is(err, fs.ErrNotExist) {
			return 1, err
		}
		return 0, err
	}
}

// notFound reports whether the Do of opens has returned fs.ErrNotExist.
func notFound(o step.Outcome) bool { return o.Returned && o.Err != "" && o.Value == 1 }

// checkParties checks that the n parties of the segment that the child's death leaves are counted, and that the lines
// of the others can be used.
func checkParties(s *stepScene, seg *shm.Segment, n, limit int) {
	s.Helper()
	Want(s, "parties", Must(seg.Parties())(s), n)
	for range limit - n {
		Attach(s, seg)
	}
	Want(s, "parties", Must(seg.Parties())(s), limit)
	WantError(s, "one party more", Second(object.Attach(seg)), shm.ErrParties)
}

// checkSpace checks that all of the segment's space can be used, after all objects that have a name have been removed.
func checkSpace(s *stepScene, seg *shm.Segment) {
	s.Helper()
	empty(s, seg)
	whole, err := newPlain(seg, "whole", Must(seg.Size())(s))
	WantNil(s, "an object of all of the space", err)
	for i, b := range whole.Bytes() {
		if b != 0 {
			s.Fatalf("byte %d of new memory is %d", i, b)
		}
	}
	whole.Close()
}
