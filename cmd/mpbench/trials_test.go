package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/seed-2e7ecdea/mp/bench"
)

// TestSections has rounds at different distances: a section has at least two rounds, and what has no second one of its kind
// is left out and named, in each format.
func TestSections(t *testing.T) {
	for _, c := range []struct {
		lines    []float64
		sections [][]float64
		left     string
	}{
		{[]float64{100}, [][]float64{{100}}, ""},
		{[]float64{100, 400}, [][]float64{{100, 400}}, ""},
		{[]float64{100, 400, 110}, [][]float64{{100, 110}}, "1 round in which a cache line took 400 ns "},
		{[]float64{400, 100, 410}, [][]float64{{400, 410}}, "1 round in which a cache line took 100 ns "},
		{[]float64{100, 400, 110, 410}, [][]float64{{100, 110}, {400, 410}}, ""},
		{[]float64{100, 400, 110, 5000}, [][]float64{{100, 110}}, "2 rounds in which a cache line took 5.00 µs and 400 ns "},
		{[]float64{100, 400, 110, 410, 5000}, [][]float64{{100, 110}, {400, 410}}, "1 round in which a cache line took 5.00 µs "},
	} {
		report := bench.NewReport(exampleCells(c.lines...))
		list := sectionsOf(trialsOf(report))
		left := list[len(list)-1].left()
		if len(list) != len(c.sections) || !strings.Contains(left, c.left) || c.left == "" && left != "" {
			t.Errorf("%g: %d sections, %q, want %d, %q", c.lines, len(list), left, len(c.sections), c.left)
			continue
		}
		for i, sec := range list {
			var lines []float64
			for _, r := range sec.trials.rounds() {
				lines = append(lines, r.Line)
			}
			if !slices.Equal(lines, c.sections[i]) {
				t.Errorf("%g: section %d has the rounds %g, want %g", c.lines, i, lines, c.sections[i])
			}
		}
		var table, page bytes.Buffer
		if err := writeTables(&table, style{width: widest, utf8: true}, trialsOf(report)); err != nil {
			t.Fatal(err)
		}
		if err := writePage(&page, report); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{table.String(), page.String(), markdown(report)} {
			text = strings.Join(strings.Fields(text), " ")
			if c.left != "" && !strings.Contains(text, "left out: "+strings.TrimSpace(c.left)) {
				t.Errorf("%g: %q is not in\n%s", c.lines, c.left, text)
			}
		}
	}
}
