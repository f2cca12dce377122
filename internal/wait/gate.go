package wait

import (
	"structs"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// A Gate is a word of shared memory at which those who wait for a change of
// something else sleep, and a count beside it.
//
//	 31                              3   2   1   0
//	+----------------------------------+---+---+---+
//	| wakes so far, modulo 2^29        | D | F | S |   S: somebody may sleep
//	+----------------------------------+---+---+---+
//
// A publisher makes its change visible first and then calls Notify. A waiter
// goes through Room.Await. Wakes are handed on one by one: Notify clears S and
// wakes one sleeper, and that one sets S again before it looks, so that a later
// Notify finds the next. The zero Gate is ready.
//
// Between the publication and the load of S there has to be a fence: see
// package fence. While no waiter sleeps, publishers do without, and the first waiter that
// goes to sleep pays for both sides with fence.Heavy. From then on
//
//   - F ("fence requested") asks publishers for a fence of their own, until a number of them in a row have found no
//     sleeper;
//   - D ("fence done") tells waiters that they need not call Heavy again.
//
// D is set only by a waiter that has called Heavy while F was set, and it is cleared with F. So a publisher that
// has seen no F has published before that Heavy, and a waiter that finds D sees what it published. A
// publisher that has seen F has a fence before its load of S. This holds only for publishers that load
// this very gate after the publication: a condition that is waited for here must not be changed by one that notifies
// another gate.
type Gate struct {
	_     structs.HostLayout
	word  atomic.Uint32
	quiet atomic.Uint32 // publishers with a fence since somebody slept
}

const (
	sleepersBit = 1 << 0
	fenceBit    = 1 << 1
	doneBit     = 1 << 2
	oneWake     = 1 << 3
)

// quietRow is how many publishers find nobody asleep before they do without a
// fence again: together they have then paid about what a sleeper pays.
const quietRow = 64

// Notify wakes one sleeper, if there may be one.
func (g *Gate) Notify() {
	if g.word.Load()&(sleepersBit|fenceBit) != 0 { // [GATE] after the publication
		g.notify(1)
	}
}

// NotifyAll wakes every sleeper.
func (g *Gate) NotifyAll() {
	if g.word.Load()&(sleepersBit|fenceBit) != 0 { // [GATE]
		g.notify(futex.All)
	}
}

// notify moves the word, so that a waiter that is about to sleep does not, then wakes.
// Killed between the two it leaves sleepers without a wake; its death wakes
// them.
func (g *Gate) notify(n int) {
	quiet := g.quiet.Add(1) // the fence: the publication comes before the look
	for {
		w := g.word.Load()
		switch {
		case w&sleepersBit != 0: // [GATE]
			if g.word.CompareAndSwap(w, (w+oneWake)&^sleepersBit) {
				g.quiet.Store(0)
				futex.Wake(&g.word, n)
				return
			}
		case w&fenceBit != 0 && quiet >= quietRow:
			if g.word.CompareAndSwap(w, (w+oneWake)&^(fenceBit|doneBit)) {
				g.quiet.Store(0)
				return
			}
		default:
			return // or another waker has taken it on
		}
	}
}

// Pass wakes one sleeper whatever the bit says: for a waiter that was woken
// and leaves something for another, or leaves without having looked. Like every
// wake it moves the word, so that a waiter that is slow to fall asleep sees it.
func (g *Gate) Pass() {
	g.word.Add(oneWake)
	futex.Wake(&g.word, 1)
}

// Rouse wakes every sleeper whatever the bit says: for news that concern one
// of them, not whoever comes first.
func (g *Gate) Rouse() {
	g.word.Add(oneWake)
	futex.Wake(&g.word, futex.All)
}

// Wakes returns how often the gate's sleepers were woken, modulo 2^29.
func (g *Gate) Wakes() uint32 { return g.word.Load() / oneWake }

// Arm sets the sleepers' bit and returns the word to sleep on.
func (g *Gate) Arm() Armed {
	for {
		w := g.word.Load()
		if w&toSleep == toSleep || g.word.CompareAndSwap(w, w|toSleep) { // [GATE] before the look
			return Armed{Word: futex.Word{Addr: &g.word, Val: w | toSleep}, gate: g}
		}
	}
}

// toSleep is what a sleeper sets: F only where there are publishers without a
// fence.
const toSleep = sleepersBit | fenceBit*fence.Needed

// An Armed is a word to sleep on, as a waiter has armed it.
type Armed struct {
	futex.Word
	// AtMost is how long the waiter may sleep before it looks again, although
	// nothing has moved. 0: as long as any.
	AtMost time.Duration

	gate *Gate // nil: it is not that of a gate
}

// fence puts a fence between what publishers have published and their looks at
// the word, as it was armed, unless they do so themselves. It reports whether it
// could: see fence.Heavy.
func (a *Armed) fence() bool {
	if a.gate != nil && a.Val&doneBit != 0 {
		return true
	}
	if !fence.Heavy() {
		return false
	}
	if a.gate != nil && a.Val&fenceBit != 0 && a.gate.word.CompareAndSwap(a.Val, a.Val|doneBit) {
		a.Val |= doneBit
	}
	return true
}
