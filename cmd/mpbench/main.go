// Mpbench measures how fast messages travel from process to process through the transports of mp
// and those of the kernel.
//
//	mpbench                                          compares the transports, in less than 60 s
//	mpbench -quick                                   the same with two sizes, in less than 10 s
//	mpbench -transports queue -producers 2 -consumers 2
//	mpbench -transports pipe,shm -sizes 64 -measure latency -wait spin -pin 0,1
//	mpbench -json results.json
//	mpbench -html results.html                       writes a page with pictures, for a browser
//	mpbench -markdown README.md -svg docs/pictures   writes a table into a document, and pictures
//	mpbench -trials 10 -benchfmt new.txt && benchstat old.txt new.txt
//	mpbench compare old.json new.json                says what is faster or slower than before
//	mpbench compare old.txt new.txt                  the same for two files of -benchfmt, or of go test -bench
//	mpbench compare ./old ./new -- -quick            the same for two builds of mpbench, which it runs in turn
//	mpbench doctor                                   says what this machine offers and lacks
//	mpbench stat -watch                              shows the segments in /dev/shm, their processes and objects
//	mpbench reap [NAME...]                           removes segments that no living process uses
//	mpbench help [COMMAND]                           lists the commands, or the flags of one
//
// The exit status is
//
//	0    if all runs succeeded
//	1    if a run failed, if a file could not be written, or if compare found something slower
//	2    if a flag has a value that is not allowed
//	130  if mpbench was interrupted (Ctrl-C)
//
// A run consists of rounds. Each round measures what the machine allows (how long a cache
// line takes from one process to another and back, a futex likewise, and how fast memory is
// copied), then each combination once. So what changes on the machine during the run changes all
// combinations alike, and the trials of one combination are spread over the whole time. The table
// has medians.
//
// If a run fails or mpbench is interrupted, it still prints the results that it has.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed-2e7ecdea/mp/bench"
	"github.com/seed-2e7ecdea/mp/proc"
)

// Exit statuses.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	proc.Init()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := dispatch(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// runBench is mpbench run. It returns the exit status.
func runBench(ctx context.Context, args []string, stdout, stderr *os.File) int {
	p, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "mpbench:", err)
		return exitUsage
	}
	out, err := openOutput(p.json, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "mpbench: -json:", err)
		return exitFailed
	}
	lines, err := openOutput(p.benchfmt, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "mpbench: -benchfmt:", err)
		return exitFailed
	}
	page, err := openOutput(p.html, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "mpbench: -html:", err)
		return exitFailed
	}
	document, err := openMarkdown(p.markdown, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "mpbench: -markdown:", err)
		return exitFailed
	}
	if p.svg != "" {
		if err := os.MkdirAll(p.svg, 0o777); err != nil {
			fmt.Fprintln(stderr, "mpbench: -svg:", err)
			return exitFailed
		}
	}
	s := newStyle(stdout, p.color)
	if p.table {
		fmt.Fprintln(stdout, bench.ThisMachine())
		if p.place != "" {
			fmt.Fprintln(stdout, p.place)
		}
		for _, remark := range remarks() {
			fmt.Fprintln(stdout, s.wrap("note: "+remark))
		}
		fmt.Fprintln(stdout)
	}
	results, err := measure(ctx, p, &progress{to: stderr, total: p.trials * len(p.scenarios)})
	if p.table {
		err = errors.Join(err, writeTables(stdout, s, results))
		for _, err := range p.missing {
			fmt.Fprintln(stdout, s.wrap("not measured: "+err.Error()))
		}
	}
	report := bench.NewReport(results.cells())
	report.Place = p.place
	err = errors.Join(err, out.write(report, writeJSON), lines.write(report, writeBenchfmt), page.write(report, writePage), document.write(report))
	if p.svg != "" {
		err = errors.Join(err, writePictures(p.svg, report))
	}
	switch {
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(stderr, "mpbench:", errInterrupted)
		return exitInterrupted
	case err != nil:
		fmt.Fprintln(stderr, "mpbench:", err)
		return exitFailed
	}
	return 0
}

var errInterrupted = errors.New("interrupted")

// slack is how much longer than its duration a run may take.
const slack = time.Minute

// measure runs the rounds of a plan, until a run fails.
func measure(ctx context.Context, plan plan, p *progress) (trials, error) {
	defer p.clear()
	results := make(trials, len(plan.scenarios))
	for round := range plan.trials {
		if err := results.round(ctx, plan, p, round); err != nil {
			if interrupted(ctx, err) {
				err = errInterrupted
			}
			return results, err
		}
	}
	return results, nil
}

// round runs each scenario once.
func (t trials) round(ctx context.Context, plan plan, p *progress, round int) error {
	within, cancel := context.WithTimeout(ctx, slack)
	limits, err := bench.MeasureLimits(within, plan.scenarios[0].Pin)
	cancel()
	if err != nil {
		return err
	}
	for i, s := range plan.scenarios {
		p.show(round*len(plan.scenarios)+i, s)
		limit := s.Duration + slack
		within, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the trial has not ended after %s: %w", limit, context.DeadlineExceeded))
		r, err := bench.Run(within, s)
		cancel()
		if err != nil {
			return err
		}
		r.SetLimits(limits)
		t[i] = append(t[i], r)
	}
	return nil
}

// interrupted reports whether err is the consequence of an interrupt. A terminal sends the signal to the
// processes of a run, too, and they may end by it before ctx does: then interrupted waits for ctx, but not for long.
func interrupted(ctx context.Context, err error) bool {
	var exit *proc.ExitError
	if errors.As(err, &exit) && exit.Code == -int(syscall.SIGINT) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return ctx.Err() != nil
}
