package ring_test

import (
	"testing"

	"github.com/seed-2e7ecdea/mp/ring"
)

// TestPacer shows that a receiver backs off only if it has advanced far since it last found
// nothing.
func TestPacer(t *testing.T) {
	var p ring.Pacer
	for i, step := range []struct {
		at   uint64
		want bool
	}{
		{0, false}, {1, false}, {9, false}, {18, true}, {18, false}, {26, false}, {1 << 32, true}, {1<<32 + 1, false},
	} {
		if got := p.BackOff(step.at, 8); got != step.want {
			t.Errorf("step %d: BackOff(%d, 8) = %v, want %v", i, step.at, got, step.want)
		}
	}
}
