package ring

import (
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// A batch is put or got in runs of consecutive slots. For each run a process claims all slots, each
// by a CAS as in put 1 or get 1, copies all messages, and then stores all new states, in order. So
// the processor can fetch the next lines while it copies, and cursors, hints and gates are used once
// for a run. What becomes of each message if the process is killed is as for put and get: messages
// are published in order, so a batch that is cut short is a prefix of it.

// maxRun is the largest number of slots in a run.
const maxRun = 64

// putRun puts some of vs, at least one, and returns how many. It fails as put does.
func (k *queueCore[T]) putRun(vs []T) (int, error) {
	_, pos, err := k.claimFree()
	if err != nil {
		return 0, err
	}
	vs = vs[:k.claimRun(pos, min(len(vs), maxRun))]
	at := pos
	for i := range vs {
		*k.slots.message(k.slots.slotWord(at.slot())) = vs[i]
		at = at.next(k.slots.count)
	}
	return len(vs), k.publishRun(pos, len(vs))
}

// publishRun publishes the messages of n slots from pos on, which this process has claimed.
func (k *queueCore[T]) publishRun(pos position, n int) error {
	if crash.Enabled {
		crash.At(crash.QueuePutCopied)
	}
	at := pos
	for range n {
		fence.Publish64(k.slots.slotWord(at.slot()), uint64(ownedAt(at.lap(), ready, k.me)))
		if crash.Enabled {
			crash.At(crash.QueuePutReady)
		}
		at = at.next(k.slots.count)
	}
	fence.Publish64(&k.puts, uint64(at))
	k.w.items.Notify()
	return k.unlessClosed(nil)
}

// claimRun claims for writing the slots after the one at pos, which this process has claimed, as far
// as they are free, so that n are claimed in all. It returns how many are.
func (k *queueCore[T]) claimRun(pos position, n int) int {
	k.slots.fetch(pos, n, free)
	at, run := pos, 1
	for ; run < n; run++ {
		next := at.next(k.slots.count)
		word, want := k.slots.slotWord(next.slot()), uint64(freeAt(next.lap()))
		if word.Load() != want || !word.CompareAndSwap(want, uint64(ownedAt(next.lap(), writing, k.me))) {
			break
		}
		if crash.Enabled {
			crash.At(crash.QueuePutClaimed)
		}
		at = next
	}
	if run == 1 {
		return 1
	}
	if k.w.flags.Load()&queueShut != 0 {
		for at := pos; run > 1; run-- {
			at = at.next(k.slots.count)
			k.unclaim(k.slots.slotWord(at.slot()), at)
		}
		return 1 // claimed before the shutdown
	}
	k.advance(&k.w.tail, at)
	return run
}

// getRun gets messages into vs, at least one, and returns how many. It fails as get does.
func (k *queueCore[T]) getRun(vs []T) (int, error) {
	pos, n, err := k.claimReadyRun(len(vs))
	if err != nil {
		return 0, err
	}
	vs = vs[:n]
	at := pos
	for i := range vs {
		vs[i] = *k.slots.message(k.slots.slotWord(at.slot()))
		at = at.next(k.slots.count)
	}
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
	at, run := pos, 1
	for ; run < n; run++ {
		next := at.next(k.slots.count)
		word := k.slots.slotWord(next.slot())
		s := state(word.Load())
		if s.lap() != next.lap() || s.is() != ready || !word.CompareAndSwap(uint64(s), uint64(ownedAt(next.lap(), k.takes, k.me))) {
			break
		}
		if crash.Enabled {
			crash.At(crash.QueueGetClaimed)
		}
		at = next
	}
	if run > 1 {
		k.advance(&k.w.head, at)
		fence.Publish64(&k.gets, uint64(at.next(k.slots.count)))
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
	for range n {
		fence.Publish64(k.slots.slotWord(pos.slot()), uint64(freeAt(pos.lap()+1)))
		if crash.Enabled {
			crash.At(crash.QueueGetFreed)
		}
		pos = pos.next(k.slots.count)
	}
	k.w.space.Notify()
	if f := k.w.flags.Load(); f != 0 {
		k.freedLast(f)
	}
	return k.unlessClosed(nil)
}
