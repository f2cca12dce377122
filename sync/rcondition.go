package sync

import (
	"context"
	"math"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// An RCondition is a Condition on an RLock. Each method takes the Holder by which the caller holds
// the lock. Wait releases the lock however often the Holder has acquired it, and acquires it as
// often again. See Condition for the rest.
//
// An RCondition must not be copied. The zero RCondition is closed. All methods may be called from
// several goroutines at once, each with its own Holder.
type RCondition struct {
	handle[rlockCondition, *rlockCondition]
}

var _ marshaler = (*RCondition)(nil)

const rconditionPrint = 2 // version of conditionWords on an RLock; not conditionPrint

type rlockCondition struct {
	conditionCore
	lock RLock
	c    *rlockCore
}

// An rlockAdapter is the lock of an RCondition, used by h.
type rlockAdapter struct {
	c     *rlockCore
	h     *Holder
	depth uint64 // of the Holder, while the lock is released
}

func (g *rlockAdapter) held() bool { return g.h.index(g.c) >= 0 }
func (g *rlockAdapter) died() bool { return g.c.Died() }

func (g *rlockAdapter) release() error {
	g.depth = g.h.remove(g.c)
	return g.c.Mutex.Release()
}

func (g *rlockAdapter) reacquire(wanted func() bool) error {
	err := g.c.Acquire(context.Background(), wanted)
	if err == nil {
		g.h.add(g.c, g.depth)
	}
	return err
}

// NewRCondition makes a condition on l in seg, which must be l's segment, with an optional name. It
// fails as NewCondition does.
func NewRCondition(seg *shm.Segment, name string, l *RLock, o *ConditionOptions) (*RCondition, error) {
	c := new(RCondition)
	if err := newCondition(&c.ref, seg, name, l.Handle(), o); err != nil {
		return nil, err
	}
	return c, nil
}

// OpenRCondition opens the condition of that name and its lock. It fails as OpenCondition does,
// with shm.ErrMismatch if it is a condition on a Lock.
func OpenRCondition(seg *shm.Segment, name string) (*RCondition, error) {
	c := new(RCondition)
	if err := c.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return c, nil
}

func (*rlockCondition) Type() (shm.Kind, uint64, error) {
	return shm.KindCondition, rconditionPrint, nil
}

func (c *rlockCondition) Use(o object.Object) error {
	if err := useCondition(&c.conditionCore, o, &c.lock.ref); err != nil {
		return err
	}
	c.c = c.lock.ref.Load()
	return nil
}

// L returns the condition's lock, as Condition.L does.
func (c *RCondition) L() *RLock {
	core := c.ref.Load()
	if core == nil {
		panic(c.closed("L"))
	}
	return &core.lock
}

// Wait is Condition.Wait for h. It fails with ErrNotHeld if h does not hold the lock.
func (c *RCondition) Wait(ctx context.Context, h *Holder) error {
	core := c.ref.Load()
	if core == nil {
		return c.closed("Wait")
	}
	_, err := c.wait(ctx, core, h)
	return core.Fail("psync: Wait", ofLock(err))
}

// WaitFor is Condition.WaitFor for h.
func (c *RCondition) WaitFor(ctx context.Context, h *Holder, pred func() bool) error {
	core := c.ref.Load()
	if core == nil {
		return c.closed("WaitFor")
	}
	err := waitFor(pred, func() (bool, error) { return c.wait(ctx, core, h) })
	return core.Fail("psync: WaitFor", ofLock(err))
}

func (c *RCondition) wait(ctx context.Context, core *rlockCondition, h *Holder) (held bool, err error) {
	return core.wait(ctx, &rlockAdapter{c: core.c, h: h}, c.ref.Wanted(core))
}

// Notify is Condition.Notify for h. It fails with ErrNotHeld if h does not hold the lock.
func (c *RCondition) Notify(h *Holder, n int) error { return c.notify("Notify", h, n) }

func (c *RCondition) notify(op string, h *Holder, n int) error {
	core := c.ref.Load()
	if core == nil {
		return c.closed(op)
	}
	if h.index(core.c) < 0 {
		return failed(&core.Base, op, core.Done(ofLock(ErrNotHeld)))
	}
	core.notify(n)
	return failed(&core.Base, op, core.Done(nil))
}

// NotifyAll notifies all waiters, as Notify does.
func (c *RCondition) NotifyAll(h *Holder) error { return c.notify("NotifyAll", h, math.MaxInt) }
