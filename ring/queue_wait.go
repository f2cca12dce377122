package ring

import (
	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// A putter waits for space in a queue.
type putter[T any] struct {
	k    *queueCore[T]
	open func() bool
	try  func() error // fails with ErrFull if there is no space
}

// Try implements wait.Waiter.
func (p *putter[T]) Try() (bool, error) {
	if !p.open() {
		return false, ErrClosed
	}
	err := p.try()
	if err == ErrFull {
		return false, nil
	}
	return err == nil, err
}

// Arm implements wait.Waiter.
func (p *putter[T]) Arm() (wait.Armed, bool) {
	w := p.k.w.space.Arm()
	if crash.Enabled {
		crash.At(crash.QueuePutWaiting)
	}
	return w, true
}

// Pass implements wait.Waiter. It always passes the wake on, because there may be more space than
// one message took.
func (p *putter[T]) Pass(woken, _ bool) {
	if woken {
		p.k.w.space.Pass()
	}
}

// A getter waits for a message of a queue.
type getter[T any] struct {
	k    *queueCore[T]
	open func() bool
	try  func() error // fails with ErrEmpty or ErrBusy if there is no message
}

// Try implements wait.Waiter.
func (g *getter[T]) Try() (bool, error) {
	if !g.open() {
		return false, ErrClosed
	}
	switch err := g.try(); err {
	case ErrEmpty, ErrBusy:
		return false, nil
	default:
		return err == nil, err
	}
}

// Arm implements wait.Waiter.
func (g *getter[T]) Arm() (wait.Armed, bool) {
	w := g.k.w.items.Arm()
	if crash.Enabled {
		crash.At(crash.QueueGetWaiting)
	}
	return w, true
}

// Pass implements wait.Waiter. It passes the wake on if there may be more messages than this one.
func (g *getter[T]) Pass(woken, done bool) {
	if woken && (!done || g.k.mayHaveMore()) {
		g.k.w.items.Pass()
	}
}

// mayHaveMore reports whether there may be a message that no process has claimed. It walks on from
// the last message of this process, because other processes may have taken the messages right after
// it.
func (k *queueCore[T]) mayHaveMore() bool {
	if k.w.front.Load() != 0 && k.mayTakeBack() {
		return true
	}
	pos := position(k.gets.Load())
	for range k.slots.count {
		s := state(k.slots.slotWord(pos.slot()).Load())
		switch b := s.behind(pos.lap()); {
		case b == 0 && s.is() == ready:
			return true
		case b < 0, b == 0 && s.taken():
			pos = pos.past(s, k.slots.count)
		default:
			return false
		}
	}
	return true // the others have gone around the whole ring meanwhile
}

// putSpinning calls try for a moment, if that may pay, while it fails with ErrFull. It looks at a slot
// some way ahead: a putter that followed the getters from slot to slot would take the cache line of each
// message away from them while they read it.
func (k *queueCore[T]) putSpinning(try func() error) error {
	ahead := min(k.slots.count/8, mostAhead)
	for range k.room.Glances(&k.putSpin) {
		for range fullPauses {
			cpu.Pause()
		}
		pos := position(k.puts.Load()).plus(ahead, k.slots.count)
		if s := state(k.slots.slotWord(pos.slot()).Load()); s.behind(pos.lap()) > 0 && !s.kept() {
			continue // the slot still holds the message of the lap before
		}
		if err := try(); err != ErrFull {
			return err
		}
	}
	return ErrFull
}

// mostAhead is how many slots ahead putSpinning looks at most.
const mostAhead = 16

// getSpinning calls try for a moment, if that may pay, while it fails with ErrEmpty or ErrBusy.
func (k *queueCore[T]) getSpinning(try func() error) error {
	n := k.room.Glances(&k.getSpin)
	if n > 0 {
		pos := position(k.gets.Load())
		k.pacer.backOff(k.count(pos), streamRun)
	}
	for range n {
		cpu.Pause()
		pos := position(k.gets.Load())
		if state(k.slots.slotWord(pos.slot()).Load()) == freeAt(pos.lap()) && k.w.front.Load() == k.seenFront.Load() {
			continue // no message has been put there
		}
		if err := try(); err != ErrEmpty && err != ErrBusy {
			return err
		}
	}
	return ErrEmpty
}

// Alike implements wait.Alike. All getters of a queue are alike.
func (g *getter[T]) Alike() any { return g.k.table }

// Alike implements wait.Alike. All putters of a queue are alike.
func (p *putter[T]) Alike() any { return p.k.table }
