package ring

import (
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// queueWords is a queue in shared memory. The slots follow it.
//
//	0     count    slots; written when the queue is made
//	4     shut     not 0: shut down
//	128   tail     where to look for the next slot to write; written by putters
//	256   head     where to look for the next message; written by getters
//	384   items    gate of those who wait for a message
//	512   space    gate of the putters that wait for space
//	640   slots    each a state word and the message, rounded up to 8 bytes
//
// The usual queue of this kind (Vyukov's bounded MPMC queue) claims a slot by
// moving a cursor, and a process killed between that and the slot's mark leaves a
// slot that no other can ever tell from one of a slow process. Here the slot is claimed by
// a CAS of its own word, which names the owner; the cursors follow. They are
// hints: every position before tail has been claimed for writing, every position
// before head for reading, and the next unclaimed position is found by walking on
// from there. A putter or getter advances the shared cursor only every 16th position (cursorStep), and any
// of them may do so (helping, as in Michael and Scott's queue).
//
// For the slot of a position in lap L:
//
//	put: 1  CAS  free(L) -> writing(L, me)   the position is taken
//	     2       tail moves, at times
//	     3       the message is copied in
//	     4       ready(L)                    the message is there: Put will return nil
//	     5       wake a getter
//	get: 1  CAS  ready(L) -> reading(L, me)  the message is taken
//	     2       head moves, at times
//	     3       the message is copied out
//	     4       free(L+1)                   the slot is given back
//	     5       wake a putter
//
// A process that finds a slot whose owner is dead changes writing(L) to free(L+1), a
// position without a message, and reading(L) to reading(L, me): the message
// is delivered again, since the getter that took it has not returned it.
type queueWords struct {
	_     structs.HostLayout
	count atomic.Uint32
	shut  atomic.Uint32
	_     [120]byte // what follows changes often
	tail  atomic.Uint64
	_     [120]byte // putters above, getters below
	head  atomic.Uint64
	_     [120]byte
	items wait.Gate
	_     [120]byte
	space wait.Gate
	_     [120]byte
}

const (
	queueHead  = 640
	maxSlots   = 1 << 30
	cursorStep = 16 // positions that a cursor may lag for each party
)

// A queueCore is an open queue, as long as a method is inside.
type queueCore[T any] struct {
	o     object.Object
	w     *queueWords
	room  *wait.Room
	table *party.Table
	slots slots[T]
	me    party.ID

	putSpin, getSpin wait.Spinner
	swept            atomic.Uint32 // epoch at which no message of a dead getter was left, +1

	// Where this process got to: local hints, like the cursors.
	_    [64]byte
	puts atomic.Uint64
	_    [120]byte
	gets atomic.Uint64
	_    [120]byte

	pacer pacer

	fails failures
}

func newQueueCore[T any](o object.Object) (*queueCore[T], error) {
	mem := o.Bytes()
	if len(mem) < queueHead {
		return nil, fmt.Errorf("ring: queue of %d bytes: %w", len(mem), ErrCorrupt)
	}
	w := view.At[queueWords](mem, 0)
	count := w.count.Load()
	if count < 1 || count > maxSlots || uint64(count)*uint64(strideOf[T]()) > uint64(len(mem)-queueHead) {
		return nil, fmt.Errorf("ring: queue of %d slots in %d bytes: %w", count, len(mem), ErrCorrupt)
	}
	k := &queueCore[T]{o: o, w: w, room: o.Room(), table: o.Table(), me: o.Me()}
	k.slots.set(mem[queueHead:], count)
	k.fails.o, k.fails.limit, k.fails.a, k.fails.b = o, "it holds %d values of %d bytes", int(count), sizeOf[T]()
	k.puts.Store(uint64(k.place(w.tail.Load())))
	k.gets.Store(uint64(k.place(w.head.Load())))
	k.swept.Store(k.table.Epoch().Load()) // not yet at this epoch
	return k, nil
}

// place makes a position of a word that others write.
func (k *queueCore[T]) place(word uint64) position {
	p := position(word)
	if p.slot() >= k.slots.count || p>>63 != 0 {
		p = 0
	}
	return p
}

// steps bounds a walk over the slots: a queue whose states contradict each
// other has no end.
func (k *queueCore[T]) steps() int { return 4*int(k.slots.count) + 1024 }

// put stores *v in the next free slot. It fails with ErrFull, ErrShutdown,
// ErrClosed or ErrCorrupt. A copy between two variables that pointers name is a
// call of memmove, so Put and Get do the same without put and get.
func (k *queueCore[T]) put(v *T) error {
	word, pos, err := k.begin()
	if err != nil {
		return err
	}
	*k.slots.message(word) = *v
	return k.publish(word, pos)
}

// begin claims the next free slot for writing.
func (k *queueCore[T]) begin() (*atomic.Uint64, position, error) {
	pos := position(k.puts.Load())
	word := k.slots.slotWord(pos.slot())
	if want := uint64(freeAt(pos.lap())); word.Load() != want ||
		!word.CompareAndSwap(want, uint64(ownedAt(pos.lap(), writing, k.me))) {
		var err error
		if word, pos, err = k.claimFree(pos); err != nil {
			return nil, 0, err
		}
	}
	if k.w.shut.Load() != 0 {
		k.unclaim(word, pos)
		return nil, 0, k.unlessClosed(ErrShutdown)
	}
	if crash.Enabled {
		crash.At(crash.QueuePutClaimed) // position lost; repaired by who meets it
	}
	if pos.slot()%cursorStep == 0 {
		k.advance(&k.w.tail, pos)
	}
	if crash.Enabled {
		crash.At(crash.QueuePutHelped) // the same
	}
	return word, pos, nil
}

// publish makes the message that was copied into a claimed slot appear.
func (k *queueCore[T]) publish(word *atomic.Uint64, pos position) error {
	if crash.Enabled {
		crash.At(crash.QueuePutCopied) // position lost: not published
	}
	fence.Publish64(word, uint64(ownedAt(pos.lap(), ready, k.me)))
	if crash.Enabled {
		crash.At(crash.QueuePutReady) // delivered, although Put does not return; the death wakes the getters
	}
	fence.Publish64(&k.puts, uint64(pos.next(k.slots.count)))
	k.w.items.Notify()
	if k.room.Closed() {
		return ErrClosed
	}
	return nil
}

// claimFree walks from pos to the first position that nobody has claimed and
// claims its slot for writing.
func (k *queueCore[T]) claimFree(pos position) (*atomic.Uint64, position, error) {
	if k.w.shut.Load() != 0 {
		return nil, 0, k.unlessClosed(ErrShutdown) // a claim would have to be given up again: see unclaim
	}
	shared := false // pos is from the shared cursor
	for range k.steps() {
		word := k.slots.slotWord(pos.slot())
		s := state(word.Load())
		switch b := s.behind(pos.lap()); {
		case b == 0 && s.is() == free:
			if word.CompareAndSwap(uint64(s), uint64(ownedAt(pos.lap(), writing, k.me))) {
				return word, pos, nil
			}
		case b <= 0: // claimed: go on, from the cursor if that is ahead
			pos = pos.next(k.slots.count)
			if t := k.place(k.w.tail.Load()); t.after(pos) {
				pos = t
			}
		case s.is() == writing && k.table.Dead(s.owner()):
			k.repair(word, s)
		case !shared:
			// The slot is of an earlier lap: full, if pos is not a hint from
			// before so many laps that they can't be compared any more.
			pos, shared = k.place(k.w.tail.Load()), true
		default:
			k.table.Watch(k.table.Epoch().Load()) // also who never waits learns of deaths
			return nil, 0, k.unlessClosed(ErrFull)
		}
	}
	return nil, 0, k.unlessClosed(fmt.Errorf("%w: there is no position to put at", ErrCorrupt))
}

// unlessClosed is the error of what was seen in the slots: after the
// segment's Close they were not the shared ones.
func (k *queueCore[T]) unlessClosed(err error) error {
	if k.room.Closed() {
		return ErrClosed
	}
	return err
}

// repair gives up the position at which a dead putter was writing.
func (k *queueCore[T]) repair(word *atomic.Uint64, s state) {
	if word.CompareAndSwap(uint64(s), uint64(freeAt(s.lap()+1))) {
		k.w.space.Notify()
	}
}

// unclaim gives up a position claimed after the shutdown.
func (k *queueCore[T]) unclaim(word *atomic.Uint64, pos position) {
	word.Store(uint64(freeAt(pos.lap() + 1)))
	k.w.items.NotifyAll() // they wait for those who still write
}

// advance moves a cursor up to pos.
func (k *queueCore[T]) advance(cursor *atomic.Uint64, pos position) {
	for {
		c := cursor.Load()
		if !pos.after(k.place(c)) || cursor.CompareAndSwap(c, uint64(pos)) {
			return
		}
	}
}

// get takes the oldest message into *v. It fails with ErrEmpty, ErrBusy,
// ErrShutdown, ErrClosed or ErrCorrupt.
func (k *queueCore[T]) get(v *T) error {
	word, lap, err := k.take()
	if err != nil {
		return err
	}
	*v = *k.slots.message(word)
	return k.free(word, lap)
}

// take claims the oldest message for reading.
func (k *queueCore[T]) take() (word *atomic.Uint64, lap uint32, err error) {
	pos := position(k.gets.Load())
	word = k.slots.slotWord(pos.slot())
	if s := state(word.Load()); s.lap() != pos.lap() || s.is() != ready ||
		!word.CompareAndSwap(uint64(s), uint64(ownedAt(pos.lap(), reading, k.me))) {
		if word, pos, err = k.claimReady(pos); err != nil {
			return nil, 0, err
		}
	}
	if crash.Enabled {
		crash.At(crash.QueueGetClaimed) // the message is of a dead getter: delivered again
	}
	if pos.slot()%cursorStep == 0 {
		k.advance(&k.w.head, pos)
	}
	fence.Publish64(&k.gets, uint64(pos.next(k.slots.count)))
	if crash.Enabled {
		crash.At(crash.QueueGetHelped) // the same
	}
	return word, pos.lap(), nil
}

// free gives the slot of a message back that was copied out.
func (k *queueCore[T]) free(word *atomic.Uint64, lap uint32) error {
	if crash.Enabled {
		crash.At(crash.QueueGetCopied) // the message is of a dead getter
	}
	fence.Publish64(word, uint64(freeAt(lap+1)))
	if crash.Enabled {
		crash.At(crash.QueueGetFreed) // the one message that may be missing; the death wakes the putters
	}
	k.w.space.Notify()
	if k.w.shut.Load() != 0 {
		k.w.items.NotifyAll() // they wait for the last reader to be done
	}
	if k.room.Closed() {
		return ErrClosed
	}
	return nil
}

// claimReady walks from pos to the first message that nobody has claimed and
// claims its slot for reading.
func (k *queueCore[T]) claimReady(pos position) (*atomic.Uint64, position, error) {
	shared := false
	for range k.steps() {
		word := k.slots.slotWord(pos.slot())
		s := state(word.Load())
		b := s.behind(pos.lap())
		switch {
		case b == 0 && s.is() == ready:
			if word.CompareAndSwap(uint64(s), uint64(ownedAt(pos.lap(), reading, k.me))) {
				return word, pos, nil
			}
		case b < 0, b == 0 && s.is() == reading: // claimed: go on
			pos = pos.next(k.slots.count)
			if h := k.place(k.w.head.Load()); h.after(pos) {
				pos = h
			}
		case b == 0 && s.is() == writing && k.table.Dead(s.owner()):
			k.repair(word, s)
		case !shared:
			pos, shared = k.place(k.w.head.Load()), true
		default:
			return k.nothing(pos, b == 0 && s.is() == writing)
		}
	}
	return nil, 0, k.unlessClosed(fmt.Errorf("%w: there is no position to get from", ErrCorrupt))
}

// nothing is what there is at pos, the first position without a message to
// claim: free, being written, or of a slot that a reader holds from the lap
// before, which means empty too. Before that can be said the messages that dead
// getters held must be delivered: they lie behind the head.
func (k *queueCore[T]) nothing(pos position, beingWritten bool) (*atomic.Uint64, position, error) {
	epoch := k.table.Epoch().Load()
	k.table.Watch(epoch) // also who never waits learns of deaths
	if k.swept.Load() != epoch+1 {
		if word, lap := k.adopt(); word != nil {
			return word, position(uint64(lap) << 32), nil
		}
		k.swept.Store(epoch + 1)
	}
	if beingWritten && k.readyBeyond(pos) {
		return nil, 0, k.unlessClosed(ErrBusy)
	}
	// A getter that frees a slot wakes those that wait for messages only if it finds the
	// queue shut down. So a getter that waits for the last slot looks again after a fence of its own.
	if k.w.shut.Load() != 0 && (k.drained() || fence.Heavy() && k.drained()) {
		return nil, 0, k.unlessClosed(ErrShutdown)
	}
	return nil, 0, k.unlessClosed(ErrEmpty)
}

// adopt takes over a message that a dead getter held, if there is one.
func (k *queueCore[T]) adopt() (word *atomic.Uint64, lap uint32) {
	for i := range k.slots.count {
		word := k.slots.slotWord(i)
		s := state(word.Load())
		if s.is() == reading && k.table.Dead(s.owner()) &&
			word.CompareAndSwap(uint64(s), uint64(ownedAt(s.lap(), reading, k.me))) {
			return word, s.lap()
		}
	}
	return nil, 0
}

// readyBeyond reports whether a message is ready at a later position than pos.
func (k *queueCore[T]) readyBeyond(pos position) bool {
	for range k.slots.count {
		pos = pos.next(k.slots.count)
		s := state(k.slots.slotWord(pos.slot()).Load())
		switch b := s.behind(pos.lap()); {
		case b == 0 && s.is() == ready:
			return true
		case b > 0, b == 0 && s.is() == free:
			return false
		}
	}
	return false
}

// drained reports whether no slot holds a message, or may come to hold one: a
// getter that has one may die and leave it. It is asked after the shutdown,
// which every later claim for writing sees and gives up.
func (k *queueCore[T]) drained() bool {
	for i := range k.slots.count {
		if state(k.slots.slotWord(i).Load()).is() != free {
			return false
		}
	}
	return true
}

// length counts the messages that are ready, or were taken by a getter that
// is dead now. It gives up the positions of dead putters first.
func (k *queueCore[T]) length() int {
	n := 0
	for i := range k.slots.count {
		word := k.slots.slotWord(i)
		switch s := state(word.Load()); {
		case s.is() == ready, s.is() == reading && k.table.Dead(s.owner()):
			n++
		case s.is() == writing && k.table.Dead(s.owner()):
			k.repair(word, s)
		}
	}
	return n
}

// getReady is get that waits a little for a putter that is in the midst of it.
func (k *queueCore[T]) getReady(v *T) error {
	err := k.get(v)
	for i := 0; err == ErrBusy && i < busySpins; i++ {
		cpu.Pause()
		err = k.get(v)
	}
	return err
}

const busySpins = 64
