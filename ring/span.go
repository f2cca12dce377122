package ring

import (
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// A span is a run of slots that is claimed by one CAS: those from some slot up to the next multiple of
// spanStep, or up to the end of the ring. Its first slot says that the span is claimed. The others keep
// their states until the owner is done:
//
//	put: 1  load  all slots are free(L)
//	     2  CAS   first: free(L) -> writingSpan(L, me)
//	     3        the messages are copied in
//	     4        the others, then first: ready(L)
//	get: 1  load  all slots are ready(L)
//	     2  CAS   first: ready(L) -> readingSpan(L, me)
//	     3        the messages are copied out
//	     4        the others, then first: free(L+1)
//
// A process comes to a position only past those before it, which have all been claimed. So from 1 to 2
// no process can claim another slot of the span without having claimed the first one, and then the CAS
// fails. A process that comes to the first slot later passes the whole span. And as the first slot
// changes last, nobody comes to the others before all of them have changed.
//
// If the owner is dead, the process that finds its first slot undoes the claim of the others, and then
// treats the first one as it does a slot that was claimed alone. The positions of a writer are given
// up. The messages that a reader has not given back become returned(L), and front moves, so that the next
// getters take them: a queue may never run empty.
const spanStep = cursorStep

// spanFrom returns how many slots the span has that begins at that slot of a ring.
func spanFrom(slot, slots uint32) uint32 { return min(spanStep-slot%spanStep, slots-slot) }

// past returns the position after p and, if its slot's state s says so, after the span that begins
// there.
func (p position) past(s state, slots uint32) position {
	if s.spans() && s.lap() == p.lap() {
		return p.plus(spanFrom(p.slot(), slots), slots)
	}
	return p.next(slots)
}

// claimSpan claims the span that begins at pos, if all its slots are in the state from of their lap, and
// there are at most n. It returns how many there are, or 0.
func (k *queueCore[T]) claimSpan(pos position, n int, from, to state) int {
	size := spanFrom(pos.slot(), k.slots.count)
	if size > 1 && int(size) <= n && k.slots.all(pos.slot()+1, size-1, ownedAt(pos.lap(), from, 0)) && k.claim(pos, from, to) {
		return int(size)
	}
	return 0
}

// endRun ends the claims of the n slots from pos on: each changes to the state to, with its lap moved on by
// laps. It passes the crash point at after each slot. It returns the position after them.
func (k *queueCore[T]) endRun(pos position, n int, laps uint32, to state, at crash.Point) position {
	for n > 0 {
		size := 1
		if state(k.slots.slotWord(pos.slot()).Load()).spans() {
			size = min(int(spanFrom(pos.slot(), k.slots.count)), n) // more than n only if a peer has destroyed the state
		}
		k.end(pos, size, to|freeAt(pos.lap()+laps), at)
		pos = pos.plus(uint32(size), k.slots.count)
		n -= size
	}
	return pos
}

// end changes to s the states of the slots from pos on that this process has claimed together, the first
// one last.
func (k *queueCore[T]) end(pos position, size int, s state, at crash.Point) {
	first := k.slots.slotWord(pos.slot())
	for i, word := 1, first; i < size; i++ {
		word = k.slots.after(word)
		fence.Put64(word, uint64(s)) // the last store publishes this one, too
		if crash.Enabled {
			crash.At(at)
		}
	}
	fence.Publish64(first, uint64(s))
	if crash.Enabled {
		crash.At(at)
	}
}

// undoSpan undoes the claim of a span whose owner is dead, for all slots but the first one, which is in
// the state s. It returns false if s has changed.
func (k *queueCore[T]) undoSpan(first *atomic.Uint64, s state) bool {
	if state(first.Load()) != s {
		return false // its owner had ended the claim before it died, or another process has undone it
	}
	slot := k.slots.indexOf(first)
	for i := spanFrom(slot, k.slots.count) - 1; i > 0; i-- {
		word := k.slots.slotWord(slot + i)
		t := state(word.Load())
		if t.lap() != s.lap() || t.is() != ready && (t.is() != free || s.is() != writingSpan) {
			continue
		}
		to := freeAt(t.lap() + 1)
		if s.is() == readingSpan {
			to = ownedAt(t.lap(), returned, 0)
		}
		if word.CompareAndSwap(uint64(t), uint64(to)) && crash.Enabled {
			crash.At(crash.QueueSpanUndone) // the next process that finds the first slot goes on
		}
	}
	if s.is() == readingSpan {
		k.w.front.Add(oneReturn)
	}
	return true
}
