package ring

import (
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
)

// claimLease claims the oldest message under a lease. It fails as get does.
func (k *queueCore[T]) claimLease() (*atomic.Uint64, error) {
	if k.w.front.Load()&leasesInUse == 0 {
		k.w.front.Or(leasesInUse) // from now on getters look for messages of dead parties first
	}
	word, _, err := k.claimReady(leased)
	return word, err
}

// endLease changes the state of a slot that this party has leased, in whichever lap putters have
// moved it to. It fails with ErrClosed if this process has closed the segment, and with ErrCorrupt
// if the slot is not leased.
func (k *queueCore[T]) endLease(word *atomic.Uint64, to func(lap uint32) state) error {
	for {
		s := state(word.Load())
		if s.is() != leased || s.owner() != k.me {
			return k.unlessClosed(ErrCorrupt)
		}
		if word.CompareAndSwap(uint64(s), uint64(to(s.lap()))) {
			return nil
		}
	}
}

// finish ends a lease: its message is gone.
func (k *queueCore[T]) finish(word *atomic.Uint64) error {
	if err := k.endLease(word, func(lap uint32) state { return freeAt(lap + 1) }); err != nil {
		return err
	}
	if crash.Enabled {
		crash.At(crash.QueueLeaseDone) // the message is done; the death wakes the putters
	}
	k.freed()
	return k.unlessClosed(nil)
}

// giveBack ends a lease: its message is the next one that is taken.
func (k *queueCore[T]) giveBack(word *atomic.Uint64) error {
	if err := k.endLease(word, func(lap uint32) state { return ownedAt(lap, returned, 0) }); err != nil {
		return err
	}
	if crash.Enabled {
		crash.At(crash.QueueLeaseReturned) // the death moves the epoch, so that getters look
	}
	k.w.front.Add(oneReturn)
	if crash.Enabled {
		crash.At(crash.QueueLeaseTold) // the death wakes the getters
	}
	k.w.items.Notify()
	return k.unlessClosed(nil)
}
