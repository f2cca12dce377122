package sync

import (
	"context"
	"errors"
	stdsync "sync"

	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/shm"
)

//lint:ignore U1000 it is a type argument of handle: go doc prints the name of an imported one
type lockCore = lock.Core

// A Lock is a mutual exclusion lock for processes and goroutines. A process owns it: any goroutine
// of the process that acquired it may release it. It is not reentrant.
//
// Release n synchronizes before the return of the Acquire, TryAcquire or Recover that takes the
// lock next.
//
// If its owner is killed, the lock stays held: Acquire and TryAcquire return ErrOwnerDied, in all
// processes, until Recover has repaired what the lock guards.
//
// A Lock must not be copied. The zero Lock is closed. All methods may be called from several
// goroutines at once.
type Lock struct {
	handle[lockCore, *lockCore]
}

var (
	_ stdsync.Locker = (*Lock)(nil)
	_ marshaler      = (*Lock)(nil)
)

func init() {
	lock.NewLock = func(c *lock.Core) lock.Shared {
		l := new(Lock)
		l.ref.Borrow(c)
		return l
	}
}

// NewLock makes a free lock in seg, with an optional name. The lock takes 128 bytes. NewLock fails
// as every New function does: see package shm.
func NewLock(seg *shm.Segment, name string, o *Options) (*Lock, error) {
	l := new(Lock)
	err := l.ref.New(seg, name, lock.Size, func(mem []byte) error {
		lock.Fill(mem, o != nil && o.IgnoreDeaths)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// OpenLock opens the lock of that name. It fails as every Open function does: see package shm.
func OpenLock(seg *shm.Segment, name string) (*Lock, error) {
	l := new(Lock)
	if err := l.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return l, nil
}

// TryAcquire takes the lock if it is free, and never blocks. It fails with ErrHeld, ErrOwnerDied or
// ErrClosed.
func (l *Lock) TryAcquire() error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("TryAcquire")
	}
	return tryAcquired(c, c.TryAcquire())
}

// tryAcquired returns the error of a TryAcquire that ended with err.
func tryAcquired(c *lock.Core, err error) error {
	if err == nil {
		return nil
	}
	return tryFailed(&c.Base, &c.Held, "psync: TryAcquire", err)
}

// Acquire takes the lock. It blocks until the lock is free. It fails with ErrOwnerDied if the owner
// died, with ctx's error when ctx is done (it tries once even if ctx is done already), or with
// ErrClosed when this process closes the lock. If Acquire fails, the caller does not hold the lock.
func (l *Lock) Acquire(ctx context.Context) error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Acquire")
	}
	if err := c.Mutex.TryAcquire(); err == nil {
		return c.Fail("psync: Acquire", c.Done(nil))
	}
	return c.Fail("psync: Acquire", c.Acquire(ctx, l.ref.Wanted(c)))
}

// Release frees the lock and wakes a waiter. It does not block. It fails with ErrNotHeld if this
// process does not hold the lock, or with ErrClosed.
func (l *Lock) Release() error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Release")
	}
	return c.Fail("psync: Release", c.Done(c.Mutex.Release()))
}

// With calls f while it holds the lock, and returns f's error. It releases the lock even if f
// panics. It blocks and fails as Acquire does; then it does not call f. If it can't release the
// lock, because f released or closed it, it returns that error, too.
func (l *Lock) With(ctx context.Context, f func() error) error {
	if err := l.Acquire(ctx); err != nil {
		return as("psync: With", err)
	}
	return releasing(l.Release, f)
}

// releasing calls f and then release, for With.
func releasing(release, f func() error) (err error) {
	defer func() { err = errors.Join(err, as("psync: With", release())) }()
	return f()
}

// Recover takes a lock whose owner died, calls repair while it holds the lock, and releases the
// lock if repair returns nil: then the lock works as before the death. If repair fails or panics,
// or the process dies in it, the lock keeps its dead owner; Recover returns repair's error as it
// is.
//
// If the owner did not die, Recover acquires and releases the lock, and does not call repair. It
// blocks as Acquire does, and fails with ctx's error or ErrClosed.
func (l *Lock) Recover(ctx context.Context, repair func() error) error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Recover")
	}
	return recovered(ctx, c, l.ref.Wanted(c), repair)
}

// recovered is Recover of a Lock or an RLock.
func recovered(ctx context.Context, c *lock.Core, wanted func() bool, repair func() error) error {
	var failed error
	err := c.Recover(ctx, wanted, func() error {
		failed = repair()
		return failed
	})
	if failed != nil {
		return called(&c.Base, "psync: Recover", failed)
	}
	return c.Fail("psync: Recover", err)
}

// Lock is Acquire without a context, for sync.Locker. It panics with the error if Acquire fails.
func (l *Lock) Lock() { must("psync: Lock", l.Acquire(context.Background())) }

// Unlock is Release, for sync.Locker. It panics with the error if Release fails.
func (l *Lock) Unlock() { must("psync: Unlock", l.Release()) }
