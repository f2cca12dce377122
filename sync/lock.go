package sync

import (
	"context"
	"errors"
	stdsync "sync"

	"github.com/seed-2e7ecdea/mp/internal/lock"
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
	handle[lock.Core, *lock.Core]
}

var (
	_ stdsync.Locker = (*Lock)(nil)
	_ marshaler      = (*Lock)(nil)
)

func init() {
	lock.NewLock = func(c *lock.Core) lock.Shared {
		l := new(Lock)
		l.ref.Set(c)
		return l
	}
}

// NewLock makes a lock in seg, free, with an optional name. It fails as
// shm.Segment.NewObject does.
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

// OpenLock opens the lock of that name. It fails as shm.Segment.OpenObject
// does.
func OpenLock(seg *shm.Segment, name string) (*Lock, error) {
	l := new(Lock)
	if err := l.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return l, nil
}

// TryAcquire takes the lock if it is free, and never waits. It fails with
// ErrHeld, ErrOwnerDied, or ErrClosed: then the lock is not held by the caller.
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

// Acquire takes the lock. It blocks until the lock is free, its owner died
// (ErrOwnerDied), ctx ends (ctx's error; it tries once even if ctx has ended
// already), or the lock is closed in this process (ErrClosed). An error means
// that the caller does not hold the lock.
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

// Release frees the lock and wakes one who waits for it. It fails with
// ErrNotHeld if this process does not hold it, or ErrClosed.
func (l *Lock) Release() error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Release")
	}
	return c.Fail("psync: Release", c.Done(c.Mutex.Release()))
}

// With calls f while it holds the lock, and releases it even if f panics. It
// waits and fails as Acquire does, without calling f, and returns f's error. If the
// lock can't be released, because f did that or closed it, With says so as well.
func (l *Lock) With(ctx context.Context, f func() error) error {
	if err := l.Acquire(ctx); err != nil {
		return as("psync: With", err)
	}
	return releasing(l.Release, f)
}

// releasing calls f, then release, for With.
func releasing(release, f func() error) (err error) {
	defer func() { err = errors.Join(err, as("psync: With", release())) }()
	return f()
}

// Recover takes a lock whose owner died, calls repair while it holds the
// lock, and releases it if repair returns nil: the lock is as good as new. If
// repair fails, or the process dies in it, the lock stays as it was, and Recover
// returns repair's error. A lock whose owner did not die it acquires and
// releases, without calling repair; it waits as Acquire does, and fails as that
// does.
func (l *Lock) Recover(ctx context.Context, repair func() error) error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Recover")
	}
	return recovered(ctx, c, l.ref.Wanted(c), repair)
}

// recovered is Recover of a lock or a reentrant lock.
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

// Lock is Acquire without a context, as sync.Locker has it: it panics where
// Acquire would fail.
func (l *Lock) Lock() { must("psync: Lock", l.Acquire(context.Background())) }

// Unlock is Release, as sync.Locker has it: it panics where Release would
// fail.
func (l *Lock) Unlock() { must("psync: Unlock", l.Release()) }
