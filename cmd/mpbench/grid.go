package main

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A grid is a table whose columns are as wide as what they hold. Its bars take what is left of a line. If that is too
// little for them, columns are left out.
type grid struct {
	columns []column
	rows    []gridRow
}

// A column of a grid.
type column struct {
	head string
	left bool // aligned to the left, not to the right
	bar  bool
	last int // columns with the greatest number are left out first; 0: never
}

// A gridRow is a line of a grid: a title, or cells, one for each column.
type gridRow struct {
	title string
	cells []gridCell
}

// A gridCell is a text, or a part of a bar.
type gridCell struct {
	text   string
	part   float64 // of the longest bar
	colour colour
}

// The widths of bars.
const (
	shortestBar = 4
	longestBar  = 16
)

func (g *grid) title(text string) { g.rows = append(g.rows, gridRow{title: text}) }

func (g *grid) row(cells ...gridCell) { g.rows = append(g.rows, gridRow{cells: cells}) }

// write returns the grid as text.
func (g *grid) write(s style) string {
	widths := g.widths(s)
	var text strings.Builder
	head := make([]gridCell, len(g.columns))
	for i, c := range g.columns {
		head[i] = gridCell{text: c.head, colour: bold}
	}
	g.line(&text, s, widths, head)
	for _, r := range g.rows {
		if r.cells == nil {
			text.WriteString("\n" + s.paint(bold, s.text(r.title)) + "\n")
			continue
		}
		g.line(&text, s, widths, r.cells)
	}
	return text.String()
}

// widths returns the width of each column, -1 for those that are left out.
func (g *grid) widths(s style) []int {
	widths := make([]int, len(g.columns))
	for i, c := range g.columns {
		widths[i] = utf8.RuneCountInString(s.text(c.head))
		for _, r := range g.rows {
			if r.cells != nil && !c.bar {
				widths[i] = max(widths[i], utf8.RuneCountInString(s.text(r.cells[i].text)))
			}
		}
	}
	for {
		left, bars := s.width+1, 0
		least := 0 // columns that the bars need
		for i, c := range g.columns {
			switch {
			case widths[i] < 0:
			case c.bar:
				left--
				bars++
				least += max(shortestBar, widths[i])
			default:
				left -= widths[i] + 1
			}
		}
		drop := g.dispensable(widths)
		if left >= least || drop == 0 {
			for i, c := range g.columns {
				if c.bar && widths[i] >= 0 {
					widths[i] = min(max(left/bars, 1), longestBar)
				}
			}
			return widths
		}
		for i, c := range g.columns {
			if c.last == drop {
				widths[i] = -1
			}
		}
	}
}

// dispensable returns the greatest number of a column that may be left out, or 0.
func (g *grid) dispensable(widths []int) (last int) {
	for i, c := range g.columns {
		if widths[i] >= 0 {
			last = max(last, c.last)
		}
	}
	return last
}

func (g *grid) line(text *strings.Builder, s style, widths []int, cells []gridCell) {
	cells = slices.Clone(cells)
	var b strings.Builder
	blanks := 0 // not yet written: none at the end of a line
	for i, c := range g.columns {
		if widths[i] < 0 {
			continue
		}
		cell := cells[i]
		shown := s.text(cell.text)
		if cell.part > 0 {
			shown = s.bar(cell.part, widths[i])
		}
		blank := max(widths[i]-utf8.RuneCountInString(shown), 0)
		before, after := blank, 0
		if c.left || c.bar {
			before, after = 0, blank
		}
		if blanks += before; shown != "" {
			b.WriteString(strings.Repeat(" ", blanks) + s.paint(cell.colour, shown))
			blanks = 0
		}
		blanks += after + 1
	}
	text.WriteString(b.String() + "\n")
}
