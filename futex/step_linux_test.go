package futex_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/step"
	"github.com/seed-2e7ecdea/mp/internal/testkit"
)

// TestEveryInstruction kills and stops a process at each instruction of each operation.
func TestEveryInstruction(t *testing.T) { steps.Run(t) }

var steps = step.NewTable("futex", waitSteps...)

// A stepJob is what a child of TestEveryInstruction gets.
type stepJob struct{ Cells *testkit.Cells }

type (
	stepRow   = step.Row[stepJob]
	stepScene = step.Scene[stepJob]
)

// Cells of a round. The words are 0 until what their waiters wait for has happened, then 1.
const (
	cellWord  = iota
	cellOther // another word
	cellBegun // 1: another waiter has begun
	stepCells
)

func (j stepJob) word() *atomic.Uint32  { return j.Cells.At(cellWord) }
func (j stepJob) other() *atomic.Uint32 { return j.Cells.At(cellOther) }

func setWords(s *stepScene) { s.Job = stepJob{testkit.NewCells(s, s.Seg, stepCells)} }

// vainly waits with a context that ends soon, so that the next wait is not the first of the process.
func vainly(ctx context.Context, j stepJob) error { return step.Vainly(ctx, waitWord(j)) }

// waitWord returns when the word is 1.
func waitWord(j stepJob) func(context.Context) error {
	return func(ctx context.Context) error { return waitUntil(ctx, j.word(), 1) }
}

// waitAnyWord returns the index of the word that has become 1.
func waitAnyWord(ctx context.Context, j stepJob) (uint64, error) {
	for {
		i, err := futex.WaitAny(ctx, futex.Word{Addr: j.word(), Val: 0}, futex.Word{Addr: j.other(), Val: 0})
		if i >= 0 || err != nil {
			return uint64(i), err
		}
	}
}

// beginWaiters returns a Ready that begins n waiters.
func beginWaiters(n int) func(*stepScene) {
	return func(s *stepScene) {
		for i := range n {
			s.Begin(i+1, waitWord(s.Job))
		}
	}
}

// set sets a word to 1 and wakes up to n waiters, the first time that it is called for the word.
func set(s *stepScene, word *atomic.Uint32, n int) {
	if word.CompareAndSwap(0, 1) {
		testkit.Must(futex.Wake(word, n))(s)
	}
}

// setWord is set of the word for all waiters.
func setWord(s *stepScene) { set(s, s.Job.word(), futex.All) }

func otherSetsWord(s *stepScene) (uint64, error) {
	setWord(s)
	return 0, nil
}

func wake(n int) func(context.Context, stepJob) (uint64, error) {
	return func(_ context.Context, j stepJob) (uint64, error) {
		j.word().Store(1)
		woken, err := futex.Wake(j.word(), n)
		return uint64(woken), err
	}
}

// checkWake returns a check for rows whose child wakes n waiters.
func checkWake(n int) func(*stepScene, step.Outcome) {
	return func(s *stepScene, o step.Outcome) {
		s.Helper()
		if o.Value > uint64(n) {
			s.Errorf("%d waiters were woken, and %d waited", o.Value, n)
		}
		if !o.OK() { // the child may have died before it woke them
			s.Job.word().Store(1)
			testkit.Must(futex.Wake(s.Job.word(), futex.All))(s)
		}
		for _, err := range s.Results() {
			testkit.WantNil(s, "a waiter", err)
		}
		useWords(s)
	}
}

// useWords checks that nobody waits on the words any more, and that they can be waited on.
func useWords(s *stepScene) {
	s.Helper()
	for _, w := range []*atomic.Uint32{s.Job.word(), s.Job.other()} {
		testkit.Want(s, "waiters that were woken where none is", testkit.Must(futex.Wake(w, futex.All))(s), 0)
		w.Store(0)
	}
	s.Begin(1, waitWord(s.Job))
	setWord(s)
	testkit.WantNil(s, "a waiter", s.Results()[0])
}
