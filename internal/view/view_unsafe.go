// Package view gives types to places in shared memory.
package view

import (
	"fmt"
	"unsafe"
)

// At returns the T that lies at off in mem. It panics if that is not inside
// mem or not aligned.
func At[T any](mem []byte, off int) *T {
	var t T
	check(mem, off, int(unsafe.Sizeof(t)), int(unsafe.Alignof(t)))
	return (*T)(unsafe.Pointer(&mem[off]))
}

// Slice returns the n Ts that lie at off in mem.
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
		panic(fmt.Sprintf("view: [%d, %d) of %d bytes", off, off+size, len(mem)))
	}
	if uintptr(unsafe.Pointer(&mem[off]))%uintptr(align) != 0 {
		panic(fmt.Sprintf("view: offset %d is not aligned to %d", off, align))
	}
}

// Offset returns where part, which lies in mem, begins.
func Offset(mem, part []byte) int {
	return int(uintptr(unsafe.Pointer(&part[0])) - uintptr(unsafe.Pointer(&mem[0])))
}

// Bytes returns the memory of x.
func Bytes[T any](x *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(x)), unsafe.Sizeof(*x))
}

// Aligned returns n zero bytes of ordinary memory that begin at a multiple of
// align, a power of two.
func Aligned(n, align int) []byte {
	b := make([]byte, n+align)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (align - 1)
	return b[skip : skip+n : skip+n]
}
