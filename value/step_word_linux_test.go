package value_test

import (
	"context"
	"errors"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

func stepWord(s *stepScene) job {
	return job{Int: Closing(s, Must(value.NewInt64(s.Seg, "", before, nil))(s)), Cells: NewCells(s, s.Seg, stepCells)}
}

// stepSharedWord makes a value whose Update takes a lock that does not ignore deaths.
func stepSharedWord(s *stepScene) job {
	l := Closing(s, Must(psync.NewLock(s.Seg, "", nil))(s))
	return job{Int: Closing(s, Must(value.NewInt64(s.Seg, "", before, &value.Options{Lock: l}))(s)), Lock: l}
}

func storeWord(_ context.Context, j job) error { j.Int.Store(after); return nil }

func updateWord(ctx context.Context, j job) error {
	return j.Int.Update(ctx, func(x *int64) { *x++ })
}

// updateNothing calls Update without a change, so that the next call is not the first of the process.
func updateNothing(ctx context.Context, j job) error {
	return j.Int.Update(ctx, func(*int64) {})
}

// watchWord returns when Watch has yielded after.
func watchWord(ctx context.Context, j job) error {
	for x, err := range j.Int.Watch(ctx) {
		if err != nil || x == after {
			return err
		}
	}
	return nil
}

func loadWord(s *stepScene) uint64            { return uint64(s.Job.Int.Load()) }
func otherLoads(s *stepScene) (uint64, error) { return loadWord(s), nil }
func otherAdds(s *stepScene) (uint64, error) {
	return uint64(s.Job.Int.Add(between)), nil
}

var wordSteps = []stepRow{
	{
		Name:    "Int64.Store",
		Promise: "A writer that dies leaves the old value or the new one.",
		Set:     step.Sets(stepWord),
		Before:  func(_ context.Context, j job) error { j.Int.Store(before); return nil },
		Do:      step.Does(storeWord),
		Other:   otherLoads,
		Check: func(s *stepScene, o step.Outcome) {
			checkWritten(s, o, func() uint64 { return loadWord(s) })
			useWord(s)
		},
	}, {
		Name:    "Int64.Store to a watcher",
		Promise: "The watcher sees the new value also if its writer died before it woke the watcher.",
		Set:     step.Sets(stepWord),
		Ready: func(s *stepScene) {
			s.Begin(1, func(ctx context.Context) error { return watchWord(ctx, s.Job) })
		},
		Do:    step.Does(storeWord),
		Other: otherLoads,
		Check: func(s *stepScene, o step.Outcome) {
			checkWritten(s, o, func() uint64 { return loadWord(s) })
			if loadWord(s) == before {
				s.Job.Int.Store(after)
			}
			WantNil(s, "the watcher", s.Results()[0])
			useWord(s)
		},
	}, {
		Name:    "Int64.Swap",
		Promise: "Each value is swapped out once.",
		Set:     step.Sets(stepWord),
		Before:  func(_ context.Context, j job) error { j.Int.Swap(before); return nil },
		Do:      func(_ context.Context, j job) (uint64, error) { return uint64(j.Int.Swap(after)), nil },
		Other:   func(s *stepScene) (uint64, error) { return uint64(s.Job.Int.Swap(between)), nil },
		Check: func(s *stepScene, o step.Outcome) {
			now := loadWord(s)
			switch {
			case o.Between && o.OtherValue == after: // the other came second
				Want(s, "value", now, between)
				if o.OK() {
					Want(s, "what the child swapped out", o.Value, before)
				}
			case o.Between && o.OK(): // the other came first
				Want(s, "what the other swapped out", o.OtherValue, before)
				Want(s, "what the child swapped out", o.Value, between)
				Want(s, "value", now, after)
			case o.Between:
				Want(s, "what the other swapped out", o.OtherValue, before)
				Want(s, "value", now, between)
			default:
				checkWritten(s, o, func() uint64 { return now })
			}
			useWord(s)
		},
	}, {
		Name:    "CompareAndSwap of a word",
		Promise: "One of two that replace the same value succeeds.",
		Set:     step.Sets(stepWord),
		Before:  func(_ context.Context, j job) error { j.Int.CompareAndSwap(before, before); return nil },
		Do:      func(_ context.Context, j job) (uint64, error) { return word(j.Int.CompareAndSwap(before, after)), nil },
		Other: func(s *stepScene) (uint64, error) {
			return word(s.Job.Int.CompareAndSwap(before, between)), nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			now := loadWord(s)
			switch {
			case o.OtherValue == 1:
				Want(s, "value", now, between)
				Want(s, "whether the child swapped, too", o.Value, 0)
			case o.Between:
				Want(s, "value", now, after)
				if o.OK() {
					Want(s, "whether the child swapped", o.Value, 1)
				}
			default:
				checkWritten(s, o, func() uint64 { return now })
			}
			useWord(s)
		},
	}, {
		Name:    "Int64.Add",
		Promise: "A number is added once, or not at all.",
		Set:     step.Sets(stepWord),
		Before:  func(_ context.Context, j job) error { j.Int.Add(0); return nil },
		Do:      func(_ context.Context, j job) (uint64, error) { return uint64(j.Int.Add(1)), nil },
		Other:   otherAdds,
		Check:   checkAdded,
	}, {
		Name:    "Float64.Add",
		Promise: "A number is added once, or not at all.",
		Set: step.Sets(func(s *stepScene) job {
			return job{Float: Closing(s, Must(value.NewFloat64(s.Seg, "", before, nil))(s))}
		}),
		Before: func(_ context.Context, j job) error { j.Float.Add(0); return nil },
		Do:     func(_ context.Context, j job) (uint64, error) { return uint64(j.Float.Add(1)), nil },
		Other:  func(s *stepScene) (uint64, error) { return uint64(s.Job.Float.Add(between)), nil },
		Check: func(s *stepScene, o step.Outcome) {
			checkSum(s, o, uint64(s.Job.Float.Load()))
			s.Job.Float.Store(before)
			Want(s, "sum", s.Job.Float.Add(1), after)
		},
	}, {
		Name:    "Int64.Update",
		Promise: "No concurrent change is lost. An owner of the value's lock that dies blocks nobody.",
		Set:     step.Sets(stepWord),
		Before:  updateNothing,
		Do:      step.Does(updateWord),
		Other:   otherAdds,
		Check:   checkAdded,
	}, {
		Name:    "Int64.Update beside another",
		Promise: "An Update that waits for the value's lock and dies leaves nothing behind.",
		Set: step.Sets(func(s *stepScene) job {
			j := stepWord(s)
			WantNil(s, "Acquire", j.Int.Lock().Acquire(Within(s)))
			return j
		}),
		Before: func(ctx context.Context, j job) error {
			return step.Vainly(ctx, func(ctx context.Context) error { return updateWord(ctx, j) })
		},
		Do:     step.Does(updateWord),
		Asleep: giveWord,
		Other: func(s *stepScene) (uint64, error) {
			giveWord(s)
			return otherAdds(s)
		},
		Check: func(s *stepScene, o step.Outcome) {
			giveWord(s)
			checkAdded(s, o)
		},
	}, {
		Name:    "Int64.Update with a shared lock",
		Promise: "The lock has a dead owner, if its owner died in Update. Its repair makes Update usable again.",
		Set:     step.Sets(stepSharedWord),
		Before:  updateNothing,
		Do:      step.Does(updateWord),
		Other:   otherAdds,
		Check: func(s *stepScene, o step.Outcome) {
			checkSum(s, o, loadWord(s))
			err := updateNothing(Within(s), s.Job)
			if o.OK() {
				WantNil(s, "Update after Update", err)
			}
			if err != nil {
				WantError(s, "Update", err, psync.ErrOwnerDied)
				WantNil(s, "Recover", s.Job.Lock.Recover(Within(s), func() error { return nil }))
			}
			useWord(s)
		},
	}, {
		Name:    "Int64.Watch",
		Promise: "A change wakes the watcher at whatever moment it happens. A watcher that dies leaves nothing behind.",
		Set:     step.Sets(stepWord),
		Before: func(ctx context.Context, j job) error {
			return step.Vainly(ctx, func(ctx context.Context) error { return watchWord(ctx, j) })
		},
		Do:     step.Does(watchWord),
		Asleep: func(s *stepScene) { once(s, func() { s.Job.Int.Store(after) }) },
		Other: func(s *stepScene) (uint64, error) {
			once(s, func() { s.Job.Int.Store(after) })
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) { useWord(s) },
	},
}

// giveWord releases the value's lock if the test's process holds it.
func giveWord(s *stepScene) {
	if err := s.Job.Int.Lock().Release(); !errors.Is(err, psync.ErrNotHeld) {
		WantNil(s, "Release", err)
	}
}

// checkAdded checks a word to which the child adds 1, and Other adds between.
func checkAdded(s *stepScene, o step.Outcome) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	checkSum(s, o, loadWord(s))
	useWord(s)
}

// checkSum checks the sum now of before, of between if the Other has added it, and of 1 if the child has.
func checkSum(s *stepScene, o step.Outcome, now uint64) {
	s.Helper()
	sum := uint64(before)
	if o.Between {
		sum += between
	}
	if now != sum+1 && (o.OK() || now != sum) {
		s.Errorf("the sum is %d, want %d", now, sum+1)
	}
	if o.Between && o.OtherValue != now && o.OtherValue != now-1 {
		s.Errorf("the other's sum was %d, and it is %d now", o.OtherValue, now)
	}
}

// useWord checks that the value can be used: written, updated and watched.
func useWord(s *stepScene) {
	s.Helper()
	v := s.Job.Int
	v.Store(0)
	s.Begin(1, func(ctx context.Context) error { return watchWord(ctx, s.Job) })
	WantNil(s, "Update", v.Update(Within(s), func(x *int64) { *x += after }))
	WantNil(s, "a watcher", s.Results()[0])
}
