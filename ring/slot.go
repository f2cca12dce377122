package ring

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Slot is the next free slot of a queue, reserved for a value that is written in place. Reserve
// decides the value's place in the order: the values that are put after Reserve are got after Commit
// or Abort. So getters wait while a Slot is neither committed nor aborted. If the process dies or
// closes the segment before Commit, the slot is given up.
type Slot[T any] struct {
	k    *queueCore[T] // keeps the queue's memory
	word *atomic.Uint64
	pos  position
}

// Reserve reserves the next free slot. It blocks and fails as Put does. It fails with shm.ErrType if
// the queue's values are encoded.
func (q *Queue[T]) Reserve(ctx context.Context) (Slot[T], error) {
	k := q.core.Load()
	if k == nil {
		return Slot[T]{}, q.noSlot("Reserve")
	}
	s, err := k.reserve()
	if err == ErrFull {
		err = q.awaitPut(ctx, k, func() (err error) {
			s, err = k.reserve()
			return err
		})
	}
	if err != nil {
		return Slot[T]{}, k.fails.of("Reserve", err)
	}
	return s, nil
}

// TryReserve reserves the next free slot. It never blocks. It fails as TryPut does, and with
// shm.ErrType if the queue's values are encoded.
func (q *Queue[T]) TryReserve() (Slot[T], error) {
	k := q.core.Load()
	if k == nil {
		return Slot[T]{}, q.noSlot("TryReserve")
	}
	s, err := k.reserve()
	if err != nil {
		return Slot[T]{}, k.fails.of("TryReserve", err)
	}
	return s, nil
}

// noSlot returns the error of the method op of a queue that is closed or whose values are encoded.
func (q *Queue[T]) noSlot(op string) error {
	if f := q.failures(); f != nil {
		return f.of(op, fmt.Errorf("%w: values of type %v are encoded, so they can't be written in place", shm.ErrType, reflect.TypeFor[T]()))
	}
	return closed(op)
}

// reserve claims the next free slot. It fails with ErrFull, ErrShutdown, ErrClosed or ErrCorrupt.
func (k *queueCore[T]) reserve() (Slot[T], error) {
	word, pos, err := k.claimFree()
	if err != nil {
		return Slot[T]{}, err
	}
	fence.Publish64(&k.puts, uint64(pos.next(k.slots.count)))
	return Slot[T]{k, word, pos}, k.unlessClosed(nil)
}

// Pointer returns a pointer to the value in the queue. Its contents are undefined at first. The
// pointer is valid until Commit or Abort, or until the segment is closed.
func (s *Slot[T]) Pointer() *T { return s.k.slots.message(s.word) }

// Commit puts the value, also if the queue was shut down since Reserve. It fails with
// ErrNothingReserved if Commit or Abort was called before, and with ErrClosed if this process has
// closed the segment. Then the value may or may not have been put.
func (s *Slot[T]) Commit() error {
	k := s.k
	if k == nil {
		return &object.Error{Op: "ring: Slot.Commit", Kind: shm.KindQueue, Err: ErrNothingReserved}
	}
	if crash.Enabled {
		crash.At(crash.QueuePutCopied) // position lost: not published
	}
	if !s.end(ownedAt(s.pos.lap(), ready, k.me)) {
		return k.fails.of("Slot.Commit", k.unlessClosed(ErrNothingReserved))
	}
	if crash.Enabled {
		crash.At(crash.QueuePutReady) // delivered; the death wakes the getters
	}
	k.w.items.Notify()
	err := k.fails.of("Slot.Commit", k.unlessClosed(nil))
	runtime.KeepAlive(k)
	return err
}

// Abort gives the slot up and puts nothing. After Commit or Abort it does nothing.
func (s *Slot[T]) Abort() {
	k := s.k
	if k == nil || !s.end(freeAt(s.pos.lap()+1)) {
		return
	}
	if crash.Enabled {
		crash.At(crash.QueueSlotAborted) // the death wakes the getters and the putters
	}
	k.w.items.Notify() // a message behind the slot can be got now
	k.freed()
	runtime.KeepAlive(k)
}

// end changes the state of the slot, which is reserved. It returns false if the slot is not reserved
// any more.
func (s *Slot[T]) end(to state) bool {
	return s.word.CompareAndSwap(uint64(ownedAt(s.pos.lap(), writing, s.k.me)), uint64(to))
}
