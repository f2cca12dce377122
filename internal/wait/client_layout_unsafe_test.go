package wait

import (
	"testing"
	"time"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/clientlayout"
)

// TestClientLayout shows that the clients in other languages know the layout of a gate.
func TestClientLayout(t *testing.T) {
	var g Gate
	clientlayout.Check(t, "internal/wait", map[string]uint64{
		"GATE_SLEEPERS":        sleepers,
		"GATE_FENCE_REQUESTED": fenceRequested,
		"GATE_FENCE_DONE":      fenceDone,
		"GATE_ONE_WAKE":        oneWake,
		"GATE_QUIET":           uint64(unsafe.Offsetof(g.quiet)),
		"QUIET_LIMIT":          quietLimit,
		"GRACE_MS":             uint64(Grace / time.Millisecond),
	})
	if unsafe.Offsetof(g.word) != 0 {
		t.Error("a gate does not begin with its word")
	}
}
