package sync

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"runtime"
	"structs"
	stdsync "sync"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/robust"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Lock is a mutual exclusion lock between processes and goroutines. It is
// owned by a process: any goroutine of the process that acquired it may
// release it. It is not reentrant.
//
// Release n synchronizes before the return of the Acquire, TryAcquire or
// Recover that takes the lock next.
//
// When its owner is killed, the lock is held by the dead: Acquire fails with
// ErrOwnerDied, for everyone, until Recover has repaired what the lock guards.
//
// A Lock must not be copied. The zero Lock is closed. All methods may be called
// from several goroutines at once.
type Lock struct {
	core atomic.Pointer[lockCore]
}

var (
	_ stdsync.Locker             = (*Lock)(nil)
	_ encoding.TextMarshaler     = (*Lock)(nil)
	_ encoding.TextUnmarshaler   = (*Lock)(nil)
	_ encoding.BinaryMarshaler   = (*Lock)(nil)
	_ encoding.BinaryUnmarshaler = (*Lock)(nil)
)

// lockWords is a lock in shared memory.
//
//	0   word   see package internal/robust; all zero: free
//	4   flags  written when the lock is made
type lockWords struct {
	_     structs.HostLayout
	word  atomic.Uint32
	flags atomic.Uint32
}

const (
	lockSize     = 128 // nothing else on its cache lines
	lockPrint    = 1   // version of lockWords
	ignoreDeaths = 1
)

type lockCore struct {
	o     *shm.Object
	mutex robust.Mutex
	takes bool // ignores deaths
}

// NewLock makes a lock in seg, free, with an optional name. It fails as
// shm.Segment.NewObject does.
func NewLock(seg *shm.Segment, name string, o *Options) (*Lock, error) {
	obj, err := seg.NewObject(shm.Spec{
		Kind: shm.KindLock, Name: name, Size: lockSize, Fingerprint: lockPrint,
		Init: func(mem []byte) error {
			if o != nil && o.IgnoreDeaths {
				view.At[lockWords](mem, 0).flags.Store(ignoreDeaths)
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	l := new(Lock)
	return l, l.use(obj)
}

// OpenLock opens the lock of that name. It fails as shm.Segment.OpenObject
// does.
func OpenLock(seg *shm.Segment, name string) (*Lock, error) {
	obj, err := seg.OpenObject(shm.KindLock, name, lockPrint)
	if err != nil {
		return nil, err
	}
	l := new(Lock)
	return l, l.use(obj)
}

func (l *Lock) use(obj *shm.Object) error {
	if len(obj.Bytes()) < lockSize {
		return errors.Join(fmt.Errorf("sync: lock of %d bytes: %w", len(obj.Bytes()), shm.ErrCorrupt), obj.Close())
	}
	w := view.At[lockWords](obj.Bytes(), 0)
	c := &lockCore{o: obj, takes: w.flags.Load()&ignoreDeaths != 0}
	c.mutex.Init(&w.word, obj.Table(), obj.Room())
	l.core.Store(c)
	return nil
}

// TryAcquire takes the lock if it is free, and never waits. It fails with
// ErrHeld, ErrOwnerDied, or ErrClosed: then the lock is not held by the caller.
func (l *Lock) TryAcquire() error {
	c := l.core.Load()
	if c == nil {
		return ErrClosed
	}
	err := c.mutex.TryAcquire()
	if err != nil {
		err = c.tryTake(err)
	}
	return c.done(err)
}

// tryTake lets a lock that ignores deaths have a dead owner's.
func (c *lockCore) tryTake(err error) error {
	if err == ErrOwnerDied && c.takes {
		if _, ok := c.mutex.TryTakeOver(); ok {
			return nil
		}
	}
	return err
}

// done says what is true after all: after a Close the words were not the
// shared ones.
func (c *lockCore) done(err error) error {
	if c.o.Room().Closed() {
		err = ErrClosed
	}
	runtime.KeepAlive(c)
	return err
}

// Acquire takes the lock. It blocks until the lock is free, its owner died
// (ErrOwnerDied), ctx ends (ctx's error; it tries once even if ctx has ended
// already), or the lock is closed in this process (ErrClosed). An error means
// that the caller does not hold the lock.
func (l *Lock) Acquire(ctx context.Context) error {
	c := l.core.Load()
	if c == nil {
		return ErrClosed
	}
	if err := c.mutex.TryAcquire(); err == nil {
		return c.done(nil)
	}
	return c.acquire(ctx, l)
}

func (c *lockCore) acquire(ctx context.Context, l *Lock) error {
	wanted := func() bool { return l.core.Load() == c }
	var err error
	if c.takes {
		_, err = c.mutex.TakeOver(ctx, wanted)
	} else {
		err = c.mutex.AcquireWhile(ctx, wanted)
	}
	return c.done(err)
}

// Release frees the lock and wakes one who waits for it. It fails with
// ErrNotHeld if this process does not hold it, or ErrClosed.
func (l *Lock) Release() error {
	c := l.core.Load()
	if c == nil {
		return ErrClosed
	}
	return c.done(c.mutex.Release())
}

// Recover takes a lock whose owner died, calls repair while it holds the
// lock, and releases it if repair returns nil: the lock is as good as new. If
// repair fails, or the process dies in it, the lock stays as it was, and Recover
// returns repair's error. A lock whose owner did not die it acquires and
// releases, without calling repair; it waits as Acquire does, and fails as that
// does.
func (l *Lock) Recover(ctx context.Context, repair func() error) error {
	c := l.core.Load()
	if c == nil {
		return ErrClosed
	}
	dead, err := c.mutex.TakeOver(ctx, func() bool { return l.core.Load() == c })
	if err != nil {
		return c.done(err)
	}
	if dead != 0 {
		if err := c.repair(dead, repair); err != nil {
			return c.done(err)
		}
	}
	return c.done(c.mutex.Release())
}

// repair runs f; unless it returns nil, the lock is the dead owner's again.
func (c *lockCore) repair(dead party.ID, f func() error) error {
	repaired := false
	defer func() {
		if !repaired {
			c.mutex.Abandon(dead)
		}
	}()
	err := f()
	repaired = err == nil
	return err
}

// Lock is Acquire without a context, as sync.Locker has it: it panics where
// Acquire would fail.
func (l *Lock) Lock() {
	if err := l.Acquire(context.Background()); err != nil {
		panic("psync: Lock: " + err.Error())
	}
}

// Unlock is Release, as sync.Locker has it: it panics where Release would
// fail.
func (l *Lock) Unlock() {
	if err := l.Release(); err != nil {
		panic("psync: Unlock: " + err.Error())
	}
}

// Handle returns the lock's handle, the zero Handle if it is closed.
func (l *Lock) Handle() shm.Handle {
	c := l.core.Load()
	if c == nil {
		return shm.Handle{}
	}
	return c.o.Handle(0)
}

// MarshalText encodes the lock's handle.
func (l *Lock) MarshalText() ([]byte, error) { return l.Handle().MarshalText() }

// UnmarshalText opens the lock of an encoded handle.
func (l *Lock) UnmarshalText(text []byte) error {
	var h shm.Handle
	if err := h.UnmarshalText(text); err != nil {
		return err
	}
	obj, err := shm.OpenHandle(h, shm.KindLock, lockPrint)
	if err != nil {
		return err
	}
	return l.use(obj)
}

// MarshalBinary is MarshalText.
func (l *Lock) MarshalBinary() ([]byte, error) { return l.MarshalText() }

// UnmarshalBinary is UnmarshalText.
func (l *Lock) UnmarshalBinary(data []byte) error { return l.UnmarshalText(data) }

// Close ends the use of the lock through l. It does not release the lock.
// Who waits in Acquire through l gets ErrClosed.
func (l *Lock) Close() error {
	c := l.core.Swap(nil)
	if c == nil {
		return nil
	}
	c.o.Table().Wake()
	return c.o.Close()
}
