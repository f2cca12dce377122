package shm

import (
	"time"

	"github.com/seed-2e7ecdea/mp/internal/inner"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// Stats are statistics of an object, by all processes together, since it was made. They are read
// while processes go on, so they are not of one moment.
//
// The figures from Sent to Holder are computed from the words with which the object itself works.
// Each figure names the kinds of objects that have it; for the others it is 0.
//
// The waits are counted in shared memory, on the slow paths only: a call that finds what it wants
// at once, or in its first tries within a fraction of a microsecond, is not counted. Waits under
// WaitSpin are not counted, nor are those waits in poll.Select that end without a sleep; its sleeps count
// for each of its cases. If a process is killed, the sleep in which it was is not counted, nor are up to
// 63 of its last waits without a sleep for each kind of wait in the object, such as to put and to get.
type Stats struct {
	Sent     uint64 // queue, broadcast: values; one given up by a killed or aborting writer counts
	Received uint64 // queue: values, those included that were given up
	Bytes    uint64 // pipe: bytes sent in both directions, each message with 8 bytes and its padding
	Depth    uint64 // queue: values in it; pipe: bytes in both rings; semaphore: free permits
	Capacity uint64 // queue, broadcast: values; pipe: bytes of all rings
	Holder   int    // lock, reentrant lock: process ID of the owner; 0: free, or the process is not known

	Waits    uint64        // waits that slept
	Sleeps   uint64        // sleeps in them; one lasts a second at most, then the waiter looks again
	Wakes    uint64        // sleeps after which there was a wake, perhaps for another sleeper
	Asleep   time.Duration // time in sleeps that have ended, of all goroutines together
	Spins    uint64        // waits that ended without a sleep: they spun or yielded the CPU; counted 64 at a time
	Spinning time.Duration // time in those waits
	Repairs  uint64        // locks and messages taken over from dead processes
}

func (s *Stats) count(c wait.Counts) {
	s.Waits, s.Sleeps, s.Wakes, s.Asleep = c.Waits, c.Sleeps, c.Wakes, c.Asleep
	s.Spins, s.Spinning, s.Repairs = c.Spins, c.Spinning, c.Repairs
}

// fill sets the figures that the object of that kind has in its memory. A package of mp that is not
// part of the program does not add its figures.
func (s *Stats) fill(kind Kind, m inner.Memory) {
	if f := inner.Shm.Stats[uint32(kind)]; f != nil {
		f(m, s)
	}
}
