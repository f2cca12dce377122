package ring

import (
	"sync/atomic"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
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

// indexOf returns the index of the slot with that state word.
func (r *slots[T]) indexOf(state *atomic.Uint64) uint32 {
	return uint32((uintptr(unsafe.Pointer(state)) - uintptr(r.base)) / r.stride)
}

// message returns the message of the slot with that state word. T holds no pointers, and Go calls
// no method when a value is assigned. So nothing but the copy runs between claim and publication.
func (r *slots[T]) message(state *atomic.Uint64) *T {
	return (*T)(unsafe.Add(unsafe.Pointer(state), slotHead))
}

// parcel returns the parcel of the slot with that state word.
func (r *slots[T]) parcel(state *atomic.Uint64) *parcel {
	return (*parcel)(unsafe.Add(unsafe.Pointer(state), slotHead))
}

// after returns the state word of the slot that follows, which is not beyond the end of the ring.
func (r *slots[T]) after(word *atomic.Uint64) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Add(unsafe.Pointer(word), r.stride))
}

// all reports whether n slots from that one on, n > 0, are in the state s, whoever their owners are. They
// lie before the end of the ring.
func (r *slots[T]) all(slot, n uint32, s state) bool {
	for word := r.slotWord(slot); ; word = r.after(word) {
		if state(word.Load()).disowned() != s {
			return false
		}
		if n--; n == 0 {
			return true
		}
	}
}

// put copies vs to the slots from pos on.
func (r *slots[T]) put(pos position, vs []T) {
	word := r.slotWord(pos.slot())
	for i, left := 0, r.count-pos.slot(); i < len(vs); i++ {
		if left == 0 {
			word, left = r.slotWord(0), r.count
		}
		left--
		*r.message(word) = vs[i]
		word = r.after(word)
	}
}

// get copies the messages of the slots from pos on to vs.
func (r *slots[T]) get(pos position, vs []T) {
	word := r.slotWord(pos.slot())
	for i, left := 0, r.count-pos.slot(); i < len(vs); i++ {
		if left == 0 {
			word, left = r.slotWord(0), r.count
		}
		left--
		vs[i] = *r.message(word)
		word = r.after(word)
	}
}

// fetch prefetches n slots from pos on for writing, as far as they lie before the end of the ring, if
// the last of them is in the state is of its lap. If it is not, a peer may be using these slots, and
// would lose them to this processor in the middle of its work. (Slots inside a span that a peer has claimed
// look unused: that costs the peer some time, and no more.)
func (r *slots[T]) fetch(pos position, n int, is state) {
	m := min(uint32(n), r.count-pos.slot(), uint32(maxFetch/r.stride))
	if m < 2 {
		return
	}
	last := state(r.slotWord(pos.slot() + m - 1).Load())
	if last.is() == is && last.lap() == pos.lap() {
		cpu.Fetch((*byte)(unsafe.Add(r.base, uintptr(pos.slot())*r.stride)), uintptr(m)*r.stride)
	}
}

// fetchOne prefetches the slot with that index for writing.
func (r *slots[T]) fetchOne(index uint32) {
	cpu.Fetch((*byte)(unsafe.Add(r.base, uintptr(index)*r.stride)), r.stride)
}

// maxFetch is how many bytes fetch prefetches at most. More would only displace each other.
const maxFetch = 8 << 10

// slots are the slots of a queue in shared memory.
type slots[T any] struct {
	base   unsafe.Pointer
	stride uintptr
	count  uint32
}

// slotHead is the size of a slot's state word.
const slotHead = 8

func (r *slots[T]) set(mem []byte, count uint32) { r.setStride(mem, count, strideOf[T]()) }

func (r *slots[T]) setStride(mem []byte, count uint32, stride int) {
	r.base, r.stride, r.count = unsafe.Pointer(&mem[0]), uintptr(stride), count
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
