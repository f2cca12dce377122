package main

import (
	"os"
	"strings"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A style says what the place can show to which text is written.
type style struct {
	width  int  // columns of a line at most
	utf8   bool // all characters; otherwise those of ASCII
	colour bool
}

// widest is the number of columns that mpbench uses at most.
const widest = 100

// newStyle returns the style for a file: a terminal, if it is one, or else lines of widest columns.
func newStyle(to *os.File, mode colorMode) style {
	columns, terminal := sys.TerminalWidth(to)
	if columns <= 0 || columns > widest {
		columns = widest
	}
	return style{width: columns, utf8: utf8Locale(os.Getenv), colour: mode.on(terminal, os.Getenv)}
}

// isTerminal reports whether a file is a terminal.
func isTerminal(f *os.File) bool {
	_, ok := sys.TerminalWidth(f)
	return ok
}

// utf8Locale reports whether the environment says that text is UTF-8: by the first of three variables that is not empty.
func utf8Locale(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToLower(env(name)); value != "" {
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return false
}

// inASCII has characters of the same width for those that mpbench prints besides ASCII.
var inASCII = strings.NewReplacer("±", "~", "µ", "u", "×", "x")

// text returns text in the characters that can be shown.
func (s style) text(text string) string {
	if s.utf8 {
		return text
	}
	return inASCII.Replace(text)
}

// A colour is how text stands out: the parameter of the terminal's sequence ESC [ ... m.
type colour string

const (
	plain colour = ""
	bold  colour = "1"
	faint colour = "2"
	red   colour = "31"
	green colour = "32"
	cyan  colour = "36"
)

// paint returns text in a colour, if there are colours.
func (s style) paint(c colour, text string) string {
	if !s.colour || c == plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[m"
}

// wrap returns text in lines that fit, the second and further ones indented.
func (s style) wrap(text string) string { return wrap(s.text(text), s.width, "  ") }
