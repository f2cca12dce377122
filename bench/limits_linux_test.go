package bench

import (
	"context"
	"errors"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestLimits measures between two CPUs, and on one, where the two processes take turns.
func TestLimits(t *testing.T) {
	for _, pin := range [][]int{nil, {0}} {
		l, err := MeasureLimits(testkit.Within(t), pin)
		if err != nil {
			t.Fatalf("on CPUs %d: %v", pin, err)
		}
		if l.Line < 1 || l.Futex < 1 || l.Copy < 1e6 {
			t.Errorf("on CPUs %d: %+v", pin, l)
		}
		t.Logf("on CPUs %d: line %.1f ns, futex %.0f ns, copy %.2f GB/s", pin, l.Line, l.Futex, l.Copy/1e9)
	}
}

func TestLimitsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l, err := MeasureLimits(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("limits %+v, error %v, want context.Canceled", l, err)
	}
	for p := range proc.Children() {
		t.Errorf("child left: %s", p.Name())
	}
}

func TestOfLimit(t *testing.T) {
	l := Limits{Line: 100, Futex: 5000, Copy: 8e9}
	for _, c := range []struct {
		r    Result
		want float64
	}{
		{Result{Transport: "pipe", Measure: Latency, P50: 250, Limits: l}, 0.4},
		{Result{Transport: "pipe", Measure: Latency, P50: 10000, Wait: shm.WaitBlock, Limits: l}, 0.5},
		{Result{Transport: "pipe", Measure: Throughput, BytesPerSec: 2e9, Limits: l}, 0.25},
		{Result{Transport: "pipe", Measure: Latency, P50: 250}, 0},
		{Result{Transport: "spawn", Measure: Latency, P50: 250, Limits: l}, 0},
		{Result{Transport: "pipe", Measure: Recovery, P50: 250, Limits: l}, 0},
		{Result{Transport: "pipe", Measure: Idle, Limits: l}, 0},
	} {
		if got := c.r.ofLimit(); got != c.want {
			t.Errorf("%s of %s is %g of its limit, want %g", c.r.Measure, c.r.Transport, got, c.want)
		}
	}
}
