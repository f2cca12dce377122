package ring

import (
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/shm"
)

// PipePrint is the fingerprint of every pipe.
const PipePrint = pipePrint

// The states of a slot.
const (
	Free        = uint64(free)
	Writing     = uint64(writing)
	WritingSpan = uint64(writingSpan)
	Ready       = uint64(ready)
	Reading     = uint64(reading)
	ReadingSpan = uint64(readingSpan)
)

// NewQueueAt makes a queue whose first value is in the given lap.
func NewQueueAt[T any](seg *shm.Segment, name string, capacity int, lap uint32) (*Queue[T], error) {
	return newQueueAt[T](seg, name, capacity, lap, nil)
}

// SetSlot gives a slot a state and an owner, as a process that stops in the middle of Put or Get
// leaves it.
func (q *Queue[T]) SetSlot(slot, lap uint32, s uint64, owner uint32) {
	q.core.Load().slots.slotWord(slot).Store(uint64(ownedAt(lap, state(s), party.ID(owner))))
}

// CopyAround copies vs to a ring of so many slots and back, from the first slot on, as a batch may do after
// a peer has destroyed the states. It returns what lies behind the ring, which was 0.
func CopyAround(slotCount uint32, vs []uint64) []byte {
	ring := int(slotCount) * strideOf[uint64]()
	mem := make([]byte, ring+2*len(vs)*strideOf[uint64]())
	var r slots[uint64]
	r.set(mem, slotCount)
	r.put(0, vs)
	r.get(0, vs)
	return mem[ring:]
}

// SetCursors moves the shared cursors to the first slot of a lap.
func (q *Queue[T]) SetCursors(lap uint32) {
	w := q.core.Load().w
	w.tail.Store(uint64(positionAt(lap, 0)))
	w.head.Store(uint64(positionAt(lap, 0)))
}

// Party returns the party ID under which q claims slots.
func (q *Queue[T]) Party() uint32 { return uint32(q.core.Load().me) }

// TakeBack gets a value that came back, as a getter does that has found no other before it was stopped.
func (q *Queue[T]) TakeBack() (v T, err error) {
	k := q.core.Load()
	word, pos := k.takeBack(reading)
	if word == nil {
		return v, ErrEmpty
	}
	v = *k.slots.message(word)
	return v, k.release(word, pos.lap())
}

// MayHaveMore reports whether a getter that was woken wakes the next one.
func (q *Queue[T]) MayHaveMore() bool { return q.core.Load().mayHaveMore() }

// Epoch returns the segment's epoch.
func (c *Conn) Epoch() *atomic.Uint32 { return c.core.Load().epoch }

// StartAt makes both directions of an empty pipe begin at a count of bytes, which is a multiple of
// 8.
func (c *Conn) StartAt(count uint64) {
	k := c.core.Load()
	for _, s := range []*stream{&k.out, &k.in} {
		s.w.tail.Store(count)
		s.w.seenHead.Store(count)
		s.w.head.Store(count)
	}
}

// Limit returns the length of the longest message that is sent at once.
func (c *Conn) Limit() int { return c.core.Load().out.limit }

// Biased reports, for the sending and the receiving side of the end, whether the bias has not been
// revoked.
func (c *Conn) Biased() (tx, rx bool) {
	k := c.core.Load()
	return k.out.tx.w.bias.Load()&revoked == 0, k.in.rx.w.bias.Load()&revoked == 0
}

// A Pacer is a pacer.
type Pacer struct{ p pacer }

// BackOff calls backOff.
func (p *Pacer) BackOff(at, far uint64) bool { return p.p.backOff(at, far) }

// Words returns the state words of all slots.
func (q *Queue[T]) Words() (words []uint64) {
	k := q.core.Load()
	for i := range k.slots.count {
		words = append(words, k.slots.slotWord(i).Load())
	}
	return words
}

// NewBroadcastAt makes a broadcast whose first value is in the given lap.
func NewBroadcastAt[T any](seg *shm.Segment, name string, capacity int, lap uint64, o *BroadcastOptions) (*Broadcast[T], error) {
	return newBroadcastAt[T](seg, name, capacity, lap, o)
}

// GoThrough does to the shared memory of an idle broadcast what n values do, a multiple of its
// capacity, without the values.
func (b *Broadcast[T]) GoThrough(n uint64) {
	c := b.ref.Load()
	tail := c.w.tail.Load() + n
	for i := range uint64(c.slots.count) {
		c.slotOf(i).Store(uint64(ownedAt(c.lapOf(tail)-1, ready, c.me)))
	}
	c.w.tail.Store(tail)
}

// RingAt is the offset of the ring from A to B in a pipe.
const RingAt = pipeHead

// BlocksInUse returns the number of blocks of q's storage that are neither free nor stale.
func (q *Queue[T]) BlocksInUse() (n int) {
	e := q.enc.Load()
	if e == nil {
		return 0 // the values are not encoded
	}
	stale := e.stale(e.open())
	for i := range e.store.inUse() {
		if m := e.store.blocks[i].mark.Load(); m != 0 && !stale(m) {
			n++
		}
	}
	return n
}

// EncodedPrint returns the fingerprint of a queue of encoded Ts.
func EncodedPrint[T any]() uint64 {
	f, err := formOf[T]()
	if err != nil || f.coding == nil {
		panic(err)
	}
	return f.print
}

// SetMostSteps bounds the walks of this process over q's slots.
func (q *Queue[T]) SetMostSteps(n int) { q.core.Load().mostSteps = n }

// BlocksAstray returns the number of blocks of b's storage that are neither free nor stale and of no
// message that is left. b is idle.
func (b *Broadcast[T]) BlocksAstray() (n int) {
	c := b.ref.Load()
	if c.coding == nil {
		return 0 // the values are not encoded
	}
	for i := range c.store.inUse() {
		if m := c.store.blocks[i].mark.Load(); m != 0 && !c.stale(m) {
			n++
		}
	}
	end := c.end()
	for seq := end - c.mask - 1; seq != end; seq++ {
		word := c.slotOf(seq)
		if s := state(word.Load()); s.is() != ready || s.lap() != c.lapOf(seq) || c.evicted(seq) {
			continue
		}
		if at := c.addressIn(word); at.size > parcelSize {
			n -= blocksFor(int(at.size))
		}
	}
	return n
}

// ReceiversWoken returns how often receivers at the end that c sends to were woken.
func ReceiversWoken(c *Conn) uint32 { return c.core.Load().out.w.readable.Wakes() }

// Claim claims the next message of b, as a publisher that stops in the middle of Publish does. The
// publisher goes on in publish.
func (b *Broadcast[T]) Claim() (publish func(v T) error, err error) {
	c := b.ref.Load()
	word, seq, err := c.claim()
	if err != nil {
		return nil, err
	}
	return func(v T) error {
		*c.slots.message(word) = v
		return c.publish(word, seq)
	}, nil
}
