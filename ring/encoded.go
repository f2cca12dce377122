package ring

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/object"
)

// An encoded is an open queue whose values are encoded. The messages are put and got by a queue of
// envelopes. Code of the program runs only in encode and decode: while no slot is claimed, or
// where it is leased.
type encoded[T any] struct {
	inner Queue[envelope]
	store storage
	coding[T]
}

// newEncoded opens the queue o, whose values c encodes.
func newEncoded[T any](o object.Object, c *coding[T]) (*encoded[T], error) {
	k, err := newQueueCore[envelope](o)
	if err != nil {
		return nil, err
	}
	e := &encoded[T]{coding: *c}
	if err := e.store.open(o, storageAt(int(k.slots.count))); err != nil {
		return nil, err
	}
	k.fails.limit, k.fails.a, k.fails.b = "it holds %d values, and %d bytes of long ones", int(k.slots.count), e.store.capacity()
	e.inner.core.Store(k)
	return e, nil
}

// storageAt returns the offset of the storage in a queue of that capacity.
func storageAt(capacity int) int {
	return alignStorage(queueHead + capacity*strideOf[envelope]())
}

// open returns the core, or nil if the queue is closed. e may be nil.
func (e *encoded[T]) open() *queueCore[envelope] {
	if e == nil {
		return nil
	}
	return e.inner.core.Load()
}

// put is the method op, which puts *v. It does not block if ctx is tryOnce.
func (e *encoded[T]) put(ctx context.Context, op string, v *T) error {
	k := e.open()
	if k == nil {
		return closed(op)
	}
	var err error
	if e.bare() {
		err = e.putMessage(ctx, k, e.code.Bytes(v))
	} else {
		buf := buffers.Get().(*[]byte)
		defer putBuffer(buf)
		var msg []byte
		if msg, err = e.encode(buf, v); err == nil {
			err = e.putMessage(ctx, k, msg)
		}
	}
	if err != nil {
		err = k.fails.of(op, err)
	}
	runtime.KeepAlive(k)
	return err
}

// putMessage is putBytes that blocks while there is no space, unless ctx is tryOnce.
func (e *encoded[T]) putMessage(ctx context.Context, k *queueCore[envelope], msg []byte) error {
	err := e.putBytes(k, msg)
	if err == ErrFull && ctx != tryOnce {
		err = e.awaitPut(ctx, k, msg)
	}
	return err
}

// putBytes puts a message. It fails as queueCore.put does, and with ErrTooLarge or shm.ErrNoSpace.
func (e *encoded[T]) putBytes(k *queueCore[envelope], msg []byte) error {
	if len(msg) > inlineSize {
		return e.putStored(k, msg)
	}
	word, pos, err := k.claimFree()
	if err != nil {
		return err
	}
	k.slots.message(word).fill(pos, msg)
	return k.publish(word, pos)
}

// putStored is putBytes for a message that is longer than a slot.
func (e *encoded[T]) putStored(k *queueCore[envelope], msg []byte) error {
	if len(msg) > e.store.capacity() {
		return k.unlessClosed(fmt.Errorf("%w: %d bytes, the queue's storage is for %d", ErrTooLarge, len(msg), e.store.capacity()))
	}
	n := blocksFor(len(msg))
	for range storageTries {
		if k.w.flags.Load()&queueShut != 0 {
			return k.unlessClosed(ErrShutdown)
		}
		if err := e.store.room(n, e.stale(k)); err != nil {
			return k.unlessClosed(err)
		}
		word, pos, err := k.claimFree()
		if err != nil {
			return err
		}
		first, ok := e.store.take(n, markOf(pos))
		if !ok {
			e.giveUp(k, word, pos)
			continue
		}
		e.store.write(first, msg)
		k.slots.message(word).address(pos, first, len(msg))
		return k.publish(word, pos)
	}
	return k.unlessClosed(ErrFull)
}

// storageTries is how often a putter tries again after others have taken the blocks that it had found
// free.
const storageTries = 4

// giveUp gives up a position that was claimed, and for which others have taken the storage since.
// Each of them may have failed because of this process, so it wakes them.
func (e *encoded[T]) giveUp(k *queueCore[envelope], word *atomic.Uint64, pos position) {
	k.unclaim(word, pos)
	k.w.items.Notify() // a message behind the slot can be got now
	e.store.w.waiters.NotifyAll()
}

// awaitPut is putBytes after a try that failed with ErrFull. It blocks.
func (e *encoded[T]) awaitPut(ctx context.Context, k *queueCore[envelope], msg []byte) error {
	try := func() error { return e.putBytes(k, msg) }
	if len(msg) <= inlineSize {
		return e.inner.awaitPut(ctx, k, try)
	}
	return k.room.Await(ctx, &k.putSpin, e.storer(k, 64, try))
}

// stale returns a function that reports whether the position of a mark is over.
func (e *encoded[T]) stale(k *queueCore[envelope]) func(mark uint64) bool {
	return func(mark uint64) bool {
		pos := markedPosition(mark)
		if pos.slot() >= k.slots.count {
			return true
		}
		word := k.slots.slotWord(pos.slot())
		for {
			s := state(word.Load())
			switch {
			case s.is() == free:
				return true
			case k.abandoned(s):
				k.repair(word, s)
			case s.begun():
				return s.lap() != pos.lap()
			default: // the slot of a lease goes on to later laps, but the message does not
				return k.slots.message(word).birth.Load() != pos.lap()
			}
		}
	}
}

// A stored is what is left of a message after it was copied: the blocks to give back.
type stored struct {
	n     int // 0: the message was in its slot
	first uint32
	mark  uint64
}

// content copies the message of a slot that this process has claimed, to dst if it fits. It returns
// where the message lay. No more than most bytes can be in the storage.
func (e *encoded[T]) content(k *queueCore[envelope], word *atomic.Uint64, dst []byte, most int) ([]byte, stored, error) {
	m := k.slots.message(word)
	size := int(m.size)
	if size < 0 || size > inlineSize && size > most {
		return nil, stored{}, fmt.Errorf("%w: a message of %d bytes", ErrCorrupt, size)
	}
	if dst == nil || cap(dst) < size {
		dst = make([]byte, 0, size) // the value itself if it is bytes
	}
	if size <= inlineSize {
		return append(dst[:0], m.inline[:size]...), stored{}, nil
	}
	at := e.lies(k, word, size)
	msg, err := e.store.read(dst[:0], at.first, size, at.mark)
	if err != nil {
		return nil, at, err
	}
	return msg, at, nil
}

// inStorage returns how many bytes of messages can be in the storage now.
func (e *encoded[T]) inStorage() int { return len(e.store.inUse()) * blockData }

// lies returns where the message of size bytes lies whose slot this process has claimed.
func (e *encoded[T]) lies(k *queueCore[envelope], word *atomic.Uint64, size int) stored {
	if size <= inlineSize {
		return stored{}
	}
	m := k.slots.message(word)
	pos := positionAt(m.birth.Load()&lapMask, k.slots.indexOf(word))
	return stored{blocksFor(size), m.first, markOf(pos)}
}

// freed gives back the blocks of a message whose slot is free, and wakes the putters that wait for
// blocks or for slots.
func (e *encoded[T]) freed(at stored) {
	if at.n > 0 {
		e.store.give(at.first, at.n, at.mark)
	}
	e.store.w.waiters.NotifyAll()
}

// take takes the oldest message. It fails as queueCore.get does. The message is leased if lease is
// true.
func (e *encoded[T]) take(k *queueCore[envelope], lease bool, t *taken) error {
	if lease {
		return e.takeLease(k, t)
	}
	word, lap, err := k.claimReady(reading)
	if err != nil {
		return err
	}
	return e.takeClaimed(k, word, lap, t)
}

// takeClaimed takes the message of a slot that was claimed in that lap.
func (e *encoded[T]) takeClaimed(k *queueCore[envelope], word *atomic.Uint64, lap uint32, t *taken) error {
	at := e.copyOut(k, word, t)
	if err := k.release(word, lap); err != nil {
		return err
	}
	e.freed(at)
	k.fetchNext()
	return nil
}

// takeLease takes the oldest message under a lease.
func (e *encoded[T]) takeLease(k *queueCore[envelope], t *taken) error {
	word, err := k.claimLease()
	if err != nil {
		return err
	}
	e.copyOut(k, word, t)
	t.word = word
	return k.unlessClosed(nil)
}

// copyOut copies the message of a slot to t.
func (e *encoded[T]) copyOut(k *queueCore[envelope], word *atomic.Uint64, t *taken) (at stored) {
	dst := t.msg
	if !e.bare() {
		if t.buf == nil {
			t.buf = buffers.Get().(*[]byte)
		}
		dst = *t.buf
	}
	t.msg, at, t.err = e.content(k, word, dst, e.inStorage())
	return at
}

// get is the method op, which takes the oldest value into *v. It does not block if ctx is tryOnce.
func (e *encoded[T]) get(ctx context.Context, op string, v *T) error {
	k := e.open()
	if k == nil {
		return closed(op)
	}
	var err error
	if e.bare() && k.takes == reading {
		err = e.getBytes(ctx, k, v)
	} else {
		var t taken
		defer t.end()
		if e.bare() {
			t.msg = e.code.Room(v)
		}
		err = e.await(ctx, k, k.takes != reading, &t)
		err = e.deliver(k, &t, v, err)
	}
	if err != nil {
		err = k.fails.of(op, err)
	}
	runtime.KeepAlive(k)
	return err
}

// await is take that blocks, unless ctx is tryOnce.
func (e *encoded[T]) await(ctx context.Context, k *queueCore[envelope], lease bool, t *taken) error {
	err := e.take(k, lease, t)
	if ctx == tryOnce {
		for i := 0; err == ErrBusy && i < busySpins; i++ {
			cpu.Pause()
			err = e.take(k, lease, t)
		}
		return err
	}
	if err == ErrEmpty || err == ErrBusy {
		err = e.sleep(ctx, k, lease, t)
	}
	return err
}

// sleep is await after a take that found nothing. It is a function of its own so that what escapes
// does so here.
func (e *encoded[T]) sleep(ctx context.Context, k *queueCore[envelope], lease bool, t *taken) error {
	u := &taken{msg: t.msg}
	err := e.inner.awaitGet(ctx, k, func() error { return e.take(k, lease, u) })
	*t = *u
	return err
}

// deliver decodes what was taken, after take has returned err. The message of a joinable queue
// becomes a task then. A message that can't be decoded is gone.
func (e *encoded[T]) deliver(k *queueCore[envelope], t *taken, v *T, err error) error {
	if err != nil {
		return err
	}
	if t.word == nil {
		return e.decode(t, v)
	}
	if err := e.decodeLeased(k, t, v); err != nil {
		return err
	}
	if crash.Enabled {
		crash.At(crash.QueueGetCopied)
	}
	return k.keepTask(t.word)
}

// decodeLeased decodes a message that is leased. If decoding panics, the message goes back.
func (e *encoded[T]) decodeLeased(k *queueCore[envelope], t *taken, v *T) error {
	returned := false
	defer func() {
		if !returned {
			_ = k.giveBack(t.word)
		}
	}()
	err := e.decode(t, v)
	returned = true
	if err != nil {
		_ = e.finish(k, t.word)
	}
	return err
}

// finish ends a lease: its message is gone.
func (e *encoded[T]) finish(k *queueCore[envelope], word *atomic.Uint64) error {
	at := e.lies(k, word, int(k.slots.message(word).size))
	if err := k.finish(word); err != nil {
		return err
	}
	e.freed(at)
	return nil
}

// taskDone is Queue.TaskDone.
func (e *encoded[T]) taskDone() error {
	k := e.open()
	if k == nil {
		return closed("TaskDone")
	}
	word, ok := k.tasks.first()
	err := error(ErrTooManyDone)
	if ok {
		err = e.finish(k, word)
	}
	if err != nil {
		err = k.fails.of("TaskDone", err)
	}
	runtime.KeepAlive(k)
	return err
}

// shutdown is Queue.Shutdown.
func (e *encoded[T]) shutdown() error {
	if e.open() == nil {
		return closed("Shutdown")
	}
	err := e.inner.Shutdown()
	e.store.w.waiters.NotifyAll()
	return err
}
