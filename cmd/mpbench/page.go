package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-2e7ecdea/mp/bench"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// A page is what the HTML page shows.
type page struct {
	Style                         template.CSS
	Machine, Place, Command, Time string
	Sections                      []pageSection
}

// A pageSection shows what was measured in rounds of one kind.
type pageSection struct {
	Title, Note, Left string
	Pictures          []*picture
	Rows              []pageRow
}

// A pageRow is a line of the page's table.
type pageRow struct {
	Measure, Transport, Size                          string
	Figure, Spread, Volume, P50, P99, P999, CPU, Swap string
	Limit                                             string
}

// writePage writes a report as one HTML page that needs no other file.
func writePage(to io.Writer, r bench.Report) error {
	p := page{
		Style: template.CSS(pictureStyle), Machine: r.Machine.String(), Place: r.Place, Command: commandLine(os.Args), Time: today(),
	}
	for _, s := range sectionsOf(trialsOf(r)) {
		cells := s.trials.cells()
		ps := pageSection{Title: s.head(), Pictures: pictures(cells)}
		for i := range cells {
			ps.Rows = append(ps.Rows, newPageRow(&cells[i]))
		}
		if n := len(s.trials.rounds()); n > 1 {
			ps.Note = fmt.Sprintf("Medians of %d trials; ± and the bars at the points: the interval that holds the median with %.0f %% confidence.",
				n, 100*bench.NewCell(s.trials.rounds()).Confidence)
		}
		ps.Left = s.left()
		p.Sections = append(p.Sections, ps)
	}
	return pageTemplate.Execute(to, p)
}

// today returns the time of a run as its reader sees it.
func today() string { return time.Now().Format("2006-01-02 15:04 MST") }

// commandLine returns the arguments as a shell takes them.
func commandLine(args []string) string {
	list := make([]string, len(args))
	for i, a := range args {
		if list[i] = a; a == "" || strings.ContainsAny(a, " \t\n'\"\\$`*?[]{}()<>|&;#~!") {
			list[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	if len(list) > 0 {
		list[0] = "mpbench"
	}
	return strings.Join(list, " ")
}

// pictures returns the pictures of cells for which something was measured.
func pictures(cells []bench.Cell) (list []*picture) {
	add := func(p *picture) {
		if p != nil {
			list = append(list, p)
		}
	}
	add(transportsPicture(cells))
	for _, c := range charts(cells) {
		if c.sort(); c.spans() {
			add(c.picture())
		}
	}
	add(costsPicture(cells))
	return list
}

// charts returns the charts of a report. Those for which nothing was measured have no lines.
func charts(cells []bench.Cell) []*chart {
	size := func(x float64) string { return bytesOf(uint64(x)) }
	throughput := &chart{
		name: "throughput", title: "Throughput", note: "Messages per second by the length of a message; more is better.",
		x: "length of a message", y: "messages/s", xText: size, yText: count,
	}
	volume := &chart{
		name: "volume", title: "Volume", note: "Bytes per second by the length of a message; more is better.",
		x: "length of a message", y: "bytes/s", xText: size, yText: volumeText,
	}
	trips := &chart{
		name: "round-trips", title: "Round trips", note: "Median time of a message there and back by its length; less is better.",
		x: "length of a message", y: "round trip", xText: size, yText: nanoseconds,
	}
	tail := &chart{
		name: "percentiles", title: "Percentiles of round trips", note: "Time that so many of the round trips of 64 bytes exceed; less is better.",
		x: "share of slower round trips", y: "round trip", xText: slowerShare, yText: nanoseconds,
	}
	load := &chart{
		name: "load", title: "Latency over load", note: "99th percentile of the time from when a message was due to its arrival, by the rate; less is better.",
		x: "messages due a second", y: "99th percentile", xText: count, yText: nanoseconds,
	}
	scaling := &chart{
		name: "scaling", title: "Scaling", note: "Messages per second by the number of processes, producers and consumers together.",
		x: "processes", y: "messages/s", xText: func(x float64) string { return strconv.Itoa(int(x + 0.5)) }, yText: count,
	}
	scales := make(map[string]bool) // what was measured with several processes
	for i := range cells {
		if c := &cells[i]; c.Measure == bench.Throughput && c.Producers+c.Consumers > 2 {
			scales[fmt.Sprint(c.Transport, c.Size)] = true
		}
	}
	for i := range cells {
		c := &cells[i]
		name := (&row{key: keyOf(c)}).name()
		single := c.Producers == 1 && c.Consumers == 1
		switch c.Measure {
		case bench.Throughput:
			if single && c.Size > 0 {
				throughput.add(name, chartPoint{float64(c.Size), c.MsgsPerSec, c.Low, c.High})
				n := float64(c.Size)
				volume.add(name, chartPoint{n, c.BytesPerSec, c.Low * n, c.High * n})
			}
			if scales[fmt.Sprint(c.Transport, c.Size)] && c.Batch <= 1 && c.Content == "" {
				scaling.add(fmt.Sprintf("%s, %s", c.Transport, bytesOf(uint64(c.Size))),
					chartPoint{float64(c.Producers + c.Consumers), c.MsgsPerSec, c.Low, c.High})
			}
		case bench.Latency:
			if slices.Contains(bench.MeasuresOf(c.Transport), bench.Throughput) { // it carries messages
				trips.add(name, chartPoint{float64(c.Size), float64(c.P50), c.Low, c.High})
				if c.Size == 64 && c.Content == "" {
					for _, q := range []struct {
						slower float64
						ns     int64
					}{{2, c.P50}, {10, c.P90}, {100, c.P99}, {1000, c.P999}} {
						ns := float64(q.ns)
						tail.add(name, chartPoint{q.slower, ns, ns, ns})
					}
				}
			}
		case bench.Paced:
			ns := float64(c.P99)
			load.add(name, chartPoint{float64(c.Rate), ns, ns, ns})
		}
	}
	return []*chart{throughput, volume, trips, tail, load, scaling}
}

// volumeText returns bytes per second with a unit.
func volumeText(x float64) string {
	if x >= 1e9 {
		return digits(x/1e9) + " GB"
	}
	return digits(x/1e6) + " MB"
}

// slowerShare returns the text for one of n: 2 is 50 %, 1000 is 0.1 %.
func slowerShare(n float64) string { return strconv.FormatFloat(100/n, 'g', 3, 64) + " %" }

func newPageRow(c *bench.Cell) pageRow {
	r := pageRow{
		Measure: c.Measure, Transport: (&row{key: keyOf(c)}).name(), Spread: percent(c), Limit: share(c.OfLimit),
		CPU: nanoseconds(c.CPU), Swap: strconv.FormatFloat(c.Switches, 'g', 3, 64),
	}
	if c.Size > 0 {
		r.Size = bytesOf(uint64(c.Size))
	}
	if c.Rate > 0 {
		r.Measure += ", " + count(float64(c.Rate)) + " a second"
	}
	switch c.Measure {
	case bench.Throughput:
		r.Figure, r.Volume = count(c.MsgsPerSec)+"/s", fmt.Sprintf("%.2f GB/s", c.BytesPerSec/1e9)
	case bench.Idle:
		r.Figure = nanoseconds(c.CPU) + " a second"
		r.CPU = ""
	default:
		r.P50, r.P99, r.P999 = span(c.P50), span(c.P99), span(c.P999)
	}
	return r
}
