package ring

import (
	"context"
	"encoding"

	"github.com/seed-2e7ecdea/mp/shm"
)

// A ReadEnd is the receiving end of a simplex, which is a pipe of one direction. It has the methods
// of a Conn that receive, and they do the same. All that is said about a Conn holds for it, too.
//
// A ReadEnd must not be copied. The zero ReadEnd is closed. After Close, methods that return an
// error return ErrClosed.
type ReadEnd struct{ conn Conn }

var (
	_ encoding.TextMarshaler     = (*ReadEnd)(nil)
	_ encoding.TextUnmarshaler   = (*ReadEnd)(nil)
	_ encoding.BinaryMarshaler   = (*ReadEnd)(nil)
	_ encoding.BinaryUnmarshaler = (*ReadEnd)(nil)
)

// TryReceive receives the oldest message, if there is one, in new memory: see Conn.TryReceive.
func (r *ReadEnd) TryReceive() ([]byte, error) { return r.conn.TryReceive() }

// TryReceiveInto receives the oldest message into buf, if there is one: see Conn.TryReceiveInto.
func (r *ReadEnd) TryReceiveInto(buf []byte) (int, error) { return r.conn.TryReceiveInto(buf) }

// Receive receives the oldest message in new memory. It blocks while there is none: see
// Conn.Receive.
func (r *ReadEnd) Receive(ctx context.Context) ([]byte, error) { return r.conn.Receive(ctx) }

// ReceiveInto receives the oldest message into buf. It blocks while there is none: see
// Conn.ReceiveInto.
func (r *ReadEnd) ReceiveInto(ctx context.Context, buf []byte) (int, error) {
	return r.conn.ReceiveInto(ctx, buf)
}

// ReceiveInPlace returns the oldest message without copying it: see Conn.ReceiveInPlace.
func (r *ReadEnd) ReceiveInPlace(ctx context.Context) (Message, error) {
	return r.conn.ReceiveInPlace(ctx)
}

// Receiver acquires the receiving side for many messages: see Conn.Receiver.
func (r *ReadEnd) Receiver(ctx context.Context) (*Receiver, error) { return r.conn.Receiver(ctx) }

// Skip throws the oldest message away and returns its length: see Conn.Skip.
func (r *ReadEnd) Skip(ctx context.Context) (int, error) { return r.conn.Skip(ctx) }

// SetMaxMessage sets the length of the longest message that Receive accepts: see
// Conn.SetMaxMessage.
func (r *ReadEnd) SetMaxMessage(n int) { r.conn.SetMaxMessage(n) }

// Poll blocks until there is a message, or the end of the messages: see Conn.Poll.
func (r *ReadEnd) Poll(ctx context.Context) error { return r.conn.Poll(ctx) }

// TryPoll is like Poll but never blocks: see Conn.TryPoll.
func (r *ReadEnd) TryPoll() error { return r.conn.TryPoll() }

// Handle returns the handle of this end, or the zero Handle if r is closed.
func (r *ReadEnd) Handle() shm.Handle { return r.conn.Handle() }

// Stats is as Conn.Stats.
func (r *ReadEnd) Stats() (shm.Stats, error) { return r.conn.Stats() }

// MarshalText encodes the end's handle: see Conn.MarshalText.
func (r *ReadEnd) MarshalText() ([]byte, error) { return r.conn.MarshalText() }

// UnmarshalText decodes a handle and opens its end. It fails with shm.ErrHandle if that is not the
// receiving end of a simplex.
func (r *ReadEnd) UnmarshalText(text []byte) error { return r.conn.openText(text, simplex, B) }

// MarshalBinary is MarshalText.
func (r *ReadEnd) MarshalBinary() ([]byte, error) { return r.MarshalText() }

// UnmarshalBinary is UnmarshalText.
func (r *ReadEnd) UnmarshalBinary(data []byte) error { return r.UnmarshalText(data) }

// Close closes r: see Conn.Close.
func (r *ReadEnd) Close() error { return r.conn.Close() }
