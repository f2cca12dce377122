package ring

import (
	"sync/atomic"
	"unsafe"
)

// word returns the 64-bit word at offset off of data. The caller ensures that off is inside data
// and a multiple of 8.
func word(data unsafe.Pointer, off uint64) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Add(data, off))
}

// slotWord returns the state word of the slot with that index.
func (r *slots[T]) slotWord(index uint32) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Add(r.base, uintptr(index)*r.stride))
}

// message returns the message of the slot with that state word. T holds no pointers, and Go calls
// no method when a value is assigned. So nothing but the copy runs between claim and publication.
func (r *slots[T]) message(state *atomic.Uint64) *T {
	return (*T)(unsafe.Add(unsafe.Pointer(state), slotHead))
}

// slots are the slots of a queue in shared memory.
type slots[T any] struct {
	base   unsafe.Pointer
	stride uintptr
	count  uint32
}

// slotHead is the size of a slot's state word.
const slotHead = 8

func (r *slots[T]) set(mem []byte, count uint32) {
	r.base, r.stride, r.count = unsafe.Pointer(&mem[0]), uintptr(strideOf[T]()), count
}

// strideOf returns the distance from one slot to the next in bytes.
func strideOf[T any]() int { return slotHead + (sizeOf[T]()+7)&^7 }

// sizeOf returns the size of a T in bytes.
func sizeOf[T any]() int {
	var t T
	return int(unsafe.Sizeof(t))
}

// base returns a pointer to the first byte of data.
func base(data []byte) unsafe.Pointer { return unsafe.Pointer(&data[0]) }
