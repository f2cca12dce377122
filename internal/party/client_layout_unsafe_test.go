package party

import (
	"math/bits"
	"testing"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/clientlayout"
)

// TestClientLayout shows that the clients in other languages know the layout of the party table.
func TestClientLayout(t *testing.T) {
	const words = 128 // where package shm puts Words
	var l Line
	var w Words
	clientlayout.Check(t, "internal/party", map[string]uint64{
		"LINE_SIZE":       LineSize,
		"LINE_WORD":       uint64(unsafe.Offsetof(l.word)),
		"LINE_PID":        uint64(unsafe.Offsetof(l.pid)),
		"LINE_NAMESPACE":  uint64(unsafe.Offsetof(l.ns)),
		"LINE_BITS":       lineBits,
		"MAX_PARTIES":     MaxLines,
		"LOCK_BASE_SHIFT": uint64(bits.TrailingZeros64(uint64(lockBase))),
		"EPOCH":           words + uint64(unsafe.Offsetof(w.Epoch)),
		"DEATHS":          words + uint64(unsafe.Offsetof(w.Deaths)),
		"PARTY_MARK":      words + uint64(unsafe.Offsetof(w.mark)),
	})
}
