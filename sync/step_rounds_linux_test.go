package sync_test

import (
	"context"
	"errors"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

func stepEvent(s *stepScene) job {
	return job{Event: Closing(s, Must(psync.NewEvent(s.Seg, ""))(s)), Cells: NewCells(s, s.Seg, 2)}
}

func setEvent(s *stepScene) { WantNil(s, "Set", s.Job.Event.Set()) }

var eventSteps = []stepRow{
	{
		Name:    "Event.Set",
		Promise: "The waiter is woken by the Set, or by the next one.",
		Set:     step.Sets(stepEvent),
		Ready:   func(s *stepScene) { s.Begin(1, s.Job.Event.Wait) },
		Do:      step.Does(func(_ context.Context, j job) error { return j.Event.Set() }),
		Other:   func(s *stepScene) (uint64, error) { s.Job.Event.IsSet(); return 0, nil },
		Check: func(s *stepScene, o step.Outcome) {
			if !o.OK() {
				setEvent(s)
			}
			WantNil(s, "the waiter", s.Results()[0])
			Want(s, "IsSet", s.Job.Event.IsSet(), true)
		},
	}, {
		Name:    "Event.Wait",
		Promise: "A waiter that dies changes nothing.",
		Set:     step.Sets(stepEvent),
		Before:  func(ctx context.Context, j job) error { return step.Vainly(ctx, j.Event.Wait) },
		Do:      step.Does(func(ctx context.Context, j job) error { return j.Event.Wait(ctx) }),
		Asleep:  setEvent,
		Other:   func(s *stepScene) (uint64, error) { return 0, s.Job.Event.Set() },
		Check: func(s *stepScene, o step.Outcome) {
			if o.OK() {
				Want(s, "IsSet", s.Job.Event.IsSet(), true)
			}
			setEvent(s)
			WantNil(s, "Wait", s.Job.Event.Wait(Within(s)))
			WantNil(s, "Clear", s.Job.Event.Clear())
			Want(s, "IsSet", s.Job.Event.IsSet(), false)
		},
	}, {
		Name:    "Event.Clear",
		Promise: "The flag is as it was, or clear.",
		Set: step.Sets(func(s *stepScene) job {
			j := stepEvent(s)
			WantNil(s, "Set", j.Event.Set())
			return j
		}),
		Do:    step.Does(func(_ context.Context, j job) error { return j.Event.Clear() }),
		Other: func(s *stepScene) (uint64, error) { return 0, s.Job.Event.Set() },
		Check: func(s *stepScene, o step.Outcome) {
			if o.OK() && !o.Between {
				Want(s, "IsSet", s.Job.Event.IsSet(), false)
			}
			s.Begin(0, s.Job.Event.Wait)
			setEvent(s)
			WantNil(s, "a waiter", s.Results()[0])
		},
	},
}

func stepBarrier(s *stepScene) job {
	return job{Barrier: Closing(s, Must(psync.NewBarrier(s.Seg, "", 2, nil))(s)), Cells: NewCells(s, s.Seg, 2)}
}

func waitBarrier(j job) func(context.Context) error {
	return func(ctx context.Context) error { return Second(j.Barrier.Wait(ctx)) }
}

var barrierSteps = []stepRow{
	{
		Name:    "Barrier.Wait last",
		Promise: "The round passes, or it breaks: nobody is left waiting.",
		Set:     step.Sets(stepBarrier),
		Ready:   func(s *stepScene) { s.Begin(1, waitBarrier(s.Job)) },
		Do:      step.Does(func(ctx context.Context, j job) error { return Second(j.Barrier.Wait(ctx)) }),
		Other:   step.Nothing[job],
		Check:   checkBarrier,
	}, {
		Name:    "Barrier.Wait first",
		Promise: "The round of a party that dies waiting breaks, unless it has passed.",
		Set:     step.Sets(stepBarrier),
		Before: func(ctx context.Context, j job) error {
			err := step.Vainly(ctx, func(ctx context.Context) error { return Second(j.Barrier.Wait(ctx)) })
			return errors.Join(err, j.Barrier.Reset())
		},
		Do: step.Does(func(ctx context.Context, j job) error { return Second(j.Barrier.Wait(ctx)) }),
		Asleep: func(s *stepScene) {
			if s.Job.Cells.At(1).CompareAndSwap(0, 1) {
				_, err := s.Job.Barrier.Wait(Within(s))
				WantNil(s, "Wait of the last", err)
			}
		},
		Other: func(s *stepScene) (uint64, error) {
			s.Job.Cells.At(1).Store(1)
			return 0, s.Job.Barrier.Abort()
		},
		Check: checkBarrier,
	}, {
		Name:    "Barrier.Abort",
		Promise: "The barrier breaks, or is as it was.",
		Set:     step.Sets(stepBarrier),
		Ready:   func(s *stepScene) { s.Begin(1, waitBarrier(s.Job)) },
		Do:      step.Does(func(_ context.Context, j job) error { return j.Barrier.Abort() }),
		Other:   step.Nothing[job],
		Check:   checkBarrier,
	}, {
		Name:    "Barrier.Reset",
		Promise: "The barrier is broken, or works again.",
		Set: step.Sets(func(s *stepScene) job {
			j := stepBarrier(s)
			WantNil(s, "Abort", j.Barrier.Abort())
			return j
		}),
		Do:    step.Does(func(_ context.Context, j job) error { return j.Barrier.Reset() }),
		Other: func(s *stepScene) (uint64, error) { return 0, s.Job.Barrier.Abort() },
		Check: func(s *stepScene, o step.Outcome) {
			if o.OK() && !o.Between {
				Want(s, "Broken", s.Job.Barrier.Broken(), false)
			}
			checkBarrier(s, o)
		},
	},
}

// checkBarrier ends the wait that the test's process has begun, and checks that the barrier works.
func checkBarrier(s *stepScene, o step.Outcome) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if !o.OK() {
		WantNil(s, "Abort", s.Job.Barrier.Abort())
	}
	for _, err := range s.Results() {
		WantNilOr(s, "the other party", err, psync.ErrBroken)
	}
	WantNil(s, "Reset", s.Job.Barrier.Reset())
	s.Begin(1, waitBarrier(s.Job))
	_, err := s.Job.Barrier.Wait(Within(s))
	WantNil(s, "Wait", err)
	WantNil(s, "Wait of the first", s.Results()[0])
}

func stepGroup(s *stepScene) job {
	return job{Group: Closing(s, Must(psync.NewWaitGroup(s.Seg, "group"))(s)), Cells: NewCells(s, s.Seg, 2)}
}

// groupOfOne makes a group in which the test's process has a count.
func groupOfOne(s *stepScene) job {
	j := stepGroup(s)
	WantNil(s, "Add", j.Group.Add(1))
	return j
}

func addOne(_ context.Context, j job) error { return j.Group.Add(1) }

var groupSteps = []stepRow{
	{
		Name:    "WaitGroup.Add",
		Promise: "A count of a process that dies is reported by Wait, and dropped by Recover.",
		Set:     step.Sets(stepGroup),
		Do:      step.Does(addOne),
		Check: func(s *stepScene, o step.Outcome) {
			err := s.Job.Group.Wait(Within(s))
			if o.OK() {
				WantError(s, "Wait", err, psync.ErrOwnerDied)
			}
			WantNilOr(s, "Wait", err, psync.ErrOwnerDied)
			checkGroup(s)
		},
	}, {
		Name:    "WaitGroup.Done",
		Promise: "The waiter returns, at the latest by the death of the process that had the count.",
		Set:     step.Sets(stepGroup),
		Before:  addOne,
		Ready:   func(s *stepScene) { s.Begin(1, s.Job.Group.Wait) },
		Do:      step.Does(func(_ context.Context, j job) error { return j.Group.Done() }),
		Check: func(s *stepScene, o step.Outcome) {
			err := s.Results()[0]
			if o.OK() {
				WantNil(s, "the waiter", err)
			}
			WantNilOr(s, "the waiter", err, psync.ErrOwnerDied)
			checkGroup(s)
		},
	}, {
		Name:    "WaitGroup.Claim",
		Promise: "The count belongs to one of two processes.",
		Set:     step.Sets(groupOfOne),
		Do:      step.Does(func(_ context.Context, j job) error { return j.Group.Claim() }),
		Check: func(s *stepScene, o step.Outcome) {
			// As long as the child's death is not known, Done takes back the count that the child
			// has.
			WantNilOr(s, "Done", s.Job.Group.Done(), psync.ErrOwnerDied)
			checkGroup(s)
		},
	}, {
		Name:    "WaitGroup.Wait",
		Promise: "A waiter that dies changes nothing.",
		Set:     step.Sets(groupOfOne),
		Before:  func(ctx context.Context, j job) error { return step.Vainly(ctx, j.Group.Wait) },
		Do:      step.Does(func(ctx context.Context, j job) error { return j.Group.Wait(ctx) }),
		Asleep:  doneOnce,
		Other: func(s *stepScene) (uint64, error) {
			doneOnce(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			doneOnce(s)
			WantNil(s, "Wait", s.Job.Group.Wait(Within(s)))
			checkGroup(s)
		},
	}, {
		Name:    "WaitGroup.Recover",
		Promise: "The counts of the dead are dropped, by this call or the next one.",
		Set: step.Sets(func(s *stepScene) job {
			j := stepGroup(s)
			other := attachOther(s)
			WantNil(s, "Add", Must(psync.OpenWaitGroup(other, "group"))(s).Add(3))
			Dies(s, s.Seg, other)
			return j
		}),
		Do:    step.Does(func(_ context.Context, j job) error { return Second(j.Group.Recover()) }),
		Check: func(s *stepScene, o step.Outcome) { checkGroup(s) },
	},
}

// doneOnce takes the count of the test's process back, the first time.
func doneOnce(s *stepScene) {
	if s.Job.Cells.At(1).CompareAndSwap(0, 1) {
		WantNil(s, "Done", s.Job.Group.Done())
	}
}

// checkGroup drops the counts of the dead, and checks that the group works.
func checkGroup(s *stepScene) {
	s.Helper()
	g := s.Job.Group
	_, err := g.Recover()
	WantNil(s, "Recover", err)
	WantNil(s, "Wait", g.Wait(Within(s)))
	WantNil(s, "Add", g.Add(1))
	s.Begin(1, g.Wait)
	WantNil(s, "Done", g.Done())
	WantNil(s, "a waiter", s.Results()[0])
}

// stepOnce makes a Once. Cell 1 counts the calls of its function that have begun.
func stepOnce(s *stepScene) job {
	return job{Once: Closing(s, Must(psync.NewOnce(s.Seg, ""))(s)), Cells: NewCells(s, s.Seg, 2)}
}

func doOnce(ctx context.Context, j job) error {
	return j.Once.Do(ctx, func() error { j.Cells.At(1).Add(1); return nil })
}

var onceSteps = []stepRow{
	{
		Name:    "Once.Do",
		Promise: "The function has succeeded when Done is true. If its process dies in it, the next Do calls its own.",
		Set:     step.Sets(stepOnce),
		Do:      step.Does(doOnce),
		Other: func(s *stepScene) (uint64, error) {
			if s.Job.Once.Done() {
				return 1, nil
			}
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			if o.OtherValue == 1 && s.Job.Cells.At(1).Load() != 1 {
				s.Error("Done was true before the function had succeeded")
			}
			WantNil(s, "Do", doOnce(Within(s), s.Job))
			if n := s.Job.Cells.At(1).Load(); n != 1 && (o.OK() || n != 2) {
				s.Errorf("%d calls", n)
			}
			Want(s, "Done", s.Job.Once.Done(), true)
		},
	}, {
		Name:    "Once.Do beside another",
		Promise: "A waiter that dies changes nothing.",
		Set: step.Sets(func(s *stepScene) job {
			j := stepOnce(s)
			ctx := Within(s)
			s.Begin(1, func(context.Context) error {
				return j.Once.Do(ctx, func() error { return j.Cells.Until(ctx, 1, 1) })
			})
			return j
		}),
		Before: func(ctx context.Context, j job) error {
			return step.Vainly(ctx, func(ctx context.Context) error { return doOnce(ctx, j) })
		},
		Do:     step.Does(doOnce),
		Asleep: func(s *stepScene) { s.Job.Cells.Set(1, 1) },
		Other: func(s *stepScene) (uint64, error) {
			s.Job.Cells.Set(1, 1)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			s.Job.Cells.Set(1, 1)
			WantNil(s, "Do of the first", s.Results()[0])
			WantNil(s, "Do", doOnce(Within(s), s.Job))
			Want(s, "calls", s.Job.Cells.At(1).Load(), 1)
		},
	},
}
