// Package array has arrays in shared memory: Array for elements of any type without pointers, and
// Bytes for byte strings. They are laid out as in C, so that programs in any language can use them
// in place.
//
//	points, err := array.New[Point](seg, "points", 1000, nil)
//	...
//	for i := range points.Slice() { ... }   // the shared memory itself, not a copy
//
// An Array of structs does what ShareableList does in Python.
//
// An array does not synchronize the processes that use its elements. That is what the array's lock
// is for, which several objects can share. Atomic elements (array.New[atomic.Int64]) need no lock.
// If a process is killed while it holds the lock and changes elements, it leaves them partly
// changed. The next Acquire of the lock returns psync.ErrOwnerDied, and the program repairs the
// elements in the lock's Recover.
//
// An array can be passed to other processes: as the argument of a task, as a field of one, in a
// message, or as the text of its handle. The receiver opens the array by decoding it.
//
// # Use after Close
//
// Once this process has closed an array, a byte string or its segment, its methods behave as
// follows. The zero Array and the zero Bytes count as closed.
//
//   - A method that returns an error returns one that wraps ErrClosed.
//   - A method that returns no error panics with an error that wraps ErrClosed.
//   - Handle returns the zero Handle, Close returns nil, and All yields nothing more.
//
// The memory that Slice and Raw return must not be used any more.
//
// # Errors
//
// All errors are wrapped: compare them by errors.Is. Their text names the operation, the kind of
// object and its name.
package array

import (
	"errors"

	"github.com/seed-2e7ecdea/mp/internal/known"
	"github.com/seed-2e7ecdea/mp/shm"
)

var (
	// ErrClosed means that this process has closed the array or its segment. It is shm.ErrClosed.
	ErrClosed = shm.ErrClosed
	// ErrTooLarge means that a text has more bytes than the byte string can hold.
	ErrTooLarge = errors.New("text is too large")
)

func init() { known.Register(ErrTooLarge) }
