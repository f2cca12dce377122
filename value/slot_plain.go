//go:build (amd64 || 386) && !race

package value

import "github.com/seed-2e7ecdea/mp/internal/view"

// A slot is the memory of one copy of a T. It is read and written by plain loads and stores.
//
// read and publish need the copying to stay between the atomic accesses before and after it, and
// other CPUs to see its stores in that order. On these processors stores become visible in program
// order and loads are made in program order (TSO), and memmove ends its streaming stores with a
// fence. The gc compiler keeps plain and atomic accesses in program order, because each takes as an
// argument the memory state that the previous one produced.
type slot[T any] struct{ at *T }

func newSlot[T any](mem []byte, off, stride int) slot[T] {
	view.Slice[byte](mem, off, stride) // panics if the slot is not inside mem
	return slot[T]{view.At[T](mem, off)}
}

func (s slot[T]) get(x *T) { *x = *s.at }
func (s slot[T]) put(x *T) { *s.at = *x }
