package ring

import (
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

func init() {
	object.HasStats(shm.KindQueue, queueStats)
	object.HasStats(shm.KindPipe, pipeStats)
	object.HasStats(shm.KindBroadcast, broadcastStats)
}

// statsSteps bounds how far statistics follow a shared cursor that lags behind the slots.
const statsSteps = 1 << 14

// queueStats reads how many positions have been claimed for writing and for reading. The shared
// cursors lag behind, so it walks on over the slots from there.
func queueStats(m object.Memory, s *shm.Stats) {
	var w queueWords
	count := m.Uint32(int(unsafe.Offsetof(w.count)))
	if count < 1 || count > maxSlots || m.Len() < queueHead {
		return
	}
	stride := (m.Len() - queueHead) / int(count)
	if m.Uint32(int(unsafe.Offsetof(w.mode)))&queueEncoded != 0 {
		stride = strideOf[envelope]()
	}
	if stride < slotHead || stride%8 != 0 || int64(count)*int64(stride) > int64(m.Len()-queueHead) {
		return
	}
	walk := func(off uintptr, claimed func(s state, behind int32) bool) uint64 {
		pos := position(m.Uint64(int(off)))
		if !pos.valid(count) {
			return 0
		}
		for range min(statsSteps, 2*int(count)) {
			s := state(m.Uint64(queueHead + int(pos.slot())*stride))
			if !claimed(s, s.behind(pos.lap())) {
				break
			}
			pos = pos.past(s, count)
		}
		return uint64(pos.lap())*uint64(count) + uint64(pos.slot())
	}
	s.Capacity = uint64(count)
	s.Sent, s.Received = between(
		func() uint64 {
			return walk(unsafe.Offsetof(w.tail), func(s state, b int32) bool {
				return b < 0 || b == 0 && s.is() != free && !s.begun()
			})
		},
		func() uint64 {
			return walk(unsafe.Offsetof(w.head), func(s state, b int32) bool { return b < 0 || b == 0 && s.taken() })
		})
	s.Depth = min(s.Sent-s.Received, s.Capacity)
}

// between reads what went in between two readings of what came out, and tries to have these agree.
func between(in, out func() uint64) (uint64, uint64) {
	const tries = 3
	before := out()
	for n := 1; ; n++ {
		i, after := in(), out()
		if before == after || n == tries {
			return max(i, after), after
		}
		before = after
	}
}

func pipeStats(m object.Memory, s *shm.Stats) {
	var w streamWords
	size := m.Uint64(0)
	if size < minRing || size > maxRing {
		return
	}
	for n := range 2 {
		if m.Len()-pipeHead < (n+1)*int(size) {
			return // a simplex
		}
		stream := 128 + n*streamHead
		tail, head := between(
			func() uint64 { return m.Uint64(stream + int(unsafe.Offsetof(w.tail))) },
			func() uint64 { return m.Uint64(stream + int(unsafe.Offsetof(w.head))) })
		s.Capacity += size
		s.Bytes += tail
		s.Depth += min(tail-head, size)
	}
}

func broadcastStats(m object.Memory, s *shm.Stats) {
	var w broadcastWords
	count := m.Uint32(int(unsafe.Offsetof(w.count)))
	lines := m.Uint32(int(unsafe.Offsetof(w.lines)))
	if count < 1 || count > maxSlots || lines > maxSubscribers {
		return
	}
	s.Capacity = uint64(count)
	s.Sent = m.Uint64(int(unsafe.Offsetof(w.tail)))
}
