package ring

import (
	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/wait"
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

func (p *putter[T]) Arm() (wait.Armed, bool) {
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

func (g *getter[T]) Arm() (wait.Armed, bool) {
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

// more reports whether there may be a message that nobody has claimed. Others
// may have taken those right after this process's last.
func (k *queueCore[T]) more() bool {
	pos := position(k.gets.Load())
	for range k.slots.count {
		s := state(k.slots.slotWord(pos.slot()).Load())
		switch b := s.behind(pos.lap()); {
		case b == 0 && s.is() == ready:
			return true
		case b < 0, b == 0 && s.is() == reading:
			pos = pos.next(k.slots.count)
		default:
			return false
		}
	}
	return true // they went all round meanwhile
}

// putSoon is put that spins for a moment, if that may pay, while the queue is
// full.
func (k *queueCore[T]) putSoon(v *T) error {
	for range k.room.Glances(&k.putSpin) {
		for range fullPauses {
			cpu.Pause()
		}
		pos := position(k.puts.Load())
		if state(k.slots.slotWord(pos.slot()).Load()).behind(pos.lap()) > 0 {
			continue // the slot still holds the message of a lap ago
		}
		if err := k.put(v); err != ErrFull {
			return err
		}
	}
	return ErrFull
}

// getSoon is get that spins for a moment, if that may pay, while the queue is
// empty.
func (k *queueCore[T]) getSoon(v *T) error {
	n := k.room.Glances(&k.getSpin)
	if n > 0 {
		pos := position(k.gets.Load())
		k.pacer.backOff(uint64(pos.lap())*uint64(k.slots.count)+uint64(pos.slot()), streamRun)
	}
	for range n {
		cpu.Pause()
		pos := position(k.gets.Load())
		if state(k.slots.slotWord(pos.slot()).Load()) == freeAt(pos.lap()) {
			continue // nobody has put anything there
		}
		if err := k.get(v); err != ErrEmpty && err != ErrBusy {
			return err
		}
	}
	return ErrEmpty
}

// Alike implements wait.Alike.
func (g *getter[T]) Alike() any { return g.k.table }

// Alike implements wait.Alike.
func (p *putter[T]) Alike() any { return p.k.table }
