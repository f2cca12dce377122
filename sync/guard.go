package sync

import (
	"context"
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/robust"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Guard is the lock of an object of another kind, for who builds kinds of
// objects: one of its own, in the object's memory, or one that the object's maker
// brought. It can't be closed: what it was acquired for is released whatever
// becomes of the object's handle.
type Guard struct {
	core *lockCore
}

// GuardSize is how many bytes of the object's memory a guard takes.
const GuardSize = 40

// guardWords is a guard in shared memory.
//
//	0    mode  one of the modes, written when the object is made
//	4    unused
//	8    lock  the object's own lock, as in lockWords
//	24   link  the lock that was brought
type guardWords struct {
	_    structs.HostLayout
	mode atomic.Uint32
	_    uint32
	lock robust.Words
	link object.Link
}

// The modes of a guard.
const (
	guardNone uint32 = iota
	guardOwn
	guardOwnIgnoring
	guardBrought
)

// GuardOptions say what lock an object gets. The default is its own.
type GuardOptions struct {
	Lock         *Lock // it gets this one, of the same segment
	None         bool  // else it gets no lock
	IgnoreDeaths bool  // its own ignores deaths
}

// NewGuard returns what writes the guard of an object that is to be made in
// seg to GuardSize zero bytes of its memory, from a multiple of 8 on. It fails
// with ErrClosed if the lock that is brought is closed, with shm.ErrMismatch if
// that is of another segment or part of another object, and with fs.ErrNotExist
// if it has been removed.
func NewGuard(seg *shm.Segment, o GuardOptions) (fill func(mem []byte, off int), err error) {
	mode := guardOwn
	var brought shm.Handle
	switch {
	case o.Lock != nil:
		mode = guardBrought
		brought = o.Lock.Handle()
		if err := checkBrought(seg, brought); err != nil {
			return nil, err
		}
	case o.None:
		mode = guardNone
	case o.IgnoreDeaths:
		mode = guardOwnIgnoring
	}
	return func(mem []byte, off int) {
		w := view.At[guardWords](mem, off)
		w.mode.Store(mode)
		if mode == guardBrought {
			w.link.Set(brought)
		}
	}, nil
}

func checkBrought(seg *shm.Segment, h shm.Handle) error {
	id, err := seg.ID()
	switch {
	case err != nil:
		return err
	case h.Segment == shm.ID{}:
		return ErrClosed
	case h.Segment != id:
		return fmt.Errorf("%w: the lock is of another segment", shm.ErrMismatch)
	case h.Kind != shm.KindLock:
		return fmt.Errorf("%w: the lock is part of an object of kind %v; one that is shared is made by NewLock", shm.ErrMismatch, h.Kind)
	}
	lock, err := object.OpenHandle(h, shm.KindLock, lockPrint) // else the object would exist, and nobody could open it
	if err != nil {
		return err
	}
	return lock.Close()
}

// OpenGuard returns the guard at off in o's memory, nil if the object has no
// lock. It fails with shm.ErrCorrupt, or fs.ErrNotExist if the lock that was
// brought has been removed.
func OpenGuard(o *object.Object, off int) (*Guard, error) {
	w := view.At[guardWords](o.Bytes(), off)
	g := &Guard{core: new(lockCore)}
	switch mode := w.mode.Load(); mode {
	case guardNone:
		return nil, nil
	case guardOwn, guardOwnIgnoring:
		if err := g.core.Init(o, off+GuardSize); err != nil {
			return nil, err
		}
		g.core.use(o, &w.lock, mode == guardOwnIgnoring)
		return g, nil
	case guardBrought:
		lock, err := w.link.Open(o, shm.KindLock, lockPrint)
		if err != nil {
			return nil, err
		}
		return g, g.core.Use(lock)
	default:
		return nil, fmt.Errorf("lock of mode %d: %w", mode, shm.ErrCorrupt)
	}
}

// Lock returns the guard for programs, as a Lock that may be closed.
func (g *Guard) Lock() *Lock {
	l := new(Lock)
	l.ref.Set(g.core)
	return l
}

// Acquire is Lock.Acquire; a wait for the lock also ends, with ErrClosed, when
// the waiter is woken and wanted has become false.
func (g *Guard) Acquire(ctx context.Context, wanted func() bool) error {
	return g.core.acquire(ctx, wanted)
}

// TryAcquire is Lock.TryAcquire.
func (g *Guard) TryAcquire() error {
	c := g.core
	err := c.mutex.TryAcquire()
	if err != nil {
		err = c.tryTake(err)
	}
	return c.Done(err)
}

// Release is Lock.Release.
func (g *Guard) Release() error { return g.core.Done(g.core.mutex.Release()) }
