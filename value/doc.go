// Package value has typed variables in shared memory that are whole at every moment. A reader never
// blocks and never sees a partly written value. A writer that is killed at any instruction leaves
// the old value or the new one.
//
//	seg, err := shm.Anonymous(1<<16, nil)
//	...
//	best, err := value.New(seg, "best", Result{}, nil)
//	...
//	best.Store(Result{Score: 7})
//	err = best.Update(ctx, func(r *Result) { r.Tries++ })
//	for r, err := range best.Watch(ctx) { ... }      // blocks until the value changes
//
// A Value holds any type without pointers. Int64, Uint64 and Float64 are Values with atomic
// arithmetic.
//
// A value can be passed to other processes: as the argument of a task, as a field of one, in a
// message, or as the text of its handle. The receiver opens the value by decoding it.
//
// Programs in other languages can read and write a value in the segment's file at Offset. docs/design/values.md
// describes the layout.
//
// # Use after Close
//
// Once this process has closed a value or its segment, the value's methods behave as follows. The
// zero Value counts as closed.
//
//   - A method that returns an error returns one that wraps ErrClosed. If it is blocked it returns.
//   - A method that returns no error panics with an error that wraps ErrClosed.
//   - Handle returns the zero Handle, Close returns nil, and Watch yields an error that wraps
//     ErrClosed.
//
// # Errors
//
// All errors are wrapped: compare them by errors.Is. Their text names the operation, the kind of
// object and its name.
package value

import "github.com/seed-2e7ecdea/mp/shm"

// ErrClosed means that this process has closed the value or its segment. It is shm.ErrClosed.
var ErrClosed = shm.ErrClosed
