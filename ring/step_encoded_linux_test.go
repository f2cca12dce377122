package ring_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
)

// textOf returns a value with that tag, which lies in two blocks, or in its slot if it is short.
func textOf(tag uint64, short bool) string {
	if short {
		return fmt.Sprint(tag)
	}
	return strings.Repeat(fmt.Sprintf("%8d", tag), 200)
}

// textTag returns the tag of a value, or an error if it is torn.
func textTag(text string) (tag uint64, err error) {
	_, err = fmt.Sscan(text[:min(8, len(text))], &tag)
	if err == nil && text != textOf(tag, len(text) <= 8) {
		err = fmt.Errorf("torn value of %d bytes: %.20q", len(text), text)
	}
	return tag, err
}

// stepTexts returns a Set that makes a queue of strings with the values 1 to n. Its storage is for two
// long values.
func stepTexts(n uint64, short bool) func(*stepScene) {
	return func(s *stepScene) {
		q := newStored[string](s, s.Seg, 4, 4<<10)
		for tag := range n {
			WantNil(s, "Put", q.Put(Within(s), textOf(tag+1, short)))
		}
		s.Job = stepJob{Texts: q, Short: short, Cells: NewCells(s, s.Seg, 3)}
	}
}

func putText(ctx context.Context, j stepJob) error {
	return j.Texts.Put(ctx, textOf(childTag, j.Short))
}

func getText(ctx context.Context, j stepJob) (uint64, error) {
	text, err := j.Texts.Get(ctx)
	if err != nil {
		return 0, err
	}
	return textTag(text)
}

// putAndGetText makes the operation not the first of its process.
func putAndGetText(ctx context.Context, j stepJob) error {
	return errors.Join(putText(ctx, j), Second(j.Texts.Get(ctx)))
}

func otherPutsText(s *stepScene) (uint64, error) {
	err := s.Job.Texts.TryPut(textOf(otherTag, s.Job.Short))
	if err == nil {
		return otherTag, nil
	}
	WantNilOr(s, "TryPut", err, ring.ErrFull, ring.ErrBusy)
	return 0, nil
}

func otherGetsText(s *stepScene) (uint64, error) {
	text, err := s.Job.Texts.TryGet()
	if err == nil {
		return textTag(text)
	}
	WantNilOr(s, "TryGet", err, ring.ErrEmpty, ring.ErrBusy)
	return 0, nil
}

// checkTexts is checkQueue for queues of strings. All blocks are free or stale at the end.
func checkTexts(s *stepScene, o step.Outcome, want []uint64, puts bool) {
	s.Helper()
	checkTags(s, o, drainTexts(s), afterOther(o, want), puts)
}

// drainTexts shuts the queue down and gets the values that are left. It checks that all blocks are free
// or stale then.
func drainTexts(s *stepScene) (left []uint64) {
	s.Helper()
	WantNil(s, "Shutdown", s.Job.Texts.Shutdown())
	for {
		text, err := s.Job.Texts.Get(Within(s))
		if errors.Is(err, ring.ErrShutdown) {
			break
		}
		WantNil(s, "Get of what is left", err)
		tag, err := textTag(text)
		WantNil(s, "a value that is left", err)
		left = append(left, tag)
	}
	wantUnused(s, s.Job.Texts)
	return left
}

func putManyTexts(ctx context.Context, j stepJob) error {
	var batch []string
	for i, tag := range childBatch {
		batch = append(batch, textOf(tag, i != longText))
	}
	return Second(j.Texts.PutMany(ctx, batch))
}

// longText is which text of a batch is long: the others of the batch are put before it and after it.
const longText = 1

// getManyTexts gets up to batch values and returns the tags of all as one word, 16 bits for each.
func getManyTexts(ctx context.Context, j stepJob) (got uint64, err error) {
	vs := make([]string, batch)
	n, err := j.Texts.GetMany(ctx, vs)
	for _, text := range vs[:n] {
		tag, torn := textTag(text)
		if torn != nil {
			return 0, torn
		}
		got = got<<16 | tag
	}
	return got, err
}

var encodedSteps = []stepRow{
	{
		Name:    "Queue.Put of a short string",
		Promise: "A value is put once, whole, or not at all.",
		Set:     stepTexts(0, true),
		Before:  putAndGetText,
		Do:      step.Does(putText),
		Other:   otherPutsText,
		Check:   func(s *stepScene, o step.Outcome) { checkTexts(s, o, nil, true) },
	}, {
		Name:    "Queue.Put of a long string",
		Promise: "The same, and no block stays in use.",
		Set:     stepTexts(0, false),
		Before:  putAndGetText,
		Do:      step.Does(putText),
		Other:   otherGetsText,
		Check:   func(s *stepScene, o step.Outcome) { checkTexts(s, o, nil, true) },
	}, {
		Name:    "Queue.Get of a short string",
		Promise: "A value is got once, whole, or stays. A getter that dies loses at most one.",
		Set:     stepTexts(2, true),
		Do:      getText,
		Other:   otherPutsText,
		Check:   func(s *stepScene, o step.Outcome) { checkTexts(s, o, []uint64{1, 2}, false) },
	}, {
		Name:    "Queue.PutMany of strings",
		Promise: "Some first values of the batch are put, in order, each once and whole; all if it has returned. No block stays in use.",
		Set:     stepTexts(0, true),
		Before:  putAndGetText,
		Do:      step.Does(putManyTexts),
		Other:   otherGetsText,
		Check: func(s *stepScene, o step.Outcome) {
			left := drainTexts(s)
			if o.OtherValue != 0 {
				left = append([]uint64{o.OtherValue}, left...)
			}
			checkBatchPut(s, o, left, nil)
		},
	}, {
		Name:    "Queue.GetMany of short strings",
		Promise: "Each value is got once, whole, or stays. One that dies loses no more than its batch.",
		Set:     stepTexts(3, true),
		Do:      getManyTexts,
		Other:   otherPutsText,
		Check: func(s *stepScene, o step.Outcome) {
			checkBatchGot(s, o, drainTexts(s), afterOther(o, []uint64{1, 2, 3}))
		},
	}, {
		Name:    "Queue.GetMany of long strings",
		Promise: "The same, and no block stays in use.",
		Set:     stepTexts(2, false),
		Do:      getManyTexts,
		Other:   otherPutsText,
		Check: func(s *stepScene, o step.Outcome) {
			checkBatchGot(s, o, drainTexts(s), afterOther(o, []uint64{1, 2}))
		},
	}, {
		Name:    "Queue.Get of a long string",
		Promise: "A value is got once, whole, or stays. A getter that dies loses at most one, and no block stays in use.",
		Set:     stepTexts(2, false),
		Do:      getText,
		Other:   otherPutsText,
		Check:   func(s *stepScene, o step.Outcome) { checkTexts(s, o, []uint64{1, 2}, false) },
	}, {
		Name:    "Queue.Put with full storage",
		Promise: "A putter that waits for storage and dies has put nothing, or its value, and keeps no block.",
		Set:     stepTexts(fullTexts, false),
		Before: func(ctx context.Context, j stepJob) error {
			return step.Vainly(ctx, func(ctx context.Context) error { return putText(ctx, j) })
		},
		Do:     step.Does(putText),
		Asleep: getFirstText,
		Other: func(s *stepScene) (uint64, error) {
			getFirstText(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			getFirstText(s)
			checkTexts(s, o, tags(2, fullTexts), true)
		},
	}, {
		Name:    "Queue.Get of a long string to a putter that waits for storage",
		Promise: "The putter gets storage, by Get or by the death of the process.",
		Set: func(s *stepScene) {
			stepTexts(fullTexts, false)(s)
			s.Begin(1, func(ctx context.Context) error { return s.Job.Texts.Put(ctx, textOf(otherTag, false)) })
		},
		Do: getText,
		Check: func(s *stepScene, o step.Outcome) {
			if !o.OK() { // it may have got nothing, or have been killed before it told the putter
				getFirstText(s)
			}
			WantNil(s, "the putter", s.Results()[0])
			checkTextsGotOrLost(s, o)
		},
	},
}

// fullTexts is how many long strings fill the storage of stepTexts.
const fullTexts = 2

// getFirstText gets the next value, the first time.
func getFirstText(s *stepScene) {
	if s.Job.Cells.At(1).CompareAndSwap(0, 1) {
		text, err := s.Job.Texts.Get(Within(s))
		WantNil(s, "Get", err)
		WantNil(s, "the first value", Second(textTag(text)))
	}
}

// checkTextsGotOrLost checks the values that are left after the child has got one of fullTexts, or
// has died in that, and the test's process has put otherTag.
func checkTextsGotOrLost(s *stepScene, o step.Outcome) {
	s.Helper()
	WantNil(s, "Shutdown", s.Job.Texts.Shutdown())
	left := make(map[uint64]int)
	for {
		text, err := s.Job.Texts.Get(Within(s))
		if errors.Is(err, ring.ErrShutdown) {
			break
		}
		WantNil(s, "Get of what is left", err)
		left[Must(textTag(text))(s)]++
	}
	Want(s, "values of the putter that are left", left[otherTag], 1)
	if o.OK() {
		Want(s, "what the child got", o.Value, 1)
		Want(s, "values of that that are left", left[1], 0)
		Want(s, "values behind it that are left", left[2], 1)
	}
	for tag, n := range left {
		Want(s, fmt.Sprintf("values %d that are left", tag), n, 1)
	}
	wantUnused(s, s.Job.Texts)
}
