package lock

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

// A Guard is the lock of an object of another kind: the object's own lock, which lies in the
// object's memory, or a shared lock that the object's maker chose. A Guard can't be closed, so a
// method that has acquired it can release it even if the object has been closed meanwhile.
type Guard struct {
	core   *Core
	linked object.Object
}

// Linked returns the object of a shared lock, nil if the lock is the object's own.
// The object's core ends its use.
func (g *Guard) Linked() object.Object { return g.linked }

// GuardSize is the size in bytes of a guard in the object's memory.
const GuardSize = 40

// guardWords is a guard in shared memory.
//
//	0    mode  guardNone etc.; written once, when the object is made
//	4    unused
//	8    lock  the object's own lock, as in Words
//	24   link  refers to the shared lock if mode is guardShared
type guardWords struct {
	_    structs.HostLayout
	mode atomic.Uint32
	_    uint32
	lock robust.Words
	link object.Link
}

// The modes of a guard.
const (
	guardNone        uint32 = iota // no lock
	guardOwn                       // the object's own lock
	guardOwnIgnoring               // the object's own lock, which ignores deaths
	guardShared                    // a lock object of the same segment
)

// Options choose the lock of an object. By default the object has a lock of its own that does not
// ignore deaths.
type Options struct {
	Shared       Shared // the object uses this lock, of the same segment, unless it is nil
	None         bool   // the object has no lock; ignored if Shared is set
	IgnoreDeaths bool   // the object's own lock ignores deaths; ignored if the object has none
}

// Shared is a *psync.Lock, which this package can't import.
type Shared interface{ Handle() shm.Handle }

// NewGuard returns a function that writes the guard of a new object of seg to the GuardSize bytes,
// which are zero, at offset off of the object's memory. off is a multiple of 8. NewGuard returns
// ErrClosed if the shared lock is closed, shm.ErrMismatch if it lies in another segment or is the
// guard of another object, and fs.ErrNotExist if it has been removed.
func NewGuard(seg *shm.Segment, o Options) (fill func(mem []byte, off int), err error) {
	mode := guardOwn
	var shared shm.Handle
	switch {
	case o.Shared != nil:
		mode = guardShared
		shared = o.Shared.Handle()
		if err := check(seg, shared); err != nil {
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
		if mode == guardShared {
			w.link.Set(shared)
		}
	}, nil
}

// check returns an error if no object of seg can use the shared lock. It opens the lock to be sure:
// an object that refers to a removed lock could not be opened.
func check(seg *shm.Segment, shared shm.Handle) error {
	id, err := seg.ID()
	if err != nil {
		return err
	}
	switch {
	case shared.Segment == shm.ID{}:
		return fmt.Errorf("this process has closed the lock in its options: %w", shm.ErrClosed)
	case shared.Segment != id:
		return fmt.Errorf("%w: the lock in its options lies in another segment; make both in the same one", shm.ErrMismatch)
	case shared.Kind != shm.KindLock:
		return fmt.Errorf("%w: the lock in its options belongs to one object, of kind %v; share one that NewLock made", shm.ErrMismatch, shared.Kind)
	}
	o, err := object.OpenHandle(shared, shm.KindLock, fingerprint)
	if err != nil {
		return fmt.Errorf("the lock in its options: %w", err)
	}
	return o.Close()
}

// OpenGuard returns the guard at offset off of o's memory, nil if the object has no lock. It
// returns shm.ErrCorrupt or shm.ErrMismatch if there is no valid guard, and fs.ErrNotExist if the
// shared lock has been removed.
func OpenGuard(o object.Object, off int) (*Guard, error) {
	w := view.At[guardWords](o.Bytes(), off)
	g := &Guard{core: new(Core)}
	switch mode := w.mode.Load(); mode {
	case guardNone:
		return nil, nil
	case guardOwn, guardOwnIgnoring:
		if err := g.core.Init(o, off+GuardSize); err != nil {
			return nil, err
		}
		g.core.use(o, &w.lock, mode == guardOwnIgnoring)
		return g, nil
	case guardShared:
		lock, err := w.link.Open(o, shm.KindLock, fingerprint)
		if err != nil {
			return nil, fmt.Errorf("the shared lock that it uses: %w", err)
		}
		g.linked = lock
		return g, g.core.Use(lock)
	default:
		return nil, fmt.Errorf("%w: its lock has the unknown mode %d", shm.ErrCorrupt, mode)
	}
}

// NewLock returns a *psync.Lock that refers to the core. Package sync sets it.
var NewLock func(*Core) Shared

// Lock returns a *psync.Lock for programs. A program may close it without closing the guard.
func (g *Guard) Lock() Shared { return NewLock(g.core) }

// Acquire is Core.Acquire.
func (g *Guard) Acquire(ctx context.Context, wanted func() bool) error {
	return g.core.Acquire(ctx, wanted)
}

// TryAcquire is Core.TryAcquire.
func (g *Guard) TryAcquire() error { return g.core.TryAcquire() }

// Release is Core.Release.
func (g *Guard) Release() error { return g.core.Release() }
