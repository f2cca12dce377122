package ring_test

import (
	"testing"

	"github.com/seed-2e7ecdea/mp/ring"
)

// Only who has come far since it found nothing the last time falls behind.
func TestHeels(t *testing.T) {
	var h ring.Heels
	for i, step := range []struct {
		at   uint64
		want bool
	}{
		{0, false}, {1, false}, {9, false}, {18, true}, {18, false}, {26, false}, {1 << 32, true}, {1<<32 + 1, false},
	} {
		if got := h.FallBehind(step.at, 8); got != step.want {
			t.Errorf("step %d, at %d: %v", i, step.at, got)
		}
	}
}
