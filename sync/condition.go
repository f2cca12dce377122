package sync

import (
	"context"
	"math"

	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Condition lets those who hold a Lock wait, without it, until another who
// holds it says that something has changed. The usual use is
//
//	err := c.L().Acquire(ctx)          err := c.L().Acquire(ctx)
//	...                                ...
//	err = c.WaitFor(ctx, ready)        change what ready looks at
//	...                                err = c.NotifyAll()
//	err = c.L().Release()              err = c.L().Release()
//
// Waiters are notified in the order in which they came, and a notification is
// for those only who wait when it is given: none is kept for later. One given to
// a waiter that is killed before its Wait has returned, or whose Wait fails,
// goes to another who waited at the time, if one still waits. After several such
// deaths or failures at once one may wake too many: it looks again whether there
// is something for it, as WaitFor does.
//
// A waiter that is notified and does not come back for some seconds, because its
// process is stopped or starved, keeps its notification. Then the others that
// waited at the time also return from Wait, as if notified, so that what has changed
// does not wait for that process.
//
// Waiters that were killed count for nothing, and nobody waits for them: a
// notifier waits for nobody at all. One that is killed inside Notify has
// notified some, and the lock has a dead owner. Then Wait fails with
// ErrOwnerDied, at the latest when it is notified; a repair in Lock.Recover that
// changes what others wait for calls NotifyAll.
//
// A Notify synchronizes before the return of each Wait that it ends, as does
// the Release by which the notifier frees the lock.
//
// The Lock is owned by a process: a Condition can tell whether the process
// holds it, not which goroutine does.
//
// A Condition must not be copied. The zero Condition is closed. All methods
// may be called from several goroutines at once. It is opened by a process as
// the party that its segment is there, and so is L.
type Condition struct {
	handle[lockCondition, *lockCondition]
}

var _ marshaler = (*Condition)(nil)

// ConditionOptions are the choices at making a condition. Nil means all
// defaults.
type ConditionOptions struct {
	// Waiters is how many may wait at once, 1,024 by default, at most 1<<20.
	// Each takes 24 bytes.
	Waiters int
}

const conditionPrint = 1 // version of conditionWords on a Lock

type lockCondition struct {
	conditionCore
	lock Lock
	g    lockGuard
}

// lockGuard is the lock of a condition.
type lockGuard struct{ c *lock.Core }

func (g lockGuard) held() bool   { return g.c.Mutex.Held() }
func (g lockGuard) died() bool   { return g.c.Died() }
func (g lockGuard) letGo() error { return g.c.Mutex.Release() }

func (g lockGuard) takeBack(wanted func() bool) error {
	return g.c.Acquire(context.Background(), wanted)
}

// NewCondition makes a condition on l in seg, l's segment, with an optional
// name. It fails as shm.Segment.NewObject does, and with ErrInvalid if o can't
// be, ErrClosed if l is closed, or shm.ErrMismatch if l is of another segment
// or part of another object.
func NewCondition(seg *shm.Segment, name string, l *Lock, o *ConditionOptions) (*Condition, error) {
	c := new(Condition)
	if err := newCondition(&c.ref, seg, name, l.Handle(), o); err != nil {
		return nil, err
	}
	return c, nil
}

// OpenCondition opens the condition of that name and its lock. It fails as
// shm.Segment.OpenObject does, with shm.ErrMismatch if it is one on an RLock,
// and with fs.ErrNotExist also if the lock was removed.
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

func (c *lockCondition) Use(o *object.Object) error {
	if err := useCondition(&c.conditionCore, o, &c.lock.ref); err != nil {
		return err
	}
	c.g = lockGuard{c.lock.ref.Load()}
	return nil
}

// L returns the condition's lock, nil after the condition's Close. It is the
// same lock as the one that NewCondition got, and one Lock for all callers: who
// closes it closes it for them, while the condition goes on to use the lock.
func (c *Condition) L() *Lock {
	core := c.ref.Load()
	if core == nil {
		panic(c.closed("L"))
	}
	return &core.lock
}

// Wait releases the lock, blocks until it is notified or ctx ends, and
// acquires the lock again, whatever becomes of ctx. The caller holds the lock
// when Wait returns nil or ctx's error: of both, a notification comes first. It
// holds it also after ErrWaiters: there was no place to wait in, and nothing has
// changed.
//
// The caller does not hold the lock when Wait fails otherwise: with ErrNotHeld
// if this process did not hold it before, ErrOwnerDied if its owner died while
// the caller waited, ErrClosed if the condition was closed in this process, or
// shm.ErrCorrupt.
func (c *Condition) Wait(ctx context.Context) error {
	core := c.ref.Load()
	if core == nil {
		return c.closed("Wait")
	}
	_, err := c.wait(ctx, core)
	return core.Fail("psync: Wait", ofLock(err))
}

// WaitFor waits until pred, which it calls while it holds the lock, returns
// true. It looks at pred first: if that is true at once, nothing is released,
// and nobody asks who holds the lock. It fails as Wait does; when ctx has ended it
// looks at pred once more.
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

// waitFor calls wait until pred is true. If wait fails holding the lock, pred
// has the last word.
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

// Notify notifies n of those who wait, the first who came first, or all if
// there are fewer. It does not block. The caller holds the lock, and keeps it:
// they return from Wait one after the other when they get it. Notify fails with
// ErrNotHeld if this process does not hold the lock, or ErrClosed.
func (c *Condition) Notify(n int) error { return c.notify("Notify", n) }

func (c *Condition) notify(op string, n int) error {
	core := c.ref.Load()
	if core == nil {
		return c.closed(op)
	}
	if !core.g.held() {
		return core.Fail("psync: "+op, core.Done(ofLock(ErrNotHeld)))
	}
	core.notify(n)
	return core.Fail("psync: "+op, core.Done(nil))
}

// NotifyAll is Notify of all who wait.
func (c *Condition) NotifyAll() error { return c.notify("NotifyAll", math.MaxInt) }
