package ring

import (
	"context"
	"encoding"

	"github.com/seed-2e7ecdea/mp/shm"
)

// A WriteEnd is the sending end of a simplex, which is a pipe of one direction. It has the methods
// of a Conn that send, and they do the same. All that is said about a Conn holds for it, too.
//
// A WriteEnd must not be copied. The zero WriteEnd is closed. After Close, methods that return an
// error return ErrClosed.
type WriteEnd struct{ conn Conn }

var (
	_ encoding.TextMarshaler     = (*WriteEnd)(nil)
	_ encoding.TextUnmarshaler   = (*WriteEnd)(nil)
	_ encoding.BinaryMarshaler   = (*WriteEnd)(nil)
	_ encoding.BinaryUnmarshaler = (*WriteEnd)(nil)
)

// TrySend sends a copy of msg if there is space: see Conn.TrySend.
func (w *WriteEnd) TrySend(msg []byte) error { return w.conn.TrySend(msg) }

// Send sends a copy of msg. It blocks while the pipe is full: see Conn.Send.
func (w *WriteEnd) Send(ctx context.Context, msg []byte) error { return w.conn.Send(ctx, msg) }

// Reserve finds space for a message of n bytes: see Conn.Reserve.
func (w *WriteEnd) Reserve(ctx context.Context, n int) (Reservation, error) {
	return w.conn.Reserve(ctx, n)
}

// Sender acquires the sending side for many messages: see Conn.Sender.
func (w *WriteEnd) Sender(ctx context.Context) (*Sender, error) { return w.conn.Sender(ctx) }

// Handle returns the handle of this end, or the zero Handle if w is closed.
func (w *WriteEnd) Handle() shm.Handle { return w.conn.Handle() }

// Stats is like Conn.Stats.
func (w *WriteEnd) Stats() (shm.Stats, error) { return w.conn.Stats() }

// MarshalText encodes the end's handle: see Conn.MarshalText.
func (w *WriteEnd) MarshalText() ([]byte, error) { return w.conn.MarshalText() }

// UnmarshalText decodes a handle and opens its end. It fails with shm.ErrHandle if that is not the
// sending end of a simplex.
func (w *WriteEnd) UnmarshalText(text []byte) error { return w.conn.openText(text, simplex, A) }

// MarshalBinary is MarshalText.
func (w *WriteEnd) MarshalBinary() ([]byte, error) { return w.MarshalText() }

// UnmarshalBinary is UnmarshalText.
func (w *WriteEnd) UnmarshalBinary(data []byte) error { return w.UnmarshalText(data) }

// Close closes w: see Conn.Close.
func (w *WriteEnd) Close() error { return w.conn.Close() }
