package ring_test

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
)

// witness is the subscriber of the test's process in the present round. It is lossless and begins
// before the first value. childSubscriber is that of the child.
var witness, childSubscriber *ring.Subscriber[wide]

// stepBroadcast returns a Set that makes a broadcast for four values with the values 1 to n, which
// the witness has not received.
func stepBroadcast(n uint64) func(*stepScene) {
	return func(s *stepScene) {
		b := newBroadcast[wide](s, s.Seg, 4, nil)
		witness = subscribe(s, b, nil)
		s.Cleanup(func() { witness = nil })
		for tag := range n {
			WantNil(s, "Publish", b.Publish(Within(s), wideOf(tag+1)))
		}
		s.Job = stepJob{Broadcast: b, Cells: NewCells(s, s.Seg, 2)}
	}
}

// lastLapBroadcast makes a broadcast of which the last slot of the last lap is next, with n values
// before it.
func lastLapBroadcast(n uint64) func(*stepScene) {
	return func(s *stepScene) {
		b := Closing(s, Must(ring.NewBroadcastAt[wide](s.Seg, "", 4, 1<<31-1, nil))(s))
		for range 3 - n {
			WantNil(s, "Publish", b.Publish(Within(s), wideOf(0)))
		}
		witness = subscribe(s, b, nil)
		s.Cleanup(func() { witness = nil })
		for tag := range n {
			WantNil(s, "Publish", b.Publish(Within(s), wideOf(tag+1)))
		}
		s.Job = stepJob{Broadcast: b, Cells: NewCells(s, s.Seg, 2)}
	}
}

func publish(ctx context.Context, j stepJob) error { return j.Broadcast.Publish(ctx, wideOf(childTag)) }

// publishBefore makes the operation not the first of its process.
func publishBefore(ctx context.Context, j stepJob) error {
	return j.Broadcast.Publish(ctx, wideOf(1))
}

// childSubscribes returns a Before that makes the child a subscriber.
func childSubscribes(o *ring.SubscribeOptions) func(context.Context, stepJob) error {
	return func(_ context.Context, j stepJob) (err error) {
		childSubscriber, err = j.Broadcast.Subscribe(o)
		return err
	}
}

func childReceives(ctx context.Context, _ stepJob) (uint64, error) {
	v, err := childSubscriber.Receive(ctx)
	if err != nil {
		return 0, err
	}
	return v.tag()
}

// otherPublishes publishes otherTag if it can, and returns it then.
func otherPublishes(s *stepScene) (uint64, error) {
	err := s.Job.Broadcast.TryPublish(wideOf(otherTag))
	if err == nil {
		return otherTag, nil
	}
	WantNilOr(s, "TryPublish", err, ring.ErrFull, ring.ErrBusy)
	return 0, nil
}

// witnessReceives receives a value if it can, and returns its tag.
func witnessReceives(s *stepScene) (uint64, error) {
	v, err := witness.TryReceive()
	if err == nil {
		return v.tag()
	}
	WantNilOr(s, "TryReceive", err, ring.ErrEmpty, ring.ErrBusy)
	return 0, nil
}

// publishSlowly goes on with the publisher of the present round that has stopped in the middle of
// Publish.
var publishSlowly func(v wide) error

// witnessFirst lets the witness receive the first value of Set, the first time.
func witnessFirst(s *stepScene) {
	if s.Job.Cells.At(1).CompareAndSwap(0, 1) {
		v, err := witness.Receive(Within(s))
		WantNil(s, "Receive", err)
		Want(s, "the first value", v, wideOf(1))
	}
}

// late is a subscriber that joins while the child publishes.
var late *ring.Subscriber[wide]

// lateReceives lets the late subscriber receive, the first time. It must get all values that Other
// has published, in order.
func lateReceives(s *stepScene) {
	if late == nil || !s.Job.Cells.At(0).CompareAndSwap(0, 1) {
		return
	}
	for i := range uint64(s.Job.Cells.At(1).Load()) {
		v, err := late.Receive(Within(s))
		if err == nil && v == wideOf(childTag) {
			v, err = late.Receive(Within(s))
		}
		WantNil(s, "Receive of the late subscriber", err)
		Want(s, "value", v, wideOf(i+2))
	}
}

// publishOnce publishes the value 1, the first time.
func publishOnce(s *stepScene) {
	if s.Job.Cells.At(1).CompareAndSwap(0, 1) {
		WantNil(s, "Publish", s.Job.Broadcast.Publish(Within(s), wideOf(1)))
	}
}

// witnessRest shuts the broadcast down and returns the tags of all values that the witness has not
// received.
func witnessRest(s *stepScene) (tags []uint64) {
	s.Helper()
	WantNil(s, "Shutdown", s.Job.Broadcast.Shutdown())
	for v, err := range witness.All(Within(s)) {
		WantNil(s, "Receive of what is left", err)
		tag, err := v.tag()
		WantNil(s, "a value that is left", err)
		tags = append(tags, tag)
	}
	return tags
}

// checkPublished checks that the witness receives want, in order, and childTag once if the child
// has published it.
func checkPublished(s *stepScene, o step.Outcome, want ...uint64) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.Err != "" {
		s.Errorf("the child: %s", o.Err)
	}
	got := witnessRest(s)
	switch o.OtherValue {
	case otherTag:
		want = append(want, otherTag)
	case 0:
	default: // the witness has received it
		got = append([]uint64{o.OtherValue}, got...)
	}
	rest := without(got, childTag)
	n := len(got) - len(rest)
	if !slices.Equal(rest, want) || n > 1 || o.OK() && n != 1 {
		s.Errorf("received %v, want %v with the child's: %+v", got, want, o)
	}
}

// checkSubscribed checks that a child that is a lossless subscriber, and has died or ended, holds
// nobody back, and that the witness receives want.
func checkSubscribed(s *stepScene, o step.Outcome, want ...uint64) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.OtherValue == otherTag {
		want = append(want, otherTag)
	}
	ctx := Within(s)
	for _, tag := range want {
		v, err := witness.Receive(ctx)
		WantNil(s, "Receive", err)
		Want(s, "value", v, wideOf(tag))
	}
	for tag := range uint64(10) { // two laps: the child is not alive
		WantNil(s, "Publish beside a dead subscriber", s.Job.Broadcast.Publish(ctx, wideOf(tag)))
		v, err := witness.Receive(ctx)
		WantNil(s, "Receive", err)
		Want(s, "value", v, wideOf(tag))
	}
}

var broadcastSteps = []stepRow{
	{
		Name:    "Broadcast.Publish first",
		Promise: "A value is published once, whole, or not at all.",
		Set:     stepBroadcast(1),
		Do:      step.Does(publish),
		Other:   otherPublishes,
		Check:   func(s *stepScene, o step.Outcome) { checkPublished(s, o, 1) },
	}, {
		Name:    "Broadcast.Publish",
		Promise: "The same for a process that has published before.",
		Set:     stepBroadcast(0),
		Before:  publishBefore,
		Do:      step.Does(publish),
		Other:   otherPublishes,
		Check:   func(s *stepScene, o step.Outcome) { checkPublished(s, o, 1) },
	}, {
		Name:    "Broadcast.Publish beside a subscriber",
		Promise: "The subscriber receives the value once, whole, or does not.",
		Set:     stepBroadcast(0),
		Before:  publishBefore,
		Do:      step.Does(publish),
		Other:   witnessReceives,
		Check:   func(s *stepScene, o step.Outcome) { checkPublished(s, o, 1) },
	}, {
		Name:    "Broadcast.Publish beside a subscriber that joins",
		Promise: "No value that is published after Subscribe is overwritten before the new subscriber receives it.",
		Set:     stepBroadcast(0),
		Before: func(ctx context.Context, j stepJob) error { // the next one is at the limit
			for range 4 {
				if err := publishBefore(ctx, j); err != nil {
					return err
				}
			}
			return nil
		},
		Ready:  func(s *stepScene) { WantNil(s, "Receive", Second(witnessReceives(s))) },
		Do:     step.Does(publish),
		Asleep: lateReceives,
		Other: func(s *stepScene) (uint64, error) {
			late = subscribe(s, s.Job.Broadcast, nil)
			s.Cleanup(func() { late = nil })
			for range 3 {
				if _, err := witnessReceives(s); err != nil {
					return 0, err
				}
			}
			for n := uint64(0); ; n++ { // until the late subscriber holds the publisher back
				if err := s.Job.Broadcast.TryPublish(wideOf(n + 2)); err != nil {
					WantNilOr(s, "TryPublish", err, ring.ErrFull, ring.ErrBusy)
					s.Job.Cells.At(1).Store(uint32(n))
					return 0, nil
				}
				if _, err := witnessReceives(s); err != nil {
					return 0, err
				}
			}
		},
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "the other's operation", o.OtherErr)
			Want(s, "error", o.Err, "")
			WantNil(s, "Shutdown", s.Job.Broadcast.Shutdown())
			lateReceives(s)
		},
	}, {
		Name:    "Broadcast.Publish beside publishers that fill it",
		Promise: "A slot that is being written is not used by another.",
		Set:     stepBroadcast(0),
		Before:  publishBefore,
		Do:      step.Does(publish),
		Asleep:  func(s *stepScene) { witnessFirst(s) },
		Other: func(s *stepScene) (uint64, error) {
			for n := uint64(0); ; n++ {
				if err := s.Job.Broadcast.TryPublish(wideOf(n + 2)); err != nil {
					WantNilOr(s, "TryPublish", err, ring.ErrFull, ring.ErrBusy)
					return n, nil
				}
			}
		},
		Check: func(s *stepScene, o step.Outcome) {
			want := tags(1, o.OtherValue+1)
			if s.Job.Cells.At(1).Load() == 1 {
				want = want[1:] // received, for the child to have space
			}
			o.OtherValue = 0
			checkPublished(s, o, want...)
		},
	}, {
		Name:    "Broadcast.Publish to waiting subscribers",
		Promise: "All get the value if it was published, and the next one if not.",
		Set:     stepBroadcast(0),
		Before:  publishBefore,
		Ready: func(s *stepScene) {
			WantNil(s, "Receive", Second(witnessReceives(s)))
			for n := range 2 {
				sub := subscribe(s, s.Job.Broadcast, nil)
				s.Begin(n+1, func(ctx context.Context) error {
					v, err := sub.Receive(ctx)
					tag, torn := v.tag()
					if err == nil && torn == nil && tag != childTag && tag != otherTag {
						err = errors.New("a value that was not published")
					}
					return errors.Join(err, torn)
				})
			}
		},
		Do:    step.Does(publish),
		Other: otherPublishes,
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "Publish", s.Job.Broadcast.Publish(Within(s), wideOf(otherTag)))
			for _, err := range s.Results() {
				WantNil(s, "a subscriber", err)
			}
			checkPublished(s, o, otherTag)
		},
	}, {
		Name:    "Broadcast.Publish full",
		Promise: "A publisher that dies waiting has published nothing, or its value, and no wake is lost with it.",
		Set:     stepBroadcast(4),
		Before: func(ctx context.Context, j stepJob) error {
			return step.Vainly(ctx, func(ctx context.Context) error { return publish(ctx, j) })
		},
		Do:     step.Does(publish),
		Asleep: func(s *stepScene) { witnessFirst(s) },
		Other: func(s *stepScene) (uint64, error) {
			witnessFirst(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			witnessFirst(s)
			checkPublished(s, o, 2, 3, 4)
		},
	}, {
		Name:    "Broadcast.Publish in the last slot of the last lap",
		Promise: "The same when the count of laps wraps around.",
		Set:     lastLapBroadcast(2),
		Do:      step.Does(publish),
		Other:   otherPublishes,
		Check:   func(s *stepScene, o step.Outcome) { checkPublished(s, o, 1, 2) },
	}, {
		Name:    "Subscriber.Receive",
		Promise: "A subscriber gets the next value, whole. One that dies holds nobody back.",
		Set:     stepBroadcast(0),
		Before:  childSubscribes(nil),
		Ready: func(s *stepScene) {
			WantNil(s, "Publish", s.Job.Broadcast.Publish(Within(s), wideOf(1)))
			WantNil(s, "Publish", s.Job.Broadcast.Publish(Within(s), wideOf(2)))
		},
		Do:    childReceives,
		Other: otherPublishes,
		Check: func(s *stepScene, o step.Outcome) {
			if o.Returned && (!o.OK() || o.Value != 1) {
				s.Errorf("received %d: %s", o.Value, o.Err)
			}
			checkSubscribed(s, o, 1, 2)
		},
	}, {
		Name:    "Subscriber.Receive full",
		Promise: "The publisher that waits goes on, whether the subscriber has received the value or died.",
		Set:     stepBroadcast(0),
		Before:  childSubscribes(nil),
		Ready: func(s *stepScene) {
			for tag := range uint64(4) {
				WantNil(s, "Publish", s.Job.Broadcast.Publish(Within(s), wideOf(tag+1)))
				WantNil(s, "Receive", Second(witnessReceives(s)))
			}
			s.Begin(1, func(ctx context.Context) error { return s.Job.Broadcast.Publish(ctx, wideOf(5)) })
		},
		Do:    childReceives,
		Other: step.Nothing[stepJob],
		Check: func(s *stepScene, o step.Outcome) {
			if o.Returned && (!o.OK() || o.Value != 1) {
				s.Errorf("received %d: %s", o.Value, o.Err)
			}
			WantNil(s, "the publisher", s.Results()[0])
			checkSubscribed(s, o, 5)
		},
	}, {
		Name:    "Subscriber.Receive lossy and overtaken",
		Promise: "A lossy subscriber gets a whole value, or is told how many it lost.",
		Set:     stepBroadcast(0),
		Before:  childSubscribes(lossy),
		Ready: func(s *stepScene) {
			WantNil(s, "Publish", s.Job.Broadcast.Publish(Within(s), wideOf(1)))
			WantNil(s, "Receive", Second(witnessReceives(s)))
		},
		Do: childReceives,
		Other: func(s *stepScene) (uint64, error) {
			for tag := range uint64(6) {
				WantNil(s, "Publish", s.Job.Broadcast.Publish(Within(s), wideOf(tag+2)))
				WantNil(s, "Receive", Second(witnessReceives(s)))
			}
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			if o.Returned && o.OK() && o.Value != 1 ||
				o.Returned && !o.OK() && (!o.Between || !strings.Contains(o.Err, ring.ErrLost.Error())) {
				s.Errorf("received %d: %s", o.Value, o.Err)
			}
			checkSubscribed(s, o)
		},
	}, {
		Name:    "Subscriber.Receive empty",
		Promise: "A subscriber that waits gets the next value, whenever it is published.",
		Set:     stepBroadcast(0),
		Before: func(ctx context.Context, j stepJob) error {
			return errors.Join(childSubscribes(nil)(ctx, j), step.Vainly(ctx, func(ctx context.Context) error {
				return Second(childReceives(ctx, j))
			}))
		},
		Do:     childReceives,
		Asleep: publishOnce,
		Other: func(s *stepScene) (uint64, error) {
			publishOnce(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			publishOnce(s)
			if o.Returned && (!o.OK() || o.Value != 1) {
				s.Errorf("received %d: %s", o.Value, o.Err)
			}
			checkSubscribed(s, o, 1)
		},
	}, {
		Name:    "Subscriber.TryReceive behind a slow publisher",
		Promise: "A subscriber is told that there is no message only if there was none, for a moment, since it came.",
		Set: func(s *stepScene) {
			b := newBroadcast[wide](s, s.Seg, 4, &ring.BroadcastOptions{Lossy: true})
			s.Job = stepJob{Broadcast: b, Cells: NewCells(s, s.Seg, 2)}
		},
		Before: childSubscribes(nil),
		Ready: func(s *stepScene) {
			publishSlowly = Must(s.Job.Broadcast.Claim())(s)
			s.Cleanup(func() { publishSlowly = nil })
			WantNil(s, "Publish", s.Job.Broadcast.TryPublish(wideOf(2)))
		},
		Do: func(_ context.Context, j stepJob) (uint64, error) {
			v, err := childSubscriber.TryReceive()
			if errors.Is(err, ring.ErrBusy) || errors.Is(err, ring.ErrLost) {
				return 0, nil
			}
			if err != nil {
				return 0, err
			}
			return v.tag()
		},
		Other: func(s *stepScene) (uint64, error) {
			err := publishSlowly(wideOf(1))
			for tag := uint64(3); tag < 15 && err == nil; tag++ {
				err = s.Job.Broadcast.TryPublish(wideOf(tag))
			}
			return 0, err
		},
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "the publisher", o.OtherErr)
			if o.Returned && !o.OK() {
				s.Errorf("TryReceive: %s", o.Err)
			}
			last := uint64(14)
			if !o.Between {
				WantNil(s, "the slow publisher", publishSlowly(wideOf(1)))
				last = 2
			}
			oldest := subscribe(s, s.Job.Broadcast, &ring.SubscribeOptions{Oldest: true})
			for tag := max(last, 4) - 3; tag <= last; tag++ {
				v, err := oldest.TryReceive()
				WantNil(s, "TryReceive", err)
				Want(s, "a value that is left", v, wideOf(tag))
			}
		},
	}, {
		Name:    "Broadcast.Subscribe",
		Promise: "A subscriber gets what is published after Subscribe. One that dies in Subscribe holds nobody back.",
		Set:     stepBroadcast(2),
		Do: func(ctx context.Context, j stepJob) (uint64, error) {
			sub, err := j.Broadcast.Subscribe(nil)
			if err != nil {
				return 0, err
			}
			return sub.Lag(), nil
		},
		Other: otherPublishes,
		Check: func(s *stepScene, o step.Outcome) {
			if o.Returned && (!o.OK() || o.Value > 1 || o.Value == 1 && o.OtherValue != otherTag) {
				s.Errorf("Lag is %d: %s", o.Value, o.Err)
			}
			checkSubscribed(s, o, 1, 2)
		},
	}, {
		Name:    "Subscriber.Close",
		Promise: "The publisher that waits goes on, whether the subscriber has closed or died.",
		Set:     stepBroadcast(0),
		Before:  childSubscribes(nil),
		Ready: func(s *stepScene) {
			for tag := range uint64(4) {
				WantNil(s, "Publish", s.Job.Broadcast.Publish(Within(s), wideOf(tag+1)))
				WantNil(s, "Receive", Second(witnessReceives(s)))
			}
			s.Begin(1, func(ctx context.Context) error { return s.Job.Broadcast.Publish(ctx, wideOf(5)) })
		},
		Do:    step.Does(func(context.Context, stepJob) error { return childSubscriber.Close() }),
		Other: step.Nothing[stepJob],
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "the publisher", s.Results()[0])
			checkSubscribed(s, o, 5)
		},
	}, {
		Name:    "Broadcast.Shutdown",
		Promise: "The subscriber that waits is told, by this Shutdown or the next one.",
		Set:     stepBroadcast(0),
		Ready: func(s *stepScene) {
			s.Begin(1, func(ctx context.Context) error { return Second(witness.Receive(ctx)) })
		},
		Do:    step.Does(func(_ context.Context, j stepJob) error { return j.Broadcast.Shutdown() }),
		Other: step.Nothing[stepJob],
		Check: func(s *stepScene, o step.Outcome) {
			if !o.OK() {
				WantNil(s, "Shutdown", s.Job.Broadcast.Shutdown())
			}
			WantError(s, "the subscriber", s.Results()[0], ring.ErrShutdown)
			WantError(s, "Publish", s.Job.Broadcast.Publish(Within(s), wideOf(1)), ring.ErrShutdown)
		},
	},
}
