package value

import (
	"context"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/layout"
	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A Value is a variable of type T that processes share. T consists of kinds of a fixed size,
// without pointers. It is laid out as in C. A Value guarantees:
//
//  1. Load returns a T as a whole: one that a single New, Store, Swap, CompareAndSwap or Update
//     wrote.
//  2. A writer that is killed at any instruction leaves the old value or the new one. If it leaves
//     the new one, Watch yields that also if the writer was killed before it woke the watchers.
//  3. Load never blocks. If T is larger than 8 bytes and three values are published while Load
//     copies one, Load copies again. So under writers that never pause it may take long, but they
//     make progress.
//  4. A write synchronizes before the return of each Load that returns the written value or a later
//     one.
//
// A T of at most 8 bytes is one atomic word, and writing it never blocks. Writers of a larger T
// exclude one another while they copy. A writer that is stopped (SIGSTOP) during its copy blocks
// other writers until it goes on, but no reader; a writer that is killed blocks nobody.
//
// A Value may have a lock, which Update takes and which the program may take by Lock. The other
// methods do not take it.
//
// All methods may be called concurrently. A Value must not be copied. The zero Value is closed;
// UnmarshalText opens it.
type Value[T any] struct {
	handle[core[T], *core[T]]
}

// Options are the options of New. The nil *Options means all defaults.
type Options struct {
	// Lock is the lock that Update takes. It is a lock of the same segment that psync.NewLock made,
	// and several objects may share it. It must not be removed as long as processes are to open the
	// value. By default the value has a lock of its own, which ignores deaths (see psync.Options),
	// since a value is whole at every moment.
	Lock *psync.Lock
	// NoLock makes a value without a lock. It is ignored if Lock is set.
	NoLock bool
}

// New makes a value with the initial value init in seg, and opens it. A value with an empty name
// can be opened by its handle only. New fails as every New function does: see package shm. In
// addition it returns
//
//   - shm.ErrType if T can't be shared; the error names the offending part of T,
//   - shm.ErrMismatch if o.Lock lies in another segment or is the own lock of another object,
//   - ErrClosed if o.Lock is closed, and fs.ErrNotExist if it has been removed.
func New[T any](seg *shm.Segment, name string, init T, o *Options) (*Value[T], error) {
	v := new(Value[T])
	return orNil(v, v.make(seg, name, init, o.guard()))
}

// NewRaw is New for a value without a lock.
func NewRaw[T any](seg *shm.Segment, name string, init T) (*Value[T], error) {
	return New(seg, name, init, &Options{NoLock: true})
}

// Open opens the value with that name in seg. It fails as every Open function does: see package
// shm. It returns shm.ErrMismatch if the value holds a type of another layout, shm.ErrVersion if a
// newer version of mp made the value, and fs.ErrNotExist also if its Options.Lock has been removed.
func Open[T any](seg *shm.Segment, name string) (*Value[T], error) {
	v := new(Value[T])
	return orNil(v, v.ref.Open(seg, name))
}

func orNil[V any](v *V, err error) (*V, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (o *Options) guard() lock.Options {
	g := lock.Options{IgnoreDeaths: true}
	if o != nil {
		g.None = o.NoLock
		if o.Lock != nil {
			g.Shared = o.Lock
		}
	}
	return g
}

func (v *Value[T]) make(seg *shm.Segment, name string, init T, g lock.Options) error {
	total, fill, err := prepare(seg, init, g)
	if err != nil {
		return object.NewFailed(shm.KindValue, name, err)
	}
	return v.ref.New(seg, name, total, fill)
}

// prepare returns the size of a new value, and the function that fills its memory.
func prepare[T any](seg *shm.Segment, init T, g lock.Options) (total int, fill func(mem []byte) error, err error) {
	l, err := layout.Of[T]()
	if err != nil {
		return 0, nil, err
	}
	stride, total, err := sizes(l)
	if err != nil {
		return 0, nil, err
	}
	guard, err := lock.NewGuard(seg, g)
	if err != nil {
		return 0, nil, err
	}
	writer, err := lock.NewGuard(seg, lock.Options{None: stride == 0, IgnoreDeaths: true})
	if err != nil {
		return 0, nil, err
	}
	return total, func(mem []byte) error {
		guard(mem, guardOffset)
		writer(mem, writerOffset)
		fillHeader(mem, l, stride, &init)
		return nil
	}, nil
}

// Load returns the value. It never blocks. It panics with an error that wraps ErrClosed if the
// value is closed.
func (v *Value[T]) Load() T {
	if c := v.ref.Load(); c != nil {
		if isWord[T]() {
			if x := loadWord[T](c.word); !c.Closed.Load() {
				return x
			}
		} else {
			var x T
			if c.read(&x); !c.Closed.Load() {
				return x
			}
		}
	}
	panic(object.ClosedCall("value: Load of value"))
}

// Store replaces the value by x, and wakes the watchers. It does not take the value's lock: an
// Update that runs concurrently calls its function again. If T is larger than 8 bytes Store blocks
// while another process copies a value in. It panics with an error that wraps ErrClosed if the
// value is closed.
func (v *Value[T]) Store(x T) {
	const op = "value: Store of value"
	c := v.ref.Must(op)
	if isWord[T]() {
		storeWord(c.word, x)
		c.notify()
	} else if _, err := v.replace(c, &x, nil, nil); err != nil {
		panic(object.ClosedCall(op))
	}
	c.Check(op)
}

// Swap replaces the value by x and returns the old value. Apart from that it is like Store.
func (v *Value[T]) Swap(x T) (old T) {
	const op = "value: Swap of value"
	c := v.ref.Must(op)
	if isWord[T]() {
		old = swapWord(c.word, x)
		c.notify()
	} else if _, err := v.replace(c, &x, &old, nil); err != nil {
		panic(object.ClosedCall(op))
	}
	c.Check(op)
	return old
}

// CompareAndSwap replaces the value by x if it equals old by the operator ==. It reports whether it
// did. Apart from that it is like Store.
func CompareAndSwap[T comparable](v *Value[T], old, x T) (swapped bool) {
	const op = "value: CompareAndSwap of value"
	c := v.ref.Must(op)
	if isWord[T]() {
		swapped = compareAndSwapWord(c, old, x)
	} else {
		var now T
		var err error
		swapped, err = v.replace(c, &x, &now, func(uint64) bool { return now == old })
		if err != nil {
			panic(object.ClosedCall(op))
		}
	}
	c.Check(op)
	return swapped
}

// compareAndSwapWord compares the values rather than their bits: values that are equal may have
// different bits in padding, or be the two zeros of a floating-point type.
func compareAndSwapWord[T comparable](c *core[T], old, x T) bool {
	for {
		bits := loadBits[T](c.word)
		if fromBits[T](bits) != old {
			return false
		}
		if casBits(c.word, bits, x) {
			c.notify()
			return true
		}
	}
}

// Update changes the value by f. It passes f a copy of the value, and replaces the value by what f
// makes of the copy. No concurrent change is lost: if another goroutine has changed the value
// meanwhile, by Store for instance, Update calls f again with a copy of the changed value. If f
// panics the value is unchanged.
//
// If the value has a lock, Update holds it while f runs, so that concurrent Updates do not make one
// another call f again. It blocks until the lock is free. f must not take the lock, and a goroutine
// that holds the lock must not call Update.
//
// Update returns
//
//   - ctx's error if ctx is done before the lock is free or when f has to be called again; it makes
//     one attempt even if ctx is done already,
//   - psync.ErrOwnerDied if the value has an Options.Lock whose owner died: repair what that lock
//     guards in its Recover,
//   - ErrClosed if the value is closed, also while Update blocks.
//
// The value is unchanged if Update returns an error, with one exception: if the segment is closed
// while Update runs, the change may have been made.
func (v *Value[T]) Update(ctx context.Context, f func(x *T)) error {
	c := v.ref.Load()
	if c == nil {
		return object.Closed("value: Update", shm.KindValue)
	}
	return c.Fail("value: Update", v.update(ctx, c, f))
}

func (v *Value[T]) update(ctx context.Context, c *core[T], f func(x *T)) error {
	if c.guard != nil {
		err := c.guard.TryAcquire()
		if err == psync.ErrHeld {
			err = c.guard.Acquire(ctx, v.ref.Wanted(c))
		}
		if err != nil {
			return err
		}
		defer c.guard.Release()
	}
	for {
		done, err := v.tryUpdate(c, f)
		if err = c.Done(err); done || err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// tryUpdate calls f with a copy of the value and publishes the result, unless the value has changed
// meanwhile. It reports whether it published.
func (v *Value[T]) tryUpdate(c *core[T], f func(x *T)) (bool, error) {
	var bits, number uint64
	x := new(T)
	if isWord[T]() {
		bits = loadBits[T](c.word)
		*x = fromBits[T](bits)
	} else {
		number = c.read(x)
	}
	if c.Closed.Load() {
		return false, ErrClosed // x may not come from the value, and f must not see it
	}
	f(x)
	if crash.Enabled {
		crash.At(crash.ValueUpdating)
	}
	if !isWord[T]() {
		return v.replace(c, x, nil, func(now uint64) bool { return now == number })
	}
	if !casBits(c.word, bits, *x) {
		return false, nil
	}
	c.notify()
	return true, nil
}

// Lock returns the lock that Update takes, so that the program can hold it over several calls or
// for several objects. It returns nil if the value has none. All calls of Lock on v return the same
// *psync.Lock. Closing that closes it for all of them, but Update goes on using the lock. The
// handle of a value's own lock is that of the value: other processes get the lock by opening the
// value. Lock panics with an error that wraps ErrClosed if the value is closed.
func (v *Value[T]) Lock() *psync.Lock {
	const op = "value: Lock of value"
	c := v.ref.Must(op)
	c.Check(op)
	return c.lock
}

// Offset returns the offset of the value's word from the start of the segment and of its file.
// Programs in other languages use it. If T has at most 8 bytes, the word holds the value. Otherwise
// it holds the number of the latest copy; docs/design/values.md describes the layout. Offset panics
// with an error that wraps ErrClosed if the value is closed.
func (v *Value[T]) Offset() int {
	const op = "value: Offset of value"
	c := v.ref.Must(op)
	c.Check(op)
	return c.Object().Offset() + wordOffset
}
