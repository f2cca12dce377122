package main

import (
	"fmt"
	"os"

	"github.com/seed-2e7ecdea/mp/bench"
)

// A progress shows on a terminal what is being measured. It writes nothing to a file or a pipe.
type progress struct {
	to    *os.File
	total int // number of scenarios
}

// show replaces the line by that of scenario i.
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
