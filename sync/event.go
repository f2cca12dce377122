package sync

import (
	"context"
	"os"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// An Event is a flag that processes and goroutines set, clear and wait for. It has no owner, and no
// death changes it. Only Wait blocks.
//
// If a Clear or a Wait, or an IsSet that returns true, finds the flag as set by a Set or by a later
// one, then that Set synchronizes before it.
//
// An Event must not be copied. The zero Event is closed. All methods may be called from several
// goroutines at once.
type Event struct {
	handle[eventCore, *eventCore]
}

var _ marshaler = (*Event)(nil)

// eventWords is an event in shared memory.
//
//	0    changes  number of changes of the flag; if it is odd, the flag is set
//	128  gate     where waiters sleep
//
// A waiter compares changes with its value at the call of Wait. If they differ, the flag was set
// meanwhile, even if it is not set now. If a process is killed after
//
//	EventSet      flag set, none woken              its death wakes all waiters
//	EventWaiting  gate is set, it does not sleep     one wakeup too many
//	EventWoken    about to return                   nothing: a waiter leaves no trace
type eventWords struct {
	_       structs.HostLayout
	changes atomic.Uint64
	_       [120]byte // the gate is on its own cache lines: it changes only if a waiter sleeps
	gate    wait.Gate
	_       [120]byte
}

const (
	eventSize  = 256
	eventPrint = 1 // version of eventWords
)

// errIsSet is made here because IsSet would not be inlined if it called closed.
var errIsSet = object.Closed("psync: IsSet", shm.KindEvent)

type eventCore struct {
	object.Base
	w    *eventWords
	spin wait.Spinner
}

// NewEvent makes an event in seg, not set, with an optional name. It takes 256 bytes. NewEvent
// fails as every New function does: see package shm.
func NewEvent(seg *shm.Segment, name string) (*Event, error) {
	e := new(Event)
	if err := e.ref.New(seg, name, eventSize, nil); err != nil {
		return nil, err
	}
	return e, nil
}

// OpenEvent opens the event of that name. It fails as every Open function does: see package shm.
func OpenEvent(seg *shm.Segment, name string) (*Event, error) {
	e := new(Event)
	if err := e.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return e, nil
}

func (*eventCore) Type() (shm.Kind, uint64, error) { return shm.KindEvent, eventPrint, nil }

func (c *eventCore) Use(o object.Object) error {
	if err := c.Init(o, eventSize); err != nil {
		return err
	}
	c.w = view.At[eventWords](o.Bytes(), 0)
	c.spin.Count(o.Counters())
	return nil
}

// IsSet reports whether the event is set. It never blocks. It panics if the event is closed.
func (e *Event) IsSet() bool {
	if c := e.ref.Load(); c != nil {
		set := c.w.changes.Load()&1 != 0
		if !c.Closed.Load() {
			return set
		}
	}
	panic(errIsSet)
}

// Set sets the event and wakes all waiters. It does not block. It fails with ErrClosed.
func (e *Event) Set() error {
	c := e.ref.Load()
	if c == nil {
		return e.closed("Set")
	}
	// This writes even if the flag is set, so that this Set synchronizes before a later Clear.
	c.w.changes.Or(1)
	if crash.Enabled {
		crash.At(crash.EventSet)
	}
	c.w.gate.NotifyAll()
	return c.Fail("psync: Set", c.Done(nil))
}

// Clear makes the event not set. It does not block. It fails with ErrClosed.
func (e *Event) Clear() error {
	c := e.ref.Load()
	if c == nil {
		return e.closed("Clear")
	}
	for {
		n := c.w.changes.Load()
		if n&1 == 0 || c.w.changes.CompareAndSwap(n, n+1) {
			return c.Fail("psync: Clear", c.Done(nil))
		}
	}
}

// Wait blocks until the event is set, or was set since Wait was called, even if it has been cleared
// again. It fails with ctx's error when ctx is done (it tries once even if ctx is done already), or
// with ErrClosed when this process closes the event.
func (e *Event) Wait(ctx context.Context) error {
	c := e.ref.Load()
	if c == nil {
		return e.closed("Wait")
	}
	n := c.w.changes.Load()
	if n&1 != 0 {
		return c.Fail("psync: Wait", c.Done(nil))
	}
	return c.wait(ctx, n, e.ref.Wanted(c))
}

func (c *eventCore) wait(ctx context.Context, began uint64, wanted func() bool) error {
	w := &eventWaiter{w: c.w, began: began, wanted: wanted}
	return c.Fail("psync: Wait", c.Done(c.Room().Await(ctx, &c.spin, w)))
}

// An eventWaiter waits until the event is set, or changes differs from began, a value at which the
// event was not set. It can wait again: then it waits for the next Set.
type eventWaiter struct {
	w      *eventWords
	began  uint64
	wanted func() bool
	armed  bool
}

func (e *eventWaiter) Try() (bool, error) {
	if !e.wanted() {
		return false, os.ErrClosed
	}
	n := e.w.changes.Load()
	set := n != e.began
	e.began = cleared(n)
	if crash.Enabled && set && e.armed {
		crash.At(crash.EventWoken)
	}
	return set, nil
}

// cleared returns the value of changes once the event has been cleared, if changes is n now.
func cleared(n uint64) uint64 { return n + n&1 }

func (e *eventWaiter) Arm() (wait.Armed, bool) {
	word := e.w.gate.Arm()
	e.armed = true
	if crash.Enabled {
		crash.At(crash.EventWaiting)
	}
	return word, true
}

// Pass does nothing: each Set wakes all waiters.
func (e *eventWaiter) Pass(woken, done bool) {}
