package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/seed-2e7ecdea/mp/bench"
)

// reference is the transport to which the others are compared.
const reference = "os-pipe"

// A row is a line of the table: the results of one transport and size.
type row struct {
	key
	throughput, latency *bench.Cell // nil: not measured
}

// name returns the transport's name, followed by the content, the numbers of producers and consumers, and the batch, unless
// they are bytes, and 1.
func (r *row) name() string {
	name := r.transport
	if r.content != "" {
		name += " " + r.content
	}
	if r.producers > 1 || r.consumers > 1 {
		name += fmt.Sprintf(" %d:%d", r.producers, r.consumers)
	}
	if r.batch > 1 {
		name += fmt.Sprintf(" ×%d", r.batch)
	}
	return name
}

// A key tells the rows of the table apart.
type key struct {
	size, producers, consumers, batch int
	transport, content                string
}

func keyOf(c *bench.Cell) key {
	return key{c.Size, c.Producers, c.Consumers, c.Batch, c.Transport, c.Content}
}

// rows groups the cells of throughput and latency by what else they have in common, in the order of the first of each.
func rows(results []bench.Cell) []*row {
	var list []*row
	found := make(map[key]*row)
	for i := range results {
		c := &results[i]
		if c.Measure != bench.Throughput && c.Measure != bench.Latency {
			continue
		}
		k := keyOf(c)
		r := found[k]
		if r == nil {
			r = &row{key: k}
			found[k] = r
			list = append(list, r)
		}
		if c.Measure == bench.Latency {
			r.latency = c
		} else {
			r.throughput = c
		}
	}
	return list
}

// writeTables prints a table of medians: one of all trials, or, if the CPUs moved, one of the rounds in which they were
// near together and one of those in which they were far apart.
func writeTables(to io.Writer, t trials) error {
	if len(t.cells()) == 0 {
		return nil
	}
	near, far := t.split()
	if far == nil {
		return errors.Join(writeTable(to, near.cells()), writeLine(to, near.rounds()))
	}
	return errors.Join(
		section(to, "CPUs near together", near), section(to, "\nCPUs far apart", far),
	)
}

func section(to io.Writer, title string, t trials) error {
	_, err := fmt.Fprintf(to, "%s, %s:\n\n", title, plural(len(t.rounds()), "round"))
	return errors.Join(err, writeTable(to, t.cells()), writeLine(to, t.rounds()))
}

// writeLine prints how far apart the CPUs were in the rounds of a table, and how sure its medians are.
func writeLine(to io.Writer, rounds []bench.Result) error {
	var text strings.Builder
	if n := len(rounds); n > 1 {
		fmt.Fprintf(&text, "±: half of the interval that holds the median with %.0f %% confidence, of %d trials\n",
			100*bench.NewCell(rounds).Confidence, n)
	}
	fmt.Fprintf(&text, "limit: share of what the machine allows, which was, from round to round:\n")
	for _, l := range []struct {
		what string
		of   func(bench.Result) float64
		show func(float64) string
	}{
		{"round trip of a cache line", func(r bench.Result) float64 { return r.Line }, nanoseconds},
		{"round trip of a futex", func(r bench.Result) float64 { return r.Futex }, nanoseconds},
		{"copying to shared memory", func(r bench.Result) float64 { return r.Copy }, func(x float64) string { return digits(x/1e9) + " GB/s" }},
	} {
		least, most := l.of(rounds[0]), l.of(rounds[0])
		for _, r := range rounds {
			least, most = min(least, l.of(r)), max(most, l.of(r))
		}
		fmt.Fprintf(&text, "  %s: %s to %s\n", l.what, l.show(least), l.show(most))
	}
	_, err := io.WriteString(to, text.String())
	return err
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// writeTable prints cells as a table. The ratios say how many times as fast as the
// reference a transport is, by messages per second and by the median round trip. They are missing where the reference
// was not measured.
func writeTable(to io.Writer, results []bench.Cell) error {
	list := rows(results)
	if len(list) == 0 {
		return writeOthers(to, results)
	}
	references := map[int]*row{}
	for _, r := range list {
		if r.transport == reference && r.batch < 2 {
			references[r.size] = r
		}
	}
	var text strings.Builder
	line := func(cells ...any) {
		text.WriteString(strings.TrimRight(fmt.Sprintf(format, cells...), " ") + "\n")
	}
	line("size", "transport", "messages/s", "±", "GB/s", "ratio", "limit", "p50", "±", "p99", "ratio", "limit")
	for i, r := range list {
		if i == 0 || list[i-1].size != r.size {
			text.WriteByte('\n')
		}
		var rate, rateSpread, volume, more, rateLimit, p50, p50Spread, p99, faster, p50Limit string
		ref := references[r.size]
		if t := r.throughput; t != nil {
			rate, rateSpread, volume = count(t.MsgsPerSec), percent(t), fmt.Sprintf("%.2f", t.BytesPerSec/1e9)
			rateLimit = share(t.OfLimit)
			if ref != nil && ref.throughput != nil {
				more = digits(t.MsgsPerSec / ref.throughput.MsgsPerSec)
			}
		}
		if l := r.latency; l != nil {
			p50, p50Spread, p99 = span(l.P50), percent(l), span(l.P99)
			p50Limit = share(l.OfLimit)
			if ref != nil && ref.latency != nil {
				faster = digits(float64(ref.latency.P50) / float64(l.P50))
			}
		}
		line(strconv.Itoa(r.size), r.name(), rate, rateSpread, volume, more, rateLimit, p50, p50Spread, p99, faster, p50Limit)
	}
	if len(references) > 0 {
		fmt.Fprintf(&text, "\nratio: times as fast as %s\n", reference)
	}
	_, err := io.WriteString(to, text.String())
	return errors.Join(err, writeOthers(to, results))
}

// format is the format of a line of the table.
const format = "%7s %-15s %9s %5s %7s %6s %5s %8s %5s %8s %6s %5s"

// share returns a fraction in percent, or nothing if it is 0.
func share(x float64) string {
	switch {
	case x == 0:
		return ""
	case x < 0.095:
		return fmt.Sprintf("%.1f %%", 100*x)
	}
	return fmt.Sprintf("%.0f %%", 100*x)
}

// percent returns the spread of a cell's trials, or nothing if there is but one.
func percent(c *bench.Cell) string {
	if len(c.Trials) < 2 {
		return ""
	}
	return fmt.Sprintf("%.0f %%", 100*c.Spread())
}

// count returns a number per second with three digits.
func count(x float64) string {
	switch {
	case x >= 1e6:
		return digits(x/1e6) + " M"
	case x >= 1e3:
		return digits(x/1e3) + " k"
	}
	return digits(x)
}

// span returns a time in nanoseconds with three digits and a unit.
func span(ns int64) string {
	x := float64(ns)
	switch d := time.Duration(ns); {
	case d >= time.Second:
		return digits(x/1e9) + " s"
	case d >= time.Millisecond:
		return digits(x/1e6) + " ms"
	case d >= time.Microsecond:
		return digits(x/1e3) + " µs"
	}
	return digits(x) + " ns"
}

func nanoseconds(x float64) string { return span(int64(x)) }

// digits returns x with three digits, or with all digits before the point if those are more.
func digits(x float64) string {
	decimals := 0
	switch {
	case x < 9.995:
		decimals = 2
	case x < 99.95:
		decimals = 1
	}
	return strconv.FormatFloat(x, 'f', decimals, 64)
}
