// Package lock is the shared object behind psync.Lock, and the locks inside objects
// of other kinds: values and arrays have one each.
package lock

import (
	"context"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/robust"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
)

// Words is a lock object in shared memory.
//
//	0   lock   see package robust; all zero: free
//	16  flags  written when the lock is made
type Words struct {
	_     structs.HostLayout
	Lock  robust.Words
	Flags atomic.Uint32
}

const (
	// Size is the size of a lock object in bytes. Nothing else lies on its cache lines.
	Size = 128
	// IgnoreDeaths is the flag of a lock that the next caller takes from a dead owner.
	IgnoreDeaths = 1

	fingerprint = 1 // version of Words
)

// Fill makes mem, Size zero bytes, a free lock.
func Fill(mem []byte, ignoreDeaths bool) {
	if ignoreDeaths {
		view.At[Words](mem, 0).Flags.Store(IgnoreDeaths)
	}
}

// A Core is the process's part of a lock.
type Core struct {
	object.Base
	Mutex robust.Mutex
	// Takes is true for a lock that ignores deaths.
	Takes bool
	// Held is the error of a TryAcquire that found the lock held.
	Held object.Polled
}

// Type implements object.Core.
func (*Core) Type() (shm.Kind, uint64, error) { return shm.KindLock, fingerprint, nil }

// Use implements object.Core.
func (c *Core) Use(o *object.Object) error {
	if err := c.Init(o, Size); err != nil {
		return err
	}
	w := view.At[Words](o.Bytes(), 0)
	c.use(o, &w.Lock, w.Flags.Load()&IgnoreDeaths != 0)
	return nil
}

func (c *Core) use(o *object.Object, w *robust.Words, takes bool) {
	c.Takes = takes
	c.Mutex.Init(w, o.Table(), o.Room())
}

// TryAcquire takes the lock if it is free. A lock that ignores deaths it also takes
// from a dead owner.
func (c *Core) TryAcquire() error {
	err := c.Mutex.TryAcquire()
	if err != nil {
		err = c.tryTakeOver(err)
	}
	return c.Done(err)
}

// tryTakeOver takes a lock that ignores deaths from its dead owner, unless another
// process is faster.
func (c *Core) tryTakeOver(err error) error {
	for err == robust.ErrOwnerDied && c.Takes {
		if _, ok := c.Mutex.TryTakeOver(); ok {
			return nil
		}
		err = c.Mutex.TryAcquire()
	}
	return err
}

// Acquire takes the lock, and waits for it. The wait also ends, with ErrClosed, when
// the waiter is woken and wanted returns false.
func (c *Core) Acquire(ctx context.Context, wanted func() bool) error {
	var err error
	if c.Takes {
		_, err = c.Mutex.TakeOver(ctx, wanted)
	} else {
		err = c.Mutex.AcquireWhile(ctx, wanted)
	}
	return c.Done(err)
}

// Release frees the lock.
func (c *Core) Release() error { return c.Done(c.Mutex.Release()) }

// Died reports whether a dead process holds the lock, so that Acquire fails.
func (c *Core) Died() bool { return !c.Takes && c.Mutex.Died() }

// Recover takes the lock, waiting as Acquire does, calls repair if the lock's owner
// was dead, and releases the lock if repair returns nil.
func (c *Core) Recover(ctx context.Context, wanted func() bool, repair func() error) error {
	dead, err := c.Mutex.TakeOver(ctx, wanted)
	if err := c.Done(err); err != nil {
		return err // also if the memory was not the lock's any more: there is nothing to repair
	}
	if dead != 0 {
		if err := c.repair(dead, repair); err != nil {
			return c.Done(err)
		}
	}
	return c.Release()
}

// repair calls f while this process holds the lock. Unless f returns nil, the lock
// belongs to the dead owner again afterwards.
func (c *Core) repair(dead party.ID, f func() error) error {
	repaired := false
	defer func() {
		if !repaired {
			c.Mutex.Abandon(dead)
		}
	}()
	err := f()
	repaired = err == nil
	return err
}
