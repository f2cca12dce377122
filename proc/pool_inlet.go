package proc

import (
	"context"
	"errors"

	"github.com/seed-2e7ecdea/mp/ring"
)

// An inlet receives a worker's answers in its pool. One goroutine at a time may use it.
type inlet struct {
	conn     *ring.Conn
	receiver *ring.Receiver // nil: none is open
	buf      []byte         // a copy of the last answer: the worker can still write to its own
}

// receive returns the next answer, which is valid until the next call. It blocks and fails as
// ring.Conn.Receive does.
func (i *inlet) receive(ctx context.Context) (answer []byte, err error) {
	if i.receiver == nil {
		if i.receiver, err = i.conn.Receiver(ctx); err != nil {
			return nil, err
		}
	}
	answer, err = i.receiver.Receive(ctx)
	if err != nil {
		if errors.Is(err, ring.ErrTooLarge) {
			_ = i.receiver.Close() // it has no error
			i.receiver = nil
			return i.conn.Receive(ctx) // in pieces
		}
		return nil, err
	}
	if cap(i.buf) < len(answer) {
		i.buf = make([]byte, 2*len(answer))
	}
	return i.buf[:copy(i.buf[:cap(i.buf)], answer)], nil
}

// more reports whether receive would return an answer at once.
func (i *inlet) more() bool { return i.receiver != nil && i.receiver.Ready() }
