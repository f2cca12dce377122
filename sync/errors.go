package sync

import (
	"errors"

	"github.com/seed-2e7ecdea/mp/internal/known"
	"github.com/seed-2e7ecdea/mp/internal/robust"
	"github.com/seed-2e7ecdea/mp/shm"
)

// Errors of this package. Those of making and opening objects are shm's.
var (
	// ErrHeld means that a lock is held by somebody alive.
	ErrHeld = robust.ErrHeld
	// ErrNotHeld means that this process does not hold the lock that it
	// releases.
	ErrNotHeld = robust.ErrNotHeld
	// ErrOwnerDied means that the process that held the lock died holding it:
	// what the lock guards may be half changed.
	ErrOwnerDied = robust.ErrOwnerDied
	// ErrOverRelease means that more was given back than had been taken. Nothing
	// has changed.
	ErrOverRelease = errors.New("released too often")
	// ErrNoPermit means that all permits of a semaphore are taken.
	ErrNoPermit = errors.New("no permit is free")
	// ErrBroken means that a barrier is broken: one of its parties gave up or
	// died.
	ErrBroken = errors.New("barrier is broken")
	// ErrInvalid means that a count or size can't be.
	ErrInvalid = errors.New("invalid count")
	// ErrWaiters means that as many wait for a condition as it has places for.
	ErrWaiters = errors.New("too many waiters")
	// ErrTooMany means that something would be counted beyond what its counter
	// holds. Nothing has changed.
	ErrTooMany = errors.New("too many to count")
	// ErrClosed means that this process has closed the object or its segment.
	ErrClosed = shm.ErrClosed
)

func init() {
	known.Register(
		ErrHeld, ErrNotHeld, ErrOwnerDied, ErrOverRelease, ErrNoPermit, ErrBroken, ErrInvalid, ErrWaiters, ErrTooMany,
	)
}
