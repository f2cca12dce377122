package main

import (
	"fmt"
	"html"
	"math"
	"strings"
	"unicode/utf8"
)

// A barChart compares figures in one or more panels side by side, with a row for each thing that was measured.
type barChart struct {
	panels []barPanel
	rows   []barRow
}

// A barPanel shows one kind of figure: by the length of bars, or, if log is set, by points over a logarithmic axis, on
// which the length of a bar would mean nothing.
type barPanel struct {
	title string
	log   bool
	text  func(float64) string
}

// A barRow is a title, or has a figure for each panel.
type barRow struct {
	name    string
	colour  int
	figures []interval // nil: a title. A figure of 0 was not measured
}

// An interval is a figure and the interval that holds it.
type interval struct{ figure, low, high float64 }

// The sizes of a bar chart.
const (
	barChartWidth = 720
	barLetter     = 7.8 // of the names of the rows: as wide as the average of bold text
	barValues     = 74  // for the text after the longest bar
	barRowHeight  = 20
	barThickness  = 12
	barHead       = 24
	barGap        = 16 // between panels
)

// draw returns the elements of the chart, and its height.
func (c *barChart) draw() (body string, height int) {
	var b strings.Builder
	names := labelDistance // the width of their column
	for _, r := range c.rows {
		names = max(names, labelDistance+int(barLetter*float64(utf8.RuneCountInString(r.name))))
	}
	height = barHead + barRowHeight*len(c.rows)
	for i, r := range c.rows {
		class := "name end"
		if r.figures == nil {
			class = "head end"
		}
		fmt.Fprintf(&b, `<text class="%s" x="%d" y="%d">%s</text>`, class, names-labelDistance, rowAt(i)+lineHeight, html.EscapeString(r.name))
	}
	width := (barChartWidth - names - barGap*(len(c.panels)-1)) / len(c.panels)
	bottom := height
	for k, p := range c.panels {
		left := names + k*(width+barGap)
		fmt.Fprintf(&b, `<text class="head" x="%d" y="14">%s</text>`, left, html.EscapeString(p.title))
		if p.log {
			c.points(&b, k, left, width)
			height = bottom + barHead // for the axis
			continue
		}
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%d" y2="%d"/>`, left, left, barHead, bottom)
		c.bars(&b, k, left, width-barValues)
	}
	return b.String(), height
}

// rowAt returns the middle of row i.
func rowAt(i int) int { return barHead + barRowHeight*i + barRowHeight/2 }

// most returns the greatest figure of the rows from i on, up to the next title.
func (c *barChart) most(panel, i int) (most float64) {
	for k, r := range c.rows[i:] {
		if r.figures == nil {
			if k > 0 {
				break
			}
			continue
		}
		most = max(most, r.figures[panel].figure, r.figures[panel].high)
	}
	return most
}

// bars draws a panel of bars from x on. The longest below each title has that length.
func (c *barChart) bars(b *strings.Builder, panel, x, length int) {
	most := 0.0
	at := func(v float64) float64 { return float64(x) + float64(length)*v/most }
	for i, r := range c.rows {
		if i == 0 || r.figures == nil {
			most = c.most(panel, i)
		}
		if r.figures == nil || r.figures[panel].figure <= 0 {
			continue
		}
		f, y := r.figures[panel], rowAt(i)
		fmt.Fprintf(b, `<rect class="c%d" x="%d" y="%d" width="%.1f" height="%d" rx="1.5"/>`,
			r.colour, x, y-barThickness/2, max(at(f.figure)-float64(x), 1), barThickness)
		c.rangeAndText(b, panel, f, at, y)
	}
}

// points draws a panel of points over a logarithmic axis.
func (c *barChart) points(b *strings.Builder, panel, x, width int) {
	least, most := math.Inf(1), 0.0
	for _, r := range c.rows {
		if r.figures != nil && r.figures[panel].figure > 0 {
			f := r.figures[panel]
			least, most = min(least, f.figure, positive(f.low, f.figure)), max(most, f.figure, f.high)
		}
	}
	if most == 0 {
		return
	}
	bottom, top := math.Pow(10, math.Floor(math.Log10(least))), math.Pow(10, math.Ceil(math.Log10(most)))
	a := newAxis(bottom, top, float64(x), float64(width-barValues))
	end := barHead + barRowHeight*len(c.rows)
	for v := bottom; v <= top*1.001; v *= 10 {
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, a.at(v), a.at(v), barHead, end)
		fmt.Fprintf(b, `<text class="tick middle" x="%.1f" y="%d">%s</text>`, a.at(v), end+16, html.EscapeString(c.panels[panel].text(v)))
	}
	for i, r := range c.rows {
		if r.figures == nil || r.figures[panel].figure <= 0 {
			continue
		}
		f, y := r.figures[panel], rowAt(i)
		fmt.Fprintf(b, `<line class="grid" x1="%d" x2="%.1f" y1="%d" y2="%d"/>`, x, a.at(f.figure), y, y)
		fmt.Fprintf(b, `<circle class="full c%d" cx="%.1f" cy="%d" r="4"/>`, r.colour, a.at(f.figure), y)
		c.rangeAndText(b, panel, f, a.at, y)
	}
}

func positive(x, otherwise float64) float64 {
	if x > 0 {
		return x
	}
	return otherwise
}

// rangeAndText draws the interval, and the figure to its right.
func (c *barChart) rangeAndText(b *strings.Builder, panel int, f interval, at func(float64) float64, y int) {
	right := at(f.figure)
	if f.low > 0 && f.high > f.low {
		fmt.Fprintf(b, `<line class="range" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, at(f.low), at(f.high), y, y)
		right = max(right, at(f.high))
	}
	fmt.Fprintf(b, `<text class="name" x="%.1f" y="%d">%s</text>`, right+labelDistance, y+lineHeight, html.EscapeString(c.panels[panel].text(f.figure)))
}
