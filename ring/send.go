package ring

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/seed-2e7ecdea/mp/internal/codec"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// Send sends a value of any type that DefaultCodec encodes through c. The other end receives it
// with Receive. Send blocks and fails as Conn.Send does; it also fails with shm.ErrType if T can't
// be encoded, and with ErrEncode if v can't. An error means that v was not sent, as for Conn.Send.
//
// A Send that returned nil synchronizes before the Receive that returns its value. Typed values and
// messages of bytes may be mixed in one pipe. A string or a []byte is sent as it is: Send of a
// []byte is Conn.Send.
func Send[T any](ctx context.Context, c *Conn, v T) error {
	code, err := codec.Of[T]()
	if err != nil {
		return sendFailed(c, "Send", err)
	}
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	if *buf, err = code.AppendMarked((*buf)[:0], &v); err != nil {
		return sendFailed(c, "Send", err)
	}
	return c.Send(ctx, *buf)
}

// Receive receives a value that the other end sent by Send. It blocks and fails as Conn.Receive
// does: with io.EOF at the end of the messages. It also fails with shm.ErrType if T can't be
// encoded, and then receives nothing.
//
// If the message is not a value of type T, Receive fails with ErrDecode. Then the message is gone,
// and the next call receives the next one. For strings and []byte this does not happen: each
// message is one.
func Receive[T any](ctx context.Context, c *Conn) (v T, err error) {
	code, err := codec.Of[T]()
	if err != nil {
		return v, sendFailed(c, "Receive", err)
	}
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	msg, err := receiveInto(ctx, c, buf)
	if err != nil {
		return v, err
	}
	if err = code.DecodeMarked(msg, &v); err != nil {
		var none T
		return none, sendFailed(c, "Receive", err)
	}
	return v, nil
}

// receiveInto receives a message into *buf if that is long enough, and else into new memory.
func receiveInto(ctx context.Context, c *Conn, buf *[]byte) ([]byte, error) {
	*buf = (*buf)[:cap(*buf)]
	n, err := c.ReceiveInto(ctx, *buf)
	if errors.Is(err, io.ErrShortBuffer) {
		return c.Receive(ctx) // its memory grows as the bytes arrive, whatever length the message claims
	}
	return (*buf)[:n], err
}

// buffers keeps memory for encoded values.
var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 512)) }}

// keptBuffer is the size of the largest buffer that is kept.
const keptBuffer = 64 << 10

func putBuffer(buf *[]byte) {
	if cap(*buf) <= keptBuffer {
		buffers.Put(buf)
	}
}

// sendFailed returns the error of op of c's pipe.
func sendFailed(c *Conn, op string, err error) error {
	if k := c.core.Load(); k != nil {
		return k.fails.of(op, err)
	}
	return &object.Error{Op: "ring: " + op, Kind: shm.KindPipe, Err: err}
}
