package ring_test

import (
	"context"
	"errors"
	"slices"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
)

// childLease and otherLease are the leases of the child and of the test's process in the present
// round.
var childLease, otherLease *ring.Lease[wide]

// passed is how many values the other has put in the present round, past a slot that is kept.
var passed int

// leaseNow leases the oldest value into *l and returns its tag.
func leaseNow(ctx context.Context, q *ring.Queue[wide], l **ring.Lease[wide]) (uint64, error) {
	x, err := q.Lease(ctx)
	if err != nil {
		return 0, err
	}
	*l = x
	return x.Pointer().tag()
}

func childLeases(ctx context.Context, j stepJob) (uint64, error) {
	return leaseNow(ctx, j.Queue, &childLease)
}

// leaseBefore is a Before that leases a value.
func leaseBefore(ctx context.Context, j stepJob) error { return Second(childLeases(ctx, j)) }

// otherLeases leases a value if it can, and returns its tag.
func otherLeases(s *stepScene) (uint64, error) {
	l, err := s.Job.Queue.TryLease()
	if err != nil {
		WantNilOr(s, "TryLease", err, ring.ErrEmpty, ring.ErrBusy)
		return 0, nil
	}
	otherLease = l
	s.Cleanup(func() { otherLease = nil })
	return l.Pointer().tag()
}

// checkLeft checks that exactly the values of want are left, in any order.
func checkLeft(s *stepScene, o step.Outcome, want []uint64) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.Err != "" {
		s.Errorf("the child: %s", o.Err)
	}
	wantTags(s, o, drainWide(s), want)
}

func wantTags(s *stepScene, o step.Outcome, left, want []uint64) {
	s.Helper()
	if !slices.Equal(slices.Sorted(slices.Values(left)), want) {
		s.Errorf("left are %v, want %v: %+v", left, want, o)
	}
}

// checkDone checks what is left after the child has ended its lease of the value 1 by Done, beside
// the values of want. That value may be left, unless Done has returned.
func checkDone(s *stepScene, o step.Outcome, want ...uint64) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.Err != "" {
		s.Errorf("the child: %s", o.Err)
	}
	left := drainWide(s)
	if !o.OK() {
		left = without(left, 1)
	}
	wantTags(s, o, left, afterOther(o, want))
}

var leaseSteps = []stepRow{
	{
		Name:    "Queue.Lease",
		Promise: "No value is lost: when the holder of a lease has ended, its value is there again.",
		Set:     stepQueue(3),
		Do:      childLeases,
		Other:   otherGets,
		Check: func(s *stepScene, o step.Outcome) {
			// The child has ended, whether it was killed or not.
			checkLeft(s, o, afterOther(o, []uint64{1, 2, 3}))
		},
	}, {
		Name:    "Queue.Lease beside another",
		Promise: "No value has two leases at once, and none is lost.",
		Set:     stepQueue(2),
		Before:  leaseBefore,
		Do:      childLeases,
		Asleep:  putOnce, // if the other has leased the last value
		Other:   otherLeases,
		Check: func(s *stepScene, o step.Outcome) {
			want := []uint64{1, 2}
			if s.Job.Cells.At(1).Load() == 1 {
				want = []uint64{1, 1, 2}
			}
			if l := otherLease; l != nil {
				if o.OK() && !o.Slept && o.Value == o.OtherValue {
					s.Errorf("two leases of the value %d", o.Value)
				}
				WantNil(s, "Return", l.Return())
			}
			checkLeft(s, o, want)
		},
	}, {
		Name:    "Queue.Lease beside a putter that comes round",
		Promise: "A value under a lease keeps its slot.",
		Set:     stepQueue(3),
		Do:      childLeases,
		Other: func(s *stepScene) (uint64, error) {
			for n := uint64(0); ; n++ { // around the ring twice
				if n == 8 {
					return 0, nil
				}
				if _, err := otherGets(s); err != nil {
					return 0, err
				}
				WantNilOr(s, "TryPut", s.Job.Queue.TryPut(wideOf(otherTag)), ring.ErrFull, ring.ErrBusy)
			}
		},
		Asleep: putOnce,
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "the other's operation", o.OtherErr)
			left := drainWide(s)
			if o.OK() && !slices.Contains(left, o.Value) {
				s.Errorf("left are %v, without the value of the lease: %+v", left, o)
			}
			if len(left) > 4 {
				s.Errorf("left are %v in 4 slots: %+v", left, o)
			}
		},
	}, {
		Name:    "Queue.Lease empty",
		Promise: "One that waits for a lease and dies loses no value, and no wake is lost with it.",
		Set:     stepQueue(0),
		Before: func(ctx context.Context, j stepJob) error {
			return step.Vainly(ctx, func(ctx context.Context) error { return Second(childLeases(ctx, j)) })
		},
		Do:     childLeases,
		Asleep: putOnce,
		Other: func(s *stepScene) (uint64, error) {
			putOnce(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			putOnce(s)
			checkLeft(s, o, []uint64{1})
		},
	}, {
		Name:    "Lease.Done",
		Promise: "The value is gone if Done has returned. If its holder dies before, it is there, once, or gone.",
		Set:     stepQueue(3),
		Before:  leaseBefore,
		Do:      step.Does(func(context.Context, stepJob) error { return childLease.Done() }),
		Other:   otherGets,
		Check:   func(s *stepScene, o step.Outcome) { checkDone(s, o, 2, 3) },
	}, {
		Name:    "Lease.Done beside putters that pass it by",
		Promise: "The same while a putter passes the slot by.",
		Set:     stepQueue(3),
		Before:  leaseBefore,
		Do:      step.Does(func(context.Context, stepJob) error { return childLease.Done() }),
		Other: func(s *stepScene) (uint64, error) {
			WantNil(s, "TryPut", s.Job.Queue.TryPut(wideOf(otherTag))) // into the last slot
			WantNil(s, "TryGet", Second(s.Job.Queue.TryGet()))         // the next slot becomes free
			WantNil(s, "TryPut", s.Job.Queue.TryPut(wideOf(otherTag)))
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			want := []uint64{2, 3}
			if o.Between {
				want = []uint64{3, otherTag, otherTag}
			}
			checkDone(s, o, want...)
		},
	}, {
		Name:    "Lease.Done to a waiting putter",
		Promise: "The putter gets the slot, or one that it can use when the value was got again.",
		Set:     stepQueue(4),
		Before:  leaseBefore,
		Ready: func(s *stepScene) {
			s.Begin(1, func(ctx context.Context) error { return s.Job.Queue.Put(ctx, wideOf(5)) })
		},
		Do:    step.Does(func(context.Context, stepJob) error { return childLease.Done() }),
		Other: step.Nothing[stepJob],
		Check: func(s *stepScene, o step.Outcome) {
			var left []uint64
			if !o.OK() {
				tag, err := getTag(s)
				WantNil(s, "Get", err)
				left = append(left, tag)
			}
			WantNil(s, "the putter", s.Results()[0])
			left = append(left, drainWide(s)...)
			if !o.OK() {
				left = without(left, 1)
			}
			wantTags(s, o, left, []uint64{2, 3, 4, 5})
		},
	}, {
		Name:    "Lease.Return",
		Promise: "The value is there again, whether Return has ended or its process died in it.",
		Set:     stepQueue(3),
		Before:  leaseBefore,
		Do:      step.Does(func(context.Context, stepJob) error { return childLease.Return() }),
		Other:   otherGets,
		Check: func(s *stepScene, o step.Outcome) {
			if o.OK() && !o.Between {
				tag, err := getTag(s)
				WantNil(s, "Get", err)
				Want(s, "the value that is got first", tag, 1)
				WantNil(s, "TryPut", s.Job.Queue.TryPut(wideOf(1)))
			}
			checkLeft(s, o, afterOther(o, []uint64{1, 2, 3}))
		},
	}, {
		Name:    "Lease.Return to a waiting getter",
		Promise: "The getter gets the value, by Return or by the death of the process.",
		Set:     stepQueue(1),
		Before:  leaseBefore,
		Ready: func(s *stepScene) {
			s.Begin(1, func(ctx context.Context) error { return Second(s.Job.Queue.Get(ctx)) })
		},
		Do:    step.Does(func(context.Context, stepJob) error { return childLease.Return() }),
		Other: step.Nothing[stepJob],
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "the getter", s.Results()[0])
			checkLeft(s, o, nil)
		},
	}, {
		Name:    "Queue.Get of a value that came back",
		Promise: "A value that was returned is got once, or stays, and is got before the others.",
		Set: func(s *stepScene) {
			stepQueue(3)(s)
			l := Must(s.Job.Queue.TryLease())(s)
			WantNil(s, "Return", l.Return())
		},
		Do:    get,
		Other: otherGets,
		Check: func(s *stepScene, o step.Outcome) {
			if !o.Between && o.OK() {
				Want(s, "the value", o.Value, 1)
			}
			checkQueue(s, o, []uint64{1, 2, 3}, false)
		},
	}, {
		Name:    "Queue.Get of a value that came back beside a putter that passes it by",
		Promise: "The same while the value's slot goes to the next lap.",
		Set: func(s *stepScene) {
			stepQueue(3)(s)
			l := Must(s.Job.Queue.TryLease())(s)
			WantNil(s, "TryGet", Second(s.Job.Queue.TryGet())) // the second slot is free
			WantNil(s, "Return", l.Return())
		},
		Do: get,
		Other: func(s *stepScene) (uint64, error) {
			WantNil(s, "TryPut", s.Job.Queue.TryPut(wideOf(otherTag))) // into the last slot
			passed = 1
			// Past the first slot into the second, unless the child is reading the first one.
			err := s.Job.Queue.TryPut(wideOf(otherTag))
			if err == nil {
				passed = 2
			}
			WantNilOr(s, "TryPut", err, ring.ErrFull)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			if o.OK() {
				Want(s, "the value", o.Value, 1)
			}
			want := []uint64{1, 3}
			if o.Between {
				want = append(want, slices.Repeat([]uint64{otherTag}, passed)...)
			}
			checkQueue(s, o, want, false)
		},
	},
}

// batch is how many values the rows of batches put and get at once.
const batch = 3

func batchOf(tag uint64) (vs []wide) {
	for i := range uint64(batch) {
		vs = append(vs, wideOf(tag+i))
	}
	return vs
}

// childBatch is the tags of what the child puts by PutMany.
var childBatch = tags(childTag, childTag+batch-1)

func putMany(ctx context.Context, j stepJob) error {
	return Second(j.Queue.PutMany(ctx, batchOf(childTag)))
}

// checkPutMany checks that of the child's values some first ones are there, all if PutMany has
// returned, in order, beside those of want.
func checkPutMany(s *stepScene, o step.Outcome, got, want []uint64) {
	s.Helper()
	checkBatchPut(s, o, append(got, drainWide(s)...), want)
}

// checkBatchPut is checkPutMany for the values that are left or were got.
func checkBatchPut(s *stepScene, o step.Outcome, left, want []uint64) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.Err != "" {
		s.Errorf("the child: %s", o.Err)
	}
	mine := func(tag uint64) bool { return slices.Contains(childBatch, tag) }
	var put []uint64
	for _, tag := range left {
		if mine(tag) {
			put = append(put, tag)
		}
	}
	if len(put) > batch || !slices.Equal(put, childBatch[:len(put)]) || o.OK() && len(put) < batch {
		s.Errorf("of the child's values there are %v: %+v", put, o)
	}
	wantTags(s, o, slices.DeleteFunc(left, mine), want)
}

// getMany gets up to batch values and returns the tags of all as one word, 16 bits for each.
func getMany(ctx context.Context, j stepJob) (got uint64, err error) {
	vs := make([]wide, batch)
	n, err := j.Queue.GetMany(ctx, vs)
	for _, v := range vs[:n] {
		tag, torn := v.tag()
		if torn != nil {
			return 0, torn
		}
		got = got<<16 | tag
	}
	return got, err
}

// checkGetMany checks what is left after getMany, of want.
func checkGetMany(s *stepScene, o step.Outcome, want []uint64) {
	s.Helper()
	checkBatchGot(s, o, drainWide(s), afterOther(o, want))
}

// checkBatchGot is checkGetMany for the values that are left, of want.
func checkBatchGot(s *stepScene, o step.Outcome, left, want []uint64) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.Err != "" {
		s.Errorf("the child: %s", o.Err)
	}
	if !o.OK() {
		// Each value is left, or was lost with the child.
		missing := slices.Clone(want)
		for _, tag := range left {
			i := slices.Index(missing, tag)
			if i < 0 {
				s.Errorf("left are %v, of %v: %+v", left, want, o)
				return
			}
			missing = slices.Delete(missing, i, i+1)
		}
		if len(missing) > batch {
			s.Errorf("left are %v, of %v: %+v", left, want, o)
		}
		return
	}
	for got := o.Value; got != 0; got >>= 16 {
		left = append(left, got&0xffff)
	}
	wantTags(s, o, left, slices.Sorted(slices.Values(want)))
}

func getTag(s *stepScene) (uint64, error) {
	v, err := s.Job.Queue.Get(Within(s))
	if err != nil {
		return 0, err
	}
	return v.tag()
}

var batchSteps = []stepRow{
	{
		Name:    "Queue.PutMany",
		Promise: "Some first values of the batch are put, in order, each once and whole; all if it has returned.",
		Set:     stepQueue(0),
		Before:  putAndGet,
		Do:      step.Does(putMany),
		Other:   otherPuts,
		Asleep:  getFirst,
		Check: func(s *stepScene, o step.Outcome) {
			checkPutMany(s, o, nil, afterOther(o, nil))
		},
	}, {
		Name:    "Queue.PutMany beside a getter",
		Promise: "The same while another gets.",
		Set:     stepQueue(1),
		Do:      step.Does(putMany),
		Other:   otherGets,
		Check: func(s *stepScene, o step.Outcome) {
			var got []uint64
			want := []uint64{1}
			if o.OtherValue != 0 {
				got = []uint64{o.OtherValue}
			}
			checkPutMany(s, o, got, want)
		},
	}, {
		Name:    "Queue.PutMany full",
		Promise: "One that dies waiting has put some first values of the batch, and no wake is lost with it.",
		Set:     stepQueue(2),
		Before: func(ctx context.Context, j stepJob) error {
			return errors.Join(j.Queue.Put(ctx, wideOf(3)))
		},
		Do: step.Does(putMany),
		Asleep: func(s *stepScene) {
			getFirst(s)
			getSecond(s)
		},
		Other: func(s *stepScene) (uint64, error) {
			getFirst(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			getFirst(s)
			getSecond(s)
			checkPutMany(s, o, nil, []uint64{3})
		},
	}, {
		Name:    "Queue.GetMany",
		Promise: "Each value is got once, whole, or stays. One that dies loses no more than its batch.",
		Set:     stepQueue(4),
		Do:      getMany,
		Other:   otherGets,
		Check:   func(s *stepScene, o step.Outcome) { checkGetMany(s, o, []uint64{1, 2, 3, 4}) },
	}, {
		Name:    "Queue.GetMany beside a putter",
		Promise: "The same while another puts.",
		Set:     stepQueue(2),
		Do:      getMany,
		Other:   otherPuts,
		Check:   func(s *stepScene, o step.Outcome) { checkGetMany(s, o, []uint64{1, 2}) },
	}, {
		Name:    "Queue.GetMany of a span",
		Promise: "The same for values that are claimed together.",
		Set:     stepQueue(4),
		Before:  func(ctx context.Context, j stepJob) error { return Second(j.Queue.Get(ctx)) },
		Do:      getMany,
		Other:   otherGets,
		Check:   func(s *stepScene, o step.Outcome) { checkGetMany(s, o, []uint64{2, 3, 4}) },
	}, {
		Name:    "Queue.Get of a dead getter's span",
		Promise: "The values that a dead process had claimed together are got once each, whole, whoever dies while it returns them.",
		Set:     deadOnesQueue(ring.ReadingSpan, 4),
		Do:      get,
		Other:   otherGets,
		Check:   func(s *stepScene, o step.Outcome) { checkQueue(s, o, []uint64{1, 2, 3, 4}, false) },
	}, {
		Name:    "Queue.Put over a dead putter's span",
		Promise: "A value is put once, whole, or not at all, and no value of the dead process is there.",
		Set:     deadOnesQueue(ring.WritingSpan, 2),
		Do:      step.Does(put),
		Other:   otherGets,
		Check:   func(s *stepScene, o step.Outcome) { checkQueue(s, o, nil, true) },
	}, {
		Name:    "Queue.All",
		Promise: "Each value is got once, whole, or stays. One that dies loses at most one that it was not given.",
		Set:     stepQueue(2),
		Do: func(ctx context.Context, j stepJob) (uint64, error) {
			for v, err := range j.Queue.All(ctx) {
				if err != nil {
					return 0, err
				}
				return v.tag()
			}
			return 0, errors.New("All has ended")
		},
		Other: otherGets,
		Check: func(s *stepScene, o step.Outcome) { checkQueue(s, o, []uint64{1, 2}, false) },
	},
}

// getSecond gets the second value of Set, the first time.
func getSecond(s *stepScene) {
	if s.Job.Cells.At(2).CompareAndSwap(0, 1) {
		tag, err := getTag(s)
		WantNil(s, "Get", err)
		Want(s, "the second value", tag, 2)
	}
}

// joinableQueue returns a Set that makes a joinable queue with the values 1 to n.
func joinableQueue(n uint64) func(*stepScene) {
	return func(s *stepScene) {
		q := Closing(s, Must(ring.NewQueue(s.Seg, "", 4, &ring.QueueOptions[wide]{Joinable: true}))(s))
		for tag := range n {
			WantNil(s, "Put", q.Put(Within(s), wideOf(tag+1)))
		}
		s.Job = stepJob{Queue: q, Cells: NewCells(s, s.Seg, 3)}
	}
}

// doAll shuts the queue down, does all tasks that are left, in turn, and returns their tags.
func doAll(s *stepScene) (done []uint64) {
	s.Helper()
	WantNil(s, "Shutdown", s.Job.Queue.Shutdown())
	for {
		tag, err := getTag(s)
		if errors.Is(err, ring.ErrShutdown) {
			return done
		}
		WantNil(s, "Get of what is left", err)
		WantNil(s, "TaskDone", s.Job.Queue.TaskDone())
		done = append(done, tag)
	}
}

// otherTasks gets a task, and marks it done.
func otherTasks(s *stepScene) (uint64, error) {
	tag, err := otherGets(s)
	if err != nil || tag == 0 {
		return 0, err
	}
	return tag, s.Job.Queue.TaskDone()
}

// getBefore is a Before that takes a task.
func getBefore(ctx context.Context, j stepJob) error { return Second(j.Queue.Get(ctx)) }

// checkJoin does what is left of the tasks in want, which are the same whether the child has died or
// has ended otherwise, and checks that Join returns then, and not before.
func checkJoin(s *stepScene, o step.Outcome, mayBeDone bool, want ...uint64) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.Err != "" {
		s.Errorf("the child: %s", o.Err)
	}
	want = afterOther(o, want)
	done := doAll(s)
	if mayBeDone {
		done, want = without(done, 1), without(want, 1)
	}
	wantTags(s, o, done, want)
	WantNil(s, "Join", s.Job.Queue.Join(Within(s)))
	for _, err := range s.Results() {
		WantNil(s, "the Join that waited", err)
	}
}

var joinSteps = []stepRow{
	{
		Name:    "Queue.Get of a task",
		Promise: "A task that is not marked done is there again when its process has ended.",
		Set:     joinableQueue(2),
		Do:      get,
		Other:   otherTasks,
		Check:   func(s *stepScene, o step.Outcome) { checkJoin(s, o, false, 1, 2) },
	}, {
		Name:    "Queue.GetMany of tasks",
		Promise: "The same for each task of a batch.",
		Set:     joinableQueue(4),
		Do:      getMany,
		Other:   otherTasks,
		Check:   func(s *stepScene, o step.Outcome) { checkJoin(s, o, false, 1, 2, 3, 4) },
	}, {
		Name:    "Queue.TaskDone",
		Promise: "The task is done if TaskDone has returned. If its process dies before, it is there again, or done.",
		Set:     joinableQueue(2),
		Before:  getBefore,
		Do:      step.Does(func(_ context.Context, j stepJob) error { return j.Queue.TaskDone() }),
		Other:   otherTasks,
		Check: func(s *stepScene, o step.Outcome) {
			if o.OK() {
				checkJoin(s, o, false, 2)
			} else {
				checkJoin(s, o, true, 1, 2)
			}
		},
	}, {
		Name:    "Queue.TaskDone to a Join",
		Promise: "Join returns, by TaskDone or, when the task was done again, by another.",
		Set:     joinableQueue(1),
		Before:  getBefore,
		Ready: func(s *stepScene) {
			s.Begin(1, s.Job.Queue.Join)
		},
		Do:    step.Does(func(_ context.Context, j stepJob) error { return j.Queue.TaskDone() }),
		Other: step.Nothing[stepJob],
		Check: func(s *stepScene, o step.Outcome) {
			if o.OK() {
				for _, err := range s.Results() {
					WantNil(s, "Join", err)
				}
			}
			checkJoin(s, o, true, 1)
		},
	}, {
		Name:    "Queue.Join",
		Promise: "A Join that waits and dies changes nothing, and one that returns does so after the last task.",
		Set:     joinableQueue(1),
		Do:      step.Does(func(ctx context.Context, j stepJob) error { return j.Queue.Join(ctx) }),
		Asleep:  taskOnce,
		Other: func(s *stepScene) (uint64, error) {
			taskOnce(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			if o.OK() && s.Job.Cells.At(1).Load() != 1 {
				s.Errorf("Join has returned before the task was done: %+v", o)
			}
			taskOnce(s)
			checkJoin(s, o, false)
		},
	},
}

// taskOnce does the task 1, the first time.
func taskOnce(s *stepScene) {
	if s.Job.Cells.At(1).CompareAndSwap(0, 1) {
		tag, err := getTag(s)
		WantNil(s, "Get", err)
		Want(s, "the task", tag, 1)
		WantNil(s, "TaskDone", s.Job.Queue.TaskDone())
	}
}

// childSlot is the slot that the child has reserved in the present round.
var childSlot ring.Slot[wide]

func reserveBefore(ctx context.Context, j stepJob) (err error) {
	childSlot, err = j.Queue.Reserve(ctx)
	return err
}

var slotSteps = []stepRow{
	{
		Name:    "Queue.Reserve and Commit",
		Promise: "A value that is written in place is put by its Commit, once, whole, or not at all.",
		Set:     stepQueue(1),
		Do: step.Does(func(ctx context.Context, j stepJob) error {
			slot, err := j.Queue.Reserve(ctx)
			if err != nil {
				return err
			}
			*slot.Pointer() = wideOf(childTag)
			return slot.Commit()
		}),
		Other: otherPuts,
		Check: func(s *stepScene, o step.Outcome) { checkQueue(s, o, []uint64{1}, true) },
	}, {
		Name:    "Queue.Reserve and Commit beside a getter",
		Promise: "The getter gets the value once, whole, or does not.",
		Set:     stepQueue(0),
		Do: step.Does(func(ctx context.Context, j stepJob) error {
			slot, err := j.Queue.Reserve(ctx)
			if err != nil {
				return err
			}
			*slot.Pointer() = wideOf(childTag)
			return slot.Commit()
		}),
		Other: otherGets,
		Check: func(s *stepScene, o step.Outcome) { checkQueue(s, o, nil, true) },
	}, {
		Name:    "Slot.Abort to a waiting putter",
		Promise: "The putter that waits gets the slot, by Abort or by the death of the process.",
		Set:     stepQueue(3),
		Before:  reserveBefore,
		Ready: func(s *stepScene) {
			s.Begin(1, func(ctx context.Context) error { return s.Job.Queue.Put(ctx, wideOf(4)) })
		},
		Do: step.Does(func(context.Context, stepJob) error {
			childSlot.Abort()
			return nil
		}),
		Other: step.Nothing[stepJob],
		Check: func(s *stepScene, o step.Outcome) {
			// The slot is behind the putter's position.
			tag, err := getTag(s)
			WantNil(s, "Get", err)
			Want(s, "the first value", tag, 1)
			WantNil(s, "the putter", s.Results()[0])
			checkLeft(s, o, []uint64{2, 3, 4})
		},
	}, {
		Name:    "Slot.Abort to a waiting getter",
		Promise: "The getter gets the value behind the slot, by Abort or by the death of the process.",
		Set:     stepQueue(0),
		Before:  reserveBefore,
		Ready: func(s *stepScene) {
			WantNil(s, "Put", s.Job.Queue.TryPut(wideOf(1)))
			s.Begin(0, func(ctx context.Context) error { return Second(s.Job.Queue.Get(ctx)) })
		},
		Do: step.Does(func(context.Context, stepJob) error {
			childSlot.Abort()
			return nil
		}),
		Other: step.Nothing[stepJob],
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "the getter", s.Results()[0])
			checkLeft(s, o, nil)
		},
	},
}
