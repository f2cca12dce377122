package ring_test

import (
	"testing"

	"github.com/seed-2e7ecdea/mp/ring"
)

// TestPacer shows that only a receiver that has come far since it found nothing the last time backs off.
func TestPacer(t *testing.T) {
	var h ring.Pacer
	for i, step := range []struct {
		at   uint64
		want bool
	}{
		{0, false}, {1, false}, {9, false}, {18, true}, {18, false}, {26, false}, {1 << 32, true}, {1<<32 + 1, false},
	} {
		if got := h.BackOff(step.at, 8); got != step.want {
			t.Errorf("step %d, at %d: %v", i, step.at, got)
		}
	}
}
