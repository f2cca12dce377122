//go:build !(amd64 || 386) || race

package tear

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/view"
)

// words returns the n bytes at p, rounded up to whole words.
func words(p unsafe.Pointer, n int) []atomic.Uint64 {
	return unsafe.Slice((*atomic.Uint64)(p), (n+7)/8)
}

// Load copies *src, which lies in shared memory, to *dst.
func Load[T any](dst, src *T) { load(view.Bytes(dst), unsafe.Pointer(src)) }

// Store copies *src to *dst, which lies in shared memory.
func Store[T any](dst, src *T) { store(unsafe.Pointer(dst), view.Bytes(src)) }

// LoadBytes copies src, which lies in shared memory, to dst, which is as long.
func LoadBytes(dst, src []byte) { load(dst[:len(src)], unsafe.Pointer(unsafe.SliceData(src))) }

// StoreBytes copies src to dst, which lies in shared memory and is as long.
func StoreBytes(dst, src []byte) { store(unsafe.Pointer(unsafe.SliceData(dst[:len(src)])), src) }

// load copies len(b) bytes at p, in shared memory, to b.
func load(b []byte, p unsafe.Pointer) {
	w := words(p, len(b))
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

// store copies b to p, in shared memory.
func store(p unsafe.Pointer, b []byte) {
	w := words(p, len(b))
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
