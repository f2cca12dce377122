//go:build !(amd64 || 386) || race

package tear

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/view"
)

// words returns the n bytes at p, rounded up to whole words.
func words[T any](p *T, n int) []atomic.Uint64 {
	return unsafe.Slice((*atomic.Uint64)(unsafe.Pointer(p)), (n+7)/8)
}

// Load copies *src, which lies in shared memory, to *dst.
func Load[T any](dst, src *T) {
	b := view.Bytes(dst)
	w := words(src, len(b))
	whole := len(b) / 8
	for i := range w[:whole] {
		binary.NativeEndian.PutUint64(b[8*i:], w[i].Load())
	}
	if rest := b[8*whole:]; len(rest) > 0 {
		var last [8]byte
		binary.NativeEndian.PutUint64(last[:], w[whole].Load())
		copy(rest, last[:])
	}
}

// Store copies *src to *dst, which lies in shared memory.
func Store[T any](dst, src *T) {
	b := view.Bytes(src)
	w := words(dst, len(b))
	whole := len(b) / 8
	for i := range w[:whole] {
		w[i].Store(binary.NativeEndian.Uint64(b[8*i:]))
	}
	if rest := b[8*whole:]; len(rest) > 0 {
		var last [8]byte
		copy(last[:], rest)
		w[whole].Store(binary.NativeEndian.Uint64(last[:]))
	}
}
