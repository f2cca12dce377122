package ring

import (
	"context"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
)

// getBytes takes the oldest value, which is a string or a []byte, into *v. It does not block if ctx is
// tryOnce.
func (e *encoded[T]) getBytes(ctx context.Context, k *queueCore[envelope], v *T) error {
	err := e.takeBytes(k, v)
	if ctx == tryOnce {
		for i := 0; err == ErrBusy && i < busySpins; i++ {
			cpu.Pause()
			err = e.takeBytes(k, v)
		}
		return err
	}
	if err == ErrEmpty || err == ErrBusy {
		err = e.awaitBytes(ctx, k, v)
	}
	return err
}

// awaitBytes is getBytes after a try that found nothing. It is a function of its own so that what
// escapes does so here.
func (e *encoded[T]) awaitBytes(ctx context.Context, k *queueCore[envelope], v *T) error {
	made := new(T)
	*made = *v // its memory may be used
	err := e.inner.awaitGet(ctx, k, func() error { return e.takeBytes(k, made) })
	*v = *made
	return err
}

// takeBytes takes the oldest message into *v. It fails as queueCore.get does. It uses the memory of *v if
// the message fits. Otherwise, if the message lies in its slot, it gives the slot back before it allocates
// memory, which takes longer than all else, and has the next slot's cache lines fetched meanwhile.
func (e *encoded[T]) takeBytes(k *queueCore[envelope], v *T) error {
	word, lap, err := k.claimReady(reading)
	if err != nil {
		return err
	}
	m := k.slots.message(word)
	size := m.size // once: other processes may write to it
	if size > inlineSize {
		return e.takeStored(k, word, lap, v)
	}
	if msg := e.code.Room(v); msg != nil && cap(msg) >= int(size) {
		msg = msg[:size]
		copy(msg, m.inline[:])
		e.code.Take(msg, v)
		return e.releaseBytes(k, word, lap)
	}
	var room [inlineSize]byte // not used for msg above, so that it does not escape
	copy(room[:size], m.inline[:])
	if err := e.releaseBytes(k, word, lap); err != nil {
		return err
	}
	e.code.Copy(room[:size], v)
	return nil
}

// releaseBytes gives back the slot of a message that was copied out.
func (e *encoded[T]) releaseBytes(k *queueCore[envelope], word *atomic.Uint64, lap uint32) error {
	if err := k.release(word, lap); err != nil {
		return err
	}
	e.store.w.waiters.NotifyAll()
	k.fetchNext()
	return nil
}

// takeStored is takeBytes for a message that is longer than its slot, which was claimed in that lap.
func (e *encoded[T]) takeStored(k *queueCore[envelope], word *atomic.Uint64, lap uint32, v *T) error {
	t := taken{msg: e.code.Room(v)}
	if err := e.takeClaimed(k, word, lap, &t); err != nil {
		return err
	}
	return e.decode(&t, v)
}
