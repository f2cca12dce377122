package value

import (
	"sync/atomic"
	"unsafe"
)

// A T of at most wordSize bytes is one atomic word: T's bytes in memory order, then zeros. The word
// has 32 bits if T has at most 4 bytes, else 64. The functions below get a pointer p to the word as
// if it had 64 bits. In their names, Word is the word as a T, and Bits is the word as a number.

const wordSize = 8

func isWord[T any]() bool {
	var x T
	return unsafe.Sizeof(x) <= wordSize
}

func isHalf[T any]() bool {
	var x T
	return unsafe.Sizeof(x) <= wordSize/2
}

func half(p *atomic.Uint64) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(p)) }

func toBits[T any](x T) uint64 {
	if isHalf[T]() {
		var w uint32
		*(*T)(unsafe.Pointer(&w)) = x
		return uint64(w)
	}
	var w uint64
	*(*T)(unsafe.Pointer(&w)) = x
	return w
}

func fromBits[T any](bits uint64) T {
	if isHalf[T]() {
		w := uint32(bits)
		return *(*T)(unsafe.Pointer(&w))
	}
	return *(*T)(unsafe.Pointer(&bits))
}

func loadBits[T any](p *atomic.Uint64) uint64 {
	if isHalf[T]() {
		return uint64(half(p).Load())
	}
	return p.Load()
}

func loadWord[T any](p *atomic.Uint64) T { return fromBits[T](loadBits[T](p)) }

func storeWord[T any](p *atomic.Uint64, x T) {
	if isHalf[T]() {
		half(p).Store(uint32(toBits(x)))
	} else {
		p.Store(toBits(x))
	}
}

func swapWord[T any](p *atomic.Uint64, x T) T {
	if isHalf[T]() {
		return fromBits[T](uint64(half(p).Swap(uint32(toBits(x)))))
	}
	return fromBits[T](p.Swap(toBits(x)))
}

// casBits replaces the word by x if its bits are old, and reports whether it did.
func casBits[T any](p *atomic.Uint64, old uint64, x T) bool {
	if isHalf[T]() {
		return half(p).CompareAndSwap(uint32(old), uint32(toBits(x)))
	}
	return p.CompareAndSwap(old, toBits(x))
}
