package manager

import (
	"context"
	"errors"
	"io"
)

// A link carries the messages of a session: a pipe in shared memory, or a connection over a socket.
type link interface {
	Send(ctx context.Context, msg []byte) error
	Receive(ctx context.Context) ([]byte, error)
	ReceiveInto(ctx context.Context, buf []byte) (int, error)
	Close() error
}

// receive receives a message into the capacity of buf, or into new memory if it is longer.
func receive(ctx context.Context, l link, buf []byte) ([]byte, error) {
	buf = buf[:cap(buf)]
	n, err := l.ReceiveInto(ctx, buf)
	switch {
	case err == nil:
		return buf[:n], nil
	case errors.Is(err, io.ErrShortBuffer):
		return l.Receive(ctx)
	}
	return nil, err
}

// kept returns b for the next message, or new memory if b is too small to serve often or too large to
// be kept.
func kept(b []byte) []byte {
	if cap(b) < minKept || cap(b) > maxKept {
		return make([]byte, 0, minKept)
	}
	return b[:0]
}

// The capacities of buffers that are kept for the next message.
const (
	minKept = 1 << 9
	maxKept = 1 << 16
)

// once is a context that is done: Send then tries once.
var once = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
