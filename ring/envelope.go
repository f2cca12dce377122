package ring

import (
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// An envelope is the message of a slot if the queue's values are encoded. It has the encoded value,
// or says where in the storage that lies.
type envelope struct {
	_     structs.HostLayout
	birth atomic.Uint32 // lap of the position at which the message was put; others than the slot's owner read it, too
	first uint32        // index of its first block, if it is longer than inline
	size  uint32        // its length in bytes
	_     uint32

	inline [inlineSize]byte
}

// inlineSize is the length of the longest message that lies in its slot. A slot has two cache lines.
const inlineSize = 104

// address says where the message of a position lies.
func (m *envelope) address(pos position, first uint32, size int) {
	fence.Publish32(&m.birth, pos.lap())
	m.first, m.size = first, uint32(size)
}

// fill sets the message of a position to msg, which is at most inlineSize long.
func (m *envelope) fill(pos position, msg []byte) {
	m.address(pos, 0, len(msg))
	copy(m.inline[:], msg)
}
