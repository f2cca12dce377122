package bench

import (
	"math"
	"testing"

	"github.com/seed-2e7ecdea/mp/shm"
)

func trialsOf(measure string, figures ...float64) (trials []Result) {
	for _, f := range figures {
		trials = append(trials, Result{Measure: measure, MsgsPerSec: f, P50: int64(f)})
	}
	return trials
}

func TestCell(t *testing.T) {
	for _, c := range []struct {
		measure           string
		figures           []float64
		middle, low, high float64
		confidence        float64
	}{
		{Throughput, []float64{3}, 3, 3, 3, 0},
		{Throughput, []float64{3, 1}, 1, 1, 3, 0.5},
		{Latency, []float64{3, 1}, 3, 1, 3, 0.5},
		{Throughput, []float64{5, 1, 4, 2, 3}, 3, 1, 5, 1 - 2.0/32},
		{Latency, []float64{5, 1, 4, 2, 3, 6}, 4, 1, 6, 1 - 2.0/64},
		{Latency, []float64{9, 8, 7, 6, 5, 4, 3, 2, 1}, 5, 2, 8, 1 - 2*10.0/512},
	} {
		got := NewCell(trialsOf(c.measure, c.figures...))
		if got.Figure() != c.middle || got.Low != c.low || got.High != c.high || math.Abs(got.Confidence-c.confidence) > 1e-9 {
			t.Errorf("%s %v: %g in %g to %g with %g, want %g in %g to %g with %g", c.measure, c.figures,
				got.Figure(), got.Low, got.High, got.Confidence, c.middle, c.low, c.high, c.confidence)
		}
		if len(got.Trials) != len(c.figures) || got.Trials[0].Figure() != c.figures[0] {
			t.Errorf("trials %v, want them in their order", got.Trials)
		}
	}
}

// TestSpread has a consumer that waited without using the CPU in most trials.
func TestSpread(t *testing.T) {
	for _, c := range []struct {
		cpu  []float64
		want float64
	}{{[]float64{0, 0, 0}, 0}, {[]float64{0, 0, 9}, 0}, {[]float64{1, 2, 4}, 0.75}} {
		var trials []Result
		for _, cpu := range c.cpu {
			trials = append(trials, Result{Transport: "pipe", Measure: Idle, CPU: cpu})
		}
		if got := NewCell(trials).Spread(); got != c.want {
			t.Errorf("spread of %g: %g, want %g", c.cpu, got, c.want)
		}
	}
}

// TestCellOfLimit has a limit that jumps in the round of the median trial: the cell has the median of the fractions.
func TestCellOfLimit(t *testing.T) {
	for _, c := range []struct {
		p50, futex []float64
		want       float64
	}{
		{[]float64{10_000, 11_000, 12_000}, []float64{5000, 55_000, 6000}, 0.5},
		{[]float64{10_000, 11_000}, []float64{5000, 55_000}, 0.5},
		{[]float64{10_000}, []float64{5000}, 0.5},
	} {
		var trials []Result
		for i, p50 := range c.p50 {
			r := Result{Transport: "os-pipe", Measure: Latency, P50: int64(p50), Wait: shm.WaitBlock}
			r.SetLimits(Limits{Futex: c.futex[i]})
			trials = append(trials, r)
		}
		if got := NewCell(trials); got.OfLimit != c.want {
			t.Errorf("medians %g of futexes %g: %g, want %g", c.p50, c.futex, got.OfLimit, c.want)
		}
	}
}

func TestFar(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		distances []float64
		want      float64
	}{
		{nil, inf}, {[]float64{100}, inf}, {[]float64{100, 150, 199}, inf},
		{[]float64{400, 100}, 400}, {[]float64{60, 550, 130, 57, 600}, 550},
	} {
		if got := Far(c.distances); got != c.want {
			t.Errorf("Far(%g) = %g, want %g", c.distances, got, c.want)
		}
	}
}
