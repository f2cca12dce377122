package codec

import "unsafe"

// A pointer points to a value whose type its node tells.
type pointer = unsafe.Pointer

// of returns v as a pointer.
func of[T any](v *T) pointer { return pointer(v) }

// hidden returns v as a pointer that escape analysis does not follow, so that the caller's variable
// can stay on its stack. The callee must not keep the pointer.
//
// It must not be inlined. The compiler takes unsafe.Add(nil, address) for the address itself, which
// is a number, and may keep that across a call in which the stack grows and the variable moves.
//
//go:noinline
func hidden[T any](v *T) pointer { return unsafe.Add(pointer(nil), uintptr(pointer(v))) }

// at returns p as a pointer to a T. The memory at p may have another type with the same layout.
func at[T any](p pointer) *T { return (*T)(p) }

// add returns the address off bytes after p, in the same variable.
func add(p pointer, off uintptr) pointer { return unsafe.Add(p, off) }

// memory returns the n bytes at p. They hold no pointers.
func memory(p pointer, n uintptr) []byte { return unsafe.Slice((*byte)(p), n) }

// text returns b as a string without copying it. Nothing may write to b from then on.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// A header is the header of a slice of any type.
type header struct {
	data     pointer
	len, cap int
}

// block returns new memory for elements without pointers that need this alignment, with a copy of
// b. It does not clear the memory first.
func block(b []byte, align uintptr) pointer {
	switch align {
	case 8:
		return copied[uint64](b)
	case 4:
		return copied[uint32](b)
	case 2:
		return copied[uint16](b)
	}
	return copied[byte](b)
}

// copied returns new memory with a copy of b, whose length is a multiple of W's size. Reading b as
// a slice of W is fine at any address, because append copies bytes.
func copied[W uint64 | uint32 | uint16 | byte](b []byte) pointer {
	var w W
	words := unsafe.Slice((*W)(pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(w)))
	return pointer(unsafe.SliceData(append([]W{}, words...)))
}

// stringBytes returns the bytes of s without copying them. They must not be modified.
func stringBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
