package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestHelpWidth measures the lines of help, with tabs that end at column 8.
func TestHelpWidth(t *testing.T) {
	pages := [][]string{{"help"}}
	for _, c := range commands() {
		pages = append(pages, []string{"help", c.name})
	}
	for _, page := range pages {
		out, stderr, code := mpbench(t, "", page...)
		if code != 0 || out == "" {
			t.Fatalf("%v: exit status %d\n%s", page, code, stderr)
		}
		for line := range strings.Lines(out) {
			line = strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "    \t", "        ")
			if n := utf8.RuneCountInString(line); n > helpWidth {
				t.Errorf("%v: %d columns: %s", page, n, line)
			}
		}
	}
}
