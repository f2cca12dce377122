package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// A key names a row.
type key struct{ table, row string }

// A tried is one line of a file: what a run has tried of one row.
type tried struct {
	Table, Row, Promise             string
	Slept                           bool
	Instructions, Points, Functions int
	Kills, Stops, StopsAndKills     int
	Share                           string // "k/n" if all points of this share were tried
}

// Tries are what several runs have tried of one row.
type tries struct {
	last   tried
	rounds int
	shares map[string]bool
}

// readTries adds the lines of a file to all.
func readTries(path string, all map[key]*tries) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); ; {
		if !s.Scan() {
			return s.Err()
		}
		var l tried
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		k := key{l.Table, l.Row}
		t := all[k]
		if t == nil {
			t = &tries{shares: make(map[string]bool)}
			all[k] = t
		}
		t.last = l
		t.rounds += l.Kills + l.Stops + l.StopsAndKills
		t.shares[l.Share] = true
	}
}

// whole reports whether all points were tried: all shares k/n of some n are there.
func (t *tries) whole() bool {
	for share := range t.shares {
		var k, n int
		if _, err := fmt.Sscanf(share, "%d/%d", &k, &n); err != nil {
			continue
		}
		all := true
		for i := range n {
			all = all && t.shares[fmt.Sprintf("%d/%d", i+1, n)]
		}
		if all {
			return true
		}
	}
	return false
}

// name returns the name of the row for its readers.
func (t tried) name() string {
	if t.Slept {
		return t.Row + " (sleeps)"
	}
	return t.Row
}

// bare returns the name of a row without what name adds.
func bare(name string) string { return strings.TrimSuffix(name, " (sleeps)") }
