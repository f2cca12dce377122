package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A pageRow is a row of a table of the page.
type pageRow struct {
	name                            string
	instructions, points, functions int
	rounds                          string
	promise                         string
}

// A pageTable is the rows of a package, in order.
type pageTable struct {
	name string
	rows []pageRow
}

// PageTables are the tables of the page, in order.
type pageTables []pageTable

const (
	allRounds     = "all "
	earlierRounds = "earlier all"
)

// readPage reads the tables of the page.
func readPage(text string) (tables pageTables, err error) {
	_, text, ok := strings.Cut(text, begin("rows"))
	text, _, ok2 := strings.Cut(text, end("rows"))
	if !ok || !ok2 {
		return nil, fmt.Errorf("the page lacks the lines %q and %q", begin("rows"), end("rows"))
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "## "); ok {
			tables = append(tables, pageTable{name: name})
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), " | ")
		if len(cells) != 6 || len(tables) == 0 || strings.Contains(line, "| operation |") || strings.HasPrefix(line, "| all ") {
			continue
		}
		r := pageRow{name: strings.TrimSpace(cells[0]), rounds: cells[4], promise: strings.TrimSpace(cells[5])}
		for i, to := range []*int{&r.instructions, &r.points, &r.functions} {
			if *to, err = strconv.Atoi(strings.ReplaceAll(cells[i+1], ",", "")); err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
		}
		t := &tables[len(tables)-1]
		t.rows = append(t.rows, r)
	}
	return tables, nil
}

// merge puts what was tried of the present and of earlier versions of the code into the tables. Rows of the
// present code that the page does not have are put at the end of their tables.
func (tables *pageTables) merge(present, earlier map[key]*tries) {
	keys := make([]key, 0, len(present))
	for k := range present {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int { return strings.Compare(a.table+"\x00"+a.row, b.table+"\x00"+b.row) })
	for _, k := range keys {
		r, t := tables.find(k), present[k]
		was := r.rounds
		*r = pageRow{t.last.name(), t.last.Instructions, t.last.Points, t.last.Functions, group(t.rounds), t.last.Promise}
		switch {
		case t.whole():
			r.rounds = allRounds + group(t.rounds)
		case strings.Contains(was, "all"):
			r.rounds = earlierRounds
		}
	}
	for k, t := range earlier {
		if r := tables.find(k); t.whole() && !strings.HasPrefix(r.rounds, allRounds) {
			r.rounds = earlierRounds
			if r.name == k.row && r.points == 0 {
				*r = pageRow{t.last.name(), t.last.Instructions, t.last.Points, t.last.Functions, earlierRounds, t.last.Promise}
			}
		}
	}
}

// find returns the row of that key, a new one if there is none.
func (tables *pageTables) find(k key) *pageRow {
	i := slices.IndexFunc(*tables, func(t pageTable) bool { return t.name == k.table })
	if i < 0 {
		*tables = append(*tables, pageTable{name: k.table})
		i = len(*tables) - 1
	}
	t := &(*tables)[i]
	j := slices.IndexFunc(t.rows, func(r pageRow) bool { return bare(r.name) == k.row })
	if j < 0 {
		t.rows = append(t.rows, pageRow{name: k.row})
		j = len(t.rows) - 1
	}
	return &t.rows[j]
}

// summary returns the table of the packages.
func (tables pageTables) summary() string {
	var b strings.Builder
	b.WriteString("| package | rows | instructions | points | rows that were tried whole |\n|-|-:|-:|-:|-:|\n")
	var all [4]int
	for _, t := range tables {
		sum := t.sum()
		fmt.Fprintf(&b, "| %s | %d | %s | %s | %d |\n", t.name, sum[0], group(sum[1]), group(sum[2]), sum[3])
		for i := range all {
			all[i] += sum[i]
		}
	}
	fmt.Fprintf(&b, "| all | %d | %s | %s | %d |\n\n", all[0], group(all[1]), group(all[2]), all[3])
	return b.String()
}

// sum returns the numbers of rows, instructions, points, and rows that were tried whole.
func (t pageTable) sum() (sum [4]int) {
	for _, r := range t.rows {
		sum[0]++
		sum[1] += r.instructions
		sum[2] += r.points
		if strings.Contains(r.rounds, "all") {
			sum[3]++
		}
	}
	return sum
}

// tables returns the tables of all rows.
func (tables pageTables) tables() string {
	var b strings.Builder
	for _, t := range tables {
		fmt.Fprintf(&b, "## %s\n\n| operation | instructions | points | functions | rounds | promise |\n|-|-:|-:|-:|-:|-|\n", t.name)
		for _, r := range t.rows {
			fmt.Fprintf(&b, "| %s | %s | %s | %d | %s | %s |\n", r.name, group(r.instructions), group(r.points), r.functions, r.rounds, r.promise)
		}
		sum := t.sum()
		fmt.Fprintf(&b, "| all %d rows | %s | %s | | | |\n\n", sum[0], group(sum[1]), group(sum[2]))
	}
	return b.String()
}

// group returns n with its digits in groups of three.
func group(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
