package main

import (
	"flag"
	"io"
	"strings"
	"unicode/utf8"
)

// helpWidth is the largest number of columns of a line of help.
const helpWidth = 100

// printFlags prints the flags as PrintDefaults does, in lines of at most helpWidth columns.
func printFlags(flags *flag.FlagSet, to io.Writer) {
	var text strings.Builder
	flags.SetOutput(&text)
	flags.PrintDefaults()
	flags.SetOutput(to)
	for line := range strings.Lines(text.String()) {
		_, _ = io.WriteString(to, wrapHelp(strings.TrimSuffix(line, "\n")))
	}
}

// helpIndent is where PrintDefaults puts the text of a flag, for terminals with tabs of 4 and of 8 columns.
const helpIndent = "    \t"

// wrapHelp wraps a line of help at helpWidth.
func wrapHelp(line string) string { return wrap(line, helpWidth, helpIndent) + "\n" }

// wrap breaks a line between words so that no part is wider than width, and after commas if a word, which is a list, is
// wider than a line. The parts that follow the first one begin with indent. A tab ends at column 8.
func wrap(line string, width int, indent string) string {
	text := strings.TrimLeft(line, " \t")
	var b strings.Builder
	b.WriteString(line[:len(line)-len(text)])
	indented := columnsOf(indent)
	column := columnsOf(b.String())
	began := column
	for _, word := range strings.SplitAfter(text, " ") {
		parts := []string{word}
		if utf8.RuneCountInString(word) > width-indented {
			parts = strings.SplitAfter(word, ",")
		}
		for _, part := range parts {
			if column > began && column+utf8.RuneCountInString(strings.TrimRight(part, " ")) > width {
				b.WriteString("\n" + indent)
				column, began = indented, indented
			}
			b.WriteString(part)
			column += columnsOf(part)
		}
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

// columnsOf returns how many columns text takes in which a tab ends at column 8.
func columnsOf(text string) int {
	before, after, found := strings.Cut(text, "\t")
	if !found {
		return utf8.RuneCountInString(text)
	}
	return 8 + utf8.RuneCountInString(before)/8*8 + utf8.RuneCountInString(after)
}
