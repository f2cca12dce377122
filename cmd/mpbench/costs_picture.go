package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/seed-2e7ecdea/mp/bench"
)

// machineColour is the colour of what the machine allows, by its number in pictureStyle.
const machineColour = 4

// costSize is the size of the messages whose costs are shown.
const costSize = 64

// costsPicture returns the picture of how long everything takes that was measured, from the fastest to the slowest. It
// returns nil if nothing was.
func costsPicture(cells []bench.Cell) *picture {
	if len(cells) == 0 {
		return nil
	}
	rows := limitCosts(cells[0].Trials)
	for i := range cells {
		if name := costName(&cells[i]); name != "" {
			rows = append(rows, barRow{
				name: name, colour: originColours[bench.OriginOf(cells[i].Transport)], figures: []interval{costOf(&cells[i])},
			})
		}
	}
	slices.SortStableFunc(rows, func(a, b barRow) int {
		return cmp.Compare(a.figures[0].figure, b.figures[0].figure)
	})
	c := &barChart{panels: []barPanel{{title: "time, median; the axis is logarithmic", log: true, text: nanoseconds}}, rows: rows}
	p := &picture{
		Title: "What costs what", file: "costs.svg", width: barChartWidth, Legend: originLegend(rows),
		Note: "A message is one of a stream: 1 divided by the messages per second. Thin lines: the interval that holds the median.",
	}
	p.Legend = append(p.Legend, legendEntry{"what the machine allows", fmt.Sprintf("c%d", machineColour), true})
	p.body, p.height = c.draw()
	return p
}

// limitCosts returns what the machine allowed in the rounds.
func limitCosts(rounds []bench.Result) (rows []barRow) {
	for _, l := range []struct {
		name string
		of   func(bench.Result) float64 // nanoseconds; 0: not measured
	}{
		{"cache line, there and back", func(r bench.Result) float64 { return r.Line }},
		{"futex, there and back", func(r bench.Result) float64 { return r.Futex }},
		{"copy of 64 KiB", func(r bench.Result) float64 { return 65536e9 / max(r.Copy, 1) }},
	} {
		var list []bench.Result
		for _, r := range rounds {
			if ns := l.of(r); ns > 0 && r.Copy > 0 {
				list = append(list, bench.Result{Measure: bench.Latency, P50: int64(ns)})
			}
		}
		if len(list) > 0 {
			c := bench.NewCell(list)
			rows = append(rows, barRow{name: l.name, colour: machineColour, figures: []interval{costOf(&c)}})
		}
	}
	return rows
}

// costOf returns how long one operation takes, in nanoseconds.
func costOf(c *bench.Cell) interval {
	if c.Measure == bench.Throughput {
		return interval{1e9 / c.MsgsPerSec, 1e9 / c.High, 1e9 / c.Low}
	}
	return interval{float64(c.P50), c.Low, c.High}
}

// costName returns what the operation is, or "" if its cost is not shown.
func costName(c *bench.Cell) string {
	if c.Producers > 1 || c.Consumers > 1 || c.Batch > 1 {
		return ""
	}
	name := (&row{key: keyOf(c)}).name()
	switch {
	case c.Measure == bench.Recovery:
		return name + ", recovered from a death"
	case c.Size != costSize:
		return ""
	case c.Measure == bench.Throughput:
		return name + ", a message"
	case c.Measure == bench.Latency && alone(c.Transport):
		return name + ", started and joined"
	case c.Measure == bench.Latency && c.Transport == "pool":
		return name + ", a call"
	case c.Measure == bench.Latency:
		return name + ", there and back"
	}
	return ""
}

// alone reports whether a round trip starts a process.
func alone(transport string) bool { return transport == "spawn" || transport == "warm" }
