package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/seed-2e7ecdea/mp/bench"
)

// stopGrace is how long a program has to end after an interrupt.
const stopGrace = 10 * time.Second

// runInTurn runs two builds of mpbench in turn, each with one trial of everything a time, and returns the trials of
// each as a report. So what changes on the machine meanwhile changes both alike.
func runInTurn(ctx context.Context, from, to string, times int, flags []string, stderr *os.File) (a, b bench.Report, err error) {
	p := &progress{to: stderr, total: 2 * times}
	defer p.clear()
	programs := [2]string{from, to}
	var collected [2]collector
	for round := range times {
		for turn := range programs {
			i := (round + turn) % 2 // the other one first in every second round
			p.showText(2*round+turn, programs[i])
			report, err := runOnce(ctx, programs[i], flags)
			if err != nil {
				return a, b, err
			}
			collected[i].add(report)
		}
	}
	return collected[0].report(), collected[1].report(), nil
}

func runOnce(ctx context.Context, program string, flags []string) (r bench.Report, err error) {
	args := append(append([]string{}, flags...), "-trials", "1", "-json", "-")
	var out, problems bytes.Buffer
	c := exec.CommandContext(ctx, program, args...)
	c.Stdout, c.Stderr = &out, &problems
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = stopGrace
	if err := c.Run(); err != nil {
		return r, fmt.Errorf("%s: %w: %s", c, errors.Join(err, ctx.Err()), bytes.TrimSpace(problems.Bytes()))
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("%s did not print the JSON of mpbench: %w", c, err)
	}
	if r.Schema != bench.Schema {
		return r, fmt.Errorf("%s prints schema %d, this mpbench reads %d", c, r.Schema, bench.Schema)
	}
	return r, nil
}

// A collector puts the trials of several reports together.
type collector struct {
	last  bench.Report
	order []string
	cells map[string][]bench.Result
}

func (c *collector) add(r bench.Report) {
	if c.cells == nil {
		c.cells = make(map[string][]bench.Result)
	}
	c.last = r
	for _, cell := range r.Results {
		k := scenarioKey(cell.Result)
		if c.cells[k] == nil {
			c.order = append(c.order, k)
		}
		c.cells[k] = append(c.cells[k], cell.Trials...)
	}
}

func (c *collector) report() bench.Report {
	r := c.last
	r.Results = nil
	for _, k := range c.order {
		r.Results = append(r.Results, bench.NewCell(c.cells[k]))
	}
	return r
}
