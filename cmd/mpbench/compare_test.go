package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed-2e7ecdea/mp/bench"
)

// A sampler makes reports of cells with random trials.
type sampler struct {
	cells, trials int
	slow          int     // index of a cell that is slower, -1: none
	by            float64 // so many times as long
	far           int     // so many of the trials have the CPUs far apart, and take ten times as long
}

func (s sampler) report(r *rand.Rand) bench.Report {
	var cells []bench.Cell
	for i := range s.cells {
		var trials []bench.Result
		for k := range s.trials {
			t := bench.Result{Transport: "pipe", Measure: bench.Latency, Size: 8 + i, Producers: 1, Consumers: 1, Verified: true}
			t.Line = 100 + 20*r.Float64()
			ns := 1000 * (1 + 0.05*r.NormFloat64())
			if k < s.far {
				t.Line, ns = 4*t.Line, 10*ns
			}
			if i == s.slow {
				ns *= s.by
			}
			if i%2 == 1 {
				t.Measure, t.MsgsPerSec = bench.Throughput, 1e9/ns
			}
			t.P50 = int64(ns)
			trials = append(trials, t)
		}
		cells = append(cells, bench.NewCell(trials))
	}
	return bench.NewReport(cells)
}

// TestCompare compares random reports: 300 pairs in which nothing differs raise an alarm about as often
// as they should, and a cell that is slower by 20 % is found, whatever its measure, and nothing else.
func TestCompare(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	same := sampler{cells: 40, trials: 10, slow: -1}
	alarms := 0
	for range 300 {
		c := compareReports(same.report(r), same.report(r))
		for _, d := range c.differences {
			if d.changed {
				alarms++
				break
			}
		}
	}
	t.Logf("%d of 300 comparisons of equal reports raise an alarm", alarms)
	if limit := 30; alarms > limit { // 15 are allowed, with a standard deviation of 4
		t.Errorf("%d of 300 comparisons raise an alarm, want at most %d", alarms, limit)
	}
	for _, slow := range []int{2, 3} {
		other := same
		other.slow, other.by = slow, 1.2
		for _, far := range []int{0, 5} { // the newer report has rounds of another kind, which must not count
			other.far = far
			other.trials = same.trials + far
			c := compareReports(same.report(r), other.report(r))
			bad := c.regressions(5)
			if len(bad) != 1 || bad[0].scenario.Size != 8+slow || c.moved != (far > 0) {
				t.Errorf("cell %d is 20 %% slower, with %d far rounds: found %+v", slow, far, bad)
			}
			if better := compareReports(other.report(r), same.report(r)); len(better.regressions(5)) != 0 {
				t.Errorf("cell %d is faster, found slower: %+v", slow, better.regressions(5))
			}
		}
	}
}

// TestCompareText shows what is printed of too few trials, and of scenarios that only one report has.
func TestCompareText(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	few := sampler{cells: 6, trials: 3, slow: 1, by: 3}
	from, to := sampler{cells: 6, trials: 3, slow: -1}.report(r), few.report(r)
	from.Results = from.Results[:4]
	to.Results = to.Results[1:]
	to.Machine.CPU = "another"
	var text bytes.Buffer
	if err := compareReports(from, to).write(&text, true, 5); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"The machines differ", "0 results of 3 changed", "3 results could not be compared",
		"Some results have 3 trials: to find changes among 3 results, each side needs 5 (-trials).", "same",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &text)
		}
	}
	for line := range strings.Lines(text.String()) {
		if n := len([]rune(line)); n > 101 && !strings.HasPrefix(line, "OLD") && !strings.HasPrefix(line, "NEW") && strings.Contains(line, "pipe") {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
}

// TestEnough compares with the smallest p that the test can return.
func TestEnough(t *testing.T) {
	for _, cells := range []int{1, 3, 40} {
		for _, delta := range []int{0, -1} {
			k := enough(cells) + delta
			a, b := sampler{cells: cells, trials: k, slow: -1}, sampler{cells: cells, trials: k, slow: 0, by: 100}
			r := rand.New(rand.NewPCG(5, uint64(k)))
			found := len(compareReports(a.report(r), b.report(r)).regressions(5))
			if found != 1+delta {
				t.Errorf("%s of %d trials: %d found, want %d", fmt.Sprint(cells), k, found, 1+delta)
			}
		}
	}
}
