package sync

import (
	"encoding"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A handle is the common part of all objects of this package.
type handle[C any, P object.Core[C]] struct {
	ref object.Ref[C, P]
}

// A marshaler can be encoded, so that it can be part of arguments and messages. Every handle is
// one.
type marshaler interface {
	encoding.TextMarshaler
	encoding.TextUnmarshaler
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

// closed returns the error of the method op of a closed object.
func (*handle[C, P]) closed(op string) error {
	kind, _, _ := P(nil).Type()
	return object.Closed("psync: "+op, kind)
}

// Handle returns the object's handle, the zero Handle if it is closed.
func (h *handle[C, P]) Handle() shm.Handle { return h.ref.Handle() }

// Stats returns the statistics of the object by all processes: see shm.Stats. It does not block, and
// fails with ErrClosed.
func (h *handle[C, P]) Stats() (shm.Stats, error) { return h.ref.Stats("psync: Stats") }

// MarshalText encodes the object's handle. It fails with ErrClosed.
func (h *handle[C, P]) MarshalText() ([]byte, error) {
	x := h.Handle()
	if x == (shm.Handle{}) {
		return nil, h.closed("MarshalText")
	}
	return x.MarshalText()
}

// UnmarshalText decodes a handle from text and opens the object that it names, and attaches to its
// segment if need be. It fails as every Open function does: see package shm.
func (h *handle[C, P]) UnmarshalText(text []byte) error { return h.ref.UnmarshalText(text) }

// MarshalBinary is MarshalText.
func (h *handle[C, P]) MarshalBinary() ([]byte, error) { return h.MarshalText() }

// UnmarshalBinary is UnmarshalText.
func (h *handle[C, P]) UnmarshalBinary(data []byte) error { return h.UnmarshalText(data) }

// Close ends the use of the object through this value. Calls that wait through it, and later calls,
// return ErrClosed. Close does not release what this process holds, and other values and other
// processes can go on using the object. Close returns nil if the object is closed already.
func (h *handle[C, P]) Close() error { return h.ref.Close() }

// failed returns the error of the method op, nil if err is nil. It builds the method's full name
// only for an error.
func failed(b *object.Base, op string, err error) error {
	if err == nil {
		return nil
	}
	return b.Fail("psync: "+op, err)
}
