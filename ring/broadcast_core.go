package ring

import (
	"fmt"
	"math/bits"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/tear"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// broadcastWords is a broadcast in shared memory. The subscribers' lines and the slots follow it.
//
//	0     count    number of slots, a power of two; written when the broadcast is made
//	4     lines    number of subscribers' lines; the same
//	8     lossy    not 0: no subscriber holds a publisher back; the same
//	12    shut     not 0: shut down
//	16    used     no subscriber's line from this index on was ever used
//	128   tail     where to look for the next slot to write; written by publishers
//	256   items    gate of the subscribers that wait for a message
//	264   space    gate of the publishers that wait for a slot
//	272   oldest   no message before it is left; 0 unless the values are encoded
//	384   lines    each 128 bytes: see subscriberLine
//	      slots    each a state word and the message, rounded up to 8 bytes
//	      storage  if the values are encoded, for messages that are longer than a slot
//
// Messages have sequence numbers, which count from 0. Message s lies in slot s modulo count, in
// lap s / count. As in a queue, a publisher claims a slot by a CAS of the slot's own word, which
// names the owner, and the tail is a hint that follows: every message before it has been claimed.
// Laps have 31 bits there and are compared by the shorter way round (see state); sequence numbers
// have 64 bits and do not wrap around in practice.
//
// A lossless subscriber has a line in shared memory that names its process and the next message
// that it will receive, its cursor. No publisher claims message s before each lossless subscriber
// has received message s-count. A lossy subscriber has nothing in shared memory. All subscribers
// detect by the slot's word that a message was overwritten while they copied it, as readers of a
// seqlock do.
//
// For message s, the slot's word in lap L:
//
//	publish:   1       s is below the limit: the least cursor of a lossless subscriber, plus count.
//	                   The limit is cached. The cursors are read again only when it is reached
//	           2  CAS  free(L) or ready(L-1) -> writing(L, me)   the message is claimed
//	           3       tail moves, at times
//	           4       the message is copied in
//	           5       ready(L, me)                              the message is there
//	           6       wake all subscribers
//	receive:   1       the word is ready(L)
//	           2       the message is copied out
//	           3       the word is unchanged, so the copy is whole
//	           4       lossless: the cursor moves to s+1
//	           5       lossless: wake a publisher
//	subscribe: 1  CAS  owner of a free line: 0 -> me             from here publishers heed the cursor
//	           2       used covers the line
//	           3       find the end: the first message that no publisher has claimed
//	           4       the cursor moves to the end, or to the oldest message
//	           5       wake a publisher
//	leave:     1       owner of the line: me -> 0
//	           2       wake all publishers
//
// Killed there, and stopped there:
//
//	publish 2-4    A process that finds writing(L) with a dead owner changes it to free(L+1): the
//	               message is given up and subscribers skip it. A stopped owner holds back all
//	               subscribers at this message, and all publishers one lap later.
//	publish 5      The message is there, although Publish did not return. The death wakes the
//	               subscribers. If the owner is stopped, sleeping subscribers find the message
//	               when their slice of sleep ends (see wait.Room.Await).
//	receive 1-3    Nothing has changed in shared memory.
//	receive 4-5    As before, or the cursor has moved. The line of a dead owner counts as free, and
//	               the death wakes the publishers. A stopped lossless subscriber holds publishers
//	               back when the slots are full; a lossy one is overtaken.
//	subscribe 1-4  The cursor is that of the line's former owner, or 0. It is not after the end, so
//	               it may hold publishers back but lets none overtake the new owner. Dead, stopped:
//	               as in receive.
//	leave 1        The death wakes the publishers. If it is stopped, their slice of sleep ends.
//
// Why a cached limit stays valid when a subscriber joins [JOIN]: a publisher that computes a limit
// for message s has seen that all messages before s are claimed. It then reads the lines. If it
// does not see the new owner (subscribe 1), the subscriber looks for the end (subscribe 3) later
// and finds those messages claimed. So the subscriber's first guaranteed message is s or later, and
// the limit is at most s+count. Without a fence between subscribe 1 and 3, and between publish 2
// and the reading of the lines, both could miss each other; both have one, since both are CASes.
//
// If the values are encoded, a slot has a parcel, and messages that are longer than that lie in the
// blocks of a storage. A message stays in its slot until the slot is claimed again, and so do its
// blocks. If a publisher finds too few free blocks, it makes the oldest messages give way [EVICT]:
//
//	evict:     1       find the end, and the least cursor of a lossless subscriber
//	           2  CAS  oldest moves, up to that cursor at most    the messages before it are gone
//	           3       their blocks are freed
//	publish:   0       there are enough free blocks; evict if not
//	           3a      the blocks of the slot's message of the lap before are freed
//	           3b CAS  free blocks get the mark of (slot, L)
//	receive:   3       and oldest has not passed s either
//
// A block is stale if its position is over: the slot is in another lap, or given up, or the message
// is there and oldest has passed it. Any process may free a stale block (see storage). So a publisher
// that is killed or stopped at any of these steps leaves nothing but stale blocks behind, or a message
// that is given up. A publisher that is stopped while it writes keeps its blocks, even if oldest
// passes it: the others evict what comes after.
//
// A subscriber copies the blocks while others may free them and write them anew. They do so only after
// the slot's word has changed or oldest has moved, so that the look after the copy tells. It reads a
// block only if the block has the mark, and goes no more steps than the message has blocks, so that a
// list that changes under it leads nowhere.
//
// A lossless subscriber misses nothing by eviction, for the reason of [JOIN]: the end is found before
// the lines are read, so the first message of a subscriber that is not seen there is not before it.
type broadcastWords struct {
	_      structs.HostLayout
	count  atomic.Uint32
	lines  atomic.Uint32
	lossy  atomic.Uint32
	shut   atomic.Uint32
	used   atomic.Uint32
	_      [108]byte // above: changes hardly ever; below: often
	tail   atomic.Uint64
	_      [120]byte // above: written by publishers; below: when one side sleeps, or evicts
	items  wait.Gate
	space  wait.Gate
	oldest atomic.Uint64
	_      [104]byte
}

// A subscriberLine is the part of a lossless subscriber in shared memory. Only the subscriber
// writes it while its process lives.
//
//	0     owner    party ID of the subscriber's process; 0: free
//	8     next     the cursor: the next message that the subscriber will receive
//	16    pad      to 128 bytes: lines have different writers
type subscriberLine struct {
	_     structs.HostLayout
	owner atomic.Uint32
	_     [4]byte
	next  atomic.Uint64
	_     [112]byte
}

const (
	broadcastHead      = 384
	subscriberLineSize = 128
	maxSubscribers     = 1 << 16
)

// A broadcastCore is this process's part of a broadcast.
type broadcastCore[T any] struct {
	object.Base
	w     *broadcastWords
	lines []subscriberLine
	slots slots[T]
	mask  uint64
	shift uint
	step  uint64 // the tail moves at each message that is a multiple of step+1
	me    party.ID
	lossy bool

	mostSteps int // of a walk

	coding *coding[T] // nil: the values are not encoded
	store  storage    // if they are

	spin  wait.Spinner
	fails failures

	// What the publishers of this process know.
	_     [64]byte
	next  atomic.Uint64 // all messages before it have been claimed
	limit atomic.Uint64 // messages before it may be claimed
	_     [112]byte
}

// Type implements object.Core.
func (*broadcastCore[T]) Type() (shm.Kind, uint64, error) {
	f, err := formOf[T]()
	return shm.KindBroadcast, f.print, err
}

// Use implements object.Core.
func (c *broadcastCore[T]) Use(o object.Object) error {
	if err := c.Init(o, broadcastHead); err != nil {
		return err
	}
	mem := o.Bytes()
	form, err := formOf[T]()
	if err != nil {
		return err
	}
	c.w = view.At[broadcastWords](mem, 0)
	count, lines := c.w.count.Load(), c.w.lines.Load()
	head := uint64(broadcastHead) + uint64(lines)*subscriberLineSize
	stride := form.broadcastStride()
	end := head + uint64(count)*uint64(stride)
	if bits.OnesCount32(count) != 1 || count > maxSlots || lines > maxSubscribers || end > uint64(len(mem)) {
		return fmt.Errorf("%w: a broadcast of %d slots and %d subscribers in %d bytes", ErrCorrupt, count, lines, len(mem))
	}
	c.lines = view.Slice[subscriberLine](mem, broadcastHead, int(lines))
	c.slots.setStride(mem[head:], count, stride)
	c.spin.Count(o.Counters())
	c.mask, c.shift = uint64(count-1), uint(bits.TrailingZeros32(count))
	c.step = min(c.mask, cursorStep-1)
	c.mostSteps = walkOver(count)
	c.me = c.Me()
	c.lossy = c.w.lossy.Load() != 0
	c.fails.o, c.fails.a, c.fails.b = o, int(count), sizeOf[T]()
	c.fails.limit = "a subscriber has yet to receive the oldest of %d messages of %d bytes"
	if form.coding != nil {
		c.coding, c.store.torn = form.coding, true
		if err := c.store.open(o, alignStorage(int(end))); err != nil {
			return err
		}
		c.fails.b = c.store.capacity()
		c.fails.limit = "a subscriber has yet to receive the oldest of %d messages, or of %d bytes of long ones"
	}
	tail := c.w.tail.Load()
	c.next.Store(tail)
	c.limit.Store(tail)
	return nil
}

// lapOf returns the lap of message seq.
func (c *broadcastCore[T]) lapOf(seq uint64) uint32 { return uint32(seq>>c.shift) & lapMask }

// slotOf returns the state word of the slot of message seq.
func (c *broadcastCore[T]) slotOf(seq uint64) *atomic.Uint64 {
	return c.slots.slotWord(uint32(seq & c.mask))
}

// claimable reports whether a slot in state s can be claimed for a message of lap.
func claimable(s state, lap uint32) bool {
	return s == freeAt(lap) || s.is() == ready && s.lap() == (lap-1)&lapMask
}

// put publishes *v. It fails with ErrFull, ErrBusy, ErrShutdown, ErrClosed or ErrCorrupt.
//
// Publish repeats the code of put, because a copy from pointer to pointer is a call of memmove, and
// a copy from a local variable is not.
func (c *broadcastCore[T]) put(v *T) error {
	word, seq, err := c.claim()
	if err != nil {
		return err
	}
	tear.Store(c.slots.message(word), v)
	return c.publish(word, seq)
}

// claim claims the slot of the next message.
func (c *broadcastCore[T]) claim() (*atomic.Uint64, uint64, error) {
	seq := c.next.Load()
	word := c.slotOf(seq)
	lap := c.lapOf(seq)
	s := state(word.Load())
	if int64(seq-c.limit.Load()) >= 0 || !claimable(s, lap) ||
		!word.CompareAndSwap(uint64(s), uint64(ownedAt(lap, writing, c.me))) {
		var err error
		if word, seq, err = c.claimSlow(seq); err != nil {
			return nil, 0, err
		}
	}
	if c.w.shut.Load() != 0 {
		c.unclaim(word, seq)
		return nil, 0, c.Done(ErrShutdown)
	}
	if crash.Enabled {
		crash.At(crash.BroadcastClaimed)
	}
	if seq&c.step == 0 {
		c.advance(seq)
	}
	if crash.Enabled {
		crash.At(crash.BroadcastHelped)
	}
	return word, seq, nil
}

// claimSlow walks from message seq to the first one that no process has claimed, and claims it.
func (c *broadcastCore[T]) claimSlow(seq uint64) (*atomic.Uint64, uint64, error) {
	if c.w.shut.Load() != 0 {
		return nil, 0, c.Done(ErrShutdown)
	}
	for w := (walk{most: c.mostSteps}); w.next(); {
		if t := c.w.tail.Load(); int64(t-seq) > 0 {
			seq = t
			w.progress()
		}
		word := c.slotOf(seq)
		lap := c.lapOf(seq)
		s := state(word.Load())
		switch b := s.behind(lap); {
		case claimable(s, lap):
			if int64(seq-c.limit.Load()) >= 0 && !c.raiseLimit(seq) {
				c.watch()
				return nil, 0, c.Done(ErrFull)
			}
			if word.CompareAndSwap(uint64(s), uint64(ownedAt(lap, writing, c.me))) {
				return word, seq, nil
			}
			w.progress()
		case b <= 0: // claimed
			seq++
			if b == 0 {
				w.near()
			}
		case s.is() == writing && c.Table().Dead(s.owner()):
			c.giveUp(word, s)
		case s.is() == writing && b == 1:
			c.watch()
			return nil, 0, c.Done(ErrBusy)
		default: // the tail has moved on by more than half of all laps
			seq = c.w.tail.Load()
		}
	}
	return nil, 0, c.Done(fmt.Errorf("%w: no slot can be claimed", ErrCorrupt))
}

// watch makes sure that this process learns of deaths, also if it only polls.
func (c *broadcastCore[T]) watch() { c.Table().Watch(c.Table().Epoch().Load()) }

// raiseLimit reads the cursors and reports whether message seq may be claimed as far as they are
// concerned. All messages before seq have been claimed.
func (c *broadcastCore[T]) raiseLimit(seq uint64) bool {
	if c.lossy {
		c.limit.Store(seq + 1<<62)
		return true
	}
	limit := c.slowest(seq) + c.mask + 1
	c.limit.Store(limit) // each limit stays valid, so it does not matter if another goroutine stored a higher one
	return int64(seq-limit) < 0
}

// slowest returns the least cursor of a lossless subscriber, or seq if there is none before it. All
// messages before seq have been claimed.
func (c *broadcastCore[T]) slowest(seq uint64) uint64 {
	low := seq
	for i := range c.linesInUse() {
		l := &c.lines[i]
		id := party.ID(l.owner.Load()) // [JOIN] after the claims before seq
		if id == 0 {
			continue
		}
		if c.Table().Dead(id) {
			l.owner.CompareAndSwap(uint32(id), 0)
			continue
		}
		if n := l.next.Load(); int64(n-low) < 0 {
			low = n
		}
	}
	return low
}

func (c *broadcastCore[T]) linesInUse() int { return min(int(c.w.used.Load()), len(c.lines)) }

// publish publishes the message in a claimed slot.
func (c *broadcastCore[T]) publish(word *atomic.Uint64, seq uint64) error {
	if crash.Enabled {
		crash.At(crash.BroadcastCopied)
	}
	fence.Publish64(word, uint64(ownedAt(c.lapOf(seq), ready, c.me)))
	if crash.Enabled {
		crash.At(crash.BroadcastReady)
	}
	fence.Publish64(&c.next, seq+1)
	c.notify()
	return c.Done(nil)
}

// notify wakes all subscribers that wait for a message, and a publisher that may wait for the very
// slot that has just been published, and all that wait for blocks.
func (c *broadcastCore[T]) notify() {
	c.w.items.NotifyAll()
	c.w.space.Notify()
	c.notifyStorers()
}

// notifyStorers wakes all publishers that wait for blocks, or for a slot for a message in blocks.
func (c *broadcastCore[T]) notifyStorers() {
	if c.coding != nil {
		c.store.w.waiters.NotifyAll()
	}
}

// giveUp gives up the message that a dead publisher was writing.
func (c *broadcastCore[T]) giveUp(word *atomic.Uint64, s state) {
	if word.CompareAndSwap(uint64(s), uint64(freeAt(s.lap()+1))) {
		c.notify()
	}
}

// unclaim gives up a message that was claimed after the shutdown.
func (c *broadcastCore[T]) unclaim(word *atomic.Uint64, seq uint64) {
	word.Store(uint64(freeAt(c.lapOf(seq) + 1)))
	c.w.items.NotifyAll() // these subscribers wait for the publishers that still write
}

// advance moves the tail up to seq.
func (c *broadcastCore[T]) advance(seq uint64) {
	for {
		t := c.w.tail.Load()
		if int64(seq-t) <= 0 || c.w.tail.CompareAndSwap(t, seq) {
			return
		}
	}
}

// end returns the first message that no publisher has claimed.
func (c *broadcastCore[T]) end() uint64 {
	seq := c.w.tail.Load()
	for w := (walk{most: c.mostSteps}); w.next(); {
		s := state(c.slotOf(seq).Load()) // [JOIN] after the CAS of the line's owner
		b := s.behind(c.lapOf(seq))
		if b > 0 || b == 0 && s.is() == free {
			break
		}
		seq++
		if t := c.w.tail.Load(); int64(t-seq) > 0 {
			seq = t
			w.progress()
		} else if b == 0 {
			w.near()
		}
	}
	return seq
}

// putSpinning calls try for a moment, if that may pay, until an eighth of the slots can be
// written. If a publisher went on after each message that the slowest subscriber receives, it would
// load that subscriber's line each time, and slow the subscriber down.
func (c *broadcastCore[T]) putSpinning(try func() error) error {
	for range c.Room().Glances(&c.spin) {
		for range fullPauses {
			cpu.Pause()
		}
		next := c.next.Load()
		if !c.raiseLimit(next) || c.limit.Load()-next <= c.mask/8 {
			continue
		}
		if err := try(); err != ErrFull && err != ErrBusy {
			return err
		}
	}
	return ErrFull
}
