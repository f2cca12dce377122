// Package robust is the lock that all objects use: a word that names its owner.
//
//	 63                  33  32 31                  1   0
//	+----------------------+---+---------------------+---+
//	| heir: party ID, or 0 | 0 | owner: party ID, or 0 | G |
//	+----------------------+---+---------------------+---+
//
//	G      granted: handed over to the owner, which has not acknowledged it yet
//	heir   the party of a waiter that has waited for too long
//
// One CAS takes the lock and names its owner, so a killed process never holds the lock unnamed.
// Since no party ID is used twice, a dead owner in the word is itself the record that the lock's
// owner died.
//
//	acquire: 1  0 -> owner me                       held
//	wait:    2  arm the gate
//	         3  after a millisecond: heir 0 -> me
//	release: 4  no heir: owner me -> 0              free
//	            an heir: owner me, heir h -> owner h G, no heir
//	         5  wake one sleeper; if there was an heir, all
//	heir:    6  owner me G -> owner me              held
//	others:  7  owner h G -> owner me               taken back, after wait.Grace
//
// If a process is killed
//
//	after 1 or 6         the word names a dead owner: all others get ErrOwnerDied
//	after 2              there is one wake too many
//	after 3              a dead heir is ignored; if the lock was handed over to it, the lock
//	                     is free, since G says that the heir never held it
//	between 4 and 5,     the death moves the segment's epoch, on which all waiters sleep as
//	or woken, before 1   well, and they try again
//
// Only the owner changes a word that names it, except for the heir in it. So if there is no heir,
// the owner frees the lock by a plain store instead of a locked instruction, which would be half of
// the cost of an uncontended lock. See package fence for why there is no lost wakeup. The store may
// undo a claim to be heir that was made just then. The claimant notices that, or claims again after
// its next wake. A second release of the same hold is noticed too, unless two goroutines of one
// process release it at the same moment.
//
// If there is no heir, a released lock is free for every process, also for one that has not waited.
// That is what makes locks fast. A waiter that such processes have overtaken for a millisecond
// becomes the heir, and then the next Release hands the lock over to it, or to another waiter of
// its process.
//
// If that process is stopped (SIGSTOP, a debugger, a frozen cgroup) or starved, it can't
// acknowledge. As long as G is set, it has never held the lock. So any other process may take the
// lock in its place by one CAS: then the heir's step 6 fails, and it waits on. A process does so
// when it has seen the lock granted to the same process for wait.Grace, since an heir that runs
// acknowledges within microseconds. Waiters try twice for that, and so does a process that only
// polls.
//
// Sources: the futex mutex of Drepper's "Futexes Are Tricky"; for handing over, the starvation mode
// of the Go standard library's Mutex.
package robust

import (
	"context"
	"errors"
	"os"
	"structs"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// ErrHeld means that a living process holds the lock.
var ErrHeld = errors.New("it is held: try again later")

// ErrOwnerDied means that the lock's owner died holding it.
var ErrOwnerDied = errors.New("its owner died holding it: repair what it guards in Recover")

// ErrNotHeld means that the caller's process does not hold the lock.
var ErrNotHeld = errors.New("the caller does not hold it")

// patience is how long a waiter lets others overtake it before it claims to be the heir.
const patience = time.Millisecond

// Words are a lock in shared memory. If they are all zero, the lock is free.
//
//	0   word   see the package comment
//	8   gate   where waiters sleep
type Words struct {
	_    structs.HostLayout
	word atomic.Uint64
	gate wait.Gate
}

// A Mutex is one process's view of a lock.
type Mutex struct {
	w     *Words
	table *party.Table
	room  *wait.Room
	spin  wait.Spinner

	unacknowledged wait.Overdue // a hand-over that the heir has not acknowledged
}

const (
	granted   = 1
	ownerMask = 1<<32 - 1
	heirShift = 33
)

func owned(id party.ID) uint64     { return uint64(id) << 1 }
func ownerOf(word uint64) party.ID { return party.ID(word & ownerMask >> 1) }

// OwnerIn returns the party that a lock's word, the first of Words, names; 0 if there is none.
func OwnerIn(word uint64) party.ID { return ownerOf(word) }

func heirOf(word uint64) party.ID { return party.ID(word >> heirShift) }
func heirPart(word uint64) uint64 { return word &^ ownerMask }
func inherits(id party.ID) uint64 { return uint64(id) << heirShift }
func handed(id party.ID) uint64   { return owned(id) | granted }

// Init makes m the view of w.
func (m *Mutex) Init(w *Words, table *party.Table, room *wait.Room) {
	m.w, m.table, m.room = w, table, room
}

// Count makes the waits for the lock, and its being taken over from dead parties, count in c.
func (m *Mutex) Count(c *wait.Counters) { m.spin.Count(c) }

// TryAcquire takes the lock if it is free. Otherwise it returns ErrOwnerDied if the owner is dead,
// and ErrHeld if it is not.
func (m *Mutex) TryAcquire() error {
	if m.w.word.CompareAndSwap(0, owned(m.table.Me())) {
		if crash.Enabled {
			crash.At(crash.LockTaken)
		}
		return nil
	}
	return m.tryAcquireSlow()
}

func (m *Mutex) tryAcquireSlow() error {
	for {
		w := m.w.word.Load()
		switch {
		case m.free(w):
			if m.w.word.CompareAndSwap(w, heirPart(w)|owned(m.table.Me())) {
				return nil
			}
		case m.died(w):
			return ErrOwnerDied
		case m.table.Dead(ownerOf(w)):
			// The word has changed.
		default:
			// A process that only polls must notice the owner's death, too.
			m.table.Watch(m.table.Epoch().Load())
			return ErrHeld
		}
	}
}

// free reports whether any process may take the lock: it has no owner, or it was handed over to an
// heir that died, or is overdue, before it acknowledged.
func (m *Mutex) free(w uint64) bool {
	return ownerOf(w) == 0 || w&granted != 0 && (m.table.Dead(ownerOf(w)) || m.overdue(w&ownerMask))
}

// overdue reports whether this process has seen the same hand-over without an acknowledgement for
// wait.Grace. The number of the gate's wakes tells hand-overs to the same party apart.
func (m *Mutex) overdue(handed uint64) bool {
	return m.unacknowledged.Since(uint64(m.w.gate.Wakes())<<32 | handed)
}

// Acquire takes the lock. It blocks until the lock is free. It returns ErrOwnerDied if the owner is
// dead, ctx's error if ctx ends, and os.ErrClosed if the room is closed. If it returns an error,
// the caller does not hold the lock.
func (m *Mutex) Acquire(ctx context.Context) error { return m.AcquireWhile(ctx, nil) }

// AcquireWhile is like Acquire, but also returns os.ErrClosed if it is woken and wanted returns
// false. A nil wanted returns true.
func (m *Mutex) AcquireWhile(ctx context.Context, wanted func() bool) error {
	err := m.TryAcquire()
	if err == nil || err == ErrOwnerDied {
		return err
	}
	a := &acquirer{m: m, wanted: wanted}
	err = m.room.Await(ctx, &m.spin, a)
	if err == nil || !a.claimed || !a.renounce() {
		return err
	}
	if errors.Is(err, os.ErrClosed) {
		m.Release()
		return err
	}
	return nil
}

// TakeOver takes the lock, from its owner if that is dead. Otherwise it blocks and fails as
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

// TryTakeOver takes the lock if its owner is dead. It returns the dead owner, and whether it took
// the lock.
func (m *Mutex) TryTakeOver() (dead party.ID, ok bool) {
	w := m.w.word.Load()
	ok = m.died(w) && m.w.word.CompareAndSwap(w, heirPart(w)|owned(m.table.Me()))
	if ok {
		m.spin.Counters().Repaired()
	}
	return ownerOf(w), ok
}

// Died reports whether the lock's owner died holding it.
func (m *Mutex) Died() bool { return m.died(m.w.word.Load()) }

// died reports whether the owner in w died holding the lock. It reads the word again after it has
// found the owner dead: the owner may have released the lock since w was read, and died after that.
func (m *Mutex) died(w uint64) bool {
	return ownerOf(w) != 0 && w&granted == 0 && m.table.Dead(ownerOf(w)) && m.w.word.Load()&ownerMask == w&ownerMask
}

// Abandon gives a lock that TakeOver took from a dead owner back to that owner, so that others find
// the owner dead. It does nothing if this process does not hold the lock any more.
func (m *Mutex) Abandon(dead party.ID) {
	for {
		w := m.w.word.Load()
		if w&ownerMask != owned(m.table.Me()) {
			return
		}
		if m.w.word.CompareAndSwap(w, heirPart(w)|owned(dead)) {
			break
		}
	}
	m.w.gate.WakeAll()
}

// Owner returns the party that the word names, 0 if there is none.
func (m *Mutex) Owner() party.ID { return ownerOf(m.w.word.Load()) }

// Held reports whether this process holds the lock.
func (m *Mutex) Held() bool { return m.w.word.Load()&ownerMask == owned(m.table.Me()) }

// Release frees the lock and wakes a waiter. It returns ErrNotHeld if this process does not hold
// the lock.
func (m *Mutex) Release() error {
	if m.w.word.Load() != owned(m.table.Me()) {
		return m.releaseSlow()
	}
	fence.Publish64(&m.w.word, 0)
	if crash.Enabled {
		crash.At(crash.LockFreed) // the lock is free; the death wakes the sleepers
	}
	m.w.gate.Notify()
	return nil
}

// releaseSlow hands the lock over to the heir if the heir is alive, and otherwise frees it.
func (m *Mutex) releaseSlow() error {
	for {
		w := m.w.word.Load()
		if w&ownerMask != owned(m.table.Me()) {
			return ErrNotHeld
		}
		next := uint64(0)
		if heir := heirOf(w); heir != 0 && !m.table.Dead(heir) {
			next = handed(heir)
		}
		if m.w.word.CompareAndSwap(w, next) {
			if crash.Enabled {
				crash.At(crash.LockHanded) // the lock is the heir's; no sleeper is woken
			}
			m.w.gate.WakeAll()
			return nil
		}
	}
}

// An acquirer is the wait.Waiter of a goroutine that waits for the lock.
type acquirer struct {
	m       *Mutex
	wanted  func() bool // nil: always
	begin   time.Time   // when it first armed, or began to spin for long
	tries   uint
	claimed bool // this process may be the heir by a claim of this waiter
}

// spinTries is how often a waiter that does not sleep tries between two readings of the clock.
const spinTries = 1 << 12

func (a *acquirer) Try() (bool, error) {
	m := a.m
	if a.wanted != nil && !a.wanted() {
		return false, os.ErrClosed
	}
	if a.tries++; a.tries%spinTries == 0 {
		a.claim()
	}
	for {
		w := m.w.word.Load()
		me := m.table.Me()
		if w&ownerMask != handed(me) && !m.free(w) {
			switch {
			case m.died(w):
				return false, ErrOwnerDied
			case m.table.Dead(ownerOf(w)):
				continue // the word has changed
			}
			return false, nil
		}
		if crash.Enabled && !a.begin.IsZero() {
			crash.At(crash.LockWoken) // free or handed over, and only this waiter may have been woken
		}
		next := heirPart(w) | owned(me)
		if a.claimed && heirOf(w) == me {
			next = owned(me) // the waiter has what it claimed
		}
		if m.w.word.CompareAndSwap(w, next) {
			if crash.Enabled {
				crash.At(crash.LockTaken)
			}
			return true, nil
		}
	}
}

func (a *acquirer) Arm() (wait.Armed, bool) {
	word := a.m.w.gate.Arm()
	if crash.Enabled {
		crash.At(crash.LockWaiting)
	}
	a.claim()
	if a.m.w.word.Load()&granted != 0 {
		word.AtMost = wait.Grace // see overdue; a hand-over after this load moves the gate
	}
	return word, true
}

// claim makes this process the heir if the waiter has waited for patience, the lock is held, and
// there is no living heir.
func (a *acquirer) claim() {
	now := time.Now()
	if a.begin.IsZero() {
		a.begin = now
	}
	if now.Sub(a.begin) < patience {
		return
	}
	m := a.m
	for {
		w := m.w.word.Load()
		heir := heirOf(w)
		if ownerOf(w) == 0 || heir != 0 && !m.table.Dead(heir) {
			return
		}
		if m.w.word.CompareAndSwap(w, w&ownerMask|inherits(m.table.Me())) {
			a.claimed = true
			if crash.Enabled {
				crash.At(crash.LockClaimed)
			}
			return
		}
	}
}

// renounce ends a wait that failed after a claim: its process is not the heir any more. If the lock
// has already been handed over to the process, renounce acknowledges that and returns true.
func (a *acquirer) renounce() bool {
	m := a.m
	me := m.table.Me()
	for {
		w := m.w.word.Load()
		next := w
		if heirOf(w) == me {
			next &= ownerMask
		}
		got := w&ownerMask == handed(me)
		if got {
			next &^= granted
		}
		if next == w || m.w.word.CompareAndSwap(w, next) {
			return got
		}
	}
}

// Pass passes a wake on, but not while the lock is granted to an heir. The hand-over has woken all
// sleepers since, and overdue relies on the number of the gate's wakes.
func (a *acquirer) Pass(woken, done bool) {
	if woken && !done && a.m.w.word.Load()&granted == 0 {
		a.m.w.gate.Pass()
	}
}

// Alike implements wait.Alike. All waiters of one party are interchangeable, since the lock is
// handed over to a party.
func (a *acquirer) Alike() any { return a.m.table }
