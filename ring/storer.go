package ring

import (
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// A storer waits until there is space for a message of any length. Storers are not alike: one that
// is woken may not find enough blocks for its message, and another may.
type storer[T any] struct {
	e     *encoded[T]
	put   putter[envelope]
	every uint // while the waiter spins, one of so many tries looks for space
	armed bool
	tries uint
}

// storer returns a waiter that calls try, which fails with ErrFull if there is no space. To look for
// space takes long if the storage is full and large: while the waiter spins, it does so in one of
// every tries.
func (e *encoded[T]) storer(k *queueCore[envelope], every uint, try func() error) wait.Waiter {
	return &storer[T]{e: e, put: putter[envelope]{k, e.inner.isOpen(k), try}, every: every}
}

// Try implements wait.Waiter.
func (s *storer[T]) Try() (bool, error) {
	s.tries++
	if !s.armed && (s.tries-1)%s.every != 0 && s.put.open() {
		return false, nil
	}
	return s.put.Try()
}

// Arm implements wait.Waiter.
func (s *storer[T]) Arm() (wait.Armed, bool) {
	s.armed = true
	w := s.e.store.w.waiters.Arm()
	if crash.Enabled {
		crash.At(crash.QueuePutWaiting)
	}
	return w, true
}

// Pass implements wait.Waiter. It does nothing: a wake of these waiters is for all of them.
func (s *storer[T]) Pass(woken, done bool) {}
