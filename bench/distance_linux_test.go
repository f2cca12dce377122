package bench

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
)

// TestDistance measures between two CPUs, and on one, where the two processes take turns.
func TestDistance(t *testing.T) {
	for _, pin := range [][]int{nil, {0}} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		ns, err := Distance(ctx, pin)
		cancel()
		if err != nil {
			t.Fatalf("on CPUs %d: %v", pin, err)
		}
		if ns < 1 {
			t.Errorf("on CPUs %d: %g ns", pin, ns)
		}
		t.Logf("on CPUs %d: %.1f ns", pin, ns)
	}
}

func TestDistanceCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ns, err := Distance(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("distance %g, error %v, want context.Canceled", ns, err)
	}
	for p := range proc.Children() {
		t.Errorf("child left: %s", p.Name())
	}
}
