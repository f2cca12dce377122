package sync

import (
	"context"
	stdsync "sync"

	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
)

// An RLock is a Lock that its holder may acquire again, and is free when it
// has been released as often.
//
// Elsewhere such a lock is owned by a thread. A goroutine has no identity that a
// program could ask for, and hands its work to others; so who holds an RLock is
// said by an explicit value, a Holder, which goes wherever the work goes:
//
//	var h psync.Holder
//	err := l.Acquire(ctx, &h)
//
// The last Release of a holder synchronizes before the return of the Acquire,
// TryAcquire or Recover that takes the lock next.
//
// When the process of its holder is killed, the lock is held by the dead,
// however often it had been acquired: Acquire fails with ErrOwnerDied, for
// everyone, until Recover has repaired what the lock guards.
//
// An RLock must not be copied. The zero RLock is closed. All methods may be
// called from several goroutines at once, each with its own Holder. Two RLocks
// of one lock, opened in one process, are the same to a Holder.
type RLock struct {
	handle[rlockCore, *rlockCore]
}

var _ marshaler = (*RLock)(nil)

const rlockPrint = 1 // version of rlockCore

// rlockCore is a lock whose owner, in shared memory, is a process. Which
// Holder of that process it is, and how often it has acquired the lock, only
// that process needs to know: the Holder does. So there is nothing more in shared
// memory that a death could leave half written, and nothing that could name a
// holder wrongly; see Lock for what happens when its owner is killed.
type rlockCore struct {
	lock.Core
	words *lock.Words
}

// NewRLock makes a reentrant lock in seg, free, with an optional name. It
// fails as shm.Segment.NewObject does.
func NewRLock(seg *shm.Segment, name string, o *Options) (*RLock, error) {
	l := new(RLock)
	err := l.ref.New(seg, name, lock.Size, func(mem []byte) error {
		lock.Fill(mem, o != nil && o.IgnoreDeaths)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// OpenRLock opens the reentrant lock of that name. It fails as
// shm.Segment.OpenObject does.
func OpenRLock(seg *shm.Segment, name string) (*RLock, error) {
	l := new(RLock)
	if err := l.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return l, nil
}

func (*rlockCore) Type() (shm.Kind, uint64, error) { return shm.KindRLock, rlockPrint, nil }

func (c *rlockCore) Use(o *object.Object) error {
	if err := c.Core.Use(o); err != nil {
		return err
	}
	c.words = view.At[lock.Words](o.Bytes(), 0)
	return nil
}

// same tells whether c and d are of one lock, used as one party.
func (c *rlockCore) same(d *rlockCore) bool {
	return c.words == d.words && c.Room() == d.Room()
}

// TryAcquire takes the lock for h if it is free, or once more if h holds it,
// and never waits. It fails with ErrHeld, ErrOwnerDied, or ErrClosed: then
// nothing has changed.
func (l *RLock) TryAcquire(h *Holder) error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("TryAcquire")
	}
	if h.deepen(c) {
		return c.Fail("psync: TryAcquire", c.Done(nil))
	}
	return tryAcquired(&c.Core, c.taken(h, c.TryAcquire()))
}

// Acquire takes the lock for h, at once if h holds it already. Otherwise it
// blocks until the lock is free, the process of its holder died (ErrOwnerDied),
// ctx ends (ctx's error; it tries once even if ctx has ended already), or the
// lock is closed in this process (ErrClosed). An error means that nothing has
// changed.
func (l *RLock) Acquire(ctx context.Context, h *Holder) error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Acquire")
	}
	if h.deepen(c) {
		return c.Fail("psync: Acquire", c.Done(nil))
	}
	if err := c.Mutex.TryAcquire(); err == nil {
		return c.Fail("psync: Acquire", c.taken(h, c.Done(nil)))
	}
	return c.Fail("psync: Acquire", c.taken(h, c.Acquire(ctx, l.ref.Wanted(c))))
}

// taken notes that h holds the lock, if err is nil.
func (c *rlockCore) taken(h *Holder, err error) error {
	if err == nil {
		h.add(c, 1)
	}
	return err
}

// Release undoes one Acquire of h. The last one frees the lock and wakes one
// who waits for it. It fails with ErrNotHeld if h does not hold the lock, or
// ErrClosed.
func (l *RLock) Release(h *Holder) error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Release")
	}
	i := h.index(c)
	if i < 0 {
		return c.Fail("psync: Release", c.Done(ErrNotHeld))
	}
	if h.holds[i].depth > 1 {
		h.holds[i].depth--
		return c.Fail("psync: Release", c.Done(nil))
	}
	h.remove(c)
	return c.Fail("psync: Release", c.Done(c.Mutex.Release()))
}

// With is Lock.With for h.
func (l *RLock) With(ctx context.Context, h *Holder, f func() error) error {
	if err := l.Acquire(ctx, h); err != nil {
		return as("psync: With", err)
	}
	return releasing(func() error { return l.Release(h) }, f)
}

// Recover takes a lock whose owner died, calls repair while h holds it, and
// releases it if repair returns nil: the lock is as good as new. Repair may
// acquire it again with h, and releases it as often. If repair fails, or the
// process dies in it, the lock stays as it was, and Recover returns repair's
// error. A lock whose owner did not die it acquires and releases, without
// calling repair; it waits as Acquire does, and fails as that does.
func (l *RLock) Recover(ctx context.Context, h *Holder, repair func() error) error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Recover")
	}
	if h.index(c) >= 0 {
		return c.Fail("psync: Recover", c.Done(nil))
	}
	return recovered(ctx, &c.Core, l.ref.Wanted(c), func() error {
		h.add(c, 1)
		defer h.remove(c)
		return repair()
	})
}

// Locker returns the lock as h uses it, as sync.Locker has it: Lock is Acquire
// without a context and Unlock is Release, and they panic where those would
// fail.
func (l *RLock) Locker(h *Holder) stdsync.Locker { return &rlocker{l, h} }

type rlocker struct {
	l *RLock
	h *Holder
}

func (r *rlocker) Lock()   { must("psync: Lock", r.l.Acquire(context.Background(), r.h)) }
func (r *rlocker) Unlock() { must("psync: Unlock", r.l.Release(r.h)) }
