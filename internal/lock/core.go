// Package lock is the shared object behind psync.Lock (Core), and the lock that an object of
// another kind, such as a value or an array, has inside it (Guard).
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
//	0   lock   see package robust; free if all of it is zero
//	16  flags  written once, when the lock is made
type Words struct {
	_     structs.HostLayout
	Lock  robust.Words
	Flags atomic.Uint32
}

const (
	// Size is the size of a lock object in bytes: two cache lines, so that no other object shares a
	// line with it.
	Size = 128
	// IgnoreDeaths is the flag of a lock that ignores deaths: if its owner dies, the next caller of
	// Acquire or TryAcquire takes it.
	IgnoreDeaths = 1

	fingerprint = 1 // the version of Words
)

// Fill makes a free lock of mem, which is Size zero bytes.
func Fill(mem []byte, ignoreDeaths bool) {
	if ignoreDeaths {
		view.At[Words](mem, 0).Flags.Store(IgnoreDeaths)
	}
}

// A Core is this process's part of a lock. Its methods return errors without the name of the
// operation, which their callers add, so that a lock inside another object is not named in them.
type Core struct {
	object.Base
	Mutex robust.Mutex

	ignoresDeaths bool
	// Held is the error of a TryAcquire that found the lock held.
	Held object.Polled
}

// Type implements object.Core.
func (*Core) Type() (shm.Kind, uint64, error) { return shm.KindLock, fingerprint, nil }

// Use implements object.Core.
func (c *Core) Use(o object.Object) error {
	if err := c.Init(o, Size); err != nil {
		return err
	}
	w := view.At[Words](o.Bytes(), 0)
	c.use(o, &w.Lock, w.Flags.Load()&IgnoreDeaths != 0)
	return nil
}

func (c *Core) use(o object.Object, w *robust.Words, ignoresDeaths bool) {
	c.ignoresDeaths = ignoresDeaths
	c.Mutex.Init(w, o.Table(), o.Room())
	c.Mutex.Count(o.Counters())
}

// TryAcquire takes the lock if it is free, or if its owner is dead and the lock ignores deaths. It
// never blocks. Otherwise it returns robust.ErrHeld, robust.ErrOwnerDied or ErrClosed.
func (c *Core) TryAcquire() error {
	err := c.Mutex.TryAcquire()
	if err != nil {
		err = c.tryTakeOver(err)
	}
	return c.Done(err)
}

// tryTakeOver returns the result of TryAcquire after a first attempt failed with err. If the owner
// is dead and the lock ignores deaths, it takes the lock over, unless another process does so
// first.
func (c *Core) tryTakeOver(err error) error {
	for err == robust.ErrOwnerDied && c.ignoresDeaths {
		if _, ok := c.Mutex.TryTakeOver(); ok {
			return nil
		}
		err = c.Mutex.TryAcquire()
	}
	return err
}

// Acquire takes the lock. It blocks until the lock is free, or until its owner is dead and the lock
// ignores deaths. It returns robust.ErrOwnerDied if the owner is dead and the lock does not ignore
// that, ctx's error, and ErrClosed if the segment is closed or if wanted, which it calls whenever
// it is woken, returns false.
func (c *Core) Acquire(ctx context.Context, wanted func() bool) error {
	var err error
	if c.ignoresDeaths {
		_, err = c.Mutex.TakeOver(ctx, wanted)
	} else {
		err = c.Mutex.AcquireWhile(ctx, wanted)
	}
	return c.Done(err)
}

// Release releases the lock. It returns robust.ErrNotHeld if this process does not hold it, and
// ErrClosed.
func (c *Core) Release() error { return c.Done(c.Mutex.Release()) }

// Died reports whether a dead process holds the lock, so that Acquire returns robust.ErrOwnerDied.
func (c *Core) Died() bool { return !c.ignoresDeaths && c.Mutex.Died() }

// Recover takes the lock, even from a dead owner, and blocks for it as Acquire does. If the owner
// was dead it calls repair while it holds the lock. It releases the lock, unless repair returned an
// error or panicked: then the lock belongs to the dead owner again, and Recover returns repair's
// error.
func (c *Core) Recover(ctx context.Context, wanted func() bool, repair func() error) error {
	dead, err := c.Mutex.TakeOver(ctx, wanted)
	if err := c.Done(err); err != nil {
		return err // ErrClosed included: the dead owner was not read from the lock then
	}
	if dead != 0 {
		if err := c.repair(dead, repair); err != nil {
			return c.Done(err)
		}
	}
	return c.Release()
}

// repair calls f while this process holds the lock. Unless f returns nil, it gives the lock back to
// the dead owner.
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
