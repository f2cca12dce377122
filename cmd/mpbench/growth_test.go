package main

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var growthPictures = flag.Bool("growth.pictures", false, "TestGrowthPictures writes the pictures")

// growthDir has the pictures of how cost grows.
const growthDir = "../../docs/pictures/growth"

// TestGrowthPictures checks that the pictures of how cost grows show the tables in
// docs/design/performance.md, or draws them.
func TestGrowthPictures(t *testing.T) {
	data, err := os.ReadFile("../../docs/design/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(data), "\n## How cost grows\n")
	if !found {
		t.Fatal("docs/design/performance.md has no section on how cost grows")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	for _, c := range growthCharts() {
		for i, l := range c.lines {
			c.lines[i].points = growthTable(t, text, l.name)
			c.lines[i].name = strings.ReplaceAll(l.name, "`", "")
		}
		p := c.picture()
		if p == nil {
			t.Errorf("nothing to show in %q", c.title)
			continue
		}
		want := p.document("The figures are those of the tables in docs/design/performance.md.")
		checkPicture(t, want)
		path := filepath.Join(growthDir, p.file)
		if *growthPictures {
			if err := os.WriteFile(path, []byte(want), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s does not show the tables (%v): go test ./cmd/mpbench -run TestGrowthPictures -growth.pictures", path, err)
		}
		if !strings.Contains(text, "pictures/growth/"+p.file) {
			t.Errorf("docs/design/performance.md does not show %s", p.file)
		}
	}
}

// growthCharts returns the charts. Each line is named as its table begins, and has no points.
func growthCharts() []*chart {
	size := func(x float64) string { return bytesOf(uint64(x)) }
	number := func(x float64) string { return strconv.Itoa(int(x + 0.5)) }
	chartOf := func(name, title, note, x string, xText func(float64) string, tables ...string) *chart {
		c := &chart{name: name, title: title, note: note, x: x, y: "messages/s", xText: xText, yText: count}
		for _, t := range tables {
			c.lines = append(c.lines, chartLine{name: t})
		}
		return c
	}
	return []*chart{
		chartOf("capacities", "Capacity of a queue", "Messages of 64 bytes a second by the capacity of the queue, between two processes.",
			"capacity", size, "capacity of a queue, 64 B"),
		chartOf("sizes", "Length of a message", "Messages a second by their length, between two processes.",
			"bytes", size, "bytes of a `Queue[[]byte]`", "bytes in a pipe"),
		chartOf("processes", "Number of processes", "Messages of 64 bytes a second in all by the number of processes that put, with as many that get, on two CPUs.",
			"processes on each side", number, "processes on each side, 64 B"),
		chartOf("goroutines", "Number of goroutines", "Messages of 64 bytes a second in all by the number of goroutines that put in one process, with as many that get in another.",
			"goroutines on each side", number, "goroutines on each side, 64 B"),
	}
}

// growthTable returns the points of the table in text whose head begins with title: messages a second.
func growthTable(t *testing.T, text, title string) (points []chartPoint) {
	t.Helper()
	var xs []string
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case cells[0] == title:
			xs = cells[1:]
		case xs != nil && cells[0] == "messages/s":
			if len(cells)-1 != len(xs) {
				t.Fatalf("table %q: %d figures for %d columns", title, len(cells)-1, len(xs))
			}
			for i, x := range xs {
				y := growthNumber(t, cells[1+i])
				points = append(points, chartPoint{growthNumber(t, x), y, y, y})
			}
			return points
		}
	}
	t.Fatalf("no table %q", title)
	return nil
}

// growthNumber parses a number such as 5,000, 388 k or 64 Mi.
func growthNumber(t *testing.T, text string) float64 {
	t.Helper()
	digits, unit, _ := strings.Cut(text, " ")
	scale, known := map[string]float64{"": 1, "k": 1e3, "M": 1e6, "Ki": 1 << 10, "Mi": 1 << 20}[unit]
	x, err := strconv.ParseFloat(strings.ReplaceAll(digits, ",", ""), 64)
	if err != nil || !known {
		t.Fatalf("%q is no number of a table", text)
	}
	return x * scale
}
