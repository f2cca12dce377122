package main

import (
	"errors"
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
	place     string // which CPUs -place has chosen
	missing   error  // why some transports are not measured that would be by default
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

	quickTransports = "pipe,queue,shm,os-pipe,unix-socket"
	defaultMeasures = "throughput,latency"
	defaultRate     = "10000"
)

// A block is a part of what is measured unless -transports, -measure, -sizes, -producers, -consumers or -quick say otherwise:
// all combinations of its lists.
type block struct {
	sizes, transports, measures string
	processes                   int // number of producers, and of consumers
}

var blocks = []block{
	{"64,1024,65536", quickTransports, defaultMeasures, 1},
	{"64,65536", "broadcast,unix-seqpacket,tcp,channel", defaultMeasures, 1},
	{"64", "mqueue,python-pipe,python-queue,python-shm", defaultMeasures, 1},
	{"64", "pipe,queue,channel", bench.Throughput, 4},
	{"64", "lock,semaphore,condition,event,value,spawn,warm,pool", bench.Latency, 1},
	{"64", "pipe,queue,os-pipe", bench.Paced, 1},
	{"64", "pipe,queue,os-pipe", bench.Idle, 1},
	{"64", "pipe,lock,spawn", bench.Recovery, 1},
}

// parse reads the command line. If help is asked for, parse prints the usage to stderr and returns
// flag.ErrHelp. It prints no other error.
func parse(args []string, stderr io.Writer) (plan, error) {
	transports, sizes := option(strings.Join(bench.Transports(), ",")), option(strings.Join(texts(bench.Sizes()), ","))
	measures, rates := option(defaultMeasures), option(defaultRate)
	producers, consumers := option("1"), option("1")
	duration, policy := option(defaultDuration.String()), option(shm.WaitAdaptive.String())
	trials := option(strconv.Itoa(defaultTrials))
	var pin, place, json, benchfmt option
	f := flag.NewFlagSet("mpbench", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	f.Var(&transports, "transports", "`list` of the transports to measure, of "+strings.Join(bench.Transports(), ","))
	f.Var(&sizes, "sizes", "`list` of the sizes of messages, in bytes")
	f.Var(&measures, "measure", "`list` of what to measure, of "+strings.Join(bench.Measures(), ","))
	f.Var(&rates, "rate", "`list` of messages a second, for -measure "+bench.Paced)
	f.Var(&producers, "producers", "`number` of processes that send; more than 1 only for throughput of "+strings.Join(bench.SharedTransports(), ","))
	f.Var(&consumers, "consumers", "`number` of processes that receive; more than 1 likewise")
	f.Var(&duration, "duration", "how `long` each trial measures")
	f.Var(&trials, "trials", "`number` of trials of each combination")
	quick := f.Bool("quick", false, "measure less: -transports "+quickTransports+" -sizes "+quickSizes+" -duration "+quickDuration.String()+" -trials "+strconv.Itoa(quickTrials)+", except those that are given")
	f.Var(&policy, "wait", "`policy` by which mp's transports wait: adaptive, spin or block")
	f.Var(&pin, "pin", "`list` of CPUs to which the processes are bound in turn, producers first, such as 0,1")
	f.Var(&place, "place", "two CPUs to which the processes are bound in turn, by their `relation`: "+strings.Join(texts(bench.Placements()), ", "))
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
			"transports": quickTransports, "sizes": quickSizes, "duration": quickDuration.String(), "trials": strconv.Itoa(quickTrials),
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
	var where string
	if place != "" {
		if pin != "" {
			return plan{}, invalid("place", string(place), "no -pin, which says where the processes are bound")
		}
		base.Pin, where = r.place("place", place)
	}
	p := plan{place: where, trials: r.trials("trials", trials), json: string(json), benchfmt: string(benchfmt)}
	c := choice{
		base: base, transports: r.choose("transports", transports, bench.Transports()),
		measures: r.choose("measure", measures, bench.Measures()), sizes: r.choose("sizes", sizes, texts(bench.Sizes())),
		rates: r.numbers("rate", rates, 1, bench.MaxRate),
	}
	if !given["transports"] {
		c.without = p.unavailable()
	}
	if given["transports"] || given["measure"] || given["sizes"] || given["producers"] || given["consumers"] || *quick {
		p.add(&r, c, given)
		return p, r.err
	}
	for _, b := range blocks {
		c.sizes, c.transports, c.measures = split(option(b.sizes)), split(option(b.transports)), split(option(b.measures))
		c.base.Producers, c.base.Consumers = b.processes, b.processes
		p.add(&r, c, nil)
	}
	return p, r.err
}

// A choice is lists of which all combinations are measured that are possible.
type choice struct {
	base                        bench.Scenario
	sizes, transports, measures []string
	rates                       []int
	without                     map[string]bool // transports that are left out
}

// unavailable returns the transports that cannot be measured here, and keeps the reason.
func (p *plan) unavailable() map[string]bool {
	without := make(map[string]bool)
	for _, transport := range bench.Transports() {
		if err := bench.Available(transport); err != nil {
			without[transport] = true
			p.missing = err
		}
	}
	return without
}

// scenarios returns all combinations, possible or not.
func (c *choice) scenarios() (list []bench.Scenario) {
	for i, size := range c.sizes {
		for _, transport := range c.transports {
			if c.without[transport] {
				continue
			}
			for _, measure := range c.measures {
				s := c.base
				s.Transport, s.Measure = transport, measure
				s.Size, _ = strconv.Atoi(size) // it was chosen among numbers
				if measure == bench.Recovery { // has no size
					s.Size = 0
					if i > 0 {
						continue
					}
				}
				if measure != bench.Paced {
					list = append(list, s)
					continue
				}
				for _, s.Rate = range c.rates {
					list = append(list, s)
				}
			}
		}
	}
	return list
}

// add adds the combinations that are possible. Each transport, measure and size that is given must be in one of them.
func (p *plan) add(r *reader, c choice, given map[string]bool) {
	const transport, measure, size = 0, 1, 2
	for _, t := range c.transports {
		if err := bench.Available(t); err != nil && given["transports"] {
			r.fail(err)
			return
		}
	}
	var used [3]map[string]bool
	var errs [3]map[string]error
	for i := range used {
		used[i], errs[i] = make(map[string]bool), make(map[string]error)
	}
	for _, s := range c.scenarios() {
		parts := [3]string{transport: s.Transport, measure: s.Measure, size: strconv.Itoa(s.Size)}
		err := s.Validate()
		var wrong *bench.ScenarioError
		if errors.As(err, &wrong) && wrong.Field != "Transport" && wrong.Field != "Measure" && wrong.Field != "Size" {
			r.fail(asFlag(err))
			return
		}
		for i, part := range parts {
			if err == nil {
				used[i][part] = true
			} else if errs[i][part] == nil {
				errs[i][part] = err
			}
		}
		if err == nil {
			p.scenarios = append(p.scenarios, s)
		}
	}
	for i, list := range [3][]string{transport: c.transports, measure: c.measures, size: c.sizes} {
		for _, part := range list {
			flag := [3]string{"transports", "measure", "sizes"}[i]
			if given[flag] && !used[i][part] && errs[i][part] != nil {
				r.fail(asFlag(errs[i][part]))
			}
		}
	}
	if len(p.scenarios) == 0 {
		for _, err := range errs[transport] {
			r.fail(asFlag(err))
		}
	}
}
