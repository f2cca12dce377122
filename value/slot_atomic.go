//go:build !(amd64 || 386) || race

package value

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/view"
)

// A slot is the memory of one copy of a T. It is read and written word by word with atomic loads
// and stores. Go has no fences, but its atomic operations are sequentially consistent, so on every
// processor they are ordered among themselves and with the accesses to the number of the value. The
// race detector understands them too.
type slot[T any] struct{ words []atomic.Uint64 }

func newSlot[T any](mem []byte, off, stride int) slot[T] {
	return slot[T]{view.Slice[atomic.Uint64](mem, off, stride/8)}
}

func (s slot[T]) get(x *T) {
	b := view.Bytes(x)
	whole := len(b) / 8
	for i := range s.words[:whole] {
		binary.NativeEndian.PutUint64(b[8*i:], s.words[i].Load())
	}
	if rest := b[8*whole:]; len(rest) > 0 {
		var last [8]byte
		binary.NativeEndian.PutUint64(last[:], s.words[whole].Load())
		copy(rest, last[:])
	}
}

func (s slot[T]) put(x *T) {
	b := view.Bytes(x)
	whole := len(b) / 8
	for i := range s.words[:whole] {
		s.words[i].Store(binary.NativeEndian.Uint64(b[8*i:]))
	}
	if rest := b[8*whole:]; len(rest) > 0 {
		var last [8]byte
		copy(last[:], rest)
		s.words[whole].Store(binary.NativeEndian.Uint64(last[:]))
	}
}
