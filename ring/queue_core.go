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
//	0     count    number of slots; written when the queue is made
//	4     flags    queueShut, queueJoined
//	8     front    0 until a value comes back from a lease or a span; bit 0 says that leases are in use;
//	               moves with each return
//	16    mode     queueJoinable, queueEncoded; written when the queue is made
//	20    done     gate of the goroutines that wait in Join
//	128   tail     where to look for the next slot to write; written by putters
//	256   head     where to look for the next message; written by getters
//	384   items    gate of the getters that wait for a message
//	512   space    gate of the putters that wait for space
//	640   slots    each a state word and the message, rounded up to 8 bytes
//
// The usual queue of this kind (Vyukov's bounded MPMC queue) claims a slot by moving a cursor. A
// process killed between that step and the write to the slot leaves a slot that no other process
// can ever tell from the slot of a slow process. Here a process claims a slot by a CAS of the
// slot's own word, which names the owner, and the cursors follow. The cursors are hints: every
// position before tail has been claimed for writing, every position before head has been claimed
// for reading, and a process finds the next unclaimed position by walking on from there. A putter
// or getter advances the shared cursor only at every 16th position (cursorStep), and any of them
// may do so (helping, as in Michael and Scott's queue).
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
// A batch claims several slots by one CAS: see span.go.
//
// A process that finds a slot whose owner is dead repairs it. It changes writing(L) to free(L+1):
// the position is given up without a message. It changes reading(L) to reading(L, me): the message
// is delivered again, because the getter that took it has not returned it.
//
// A lease holds its slot for as long as its holder likes:
//
//	lease:  1  CAS  ready(L) -> leased(L, me)       the message is taken
//	        2       as get 2
//	done:   3  CAS  leased(M, me) -> free(M+1)      the message is gone, the slot is given back
//	        4       wake a putter
//	return: 3  CAS  leased(M, me) -> returned(M)    the message is there again
//	        4       front moves                     the next get or lease takes it before any other
//	        5       wake a getter
//	skip:   CAS  leased(M), returned(M) -> the same in lap M+1, by a putter that comes round to it: the
//	        position in lap M+1 is given up; only if a slot behind it is free
//	take back: CAS  returned(M), or leased(M) or reading(M) of a dead party, -> leased(M, me) or
//	        reading(M, me)
//
// Every step changes one word from one state to the next, so the order in which a putter that
// skips, the holder, and the getter that takes back come to it does not matter: the second one
// finds what the first one has left. A message stays in its slot. Getters walk on past a slot that
// is leased or returned; the positions before tail stay claimed or given up, and those before head
// stay claimed or given up, whatever becomes of the lease. Getters look for messages to take back
// only if front has moved since they looked last, or, where leases are in use, the epoch has.
type queueWords struct {
	_     structs.HostLayout
	count atomic.Uint32
	flags atomic.Uint32
	front atomic.Uint64
	mode  atomic.Uint32
	done  wait.Gate
	_     [100]byte // above: changes hardly ever; below: often
	tail  atomic.Uint64
	_     [120]byte // above: written by putters; below: by getters
	head  atomic.Uint64
	_     [120]byte
	items wait.Gate
	_     [120]byte
	space wait.Gate
	_     [120]byte
}

// Bits of queueWords.flags, front and mode.
const (
	queueShut     = 1 << 0 // flags: the queue is shut down
	queueJoined   = 1 << 1 // flags: a goroutine has called Join
	leasesInUse   = 1 << 0 // front
	oneReturn     = 1 << 1 // front: what each return adds
	queueJoinable = 1 << 0 // mode: Get takes values under a lease, which TaskDone ends
	queueEncoded  = 1 << 1 // mode: the messages are envelopes, and a storage follows the slots
)

const (
	queueHead  = 640
	maxSlots   = 1 << 30
	cursorStep = 16 // a cursor may lag by this many positions for each party
)

// A queueCore is an open queue. A method keeps using it after Close until the method returns.
type queueCore[T any] struct {
	o     object.Object
	w     *queueWords
	room  *wait.Room
	table *party.Table
	slots slots[T]
	me    party.ID

	takes state // what a slot becomes when Get claims it: reading, or leased if the queue is joinable
	tasks tasks

	putSpin, getSpin wait.Spinner
	joinSpin         wait.Spinner
	seenEpoch        atomic.Uint32 // 1 + epoch of the last adopt that found nothing
	seenFront        atomic.Uint64 // front at that time

	// The positions that this process has reached: local hints, like the cursors.
	_    [64]byte
	puts atomic.Uint64
	_    [120]byte
	gets atomic.Uint64
	_    [120]byte

	fence atomic.Uint32 // see freedLast
	pacer pacer

	mostSteps int // of a walk

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
	k.mostSteps = walkOver(count)
	k.putSpin.Count(o.Counters())
	k.getSpin.Count(o.Counters())
	k.joinSpin.Count(o.Counters())
	k.takes = reading
	if w.mode.Load()&queueJoinable != 0 {
		k.takes = leased
	}
	k.fails.o, k.fails.limit, k.fails.a, k.fails.b = o, "it holds %d values of %d bytes", int(count), sizeOf[T]()
	k.puts.Store(uint64(k.positionOf(w.tail.Load())))
	k.gets.Store(uint64(k.positionOf(w.head.Load())))
	k.seenEpoch.Store(k.table.Epoch().Load()) // not epoch+1: adopt has not run at this epoch
	return k, nil
}

// positionOf returns the position in a shared word, or 0 if the word holds no position.
func (k *queueCore[T]) positionOf(word uint64) position {
	if p := position(word); p.valid(k.slots.count) {
		return p
	}
	return 0
}

// put puts *v into the next free slot. It fails with ErrFull, ErrShutdown, ErrClosed or ErrCorrupt.
//
// Put and Get repeat the code of put and get, because a copy from pointer to pointer is a call of
// memmove, and a copy from or to a local variable is not.
func (k *queueCore[T]) put(v *T) error {
	word, pos, err := k.claimFree()
	if err != nil {
		return err
	}
	*k.slots.message(word) = *v
	return k.publish(word, pos)
}

// claimFree claims the next free slot for writing.
func (k *queueCore[T]) claimFree() (*atomic.Uint64, position, error) {
	pos := position(k.puts.Load())
	word := k.slots.slotWord(pos.slot())
	if want := uint64(freeAt(pos.lap())); word.Load() != want ||
		!word.CompareAndSwap(want, uint64(ownedAt(pos.lap(), writing, k.me))) {
		var err error
		if word, pos, err = k.claimFreeSlow(pos); err != nil {
			return nil, 0, err
		}
	}
	if k.w.flags.Load()&queueShut != 0 {
		k.unclaim(word, pos)
		return nil, 0, k.unlessClosed(ErrShutdown)
	}
	if crash.Enabled {
		crash.At(crash.QueuePutClaimed) // position lost: the process that finds the slot repairs it
	}
	if pos.slot()%cursorStep == 0 {
		k.advance(&k.w.tail, pos)
		k.fetchAhead(pos, free)
	}
	if crash.Enabled {
		crash.At(crash.QueuePutHelped) // the same
	}
	return word, pos, nil
}

// publish publishes the message in a claimed slot.
func (k *queueCore[T]) publish(word *atomic.Uint64, pos position) error {
	if crash.Enabled {
		crash.At(crash.QueuePutCopied) // position lost: not published
	}
	fence.Publish64(word, uint64(ownedAt(pos.lap(), ready, k.me)))
	if crash.Enabled {
		crash.At(crash.QueuePutReady) // delivered; the death wakes the getters
	}
	fence.Publish64(&k.puts, uint64(pos.next(k.slots.count)))
	k.w.items.Notify()
	return k.unlessClosed(nil)
}

// claimFreeSlow walks from pos to the first position that no process has claimed, and claims its
// slot for writing.
func (k *queueCore[T]) claimFreeSlow(pos position) (*atomic.Uint64, position, error) {
	if k.w.flags.Load()&queueShut != 0 {
		return nil, 0, k.unlessClosed(ErrShutdown) // a claim would have to be undone: see unclaim
	}
	atCursor := false // whether the walk has been restarted from the shared cursor
	skips := 0        // how many slots may be skipped: one beyond them was free
	for w := (walk{most: k.mostSteps}); w.next(); {
		word := k.slots.slotWord(pos.slot())
		s := state(word.Load())
		switch b := s.behind(pos.lap()); {
		case b == 0 && s.is() == free:
			if word.CompareAndSwap(uint64(s), uint64(ownedAt(pos.lap(), writing, k.me))) {
				return word, pos, nil
			}
			w.progress()
		case b <= 0: // claimed
			pos = k.goOn(&w, pos, s, &k.w.tail, b == 0)
		case k.abandoned(s):
			k.repair(word, s)
		case b == 1 && s.kept() && k.maySkip(pos, &skips):
			if word.CompareAndSwap(uint64(s), uint64(s.inLap(pos.lap()))) && crash.Enabled {
				crash.At(crash.QueuePutSkipped) // the position is given up
			}
		case !atCursor:
			// The slot is in an earlier lap, so the queue is full, unless pos is a hint from so
			// many laps ago that laps can't be compared any more.
			pos, atCursor = k.positionOf(k.w.tail.Load()), true
		default:
			k.table.Watch(k.table.Epoch().Load()) // a process that only polls learns of deaths, too
			return nil, 0, k.unlessClosed(ErrFull)
		}
	}
	return nil, 0, k.unlessClosed(fmt.Errorf("%w: no position is free", ErrCorrupt))
}

// maySkip reports whether a putter may skip the slot of pos. It looks again after it has skipped as
// many slots as there were up to the free one: by then that may be in use, and all slots leased.
func (k *queueCore[T]) maySkip(pos position, skips *int) bool {
	if *skips == 0 {
		*skips = k.freeBeyond(pos)
	}
	if *skips == 0 {
		return false
	}
	*skips--
	return true
}

// freeBeyond returns how far after pos the next slot is that is not leased or returned, if that is
// free, or can be repaired. Otherwise it returns 0, and a putter skips nothing: a queue that is full
// stays as it is.
func (k *queueCore[T]) freeBeyond(pos position) int {
	for i := range int(k.slots.count) - 1 {
		pos = pos.next(k.slots.count)
		s := state(k.slots.slotWord(pos.slot()).Load())
		switch b := s.behind(pos.lap()); {
		case b == 0 && s.is() == free, b > 0 && k.abandoned(s):
			return i + 1
		case b > 0 && !s.kept():
			return 0
		}
	}
	return 0
}

// unlessClosed returns err, or ErrClosed if this process has closed the segment: then err may come
// from memory that is not the shared memory any more.
func (k *queueCore[T]) unlessClosed(err error) error {
	if k.room.Closed() {
		return ErrClosed
	}
	return err
}

// abandoned reports whether a dead putter was writing there.
func (k *queueCore[T]) abandoned(s state) bool { return s.begun() && k.table.Dead(s.owner()) }

// repair gives up the position, or the span of positions, at which a dead putter was writing.
func (k *queueCore[T]) repair(word *atomic.Uint64, s state) {
	if s.spans() && !k.undoSpan(word, s) {
		return
	}
	if word.CompareAndSwap(uint64(s), uint64(freeAt(s.lap()+1))) {
		k.o.Counters().Repaired()
		k.freed()
	}
}

// unclaim gives up a position that was claimed after the shutdown.
func (k *queueCore[T]) unclaim(word *atomic.Uint64, pos position) {
	word.Store(uint64(freeAt(pos.lap() + 1)))
	k.freed()
}

// freed wakes the goroutines that wait for a slot to become free. release repeats its code.
func (k *queueCore[T]) freed() {
	k.w.space.Notify()
	if f := k.w.flags.Load(); f != 0 {
		k.freedLast(f)
	}
}

// freedLast wakes the goroutines that wait until no slot holds a message, if that is so.
func (k *queueCore[T]) freedLast(flags uint32) {
	if flags&queueShut != 0 {
		k.w.items.NotifyAll() // these getters wait until no process has a message
	}
	if flags&queueJoined != 0 {
		k.fence.Add(1) // [JOIN] between the slot that was freed and the others
		if k.drained() {
			k.w.done.NotifyAll()
		}
	}
}

// goOn returns the position at which walk w goes on that has found pos claimed, with its slot in the state
// s: the one past that, or the cursor if that has overtaken the walk. near says that it was claimed in its
// own lap. goOn moves the cursor as the claim of pos does, since nobody claims a position that is given up:
// without that, a lease of a slot at which cursors move would hold them back.
func (k *queueCore[T]) goOn(w *walk, pos position, s state, cursor *atomic.Uint64, near bool) position {
	w.sees(cursor.Load())
	if pos.slot()%cursorStep == 0 && pos.after(k.positionOf(w.cursor)) {
		k.advance(cursor, pos)
		w.cursor = cursor.Load()
	}
	next := pos.past(s, k.slots.count)
	w.sees(cursor.Load())
	if c := k.positionOf(w.cursor); c.after(next) {
		w.progress()
		return c
	}
	if near {
		w.nearAt(pos)
	}
	return next
}

// advance moves a cursor up to pos.
func (k *queueCore[T]) advance(cursor *atomic.Uint64, pos position) {
	for {
		c := cursor.Load()
		if !pos.after(k.positionOf(c)) || cursor.CompareAndSwap(c, uint64(pos)) {
			return
		}
	}
}

// get takes the oldest message into *v. It fails with ErrEmpty, ErrBusy, ErrShutdown, ErrClosed or
// ErrCorrupt.
func (k *queueCore[T]) get(v *T) error {
	word, lap, err := k.claimReady(k.takes)
	if err != nil {
		return err
	}
	*v = *k.slots.message(word)
	return k.release(word, lap)
}

// claimReady claims the oldest message: as is reading or leased.
func (k *queueCore[T]) claimReady(as state) (word *atomic.Uint64, lap uint32, err error) {
	pos := position(k.gets.Load())
	word = k.slots.slotWord(pos.slot())
	if s := state(word.Load()); s.lap() != pos.lap() || s.is() != ready || k.w.front.Load() != 0 && k.mayTakeBack() ||
		!word.CompareAndSwap(uint64(s), uint64(ownedAt(pos.lap(), as, k.me))) {
		var inOrder bool
		if word, pos, inOrder, err = k.claimReadySlow(pos, as); !inOrder {
			return word, pos.lap(), err
		}
	}
	if crash.Enabled {
		crash.At(crash.QueueGetClaimed) // the message is that of a dead getter: delivered again
	}
	if pos.slot()%cursorStep == 0 {
		k.advance(&k.w.head, pos)
		k.fetchAhead(pos, ready)
	}
	fence.Publish64(&k.gets, uint64(pos.next(k.slots.count)))
	if crash.Enabled {
		crash.At(crash.QueueGetHelped) // the same
	}
	return word, pos.lap(), nil
}

// release gives back the slot of a message that was copied out. If the queue is joinable, the slot
// is kept until TaskDone.
func (k *queueCore[T]) release(word *atomic.Uint64, lap uint32) error {
	if k.takes != reading {
		return k.keep(word)
	}
	if crash.Enabled {
		crash.At(crash.QueueGetCopied) // the message is that of a dead getter: delivered again
	}
	fence.Publish64(word, uint64(freeAt(lap+1)))
	if crash.Enabled {
		crash.At(crash.QueueGetFreed) // the one message that may be lost; the death wakes the putters
	}
	k.w.space.Notify()
	if f := k.w.flags.Load(); f != 0 {
		k.freedLast(f)
	}
	return k.unlessClosed(nil)
}

// fetchAhead has the processor fetch the slots that follow the next cursorStep ones after pos, if the
// last of them is in that state of its lap. Otherwise a peer may be using them.
func (k *queueCore[T]) fetchAhead(pos position, is state) {
	if k.slots.stride <= mostFetched && k.slots.count >= 4*cursorStep {
		k.slots.fetch(pos.plus(cursorStep, k.slots.count), cursorStep, is)
	}
}

// mostFetched is the size of the largest slots that are fetched ahead. In larger ones the processor
// sees by itself what comes next.
const mostFetched = 256

// fetchNext has the processor fetch the slot of this process's next message, for a getter that has
// something else to do before it claims that. A getter that has caught up with the putters must not do
// it: it would take the slot from the putter that is about to write there.
func (k *queueCore[T]) fetchNext() {
	if pos := position(k.gets.Load()); k.count(pos)-k.pacer.caught.Load() > streamRun {
		k.slots.fetchOne(pos.slot())
	}
}

// count returns how many positions precede pos, as far as laps can tell.
func (k *queueCore[T]) count(pos position) uint64 {
	return uint64(pos.lap())*uint64(k.slots.count) + uint64(pos.slot())
}

// claimReadySlow claims a message that came back, or walks from pos to the first message that no
// process has claimed, and claims its slot. A message that came back is not inOrder: the cursors
// stay where they are, since its slot may be in a lap that this process has not reached.
func (k *queueCore[T]) claimReadySlow(pos position, as state) (word *atomic.Uint64, at position, inOrder bool, err error) {
	front, epoch := k.w.front.Load(), k.table.Epoch().Load()
	if front != 0 {
		if word, at := k.takeBack(as); word != nil {
			return word, at, false, nil
		}
	}
	atCursor := false // as in claimFreeSlow
	for w := (walk{most: k.mostSteps}); w.next(); {
		word := k.slots.slotWord(pos.slot())
		s := state(word.Load())
		b := s.behind(pos.lap())
		switch {
		case b == 0 && s.is() == ready:
			if word.CompareAndSwap(uint64(s), uint64(ownedAt(pos.lap(), as, k.me))) {
				return word, pos, true, nil
			}
			w.progress()
		case b < 0, b == 0 && s.taken(): // claimed, or given up
			pos = k.goOn(&w, pos, s, &k.w.head, b == 0)
		case b == 0 && k.abandoned(s):
			k.repair(word, s)
		case !atCursor:
			pos, atCursor = k.positionOf(k.w.head.Load()), true
		default:
			// Messages that a dead getter held lie behind the head. They are delivered before the
			// queue is reported empty.
			if word, at := k.takeBack(as); word != nil {
				return word, at, false, nil
			}
			busy := b == 0 && s.begun() && k.readyBeyond(pos)
			if f, e := k.w.front.Load(), k.table.Epoch().Load(); f != front || e != epoch || state(word.Load()) != s {
				// A message came back, or the slot's state has changed. Other getters may have taken
				// what was there, so there need not have been a moment at which the queue was empty.
				front, epoch = f, e
				w.progress()
				continue
			}
			if busy {
				return nil, 0, false, k.unlessClosed(ErrBusy)
			}
			return nil, 0, false, k.unlessClosed(k.nothing())
		}
	}
	return nil, 0, false, k.unlessClosed(fmt.Errorf("%w: no position holds a message or is free", ErrCorrupt))
}

// nothing returns the error of a walk that has found an empty queue: ErrEmpty or ErrShutdown. The
// walk has ended at the first position that is not claimed for reading. Its slot is free, or being
// written with no message ready beyond it, or still held by a getter of the lap before.
func (k *queueCore[T]) nothing() error {
	// A getter that frees a slot wakes the getters that wait for messages only if it sees the
	// shutdown. So a getter that waits for the last slot checks again after a fence of its own.
	if k.w.flags.Load()&queueShut != 0 && (k.drained() || fence.Heavy() && k.drained()) {
		return ErrShutdown
	}
	return ErrEmpty
}

// mayTakeBack reports whether a message may have come back since this process looked last: one was
// returned, or a party that held one is dead now.
func (k *queueCore[T]) mayTakeBack() bool {
	return k.w.front.Load() != k.seenFront.Load() || k.table.Epoch().Load()+1 != k.seenEpoch.Load()
}

// takeBack claims a message that came back, if there may be one. It returns nil if there is none.
func (k *queueCore[T]) takeBack(as state) (*atomic.Uint64, position) {
	front, epoch := k.w.front.Load(), k.table.Epoch().Load()
	k.table.Watch(epoch) // a process that never waits learns of deaths, too
	if front == k.seenFront.Load() && epoch+1 == k.seenEpoch.Load() {
		return nil, 0
	}
	if word, pos := k.adopt(as); word != nil {
		return word, pos // there may be more: the next call looks again
	}
	k.seenFront.Store(front)
	k.seenEpoch.Store(epoch + 1)
	return nil, 0
}

// adopt claims a message that was returned, or that a dead party held. It returns nil if there is
// none.
func (k *queueCore[T]) adopt(as state) (*atomic.Uint64, position) {
	for i := range k.slots.count {
		word := k.slots.slotWord(i)
		for {
			s := state(word.Load())
			if !k.cameBack(s) {
				break
			}
			if s.spans() && !k.undoSpan(word, s) {
				continue
			}
			if !word.CompareAndSwap(uint64(s), uint64(ownedAt(s.lap(), as, k.me))) {
				continue // another getter has taken it, or a putter has moved its lap on
			}
			if crash.Enabled {
				crash.At(crash.QueueGetAdopted) // the message is that of a dead getter: delivered again
			}
			if s.is() != returned {
				k.o.Counters().Repaired()
			}
			return word, positionAt(s.lap(), i)
		}
	}
	return nil, 0
}

// cameBack reports whether the message of a slot was returned, or its getter is dead.
func (k *queueCore[T]) cameBack(s state) bool {
	return s.is() == returned || s.taken() && k.table.Dead(s.owner())
}

// readyBeyond reports whether a message is ready at a position after pos.
func (k *queueCore[T]) readyBeyond(pos position) bool {
	s := state(k.slots.slotWord(pos.slot()).Load())
	for range k.slots.count {
		pos = pos.past(s, k.slots.count)
		s = state(k.slots.slotWord(pos.slot()).Load())
		switch b := s.behind(pos.lap()); {
		case b == 0 && s.is() == ready:
			return true
		case b > 0, b == 0 && s.is() == free:
			return false
		}
	}
	return false
}

// drained reports whether no slot holds a message, or may come to hold one. A slot that is being
// read or leased may hold one, since its getter may die. After the shutdown the result stays true: a
// putter that claims a slot later sees the shutdown and gives the slot up.
func (k *queueCore[T]) drained() bool {
	for i := range k.slots.count {
		s := state(k.slots.slotWord(i).Load())
		if s.is() != free && !k.abandoned(s) {
			return false
		}
	}
	return true
}

// idle reports whether there was a moment during the call at which drained held. Between the loads of
// two slots a message may move on: a getter may put what follows from its message into the one, and
// then be done with the message in the other. So idle looks twice. A slot that is used goes to a
// later lap, so a sum of laps that is the same means that no slot was used in between.
func (k *queueCore[T]) idle() bool {
	for before, first := uint64(0), true; ; first = false {
		laps := uint64(0)
		for i := range k.slots.count {
			word := k.slots.slotWord(i)
			s := state(word.Load())
			if k.abandoned(s) {
				k.repair(word, s)
				s = state(word.Load())
			}
			if s.is() != free {
				return false
			}
			laps += uint64(s.lap())
		}
		if !first && laps == before {
			return true
		}
		before = laps
	}
}

// length returns the number of messages that are ready or came back.
// It gives up the positions of dead putters.
func (k *queueCore[T]) length() int {
	n := 0
	for i := uint32(0); i < k.slots.count; i++ {
		word := k.slots.slotWord(i)
		switch s := state(word.Load()); {
		case s.is() == ready, k.cameBack(s):
			n++
		case k.abandoned(s):
			k.repair(word, s)
		case s.spans(): // its owner lives, whatever the states of the others are
			i += spanFrom(i, k.slots.count) - 1
		}
	}
	return n
}

// getRetrying is get that retries for a moment while it fails with ErrBusy.
func (k *queueCore[T]) getRetrying(v *T) error {
	err := k.get(v)
	for i := 0; err == ErrBusy && i < busySpins; i++ {
		cpu.Pause()
		err = k.get(v)
	}
	return err
}

const busySpins = 64 // retries of getRetrying
