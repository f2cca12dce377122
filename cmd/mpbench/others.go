package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/seed-2e7ecdea/mp/bench"
)

// writeOthers prints a table of the cells that measure neither throughput nor latency, if there are any.
func writeOthers(to io.Writer, results []bench.Cell) error {
	const format = "%-9s %-16s %8s %12s %10s %5s %10s %10s %9s"
	var text strings.Builder
	line := func(cells ...any) {
		text.WriteString(strings.TrimRight(fmt.Sprintf(format, cells...), " ") + "\n")
	}
	for i := range results {
		c := &results[i]
		if c.Measure == bench.Throughput || c.Measure == bench.Latency {
			continue
		}
		if text.Len() == 0 {
			text.WriteByte('\n')
			line("measure", "transport", "size", "messages/s", "p50", "±", "p99", "CPU", "switches")
		}
		size, rate, p50, p99 := "", "", "", ""
		if c.Size > 0 {
			size = strconv.Itoa(c.Size)
		}
		if c.Rate > 0 {
			rate = count(c.MsgsPerSec)
		}
		per := ""
		if c.Measure == bench.Idle {
			per = "/s"
		} else {
			p50, p99 = span(c.P50), span(c.P99)
		}
		line(c.Measure, c.Transport, size, rate, p50, percent(c), p99, span(int64(c.CPU))+per, digits(c.Switches)+per)
	}
	_, err := io.WriteString(to, text.String())
	return err
}
