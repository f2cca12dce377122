// Mpbench measures how fast messages travel from process to process through the transports of mp
// and those of the kernel.
//
//	mpbench                                          compares everything, in less than 30 s
//	mpbench -transports queue -producers 2 -consumers 2
//	mpbench -transports pipe,shm -sizes 64 -measure latency -wait spin -pin 0,1
//	mpbench -json results.json
//	mpbench stat -watch                              shows the segments in /dev/shm, their processes and objects
//	mpbench reap [NAME...]                           removes segments that no living process uses
//
// The exit status is
//
//	0    if all runs succeeded
//	1    if a run failed, or the JSON file could not be written
//	2    if a flag has a value that is not allowed
//	130  if mpbench was interrupted (Ctrl-C)
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
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr *os.File) int {
	if len(args) > 0 && args[0] == "stat" {
		return runStat(args[1:], stdout, stderr)
	}
	if len(args) > 0 && args[0] == "reap" {
		return runReap(args[1:], stdout, stderr)
	}
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
	if p.json != "-" {
		fmt.Fprintf(stdout, "%s\n\n", bench.ThisMachine())
	}
	results, err := measure(ctx, p.scenarios, &progress{to: stderr, total: len(p.scenarios)})
	if p.json != "-" {
		err = errors.Join(err, writeTable(stdout, results))
	}
	err = errors.Join(err, out.write(bench.NewReport(results)))
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

// measure runs the scenarios, until one fails.
func measure(ctx context.Context, scenarios []bench.Scenario, p *progress) ([]bench.Result, error) {
	defer p.clear()
	var results []bench.Result
	for i, s := range scenarios {
		p.show(i, s)
		within, cancel := context.WithTimeout(ctx, s.Duration+slack)
		r, err := bench.Run(within, s)
		cancel()
		if err != nil {
			if interrupted(ctx, err) {
				err = errInterrupted
			}
			return results, err
		}
		results = append(results, r)
	}
	return results, nil
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
