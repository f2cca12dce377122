package sync

import (
	"context"
	"math"

	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Condition lets goroutines that hold a Lock release it and wait until another one, which holds
// the lock, notifies them of a change. The usual use is
//
//	err := c.L().Acquire(ctx)          err := c.L().Acquire(ctx)
//	...                                ...
//	err = c.WaitFor(ctx, ready)        change what ready reads
//	...                                err = c.NotifyAll()
//	err = c.L().Release()              err = c.L().Release()
//
// Notify wakes waiters in the order in which they called Wait. Only those that wait at the time are
// notified: no notification is kept for later. If a waiter that was notified is killed before its
// Wait returns, or its Wait fails, the notification goes to another waiter that was waiting when it
// was given, if one still waits. After several such deaths or failures at once there may be a
// spurious wakeup: a waiter must check again whether its condition holds, as WaitFor does.
//
// A waiter that is notified and does not return for some seconds, because its process is stopped or
// starved, keeps its notification. Then the others that were waiting when it was given also return
// from Wait, as if notified, so that no change goes unused because of that process.
//
// A notifier never waits for a waiter, and a waiter that was killed does not count. If a process is
// killed inside Notify, some waiters have been notified, and the lock has a dead owner. Then Wait
// returns ErrOwnerDied, at the latest when it is notified. A repair in Lock.Recover that changes
// the data for which waiters wait must call NotifyAll.
//
// A Notify synchronizes before the return of each Wait that it ends, and so does the Release by
// which the notifier frees the lock.
//
// A process owns the Lock: a Condition can tell whether this process holds it, but not which
// goroutine does.
//
// A Condition must not be copied. The zero Condition is closed. All methods may be called from
// several goroutines at once. Condition and lock are used as the same party of the segment.
type Condition struct {
	handle[lockCondition, *lockCondition]
}

var _ marshaler = (*Condition)(nil)

// ConditionOptions are the options of a condition. Nil means all defaults.
type ConditionOptions struct {
	// Waiters is the maximum number of waiters at once: 1,024 by default, at most 1<<20. Each takes
	// 24 bytes.
	Waiters int
}

const conditionPrint = 1 // version of conditionWords on a Lock

type lockCondition struct {
	conditionCore
	lock Lock
	g    lockAdapter
}

// A lockAdapter is the lock of a Condition.
type lockAdapter struct{ c *lock.Core }

func (g lockAdapter) held() bool     { return g.c.Mutex.Held() }
func (g lockAdapter) died() bool     { return g.c.Died() }
func (g lockAdapter) release() error { return g.c.Mutex.Release() }

func (g lockAdapter) reacquire(wanted func() bool) error {
	return g.c.Acquire(context.Background(), wanted)
}

// NewCondition makes a condition on l in seg, which must be l's segment, with an optional name. The
// condition takes 256 bytes and 24 bytes for each waiter. NewCondition fails with ErrInvalid if
// o.Waiters is out of range, with ErrClosed if l is closed, with shm.ErrMismatch if l lies in
// another segment or is part of another object, or as every New function does: see package shm.
func NewCondition(seg *shm.Segment, name string, l *Lock, o *ConditionOptions) (*Condition, error) {
	c := new(Condition)
	if err := newCondition(&c.ref, seg, name, l.Handle(), o); err != nil {
		return nil, err
	}
	return c, nil
}

// OpenCondition opens the condition of that name and its lock. It fails with shm.ErrMismatch if it
// is a condition on an RLock, with fs.ErrNotExist also if the lock was removed, or as every Open
// function does: see package shm.
func OpenCondition(seg *shm.Segment, name string) (*Condition, error) {
	c := new(Condition)
	if err := c.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return c, nil
}

func (*lockCondition) Type() (shm.Kind, uint64, error) {
	return shm.KindCondition, conditionPrint, nil
}

func (c *lockCondition) Use(o object.Object) error {
	if err := useCondition(&c.conditionCore, o, &c.lock.ref); err != nil {
		return err
	}
	c.g = lockAdapter{c.lock.ref.Load()}
	return nil
}

// L returns the condition's lock, which was given to NewCondition. Every call returns the same *Lock.
// To close it closes it for all users of L, but the condition continues to work. L panics if
// the condition is closed.
func (c *Condition) L() *Lock {
	core := c.ref.Load()
	if core == nil {
		panic(c.closed("L"))
	}
	return &core.lock
}

// Wait releases the lock, blocks until it is notified or ctx is done, and acquires the lock again.
// The last step does not depend on ctx. Wait returns nil if it was notified, even if ctx was done
// at the same time.
//
// The caller holds the lock when Wait returns nil, ctx's error, or ErrTooManyWaiters, which means
// that the condition has the maximum number of waiters already and nothing has changed.
//
// The caller does not hold the lock when Wait fails with ErrNotHeld (this process did not hold the
// lock), ErrOwnerDied (the lock's owner died while the caller waited), ErrClosed (this process
// closed the condition) or shm.ErrCorrupt.
func (c *Condition) Wait(ctx context.Context) error {
	core := c.ref.Load()
	if core == nil {
		return c.closed("Wait")
	}
	_, err := c.wait(ctx, core)
	return core.Fail("psync: Wait", ofLock(err))
}

// WaitFor waits until pred returns true. It calls pred while it holds the lock, first at once: if
// pred returns true then, the lock is not released, and WaitFor does not check that this process
// holds it. It fails as Wait does. When ctx is done it calls pred once more, and returns nil if
// that returns true.
func (c *Condition) WaitFor(ctx context.Context, pred func() bool) error {
	core := c.ref.Load()
	if core == nil {
		return c.closed("WaitFor")
	}
	err := waitFor(pred, func() (bool, error) { return c.wait(ctx, core) })
	return core.Fail("psync: WaitFor", ofLock(err))
}

func (c *Condition) wait(ctx context.Context, core *lockCondition) (held bool, err error) {
	return core.wait(ctx, core.g, c.ref.Wanted(core))
}

// waitFor calls wait until pred returns true. If wait fails but the lock is held, it calls pred
// once more.
func waitFor(pred func() bool, wait func() (held bool, err error)) error {
	for !pred() {
		held, err := wait()
		if err == nil {
			continue
		}
		if held && pred() {
			return nil
		}
		return err
	}
	return nil
}

// Notify notifies n waiters, those that came first, or all if there are fewer. It does not block,
// and the caller keeps the lock: the waiters return from Wait one after the other, each when it
// gets the lock. Notify fails with ErrNotHeld if this process does not hold the lock, or with
// ErrClosed.
func (c *Condition) Notify(n int) error { return c.notify("Notify", n) }

func (c *Condition) notify(op string, n int) error {
	core := c.ref.Load()
	if core == nil {
		return c.closed(op)
	}
	if !core.g.held() {
		return failed(&core.Base, op, core.Done(ofLock(ErrNotHeld)))
	}
	core.notify(n)
	return failed(&core.Base, op, core.Done(nil))
}

// NotifyAll notifies all waiters, as Notify does.
func (c *Condition) NotifyAll() error { return c.notify("NotifyAll", math.MaxInt) }
