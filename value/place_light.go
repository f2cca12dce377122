//go:build (amd64 || 386) && !race

package value

import "github.com/seed-2e7ecdea/mp/internal/view"

// A place is where one copy of a T lies. Copies in and out of it are plain.
//
// What read and publish need is that a copy stays between the atomic accesses
// before and after it, and that other CPUs see its stores in that order. On
// these CPUs stores become visible in program order, and loads are made in program
// order (TSO); memmove's streaming stores end with a fence. The gc compiler keeps
// plain and atomic accesses in program order, too, each taking the memory state
// that the one before it made.
type place[T any] struct{ at *T }

func newPlace[T any](mem []byte, off, stride int) place[T] {
	view.Slice[byte](mem, off, stride) // it is all there
	return place[T]{view.At[T](mem, off)}
}

func (p place[T]) get(x *T) { *x = *p.at }
func (p place[T]) put(x *T) { *p.at = *x }
