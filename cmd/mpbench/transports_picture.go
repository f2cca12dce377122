package main

import (
	"fmt"
	"slices"

	"github.com/seed-2e7ecdea/mp/bench"
)

// originColours are the colours of the origins, by their numbers in pictureStyle.
var originColours = map[bench.Origin]int{
	bench.OriginMP: 0, bench.OriginKernel: 1, bench.OriginGo: 8, bench.OriginPython: 2, bench.OriginPeer: 3,
}

// originLegend returns the legend of rows with the colours of origins.
func originLegend(rows []barRow) (list []legendEntry) {
	for _, o := range bench.Origins() {
		if slices.ContainsFunc(rows, func(r barRow) bool { return r.figures != nil && r.colour == originColours[o] }) {
			list = append(list, legendEntry{string(o), fmt.Sprintf("c%d", originColours[o]), true})
		}
	}
	return list
}

// transportsPicture returns the picture of throughput and round trips of each transport that carries messages, by their
// size, for one producer and one consumer of bytes. It returns nil if there are fewer than two to compare.
func transportsPicture(cells []bench.Cell) *picture {
	c := &barChart{panels: []barPanel{
		{title: "messages/s: longer is better", text: func(x float64) string { return count(x) }},
		{title: "round trip, p50: shorter is better", text: nanoseconds},
	}}
	size, most := 0, 0
	for _, r := range rows(cells) {
		messages := slices.Contains(bench.MeasuresOf(r.transport), bench.Throughput)
		if !messages || r.producers > 1 || r.consumers > 1 || r.batch > 1 || r.content != "" {
			continue
		}
		if r.size != size {
			size = r.size
			c.rows = append(c.rows, barRow{name: sizeText(size)})
			most = 0
		}
		bar := barRow{name: r.transport, colour: originColours[bench.OriginOf(r.transport)], figures: make([]interval, 2)}
		if t := r.throughput; t != nil {
			bar.figures[0] = interval{t.MsgsPerSec, t.Low, t.High}
		}
		if l := r.latency; l != nil {
			bar.figures[1] = interval{float64(l.P50), l.Low, l.High}
		}
		c.rows = append(c.rows, bar)
		most++
	}
	if most < 2 {
		return nil
	}
	p := &picture{
		Title: "Messages from process to process", file: "transports.svg", width: barChartWidth,
		Note:   "One producer and one consumer; each size has a scale of its own. Thin lines: the interval that holds the median.",
		Legend: originLegend(c.rows),
	}
	p.body, p.height = c.draw()
	return p
}
