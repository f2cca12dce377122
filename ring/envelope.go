package ring

import (
	"structs"
	"sync/atomic"
)

// An envelope is the message of a slot if the queue's values are encoded. It has the encoded value,
// or says where in the storage that lies.
type envelope struct {
	_     structs.HostLayout
	birth uint32 // lap of the position at which the message was put
	first uint32 // index of its first block, if it is longer than inline
	size  uint32 // its length in bytes
	_     uint32

	inline [inlineSize]byte
}

// inlineSize is the length of the longest message that lies in its slot. A slot has two cache lines.
const inlineSize = 104

// address says where the message of a position lies.
func (m *envelope) address(pos position, first uint32, size int) {
	atomic.StoreUint32(&m.birth, pos.lap())
	atomic.StoreUint32(&m.first, first)
	atomic.StoreUint32(&m.size, uint32(size))
}
