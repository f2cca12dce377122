package main

import "flag"

// A colorMode says when to print colours: the value of -color.
type colorMode string

const (
	colorAuto   colorMode = "auto"
	colorAlways colorMode = "always"
	colorNever  colorMode = "never"
)

// addColor adds the flag -color.
func addColor(f *flag.FlagSet, to *option) {
	*to = option(colorAuto)
	f.Var(to, "color", "`when` to print colours: auto (on a terminal, unless NO_COLOR is set), always or never")
}

// color returns the mode that a flag names.
func (r *reader) color(text option) colorMode {
	switch mode := colorMode(text); mode {
	case colorAuto, colorAlways, colorNever:
		return mode
	}
	r.fail(invalid("color", string(text), "auto, always or never"))
	return colorNever
}

// on reports whether to print colours.
func (m colorMode) on(terminal bool, env func(string) string) bool {
	if m == colorAuto {
		return terminal && env("NO_COLOR") == "" && env("TERM") != "dumb"
	}
	return m == colorAlways
}
