package array

import (
	"encoding"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// handle is what lets arrays stand in arguments and messages.
type handle[C any, P checked[C]] struct {
	ref object.Ref[C, P]
}

type checked[C any] interface {
	object.Core[C]
	check(method string)
	guarding() *psync.Lock
	offset() int
}

type marshaler interface {
	encoding.TextMarshaler
	encoding.TextUnmarshaler
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

var _ marshaler = (*Bytes)(nil)

// use returns the core for a method.
func (h *handle[C, P]) use(method string) *C {
	c := h.ref.Load()
	if c == nil {
		panic(closed(method))
	}
	return c
}

// open is use for a method that does not look at the elements.
func (h *handle[C, P]) open(method string) *C {
	c := h.use(method)
	P(c).check(method)
	return c
}

// Lock returns the array's lock, nil if it has none; after Close one that is
// closed. It is one Lock for all who ask this handle: who closes it closes it for
// them. No method of the array takes it. Its handle is the array's: other processes
// get it by opening that.
func (h *handle[C, P]) Lock() *psync.Lock {
	c := h.ref.Load()
	if c == nil {
		return new(psync.Lock)
	}
	return P(c).guarding()
}

// Offset returns where element 0 lies in the segment, and so in its file, for
// programs in other languages. It panics if the array is closed, with an error
// that wraps ErrClosed.
func (h *handle[C, P]) Offset() int { return P(h.open("Offset")).offset() }

// Handle returns the array's handle, the zero Handle if it is closed.
func (h *handle[C, P]) Handle() shm.Handle { return h.ref.Handle() }

// MarshalText encodes the array's handle.
func (h *handle[C, P]) MarshalText() ([]byte, error) { return h.Handle().MarshalText() }

// UnmarshalText opens the array of an encoded handle. It fails as
// shm.OpenHandle does.
func (h *handle[C, P]) UnmarshalText(text []byte) error { return h.ref.UnmarshalText(text) }

// MarshalBinary is MarshalText.
func (h *handle[C, P]) MarshalBinary() ([]byte, error) { return h.MarshalText() }

// UnmarshalBinary is UnmarshalText.
func (h *handle[C, P]) UnmarshalBinary(data []byte) error { return h.UnmarshalText(data) }

// Close ends the use of the array through this handle: later calls fail or
// panic with ErrClosed. The array stays for others. Closing twice is fine.
func (h *handle[C, P]) Close() error { return h.ref.Close() }
