package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// A chart shows lines over two logarithmic axes.
type chart struct {
	name         string
	title, note  string
	x, y         string // what the axes show
	xText, yText func(float64) string
	lines        []chartLine
}

// A chartLine connects the points of one transport.
type chartLine struct {
	name   string
	points []chartPoint // in order of x
}

// A chartPoint is a figure and the interval that holds it.
type chartPoint struct{ x, y, low, high float64 }

// add adds a point to the line of that name.
func (c *chart) add(name string, p chartPoint) {
	i := slices.IndexFunc(c.lines, func(l chartLine) bool { return l.name == name })
	if i < 0 {
		i = len(c.lines)
		c.lines = append(c.lines, chartLine{name: name})
	}
	c.lines[i].points = append(c.lines[i].points, p)
}

// sort puts the points of each line in order.
func (c *chart) sort() {
	for _, l := range c.lines {
		slices.SortFunc(l.points, func(a, b chartPoint) int { return int(math.Copysign(1, a.x-b.x)) })
	}
}

// spans reports whether the chart has something to show along its x axis.
func (c *chart) spans() bool {
	return slices.ContainsFunc(c.lines, func(l chartLine) bool {
		return slices.ContainsFunc(l.points, func(p chartPoint) bool { return p.x != l.points[0].x })
	})
}

// The size of a chart, and of the margins around its area, in the units of its picture.
const (
	chartWidth, chartHeight   = 720, 400
	marginLeft, marginRight   = 76, 16
	marginTop, marginBottom   = 12, 44
	colours                   = 10 // the page has so many; then they begin again, with another dash
	markSize                  = 3.2
	lineHeight, labelDistance = 4, 8
)

// An axis maps figures to places.
type axis struct {
	from, to     float64 // logarithms of the least and the greatest figure
	start, scale float64
}

func newAxis(least, most, start, length float64) axis {
	from, to := math.Log10(least), math.Log10(most)
	if to-from < 1e-9 {
		from, to = from-0.5, to+0.5
	}
	return axis{from, to, start, length / (to - from)}
}

func (a axis) at(x float64) float64 { return a.start + (math.Log10(x)-a.from)*a.scale }

// picture returns the chart as a picture, or nil if there is nothing to show.
func (c *chart) picture() *picture {
	var xs []float64
	least, most := math.Inf(1), 0.0
	for _, l := range c.lines {
		for _, p := range l.points {
			xs = append(xs, p.x)
			least, most = min(least, p.low), max(most, p.high)
		}
	}
	slices.Sort(xs)
	xs = slices.Compact(xs)
	if len(xs) == 0 || least <= 0 {
		return nil
	}
	bottom, top := math.Pow(10, math.Floor(math.Log10(least))), math.Pow(10, math.Ceil(math.Log10(most)))
	x := newAxis(xs[0], xs[len(xs)-1], marginLeft+12, chartWidth-marginLeft-marginRight-24)
	y := newAxis(bottom, top, chartHeight-marginBottom, -(chartHeight - marginTop - marginBottom))

	var b strings.Builder
	p := &picture{Title: c.title, Note: c.note, file: c.name + ".svg", width: chartWidth, height: chartHeight}
	for v := bottom; v <= top*1.001; v *= 10 {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, marginLeft, chartWidth-marginRight, y.at(v), y.at(v))
		fmt.Fprintf(&b, `<text class="tick end" x="%d" y="%.1f">%s</text>`, marginLeft-labelDistance, y.at(v)+lineHeight, html.EscapeString(c.yText(v)))
	}
	for _, v := range xs {
		fmt.Fprintf(&b, `<text class="tick middle" x="%.1f" y="%d">%s</text>`, x.at(v), chartHeight-marginBottom+18, html.EscapeString(c.xText(v)))
	}
	fmt.Fprintf(&b, `<text class="tick middle" x="%d" y="%d">%s</text>`, (chartWidth+marginLeft)/2, chartHeight-6, html.EscapeString(c.x))
	fmt.Fprintf(&b, `<text class="tick middle" transform="translate(12 %d) rotate(-90)">%s</text>`, chartHeight/2, html.EscapeString(c.y))
	for i, l := range c.lines {
		var path strings.Builder
		for k, p := range l.points {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(k, 1)], x.at(p.x), y.at(p.y))
		}
		class := fmt.Sprintf("c%d d%d", i%colours, i/colours)
		p.Legend = append(p.Legend, legendEntry{l.name, class, false})
		fmt.Fprintf(&b, `<path class="%s" d="%s"/>`, class, &path)
		for _, p := range l.points {
			if p.high > p.low {
				fmt.Fprintf(&b, `<line class="%s" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, class, x.at(p.x), x.at(p.x), y.at(p.low), y.at(p.high))
			}
			fmt.Fprintf(&b, `<circle class="%s" cx="%.1f" cy="%.1f" r="%.1f"><title>%s: %s: %s</title></circle>`,
				class, x.at(p.x), y.at(p.y), markSize, html.EscapeString(l.name), html.EscapeString(c.xText(p.x)), html.EscapeString(c.yText(p.y)))
		}
	}
	p.body = b.String()
	return p
}
