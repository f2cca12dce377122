package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-2e7ecdea/mp/bench"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A plan is what the command line asks for.
type plan struct {
	scenarios []bench.Scenario
	json      string // file for JSON, "-" for standard output
}

// defaultDuration makes the comparison of everything take less than 30 s.
const defaultDuration = 300 * time.Millisecond

// parse reads the command line. It fails with flag.ErrHelp if help was asked for
// and given.
func parse(args []string, stderr io.Writer) (plan, error) {
	var p plan
	var base bench.Scenario
	f := flag.NewFlagSet("mpbench", flag.ContinueOnError)
	f.SetOutput(stderr)
	transports := f.String("transports", strings.Join(bench.Transports(), ","), "transports to measure")
	sizes := f.String("sizes", join(bench.Sizes()), "sizes of messages in `bytes`")
	measures := f.String("measure", strings.Join(bench.Measures(), ","), "what to measure")
	f.IntVar(&base.Producers, "producers", 1, "`processes` that send, for throughput of "+strings.Join(bench.SharedTransports(), ","))
	f.IntVar(&base.Consumers, "consumers", 1, "`processes` that receive, likewise")
	f.DurationVar(&base.Duration, "duration", defaultDuration, "how long to measure each")
	f.TextVar(&base.Wait, "wait", shm.WaitAdaptive, "how mp's transports wait: `spin|adaptive|block`")
	pin := f.String("pin", "", "bind the processes to these `CPUs` in turn, producers first (0,1)")
	f.StringVar(&p.json, "json", "", "write results as JSON to a `file`, - for standard output instead of the table")
	f.Usage = func() {
		fmt.Fprintln(stderr, "Usage: mpbench [flags]")
		f.PrintDefaults()
	}
	// What is wrong is printed by the caller, and without all the flags.
	f.SetOutput(io.Discard)
	usage := f.Usage
	f.Usage = func() {}
	err := f.Parse(args)
	f.SetOutput(stderr)
	if err == flag.ErrHelp {
		usage()
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
	if base.Producers > 1 || base.Consumers > 1 { // of what was not asked for, what there is
		if !given["transports"] {
			*transports = strings.Join(bench.SharedTransports(), ",")
		}
		if !given["measure"] {
			*measures = bench.Throughput
		}
	}
	if base.Pin, err = numbers(*pin); err != nil {
		return plan{}, fmt.Errorf("-pin: %w", err)
	}
	bySize, err := numbers(*sizes)
	if err != nil {
		return plan{}, fmt.Errorf("-sizes: %w: there are %s", err, join(bench.Sizes()))
	}
	return p, p.add(base, bySize, split(*transports), split(*measures))
}

// add adds all combinations. One that there is not is an error. bench takes 0 for
// the default number of processes; on the command line it is a number.
func (p *plan) add(base bench.Scenario, sizes []int, transports, measures []string) error {
	if base.Producers < 1 || base.Consumers < 1 {
		return fmt.Errorf("%w: %d producers, %d consumers: there are 1 to %d",
			bench.ErrScenario, base.Producers, base.Consumers, bench.MaxSide)
	}
	for _, size := range sizes {
		for _, transport := range transports {
			for _, measure := range measures {
				s := base
				s.Size, s.Transport, s.Measure = size, transport, measure
				if err := s.Validate(); err != nil {
					return err
				}
				p.scenarios = append(p.scenarios, s)
			}
		}
	}
	if len(p.scenarios) == 0 {
		return fmt.Errorf("%w: nothing of -transports, -sizes or -measure", bench.ErrScenario)
	}
	return nil
}

func join(list []int) string {
	text := make([]string, len(list))
	for i, n := range list {
		text[i] = strconv.Itoa(n)
	}
	return strings.Join(text, ",")
}

// split returns the parts of a list, each once.
func split(list string) []string {
	var parts []string
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" && !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return parts
}

func numbers(list string) ([]int, error) {
	var ns []int
	for _, part := range split(list) {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", part)
		}
		ns = append(ns, n)
	}
	return ns, nil
}
