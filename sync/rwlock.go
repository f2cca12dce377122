package sync

import (
	"context"
	stdsync "sync"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
)

// An RWLock is a lock that one writer or any number of readers hold, of any processes. A process
// owns each hold: any goroutine of the process may release what another one acquired. An RWLock is
// not reentrant, not for readers either: if a goroutine calls RAcquire twice, a writer may arrive
// in between; the writer waits for the first hold, and the second call waits for the writer.
//
// It is fair to both. Readers that arrive while a writer waits let it go first. When a writer
// releases the lock, all readers that wait get it before the next writer.
//
// Release synchronizes before the return of each later RAcquire and Acquire, and RRelease before
// the return of the Acquire of the next writer.
//
// If a reader is killed, its hold ends. If the writer that holds the lock is killed, RAcquire and
// Acquire return ErrOwnerDied, in all processes, until Recover has repaired what the lock guards.
// The death of a writer that waits changes nothing.
//
// An RWLock takes about 33 KiB of its segment. It must not be copied. The zero RWLock is closed.
// All methods may be called from several goroutines at once.
type RWLock struct {
	handle[rwCore, *rwCore]
}

var (
	_ stdsync.Locker = (*RWLock)(nil)
	_ marshaler      = (*RWLock)(nil)
)

// NewRWLock makes a free lock in seg, with an optional name. NewRWLock fails as every New function
// does: see package shm.
func NewRWLock(seg *shm.Segment, name string, o *Options) (*RWLock, error) {
	l := new(RWLock)
	err := l.ref.New(seg, name, rwSize, func(mem []byte) error {
		if o != nil && o.IgnoreDeaths {
			view.At[rwWords](mem, 0).flags.Store(lock.IgnoreDeaths)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// OpenRWLock opens the lock of that name. It fails as every Open function does: see package shm.
func OpenRWLock(seg *shm.Segment, name string) (*RWLock, error) {
	l := new(RWLock)
	if err := l.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return l, nil
}

// TryRAcquire takes the lock for reading unless a writer holds it, waits for it or tries to take
// it. It never blocks. It fails with ErrHeld, ErrOwnerDied, ErrTooMany if this process has 65,535
// holds for reading already, or ErrClosed. If it fails, the caller does not hold the lock.
func (l *RWLock) TryRAcquire() error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("TryRAcquire")
	}
	return tryFailed(&c.Base, &c.readHeld, "psync: TryRAcquire", c.Done(c.tryRead()))
}

// RAcquire takes the lock for reading. It blocks until no writer holds the lock or waits for it; it
// does not wait for writers that arrive later. It fails with ErrOwnerDied if a writer died holding
// the lock, with ErrTooMany if this process has 65,535 holds for reading already or waits for them,
// with ctx's error when ctx is done (it tries once even if ctx is done already), or with ErrClosed
// when this process closes the lock. If it fails, the caller does not hold the lock.
func (l *RWLock) RAcquire(ctx context.Context) error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("RAcquire")
	}
	err := c.tryRead()
	if err == ErrHeld {
		err = c.read(ctx, l.ref.Wanted(c))
	}
	return c.Fail("psync: RAcquire", c.Done(err))
}

// RRelease ends one hold for reading of this process. If it was the last hold, it wakes the writer
// that waits. It does not block. It fails with ErrNotHeld if this process does not hold the lock
// for reading, or with ErrClosed.
func (l *RWLock) RRelease() error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("RRelease")
	}
	return c.Fail("psync: RRelease", c.Done(c.endRead()))
}

// TryAcquire takes the lock for writing if it is free, and never blocks. It fails with ErrHeld,
// ErrOwnerDied or ErrClosed. If it fails, the caller does not hold the lock.
func (l *RWLock) TryAcquire() error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("TryAcquire")
	}
	return tryFailed(&c.Base, &c.writeHeld, "psync: TryAcquire", c.Done(c.tryWrite()))
}

// Acquire takes the lock for writing. It blocks until the writers that came before it and all
// readers have released the lock; readers that arrive meanwhile wait for it. It fails with
// ErrOwnerDied if a writer died holding the lock, with ctx's error when ctx is done (it tries once
// even if ctx is done already), or with ErrClosed when this process closes the lock. If it fails,
// the caller does not hold the lock.
func (l *RWLock) Acquire(ctx context.Context) error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Acquire")
	}
	wanted := l.ref.Wanted(c)
	err := c.own(ctx, wanted)
	if err == nil {
		err = c.write(func(color uint, during rwPhase) error {
			if c.empty(color) {
				return nil
			}
			return c.Room().Await(ctx, &c.writing, &rwWriter{c, color, during, wanted})
		})
	}
	return c.Fail("psync: Acquire", c.Done(err))
}

// Release ends the writer's hold. It admits the readers that wait, and then the next writer. It
// does not block. It fails with ErrNotHeld if this process does not hold the lock for writing, or
// with ErrClosed.
func (l *RWLock) Release() error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Release")
	}
	p := c.load()
	if p.state() != rwWriting || !c.writer.Held() || !c.free(p) {
		return c.Fail("psync: Release", c.Done(ErrNotHeld))
	}
	if crash.Enabled {
		crash.At(crash.RWLockTold)
	}
	return c.Fail("psync: Release", c.Done(c.writer.Release()))
}

// Recover takes a lock whose writer died writing, calls repair while it holds the lock, and
// releases the lock if repair returns nil: then the lock works as before the death. If repair fails
// or panics, or the process dies in it, the lock keeps its dead owner; Recover returns repair's
// error as it is.
//
// If no writer died writing, Recover does not call repair. It blocks until earlier writers have
// released the lock, and fails with ctx's error or ErrClosed.
func (l *RWLock) Recover(ctx context.Context, repair func() error) error {
	c := l.ref.Load()
	if c == nil {
		return l.closed("Recover")
	}
	dead, err := c.writer.TakeOver(ctx, l.ref.Wanted(c))
	if err != nil {
		return c.Fail("psync: Recover", c.Done(err))
	}
	if !c.settle() {
		if err := c.Done(nil); err != nil {
			return c.Fail("psync: Recover", err) // the memory is not shared any more: there is nothing to repair
		}
		if err := c.repair(dead, repair); err != nil {
			return called(&c.Base, "psync: Recover", err)
		}
		c.free(c.load())
	}
	return c.Fail("psync: Recover", c.Done(c.writer.Release()))
}

// Lock is Acquire without a context, for sync.Locker. It panics with the error if Acquire fails.
func (l *RWLock) Lock() { must("psync: Lock", l.Acquire(context.Background())) }

// Unlock is Release, for sync.Locker. It panics with the error if Release fails.
func (l *RWLock) Unlock() { must("psync: Unlock", l.Release()) }

// RLock is RAcquire without a context, as in sync.RWMutex. It panics with the error if RAcquire
// fails.
func (l *RWLock) RLock() { must("psync: RLock", l.RAcquire(context.Background())) }

// RUnlock is RRelease, as in sync.RWMutex. It panics with the error if RRelease fails.
func (l *RWLock) RUnlock() { must("psync: RUnlock", l.RRelease()) }

// RLocker returns a sync.Locker whose methods are RLock and RUnlock.
func (l *RWLock) RLocker() stdsync.Locker { return (*rLocker)(l) }

type rLocker RWLock

func (l *rLocker) Lock()   { (*RWLock)(l).RLock() }
func (l *rLocker) Unlock() { (*RWLock)(l).RUnlock() }
