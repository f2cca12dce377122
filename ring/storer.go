package ring

import (
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// A storer waits until there is space for a message of any length. Storers are not alike: one that
// is woken may not find enough blocks for its message, and another may.
type storer struct {
	gate  *wait.Gate
	open  func() bool
	try   func() error // fails with ErrFull or ErrBusy if there is no space
	point crash.Point  // when it has armed

	// To look for space takes long if the storage is full and large. While the waiter spins, it does
	// so in one of every tries.
	every, tries uint
	armed        bool
}

// storer returns a waiter that calls try, which fails with ErrFull if there is no space.
func (e *encoded[T]) storer(k *queueCore[envelope], every uint, try func() error) wait.Waiter {
	return &storer{gate: &e.store.w.waiters, open: e.inner.isOpen(k), try: try, point: crash.QueuePutWaiting, every: every}
}

// Try implements wait.Waiter.
func (s *storer) Try() (bool, error) {
	if !s.open() {
		return false, ErrClosed
	}
	s.tries++
	if !s.armed && (s.tries-1)%s.every != 0 {
		return false, nil
	}
	switch err := s.try(); err {
	case ErrFull, ErrBusy:
		return false, nil
	default:
		return err == nil, err
	}
}

// Arm implements wait.Waiter.
func (s *storer) Arm() (wait.Armed, bool) {
	s.armed = true
	w := s.gate.Arm()
	if crash.Enabled {
		crash.At(s.point)
	}
	return w, true
}

// Pass implements wait.Waiter. It does nothing: a wake of these waiters is for all of them.
func (s *storer) Pass(woken, done bool) {}
