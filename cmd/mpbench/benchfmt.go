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
			fmt.Fprintf(&text, "%s-%d\t%d\t%.4g ns/op", benchmarkName(t), r.Machine.Cores, t.Messages, 1e9*t.Seconds/float64(t.Messages))
			if t.Measure == bench.Latency {
				fmt.Fprintf(&text, "\t%d p50-ns\t%d p99-ns", t.P50, t.P99)
			} else {
				fmt.Fprintf(&text, "\t%.2f MB/s\t%.0f msgs/s", t.BytesPerSec/1e6, t.MsgsPerSec)
			}
			fmt.Fprintf(&text, "\t%.1f cpu-ns/op\t%.3g switches/op\t%.1f line-ns\n", t.CPU, t.Switches, t.Line)
		}
	}
	_, err := io.WriteString(to, text.String())
	return err
}

// benchmarkName returns a name such as BenchmarkLatency/transport=pipe/size=64.
func benchmarkName(r bench.Result) string {
	kind := "Throughput"
	if r.Measure == bench.Latency {
		kind = "Latency"
	}
	name := fmt.Sprintf("Benchmark%s/transport=%s/size=%d", kind, r.Transport, r.Size)
	if r.Producers > 1 || r.Consumers > 1 {
		name += fmt.Sprintf("/producers=%d/consumers=%d", r.Producers, r.Consumers)
	}
	return name
}
