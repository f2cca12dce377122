package main

import (
	"fmt"
	"os"

	"github.com/seed-2e7ecdea/mp/bench"
)

// A progress is a line on a terminal, and nothing elsewhere.
type progress struct {
	to    *os.File
	total int
}

// show says what is being measured.
func (p *progress) show(i int, s bench.Scenario) {
	if p.terminal() {
		fmt.Fprintf(p.to, "\r\x1b[K[%d/%d] %s", i+1, p.total, s)
	}
}

func (p *progress) clear() {
	if p.terminal() {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

func (p *progress) terminal() bool {
	info, err := p.to.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
