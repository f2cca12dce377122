package main

import (
	"errors"
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

// A plan says what the command line asks for.
type plan struct {
	scenarios []bench.Scenario
	place     string // which CPUs -place has chosen
	missing   error  // why some transports are not measured that would be by default
	trials    int    // of each scenario
	json      string // file for JSON; "-" for standard output; "" for none
	benchfmt  string // the same for the lines of benchmarks
	html      string // the same for the page
}

// The defaults are such that the comparison of everything takes less than 60 s, and with -quick less than 10 s.
const (
	defaultDuration = 80 * time.Millisecond
	defaultTrials   = 5
	quickDuration   = 50 * time.Millisecond
	quickTrials     = 3
	quickSizes      = "64,65536"

	quickTransports = "pipe,queue,shm,os-pipe,unix-socket"
	defaultMeasures = "throughput,latency"
	defaultRate     = "1000,10000,100000"
	bytesContent    = "bytes"
)

// A block is a part of what is measured unless -transports, -measure, -sizes, -producers, -consumers, -batch, -content or -quick
// say otherwise:
// all combinations of its lists.
type block struct {
	sizes, transports, measures string
	processes, batch            int // number of producers, and of consumers; messages in a batch
	content                     string
}

var blocks = []block{
	{"64,1024,65536", quickTransports, defaultMeasures, 1, 1, bytesContent},
	{"64,65536", "broadcast,unix-seqpacket,tcp,channel", defaultMeasures, 1, 1, bytesContent},
	{"64", "mqueue,python-pipe,python-queue,python-shm", defaultMeasures, 1, 1, bytesContent},
	{"64", "pipe,queue,channel", bench.Throughput, 4, 1, bytesContent},
	{"64", "queue,os-pipe", bench.Throughput, 1, 16, bytesContent},
	{"64", "queue", defaultMeasures, 1, 1, "string,struct"},
	{"64", "lock,semaphore,condition,event,value,spawn,warm,pool", bench.Latency, 1, 1, bytesContent},
	{"64", "pipe,queue,os-pipe", bench.Paced, 1, 1, bytesContent},
	{"64", "pipe,queue,os-pipe", bench.Idle, 1, 1, bytesContent},
	{"64", "pipe,lock,spawn", bench.Recovery, 1, 1, bytesContent},
}

// parse reads the command line. If help is asked for, parse prints the usage to stderr and returns
// flag.ErrHelp. It prints no other error.
func parse(args []string, stderr io.Writer) (plan, error) {
	transports, sizes := option(strings.Join(bench.Transports(), ",")), option(strings.Join(texts(bench.Sizes()), ","))
	measures, rates := option(defaultMeasures), option(defaultRate)
	producers, consumers, batches, contents := option("1"), option("1"), option("1"), option(bytesContent)
	duration, policy := option(defaultDuration.String()), option(shm.WaitAdaptive.String())
	trials := option(strconv.Itoa(defaultTrials))
	var pin, place, json, benchfmt, html option
	f := flag.NewFlagSet("mpbench", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	f.Var(&transports, "transports", "`list` of the transports to measure, of "+strings.Join(bench.Transports(), ","))
	f.Var(&sizes, "sizes", "`list` of the sizes of messages, in bytes")
	f.Var(&measures, "measure", "`list` of what to measure, of "+strings.Join(bench.Measures(), ","))
	f.Var(&rates, "rate", "`list` of messages a second, for -measure "+bench.Paced)
	f.Var(&batches, "batch", "`list` of the messages that are sent by one call; more than 1 only for throughput of "+strings.Join(bench.BatchTransports(), ","))
	f.Var(&contents, "content", "`list` of what messages are, of "+allContents()+"; all but "+bytesContent+" only for queue")
	f.Var(&producers, "producers", "`list` of numbers of processes that send; more than 1 only for throughput of "+strings.Join(bench.SharedTransports(), ","))
	f.Var(&consumers, "consumers", "`list` of numbers of processes that receive; more than 1 likewise")
	f.Var(&duration, "duration", "how `long` each trial measures")
	f.Var(&trials, "trials", "`number` of trials of each combination")
	quick := f.Bool("quick", false, "measure less: -transports "+quickTransports+" -sizes "+quickSizes+" -duration "+quickDuration.String()+" -trials "+strconv.Itoa(quickTrials)+", except those that are given")
	f.Var(&policy, "wait", "`policy` by which mp's transports wait: adaptive, spin or block")
	f.Var(&pin, "pin", "`list` of CPUs to which the processes are bound in turn, producers first, such as 0,1")
	f.Var(&place, "place", "two CPUs to which the processes are bound in turn, by their `relation`: "+strings.Join(texts(bench.Placements()), ", "))
	f.Var(&json, "json", "`file` to which the results are written as JSON; - is standard output, instead of the table")
	f.Var(&benchfmt, "benchfmt", "`file` to which all trials are written as lines of benchmarks, for benchstat; - likewise")
	f.Var(&html, "html", "`file` to which the results are written as a page with pictures; - likewise")
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
	if html == "-" && (json == "-" || benchfmt == "-") {
		return plan{}, invalid("html", "-", "a file, since another flag writes to standard output")
	}

	var r reader
	base := bench.Scenario{
		Duration: r.duration("duration", duration), Wait: r.policy("wait", policy), Pin: r.cpus("pin", pin),
	}
	var where string
	if place != "" {
		if pin != "" {
			return plan{}, invalid("place", string(place), "no -pin, which says where the processes are bound")
		}
		base.Pin, where = r.place("place", place)
	}
	p := plan{place: where, trials: r.trials("trials", trials), json: string(json), benchfmt: string(benchfmt), html: string(html)}
	c := choice{
		base: base, transports: r.choose("transports", transports, bench.Transports()),
		measures: r.choose("measure", measures, bench.Measures()), sizes: r.choose("sizes", sizes, texts(bench.Sizes())),
		rates: r.numbers("rate", rates, 1, bench.MaxRate), batches: r.numbers("batch", batches, 1, bench.MaxBatch),
		producers: r.numbers("producers", producers, 1, bench.MaxSide), consumers: r.numbers("consumers", consumers, 1, bench.MaxSide),
		contents: r.choose("content", contents, split(option(allContents()))),
	}
	if !given["transports"] {
		c.without = p.unavailable()
	}
	if given["transports"] || given["measure"] || given["sizes"] || given["producers"] || given["consumers"] || given["batch"] || given["content"] || *quick {
		p.add(&r, c, given)
		return p, r.err
	}
	for _, b := range blocks {
		c.sizes, c.transports, c.measures = split(option(b.sizes)), split(option(b.transports)), split(option(b.measures))
		c.producers, c.consumers, c.batches = []int{b.processes}, []int{b.processes}, []int{b.batch}
		c.contents = split(option(b.content))
		p.add(&r, c, nil)
	}
	return p, r.err
}

// A choice is lists of which all combinations are measured that are possible.
type choice struct {
	base                                  bench.Scenario
	sizes, transports, measures, contents []string
	rates, batches, producers, consumers  []int
	without                               map[string]bool // transports that are left out
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
				list = append(list, c.variants(s)...)
			}
		}
	}
	return list
}

// variants returns s with all combinations of the numbers and contents.
func (c *choice) variants(s bench.Scenario) (list []bench.Scenario) {
	rates := c.rates
	if s.Measure != bench.Paced {
		rates = []int{0}
	}
	for _, s.Rate = range rates {
		for _, s.Producers = range c.producers {
			for _, s.Consumers = range c.consumers {
				for _, s.Batch = range c.batches {
					for _, content := range c.contents {
						if s.Content = content; content == bytesContent {
							s.Content = ""
						}
						list = append(list, s)
					}
				}
			}
		}
	}
	return list
}

// allContents lists the values of -content.
func allContents() string {
	return strings.Join(append([]string{bytesContent}, bench.Contents()...), ",")
}

// add adds the combinations that are possible. Each value that is given must be in one of them.
func (p *plan) add(r *reader, c choice, given map[string]bool) {
	for _, t := range c.transports {
		if err := bench.Available(t); err != nil && given["transports"] {
			r.fail(err)
			return
		}
	}
	used := make(map[[2]string]bool)  // by flag and value
	errs := make(map[[2]string]error) // the last one about the flag itself, or else the first one
	var order [][2]string
	var first error
	for _, s := range c.scenarios() {
		err := s.Validate()
		var wrong *bench.ScenarioError
		if errors.As(err, &wrong) && !slices.Contains(choosing, flags[wrong.Field]) {
			r.fail(asFlag(err))
			return
		}
		if err == nil {
			p.scenarios = append(p.scenarios, s)
		} else if first == nil {
			first = err
		}
		for i, value := range []string{s.Transport, s.Measure, strconv.Itoa(s.Size), strconv.Itoa(s.Batch), s.Content} {
			v := [2]string{choosing[i], value}
			if _, seen := used[v]; !seen {
				order = append(order, v)
			}
			used[v] = used[v] || err == nil
			if errs[v] == nil || wrong != nil && flags[wrong.Field] == v[0] {
				errs[v] = err
			}
		}
	}
	for _, v := range order {
		if given[v[0]] && !used[v] {
			r.fail(asFlag(errs[v]))
		}
	}
	if len(p.scenarios) == 0 && first != nil && given != nil {
		r.fail(asFlag(first))
	}
}

// choosing are the flags of which not all combinations need be possible.
var choosing = []string{"transports", "measure", "sizes", "batch", "content"}
