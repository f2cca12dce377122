package main

import (
	"fmt"
	"os"
	"time"

	"github.com/seed-2e7ecdea/mp/bench"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A progress shows on a terminal what is being measured. It writes nothing to a file or a pipe.
type progress struct {
	to    *os.File
	total int // number of steps
	began time.Time
}

// show replaces the line by that of scenario i.
func (p *progress) show(i int, s bench.Scenario) { p.showText(i, s.String()) }

// progressBar is how many columns the bar of the progress has.
const progressBar = 12

// showText replaces the line by that of step i, with the time that is left if the steps take equally long. What does not
// fit in the line is cut off: a line that is continued in the next one could not be replaced.
func (p *progress) showText(i int, what string) {
	columns, terminal := sys.TerminalWidth(p.to)
	if !terminal {
		return
	}
	left := ""
	if i == 0 {
		p.began = time.Now()
	} else {
		left = fmt.Sprintf(", %v left", (time.Since(p.began) * time.Duration(p.total-i) / time.Duration(i)).Round(time.Second))
	}
	s := style{width: columns, utf8: utf8Locale(os.Getenv)}
	bar := []rune(s.bar(float64(i)/float64(p.total), progressBar))
	line := fmt.Sprintf("[%d/%d%s] %s%*s %s", i+1, p.total, left, string(bar), progressBar-len(bar), "", what)
	fmt.Fprintf(p.to, "\r\x1b[K%s", s.cut(line))
}

func (p *progress) clear() {
	if isTerminal(p.to) {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

// cut returns what fits of a line, and leaves the last column free, where some terminals begin a new line. If the width
// is not known, all fits.
func (s style) cut(line string) string {
	if runes := []rune(line); s.width > 1 && len(runes) >= s.width {
		return string(runes[:s.width-1])
	}
	return line
}
