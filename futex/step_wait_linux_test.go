package futex_test

import (
	"context"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/step"
	"github.com/seed-2e7ecdea/mp/internal/testkit"
)

var waitSteps = []stepRow{
	{
		Name:    "Wait for a word that has changed",
		Promise: "Wait returns at once.",
		Set:     setWords,
		Before:  vainly,
		Do: func(ctx context.Context, j stepJob) (uint64, error) {
			return 0, futex.Wait(ctx, j.word(), 1)
		},
		Other: func(s *stepScene) (uint64, error) {
			n, err := futex.Wake(s.Job.word(), futex.All)
			return uint64(n), err
		},
		Check: func(s *stepScene, o step.Outcome) {
			testkit.WantNil(s, "Wake", o.OtherErr)
			testkit.Want(s, "waiters", o.OtherValue, 0)
			useWords(s)
		},
	}, {
		Name:    "Wait",
		Promise: "A change of the word before a Wake is seen at whatever moment it happens. A waiter that dies leaves nothing behind.",
		Set:     setWords,
		Before:  vainly,
		Do:      func(ctx context.Context, j stepJob) (uint64, error) { return 0, waitWord(j)(ctx) },
		Asleep:  setWord,
		Other:   otherSetsWord,
		Check:   func(s *stepScene, o step.Outcome) { useWords(s) },
	}, {
		Name:    "Wait beside another waiter",
		Promise: "A waiter that dies takes at most one wake with it.",
		Set:     setWords,
		Before:  vainly,
		Do:      func(ctx context.Context, j stepJob) (uint64, error) { return 0, waitWord(j)(ctx) },
		Asleep: func(s *stepScene) {
			if s.Job.Cells.At(cellBegun).CompareAndSwap(0, 1) {
				s.Begin(1, waitWord(s.Job)) // behind the child in the kernel's queue
			}
			set(s, s.Job.word(), 1)
		},
		Check: func(s *stepScene, o step.Outcome) {
			set(s, s.Job.word(), 1)
			testkit.Must(futex.Wake(s.Job.word(), 1))(s)
			for _, err := range s.Results() {
				testkit.WantNil(s, "the other waiter", err)
			}
			useWords(s)
		},
	}, {
		Name:    "WaitAny",
		Promise: "The same for one of several words. WaitAny returns the index of the word.",
		Set:     setWords,
		Before:  vainly,
		Do:      waitAnyWord,
		Asleep:  func(s *stepScene) { set(s, s.Job.other(), futex.All) },
		Other: func(s *stepScene) (uint64, error) {
			set(s, s.Job.other(), futex.All)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			if o.OK() {
				testkit.Want(s, "index", o.Value, 1)
			}
			useWords(s)
		},
	}, {
		Name:    "Wake of one waiter",
		Promise: "The waiter is woken. If the waker dies before that, the next Wake wakes the waiter.",
		Set:     setWords,
		Ready:   beginWaiters(1),
		Do:      wake(1),
		Other:   step.Nothing[stepJob],
		Check:   checkWake(1),
	}, {
		Name:    "Wake of two waiters",
		Promise: "All waiters are woken. If the waker dies before that, the next Wake wakes them.",
		Set:     setWords,
		Ready:   beginWaiters(2),
		Do:      wake(futex.All),
		Other:   step.Nothing[stepJob],
		Check:   checkWake(2),
	},
}
