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

// An Event is a flag that processes and goroutines set, clear and wait for. It
// belongs to nobody, and no death changes it. No method but Wait ever waits for
// anyone.
//
// Each Set synchronizes before each Clear, Wait and true IsSet that comes to
// the flag after it.
//
// An Event must not be copied. The zero Event is closed. All methods may be
// called from several goroutines at once.
type Event struct {
	handle[eventCore, *eventCore]
}

var _ marshaler = (*Event)(nil)

// eventWords is an event in shared memory.
//
//	0    changes  of the flag so far; odd: set; written by who sets and clears
//	128  gate     of those who wait
//
// Who waits compares changes with what it was when it came: another number
// means that the flag was set meanwhile, whatever it is now.
//
//	EventSet: set, nobody woken               the death wakes all
//	EventWaiting: gate set, not asleep        costs one wake too many
//	EventWoken: about to return               nothing: a wait leaves no trace
type eventWords struct {
	_       structs.HostLayout
	changes atomic.Uint64
	_       [120]byte // the gate moves when somebody sleeps only
	gate    wait.Gate
	_       [120]byte
}

const (
	eventSize  = 256
	eventPrint = 1 // version of eventWords
)

// errIsSet is made here, as a call of closed would keep IsSet from being inlined.
var errIsSet = object.Closed("psync: IsSet", shm.KindEvent)

type eventCore struct {
	object.Base
	w    *eventWords
	spin wait.Spinner
}

// NewEvent makes an event in seg, not set, with an optional name. It fails as
// shm.Segment.NewObject does.
func NewEvent(seg *shm.Segment, name string) (*Event, error) {
	e := new(Event)
	if err := e.ref.New(seg, name, eventSize, nil); err != nil {
		return nil, err
	}
	return e, nil
}

// OpenEvent opens the event of that name. It fails as shm.Segment.OpenObject
// does.
func OpenEvent(seg *shm.Segment, name string) (*Event, error) {
	e := new(Event)
	if err := e.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return e, nil
}

func (*eventCore) Type() (shm.Kind, uint64, error) { return shm.KindEvent, eventPrint, nil }

func (c *eventCore) Use(o *object.Object) error {
	if err := c.Init(o, eventSize); err != nil {
		return err
	}
	c.w = view.At[eventWords](o.Bytes(), 0)
	return nil
}

// IsSet tells whether the event is set: one load. A closed event is not set;
// who has to tell the two apart calls Wait with a context that has ended.
func (e *Event) IsSet() bool {
	if c := e.ref.Load(); c != nil {
		set := c.w.changes.Load()&1 != 0
		if !c.Closed.Load() {
			return set
		}
	}
	panic(errIsSet)
}

// Set sets the event, if it is not set, and wakes all who wait. It fails with
// ErrClosed only.
func (e *Event) Set() error {
	c := e.ref.Load()
	if c == nil {
		return e.closed("Set")
	}
	// A write even if it is set: who clears it later sees what came before this Set.
	c.w.changes.Or(1)
	if crash.Enabled {
		crash.At(crash.EventSet)
	}
	c.w.gate.NotifyAll()
	return c.Fail("psync: Set", c.Done(nil))
}

// Clear makes the event not set, if it is. It fails with ErrClosed only.
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

// Wait blocks until the event is set, or was set since Wait was called, even
// if it has been cleared again, until ctx ends (ctx's error; it looks once even
// if ctx has ended already), or the event is closed in this process (ErrClosed).
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

// An eventWaiter waits until the flag is not as it was, not set.
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
	set := e.w.changes.Load() != e.began
	if crash.Enabled && set && e.armed {
		crash.At(crash.EventWoken)
	}
	return set, nil
}

func (e *eventWaiter) Arm() (wait.Armed, bool) {
	word := e.w.gate.Arm()
	e.armed = true
	if crash.Enabled {
		crash.At(crash.EventWaiting)
	}
	return word, true
}

// Pass has nothing to pass on: each Set wakes all.
func (e *eventWaiter) Pass(woken, done bool) {}
