package main

import (
	"math"
	"strings"
)

// bar returns a bar of a part, from 0 to 1, of so many columns. It is drawn in eighths of a column, or with # where there
// is but ASCII. A part that is not 0 is always seen.
func (s style) bar(part float64, columns int) string {
	part = min(max(part, 0), 1)
	if part == 0 || columns <= 0 {
		return ""
	}
	if !s.utf8 {
		if n := int(math.Round(part * float64(columns))); n > 0 {
			return strings.Repeat("#", n)
		}
		return "."
	}
	eighths := max(int(math.Round(part*float64(columns)*8)), 1)
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string(rune('█' + 8 - rest)) // ▏ to ▉ follow █, from the widest to the narrowest
	}
	return text
}
