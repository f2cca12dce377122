package ring

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/tear"
)

// publishEncoded is the method op of a broadcast whose values are encoded: it publishes *v. It does
// not block if ctx is tryOnce.
func (b *Broadcast[T]) publishEncoded(ctx context.Context, c *broadcastCore[T], op string, v *T) error {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	msg, err := c.coding.encode(buf, v)
	if err == nil {
		err = c.putBytes(msg)
		if (err == ErrFull || err == ErrBusy) && ctx != tryOnce {
			err = b.awaitBytes(ctx, c, msg)
		}
	}
	return c.fails.of(op, err)
}

// awaitBytes is putBytes after a try that failed with ErrFull or ErrBusy. It blocks.
func (b *Broadcast[T]) awaitBytes(ctx context.Context, c *broadcastCore[T], msg []byte) error {
	try := func() error { return c.putBytes(msg) }
	if len(msg) <= parcelSize {
		return b.awaitPublish(ctx, c, try)
	}
	return c.Room().Await(ctx, &c.spin, &storer{
		gate: &c.store.w.waiters, open: b.ref.Wanted(c), try: try, point: crash.BroadcastPublishWaiting, every: 64,
	})
}

// putBytes publishes a message. It fails as put does, and with ErrTooLarge or shm.ErrNoSpace.
func (c *broadcastCore[T]) putBytes(msg []byte) error {
	if len(msg) > parcelSize {
		return c.putStored(msg)
	}
	word, seq, err := c.claim()
	if err != nil {
		return err
	}
	c.replace(word, seq)
	p := parcel{address: address{size: uint32(len(msg))}}
	copy(p.inline[:], msg)
	tear.Store(c.slots.parcel(word), &p)
	return c.publish(word, seq)
}

// putStored is putBytes for a message that is longer than a slot.
func (c *broadcastCore[T]) putStored(msg []byte) error {
	if len(msg) > c.store.capacity() {
		return c.Done(fmt.Errorf("%w: %d bytes, the broadcast's storage is for %d", ErrTooLarge, len(msg), c.store.capacity()))
	}
	n := blocksFor(len(msg))
	for range storageTries {
		if c.w.shut.Load() != 0 {
			return c.Done(ErrShutdown)
		}
		if err := c.makeRoom(n); err != nil {
			return c.Done(err)
		}
		word, seq, err := c.claim()
		if err != nil {
			return err
		}
		c.replace(word, seq)
		first, ok := c.store.take(n, c.markOf(seq))
		if !ok { // others have taken the blocks since; each of them may have failed because of this process
			c.unclaim(word, seq)
			c.notify()
			continue
		}
		c.store.write(first, msg)
		tear.Store(&c.slots.parcel(word).address, &address{first: first, size: uint32(len(msg))})
		return c.publish(word, seq)
	}
	return c.Done(ErrFull)
}

// markOf returns the mark of the blocks of message seq.
func (c *broadcastCore[T]) markOf(seq uint64) uint64 {
	return markOf(positionAt(c.lapOf(seq), uint32(seq&c.mask)))
}

// replace frees the blocks of the message that was in the slot, one lap earlier, of which this process
// has claimed the slot for message seq.
func (c *broadcastCore[T]) replace(word *atomic.Uint64, seq uint64) { c.free(word, seq-c.mask-1) }

// free frees the blocks of message seq, which is over, as far as its slot still tells where they lie:
// a block that has another mark stays as it is.
func (c *broadcastCore[T]) free(word *atomic.Uint64, seq uint64) {
	if at := c.addressIn(word); at.size > parcelSize {
		c.store.give(at.first, blocksFor(int(at.size)), c.markOf(seq))
	}
}

// addressIn returns the address in a slot. Another process may just be changing it.
func (c *broadcastCore[T]) addressIn(word *atomic.Uint64) (at address) {
	tear.Load(&at, &c.slots.parcel(word).address)
	return at
}

// makeRoom makes sure that n blocks were free at some time during the call. It fails with ErrFull or
// shm.ErrNoSpace.
func (c *broadcastCore[T]) makeRoom(n int) error {
	for {
		err := c.store.room(n, c.stale)
		if err == nil || !c.evict(n) {
			return err
		}
	}
}

// evict makes the oldest messages give way that all lossless subscribers have received, until they
// have had n blocks. It returns false if there is none. See [EVICT] at broadcastWords.
func (c *broadcastCore[T]) evict(n int) bool {
	end := c.end()
	low := c.slowest(end) // [EVICT] after the search of the end
	oldest := c.w.oldest.Load()
	from := oldest
	if left := end - c.mask - 1; int64(left-from) > 0 {
		from = left
	}
	to := from
	for n > 0 && int64(low-to) > 0 {
		word := c.slotOf(to)
		if s := state(word.Load()); s.lap() == c.lapOf(to) && s.is() == ready {
			if at := c.addressIn(word); at.size > parcelSize {
				n -= blocksFor(int(at.size))
			}
		}
		to++
	}
	if to == from {
		return false
	}
	if !c.w.oldest.CompareAndSwap(oldest, to) {
		return true // another publisher has made messages give way
	}
	if crash.Enabled {
		crash.At(crash.BroadcastEvicted) // the blocks are stale
	}
	for seq := from; seq != to; seq++ {
		if word := c.slotOf(seq); state(word.Load()).is() == ready {
			c.free(word, seq)
		}
	}
	return true
}

// evicted reports whether message seq has given way to others.
func (c *broadcastCore[T]) evicted(seq uint64) bool { return int64(c.w.oldest.Load()-seq) > 0 }

// stale reports whether the position of a mark is over.
func (c *broadcastCore[T]) stale(mark uint64) bool {
	pos := markedPosition(mark)
	if pos.slot() >= c.slots.count {
		return true
	}
	word := c.slots.slotWord(pos.slot())
	for {
		s := state(word.Load())
		switch {
		case s.is() == writing && c.Table().Dead(s.owner()):
			c.giveUp(word, s)
		case s.lap() != pos.lap(), s.is() == free:
			return true
		case s.is() == writing:
			return false
		default:
			return c.passed(pos)
		}
	}
}

// passed reports whether oldest has passed the message at pos. A position has fewer bits than a
// message's number, so they are compared by the shorter way round.
func (c *broadcastCore[T]) passed(pos position) bool {
	seq := uint64(pos.lap())<<c.shift | uint64(pos.slot())
	return int64((c.w.oldest.Load()-seq)<<(lapShift-c.shift)) > 0
}

// receiveEncoded is the method op of a subscriber of encoded values. It does not block if ctx is
// tryOnce.
func (s *Subscriber[T]) receiveEncoded(ctx context.Context, c *subscriberCore[T], op string) (v T, err error) {
	if err = s.receiveEncodedInto(ctx, c, op, &v); err != nil {
		var zero T
		return zero, err
	}
	return v, nil
}

// receiveEncodedInto is receiveEncoded into *v.
func (s *Subscriber[T]) receiveEncodedInto(ctx context.Context, c *subscriberCore[T], op string, v *T) error {
	var t taken
	if c.coding.bare() {
		t.msg = c.coding.code.Room(v)
	}
	err := s.take(ctx, c, &t)
	if err == nil {
		err = c.coding.decode(&t, v)
	}
	t.end()
	return c.fails.of(op, err)
}

// take receives the next message to t, without decoding it.
func (s *Subscriber[T]) take(ctx context.Context, c *subscriberCore[T], t *taken) error {
	if !c.enter() {
		c.exit()
		return ErrClosed
	}
	err := c.take(t)
	if ctx == tryOnce {
		for i := 0; err == ErrBusy && i < busySpins; i++ {
			err = c.take(t)
		}
	} else if err == ErrEmpty || err == ErrBusy {
		return s.awaitTake(ctx, c, t)
	}
	c.exit()
	return err
}

// awaitTake is take after a try that found nothing. It is a function of its own so that what escapes
// does so here. The memory of t.msg, which escape analysis does not see, is on the heap: ReceiveInto, whose
// caller's it is, has the caller's variable escape.
func (s *Subscriber[T]) awaitTake(ctx context.Context, c *subscriberCore[T], t *taken) error {
	u := new(*t)
	err := s.await(ctx, c, func() error { return c.take(u) })
	*t = *u
	return err
}

// take copies the next message to t. It fails as receive does.
func (c *subscriberCore[T]) take(t *taken) error {
	for range c.mostSteps {
		word, s, err := c.find()
		if err != nil {
			return err
		}
		seq := c.seq
		err = c.copyOut(word, seq, t)
		if state(word.Load()) != s || c.evicted(seq) { // [EVICT]
			continue
		}
		t.err = err
		c.received(seq)
		return c.Done(nil)
	}
	return c.Done(ErrBusy)
}

// copyOut copies message seq to t. If the message is overwritten meanwhile, it may fail, or copy
// anything.
func (c *subscriberCore[T]) copyOut(word *atomic.Uint64, seq uint64, t *taken) error {
	var p parcel
	at := c.addressIn(word)
	size := int(at.size)
	if size < 0 || size > parcelSize && size > len(c.store.inUse())*blockData {
		return fmt.Errorf("%w: a message of %d bytes", ErrCorrupt, size)
	}
	dst := t.msg
	if t.buf == nil && !c.coding.bare() {
		t.buf = buffers.Get().(*[]byte)
		dst = *t.buf
	}
	if cap(dst) < size || dst == nil {
		dst = make([]byte, 0, size) // the value itself if it is bytes
	}
	if size > parcelSize {
		var err error
		t.msg, err = c.store.read(dst[:0], at.first, size, c.markOf(seq))
		return err
	}
	tear.Load(&p, c.slots.parcel(word))
	t.msg = append(dst[:0], p.inline[:size]...)
	return nil
}
