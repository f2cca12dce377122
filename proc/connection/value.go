package connection

import (
	"context"

	"github.com/seed-2e7ecdea/mp/internal/codec"
)

// Send sends a value of any type that ring.DefaultCodec encodes through c. The other end receives it with
// Receive. Send blocks and fails as Conn.Send does. It also fails with shm.ErrType if T can't be encoded, and with
// ring.ErrEncode if v can't: then nothing was sent. Both programs need the same version of mp and the same
// T. A string or a []byte is sent as it is.
func Send[T any](ctx context.Context, c *Conn, v T) error {
	code, err := codec.Of[T]()
	var msg []byte
	if err == nil {
		msg, err = code.AppendMarked(nil, &v)
	}
	if err != nil {
		return c.failed("send", err)
	}
	return c.Send(ctx, msg)
}

// Receive receives a value that the other end sent by Send. It blocks and fails as Conn.Receive does. It also fails
// with shm.ErrType if T can't be encoded, and then receives nothing, and with ring.ErrDecode if the message
// is not a value of type T. Then the message is gone, and the next call receives the next one.
func Receive[T any](ctx context.Context, c *Conn) (v T, err error) {
	code, err := codec.Of[T]()
	if err != nil {
		return v, c.failed("receive", err)
	}
	msg, err := c.Receive(ctx)
	if err != nil {
		return v, err
	}
	if err := code.DecodeMarked(msg, &v); err != nil {
		var none T
		return none, c.failed("receive", err)
	}
	return v, nil
}
