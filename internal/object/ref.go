// Package object has what the handles of all kinds of shared objects have in common. A program
// holds an object through a Ref. The Ref points to the core, which is this process's part of the
// object, until Close.
package object

import (
	"encoding"
	"errors"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/shm"
)

// A Core is this process's part of an object of one kind. Each New, Open and UnmarshalText makes
// one. It does not change after Use has returned.
type Core[C any] interface {
	*C
	// Type returns the kind of object and the fingerprint of the type that it holds. It is called
	// on a nil pointer.
	Type() (kind shm.Kind, fingerprint uint64, err error)
	// Use makes a new core the core of o. It must not trust the memory of o.
	Use(o Object) error
	// Object returns the argument of Use.
	Object() Object
	// Detach closes it, and what else Use has opened.
	Detach() error
}

// A Marshaler is implemented by every object that can be passed to other processes.
type Marshaler interface {
	encoding.TextMarshaler
	encoding.TextUnmarshaler
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

// A Ref is a program's reference to an object: a pointer to its core, nil if it is closed. The zero
// Ref is closed. All methods may be called from several goroutines at once.
type Ref[C any, P Core[C]] struct {
	atomic.Pointer[C] // embedded, since a method of Ref that returns Load() costs a NOP where it is inlined
	borrowed          atomic.Bool
}

// Must returns the core for a method that returns no error. It panics if r is closed. op is as for
// ClosedCall.
func (r *Ref[C, P]) Must(op string) *C {
	c := r.Load()
	if c == nil {
		panic(ClosedCall(op))
	}
	return c
}

// New makes an object of size bytes in seg and makes r refer to it. init, if it is not nil, fills
// the object's memory, which is zero. New fails as every New function does: see package shm.
func (r *Ref[C, P]) New(seg *shm.Segment, name string, size int, init func(mem []byte) error) error {
	kind, print, err := P(nil).Type()
	if err != nil {
		return NewFailed(kind, name, err)
	}
	o, err := New(seg, Spec{Kind: kind, Name: name, Size: size, Fingerprint: print, Init: init})
	if err != nil {
		return err
	}
	return r.Use(o)
}

// Open makes r refer to the object with that name in seg. It fails as every Open function does: see
// package shm.
func (r *Ref[C, P]) Open(seg *shm.Segment, name string) error {
	kind, print, err := P(nil).Type()
	if err != nil {
		return openFailed(kind, name, err)
	}
	o, err := Open(seg, kind, name, print)
	if err != nil {
		return err
	}
	return r.Use(o)
}

// Use makes r refer to o. If it fails it closes o.
func (r *Ref[C, P]) Use(o Object) error {
	c := new(C)
	if err := o.UnlessClosed(P(c).Use(o)); err != nil {
		err = openFailed(o.Kind(), o.Name(), err)
		if P(c).Object() != nil {
			return errors.Join(err, P(c).Detach())
		}
		return errors.Join(err, o.Close())
	}
	r.set(c, false)
	return nil
}

// Borrow makes r refer to c, which another reference detaches. Close of r only ends
// the reference.
func (r *Ref[C, P]) Borrow(c *C) { r.set(c, true) }

// set makes r refer to c. If r referred to another core, methods that wait through r for that one
// return ErrClosed.
func (r *Ref[C, P]) set(c *C, borrowed bool) {
	r.borrowed.Store(borrowed)
	if old := r.Swap(c); old != nil {
		P(old).Object().Table().Wake()
	}
}

// Wanted returns a function that reports whether r still refers to c. A waiting method gives up
// when it does not.
func (r *Ref[C, P]) Wanted(c *C) func() bool {
	return func() bool { return r.Load() == c }
}

// Handle returns the object's handle. It returns the zero Handle if r or the segment is closed.
func (r *Ref[C, P]) Handle() shm.Handle {
	c := r.Load()
	if c == nil {
		return shm.Handle{}
	}
	return P(c).Object().Handle(0)
}

// Stats returns the object's statistics. If r or the segment is closed it returns ErrClosed as an
// error of the method op.
func (r *Ref[C, P]) Stats(op string) (shm.Stats, error) {
	c := r.Load()
	if c == nil {
		kind, _, _ := P(nil).Type()
		return shm.Stats{}, Closed(op, kind)
	}
	s, err := Stats(P(c).Object())
	if err != nil {
		err = Failed(P(c).Object(), op, err)
	}
	return s, err
}

// MarshalText returns the text of the object's handle. If r or the segment is closed it returns
// ErrClosed as an error of the method op.
func (r *Ref[C, P]) MarshalText(op string) ([]byte, error) {
	h := r.Handle()
	if h == (shm.Handle{}) {
		kind, _, _ := P(nil).Type()
		return nil, Closed(op, kind)
	}
	return h.MarshalText()
}

// UnmarshalText makes r refer to the object whose handle text is. It attaches this process to the
// object's segment if it is not attached yet. It fails as every UnmarshalText does: see package
// shm.
func (r *Ref[C, P]) UnmarshalText(text []byte) error {
	kind, print, err := P(nil).Type()
	if err != nil {
		return openFailed(kind, "", err)
	}
	var h shm.Handle
	if err := h.UnmarshalText(text); err != nil {
		return openFailed(kind, "", err)
	}
	o, err := OpenHandle(h, kind, print)
	if err != nil {
		return err
	}
	return r.Use(o)
}

// Close makes r refer to nothing. Methods that wait through r for the object return ErrClosed.
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
