package proc

import (
	"context"
	"errors"

	"github.com/seed-2e7ecdea/mp/ring"
)

// An outlet sends a worker's messages to its pool. One goroutine at a time may use it.
type outlet struct {
	conn   *ring.Conn
	sender *ring.Sender // nil: none is open
}

// send sends msg. If quiet is true and the pool sleeps, the pool gets msg with the next message that
// is not quiet, or after wake, or when the worker dies.
func (o *outlet) send(ctx context.Context, msg []byte, quiet bool) (err error) {
	if o.sender == nil {
		if o.sender, err = o.conn.Sender(ctx); err != nil {
			return err
		}
	}
	space, err := o.sender.Reserve(ctx, len(msg))
	if err != nil {
		if errors.Is(err, ring.ErrTooLarge) {
			o.close()
			err = o.conn.Send(ctx, msg) // in pieces
		}
		return err
	}
	copy(space, msg)
	if quiet {
		return o.sender.CommitQuiet()
	}
	return o.sender.Commit()
}

// unheard reports whether the pool may sleep, and so not know of messages that were sent quietly.
func (o *outlet) unheard() bool { return o.sender != nil && o.sender.Asleep() }

// wake wakes the pool, if it sleeps.
func (o *outlet) wake() {
	if o.sender != nil {
		o.sender.Wake()
	}
}

// close gives the sending side back.
func (o *outlet) close() {
	if o.sender != nil {
		_ = o.sender.Close() // it has no error
		o.sender = nil
	}
}
