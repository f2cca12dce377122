package array

import (
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// handle has the methods by which an array is passed to other processes. Each package of objects
// declares these methods itself, since go doc does not show those that are embedded from another
// package.
type handle[C any, P object.Core[C]] struct {
	ref object.Ref[C, P]
}

var _ object.Marshaler = (*Bytes)(nil)

// Handle returns the array's handle, by which other processes open the array. It returns the zero
// Handle if the array is closed.
func (h *handle[C, P]) Handle() shm.Handle { return h.ref.Handle() }

// Stats returns the statistics of the array by all processes: see shm.Stats. It does not block, and
// fails with ErrClosed.
func (h *handle[C, P]) Stats() (shm.Stats, error) { return h.ref.Stats("array: Stats") }

// MarshalText returns the array's handle as text. It returns ErrClosed if the array is closed.
func (h *handle[C, P]) MarshalText() ([]byte, error) { return h.ref.MarshalText("array: MarshalText") }

// UnmarshalText decodes a handle from text and opens the array that it names. If h was open before,
// it refers to the new array afterwards. UnmarshalText fails as every Unmarshal method of an object
// does: see package shm.
func (h *handle[C, P]) UnmarshalText(text []byte) error { return h.ref.UnmarshalText(text) }

// MarshalBinary is MarshalText.
func (h *handle[C, P]) MarshalBinary() ([]byte, error) {
	return h.ref.MarshalText("array: MarshalBinary")
}

// UnmarshalBinary is UnmarshalText.
func (h *handle[C, P]) UnmarshalBinary(data []byte) error { return h.UnmarshalText(data) }

// Close closes the array in this process, as far as it was opened as h. The package comment says
// what methods of h do afterwards. The array itself stays, and other handles of it stay open. Close
// returns nil if h is closed already.
func (h *handle[C, P]) Close() error { return h.ref.Close() }
