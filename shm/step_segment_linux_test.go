package shm_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

// stepParties is the largest number of parties of a segment that the rows make.
const stepParties = 4

// setName lets the child make a segment or block of a new name.
func setName(s *stepScene) { s.Job = job{Name: name(s)} }

// setNamed makes a named segment to which the test's process is attached.
func setNamed(s *stepScene) {
	seg := named(s, 1<<12, &shm.Options{Parties: stepParties})
	s.Job = job{Name: seg.Name()}
	openSegment = seg
}

// setOrphan makes a named segment to which no process is attached.
func setOrphan(s *stepScene) {
	setName(s)
	WantNil(s, "Close", Must(shm.Create(s.Job.Name, 1<<12, &shm.Options{Parties: stepParties}))(s).Close())
}

// openSegment is the segment of a round that the test's process has open.
var openSegment *shm.Segment

func createSegment(j job) (err error) {
	childSegment, err = shm.Create(j.Name, 1<<16, &shm.Options{Parties: stepParties})
	return err
}

func openNamed(j job) (err error) {
	childSegment, err = shm.Open(j.Name, nil)
	return err
}

func reachHandle(j job) error {
	var h shm.Handle
	if err := h.UnmarshalText([]byte(j.Text)); err != nil {
		return err
	}
	var err error
	childSegment, err = shm.Reach(h)
	return err
}

// closeAfter returns a Before that calls open and closes the segment, so that the next call is not the first of the process.
func closeAfter(open func(j job) error) func(context.Context, job) error {
	return func(_ context.Context, j job) error {
		if err := open(j); err != nil {
			return err
		}
		return childSegment.Close()
	}
}

// otherOpens opens the named segment and closes it. It returns 1 if there is one.
func otherOpens(s *stepScene) (uint64, error) {
	seg, err := shm.Open(s.Job.Name, nil)
	if err == nil {
		err = seg.Close()
	}
	return found(err)
}

// otherAttaches attaches another party to openSegment and closes it.
func otherAttaches(s *stepScene) (uint64, error) {
	seg, err := shm.Reach(openSegment.Handle())
	if err != nil {
		return 0, err
	}
	_, err = seg.Parties()
	return 0, errors.Join(err, Attach(s, openSegment).Close())
}

// otherReaps reaps the segment of the job. It returns 1 if it did.
func otherReaps(s *stepScene) (uint64, error) {
	reaped, err := shm.Reap(s.Job.Name)
	if slices.Contains(reaped, s.Job.Name) {
		return 1, err
	}
	return 0, err
}

// otherLists returns 1 if List has the job's segment.
func otherLists(s *stepScene) (n uint64, _ error) {
	for info, err := range shm.List() {
		if err != nil {
			return 0, err
		}
		if info.Name == s.Job.Name {
			n = 1
		}
	}
	return n, nil
}

var segmentSteps = []stepRow{
	{
		Name:    "Create",
		Promise: "The name is that of a complete segment, or does not exist.",
		Set:     setName,
		Before: func(ctx context.Context, j job) error {
			if err := closeAfter(createSegment)(ctx, j); err != nil {
				return err
			}
			return shm.Unlink(j.Name)
		},
		Do:    does(createSegment),
		Other: otherOpens,
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "the other's Open", o.OtherErr)
			n := s.Job.Name
			if _, err := os.Lstat(filePath(n)); err != nil {
				WantError(s, "the name", err, fs.ErrNotExist)
				if o.OK() || o.OtherValue == 1 {
					s.Error("the segment has vanished")
				}
				Closing(s, Must(shm.Create(n, 1<<12, nil))(s))
				return
			}
			seg := Closing(s, Must(shm.Open(n, nil))(s))
			checkParties(s, seg, 1, stepParties)
			checkSpace(s, seg)
		},
	}, {
		Name:    "Open",
		Promise: "A process that dies while it attaches is no party, and leaves its line free.",
		Set:     setNamed,
		Before:  closeAfter(openNamed),
		Do:      does(openNamed),
		Other:   otherAttaches,
		Check:   checkAttached,
	}, {
		Name:    "Open while the segment is reaped",
		Promise: "Either Open succeeds and the segment stays, or Open fails with fs.ErrNotExist.",
		Set:     setOrphan,
		Before:  closeAfter(openNamed),
		Do:      opens(openNamed),
		Other:   otherReaps,
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "Reap", o.OtherErr)
			switch {
			case o.OtherValue == 1 && o.Returned && !notFound(o):
				s.Errorf("Open of a reaped segment: %q", o.Err)
			case o.OtherValue == 0 && o.Returned:
				Want(s, "error", o.Err, "")
			}
			checkReaped(s, o)
		},
	}, {
		Name:    "Reap",
		Promise: "A reaper that dies has removed the segment, or left it as it was.",
		Set:     setOrphan,
		Before:  func(context.Context, job) error { return nil },
		Do: func(_ context.Context, j job) (uint64, error) {
			reaped, err := shm.Reap(j.Name)
			if err == nil && !slices.Contains(reaped, j.Name) {
				err = fs.ErrNotExist
			}
			return 0, err
		},
		Other: otherLists,
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "List", o.OtherErr)
			Want(s, "error", o.Err, "")
			if o.OK() {
				WantError(s, "Open after Reap", Second(shm.Open(s.Job.Name, nil)), fs.ErrNotExist)
			}
			n, err := otherOpens(s)
			WantNil(s, "Open", err)
			if n == 1 {
				n, err := otherReaps(s)
				WantNil(s, "Reap", err)
				Want(s, "reaped", n, 1)
			}
			Closing(s, Must(shm.Create(s.Job.Name, 1<<12, nil))(s))
		},
	}, {
		Name:    "Reach",
		Promise: "A process that dies while it attaches is no party, and leaves its line free.",
		Set: func(s *stepScene) {
			openSegment = Closing(s, Must(shm.Anonymous(1<<12, &shm.Options{Parties: stepParties}))(s))
			s.Job = job{Text: openSegment.Handle().String()} // a Handle would attach the child before the operation
		},
		Before: closeAfter(reachHandle),
		Do:     does(reachHandle),
		Other:  otherAttaches,
		Check:  checkAttached,
	}, {
		Name:    "Segment.Close",
		Promise: "A process that dies while it closes the segment is no party, and holds no object.",
		Set: func(s *stepScene) {
			openSegment = Closing(s, Must(shm.Anonymous(1<<16, &shm.Options{Parties: stepParties}))(s))
			s.Job = job{Seg: openSegment}
		},
		Before: func(_ context.Context, j job) (err error) {
			childObject, err = newPlain(j.Seg, "x", 5000)
			return errors.Join(err, Second(newPlain(j.Seg, "", 5000)))
		},
		Do:    does(func(j job) error { return j.Seg.Close() }),
		Other: otherAttaches,
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "the other's attachment", o.OtherErr)
			checkAttached(s, o)
			checkSpace(s, openSegment)
		},
	}, {
		Name:    "CreateBlock",
		Promise: "The name is that of a complete block, or does not exist.",
		Set:     setName,
		Do: does(func(j job) (err error) {
			childBlock, err = shm.CreateBlock(j.Name, 5000)
			return err
		}),
		Other: func(s *stepScene) (uint64, error) {
			b, err := shm.OpenBlock(s.Job.Name)
			if err == nil {
				err = b.Close()
			}
			return found(err)
		},
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "the other's OpenBlock", o.OtherErr)
			b, err := shm.OpenBlock(s.Job.Name)
			if err != nil {
				WantError(s, "the name", err, fs.ErrNotExist)
				if o.OK() || o.OtherValue == 1 {
					s.Error("the block has vanished")
				}
				Closing(s, Must(shm.CreateBlock(s.Job.Name, 100))(s))
				return
			}
			Closing(s, b)
			Want(s, "size", b.Size(), 5000)
		},
	},
}

// checkAttached checks openSegment after the child has died, or ended, as one of its parties or as none.
func checkAttached(s *stepScene, o step.Outcome) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	checkParties(s, openSegment, 1, stepParties)
}

// checkReaped checks that the segment of a row's orphan can be reaped, unless Other has reaped it, and that its name can be used.
func checkReaped(s *stepScene, o step.Outcome) {
	s.Helper()
	n, err := otherReaps(s)
	WantNil(s, "Reap", err)
	Want(s, "reaped", n+o.OtherValue, 1)
	Closing(s, Must(shm.Create(s.Job.Name, 1<<12, nil))(s))
}
