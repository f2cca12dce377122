package sync

import (
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/poll"
)

// Case returns a case of poll.Select that is ready when the event is set, or was set since the case
// was made or was ready last, even if it has been cleared again. The case fails with ErrClosed.
func (e *Event) Case() poll.Case {
	c := e.ref.Load()
	if c == nil {
		return newCase(wait.FailedCase(e.closed("Wait")))
	}
	w := &eventWaiter{w: c.w, began: cleared(c.w.changes.Load()), wanted: e.ref.Wanted(c)}
	return newObjectCase(&c.Base, "psync: Wait", w)
}

// AcquireCase returns a case of poll.Select that takes a permit, as Acquire does, and fails as
// Acquire does.
func (s *Semaphore) AcquireCase() poll.Case {
	c := s.ref.Load()
	if c == nil {
		return newCase(wait.FailedCase(s.closed("Acquire")))
	}
	return newObjectCase(&c.Base, "psync: Acquire", &permitWaiter{permits: c, gate: &c.w.gate, wanted: s.ref.Wanted(c)})
}

// AcquireCase returns a case of poll.Select that takes a permit, as Acquire does, and fails as
// Acquire does.
func (s *BoundedSemaphore) AcquireCase() poll.Case {
	c := s.ref.Load()
	if c == nil {
		return newCase(wait.FailedCase(s.closed("Acquire")))
	}
	return newObjectCase(&c.Base, "psync: Acquire", &permitWaiter{permits: c, gate: c.gate, wanted: s.ref.Wanted(c)})
}

// Case returns a case of poll.Select that is ready when the count is zero, or was zero since the
// case was made, and fails as Wait does.
func (g *WaitGroup) Case() poll.Case {
	c := g.ref.Load()
	if c == nil {
		return newCase(wait.FailedCase(g.closed("Wait")))
	}
	return newObjectCase(&c.Base, "psync: Wait", &groupWaiter{c, c.total().zeros(), g.ref.Wanted(c)})
}

// newObjectCase returns the case of a method op that waits as w does.
func newObjectCase(b *object.Base, op string, w wait.Waiter) poll.Case {
	return newCase(&wait.Case{
		Room: b.Room(), Counters: b.Counters(), Waiter: w, Result: func(err error) error { return b.Fail(op, b.Done(err)) },
	})
}

func newCase(c *wait.Case) poll.Case { return wait.Public(c).(poll.Case) }
