package ring_test

import (
	"context"
	"slices"
	"strings"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
)

// reader is the subscriber of the test's process in the present round, childReader that of the child.
// The reader misses nothing and begins before the first value.
var reader, childReader *ring.Subscriber[string]

// stepNews makes a broadcast of long strings for eight values, with a storage for two.
func stepNews(s *stepScene) {
	b := newBroadcast[string](s, s.Seg, 8, stored(4))
	reader = subscribe(s, b, nil)
	s.Cleanup(func() { reader = nil })
	s.Job = stepJob{News: b, Cells: NewCells(s, s.Seg, 1)}
}

func publishNews(ctx context.Context, j stepJob) error {
	return j.News.Publish(ctx, textOf(childTag, false))
}

// publishAndRead publishes the tags, each of which the reader receives at once.
func publishAndRead(s *stepScene, tags ...uint64) {
	for _, tag := range tags {
		WantNil(s, "Publish", s.Job.News.Publish(Within(s), textOf(tag, false)))
		v, err := reader.Receive(Within(s))
		WantNil(s, "Receive", err)
		Want(s, "value", v, textOf(tag, false))
	}
}

// checkNews checks that the reader receives want, in any order, and childTag once if the child has
// published it. Then all blocks of the storage can be used.
func checkNews(s *stepScene, o step.Outcome, want ...uint64) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.Err != "" {
		s.Errorf("the child: %s", o.Err)
	}
	whole := strings.Repeat("w", 4*1008)
	var got []uint64
	published := Async(func() error { return s.Job.News.Publish(Within(s), whole) })
	for {
		text, err := reader.Receive(Within(s))
		WantNil(s, "Receive of what is left", err)
		if err != nil || text == whole {
			break
		}
		tag, err := textTag(text)
		WantNil(s, "a value that is left", err)
		got = append(got, tag)
	}
	WantNil(s, "Publish of all blocks", Await(s, published, "Publish of all blocks"))
	Want(s, "blocks that are in use for no value", s.Job.News.BlocksAstray(), 0)
	rest := without(got, childTag)
	n := len(got) - len(rest)
	slices.Sort(rest)
	if !slices.Equal(rest, want) || n > 1 || o.OK() && n != 1 {
		s.Errorf("received %v, want %v with the child's: %+v", got, want, o)
	}
}

var newsSteps = []stepRow{
	{
		Name:    "Broadcast.Publish of a long string",
		Promise: "Old values give way. A value is published once, whole, or not at all, and no block is lost.",
		Set:     stepNews,
		Ready:   func(s *stepScene) { publishAndRead(s, 1, 2) }, // they have all blocks
		Do:      step.Does(publishNews),
		Other: func(s *stepScene) (uint64, error) {
			err := s.Job.News.TryPublish(textOf(otherTag, false))
			if err == nil {
				return otherTag, nil
			}
			WantNilOr(s, "TryPublish", err, ring.ErrFull, ring.ErrBusy)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			if o.OtherValue == otherTag {
				checkNews(s, o, otherTag)
			} else {
				checkNews(s, o)
			}
		},
	}, {
		Name:    "Subscriber.Receive of a long string that gives way",
		Promise: "A lossy subscriber gets a whole value, or is told that it was lost.",
		Set:     stepNews,
		Before: func(_ context.Context, j stepJob) (err error) {
			childReader, err = j.News.Subscribe(lossy)
			return err
		},
		Ready: func(s *stepScene) { publishAndRead(s, 1) },
		Do: func(ctx context.Context, _ stepJob) (uint64, error) {
			text, err := childReader.Receive(ctx)
			if err != nil {
				return 0, err
			}
			return textTag(text)
		},
		Other: func(s *stepScene) (uint64, error) {
			publishAndRead(s, 2, 3, 4) // with the blocks of the first
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			if o.Returned && o.OK() && o.Value != 1 ||
				o.Returned && !o.OK() && (!o.Between || !strings.Contains(o.Err, ring.ErrLost.Error())) {
				s.Errorf("received %d: %s", o.Value, o.Err)
			}
			o.Err = ""
			o.Returned = false // it has published nothing
			checkNews(s, o)
		},
	},
}
