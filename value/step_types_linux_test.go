package value_test

import (
	"context"
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

func stepPair(s *stepScene) job {
	return job{Word: newValue(s, s.Seg, pair{before, before}), Cells: NewCells(s, s.Seg, stepCells)}
}

func storePair(_ context.Context, j job) error { j.Word.Store(pair{after, after}); return nil }

// loadPair loads a pair, both parts of which are equal.
func loadPair(s *stepScene) (uint64, error) {
	p := s.Job.Word.Load()
	if p.A != p.B {
		return 0, fmt.Errorf("torn: %v", p)
	}
	return uint64(p.A), nil
}

func checkPair(s *stepScene, o step.Outcome) {
	checkWritten(s, o, func() uint64 { return Must(loadPair(s))(s) })
	WantNil(s, "Update", s.Job.Word.Update(Within(s), func(p *pair) { *p = pair{between, between} }))
	Want(s, "value", s.Job.Word.Load(), pair{between, between})
}

// bigOf returns a value of 4 KiB whose words are all n.
func bigOf(n uint64) (b big) {
	for i := range b {
		b[i] = n
	}
	return b
}

func stepBig(s *stepScene) job {
	return job{Big: newValue(s, s.Seg, bigOf(before)), Cells: NewCells(s, s.Seg, stepCells)}
}

func loadBig(j job) (uint64, error) {
	b := j.Big.Load()
	if b != bigOf(b[0]) {
		return 0, fmt.Errorf("torn: %v", b)
	}
	return b[0], nil
}

func otherLoadsBig(s *stepScene) (uint64, error) { return loadBig(s.Job) }

func checkBig(s *stepScene, o step.Outcome) {
	checkWritten(s, o, func() uint64 { return Must(loadBig(s.Job))(s) })
	useBig(s)
}

// useBig checks that the value can be written and read.
func useBig(s *stepScene) {
	s.Job.Big.Store(bigOf(between))
	Want(s, "value", Must(loadBig(s.Job))(s), between)
}

var typeSteps = []stepRow{
	{
		Name:    "Value.Store of a struct of 8 bytes",
		Promise: "A writer that dies leaves the old value or the new one, as a whole.",
		Set:     step.Sets(stepPair),
		Before:  func(_ context.Context, j job) error { j.Word.Store(pair{before, before}); return nil },
		Do:      step.Does(storePair),
		Other:   loadPair,
		Check:   checkPair,
	}, {
		Name:    "Value.Update of a struct of 8 bytes",
		Promise: "The same. An owner of the value's lock that dies blocks nobody.",
		Set:     step.Sets(stepPair),
		Before:  func(ctx context.Context, j job) error { return j.Word.Update(ctx, func(*pair) {}) },
		Do: step.Does(func(ctx context.Context, j job) error {
			return j.Word.Update(ctx, func(p *pair) { p.A++; p.B++ })
		}),
		Other: loadPair,
		Check: checkPair,
	}, {
		Name:    "Value.Store of 4 KiB",
		Promise: "A writer that is stopped or dies leaves the old value or the new one, as a whole, and blocks no reader.",
		Set:     step.Sets(stepBig),
		Before:  func(_ context.Context, j job) error { j.Big.Store(bigOf(before)); return nil },
		Do:      step.Does(func(_ context.Context, j job) error { j.Big.Store(bigOf(after)); return nil }),
		Other:   otherLoadsBig,
		Check:   checkBig,
	}, {
		Name:    "Value.Load of 4 KiB",
		Promise: "A reader gets one value as a whole, however often it is replaced meanwhile.",
		Set:     step.Sets(stepBig),
		Before:  func(_ context.Context, j job) error { return Second(loadBig(j)) },
		Do:      func(_ context.Context, j job) (uint64, error) { return loadBig(j) },
		Other: func(s *stepScene) (uint64, error) {
			for n := range uint64(4) { // so often that the reader's copy is overwritten
				s.Job.Big.Store(bigOf(between + n))
			}
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			Want(s, "error", o.Err, "")
			if o.OK() && o.Value != before && o.Value != between+3 {
				s.Errorf("loaded %d, which was never the value of a whole Load", o.Value)
			}
			useBig(s)
		},
	},
}
