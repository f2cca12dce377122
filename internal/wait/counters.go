package wait

import (
	"structs"
	"sync/atomic"
	"time"
)

// Counters count what waits for one object, in shared memory. All processes add to them, each only
// when it is about to sleep, has slept or has repaired something, or once for countEvery waits that
// ended without a sleep. No operation that finds what it wants touches them.
//
//	0   waits     waits that slept at least once
//	8   sleeps    sleeps; a wait may sleep several times
//	16  wakes     sleeps at whose end the word that the waiter armed had moved
//	24  asleep    nanoseconds in sleeps that have ended
//	32  spins     waits that ended without a sleep: they spun, or yielded the CPU
//	40  spinning  nanoseconds in those waits
//	48  repairs   locks taken over from dead parties, messages of dead parties repaired
//	56  unused
//
// A process that is killed takes with it: the sleep in which it was, and up to countEvery-1 waits
// without a sleep for each of its Spinners. Nothing else depends on the counters, so a kill between two
// of the additions does no more than that.
//
// A nil *Counters counts nothing.
type Counters struct {
	_        structs.HostLayout
	waits    atomic.Uint64
	sleeps   atomic.Uint64
	wakes    atomic.Uint64
	asleep   atomic.Uint64
	spins    atomic.Uint64
	spinning atomic.Uint64
	repairs  atomic.Uint64
	_        uint64
}

// CountersSize is the size of Counters in bytes.
const CountersSize = 64

// countEvery is how many waits that ended without a sleep a Spinner counts by itself before it adds
// them to the shared counters, whose line it would otherwise take from the peer each time.
const countEvery = 64

// Counts are the values of Counters.
type Counts struct {
	Waits, Sleeps, Wakes, Spins, Repairs uint64
	Asleep, Spinning                     time.Duration
}

// Counts returns the values. They are not of one moment.
func (c *Counters) Counts() Counts {
	return Counts{
		Waits: c.waits.Load(), Sleeps: c.sleeps.Load(), Wakes: c.wakes.Load(),
		Spins: c.spins.Load(), Repairs: c.repairs.Load(),
		Asleep: time.Duration(c.asleep.Load()), Spinning: time.Duration(c.spinning.Load()),
	}
}

// Reset makes all values zero. The caller makes the object to which c belongs.
func (c *Counters) Reset() {
	for _, w := range []*atomic.Uint64{&c.waits, &c.sleeps, &c.wakes, &c.asleep, &c.spins, &c.spinning, &c.repairs} {
		if w.Load() != 0 {
			w.Store(0)
		}
	}
}

// Repaired counts a repair.
func (c *Counters) Repaired() {
	if c != nil {
		c.repairs.Add(1)
	}
}

// slept counts a sleep of that length. moved reports whether the armed word had moved at its
// end, first whether it was the first sleep of its wait.
func (c *Counters) slept(length time.Duration, moved, first bool) {
	if first {
		c.waits.Add(1)
	}
	if moved {
		c.wakes.Add(1)
	}
	c.asleep.Add(uint64(length))
	c.sleeps.Add(1)
}
