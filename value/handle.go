package value

import (
	"encoding"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// handle is what lets values stand in arguments and messages.
type handle[C any, P object.Core[C]] struct {
	ref object.Ref[C, P]
}

type marshaler interface {
	encoding.TextMarshaler
	encoding.TextUnmarshaler
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

var _ marshaler = (*Int64)(nil)

// use returns the core for a method.
func (h *handle[C, P]) use(method string) *C {
	c := h.ref.Load()
	if c == nil {
		panic(closed(method))
	}
	return c
}

// Handle returns the value's handle, the zero Handle if it is closed.
func (h *handle[C, P]) Handle() shm.Handle { return h.ref.Handle() }

// MarshalText encodes the value's handle.
func (h *handle[C, P]) MarshalText() ([]byte, error) { return h.Handle().MarshalText() }

// UnmarshalText opens the value of an encoded handle. It fails as
// shm.OpenHandle does.
func (h *handle[C, P]) UnmarshalText(text []byte) error { return h.ref.UnmarshalText(text) }

// MarshalBinary is MarshalText.
func (h *handle[C, P]) MarshalBinary() ([]byte, error) { return h.MarshalText() }

// UnmarshalBinary is UnmarshalText.
func (h *handle[C, P]) UnmarshalBinary(data []byte) error { return h.UnmarshalText(data) }

// Close ends the use of the value through this handle: later calls fail or
// panic with ErrClosed, and so do those that wait. The value stays for others.
// Closing twice is fine.
func (h *handle[C, P]) Close() error { return h.ref.Close() }
