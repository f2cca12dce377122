package ring

import (
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/shm"
)

// PipePrint is the fingerprint of pipes.
const PipePrint = pipePrint

// The states of a slot.
const (
	Free    = uint64(free)
	Writing = uint64(writing)
	Ready   = uint64(ready)
	Reading = uint64(reading)
)

// NewQueueAt makes a queue that starts in a lap of choice.
func NewQueueAt[T any](seg *shm.Segment, name string, capacity int, lap uint32) (*Queue[T], error) {
	return newQueueAt[T](seg, name, capacity, lap)
}

// SetSlot gives a slot a state and an owner, as a process does that stops
// there.
func (q *Queue[T]) SetSlot(slot, lap uint32, s uint64, owner uint32) {
	q.core.Load().slots.slotWord(slot).Store(uint64(ownedAt(lap, state(s), party.ID(owner))))
}

// SetCursors puts the shared cursors to the first slot of a lap.
func (q *Queue[T]) SetCursors(lap uint32) {
	w := q.core.Load().w
	w.tail.Store(uint64(lap) << 32)
	w.head.Store(uint64(lap) << 32)
}

// SetMessage writes a slot's message.
func (q *Queue[T]) SetMessage(slot uint32, v T) {
	k := q.core.Load()
	*k.slots.message(k.slots.slotWord(slot)) = v
}

// Party returns the party that q works as.
func (q *Queue[T]) Party() uint32 { return uint32(q.core.Load().me) }

// More is what a getter that was woken asks before it lets the others sleep.
func (q *Queue[T]) More() bool { return q.core.Load().more() }

// Epoch returns the segment's epoch.
func (c *Conn) Epoch() *atomic.Uint32 { return c.core.Load().epoch }

// StartAt makes both directions of an empty pipe begin at a count of bytes, a
// multiple of 8.
func (c *Conn) StartAt(count uint64) {
	k := c.core.Load()
	for _, s := range []*stream{&k.out, &k.in} {
		s.w.tail.Store(count)
		s.w.seen.Store(count)
		s.w.head.Store(count)
	}
}

// Limit returns the length of the longest message.
func (c *Conn) Limit() int { return c.core.Load().out.limit }

// Biased reports whether the sending and the receiving side of the end have not
// been revoked.
func (c *Conn) Biased() (tx, rx bool) {
	k := c.core.Load()
	return k.out.tx.w.bias.Load()&revoked == 0, k.in.rx.w.bias.Load()&revoked == 0
}

// Pacer is pacer.
type Pacer struct{ h pacer }

// BackOff is backOff.
func (h *Pacer) BackOff(at, far uint64) bool { return h.h.backOff(at, far) }
