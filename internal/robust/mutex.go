// Package robust is the lock of everything: a word that names its owner.
//
//	 63                  33  32 31                  1   0
//	+----------------------+---+---------------------+---+
//	| heir: party ID, or 0 | 0 | owner: party ID, or 0 | G |
//	+----------------------+---+---------------------+---+
//
//	G      handed over to the owner, which has not taken note of it yet
//	heir   party of a waiter that has waited for too long
//
// One CAS takes the lock and names its owner, so that there is no moment at
// which a killed process holds it unnamed. Since no party ID is used twice, a
// dead owner in the word is itself the record that the lock's owner died.
//
//	acquire: 1  0 -> owner me                       held
//	wait:    2  the gate says that somebody sleeps
//	         3  after a millisecond: heir 0 -> me
//	release: 4  no heir: owner me -> 0              free
//	            an heir: owner me, heir h -> owner h G, no heir
//	         5  wake one who sleeps; with an heir all
//	heir:    6  owner me G -> owner me              held
//	others:  7  owner h G -> owner me               taken back, after wait.Grace
//
// Killed after 1 or 6: the word names the dead, and everybody is told that the
// owner died. After 2: one wake too many. After 3: an heir that is dead is passed
// over, and if the lock is handed over to it, it is free: G says that it never
// held it. Between 4 and 5, or woken and before 1: the death moves the segment's
// epoch, on which all waiters sleep as well, and they look again.
//
// Only the owner changes a word that names it, except for the heir. So with no
// heir there the owner frees the lock by a plain store, which may undo a claim
// to be heir that was made just then: the claimant finds that out, or makes it
// again when it is woken next. That is a store instead of a locked instruction,
// half of what an uncontended lock costs; see package fence for why no sleeper
// is missed. Releasing twice is found out, too, but not if two goroutines of one
// process release the same hold at the same moment.
//
// A hold that ends with no heir is free for all, also for a process that has
// not waited: that is what makes locks fast. A waiter that such processes have overtaken for a
// millisecond becomes the heir, and then the next Release hands the lock over to
// it, or to another waiter of its process.
//
// If that process is stopped (SIGSTOP, a debugger, a frozen cgroup) or starved, it
// can't take note. As long as G is set, it has never held the lock, and everybody
// may take the lock in its place by one CAS: its own step 6 then fails, and it
// waits on. They do so when they have seen the word granted to the same process for
// as long as wait.Grace: an heir that runs takes note within microseconds. Waiters look
// twice for that, and so does a process that only tries.
//
// Sources: the futex mutex of Drepper's "Futexes Are Tricky"; for handing over,
// the starvation mode of the Go standard library's Mutex.
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

// ErrHeld means that somebody alive holds the lock.
var ErrHeld = errors.New("it is held: try again later")

// ErrOwnerDied means that the lock's owner died holding it.
var ErrOwnerDied = errors.New("its owner died holding it: repair what it guards in Recover")

// ErrNotHeld means that the caller's process does not hold the lock.
var ErrNotHeld = errors.New("the caller does not hold it")

// patience is how long a waiter lets others overtake it.
const patience = time.Millisecond

// Words are a lock in shared memory. All zero: free.
//
//	0   word   see the package
//	8   gate   of the waiters
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

	unnoted wait.Overdue // a hand-over that the heir has not taken note of
}

const (
	granted   = 1
	ownerMask = 1<<32 - 1
	heirShift = 33
)

func owned(id party.ID) uint64     { return uint64(id) << 1 }
func ownerOf(word uint64) party.ID { return party.ID(word & ownerMask >> 1) }
func heirOf(word uint64) party.ID  { return party.ID(word >> heirShift) }
func heirPart(word uint64) uint64  { return word &^ ownerMask }
func inherits(id party.ID) uint64  { return uint64(id) << heirShift }
func handed(id party.ID) uint64    { return owned(id) | granted }

// Init makes m the view of w.
func (m *Mutex) Init(w *Words, table *party.Table, room *wait.Room) {
	m.w, m.table, m.room = w, table, room
}

// TryAcquire takes the lock if it is free. Otherwise it fails with ErrHeld,
// or with ErrOwnerDied if its owner is dead.
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
			// A process that only polls must learn of the owner's death, too.
			m.table.Watch(m.table.Epoch().Load())
			return ErrHeld
		}
	}
}

// free reports whether any caller may take the lock: it has no owner, or was
// handed over to one that died, or is late, before it took note.
func (m *Mutex) free(w uint64) bool {
	return ownerOf(w) == 0 || w&granted != 0 && (m.table.Dead(ownerOf(w)) || m.late(w&ownerMask))
}

// late reports whether this process has seen the lock handed over, and the owner
// not taking note, for as long as the grace. Each hand-over is one of the gate's wakes.
func (m *Mutex) late(handed uint64) bool {
	return m.unnoted.Since(uint64(m.w.gate.Wakes())<<32 | handed)
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
	w := m.w.word.Load()
	ok = m.died(w) && m.w.word.CompareAndSwap(w, heirPart(w)|owned(m.table.Me()))
	return ownerOf(w), ok
}

// Died reports whether the lock's owner died holding it.
func (m *Mutex) Died() bool { return m.died(m.w.word.Load()) }

// died reports whether the owner in w died holding the lock: whether it is dead,
// and w still the word. It may have released the lock since w was read, and died
// then.
func (m *Mutex) died(w uint64) bool {
	return ownerOf(w) != 0 && w&granted == 0 && m.table.Dead(ownerOf(w)) && m.w.word.Load()&ownerMask == w&ownerMask
}

// Abandon gives a lock back that TakeOver took from a dead owner, as it was:
// the owner in the word is dead. It does nothing if this process does not hold
// the lock any more.
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

// Owner returns whom the word names.
func (m *Mutex) Owner() party.ID { return ownerOf(m.w.word.Load()) }

// Held reports whether this process holds the lock.
func (m *Mutex) Held() bool { return m.w.word.Load()&ownerMask == owned(m.table.Me()) }

// Release frees the lock and wakes a waiter. It fails with ErrNotHeld if
// this process does not hold it.
func (m *Mutex) Release() error {
	if m.w.word.Load() != owned(m.table.Me()) {
		return m.releaseSlow()
	}
	fence.Publish64(&m.w.word, 0)
	if crash.Enabled {
		crash.At(crash.LockFreed) // free; the death wakes the sleepers
	}
	m.w.gate.Notify()
	return nil
}

// releaseSlow hands the lock over to the heir, if that is alive.
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
				crash.At(crash.LockHanded) // the heir's; nobody woken
			}
			m.w.gate.WakeAll()
			return nil
		}
	}
}

// An acquirer waits for the lock.
type acquirer struct {
	m       *Mutex
	wanted  func() bool // nil: always
	begin   time.Time   // of the first sleep
	tries   uint
	claimed bool // may be the heir
}

// spinTries is how often a waiter that does not sleep tries between two looks
// at the clock.
const spinTries = 1 << 12

func (a *acquirer) Try() (bool, error) {
	m := a.m
	if a.wanted != nil && !a.wanted() {
		return false, os.ErrClosed
	}
	if a.tries++; a.tries%spinTries == 0 {
		a.hurry()
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
			crash.At(crash.LockWoken) // free or handed over, and we alone may have been woken
		}
		next := heirPart(w) | owned(me)
		if a.claimed && heirOf(w) == me {
			next = owned(me) // what this one claimed it has
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
	a.hurry()
	if a.m.w.word.Load()&granted != 0 {
		word.AtMost = wait.Grace // see late; whoever hands over after this load moves the gate
	}
	return word, true
}

// hurry claims to be the heir after some time.
func (a *acquirer) hurry() {
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

// renounce ends a wait that failed: its process is not the heir any more. It
// reports whether the lock was handed over before, and is held now.
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

// Pass hands a wake on, but not while the lock is handed over to another: that
// has woken everybody later, and late looks at the gate's wakes.
func (a *acquirer) Pass(woken, done bool) {
	if woken && !done && a.m.w.word.Load()&granted == 0 {
		a.m.w.gate.Pass()
	}
}

// Alike implements wait.Alike: the lock is handed over to a party.
func (a *acquirer) Alike() any { return a.m.table }
