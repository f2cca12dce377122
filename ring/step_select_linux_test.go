package ring_test

import (
	"context"
	"errors"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/poll"
	"github.com/seed-2e7ecdea/mp/ring"
)

// selectEither gets a value of either queue.
func selectEither(ctx context.Context, j stepJob) (uint64, error) {
	var v wide
	if _, err := poll.Select(ctx, j.Queue.GetCase(&v), j.Other.GetCase(&v)); err != nil {
		return 0, err
	}
	return v.tag()
}

// stepQueues is stepQueue(n) with one more queue, which holds the value 1000 if n is not 0.
func stepQueues(n uint64) func(*stepScene) {
	return func(s *stepScene) {
		stepQueue(n)(s)
		s.Job.Other = newQueue[wide](s, s.Seg, 4)
		if n > 0 {
			WantNil(s, "Put", s.Job.Other.Put(Within(s), wideOf(1000)))
		}
	}
}

var selectSteps = []stepRow{
	{
		Name:    "Select of two queues",
		Promise: "A value of one queue is got once, whole, or stays.",
		Set:     stepQueues(2),
		Before:  func(ctx context.Context, j stepJob) error { return Second(selectEither(ctx, j)) },
		Do:      selectEither,
		Asleep:  putBoth,
		Other:   otherGets,
		Check: func(s *stepScene, o step.Outcome) {
			// Before has got one of the values, which is one more that may be missing.
			left := drainBoth(s)
			if o.OtherValue != 0 {
				left = append(left, o.OtherValue)
			}
			want := []uint64{1, 2, 1000}
			if s.Job.Cells.At(1).Load() == 1 {
				want = append(want, 1, 1000)
			}
			checkSelected(s, o, left, want, 2)
		},
	}, {
		Name:    "Select of two empty queues",
		Promise: "A Select that dies waiting loses at most one value, and a getter of one of the queues no wake.",
		Set:     stepQueues(0),
		Before: func(ctx context.Context, j stepJob) error {
			return step.Vainly(ctx, func(ctx context.Context) error { return Second(selectEither(ctx, j)) })
		},
		Ready: func(s *stepScene) {
			s.Begin(1, func(ctx context.Context) error {
				v, err := s.Job.Queue.Get(ctx)
				tag, torn := v.tag()
				s.Job.Cells.At(2).Store(uint32(tag))
				return errors.Join(err, torn)
			})
		},
		Do:     selectEither,
		Asleep: putBoth,
		Other: func(s *stepScene) (uint64, error) {
			putBoth(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			putBoth(s)
			WantNil(s, "Put", s.Job.Queue.Put(Within(s), wideOf(2))) // the child may have the value 1
			WantNil(s, "the getter", s.Results()[0])
			left := append(drainBoth(s), uint64(s.Job.Cells.At(2).Load()))
			checkSelected(s, o, left, []uint64{1, 2, 1000}, 1)
		},
	},
}

// putBoth puts the value 1 into the queue and the value 1000 into the other one, the first time.
func putBoth(s *stepScene) {
	if s.Job.Cells.At(1).CompareAndSwap(0, 1) {
		WantNil(s, "Put", s.Job.Queue.Put(Within(s), wideOf(1)))
		WantNil(s, "Put", s.Job.Other.Put(Within(s), wideOf(1000)))
	}
}

// drainBoth shuts both queues down and returns the tags of all values that are left.
func drainBoth(s *stepScene) (tags []uint64) {
	s.Helper()
	for _, q := range []*ring.Queue[wide]{s.Job.Queue, s.Job.Other} {
		WantNil(s, "Shutdown", q.Shutdown())
		for v, err := range q.All(Within(s)) {
			WantNil(s, "Get of what is left", err)
			tag, torn := v.tag()
			WantNil(s, "a value that is left", torn)
			tags = append(tags, tag)
		}
	}
	return tags
}

// checkSelected checks the tags that were not got by the child, against all that were put. Up to most
// may be missing; if Do has returned, the one that it returned is.
func checkSelected(s *stepScene, o step.Outcome, left, put []uint64, most int) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.Err != "" {
		s.Errorf("the child: %s", o.Err)
	}
	missing := put
	extra := false
	for _, tag := range left {
		before := len(missing)
		missing = withoutOne(missing, tag)
		extra = extra || len(missing) == before
	}
	if o.OK() {
		before := len(missing)
		missing = withoutOne(missing, o.Value)
		extra = extra || len(missing) == before
		most--
	}
	if extra || len(missing) > most {
		s.Errorf("of %v, %v are left: %+v", put, left, o)
	}
}

// withoutOne returns tags without one tag.
func withoutOne(tags []uint64, tag uint64) []uint64 {
	for i, t := range tags {
		if t == tag {
			return append(append([]uint64(nil), tags[:i]...), tags[i+1:]...)
		}
	}
	return tags
}
