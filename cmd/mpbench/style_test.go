package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestBar draws bars in eighths of a column, and in ASCII.
func TestBar(t *testing.T) {
	for _, c := range []struct {
		part          float64
		columns       int
		eighths, hash string
	}{
		{0, 4, "", ""},
		{1, 4, "████", "####"},
		{2, 4, "████", "####"},
		{0.5, 4, "██", "##"},
		{1.0 / 32, 4, "▏", "."},
		{1e-9, 4, "▏", "."},
		{9.0 / 32, 4, "█▏", "#"},
		{15.0 / 32, 4, "█▉", "##"},
		{1, 0, "", ""},
	} {
		if got := (style{utf8: true}).bar(c.part, c.columns); got != c.eighths {
			t.Errorf("%g of %d columns is %q, want %q", c.part, c.columns, got, c.eighths)
		}
		if got := (style{}).bar(c.part, c.columns); got != c.hash {
			t.Errorf("%g of %d columns is %q in ASCII, want %q", c.part, c.columns, got, c.hash)
		}
	}
}

// TestStyleOfEnvironment says when there are colours and other characters than those of ASCII.
func TestStyleOfEnvironment(t *testing.T) {
	env := func(text string) func(string) string {
		return func(name string) string {
			for pair := range strings.FieldsSeq(text) {
				if key, value, _ := strings.Cut(pair, "="); key == name {
					return value
				}
			}
			return ""
		}
	}
	for text, want := range map[string]bool{
		"LANG=en_US.UTF-8": true, "LANG=C.utf8": true, "LC_ALL=C LANG=en_US.UTF-8": false, "LC_CTYPE=de_DE.UTF-8 LANG=C": true,
		"LC_ALL= LANG=de_DE.utf8": true, "": false, "LANG=POSIX": false,
	} {
		if got := utf8Locale(env(text)); got != want {
			t.Errorf("%q: UTF-8 is %t, want %t", text, got, want)
		}
	}
	for _, c := range []struct {
		mode     colorMode
		terminal bool
		env      string
		want     bool
	}{
		{colorAuto, true, "TERM=xterm", true},
		{colorAuto, false, "TERM=xterm", false},
		{colorAuto, true, "TERM=xterm NO_COLOR=1", false},
		{colorAuto, true, "TERM=xterm NO_COLOR=", true},
		{colorAuto, true, "TERM=dumb", false},
		{colorAlways, false, "NO_COLOR=1", true},
		{colorNever, true, "TERM=xterm", false},
	} {
		if got := c.mode.on(c.terminal, env(c.env)); got != c.want {
			t.Errorf("-color %s, terminal %t, %q: colours are %t, want %t", c.mode, c.terminal, c.env, got, c.want)
		}
	}
}

// TestGridWidth fits a table into lines of each width: bars shrink, then columns are left out by their number, and none
// that must stay.
func TestGridWidth(t *testing.T) {
	g := &grid{columns: []column{
		{left: true}, {head: "rate"}, {bar: true}, {head: "more", last: 2}, {head: "less", last: 1},
	}}
	g.title("group")
	g.row(gridCell{text: "pipe"}, gridCell{text: "12.3 M", colour: green}, gridCell{part: 1}, gridCell{text: "0.25"}, gridCell{text: "±1 %", colour: red})
	g.row(gridCell{text: "x"}, gridCell{text: "1"}, gridCell{part: 0.5}, gridCell{}, gridCell{})
	bars := 0
	for width := 60; width >= 16; width-- {
		text := g.write(style{width: width, utf8: true})
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > width || strings.TrimRight(line, " ") != line {
				t.Errorf("width %d: a line of %d columns: %q", width, n, line)
			}
		}
		bar := strings.Count(text, "█")
		// A line without bars takes 4+1+6+1+1+4+1+4 columns, or 5 less for each column that is left out.
		more, less := width >= 22+shortestBar, width >= 17+shortestBar
		if strings.Contains(text, "more") != more || strings.Contains(text, "less") != less || !strings.Contains(text, "12.3 M") {
			t.Errorf("width %d:\n%s", width, text)
		}
		if bar < shortestBar || bar > 3*longestBar/2 {
			t.Errorf("width %d: bars of %d columns\n%s", width, bar, text)
		}
		bars = max(bars, bar)
	}
	if bars != 3*longestBar/2 {
		t.Errorf("bars of at most %d columns, want %d", bars, 3*longestBar/2)
	}
	if text := g.write(style{width: 60}); !ascii(text) || !strings.Contains(text, "~1 %") || !strings.Contains(text, "####") {
		t.Errorf("in ASCII:\n%s", text)
	}
	text := g.write(style{width: 60, utf8: true, colour: true})
	for _, want := range []string{"\x1b[32m12.3 M\x1b[m", "\x1b[31m±1 %\x1b[m", "\x1b[1mgroup\x1b[m"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %q", want, text)
		}
	}
}

func ascii(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf })
}

// TestWrap breaks lines at words, and long lists at commas.
func TestWrap(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"one two", "one two"},
		{"one two three four", "one two\n  three four"},
		{"123456789012", "123456789012"},
		{"a 123456,89012,456", "a 123456,\n  89012,456"},
	} {
		if got := wrap(c.text, 12, "  "); got != c.want {
			t.Errorf("%q is wrapped as %q, want %q", c.text, got, c.want)
		}
	}
}
