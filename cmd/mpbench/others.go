package main

import (
	"strconv"

	"github.com/seed-2e7ecdea/mp/bench"
)

// othersGrid returns the table of the cells that measure neither throughput nor latency, or nil if there are none.
func othersGrid(results []bench.Cell) *grid {
	const cpu = 1 // what is left out first
	g := &grid{columns: []column{
		{head: "measure", left: true}, {head: "transport", left: true}, {head: "size"}, {head: "msgs/s"},
		{head: "p50"}, {bar: true}, {head: "±"}, {head: "p99"}, {head: "CPU", last: cpu}, {head: "switches", last: cpu},
	}}
	best := make(map[othersKey]float64)
	for _, c := range results {
		if k := (othersKey{c.Measure, c.Rate}); best[k] == 0 || c.Figure() < best[k] {
			best[k] = c.Figure()
		}
	}
	for i := range results {
		c := &results[i]
		if c.Measure == bench.Throughput || c.Measure == bench.Latency {
			continue
		}
		size, rate, p50, p99, per := "", "", "", "", ""
		if c.Size > 0 {
			size = strconv.Itoa(c.Size)
		}
		if c.Rate > 0 {
			rate = count(c.MsgsPerSec)
		}
		if c.Measure == bench.Idle {
			per = "/s"
		} else {
			p50, p99 = span(c.P50), span(c.P99)
		}
		part := 0.0
		if c.Figure() > 0 {
			part = best[othersKey{c.Measure, c.Rate}] / c.Figure()
		}
		g.row(gridCell{text: c.Measure}, gridCell{text: c.Transport}, gridCell{text: size}, gridCell{text: rate},
			gridCell{text: p50}, gridCell{part: part}, spreadCell(c), gridCell{text: p99},
			gridCell{text: span(int64(c.CPU)) + per}, gridCell{text: digits(c.Switches) + per})
	}
	if len(g.rows) == 0 {
		return nil
	}
	return g
}

// An othersKey tells the groups apart in which figures can be compared.
type othersKey struct {
	measure string
	rate    int
}
