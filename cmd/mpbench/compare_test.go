package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

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
	if err := compareReports(from, to).write(&text, style{width: widest, utf8: true}, true, 5); err != nil {
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
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > widest {
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

// goTest is what go test -bench prints, of package bench and of another one.
const goTest = `goos: linux
goarch: amd64
pkg: github.com/seed-2e7ecdea/mp/bench
cpu: AMD EPYC
BenchmarkThroughput/transport=queue/size=64-2 	     100	        50.00 ns/op	1280.00 MB/s	      60.00 cpu-ns/op	20000000 msgs/s	         0.01 switches/op
BenchmarkLatency/transport=os-pipe/size=64-2  	     100	      6000 ns/op	      7000 cpu-ns/op	      5500 p50-ns	     30000 p99-ns	         1.5 switches/op
BenchmarkIdle/transport=pipe/size=8-2         	       1	       900 cpu-ns/s	         3.0 switches/s
BenchmarkEncode/size=64-2                     	     100	        10.0 ns/op
PASS
ok  	github.com/seed-2e7ecdea/mp/bench	1.0s
`

// TestReadBenchfmt reads what go test prints, and what -benchfmt writes: every trial, with the figures that are compared.
func TestReadBenchfmt(t *testing.T) {
	r, err := readBenchfmt("go.txt", []byte(goTest+goTest))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 3 || r.Machine != (bench.Machine{CPU: "AMD EPYC", Cores: 2, OS: "linux", Arch: "amd64"}) {
		t.Fatalf("%d results of the machine %+v", len(r.Results), r.Machine)
	}
	for i, want := range []float64{20e6, 5500, 900} {
		if c := r.Results[i]; c.Figure() != want || len(c.Trials) != 2 {
			t.Errorf("%s is %g in %d trials, want %g in 2", c.Scenario().Name(), c.Figure(), len(c.Trials), want)
		}
	}
	written := bench.NewReport(exampleCells(100, 400, 110)[:4]) // those of a transport that the package knows
	var text bytes.Buffer
	if err := writeBenchfmt(&text, written); err != nil {
		t.Fatal(err)
	}
	read, err := readBenchfmt("mpbench.txt", text.Bytes())
	if err != nil || len(read.Results) != len(written.Results) {
		t.Fatalf("%d results, %v, want %d", len(read.Results), err, len(written.Results))
	}
	for i, want := range written.Results {
		got := read.Results[i]
		if scenarioKey(got.Result) != scenarioKey(want.Result) || len(got.Trials) != len(want.Trials) {
			t.Errorf("%d trials of %s, want %d of %s", len(got.Trials), scenarioKey(got.Result), len(want.Trials), scenarioKey(want.Result))
		}
		for k, trial := range want.Trials {
			if got.Trials[k].Figure() != trial.Figure() || got.Trials[k].Line != trial.Line {
				t.Errorf("trial %d of %s: %g with a line of %g, want %g of %g", k, scenarioKey(want.Result),
					got.Trials[k].Figure(), got.Trials[k].Line, trial.Figure(), trial.Line)
			}
		}
	}
	if c := compareReports(written, read); c.skipped != 0 || !c.moved || differ(c.machines[0], c.machines[1]) {
		t.Errorf("compared with what was read: %d skipped, moved is %t", c.skipped, c.moved)
	}
	for text, want := range map[string]string{
		"hello\n": "is not a file of mpbench -json, and has no benchmarks",
		"BenchmarkThroughput/transport=queue/size=64 1 5 ns/op\n": "has no msgs/s",
	} {
		if _, err := readBenchfmt("x.txt", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
