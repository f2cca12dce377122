package ring

import (
	"context"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// awaitSpace blocks until attempt returns something other than ErrFull, and returns that.
func (c *Conn) awaitSpace(ctx context.Context, k *connCore, attempt func() error) error {
	return k.room.Await(ctx, &k.sendSpin, &connWaiter{c: c, k: k, attempt: attempt})
}

// awaitMessage blocks until attempt returns something other than ErrEmpty, and returns that. It
// returns io.EOF at the end of the messages.
func (c *Conn) awaitMessage(ctx context.Context, k *connCore, attempt func() error) error {
	return c.awaitFrontMessage(ctx, k, attempt, nil)
}

// awaitFrontMessage is awaitMessage of a caller that takes the message that attempt stores in *front,
// if front is not nil.
func (c *Conn) awaitFrontMessage(ctx context.Context, k *connCore, attempt func() error, front *heldRecord) error {
	return k.room.Await(ctx, &k.recvSpin, &connWaiter{c: c, k: k, in: true, attempt: attempt, front: front})
}

// A connWaiter waits until one direction of a pipe can go on.
type connWaiter struct {
	c       *Conn
	k       *connCore
	in      bool         // it waits for a message, not for space
	attempt func() error // the wait goes on while this returns ErrFull or ErrEmpty
	front   *heldRecord  // the message that attempt has found and the caller will take, if not nil
}

func (w *connWaiter) gate() *wait.Gate {
	if w.in {
		return &w.k.in.w.readable
	}
	return &w.k.out.w.writable
}

// Try implements wait.Waiter.
func (w *connWaiter) Try() (bool, error) {
	if w.c.core.Load() != w.k {
		return false, ErrClosed
	}
	err := w.attempt()
	if w.in {
		err = w.k.orEOF(err)
	}
	if err == ErrFull || err == ErrEmpty {
		return false, nil
	}
	return err == nil, err
}

// Arm implements wait.Waiter.
func (w *connWaiter) Arm() (wait.Armed, bool) { return w.gate().Arm(), true }

// Pass implements wait.Waiter. A sender always passes the wake on, because there may be more space
// than its message took. A receiver passes it on if there is another message.
func (w *connWaiter) Pass(woken, done bool) {
	if woken && (!done || !w.in || w.leavesMessage()) {
		w.gate().Pass()
	}
}

// leavesMessage reports whether there may be a message that this receiver does not take.
func (w *connWaiter) leavesMessage() bool {
	if w.front == nil {
		return w.k.in.hasMessage()
	}
	return w.front.long() || w.k.in.hasMessageAfter(*w.front)
}

// spinForMessage spins for a moment, if that may pay, until there is a message. It reports whether
// there is.
func (k *connCore) spinForMessage() bool {
	for range k.room.Glances(&k.recvSpin) {
		cpu.Pause()
		if k.in.hasMessage() {
			return true
		}
	}
	return false
}

// spinForSpace spins for a moment, if that may pay, until a good part of the ring is free. It
// reports whether a message of n bytes may fit.
//
// It does not stop as soon as the one message fits. Such a sender would look at the receiver's
// cache line for each message, and slow the receiver down.
func (k *connCore) spinForSpace(n int) bool {
	for range k.room.Glances(&k.sendSpin) {
		for range fullPauses {
			cpu.Pause()
		}
		if k.out.mostlyFree() {
			return true
		}
	}
	return k.out.mayFit(n)
}

const fullPauses = 8 // between two looks at a full ring or queue
