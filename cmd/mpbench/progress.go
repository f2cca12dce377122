package main

import (
	"fmt"
	"os"
	"time"

	"github.com/seed-2e7ecdea/mp/bench"
)

// A progress shows on a terminal what is being measured. It writes nothing to a file or a pipe.
type progress struct {
	to    *os.File
	total int // number of steps
	began time.Time
}

// show replaces the line by that of scenario i.
func (p *progress) show(i int, s bench.Scenario) { p.showText(i, s.String()) }

// showText replaces the line by that of step i, with the time that is left if the steps take equally long.
func (p *progress) showText(i int, what string) {
	if !p.terminal() {
		return
	}
	left := ""
	if i == 0 {
		p.began = time.Now()
	} else {
		left = fmt.Sprintf(", %v left", (time.Since(p.began) * time.Duration(p.total-i) / time.Duration(i)).Round(time.Second))
	}
	fmt.Fprintf(p.to, "\r\x1b[K[%d/%d%s] %s", i+1, p.total, left, what)
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
