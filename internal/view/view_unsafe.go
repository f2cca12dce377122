// Package view turns parts of shared memory into typed pointers and slices.
package view

import (
	"fmt"
	"unsafe"
)

// At returns a pointer to the T at offset off of mem. It panics if the T does not lie inside mem or
// is not aligned.
func At[T any](mem []byte, off int) *T {
	var t T
	check(mem, off, int(unsafe.Sizeof(t)), int(unsafe.Alignof(t)))
	return (*T)(unsafe.Pointer(&mem[off]))
}

// Slice returns the n Ts at offset off of mem, without copying them; nil if n is 0. It panics as At
// does.
func Slice[T any](mem []byte, off, n int) []T {
	var t T
	if n == 0 {
		return nil
	}
	check(mem, off, n*int(unsafe.Sizeof(t)), int(unsafe.Alignof(t)))
	return unsafe.Slice((*T)(unsafe.Pointer(&mem[off])), n)
}

func check(mem []byte, off, size, align int) {
	if off < 0 || size <= 0 || off > len(mem)-size {
		panic(fmt.Sprintf("view: bytes [%d, %d) are not inside the %d bytes of memory", off, off+size, len(mem)))
	}
	if uintptr(unsafe.Pointer(&mem[off]))%uintptr(align) != 0 {
		panic(fmt.Sprintf("view: offset %d is not aligned to %d", off, align))
	}
}

// Offset returns the offset in mem of part, a slice of mem. Neither may be empty.
func Offset(mem, part []byte) int {
	return int(uintptr(unsafe.Pointer(&part[0])) - uintptr(unsafe.Pointer(&mem[0])))
}

// Bytes returns the bytes of *x themselves, without copying them.
func Bytes[T any](x *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(x)), unsafe.Sizeof(*x))
}

// Aligned returns n zero bytes of heap memory whose address is a multiple of align, a power of two.
func Aligned(n, align int) []byte {
	b := make([]byte, n+align)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (align - 1)
	return b[skip : skip+n : skip+n]
}
