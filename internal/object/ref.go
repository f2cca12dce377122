// Package object is what the types that programs hold of shared objects have
// in common: a pointer to the process's part of the object, the core, that Close
// takes away.
package object

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/shm"
)

// A Core is the process's part of an object of one kind. It is made once for
// each New, Open or Unmarshal, and does not change.
type Core[C any] interface {
	*C
	// Type says what kind of object it is of. It is called on a nil pointer.
	Type() (kind shm.Kind, fingerprint uint64, err error)
	// Use makes a new core the one of o. It checks what it reads.
	Use(o *Object) error
	// Object returns what Use got.
	Object() *Object
	// Detach closes it, and what else Use has opened.
	Detach() error
}

// A Ref is a program's hold of an object: its core, or nil when it is closed.
type Ref[C any, P Core[C]] struct {
	atomic.Pointer[C] // not behind a method of Ref: each call that is inlined costs a NOP
	borrowed          atomic.Bool
}

// New makes an object of size bytes in seg, which init, if it is not nil,
// fills, and refers to it. It fails as shm.Segment.NewObject does.
func (r *Ref[C, P]) New(seg *shm.Segment, name string, size int, init func(mem []byte) error) error {
	kind, print, err := P(nil).Type()
	if err != nil {
		return fmt.Errorf("new %v %q: %w", kind, name, err)
	}
	o, err := New(seg, Spec{Kind: kind, Name: name, Size: size, Fingerprint: print, Init: init})
	if err != nil {
		return err
	}
	return r.Use(o)
}

// Open refers to the object of that name. It fails as shm.Segment.OpenObject
// does.
func (r *Ref[C, P]) Open(seg *shm.Segment, name string) error {
	kind, print, err := P(nil).Type()
	if err != nil {
		return fmt.Errorf("open %v %q: %w", kind, name, err)
	}
	o, err := Open(seg, kind, name, print)
	if err != nil {
		return err
	}
	return r.Use(o)
}

// Use refers to o.
func (r *Ref[C, P]) Use(o *Object) error {
	c := new(C)
	if err := o.UnlessClosed(P(c).Use(o)); err != nil {
		if P(c).Object() != nil {
			return errors.Join(err, P(c).Detach())
		}
		return errors.Join(err, o.Close())
	}
	r.set(c, false)
	return nil
}

// Borrow refers to c, which another user will detach: Close of r only ends
// the reference.
func (r *Ref[C, P]) Borrow(c *C) { r.set(c, true) }

// set refers to c. Waiters that wait through r for the object before give up.
func (r *Ref[C, P]) set(c *C, borrowed bool) {
	r.borrowed.Store(borrowed)
	if old := r.Swap(c); old != nil {
		P(old).Object().Table().Wake()
	}
}

// Wanted returns a function that tells whether r still refers to c.
func (r *Ref[C, P]) Wanted(c *C) func() bool {
	return func() bool { return r.Load() == c }
}

// Handle returns the object's handle, the zero Handle if it is closed.
func (r *Ref[C, P]) Handle() shm.Handle {
	c := r.Load()
	if c == nil {
		return shm.Handle{}
	}
	return P(c).Object().Handle(0)
}

// UnmarshalText refers to the object of an encoded handle, attaching to its
// segment if need be.
func (r *Ref[C, P]) UnmarshalText(text []byte) error {
	var h shm.Handle
	if err := h.UnmarshalText(text); err != nil {
		return err
	}
	kind, print, err := P(nil).Type()
	if err != nil {
		return fmt.Errorf("open %v %v: %w", kind, h, err)
	}
	o, err := OpenHandle(h, kind, print)
	if err != nil {
		return err
	}
	return r.Use(o)
}

// Close ends the reference. Who waits through it is woken, finds it not Wanted
// and gives up.
func (r *Ref[C, P]) Close() error {
	c := r.Swap(nil)
	if c == nil {
		return nil
	}
	P(c).Object().Table().Wake()
	if r.borrowed.Load() {
		return nil
	}
	return P(c).Detach()
}
