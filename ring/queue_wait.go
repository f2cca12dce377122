package ring

import (
	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/crash"
)

// A putter waits for room in a queue.
type putter[T any] struct {
	k    *queueCore[T]
	open func() bool
	v    *T
}

func (p *putter[T]) Try() (bool, error) {
	if !p.open() {
		return false, ErrClosed
	}
	err := p.k.put(p.v)
	if err == ErrFull {
		return false, nil
	}
	return err == nil, err
}

func (p *putter[T]) Arm() (futex.Word, bool) {
	w := p.k.w.space.Arm()
	if crash.Enabled {
		crash.At(crash.QueuePutWaiting)
	}
	return w, true
}

// Pass wakes the next: there may be more room than one message took.
func (p *putter[T]) Pass(woken, _ bool) {
	if woken {
		p.k.w.space.Pass()
	}
}

// A getter waits for a message of a queue.
type getter[T any] struct {
	k    *queueCore[T]
	open func() bool
	v    *T
}

func (g *getter[T]) Try() (bool, error) {
	if !g.open() {
		return false, ErrClosed
	}
	switch err := g.k.get(g.v); err {
	case ErrEmpty, ErrBusy:
		return false, nil
	default:
		return err == nil, err
	}
}

func (g *getter[T]) Arm() (futex.Word, bool) {
	w := g.k.w.items.Arm()
	if crash.Enabled {
		crash.At(crash.QueueGetWaiting)
	}
	return w, true
}

// Pass wakes the next: there may be more messages than this one.
func (g *getter[T]) Pass(woken, done bool) {
	if woken && (!done || g.k.more()) {
		g.k.w.items.Pass()
	}
}

// more tells whether the next position has a message.
func (k *queueCore[T]) more() bool {
	pos := position(k.gets.Load())
	s := state(k.slots.slotWord(pos.slot()).Load())
	return s.lap() == pos.lap() && s.is() == ready
}
