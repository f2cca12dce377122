package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/seed-2e7ecdea/mp/bench"
)

// writeBenchfmt prints each trial as a line in the format of Go's benchmarks, with the names that go test -bench
// gives them, so that benchstat can compare two runs.
func writeBenchfmt(to io.Writer, r bench.Report) error {
	var text strings.Builder
	fmt.Fprintf(&text, "goos: %s\ngoarch: %s\npkg: github.com/seed-2e7ecdea/mp/bench\ncpu: %s\n", r.Machine.OS, r.Machine.Arch, r.Machine.CPU)
	for _, c := range r.Results {
		for _, t := range c.Trials {
			fmt.Fprintf(&text, "Benchmark%s-%d\t%d\t%s\n", t.Scenario().Name(), r.Machine.Cores, t.Messages, metrics(t))
		}
	}
	_, err := io.WriteString(to, text.String())
	return err
}

// metrics returns the figures of a trial with their units.
func metrics(r bench.Result) string {
	var text string
	switch r.Measure {
	case bench.Throughput:
		text = fmt.Sprintf("%.4g ns/op\t%.2f MB/s\t%.0f msgs/s", 1e9*r.Seconds/float64(r.Messages), r.BytesPerSec/1e6, r.MsgsPerSec)
		if r.LoadsPerSec > 0 {
			text += fmt.Sprintf("\t%.0f loads/s", r.LoadsPerSec)
		}
	case bench.Idle:
		return fmt.Sprintf("%.0f cpu-ns/s\t%.3g switches/s\t%.1f line-ns", r.CPU, r.Switches, r.Line)
	default:
		text = fmt.Sprintf("%.4g ns/op\t%d p50-ns\t%d p99-ns", 1e9*r.Seconds/float64(r.Messages), r.P50, r.P99)
	}
	return fmt.Sprintf("%s\t%.1f cpu-ns/op\t%.3g switches/op\t%.1f line-ns", text, r.CPU, r.Switches, r.Line)
}
