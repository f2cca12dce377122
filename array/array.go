package array

import (
	"fmt"
	"iter"

	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// An Array is a fixed number of Ts that processes share. T holds fixed-size
// kinds without pointers only; its layout is C's.
//
// Methods that get at elements take no lock: two of them that run at once, in
// whatever processes, must be kept apart by Lock if one of them writes what the
// other reads or writes, as with a slice. The methods that return no error panic
// if the array is closed, with an error that wraps ErrClosed.
//
// An Array must not be copied. The zero Array is closed.
type Array[T any] struct {
	handle[core[T], *core[T]]
}

// Options are the choices at making an array or byte string. Nil means all
// defaults.
type Options struct {
	// Lock is the array's lock, of the same segment, made by psync.NewLock, so
	// that several objects share one. It must not be removed as long as the array
	// is to be opened. The default is a lock of the array's own.
	Lock *psync.Lock
	// NoLock makes the array without a lock of its own; it is nothing beside Lock.
	NoLock bool
	// IgnoreDeaths makes the array's own lock ignore deaths, see
	// psync.Options: for data that is whole at each moment.
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

// New makes an array of n zero Ts in seg, with an optional name. It fails with
// shm.ErrType, naming the part of T that can't be shared, with shm.ErrSize if n is
// negative or too large, with shm.ErrMismatch, ErrClosed or fs.ErrNotExist for a
// lock of another segment or object, a closed one or one that was removed, and as
// shm.Segment.NewObject does.
func New[T any](seg *shm.Segment, name string, n int, o *Options) (*Array[T], error) {
	return newArray[T](seg, name, n, nil, o.guard())
}

// NewFrom is New for an array of as many elements as from has, which are copied
// before the array exists.
func NewFrom[T any](seg *shm.Segment, name string, from []T, o *Options) (*Array[T], error) {
	return newArray(seg, name, len(from), from, o.guard())
}

// NewRaw is New with NoLock.
func NewRaw[T any](seg *shm.Segment, name string, n int) (*Array[T], error) {
	return New[T](seg, name, n, &Options{NoLock: true})
}

// Open opens the array of that name. It fails as shm.Segment.OpenObject does,
// with shm.ErrMismatch if it is of another T, and with shm.ErrVersion if a newer
// version of mp made it.
func Open[T any](seg *shm.Segment, name string) (*Array[T], error) {
	a := new(Array[T])
	if err := a.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return a, nil
}

func newArray[T any](seg *shm.Segment, name string, n int, from []T, g lock.Options) (*Array[T], error) {
	a := new(Array[T])
	init, total, err := prepare(seg, n, from, g)
	if err != nil {
		return nil, fmt.Errorf("array: new %q: %w", name, err)
	}
	if err := a.ref.New(seg, name, total, init); err != nil {
		return nil, err
	}
	return a, nil
}

// prepare returns what makes an array of n Ts of zero memory, and how much of
// it.
func prepare[T any](seg *shm.Segment, n int, from []T, g lock.Options) (init func([]byte) error, total int, err error) {
	elem, total, err := sizeOf[T](n)
	if err != nil {
		return nil, 0, err
	}
	guard, err := lock.NewGuard(seg, g)
	if err != nil {
		return nil, 0, err
	}
	return func(mem []byte) error {
		fill(mem, elem, n)
		guard(mem, guardOffset)
		copy(view.Slice[T](mem, dataOffset, n), from)
		return nil
	}, total, nil
}

// Len returns the number of elements.
func (a *Array[T]) Len() int { return len(a.open("Len").elements) }

// At returns element i. It panics if i is out of range, as indexing a slice
// does.
func (a *Array[T]) At(i int) T { // small enough to be inlined
	if c := a.ref.Load(); c != nil {
		if x := c.elements[i]; !c.Closed.Load() {
			return x
		}
	}
	panic(closed("At"))
}

// Set makes element i x. It panics if i is out of range, as indexing a slice
// does.
func (a *Array[T]) Set(i int, x T) { // small enough to be inlined
	if c := a.ref.Load(); c != nil {
		if c.elements[i] = x; !c.Closed.Load() {
			return
		}
	}
	panic(closed("Set"))
}

// Slice returns the elements themselves, not a copy. The slice is valid until
// Close of the array or its segment, and while the Array can be reached: what is
// read or written through it later is not the array's any more, and may crash the
// process.
func (a *Array[T]) Slice() []T { return a.open("Slice").elements }

// All iterates over the indexes and elements, each read when its turn comes.
func (a *Array[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		c := a.use("All")
		for i := range c.elements {
			x := c.elements[i]
			c.check("All")
			if !yield(i, x) {
				return
			}
		}
	}
}

// Fill makes all elements x.
func (a *Array[T]) Fill(x T) {
	c := a.use("Fill")
	for i := range c.elements {
		c.elements[i] = x
	}
	c.check("Fill")
}

// CopyTo copies elements to dst, as many as fit or are there, and returns how
// many.
func (a *Array[T]) CopyTo(dst []T) int {
	c := a.use("CopyTo")
	n := copy(dst, c.elements)
	c.check("CopyTo")
	return n
}

// CopyFrom copies src to the elements, as many as fit or are there, and returns
// how many.
func (a *Array[T]) CopyFrom(src []T) int {
	c := a.use("CopyFrom")
	n := copy(c.elements, src)
	c.check("CopyFrom")
	return n
}
