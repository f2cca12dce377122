package main

import (
	"fmt"
	"io"
	"slices"
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

// rows groups the cells of throughput and latency by what else they have in common: by size, and within a size in the
// order of the first of each.
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
	slices.SortStableFunc(list, func(a, b *row) int { return a.size - b.size })
	return list
}

// writeTables prints a table of medians: one of all trials, or, if the CPUs moved, one of the rounds in which they were
// near together and one of those in which they were far apart.
func writeTables(to io.Writer, s style, t trials) error {
	if len(t.cells()) == 0 {
		return nil
	}
	var text strings.Builder
	for i, sec := range sectionsOf(t) {
		if i > 0 {
			text.WriteByte('\n')
		}
		if head := sec.head(); head != "" {
			text.WriteString(s.paint(bold, head+":") + "\n\n")
		}
		text.WriteString(tables(s, sec.trials.cells()) + legend(s, &sec))
	}
	_, err := io.WriteString(to, text.String())
	return err
}

// tables returns the table of messages and the one of all else, each if there is something in it.
func tables(s style, cells []bench.Cell) string {
	var parts []string
	for _, g := range []*grid{messagesGrid(cells), othersGrid(cells)} {
		if g != nil {
			parts = append(parts, g.write(s))
		}
	}
	return strings.Join(parts, "\n")
}

// legend returns the lines below a table.
func legend(s style, sec *section) string {
	lines := append([]string{"bars: share of the best in the same group, linear; longer is better"}, meanings(sec)...)
	if s.colour {
		lines = append(lines, fmt.Sprintf("colours: green at least %s of the limit, cyan at least %s, red ± of %s or more",
			share(nearLimit), share(halfwayLimit), share(wideSpread)))
	}
	var text strings.Builder
	for _, line := range lines {
		text.WriteString("\n" + s.wrap(line))
	}
	return text.String() + "\n"
}

// meanings says what the columns are, how sure the medians are, what the machine allowed in the rounds of a table, and which
// rounds are in no table. A line that begins with a space belongs to the one before.
func meanings(sec *section) (lines []string) {
	rounds, list := sec.trials.rounds(), rows(sec.trials.cells())
	if len(list) > 0 {
		lines = append(lines, "p50, p99: 50 % and 99 % of the round trips take no longer than this")
	}
	if slices.ContainsFunc(list, func(r *row) bool { return r.transport == reference }) {
		lines = append(lines, "ratio: times as fast as "+reference)
	}
	if n := len(rounds); n > 1 {
		lines = append(lines, fmt.Sprintf("±: uncertainty of the figure: half of the interval that holds the median with %.0f %% confidence, of %d trials",
			100*bench.NewCell(rounds).Confidence, n))
	}
	lines = append(lines, "limit: share of what the machine allows, which was, from round to round:")
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
		lines = append(lines, fmt.Sprintf("  %s: %s to %s", l.what, l.show(least), l.show(most)))
	}
	if left := sec.left(); left != "" {
		lines = append(lines, left)
	}
	return lines
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// messagesGrid returns the table of throughput and round trips, in groups of one size, or nil if there is nothing to show.
// The ratios say how many times as fast as the reference a transport is, by messages per second and by the median round
// trip. They are missing where the reference was not measured.
func messagesGrid(cells []bench.Cell) *grid {
	list := rows(cells)
	if len(list) == 0 {
		return nil
	}
	// The bars need room. If a line has none, first the bytes are left out, which follow from the size and the messages,
	// and then the ratios, which the bars show.
	const bytes, ratios = 2, 1
	g := &grid{columns: []column{
		{head: "", left: true},
		{head: "msgs/s"}, {bar: true}, {head: "±"}, {head: "GB/s", last: bytes}, {head: "ratio", last: ratios}, {head: "limit"},
		{head: "p50"}, {bar: true}, {head: "±"}, {head: "p99"}, {head: "ratio", last: ratios}, {head: "limit"},
	}}
	for i, r := range list {
		if i == 0 || list[i-1].size != r.size {
			g.title(sizeText(r.size))
		}
		group := groupOf(list, r.size)
		line := []gridCell{{text: "  " + r.name()}}
		line = append(line, group.throughput(r.throughput)...)
		g.row(append(line, group.latency(r.latency)...)...)
	}
	return g
}

// A group is the best and the reference of the rows of one size.
type group struct {
	most    float64 // messages per second
	fastest int64   // median round trip
	ref     *row    // nil: not measured
}

func groupOf(list []*row, size int) (g group) {
	for _, r := range list {
		if r.size != size {
			continue
		}
		if r.throughput != nil {
			g.most = max(g.most, r.throughput.MsgsPerSec)
		}
		if r.latency != nil && (g.fastest == 0 || r.latency.P50 < g.fastest) {
			g.fastest = r.latency.P50
		}
		if r.transport == reference && r.batch < 2 {
			g.ref = r
		}
	}
	return g
}

// throughput returns the cells of a throughput: messages/s, bar, spread, GB/s, ratio, limit.
func (g group) throughput(c *bench.Cell) []gridCell {
	if c == nil {
		return make([]gridCell, 6)
	}
	ratio := ""
	if g.ref != nil && g.ref.throughput != nil {
		ratio = times(c.MsgsPerSec, g.ref.throughput.MsgsPerSec)
	}
	near := limitColour(c)
	return []gridCell{
		{text: count(c.MsgsPerSec)}, {part: c.MsgsPerSec / g.most, colour: near}, spreadCell(c),
		{text: fmt.Sprintf("%.2f", c.BytesPerSec/1e9)}, {text: ratio}, {text: share(c.OfLimit), colour: near},
	}
}

// latency returns the cells of round trips: p50, bar, spread, p99, ratio, limit.
func (g group) latency(c *bench.Cell) []gridCell {
	if c == nil {
		return make([]gridCell, 6)
	}
	ratio := ""
	if g.ref != nil && g.ref.latency != nil {
		ratio = times(float64(g.ref.latency.P50), float64(c.P50))
	}
	near := limitColour(c)
	return []gridCell{
		{text: span(c.P50)}, {part: float64(g.fastest) / float64(c.P50), colour: near}, spreadCell(c),
		{text: span(c.P99)}, {text: ratio}, {text: share(c.OfLimit), colour: near},
	}
}

// From these shares of the limit on a result has a colour, and from that spread on a spread.
const (
	nearLimit    = 0.5
	halfwayLimit = 0.1
	wideSpread   = 0.25
)

// limitColour returns the colour of a result by its share of the limit.
func limitColour(c *bench.Cell) colour {
	switch {
	case c.OfLimit >= nearLimit:
		return green
	case c.OfLimit >= halfwayLimit:
		return cyan
	}
	return plain
}

func spreadCell(c *bench.Cell) gridCell {
	cell := gridCell{text: percent(c)}
	if c.Spread() >= wideSpread {
		cell.colour = red
	}
	return cell
}

// sizeText returns the size of a message with its unit.
func sizeText(size int) string {
	if text := bytesOf(uint64(size)); size >= 1024 {
		return text[:len(text)-1] + " " + text[len(text)-1:] + "iB"
	}
	return fmt.Sprintf("%d bytes", size)
}

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

// times returns a ratio, or nothing if one of the two figures is 0.
func times(a, b float64) string {
	if a == 0 || b == 0 {
		return ""
	}
	return digits(a / b)
}

// percent returns the spread of a cell's trials, or nothing if there is but one, or if the figure of the cell is 0.
func percent(c *bench.Cell) string {
	if len(c.Trials) < 2 || c.Figure() == 0 {
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
