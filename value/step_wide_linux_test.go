package value_test

import (
	"context"
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/layout"
	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

// wide is a T of 64 bytes. It is whole if all of its words are equal.
type wide [8]uint64

func newWide(n uint64) (w wide) {
	for i := range w {
		w[i] = n
	}
	return w
}

// number returns the word of which w consists.
func (w wide) number() (uint64, error) {
	if w != newWide(w[0]) {
		return 0, fmt.Errorf("torn: %v", w)
	}
	return w[0], nil
}

func stepWide(s *stepScene) job {
	return job{Wide: newValue(s, s.Seg, newWide(before)), Cells: NewCells(s, s.Seg, stepCells)}
}

func storeWide(_ context.Context, j job) error { j.Wide.Store(newWide(after)); return nil }

func incrementWide(x *wide) { *x = newWide(x[0] + 1) }

func updateWide(ctx context.Context, j job) error { return j.Wide.Update(ctx, incrementWide) }

// watchWide returns when Watch has yielded after.
func watchWide(ctx context.Context, j job) error {
	for x, err := range j.Wide.Watch(ctx) {
		if err != nil {
			return err
		}
		if n, err := x.number(); err != nil || n == after {
			return err
		}
	}
	return nil
}

// storeAgain writes the value that the child finds, so that the next write is not the first of its process.
func storeAgain(_ context.Context, j job) error { j.Wide.Store(newWide(before)); return nil }

func otherLoadsWide(s *stepScene) (uint64, error) { return s.Job.Wide.Load().number() }

var wideSteps = []stepRow{
	{
		Name:    "Value.Store",
		Promise: "A writer that is stopped or dies leaves the old value or the new one, as a whole, and blocks no reader.",
		Set:     step.Sets(stepWide),
		Before:  storeAgain,
		Do:      step.Does(storeWide),
		Other:   otherLoadsWide,
		Check:   checkWide,
	}, {
		Name:    "Value.Store to a watcher",
		Promise: "The watcher sees the new value also if its writer died before it woke the watcher.",
		Set:     step.Sets(stepWide),
		Ready: func(s *stepScene) {
			s.Begin(1, func(ctx context.Context) error { return watchWide(ctx, s.Job) })
		},
		Do:    step.Does(storeWide),
		Other: otherLoadsWide,
		Check: func(s *stepScene, o step.Outcome) {
			if n, err := otherLoadsWide(s); err == nil && n == before && !o.OK() {
				WantNil(s, "Store", storeWide(Within(s), s.Job))
			}
			WantNil(s, "the watcher", s.Results()[0])
			checkWide(s, o)
		},
	}, {
		Name:    "Value.Store beside another writer",
		Promise: "A writer that waits for another and dies leaves nothing behind.",
		Set: step.Sets(func(s *stepScene) job {
			j := namedWide(s)
			holdWriters(s, s.Seg)
			return j
		}),
		Do:     step.Does(storeWide),
		Asleep: func(s *stepScene) { once(s, func() { WantNil(s, "Release", writers.Release()) }) },
		Other:  otherLoadsWide,
		Check: func(s *stepScene, o step.Outcome) {
			once(s, func() { WantNil(s, "Release", writers.Release()) })
			checkWide(s, o)
		},
	}, {
		Name:    "Value.Store after a dead writer",
		Promise: "The lock of a writer that died is taken over by one of the next writers.",
		Set: step.Sets(func(s *stepScene) job {
			j := namedWide(s)
			other := Attach(s, s.Seg)
			holdWriters(s, other)
			Dies(s, s.Seg, other)
			return j
		}),
		Do:    step.Does(storeWide),
		Other: otherLoadsWide,
		Check: checkWide,
	}, {
		Name:    "Value.Swap",
		Promise: "A writer that is stopped or dies leaves the old value or the new one, as a whole, and blocks no reader.",
		Set:     step.Sets(stepWide),
		Before:  storeAgain,
		Do: func(_ context.Context, j job) (uint64, error) {
			return j.Wide.Swap(newWide(after)).number()
		},
		Other: otherLoadsWide,
		Check: func(s *stepScene, o step.Outcome) {
			if o.OK() {
				Want(s, "what the child swapped out", o.Value, before)
			}
			checkWide(s, o)
		},
	}, {
		Name:    "CompareAndSwap",
		Promise: "A writer that is stopped or dies leaves the old value or the new one, as a whole, and blocks no reader.",
		Set:     step.Sets(stepWide),
		Before:  storeAgain,
		Do: func(_ context.Context, j job) (uint64, error) {
			return word(value.CompareAndSwap(j.Wide, newWide(before), newWide(after))), nil
		},
		Other: otherLoadsWide,
		Check: func(s *stepScene, o step.Outcome) {
			if o.OK() {
				Want(s, "whether the child swapped", o.Value, 1)
			}
			checkWide(s, o)
		},
	}, {
		Name:    "CompareAndSwap of another value",
		Promise: "It changes nothing, and leaves the writers' lock free, or with a dead owner.",
		Set:     step.Sets(stepWide),
		Before:  storeAgain,
		Do: func(_ context.Context, j job) (uint64, error) {
			return word(value.CompareAndSwap(j.Wide, newWide(after), newWide(between))), nil
		},
		Other: otherLoadsWide,
		Check: func(s *stepScene, o step.Outcome) {
			Want(s, "whether the child swapped", o.Value, 0)
			n, err := otherLoadsWide(s)
			WantNil(s, "Load", err)
			Want(s, "value", n, before)
			useWide(s)
		},
	}, {
		Name:    "Value.Update",
		Promise: "An Update that is stopped or dies leaves the old value or the new one, as a whole. It blocks no reader and, when it is dead, no writer.",
		Set:     step.Sets(stepWide),
		Before:  func(ctx context.Context, j job) error { return j.Wide.Update(ctx, func(*wide) {}) },
		Do:      step.Does(updateWide),
		Other:   otherLoadsWide,
		Check:   checkWide,
	}, {
		Name:    "Value.Update beside a Store",
		Promise: "No concurrent change is lost.",
		Set:     step.Sets(stepWide),
		Before:  storeAgain,
		Do: step.Does(func(ctx context.Context, j job) error {
			stored := false
			return j.Wide.Update(ctx, func(x *wide) {
				if !stored {
					j.Wide.Store(newWide(between))
					stored = true
				}
				incrementWide(x)
			})
		}),
		Check: func(s *stepScene, o step.Outcome) {
			n, err := otherLoadsWide(s)
			WantNil(s, "Load", err)
			if n != between+1 && (o.OK() || n != between && n != before) {
				s.Errorf("the value is %d", n)
			}
			useWide(s)
		},
	}, {
		Name:    "Value.Update with a shared lock",
		Promise: "The lock has a dead owner, if its owner died in Update. Its repair makes Update usable again.",
		Set: step.Sets(func(s *stepScene) job {
			l := Closing(s, Must(psync.NewLock(s.Seg, "", nil))(s))
			return job{Wide: Closing(s, Must(value.New(s.Seg, "", newWide(before), &value.Options{Lock: l}))(s)), Lock: l}
		}),
		Before: func(ctx context.Context, j job) error { return j.Wide.Update(ctx, func(*wide) {}) },
		Do:     step.Does(updateWide),
		Other:  otherLoadsWide,
		Check: func(s *stepScene, o step.Outcome) {
			err := s.Job.Wide.Update(Within(s), func(*wide) {})
			if o.OK() {
				WantNil(s, "Update after Update", err)
			}
			if err != nil {
				WantError(s, "Update", err, psync.ErrOwnerDied)
				WantNil(s, "Recover", s.Job.Lock.Recover(Within(s), func() error { return nil }))
			}
			checkWide(s, o)
		},
	}, {
		Name:    "Value.Load",
		Promise: "A reader gets one value as a whole, however often it is replaced meanwhile.",
		Set:     step.Sets(stepWide),
		Before:  func(_ context.Context, j job) error { j.Wide.Load(); return nil },
		Do:      func(_ context.Context, j job) (uint64, error) { return j.Wide.Load().number() },
		Other: func(s *stepScene) (uint64, error) {
			for n := range uint64(4) { // so often that the reader's copy is overwritten
				s.Job.Wide.Store(newWide(between + n))
			}
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			Want(s, "error", o.Err, "")
			if o.OK() && o.Value != before && o.Value != between+3 {
				s.Errorf("loaded %d, which was never the value of a whole Load", o.Value)
			}
			useWide(s)
		},
	}, {
		Name:    "Value.Load beside one Store",
		Promise: "A reader gets the old value or the new one.",
		Set:     step.Sets(stepWide),
		Before:  func(_ context.Context, j job) error { j.Wide.Load(); return nil },
		Do:      func(_ context.Context, j job) (uint64, error) { return j.Wide.Load().number() },
		Other:   func(s *stepScene) (uint64, error) { return 0, storeWide(Within(s), s.Job) },
		Check: func(s *stepScene, o step.Outcome) {
			Want(s, "error", o.Err, "")
			if o.OK() && o.Value != before && o.Value != after {
				s.Errorf("loaded %d", o.Value)
			}
			useWide(s)
		},
	}, {
		Name:    "Value.Watch",
		Promise: "A change wakes the watcher at whatever moment it happens. A watcher that dies leaves nothing behind.",
		Set:     step.Sets(stepWide),
		Before: func(ctx context.Context, j job) error {
			return step.Vainly(ctx, func(ctx context.Context) error { return watchWide(ctx, j) })
		},
		Do:     step.Does(watchWide),
		Asleep: func(s *stepScene) { once(s, func() { s.Job.Wide.Store(newWide(after)) }) },
		Other: func(s *stepScene) (uint64, error) {
			once(s, func() { s.Job.Wide.Store(newWide(after)) })
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) { useWide(s) },
	},
}

// writers is the writers' lock of a round's value, if holdWriters was called.
var writers *lock.Guard

// namedWide makes a value that has a name, so that holdWriters finds its lock.
func namedWide(s *stepScene) job {
	v := Closing(s, Must(value.New(s.Seg, "wide", newWide(before), nil))(s))
	return job{Wide: v, Cells: NewCells(s, s.Seg, stepCells)}
}

// holdWriters acquires the writers' lock of the value as a party, as a writer that copies a value in does.
func holdWriters(s *stepScene, party *shm.Segment) {
	const offset = 168 // of the writers' lock in a value
	l := Must(layout.Of[wide]())(s)
	o := Closing(s, Must(object.Open(party, shm.KindValue, "wide", l.Fingerprint))(s))
	writers = Must(lock.OpenGuard(o, offset))(s)
	s.Cleanup(func() { writers = nil }) // it would keep the memory mapped
	WantNil(s, "Acquire", writers.TryAcquire())
}

// checkWide checks the value after the child has died, or returned, in or after a write.
func checkWide(s *stepScene, o step.Outcome) {
	s.Helper()
	checkWritten(s, o, func() uint64 {
		n, err := otherLoadsWide(s)
		WantNil(s, "Load", err)
		return n
	})
	useWide(s)
}

// useWide checks that the value can be used: written, updated and watched.
func useWide(s *stepScene) {
	s.Helper()
	v := s.Job.Wide
	v.Store(newWide(1))
	s.Begin(1, func(ctx context.Context) error { return watchWide(ctx, s.Job) })
	WantNil(s, "Update", v.Update(Within(s), incrementWide))
	WantNil(s, "a watcher", s.Results()[0])
}
