package ring

import (
	"sync/atomic"
	"unsafe"
)

// word returns the 64-bit word at off of data, which the caller has kept
// inside the data and aligned to 8.
func word(data unsafe.Pointer, off uint64) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Add(data, off))
}

// slotWord returns the state word of the slot at off.
func (r *slots[T]) slotWord(index uint32) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Add(r.base, uintptr(index)*r.stride))
}

// message returns the message of the slot with the given state word. T holds
// no pointers and runs no code when it is copied: no type with methods that Go
// would call on assignment exists, so that between claim and publish nothing
// runs but the copy.
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

// strideOf returns the bytes from one slot to the next.
func strideOf[T any]() int { return slotHead + (sizeOf[T]()+7)&^7 }

// sizeOf returns the bytes of a T.
func sizeOf[T any]() int {
	var t T
	return int(unsafe.Sizeof(t))
}

// base returns where data begins.
func base(data []byte) unsafe.Pointer { return unsafe.Pointer(&data[0]) }
