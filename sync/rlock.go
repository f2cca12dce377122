package sync

import (
	"context"
	stdsync "sync"

	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
)

// An RLock is a reentrant lock: its owner may acquire it again, and it becomes free when it has
// been released as often as it was acquired.
//
// In other languages a thread owns such a lock. A goroutine has no identity that a program could
// ask for, and hands work to others. So an RLock's owner is an explicit value, a Holder, which goes
// wherever the work goes:
//
//	var h psync.Holder
//	err := l.Acquire(ctx, &h)
//
// The last Release of a Holder synchronizes before the return of the Acquire, TryAcquire or Recover
// that takes the lock next.
//
// If the process of its Holder is killed, the lock stays held, however often it had been acquired:
// Acquire and TryAcquire return ErrOwnerDied, in all processes, until Recover has repaired what the
// lock guards.
//
// An RLock must not be copied. The zero RLock is closed. All methods may be called from several
// goroutines at once, each with its own Holder. For a Holder, two RLocks of one process that opened
// the same lock are the same.
type RLock struct {
	handle[rlockCore, *rlockCore]
}

var _ marshaler = (*RLock)(nil)

const rlockPrint = 1 // version of rlockCore

// An rlockCore is a lock whose owner, in shared memory, is a process. Only that process needs to
// know which of its Holders owns the lock, and how often it has acquired it, so the Holder keeps
// that: there is nothing in shared memory that a death could leave half written.
type rlockCore struct {
	lock.Core
	words *lock.Words
}

// NewRLock makes a free reentrant lock in seg, with an optional name. The lock takes 128 bytes.
// NewRLock fails as every New function does: see package shm.
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

// OpenRLock opens the reentrant lock of that name. It fails as every Open function does: see
// package shm.
func OpenRLock(seg *shm.Segment, name string) (*RLock, error) {
	l := new(RLock)
	if err := l.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return l, nil
}

func (*rlockCore) Type() (shm.Kind, uint64, error) { return shm.KindRLock, rlockPrint, nil }

func (c *rlockCore) Use(o object.Object) error {
	if err := c.Core.Use(o); err != nil {
		return err
	}
	c.words = view.At[lock.Words](o.Bytes(), 0)
	return nil
}

// same reports whether c and d are the same lock, opened as the same party.
func (c *rlockCore) same(d *rlockCore) bool {
	return c.words == d.words && c.Room() == d.Room()
}

// TryAcquire takes the lock for h if it is free, or again if h holds it, and never blocks. It
// fails with ErrHeld, ErrOwnerDied or ErrClosed; then nothing has changed.
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

// Acquire takes the lock for h. If h holds it already, Acquire returns at once; otherwise it blocks
// until the lock is free. It fails with ErrOwnerDied if the owner's process died, with ctx's error
// when ctx is done (it tries once even if ctx is done already), or with ErrClosed when this process
// closes the lock. If Acquire fails, nothing has changed.
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

// taken records that h holds the lock if err is nil, and returns err.
func (c *rlockCore) taken(h *Holder, err error) error {
	if err == nil {
		h.add(c, 1)
	}
	return err
}

// Release undoes one Acquire of h. The last one frees the lock and wakes a waiter. It does not
// block. It fails with ErrNotHeld if h does not hold the lock, or with ErrClosed.
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

// Recover takes a lock whose owner died, calls repair while h holds the lock, and releases the lock
// if repair returns nil: then the lock works as before the death. Repair may acquire the lock again
// with h; it must release it as often. If repair fails or panics, or the process dies in it, the
// lock keeps its dead owner; Recover returns repair's error as it is.
//
// If the owner did not die, Recover acquires and releases the lock, and does not call repair. It
// blocks as Acquire does, and fails with ctx's error or ErrClosed.
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

// Locker returns a sync.Locker whose Lock is Acquire for h without a context and whose Unlock is
// Release for h. They panic with the error if those fail.
func (l *RLock) Locker(h *Holder) stdsync.Locker { return &rlocker{l, h} }

type rlocker struct {
	l *RLock
	h *Holder
}

func (r *rlocker) Lock()   { must("psync: Lock", r.l.Acquire(context.Background(), r.h)) }
func (r *rlocker) Unlock() { must("psync: Unlock", r.l.Release(r.h)) }
