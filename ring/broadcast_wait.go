package ring

import (
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// A publisher waits until it can publish a value.
type publisher[T any] struct {
	c    *broadcastCore[T]
	open func() bool
	try  func() error // fails with ErrFull or ErrBusy if there is no space
}

// Try implements wait.Waiter.
func (p *publisher[T]) Try() (bool, error) {
	if !p.open() {
		return false, ErrClosed
	}
	switch err := p.try(); err {
	case ErrFull, ErrBusy:
		return false, nil
	default:
		return err == nil, err
	}
}

// Arm implements wait.Waiter.
func (p *publisher[T]) Arm() (wait.Armed, bool) {
	w := p.c.w.space.Arm()
	if crash.Enabled {
		crash.At(crash.BroadcastPublishWaiting)
	}
	return w, true
}

// Pass implements wait.Waiter. It always passes the wake on, because there may be more space than
// one value took.
func (p *publisher[T]) Pass(woken, _ bool) {
	if woken {
		p.c.w.space.Pass()
	}
}

// Alike implements wait.Alike. All publishers of a broadcast are alike.
func (p *publisher[T]) Alike() any { return p.c.Table() }

// A receiver waits for the next message of a subscriber.
type receiver[T any] struct {
	c    *subscriberCore[T]
	open func() bool
	try  func() error // fails with ErrEmpty or ErrBusy if there is no message
}

// Try implements wait.Waiter.
func (r *receiver[T]) Try() (bool, error) {
	if !r.open() {
		return false, ErrClosed
	}
	switch err := r.try(); err {
	case ErrEmpty, ErrBusy:
		return false, nil
	default:
		return err == nil, err
	}
}

// Arm implements wait.Waiter.
func (r *receiver[T]) Arm() (wait.Armed, bool) {
	w := r.c.w.items.Arm()
	if crash.Enabled {
		crash.At(crash.SubscriberWaiting)
	}
	return w, true
}

// Pass does nothing: a message wakes all subscribers, so there is no wake to pass on.
func (r *receiver[T]) Pass(woken, done bool) {}
