package shm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

const (
	stepSpace  = 1 << 14 // of a round's segment
	stepObject = 9000    // bytes of the row's object: a second one has no space
)

// setSpace makes the segment of a round.
func setSpace(s *stepScene) {
	seg := Anonymous(s, stepSpace)
	s.Job = job{Seg: seg, Cells: newCells(s, s.Seg)}
}

// setObject makes the segment and, in it, the object "x", which the test's process has open.
func setObject(s *stepScene) {
	setSpace(s)
	heldObject = Must(newFilled(s.Job.Seg, "x"))(s)
	s.Cleanup(letGo)
}

// setClosedObject is setObject, but the object is closed.
func setClosedObject(s *stepScene) {
	setObject(s)
	letGo()
}

// setUnnamed makes the segment and an object without a name, which the test's process has open.
func setUnnamed(s *stepScene) {
	setSpace(s)
	heldObject = Must(newFilled(s.Job.Seg, ""))(s)
	s.Job.Text = heldObject.Handle(0).String() // a Handle would open the object in the child before the operation
	s.Cleanup(letGo)
}

// heldObject is the object of a round that the test's process has open.
var heldObject object.Object

// letGo closes heldObject. It also forgets the object: its memory is used again when the garbage collector finds that no method
// can use it any more.
func letGo() {
	if heldObject != nil {
		heldObject.Close()
		heldObject = nil
	}
}

// newFilled makes an object whose first and last bytes are 'n'.
func newFilled(seg *shm.Segment, name string) (object.Object, error) {
	return object.New(seg, object.Spec{Kind: kindPlain, Name: name, Size: stepObject, Fingerprint: plainPrint, Init: func(mem []byte) error {
		mem[0], mem[stepObject-1] = 'n', 'n'
		return nil
	}})
}

// filled returns an error unless o is as newFilled has made it.
func filled(o object.Object) error {
	mem := o.Bytes()
	if len(mem) != stepObject || mem[0] != 'n' || mem[stepObject-1] != 'n' {
		return fmt.Errorf("the object has %d bytes, the first is %d, the last is %d", len(mem), mem[0], mem[len(mem)-1])
	}
	return nil
}

func newNamed(j job) (err error) {
	childObject, err = newFilled(j.Seg, "x")
	return err
}

// openX opens the object "x", and returns 1 if it is there.
func openX(s *stepScene) (uint64, error) {
	o, err := openPlain(s.Job.Seg, "x")
	if err == nil {
		err = errors.Join(filled(o), o.Close())
	}
	return found(err)
}

// newY makes another object and removes it, so that the next object is not the first of the process.
func newY(_ context.Context, j job) error {
	y, err := newPlain(j.Seg, "y", 100)
	if err != nil {
		return err
	}
	return errors.Join(y.Close(), j.Seg.Remove("y"))
}

var objectSteps = []stepRow{
	{
		Name:    "New object, the first",
		Promise: "The object exists and is complete, or its space is free.",
		Set:     setSpace,
		Do:      does(newNamed),
		Other:   openX,
		Check:   checkMade,
	}, {
		Name:    "New object",
		Promise: "The object exists and is complete, or its space is free.",
		Set:     setSpace,
		Before:  newY,
		Do:      does(newNamed),
		Other:   openX,
		Check:   checkMade,
	}, {
		Name:    "New object without a name",
		Promise: "Its space becomes free with its only user.",
		Set:     setSpace,
		Before:  newY,
		Do: does(func(j job) (err error) {
			childObject, err = newFilled(j.Seg, "")
			return err
		}),
		Check: func(s *stepScene, o step.Outcome) { checkSpace(s, s.Job.Seg) },
	}, {
		Name:    "New object in recycled space",
		Promise: "None of the space is lost, and none is used twice.",
		Set: func(s *stepScene) {
			seg := Anonymous(s, 1<<16)
			s.Job = job{Seg: seg}
			heldObject = Must(newPlain(seg, "keep", 1024))(s)
			s.Cleanup(letGo)
			fill(s, seg, "k", 4096)
			for i := range 10 {
				WantNil(s, "Remove", seg.Remove(fmt.Sprint("k", i)))
			}
			Eventually(s, "the closed objects are collected", func() bool {
				runtime.GC()
				return shm.Closing(seg) == 0
			})
		},
		Do: does(func(j job) (err error) {
			childObject, err = newPlain(j.Seg, "x", 8192)
			return err
		}),
		Check: func(s *stepScene, o step.Outcome) {
			seg := s.Job.Seg
			if o.OK() {
				x := Must(openPlain(seg, "x"))(s)
				WantNil(s, "Close", x.Close())
				WantNil(s, "Remove", seg.Remove("x"))
			}
			more := Must(newPlain(seg, "more", 20<<10))(s)
			for i := range more.Bytes() {
				more.Bytes()[i] = 1
			}
			fill(s, seg, "l", 1024)
			for i, b := range heldObject.Bytes() {
				if b != 0 {
					s.Fatalf("byte %d of another object is %d", i, b)
				}
			}
			more.Close()
			letGo()
			checkSpace(s, seg)
		},
	}, {
		Name:    "Open object",
		Promise: "Either the object is opened, and its memory stays, or it has been removed.",
		Set:     setClosedObject,
		Before: func(_ context.Context, j job) error {
			o, err := openPlain(j.Seg, "x")
			if err != nil {
				return err
			}
			return o.Close()
		},
		Do: opens(func(j job) (err error) {
			if childObject, err = openPlain(j.Seg, "x"); err == nil {
				err = filled(childObject)
			}
			return err
		}),
		Other: func(s *stepScene) (uint64, error) { return 0, s.Job.Seg.Remove("x") },
		Check: checkOpened,
	}, {
		Name:    "Open object by its handle",
		Promise: "Either the object is opened, and its memory stays, or its last user has closed it.",
		Set:     setUnnamed,
		Do: opens(func(j job) (err error) {
			var h shm.Handle
			if err := h.UnmarshalText([]byte(j.Text)); err != nil {
				return err
			}
			if childObject, err = object.OpenHandle(h, kindPlain, plainPrint); err == nil {
				err = filled(childObject)
			}
			return err
		}),
		Other: func(*stepScene) (uint64, error) { letGo(); return 0, nil },
		Check: func(s *stepScene, o step.Outcome) {
			letGo()
			checkOpened(s, o)
		},
	}, {
		Name:    "Remove",
		Promise: "The object exists, or its space is free. A process that opens it meanwhile keeps its memory.",
		Set:     setClosedObject,
		Do:      does(func(j job) error { return j.Seg.Remove("x") }),
		Other: func(s *stepScene) (_ uint64, err error) {
			heldObject, err = openPlain(s.Job.Seg, "x")
			return found(err)
		},
		Check: checkRemoved,
	}, {
		Name:    "Remove of an object that is open",
		Promise: "The process that has it open keeps its memory.",
		Set:     setObject,
		Do:      does(func(j job) error { return j.Seg.Remove("x") }),
		Other:   openX,
		Check:   checkRemoved,
	}, {
		Name:    "Object.Close",
		Promise: "The object stays. It may be removed meanwhile, and its space becomes free.",
		Set:     setClosedObject,
		Before:  openObject,
		Do:      does(func(job) error { return childObject.Close() }),
		Other:   func(s *stepScene) (uint64, error) { return 1, s.Job.Seg.Remove("x") },
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "Remove", o.OtherErr)
			n, err := openX(s)
			WantNil(s, "Open", err)
			Want(s, "whether the object is there", n, 1-o.OtherValue)
			checkSpace(s, s.Job.Seg)
		},
	}, {
		Name:    "Object.Close of a removed object",
		Promise: "The space of the object becomes free.",
		Set:     setObject,
		Before:  openObject,
		Ready: func(s *stepScene) {
			WantNil(s, "Remove", s.Job.Seg.Remove("x"))
			letGo()
		},
		Do:    does(func(job) error { return childObject.Close() }),
		Check: func(s *stepScene, o step.Outcome) { checkSpace(s, s.Job.Seg) },
	}, {
		Name:    "Object.Close of an object without a name",
		Promise: "The space of the object becomes free.",
		Set:     setSpace,
		Before: func(_ context.Context, j job) (err error) {
			childObject, err = newFilled(j.Seg, "")
			return err
		},
		Do:    does(func(job) error { return childObject.Close() }),
		Check: func(s *stepScene, o step.Outcome) { checkSpace(s, s.Job.Seg) },
	},
}

func openObject(_ context.Context, j job) (err error) {
	childObject, err = openPlain(j.Seg, "x")
	return err
}

// checkMade checks the object "x" after the death of its maker.
func checkMade(s *stepScene, o step.Outcome) {
	s.Helper()
	WantNil(s, "the other's Open", o.OtherErr)
	seg := s.Job.Seg
	n, err := openX(s)
	WantNil(s, "Open", err)
	if n == 0 && (o.OK() || o.OtherValue == 1) {
		s.Error("the object has vanished")
	}
	if n == 1 {
		WantError(s, "an object of a name that is taken", Second(newPlain(seg, "x", 10)), fs.ErrExist)
		WantNil(s, "Remove", seg.Remove("x"))
	}
	Must(newPlain(seg, "x", 10))(s).Close()
	checkSpace(s, seg)
}

// checkOpened checks the object "x" after the death of a process that has opened it, while Other removed it.
func checkOpened(s *stepScene, o step.Outcome) {
	s.Helper()
	WantNil(s, "the other's operation", o.OtherErr)
	if o.Returned && o.Err != "" && !(o.Between && notFound(o)) {
		s.Errorf("Open: %s", o.Err)
	}
	checkSpace(s, s.Job.Seg)
}

// checkRemoved checks the object "x" after the death of a process that has removed it.
func checkRemoved(s *stepScene, o step.Outcome) {
	s.Helper()
	WantNil(s, "the other's Open", o.OtherErr)
	if heldObject != nil {
		WantNil(s, "memory of the object", filled(heldObject))
	}
	n, err := openX(s)
	WantNil(s, "Open", err)
	if n == 1 && (o.OK() || o.Between && o.OtherValue == 0) {
		s.Error("the object was not removed")
	}
	letGo()
	checkSpace(s, s.Job.Seg)
}
