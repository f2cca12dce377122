package value

import (
	"github.com/seed-2e7ecdea/mp/internal/tear"
	"github.com/seed-2e7ecdea/mp/internal/view"
)

// A slot is the memory of one copy of a T. Its copies may be torn, and the number of the value shows
// it: see package tear for what keeps them between the accesses to that number.
type slot[T any] struct{ at *T }

func newSlot[T any](mem []byte, off, stride int) slot[T] {
	view.Slice[byte](mem, off, stride) // panics if the slot is not inside mem
	return slot[T]{view.At[T](mem, off)}
}

func (s slot[T]) get(x *T) { tear.Load(x, s.at) }
func (s slot[T]) put(x *T) { tear.Store(s.at, x) }
