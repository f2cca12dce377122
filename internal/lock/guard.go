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

// A Guard is the lock of an object of another kind: one of its own, in the object's
// memory, or a shared one that the object's maker chose. It can't be closed: a method that
// has acquired it releases it even if the object is closed meanwhile.
type Guard struct {
	core   *Core
	linked *object.Object
}

// Linked returns the object of a shared lock, nil if the lock is the object's own.
// The object's core ends its use.
func (g *Guard) Linked() *object.Object { return g.linked }

// GuardSize is how many bytes of the object's memory a guard takes.
const GuardSize = 40

// guardWords is a guard in shared memory.
//
//	0    mode  one of the modes, written when the object is made
//	4    unused
//	8    lock  the object's own lock, as in Words
//	24   link  the shared lock, if mode says so
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
	guardShared
)

// Options say what lock an object gets. The default is its own.
type Options struct {
	Shared       Shared // if not nil, the object uses this lock, which lies in the same segment
	None         bool   // else it gets no lock
	IgnoreDeaths bool   // its own ignores deaths
}

// Shared is a *psync.Lock.
type Shared interface{ Handle() shm.Handle }

// NewGuard returns a function that writes the guard of an object that is to be made in
// seg to GuardSize zero bytes of its memory, at a multiple of 8. It fails with ErrClosed
// if the shared lock is closed, with shm.ErrMismatch if that lies in another segment or
// is part of another object, and with fs.ErrNotExist if it has been removed.
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

func check(seg *shm.Segment, shared shm.Handle) error {
	id, err := seg.ID()
	switch {
	case err != nil:
		return err
	case shared.Segment == shm.ID{}:
		return shm.ErrClosed
	case shared.Segment != id:
		return fmt.Errorf("%w: the lock is of another segment", shm.ErrMismatch)
	case shared.Kind != shm.KindLock:
		return fmt.Errorf("%w: the lock is part of an object of kind %v; one that is shared is made by NewLock", shm.ErrMismatch, shared.Kind)
	}
	o, err := object.OpenHandle(shared, shm.KindLock, fingerprint) // else the object would exist, and nobody could open it
	if err != nil {
		return err
	}
	return o.Close()
}

// OpenGuard returns the guard at off in o's memory, nil if the object has no
// lock. It fails with shm.ErrCorrupt, or fs.ErrNotExist if the shared lock has
// been removed.
func OpenGuard(o *object.Object, off int) (*Guard, error) {
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
			return nil, err
		}
		g.linked = lock
		return g, g.core.Use(lock)
	default:
		return nil, fmt.Errorf("lock of mode %d: %w", mode, shm.ErrCorrupt)
	}
}

// NewLock makes a *psync.Lock of a core. Package sync sets it.
var NewLock func(*Core) Shared

// Lock returns the guard as a *psync.Lock for programs, which may close it.
func (g *Guard) Lock() Shared { return NewLock(g.core) }

// Acquire is Core.Acquire.
func (g *Guard) Acquire(ctx context.Context, wanted func() bool) error {
	return g.core.Acquire(ctx, wanted)
}

// TryAcquire is Core.TryAcquire.
func (g *Guard) TryAcquire() error { return g.core.TryAcquire() }

// Release is Core.Release.
func (g *Guard) Release() error { return g.core.Release() }
