package ring_test

import (
	"context"
	"errors"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
)

// stepQueue returns a Set that makes a queue with the values 1 to n.
func stepQueue(n uint64) func(*stepScene) {
	return func(s *stepScene) {
		q := newQueue[wide](s, s.Seg, 4)
		for tag := range n {
			WantNil(s, "Put", q.Put(Within(s), wideOf(tag+1)))
		}
		s.Job = stepJob{Queue: q, Cells: NewCells(s, s.Seg, 3)}
	}
}

// lastLapQueue makes a queue of which the last slot of the last lap is next, and puts n values
// before it.
func lastLapQueue(full bool) func(*stepScene) {
	return func(s *stepScene) {
		q := Closing(s, Must(ring.NewQueueAt[wide](s.Seg, "", 4, 1<<30-1))(s))
		for tag := range uint64(3) {
			WantNil(s, "Put", q.Put(Within(s), wideOf(tag+1)))
			if !full {
				WantNil(s, "Get", Second(q.Get(Within(s))))
			}
		}
		s.Job = stepJob{Queue: q, Cells: NewCells(s, s.Seg, 3)}
	}
}

// deadOnesQueue returns a Set that makes a queue with the values 1 to n, of which a process that is dead has
// left the first slot in the state is.
func deadOnesQueue(is uint64, n uint64) func(*stepScene) {
	return func(s *stepScene) {
		q := Closing(s, Must(ring.NewQueue[wide](s.Seg, "q", 4, nil))(s))
		for tag := range n {
			WantNil(s, "Put", q.TryPut(wideOf(tag+1)))
		}
		party := Attach(s, s.Seg)
		q.SetSlot(0, 0, is, Must(ring.OpenQueue[wide](party, "q"))(s).Party())
		Dies(s, s.Seg, party)
		s.Job = stepJob{Queue: q, Cells: NewCells(s, s.Seg, 3)}
	}
}

func put(ctx context.Context, j stepJob) error { return j.Queue.Put(ctx, wideOf(childTag)) }

func get(ctx context.Context, j stepJob) (uint64, error) {
	v, err := j.Queue.Get(ctx)
	if err != nil {
		return 0, err
	}
	return v.tag()
}

// putAndGet makes the operation not the first of its process.
func putAndGet(ctx context.Context, j stepJob) error {
	return errors.Join(put(ctx, j), Second(j.Queue.Get(ctx)))
}

// otherPuts puts otherTag if it can, and returns it then.
func otherPuts(s *stepScene) (uint64, error) {
	err := s.Job.Queue.TryPut(wideOf(otherTag))
	if err == nil {
		return otherTag, nil
	}
	WantNilOr(s, "TryPut", err, ring.ErrFull, ring.ErrBusy)
	return 0, nil
}

// otherGets gets a value if it can, and returns its tag.
func otherGets(s *stepScene) (uint64, error) {
	v, err := s.Job.Queue.TryGet()
	if err == nil {
		return v.tag()
	}
	WantNilOr(s, "TryGet", err, ring.ErrEmpty, ring.ErrBusy)
	return 0, nil
}

var queueSteps = []stepRow{
	{
		Name:    "Queue.Put first",
		Promise: "A value is put once, whole, or not at all.",
		Set:     stepQueue(1),
		Do:      step.Does(put),
		Other:   otherPuts,
		Check:   func(s *stepScene, o step.Outcome) { checkQueue(s, o, []uint64{1}, true) },
	}, {
		Name:    "Queue.Put",
		Promise: "The same for a process that has put before.",
		Set:     stepQueue(0),
		Before:  putAndGet,
		Do:      step.Does(put),
		Other:   otherPuts,
		Check:   func(s *stepScene, o step.Outcome) { checkQueue(s, o, nil, true) },
	}, {
		Name:    "Queue.Put beside a getter",
		Promise: "The getter gets the value once, whole, or does not.",
		Set:     stepQueue(0),
		Before:  putAndGet,
		Do:      step.Does(put),
		Other:   otherGets,
		Check:   func(s *stepScene, o step.Outcome) { checkQueue(s, o, nil, true) },
	}, {
		Name:    "Queue.Put beside putters that fill the queue",
		Promise: "A slot that is being written is not used by another.",
		Set:     stepQueue(0),
		Before:  putAndGet,
		Do:      step.Does(put),
		Asleep:  func(s *stepScene) { getFirst(s) },
		Other: func(s *stepScene) (uint64, error) {
			for n := uint64(0); ; n++ {
				if err := s.Job.Queue.TryPut(wideOf(n + 1)); err != nil {
					WantNilOr(s, "TryPut", err, ring.ErrFull, ring.ErrBusy)
					return n, nil
				}
			}
		},
		Check: func(s *stepScene, o step.Outcome) {
			want := tags(1, o.OtherValue)
			if s.Job.Cells.At(1).Load() == 1 {
				want = want[1:] // got, for the child to have space
			}
			o.OtherValue = 0
			checkTags(s, o, drainWide(s), want, true)
		},
	}, {
		Name:    "Queue.Put to a waiting getter",
		Promise: "The getter gets the value if it was put, and the next one if not.",
		Set:     stepQueue(0),
		Before:  putAndGet,
		Ready: func(s *stepScene) {
			s.Begin(1, func(ctx context.Context) error {
				v, err := s.Job.Queue.Get(ctx)
				tag, torn := v.tag()
				s.Job.Cells.At(1).Store(uint32(tag))
				return errors.Join(err, torn)
			})
		},
		Do:    step.Does(put),
		Other: otherPuts,
		Check: func(s *stepScene, o step.Outcome) {
			want := afterOther(o, []uint64{1})
			WantNil(s, "Put", s.Job.Queue.Put(Within(s), wideOf(1)))
			WantNil(s, "the getter", s.Results()[0])
			got := uint64(s.Job.Cells.At(1).Load())
			if got == childTag {
				o.OtherValue = childTag // it is not left in the queue
			} else {
				want = without(want, got)
			}
			checkTags(s, o, drainWide(s), want, true)
		},
	}, {
		Name:    "Queue.Put full",
		Promise: "A putter that dies waiting has put nothing, or its value, and no wake is lost with it.",
		Set:     stepQueue(4),
		Before: func(ctx context.Context, j stepJob) error {
			return step.Vainly(ctx, func(ctx context.Context) error { return put(ctx, j) })
		},
		Do:     step.Does(put),
		Asleep: func(s *stepScene) { getFirst(s) },
		Other: func(s *stepScene) (uint64, error) {
			getFirst(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			getFirst(s)
			checkQueue(s, o, []uint64{2, 3, 4}, true)
		},
	}, {
		Name:    "Queue.Put in the last slot of the last lap",
		Promise: "The same when the count of laps wraps around.",
		Set:     lastLapQueue(true),
		Do:      step.Does(put),
		Other:   otherGets,
		Check:   func(s *stepScene, o step.Outcome) { checkQueue(s, o, []uint64{1, 2, 3}, true) },
	}, {
		Name:    "Queue.Get first",
		Promise: "A value is got once, whole, or stays. A getter that dies loses at most one.",
		Set:     stepQueue(2),
		Do:      get,
		Other:   otherGets,
		Check:   func(s *stepScene, o step.Outcome) { checkQueue(s, o, []uint64{1, 2}, false) },
	}, {
		Name:    "Queue.Get",
		Promise: "The same for a process that has got before.",
		Set:     stepQueue(3),
		Before:  func(ctx context.Context, j stepJob) error { return Second(j.Queue.Get(ctx)) },
		Do:      get,
		Other:   otherGets,
		Check:   func(s *stepScene, o step.Outcome) { checkQueue(s, o, []uint64{2, 3}, false) },
	}, {
		Name:    "Queue.Get of the only value",
		Promise: "One of two getters gets it.",
		Set:     stepQueue(1),
		Do:      get,
		Asleep:  putOnce,
		Other:   otherGets,
		Check: func(s *stepScene, o step.Outcome) {
			// If the other got it, the child has waited for another one.
			want := []uint64{1}
			if s.Job.Cells.At(1).Load() == 1 {
				want = append(want, 1)
			}
			left := drainWide(s)
			if o.OtherValue == 1 {
				left = append(left, 1)
				o.OtherValue = 0
			}
			checkTags(s, o, left, want, false)
		},
	}, {
		Name:    "Queue.Get beside a putter",
		Promise: "The putter's value is there, once.",
		Set:     stepQueue(4),
		Do:      get,
		Other:   otherPuts,
		Check:   func(s *stepScene, o step.Outcome) { checkQueue(s, o, []uint64{1, 2, 3, 4}, false) },
	}, {
		Name:    "Queue.Get in the last slot of the last lap",
		Promise: "The same when the count of laps wraps around.",
		Set: func(s *stepScene) {
			lastLapQueue(false)(s)
			WantNil(s, "Put", s.Job.Queue.Put(Within(s), wideOf(4)))
			WantNil(s, "Put", s.Job.Queue.Put(Within(s), wideOf(5)))
		},
		Do:    get,
		Other: otherGets,
		Check: func(s *stepScene, o step.Outcome) { checkQueue(s, o, []uint64{4, 5}, false) },
	}, {
		Name:    "Queue.Get empty",
		Promise: "A getter that dies waiting loses at most one value, and no wake is lost with it.",
		Set:     stepQueue(0),
		Before: func(ctx context.Context, j stepJob) error {
			return step.Vainly(ctx, func(ctx context.Context) error { return Second(j.Queue.Get(ctx)) })
		},
		Do:     get,
		Asleep: putOnce,
		Other: func(s *stepScene) (uint64, error) {
			putOnce(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			putOnce(s)
			checkQueue(s, o, []uint64{1}, false)
		},
	}, {
		Name:    "Queue.Get to a waiting putter",
		Promise: "The putter that waits puts its value as other getters go on.",
		Set:     stepQueue(4),
		Ready: func(s *stepScene) {
			s.Begin(1, func(ctx context.Context) error { return s.Job.Queue.Put(ctx, wideOf(5)) })
		},
		Do:    get,
		Other: step.Nothing[stepJob],
		Check: func(s *stepScene, o step.Outcome) {
			// A value that a getter claimed and left behind is got when all others have been, and
			// takes its slot till then.
			var left []uint64
			putter := Async(func() []error { return s.Results() })
			Eventually(s, "the putter has put", func() bool {
				if len(putter) > 0 {
					return true
				}
				if v, err := s.Job.Queue.TryGet(); err == nil {
					tag, torn := v.tag()
					WantNil(s, "Get", torn)
					left = append(left, tag)
				} else {
					WantNilOr(s, "TryGet", err, ring.ErrEmpty, ring.ErrBusy)
				}
				return false
			})
			WantNil(s, "the putter", (<-putter)[0])
			checkTags(s, o, append(left, drainWide(s)...), []uint64{1, 2, 3, 4, 5}, false)
		},
	}, {
		Name:    "Queue.TryGet behind a slow putter",
		Promise: "A getter is told that a queue is empty only if it was, for a moment, since the getter came.",
		Set: func(s *stepScene) {
			stepQueue(0)(s)
			slow.slot = Must(s.Job.Queue.Reserve(Within(s)))(s)
			s.Cleanup(func() { slow.slot = ring.Slot[wide]{} })
			slow.put, slow.got = []uint64{1}, nil
			WantNil(s, "Put", s.Job.Queue.TryPut(wideOf(1)))
		},
		Do: func(_ context.Context, j stepJob) (uint64, error) {
			v, err := j.Queue.TryGet()
			if errors.Is(err, ring.ErrBusy) {
				return 0, nil
			}
			if err != nil {
				return 0, err
			}
			return v.tag()
		},
		Other: goRound,
		Check: func(s *stepScene, o step.Outcome) {
			if !o.Between {
				commitSlow(s)
			}
			left := append(drainWide(s), slow.got...)
			if o.OK() && o.Value == 0 {
				slow.put = append(slow.put, 0) // the child has got no value
			}
			checkTags(s, o, left, slow.put, false)
		},
	}, {
		Name:    "Queue.TryGet beside the getter of a dead getter's value",
		Promise: "The same if the only value was that of a getter that died, and another comes before it is taken.",
		Set:     deadOnesQueue(ring.Reading, 1),
		Do: func(_ context.Context, j stepJob) (uint64, error) {
			v, err := j.Queue.TryGet()
			if err != nil {
				return 0, err
			}
			return v.tag()
		},
		Other: func(s *stepScene) (uint64, error) {
			WantNil(s, "Put", s.Job.Queue.TryPut(wideOf(2)))
			v, err := s.Job.Queue.TakeBack()
			if errors.Is(err, ring.ErrEmpty) { // the child has it
				return 0, nil
			}
			if err != nil {
				return 0, err
			}
			return v.tag()
		},
		Check: func(s *stepScene, o step.Outcome) {
			want := []uint64{1}
			if o.Between {
				want = without([]uint64{1, 2}, o.OtherValue)
			}
			checkTags(s, o, drainWide(s), want, false)
		},
	}, {
		Name:    "Queue.Shutdown",
		Promise: "The getter that waits is told, by this Shutdown or the next one, and what was put is got.",
		Set:     stepQueue(0),
		Ready: func(s *stepScene) {
			s.Begin(1, func(ctx context.Context) error { return Second(s.Job.Queue.Get(ctx)) })
		},
		Do:    step.Does(func(_ context.Context, j stepJob) error { return j.Queue.Shutdown() }),
		Other: step.Nothing[stepJob],
		Check: func(s *stepScene, o step.Outcome) {
			if !o.OK() {
				WantNil(s, "Shutdown", s.Job.Queue.Shutdown())
			}
			WantError(s, "the getter", s.Results()[0], ring.ErrShutdown)
			WantError(s, "Put", s.Job.Queue.Put(Within(s), wideOf(1)), ring.ErrShutdown)
			WantError(s, "Get", Second(s.Job.Queue.Get(Within(s))), ring.ErrShutdown)
		},
	},
}

// slow is the present round of the row of a slow putter: its slot, and the tags that the test's process
// has put and got.
var slow struct {
	slot     ring.Slot[wide]
	put, got []uint64
}

// commitSlow puts the value 2 in the slow putter's slot.
func commitSlow(s *stepScene) {
	*slow.slot.Pointer() = wideOf(2)
	WantNil(s, "Commit", slow.slot.Commit())
	slow.put = append(slow.put, 2)
}

// goRound has the slow putter commit, and then puts and gets in turn for three laps. There are always
// two values in the queue, or one if the child has got one.
func goRound(s *stepScene) (uint64, error) {
	commitSlow(s)
	for tag := uint64(3); tag < 15; tag++ {
		if err := s.Job.Queue.TryPut(wideOf(tag)); err != nil {
			WantNilOr(s, "TryPut", err, ring.ErrFull) // the child is stopped in the next slot
			break
		}
		slow.put = append(slow.put, tag)
		got, err := getTag(s)
		if err != nil {
			return 0, err
		}
		slow.got = append(slow.got, got)
	}
	return 0, nil
}

// getFirst gets the first value of Set, the first time.
func getFirst(s *stepScene) {
	if s.Job.Cells.At(1).CompareAndSwap(0, 1) {
		v, err := s.Job.Queue.Get(Within(s))
		WantNil(s, "Get", err)
		Want(s, "the first value", v, wideOf(1))
	}
}

// putOnce puts the value 1, the first time.
func putOnce(s *stepScene) {
	if s.Job.Cells.At(1).CompareAndSwap(0, 1) {
		WantNil(s, "Put", s.Job.Queue.Put(Within(s), wideOf(1)))
	}
}

// drainWide shuts the queue down and returns the tags of all values that are left.
func drainWide(s *stepScene) (tags []uint64) {
	s.Helper()
	WantNil(s, "Shutdown", s.Job.Queue.Shutdown())
	for {
		v, err := s.Job.Queue.Get(Within(s))
		if errors.Is(err, ring.ErrShutdown) {
			return tags
		}
		WantNil(s, "Get of what is left", err)
		tag, err := v.tag()
		WantNil(s, "a value that is left", err)
		tags = append(tags, tag)
	}
}

// checkQueue checks what is left in the queue. want are the tags that are left if neither the child
// nor Other has done anything.
func checkQueue(s *stepScene, o step.Outcome, want []uint64, puts bool) {
	s.Helper()
	checkTags(s, o, drainWide(s), afterOther(o, want), puts)
}
