// Package wait is the only place where mp blocks. A waiter spins for a short time, or yields the CPU a
// few times, and then sleeps in the kernel until what it waits for changes, a process dies, or its
// context ends.
package wait

import (
	"runtime"
	"sync/atomic"
)

// A Room is the wait domain of one attached segment: all waiters of this process that wait for
// something in the segment.
type Room struct {
	// Epoch is the segment's word that moves when a process joins or dies.
	Epoch *atomic.Uint32
	// Watch is called by each waiter that is about to sleep, with the epoch as the waiter read it.
	// While there is a waiter, Watch makes sure that the death of every party that had joined by
	// then will be noticed.
	Watch func(epoch uint32)
	// Parties returns how many processes have the segment, this one included, or 0 until Watch has looked
	// since the last change. It may be nil.
	Parties func() int

	closed  atomic.Bool
	waiting atomic.Int32
	policy  atomic.Uint32
	lot     *parkingLot // nil: the process's
}

// Close makes every wait fail with os.ErrClosed the next time that its waiter tries, and reports
// whether it is the first call.
func (r *Room) Close() bool { return r.closed.CompareAndSwap(false, true) }

// Closed reports whether Close was called. A method calls it after it has changed shared memory: if
// the room is closed, the segment may not have the change.
func (r *Room) Closed() bool { return r.closed.Load() }

// Waiting reports whether any goroutine waits in the room.
func (r *Room) Waiting() bool { return r.waiting.Load() != 0 }

// SetPolicy sets how this process's waiters of the segment wait.
func (r *Room) SetPolicy(p Policy) { r.policy.Store(uint32(p)) }

// Policy returns the policy that SetPolicy set, Adaptive at first.
func (r *Room) Policy() Policy { return Policy(r.policy.Load()) }

// crowded reports whether the room has more processes than there are CPUs for them.
func (r *Room) crowded() bool { return r.Parties != nil && r.Parties() > cpus }

var cpus = runtime.NumCPU()

// A Waiter is an operation that can wait for one thing.
type Waiter interface {
	// Try performs the operation if that is possible now. done or a non-nil error ends the wait.
	Try() (done bool, err error)
	// Arm announces in shared memory that a goroutine is about to sleep, and returns the word that
	// a wake will move. It returns false if the word has moved already. A wake counts only if it
	// leaves the word, or the epoch, different from its armed value: see parkingLot.
	Arm() (word Armed, ok bool)
	// Pass passes a wake on to another sleeper if this waiter may have consumed one that it does
	// not need. woken reports whether it may have been woken since it last went to sleep, done
	// whether its Try succeeded.
	Pass(woken, done bool)
}

// Alike is implemented by interchangeable waiters: waiters that want the same thing at the same
// word. If the Try of one of them fails after it has armed, the Try of each other one would fail
// too, unless the epoch has moved. So it is enough to wake one of them. It wakes the next one by
// Pass if it leaves something for another waiter, or if it leaves without having tried.
//
// A hub wakes interchangeable waiters at one word one after the other, until one finds nothing. It
// wakes all waiters of other kinds at once.
type Alike interface {
	Waiter
	// Alike returns a comparable value that is equal for those waiters at one word that are
	// interchangeable.
	Alike() any
}
