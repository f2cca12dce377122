package array

import (
	"iter"

	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// An Array is a fixed number of elements of type T that processes share. T consists of kinds of a
// fixed size, without pointers. The elements are laid out as in C.
//
// No method blocks, and no method takes the array's lock. As with a slice, two accesses to one
// element, at least one of which is a write, must not be concurrent, in this process or in
// different ones: separate them by Lock. All methods that access no elements may be called
// concurrently.
//
// Methods that return no error panic with an error that wraps ErrClosed if the array is closed. An
// Array must not be copied. The zero Array is closed; UnmarshalText opens it.
type Array[T any] struct {
	handle[core[T], *core[T]]
}

// Options are the options of New and NewBytes. The nil *Options means all defaults.
type Options struct {
	// Lock is the array's lock. It is a lock of the same segment that psync.NewLock made, and
	// several objects may share it. It must not be removed as long as processes are to open the
	// array. By default the array has a lock of its own.
	Lock *psync.Lock
	// NoLock makes an array without a lock. It is ignored if Lock is set.
	NoLock bool
	// IgnoreDeaths makes the array's own lock ignore deaths (see psync.Options), for elements that
	// are valid at every moment. It is ignored if the array has no lock of its own.
	IgnoreDeaths bool
}

func (o *Options) guard() lock.Options {
	if o == nil {
		return lock.Options{}
	}
	g := lock.Options{None: o.NoLock, IgnoreDeaths: o.IgnoreDeaths}
	if o.Lock != nil {
		g.Shared = o.Lock
	}
	return g
}

// New makes an array of n zero elements in seg, and opens it. n may be 0. An array with an empty
// name can be opened only by its handle. New fails as every New function does: see package shm. In
// addition it returns
//
//   - shm.ErrType if T can't be shared; the error names the offending part of T,
//   - shm.ErrSize if n is negative, or so large that the array can't be addressed,
//   - shm.ErrMismatch if o.Lock lies in another segment or is the own lock of another object,
//   - ErrClosed if o.Lock is closed, and fs.ErrNotExist if it has been removed.
func New[T any](seg *shm.Segment, name string, n int, o *Options) (*Array[T], error) {
	return newArray[T](seg, name, n, nil, o)
}

// NewFrom is New for an array with a copy of the elements of from. Other processes can't open the
// array until the elements have been copied.
func NewFrom[T any](seg *shm.Segment, name string, from []T, o *Options) (*Array[T], error) {
	return newArray(seg, name, len(from), from, o)
}

// NewRaw is New for an array without a lock.
func NewRaw[T any](seg *shm.Segment, name string, n int) (*Array[T], error) {
	return New[T](seg, name, n, &Options{NoLock: true})
}

// Open opens the array with that name in seg. It fails as every Open function does: see package
// shm. It returns shm.ErrMismatch if the elements have another layout, shm.ErrVersion if a newer
// version of mp made the array, and fs.ErrNotExist also if its Options.Lock has been removed.
func Open[T any](seg *shm.Segment, name string) (*Array[T], error) {
	a := new(Array[T])
	if err := a.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return a, nil
}

func newArray[T any](seg *shm.Segment, name string, n int, from []T, o *Options) (*Array[T], error) {
	a := new(Array[T])
	if err := makeIn(&a.ref, seg, name, n, from, o); err != nil {
		return nil, err
	}
	return a, nil
}

// makeIn makes an array or byte string of n elements, the first of which are copies of those of
// from, and makes r refer to it.
func makeIn[C any, P object.Core[C], T any](r *object.Ref[C, P], seg *shm.Segment, name string, n int, from []T, o *Options) error {
	elem, total, err := sizeOf[T](n)
	var guard func(mem []byte, off int)
	if err == nil {
		guard, err = lock.NewGuard(seg, o.guard())
	}
	if err != nil {
		kind, _, _ := P(nil).Type()
		return object.NewFailed(kind, name, err)
	}
	return r.New(seg, name, total, func(mem []byte) error {
		fillHeader(mem, elem, n)
		guard(mem, guardOffset)
		copy(view.Slice[T](mem, dataOffset, n), from)
		return nil
	})
}

// Len returns the number of elements.
func (a *Array[T]) Len() int {
	const op = "array: Len of array"
	return len(a.ref.Must(op).slice(op))
}

// At returns element i. If i is out of range it panics as indexing a slice does.
func (a *Array[T]) At(i int) T { // small enough to be inlined
	if c := a.ref.Load(); c != nil {
		if x := c.elements[i]; !c.Closed.Load() {
			return x
		}
	}
	panic(object.ClosedCall("array: At of array"))
}

// Set sets element i to x. If i is out of range it panics as indexing a slice does.
func (a *Array[T]) Set(i int, x T) { // small enough to be inlined
	if c := a.ref.Load(); c != nil {
		if c.elements[i] = x; !c.Closed.Load() {
			return
		}
	}
	panic(object.ClosedCall("array: Set of array"))
}

// Slice returns the elements themselves, not a copy. The slice is valid until the array or its
// segment is closed, and while a is reachable (see runtime.KeepAlive). Later accesses do not go to
// the array, and may crash the process.
func (a *Array[T]) Slice() []T {
	const op = "array: Slice of array"
	return a.ref.Must(op).slice(op)
}

// All returns an iterator over the indexes and elements. It reads each element when the loop asks
// for it. The iteration ends early, without an error, if the array is closed.
func (a *Array[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		c := a.ref.Load()
		if c == nil {
			return
		}
		for i := range c.elements {
			x := c.elements[i]
			if c.Closed.Load() || !yield(i, x) {
				return
			}
		}
	}
}

// Fill sets all elements to x.
func (a *Array[T]) Fill(x T) {
	const op = "array: Fill of array"
	c := a.ref.Must(op)
	for i := range c.elements {
		c.elements[i] = x
	}
	c.Check(op)
}

// CopyTo copies the first elements to dst. It returns how many it has copied: the smaller of Len
// and the length of dst.
func (a *Array[T]) CopyTo(dst []T) int {
	const op = "array: CopyTo of array"
	c := a.ref.Must(op)
	n := copy(dst, c.elements)
	c.Check(op)
	return n
}

// CopyFrom copies src to the first elements. It returns how many it has copied: the smaller of Len
// and the length of src.
func (a *Array[T]) CopyFrom(src []T) int {
	const op = "array: CopyFrom of array"
	c := a.ref.Must(op)
	n := copy(c.elements, src)
	c.Check(op)
	return n
}

// Lock returns the array's lock, or nil if the array has none. Every call of a.Lock returns the
// same *psync.Lock. If one caller closes it, it is closed for all callers. The handle of an array's
// own lock is that of the array: other processes get the lock by opening the array.
func (a *Array[T]) Lock() *psync.Lock {
	const op = "array: Lock of array"
	return a.ref.Must(op).lock(op)
}

// Offset returns the offset of element 0 in the segment, and so in the segment's file, for programs
// in other languages.
func (a *Array[T]) Offset() int {
	const op = "array: Offset of array"
	return a.ref.Must(op).offset(op)
}
