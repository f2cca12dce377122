package main

import (
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/seed-2e7ecdea/mp/bench"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A plan says what the command line asks for.
type plan struct {
	scenarios []bench.Scenario
	trials    int    // of each scenario
	json      string // file for JSON; "-" for standard output; "" for none
	benchfmt  string // the same for the lines of benchmarks
}

// The defaults are such that the comparison of everything takes less than 60 s, and with -quick less than 10 s.
const (
	defaultDuration = 100 * time.Millisecond
	defaultTrials   = 5
	quickDuration   = 50 * time.Millisecond
	quickTrials     = 3
	quickSizes      = "64,65536"

	defaultTransports = "pipe,queue,shm,os-pipe,unix-socket"
)

// parse reads the command line. If help is asked for, parse prints the usage to stderr and returns
// flag.ErrHelp. It prints no other error.
func parse(args []string, stderr io.Writer) (plan, error) {
	transports, sizes := option(defaultTransports), option(strings.Join(texts(bench.Sizes()), ","))
	measures := option(strings.Join(bench.Measures(), ","))
	producers, consumers := option("1"), option("1")
	duration, policy := option(defaultDuration.String()), option(shm.WaitAdaptive.String())
	trials := option(strconv.Itoa(defaultTrials))
	var pin, json, benchfmt option
	f := flag.NewFlagSet("mpbench", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	f.Var(&transports, "transports", "`list` of the transports to measure, of "+strings.Join(bench.Transports(), ","))
	f.Var(&sizes, "sizes", "`list` of the sizes of messages, in bytes")
	f.Var(&measures, "measure", "`list` of what to measure")
	f.Var(&producers, "producers", "`number` of processes that send; more than 1 only for throughput of "+strings.Join(bench.SharedTransports(), ","))
	f.Var(&consumers, "consumers", "`number` of processes that receive; more than 1 likewise")
	f.Var(&duration, "duration", "how `long` each trial measures")
	f.Var(&trials, "trials", "`number` of trials of each combination")
	quick := f.Bool("quick", false, "measure less: -sizes "+quickSizes+" -duration "+quickDuration.String()+" -trials "+strconv.Itoa(quickTrials)+", except those that are given")
	f.Var(&policy, "wait", "`policy` by which mp's transports wait: adaptive, spin or block")
	f.Var(&pin, "pin", "`list` of CPUs to which the processes are bound in turn, producers first, such as 0,1")
	f.Var(&json, "json", "`file` to which the results are written as JSON; - is standard output, instead of the table")
	f.Var(&benchfmt, "benchfmt", "`file` to which all trials are written as lines of benchmarks, for benchstat; - likewise")
	err := f.Parse(args)
	if err == flag.ErrHelp {
		fmt.Fprintln(stderr, "Usage: mpbench [flags]")
		f.SetOutput(stderr)
		f.PrintDefaults()
		return plan{}, err
	}
	if err != nil {
		return plan{}, fmt.Errorf("%w (-help lists the flags)", err)
	}
	if f.NArg() > 0 {
		return plan{}, fmt.Errorf("unexpected argument %q (-help lists the flags)", f.Arg(0))
	}
	given := make(map[string]bool)
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })

	if *quick {
		for name, value := range map[string]string{
			"sizes": quickSizes, "duration": quickDuration.String(), "trials": strconv.Itoa(quickTrials),
		} {
			if !given[name] {
				_ = f.Set(name, value) // an option takes any text
			}
		}
	}
	if json == "-" && benchfmt == "-" {
		return plan{}, invalid("benchfmt", "-", "a file, since -json writes to standard output")
	}

	var r reader
	base := bench.Scenario{
		Producers: r.processes("producers", producers), Consumers: r.processes("consumers", consumers),
		Duration: r.duration("duration", duration), Wait: r.policy("wait", policy), Pin: r.cpus("pin", pin),
	}
	if base.Producers > 1 || base.Consumers > 1 { // a flag that is not given means all that is possible
		if !given["transports"] {
			transports = option(strings.Join(bench.SharedTransports(), ","))
		}
		if !given["measure"] {
			measures = bench.Throughput
		}
	}
	p := plan{trials: r.trials("trials", trials), json: string(json), benchfmt: string(benchfmt)}
	p.add(&r, base, r.choose("sizes", sizes, texts(bench.Sizes())), r.choose("transports", transports, bench.Transports()),
		r.choose("measure", measures, bench.Measures()))
	return p, r.err
}

// add adds all combinations of the sizes, transports and measures.
func (p *plan) add(r *reader, base bench.Scenario, sizes, transports, measures []string) {
	for _, size := range sizes {
		for _, transport := range transports {
			for _, measure := range measures {
				s := base
				s.Size, _ = strconv.Atoi(size) // it was chosen among numbers
				s.Transport, s.Measure = transport, measure
				r.fail(asFlag(s.Validate()))
				p.scenarios = append(p.scenarios, s)
			}
		}
	}
}
