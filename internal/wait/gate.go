package wait

import (
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/futex"
)

// A Gate is a word of shared memory at which those who wait for a change of
// something else sleep.
//
//	 31                                  1   0
//	+--------------------------------------+---+
//	| wakes so far, modulo 2^31            | S |   S: somebody may sleep
//	+--------------------------------------+---+
//
// Who makes the change publishes it first and then calls Notify; who waits
// goes through Room.Await. Wakes are handed on one by one: Notify clears S and
// wakes one sleeper, and that one sets S again before it looks, so that a later
// Notify finds the next. The zero Gate is ready.
type Gate struct {
	_    structs.HostLayout
	word atomic.Uint32
}

const sleepersBit = 1

// Notify wakes one sleeper, if there may be one.
func (g *Gate) Notify() {
	if g.word.Load()&sleepersBit != 0 { // [GATE] after the publication
		g.wake(1)
	}
}

// NotifyAll wakes every sleeper.
func (g *Gate) NotifyAll() {
	if g.word.Load()&sleepersBit != 0 { // [GATE]
		g.wake(futex.All)
	}
}

// wake moves the word, so that who is about to sleep does not, then wakes.
// Killed between the two it leaves sleepers without a wake; its death wakes
// them.
func (g *Gate) wake(n int) {
	for {
		w := g.word.Load()
		if w&sleepersBit == 0 {
			return // another waker has taken it on
		}
		if g.word.CompareAndSwap(w, (w+2)&^sleepersBit) {
			break
		}
	}
	futex.Wake(&g.word, n)
}

// Pass wakes one sleeper whatever the bit says: for a waiter that was woken
// and leaves something for another, or leaves without having looked. Like every
// wake it moves the word, so that who is slow to fall asleep sees it.
func (g *Gate) Pass() {
	g.word.Add(2)
	futex.Wake(&g.word, 1)
}

// Rouse wakes every sleeper whatever the bit says: for news that concern one
// of them, not whoever comes first.
func (g *Gate) Rouse() {
	g.word.Add(2)
	futex.Wake(&g.word, futex.All)
}

// Arm sets the sleepers' bit and returns the word to sleep on.
func (g *Gate) Arm() futex.Word {
	for {
		w := g.word.Load()
		if w&sleepersBit != 0 || g.word.CompareAndSwap(w, w|sleepersBit) { // [GATE] before the look
			return futex.Word{Addr: &g.word, Val: w | sleepersBit}
		}
	}
}
