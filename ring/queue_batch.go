package ring

import (
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// A batch is put or got in runs of consecutive slots. For each run a process claims all slots, by spans
// as far as it can and else one by one as in put 1 or get 1, copies all messages, and then stores all
// new states. So the processor can fetch the next lines while it copies, and cursors, hints and gates
// are used once for a run. Slots and spans are published in order, and a span
// as a whole, so a batch of a process that is killed is cut short to a prefix of it. A getter that is killed
// loses those messages whose slots it has given back.

// maxRun is the largest number of slots in a run.
const maxRun = 64

// putRun puts some of vs, at least one, and returns how many. It fails as put does.
func (k *queueCore[T]) putRun(vs []T) (int, error) {
	_, pos, err := k.claimFree()
	if err != nil {
		return 0, err
	}
	vs = vs[:k.claimRun(pos, min(len(vs), maxRun))]
	k.slots.put(pos, vs)
	return len(vs), k.publishRun(pos, len(vs))
}

// publishRun publishes the messages of n slots from pos on, which this process has claimed.
func (k *queueCore[T]) publishRun(pos position, n int) error {
	if crash.Enabled {
		crash.At(crash.QueuePutCopied)
	}
	end := k.endRun(pos, n, 0, ownedAt(0, ready, k.me), crash.QueuePutReady)
	fence.Publish64(&k.puts, uint64(end))
	k.w.items.Notify()
	return k.unlessClosed(nil)
}

// claimRun claims for writing the slots after the one at pos, which this process has claimed, as far
// as they are free, so that n are claimed in all. It returns how many are.
func (k *queueCore[T]) claimRun(pos position, n int) int {
	k.slots.fetch(pos, n, free)
	run, end := k.extend(pos, n, free, writing, writingSpan, crash.QueuePutClaimed)
	if run == 1 {
		return 1
	}
	if k.w.flags.Load()&queueShut != 0 {
		k.endRun(pos.next(k.slots.count), run-1, 1, free, crash.QueueSlotAborted)
		k.freed()
		return 1 // claimed before the shutdown
	}
	k.advance(&k.w.tail, end)
	return run
}

// extend claims the slots after the one at pos, which this process has claimed, as far as they are in
// the state from of their lap, so that n are claimed in all: those of a span become span, or, if that is
// 0, one by one what others become, which is alone. It passes the crash point at after each claim. It
// returns how many are claimed, and the position after them.
func (k *queueCore[T]) extend(pos position, n int, from, alone, span state, at crash.Point) (int, position) {
	n = min(n, int(k.slots.count)) // more are free only if a peer destroys the states
	run, end := 1, pos.next(k.slots.count)
	spans := span != 0
	for run < n {
		size := 0
		if spans {
			size = k.claimSpan(end, n-run, from, span)
		}
		if size == 0 {
			spans = false // those that begin with the next slots have the same slot that is not in the state from
			if !k.claim(end, from, alone) {
				break
			}
			size = 1
		}
		if crash.Enabled {
			crash.At(at)
		}
		run += size
		end = end.plus(uint32(size), k.slots.count)
		spans = spans || span != 0 && end.slot()%spanStep == 0
	}
	return run, end
}

// claim claims the slot at pos, if that is in the state from of its lap. It returns false if not.
func (k *queueCore[T]) claim(pos position, from, to state) bool {
	word := k.slots.slotWord(pos.slot())
	s := state(word.Load())
	return s.lap() == pos.lap() && s.is() == from && word.CompareAndSwap(uint64(s), uint64(ownedAt(pos.lap(), to, k.me)))
}

// getRun gets messages into vs, at least one, and returns how many. It fails as get does.
func (k *queueCore[T]) getRun(vs []T) (int, error) {
	pos, n, err := k.claimReadyRun(len(vs))
	if err != nil {
		return 0, err
	}
	vs = vs[:n]
	k.slots.get(pos, vs)
	return len(vs), k.releaseRun(pos, len(vs))
}

// claimReadyRun claims the oldest messages, at least one and at most n. It returns the position of the
// first one, and how many there are.
func (k *queueCore[T]) claimReadyRun(n int) (position, int, error) {
	word, lap, err := k.claimReady(k.takes)
	if err != nil {
		return 0, 0, err
	}
	pos := positionAt(lap, k.slots.indexOf(word))
	if position(k.gets.Load()) != pos.next(k.slots.count) {
		n = 1 // the message came back, out of order, or another goroutine has gone on
	}
	return pos, k.takeRun(pos, min(n, maxRun)), nil
}

// takeRun claims the messages after the one at pos, which this process has claimed, as far as they
// are ready, so that n are claimed in all. It returns how many are.
func (k *queueCore[T]) takeRun(pos position, n int) int {
	k.slots.fetch(pos, n, ready)
	span := readingSpan
	if k.takes != reading {
		span = 0 // each slot is given back by itself
	}
	run, end := k.extend(pos, n, ready, k.takes, span, crash.QueueGetClaimed)
	if run > 1 {
		k.advance(&k.w.head, end)
		fence.Publish64(&k.gets, uint64(end))
	}
	return run
}

// releaseRun gives back the slots of n messages from pos on, which were copied out.
func (k *queueCore[T]) releaseRun(pos position, n int) error {
	if k.takes != reading {
		return k.keepRun(pos, n)
	}
	if crash.Enabled {
		crash.At(crash.QueueGetCopied)
	}
	k.endRun(pos, n, 1, free, crash.QueueGetFreed)
	k.w.space.Notify()
	if f := k.w.flags.Load(); f != 0 {
		k.freedLast(f)
	}
	return k.unlessClosed(nil)
}
