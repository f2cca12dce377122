//go:build !(amd64 || 386) || race

package value

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/view"
)

// A place is where one copy of a T lies. Copies in and out of it are made word
// by word with atomic loads and stores: Go has no fences, but its atomics are
// sequentially consistent, so on any CPU they keep their order among themselves
// and to the number of the value. The race detector understands them, too.
type place[T any] struct{ words []atomic.Uint64 }

func newPlace[T any](mem []byte, off, stride int) place[T] {
	return place[T]{view.Slice[atomic.Uint64](mem, off, stride/8)}
}

func (p place[T]) get(x *T) {
	b := view.Bytes(x)
	whole := len(b) / 8
	for i := range p.words[:whole] {
		binary.NativeEndian.PutUint64(b[8*i:], p.words[i].Load())
	}
	if rest := b[8*whole:]; len(rest) > 0 {
		var last [8]byte
		binary.NativeEndian.PutUint64(last[:], p.words[whole].Load())
		copy(rest, last[:])
	}
}

func (p place[T]) put(x *T) {
	b := view.Bytes(x)
	whole := len(b) / 8
	for i := range p.words[:whole] {
		p.words[i].Store(binary.NativeEndian.Uint64(b[8*i:]))
	}
	if rest := b[8*whole:]; len(rest) > 0 {
		var last [8]byte
		copy(last[:], rest)
		p.words[whole].Store(binary.NativeEndian.Uint64(last[:]))
	}
}
