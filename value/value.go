package value

import (
	"context"
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/layout"
	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A Value is a T that processes share. T holds fixed-size kinds without
// pointers only; its layout is C's.
//
// Each Load sees a value as a whole that one Store, Swap, CompareAndSwap or
// Update wrote, whoever is killed: a writer that is killed leaves the value that
// was there or the one that it was writing. A writer killed after it has published
// is noticed by watchers as well.
//
// A T of up to 8 bytes is one atomic word. A Load of a larger T never blocks: it
// copies again if three values were published while it copied, so it may take
// long under writers who write without a pause, but then they get on. Writers of
// a larger T wait for one another, while a value is copied in; a writer that was
// stopped there (SIGSTOP) holds up the others, never a reader.
//
// What a goroutine did before it wrote a value synchronizes before the return of
// the Load that sees it, or a later one.
//
// Beside it there may be a lock: see Update and Lock. A Value must not be copied.
// The zero Value is closed. All methods may be called from several goroutines at
// once.
type Value[T any] struct {
	handle[core[T], *core[T]]
}

// Options are the choices at making a value. Nil means all defaults.
type Options struct {
	// Lock is the value's lock, of the same segment, made by psync.NewLock, so
	// that several objects share one. It must not be removed as long as the value
	// is to be opened. The default is a lock of the value's own,
	// which ignores deaths: a value is whole at each moment.
	Lock *psync.Lock
	// NoLock makes the value without a lock of its own; it is nothing beside
	// Lock. The value is as whole as any; only Update and Lock differ.
	NoLock bool
}

// New makes a value in seg that is init at first, with an optional name. It
// fails with shm.ErrType, naming the part of T that can't be shared, with
// shm.ErrMismatch, ErrClosed or fs.ErrNotExist for a lock of another segment or
// object, a closed one or one that was removed, and as shm.Segment.NewObject does.
func New[T any](seg *shm.Segment, name string, init T, o *Options) (*Value[T], error) {
	v := new(Value[T])
	return orNil(v, v.make(seg, name, init, o.guard()))
}

// NewRaw is New with NoLock.
func NewRaw[T any](seg *shm.Segment, name string, init T) (*Value[T], error) {
	return New(seg, name, init, &Options{NoLock: true})
}

// Open opens the value of that name. It fails as shm.Segment.OpenObject does,
// with shm.ErrMismatch if it holds another T, and with shm.ErrVersion if a newer
// version of mp made it.
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
	fail := func(err error) error { return fmt.Errorf("value: new %q: %w", name, err) }
	l, err := layout.Of[T]()
	if err != nil {
		return fail(err)
	}
	stride, total, err := sizes(l)
	if err != nil {
		return fail(err)
	}
	guard, err := lock.NewGuard(seg, g)
	if err != nil {
		return fail(err)
	}
	writer, err := lock.NewGuard(seg, lock.Options{None: stride == 0, IgnoreDeaths: true})
	if err != nil {
		return fail(err)
	}
	return v.ref.New(seg, name, total, func(mem []byte) error {
		guard(mem, guardOffset)
		writer(mem, writerOffset)
		fill(mem, l, stride, &init)
		return nil
	})
}

// Load returns the value. It never blocks. It panics if the value is closed,
// with an error that wraps ErrClosed.
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
	panic(closed("Load"))
}

// Store makes the value x. It does not take the value's lock: an Update that is
// under way starts again. It panics if the value is closed, with an error that
// wraps ErrClosed.
func (v *Value[T]) Store(x T) {
	c := v.use("Store")
	if isWord[T]() {
		storeWord(c.word, x)
		c.tell()
	} else if _, err := v.exchange(c, &x, nil, nil); err != nil {
		panic(closed("Store"))
	}
	c.check("Store")
}

// Swap makes the value x and returns what it was. It panics if the value is
// closed, with an error that wraps ErrClosed.
func (v *Value[T]) Swap(x T) (old T) {
	c := v.use("Swap")
	if isWord[T]() {
		old = swapWord(c.word, x)
		c.tell()
	} else if _, err := v.exchange(c, &x, &old, nil); err != nil {
		panic(closed("Swap"))
	}
	c.check("Swap")
	return old
}

// CompareAndSwap makes the value x if it is old, as == has it, and tells
// whether it was. It panics if the value is closed, with an error that wraps
// ErrClosed.
func CompareAndSwap[T comparable](v *Value[T], old, x T) (swapped bool) {
	c := v.use("CompareAndSwap")
	if isWord[T]() {
		swapped = compareAndSwapWord(c, old, x)
	} else {
		var now T
		var err error
		swapped, err = v.exchange(c, &x, &now, func(uint64) bool { return now == old })
		if err != nil {
			panic(closed("CompareAndSwap"))
		}
	}
	c.check("CompareAndSwap")
	return swapped
}

// compareAndSwapWord compares values, not bits: those of a T with padding, or
// of a zero, differ though the values are equal.
func compareAndSwapWord[T comparable](c *core[T], old, x T) bool {
	for {
		bits := loadBits[T](c.word)
		if fromBits[T](bits) != old {
			return false
		}
		if casBits(c.word, bits, x) {
			c.tell()
			return true
		}
	}
}

// Update changes the value by f, which gets a copy and changes that. It takes
// the value's lock, if there is one, and waits for it: so f runs once, unless
// somebody writes the value meanwhile without the lock; then f runs again on what
// that one wrote, and no change is lost. If f panics, nothing has changed and the
// lock is free.
//
// Update fails with ctx's error (it tries once even if ctx has ended), ErrClosed,
// also when the value is closed during the wait, and psync.ErrOwnerDied if the
// value has a lock that was brought, whose owner died. Nothing has changed then,
// unless it was the segment that was closed during the call.
// f must not take the value's lock, and who holds it must not call Update.
func (v *Value[T]) Update(ctx context.Context, f func(x *T)) error {
	c := v.ref.Load()
	if c == nil {
		return ErrClosed
	}
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

// tryUpdate publishes what f makes of the present value, unless that changes
// meanwhile.
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
		return false, ErrClosed // f is not to see what is not the value
	}
	f(x)
	if crash.Enabled {
		crash.At(crash.ValueUpdating)
	}
	if !isWord[T]() {
		return v.exchange(c, x, nil, func(now uint64) bool { return now == number })
	}
	if !casBits(c.word, bits, *x) {
		return false, nil
	}
	c.tell()
	return true, nil
}

// Lock returns the value's lock, to hold over several calls or objects: nil if
// it has none; after Close one that is closed. It is one Lock for all who ask this
// handle: who closes it closes it for them, while Update goes on to use the lock.
// Load, Store, Swap and CompareAndSwap don't take it. Its handle is the value's:
// other processes get it by opening that.
func (v *Value[T]) Lock() *psync.Lock {
	c := v.ref.Load()
	if c == nil {
		return new(psync.Lock)
	}
	return c.lock
}

// Offset returns where in the segment, and so in its file, the word lies that
// is T, or the number of the value if T is larger than 8 bytes: docs/design/values.md has the
// layout, for programs in other languages. It panics if the value is closed, with
// an error that wraps ErrClosed.
func (v *Value[T]) Offset() int {
	c := v.use("Offset")
	c.check("Offset")
	return c.Object().Offset() + wordOffset
}
