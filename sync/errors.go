package sync

import (
	"errors"
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/known"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/robust"
	"github.com/seed-2e7ecdea/mp/shm"
)

// Errors of this package. Methods return them wrapped in a sentence that names the operation and
// the object: use errors.Is. The functions that make and open objects return errors of package shm.
var (
	// ErrHeld means that a living process holds the lock.
	ErrHeld = robust.ErrHeld
	// ErrNotHeld means that the caller does not hold the lock, or the permit, that the method
	// needs.
	ErrNotHeld = robust.ErrNotHeld
	// ErrOwnerDied means that the process that held the lock died holding it. The data that the
	// lock guards may be half changed: repair it in Recover.
	ErrOwnerDied = robust.ErrOwnerDied
	// ErrOverRelease means that more was released than had been acquired. Nothing has changed.
	ErrOverRelease = errors.New("released too often")
	// ErrNoPermit means that all permits of a semaphore are taken.
	ErrNoPermit = errors.New("no permit is free: try again later")
	// ErrBroken means that a barrier is broken: a party gave up or died, an action failed, or Abort
	// was called. A Wait that Reset interrupts fails with it, too.
	ErrBroken = errors.New("the round is broken, by a party that gave up or died, by Abort or by Reset: start anew with Reset")
	// ErrInvalid means that an argument is out of range.
	ErrInvalid = errors.New("argument is out of range")
	// ErrTooManyWaiters means that the condition has as many waiters as it has room for.
	ErrTooManyWaiters = errors.New("too many waiters")
	// ErrOverflow means that a counter would exceed its maximum. Nothing has changed.
	ErrOverflow = errors.New("a count would overflow")
	// ErrClosed means that this process has closed the object or its segment. It is os.ErrClosed.
	ErrClosed = shm.ErrClosed
)

func init() {
	known.Register(
		ErrHeld, ErrNotHeld, ErrOwnerDied, ErrOverRelease, ErrNoPermit, ErrBroken, ErrInvalid, ErrTooManyWaiters, ErrOverflow,
	)
}

// tryFailed returns the error of op, a method that callers poll. The error that a poll returns
// again and again is made once, and kept in often.
func tryFailed(b *object.Base, often *object.Polled, op string, err error) error {
	if err == ErrHeld || err == ErrNoPermit {
		return often.Fail(b, op, err)
	}
	return b.Fail(op, err)
}

// called returns the error of the method op, which has called a function of its caller's that
// returned err: err as it is, or ErrClosed if the segment was closed meanwhile.
func called(b *object.Base, op string, err error) error {
	if closed := b.Done(nil); closed != nil {
		return b.Fail(op, closed)
	}
	return err
}

// as returns err, an error of another method, as the error of op.
func as(op string, err error) error {
	if e, ok := err.(*object.Error); ok {
		return &object.Error{Op: op, Kind: e.Kind, Name: e.Name, Err: e.Err}
	}
	return err
}

// must panics with err, as the error of op, if it is not nil.
func must(op string, err error) {
	if err != nil {
		panic(as(op, err))
	}
}

// ofLock returns err, an error of a condition. If err is about the condition's lock, the result
// says so.
func ofLock(err error) error {
	if err == ErrNotHeld || err == ErrOwnerDied {
		return fmt.Errorf("its lock: %w", err)
	}
	return err
}

// A reworded is a sentinel in the words of one kind of object.
type reworded struct {
	text     string
	sentinel error
}

func (e *reworded) Error() string { return e.text }
func (e *reworded) Unwrap() error { return e.sentinel }
