package wait

import (
	"slices"
	"structs"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// A Gate is a word of shared memory at which goroutines sleep until something else in shared
// memory changes, and a count beside it. The zero Gate is ready to use.
//
//	 31                              3   2   1   0
//	+----------------------------------+---+---+---+
//	| wakes so far, modulo 2^29        | D | F | S |
//	+----------------------------------+---+---+---+
//
//	S  sleepers        a waiter may be asleep
//	F  fenceRequested  publishers make a fence of their own before they load S
//	D  fenceDone       a waiter has called fence.Heavy since F was set
//
// A publisher makes its change visible and then calls Notify. A waiter calls Room.Await, which
// arms the gate and then tries. Each wake goes to one sleeper: Notify clears S and wakes one
// sleeper, and that sleeper sets S again before it tries, so that the next Notify finds the next
// sleeper.
//
// There has to be a fence between the publication and the load of S: see package fence. While no
// waiter sleeps, publishers make none. The first waiter that goes to sleep calls fence.Heavy, which
// serves both sides, and sets F and D. From then on publishers make the fence, and waiters need
// not call Heavy, until quietLimit publishers in a row have found no sleeper and the last of them
// clears F and D.
//
// Only a waiter that has called Heavy while F was set sets D, and D is cleared together with F.
// So a waiter that finds D set misses no publication:
//
//   - A publisher that loaded F before it was set had published before that call of Heavy. The
//     waiter sees what it published.
//   - A publisher that loaded F while it was set has a fence before its load of S. It sees S, or
//     the waiter sees what it published.
//
// This holds only for publishers that load this gate after the publication: a publisher must
// notify the very gate at which waiters wait for its change.
type Gate struct {
	_     structs.HostLayout
	word  atomic.Uint32
	quiet atomic.Uint32 // fenced publications since the last one that found a sleeper
}

// The bits of a gate's word, and what one wake adds to it.
const (
	sleepers       = 1 << 0 // S
	fenceRequested = 1 << 1 // F
	fenceDone      = 1 << 2 // D
	oneWake        = 1 << 3
)

// quietLimit is how many publishers in a row find no sleeper before publishers do without a fence
// again. Together they have then paid about what a sleeper pays for fence.Heavy.
const quietLimit = 64

// Notify wakes one sleeper, if there may be one.
func (g *Gate) Notify() {
	if g.word.Load()&(sleepers|fenceRequested) != 0 { // [GATE] after the publication
		g.notify(1)
	}
}

// NotifyAll wakes every sleeper.
func (g *Gate) NotifyAll() {
	if g.word.Load()&(sleepers|fenceRequested) != 0 { // [GATE]
		g.notify(futex.All)
	}
}

// notify moves the word, so that a waiter that is about to sleep does not, and then wakes n
// sleepers. If the publisher is killed between the two steps, its death wakes the sleepers.
func (g *Gate) notify(n int) {
	quiet := g.quiet.Add(1) // the fence: the publication comes before the load of S
	for {
		w := g.word.Load()
		switch {
		case w&sleepers != 0: // [GATE]
			if g.word.CompareAndSwap(w, (w+oneWake)&^sleepers) {
				g.quiet.Store(0)
				futex.Wake(&g.word, n)
				return
			}
		case w&fenceRequested != 0 && quiet >= quietLimit:
			if g.word.CompareAndSwap(w, (w+oneWake)&^(fenceRequested|fenceDone)) {
				g.quiet.Store(0)
				return
			}
		default:
			return // no waiter sleeps, or another publisher wakes the sleeper
		}
	}
}

// Pass wakes one sleeper even if S is not set. A woken waiter calls it if it leaves something for
// another waiter, or if it leaves without having tried. Like every wake it moves the word, so that
// a waiter that is slow to fall asleep notices it.
func (g *Gate) Pass() {
	g.word.Add(oneWake)
	futex.Wake(&g.word, 1)
}

// WakeAll wakes every sleeper even if S is not set. It is for a change that concerns one particular
// sleeper, not whichever is woken first.
func (g *Gate) WakeAll() {
	g.word.Add(oneWake)
	futex.Wake(&g.word, futex.All)
}

// Asleep reports whether a waiter may be asleep. It makes no fence, so it may overlook one that has only just
// armed the gate.
func (g *Gate) Asleep() bool { return g.word.Load()&sleepers != 0 }

// Wakes returns how often sleepers of the gate were woken, modulo 2^29.
func (g *Gate) Wakes() uint32 { return g.word.Load() / oneWake }

// Arm sets S and returns the word to sleep on.
func (g *Gate) Arm() Armed {
	for {
		w := g.word.Load()
		if w&toArm == toArm || g.word.CompareAndSwap(w, w|toArm) { // [GATE] before the try
			return Armed{Word: futex.Word{Addr: &g.word, Val: w | toArm}, gate: g}
		}
	}
}

// toArm are the bits that Arm sets: F only on systems whose publishers have no fence of their own.
const toArm = sleepers | fenceRequested*fence.Needed

// An Armed is a word to sleep on, with the value that it had when a waiter armed it.
type Armed struct {
	futex.Word
	// AtMost is the longest time for which the waiter may sleep before it tries again, although the
	// word has not moved. 0 means no limit.
	AtMost time.Duration

	gate *Gate // nil if the word is not a gate's
}

// fence orders each publication before its publisher's load of the armed word, unless the
// publishers do that themselves. It returns false if the kernel offers no such fence: see
// fence.Heavy.
func (a *Armed) fence() bool {
	if a.gate != nil && a.Val&fenceDone != 0 {
		return true
	}
	if !fence.Heavy() {
		return false
	}
	a.setDone()
	return true
}

// moved reports whether the word has another value than when it was armed.
func (a *Armed) moved() bool { return a.Addr.Load() != a.Val }

// setDone sets D if F is set, after a call of fence.Heavy that followed the arming.
func (a *Armed) setDone() {
	if a.gate != nil && a.Val&fenceRequested != 0 && a.gate.word.CompareAndSwap(a.Val, a.Val|fenceDone) {
		a.Val |= fenceDone
	}
}

// fenceAll is fence for several words. One call of fence.Heavy serves all of them.
func fenceAll(words []Armed) bool {
	if !slices.ContainsFunc(words, func(a Armed) bool { return a.gate == nil || a.Val&fenceDone == 0 }) {
		return true
	}
	if !fence.Heavy() {
		return false
	}
	for i := range words {
		words[i].setDone()
	}
	return true
}
