// Package robust is the lock of everything: a word that names its owner.
//
//	 31                                  1   0
//	+--------------------------------------+---+
//	| party ID of the owner, 0: free       | W |   W: somebody may wait
//	+--------------------------------------+---+
//
// One CAS takes the lock and says who has it, so that there is no moment at
// which a killed process holds it unnamed. Since no party ID is used twice, a
// dead owner in the word is itself the record that the lock's owner died.
//
// The algorithm is the futex mutex of Drepper's "Futexes Are Tricky", with the
// owner in the word, and with sleepers that also wait on the segment's epoch,
// which moves at every death: that covers an owner killed while it held the
// lock, one killed between freeing the word and waking, and a waiter killed
// after it was woken.
package robust

import (
	"context"
	"errors"
	"os"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// ErrHeld means that somebody alive holds the lock.
var ErrHeld = errors.New("lock is held")

// ErrOwnerDied means that the lock's owner died holding it.
var ErrOwnerDied = errors.New("owner of the lock died holding it")

// ErrNotHeld means that the caller's process does not hold the lock.
var ErrNotHeld = errors.New("lock is not held")

// A Mutex is one process's view of a lock word.
type Mutex struct {
	word  *atomic.Uint32
	table *party.Table
	room  *wait.Room
	spin  wait.Spinner
}

const waitersBit = 1

func owned(id party.ID) uint32     { return uint32(id) << 1 }
func ownerOf(word uint32) party.ID { return party.ID(word >> 1) }

// Init makes m the view of word.
func (m *Mutex) Init(word *atomic.Uint32, table *party.Table, room *wait.Room) {
	m.word, m.table, m.room = word, table, room
}

// TryAcquire takes the lock if it is free. Otherwise it fails with ErrHeld,
// or with ErrOwnerDied if its owner is dead.
func (m *Mutex) TryAcquire() error {
	if m.word.CompareAndSwap(0, owned(m.table.Me())) {
		if crash.Enabled {
			crash.At(crash.LockTaken)
		}
		return nil
	}
	return m.tryAcquireSlow()
}

func (m *Mutex) tryAcquireSlow() error {
	for {
		w := m.word.Load()
		switch {
		case w == 0:
			if m.word.CompareAndSwap(0, owned(m.table.Me())) {
				return nil
			}
		case m.table.Dead(ownerOf(w)):
			return ErrOwnerDied
		default:
			// Who tries again and again is to be told of the owner's death, too.
			m.table.Watch(m.table.Epoch().Load())
			return ErrHeld
		}
	}
}

// Acquire takes the lock, waiting until it is free, its owner is found dead
// (ErrOwnerDied), ctx ends (its error) or the room is closed. An error means
// not held.
func (m *Mutex) Acquire(ctx context.Context) error { return m.AcquireWhile(ctx, nil) }

// AcquireWhile is Acquire that also fails, with os.ErrClosed, when it is woken
// and wanted has become false.
func (m *Mutex) AcquireWhile(ctx context.Context, wanted func() bool) error {
	err := m.TryAcquire()
	if err == nil || err == ErrOwnerDied {
		return err
	}
	return m.room.Await(ctx, &m.spin, &acquirer{m: m, wanted: wanted})
}

// TakeOver takes the lock when it is free or its owner is dead, waiting as
// AcquireWhile does. It returns the dead owner, 0 if there was none.
func (m *Mutex) TakeOver(ctx context.Context, wanted func() bool) (dead party.ID, err error) {
	for {
		err := m.AcquireWhile(ctx, wanted)
		if err != ErrOwnerDied {
			return 0, err
		}
		if dead, ok := m.TryTakeOver(); ok {
			return dead, nil
		}
	}
}

// TryTakeOver takes the lock from a dead owner.
func (m *Mutex) TryTakeOver() (dead party.ID, ok bool) {
	w := m.word.Load()
	dead = ownerOf(w)
	// W is set: others may sleep, and have not been told.
	ok = w != 0 && m.table.Dead(dead) && m.word.CompareAndSwap(w, owned(m.table.Me())|waitersBit)
	return dead, ok
}

// Abandon gives a lock back that TakeOver took from a dead owner, as it was:
// the owner in the word is dead.
func (m *Mutex) Abandon(dead party.ID) {
	m.word.Store(owned(dead) | waitersBit)
	futex.Wake(m.word, futex.All)
}

// Owner returns whom the word names.
func (m *Mutex) Owner() party.ID { return ownerOf(m.word.Load()) }

// Release frees the lock and wakes a waiter. It fails with ErrNotHeld if
// this process does not hold it.
func (m *Mutex) Release() error {
	me := owned(m.table.Me())
	if m.word.CompareAndSwap(me, 0) {
		return nil
	}
	return m.releaseSlow(me)
}

func (m *Mutex) releaseSlow(me uint32) error {
	for {
		w := m.word.Load()
		if w&^waitersBit != me {
			return ErrNotHeld
		}
		if m.word.CompareAndSwap(w, 0) {
			if crash.Enabled {
				crash.At(crash.LockFreed) // free; the death wakes the sleepers
			}
			if w&waitersBit != 0 {
				futex.Wake(m.word, 1)
			}
			return nil
		}
	}
}

// An acquirer waits for the lock.
type acquirer struct {
	m      *Mutex
	wanted func() bool // nil: always
	armed  bool        // has said that it waits: others may have, too
}

func (a *acquirer) Try() (bool, error) {
	m := a.m
	if a.wanted != nil && !a.wanted() {
		return false, os.ErrClosed
	}
	for {
		w := m.word.Load()
		if w != 0 {
			if m.table.Dead(ownerOf(w)) {
				return false, ErrOwnerDied
			}
			return false, nil
		}
		// Who has slept can't know whether others sleep: it takes the lock
		// with W set, and its Release wakes the next.
		next := owned(m.table.Me())
		if a.armed {
			next |= waitersBit
			if crash.Enabled {
				crash.At(crash.LockWoken) // free, and whoever freed it has woken us alone
			}
		}
		if m.word.CompareAndSwap(0, next) {
			if crash.Enabled {
				crash.At(crash.LockTaken)
			}
			return true, nil
		}
	}
}

func (a *acquirer) Arm() (futex.Word, bool) {
	a.armed = true
	for {
		w := a.m.word.Load()
		if w == 0 {
			return futex.Word{}, false
		}
		if w&waitersBit != 0 || a.m.word.CompareAndSwap(w, w|waitersBit) {
			if crash.Enabled {
				crash.At(crash.LockWaiting)
			}
			return futex.Word{Addr: a.m.word, Val: w | waitersBit}, true
		}
	}
}

func (a *acquirer) Pass(woken, done bool) {
	if woken && !done {
		futex.Wake(a.m.word, 1)
	}
}

// Alike implements wait.Alike.
func (*acquirer) Alike() {}
