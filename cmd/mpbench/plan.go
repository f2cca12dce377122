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
)

// A plan says what the command line asks for.
type plan struct {
	scenarios []bench.Scenario
	place     string  // which CPUs -place has chosen
	missing   []error // why some transports are not measured that would be by default
	trials    int     // of each scenario
	table     bool    // print the table
	json      string  // file for JSON; "-" for standard output; "" for none
	benchfmt  string  // the same for the lines of benchmarks
	html      string  // the same for the page
	markdown  string  // the same for a block of Markdown
	svg       string  // directory for the pictures, "" for none
	color     colorMode
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
	{"64", "mqueue,python-pipe,python-queue,python-shm,zmq,grpc,net-rpc", defaultMeasures, 1, 1, bytesContent},
	{"64", "pipe,queue,channel", bench.Throughput, 4, 1, bytesContent},
	{"64", "queue,os-pipe", bench.Throughput, 1, 16, bytesContent},
	{"64", "queue", defaultMeasures, 1, 1, "string,struct"},
	{"64", "array,value,pool", defaultMeasures, 1, 1, bytesContent},
	{"64", "lock,semaphore,condition,event,spawn,warm", bench.Latency, 1, 1, bytesContent},
	{"64", "pipe,queue,os-pipe", bench.Paced, 1, 1, bytesContent},
	{"64", "pipe,queue,os-pipe", bench.Idle, 1, 1, bytesContent},
	{"64", "pipe,lock,spawn", bench.Recovery, 1, 1, bytesContent},
}

// parse reads the command line. If help is asked for, parse prints the usage to stderr and returns
// flag.ErrHelp. It prints no other error.
func parse(args []string, stderr io.Writer) (plan, error) {
	var o runFlags
	f := newFlags("run", stderr, o.add)
	usage := f.Usage
	f.SetOutput(io.Discard) // the caller prints errors, in one line
	f.Usage = func() {}
	err := f.Parse(args)
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

	if o.quick {
		for name, value := range map[string]string{
			"transports": quickTransports, "sizes": quickSizes, "duration": quickDuration.String(), "trials": strconv.Itoa(quickTrials),
		} {
			if !given[name] {
				_ = f.Set(name, value) // an option takes any text
			}
		}
	}
	var printed option // the output that goes to standard output
	for _, out := range []struct {
		flag string
		to   option
	}{{"json", o.json}, {"benchfmt", o.benchfmt}, {"html", o.html}, {"markdown", o.markdown}} {
		if out.to != "-" {
			continue
		}
		if printed != "" {
			return plan{}, invalid(out.flag, "-", "a file, since -"+string(printed)+" writes to standard output")
		}
		printed = option(out.flag)
	}

	var r reader
	base := bench.Scenario{
		Duration: r.duration("duration", o.duration), Wait: r.policy("wait", o.policy), Pin: r.cpus("pin", o.pin),
	}
	var where string
	if o.place != "" {
		if o.pin != "" {
			return plan{}, invalid("place", string(o.place), "no -pin, which says where the processes are bound")
		}
		base.Pin, where = r.place("place", o.place)
	}
	p := plan{place: where, trials: r.trials("trials", o.trials), json: string(o.json), benchfmt: string(o.benchfmt), html: string(o.html), table: printed == "",
		markdown: string(o.markdown), svg: string(o.svg), color: r.color(o.color)}
	c := choice{
		base: base, transports: r.choose("transports", o.transports, bench.Transports()),
		measures: r.choose("measure", o.measures, bench.Measures()), sizes: r.choose("sizes", o.sizes, texts(bench.Sizes())),
		rates: r.numbers("rate", o.rates, 1, bench.MaxRate), batches: r.numbers("batch", o.batches, 1, bench.MaxBatch),
		producers: r.numbers("producers", o.producers, 1, bench.MaxSide), consumers: r.numbers("consumers", o.consumers, 1, bench.MaxSide),
		contents: r.choose("content", o.contents, split(option(allContents()))),
	}
	if !given["transports"] {
		c.without = p.unavailable()
	}
	if given["transports"] || given["measure"] || given["sizes"] || given["producers"] || given["consumers"] || given["batch"] || given["content"] || o.quick {
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

// unavailable returns the transports that cannot be measured here, and keeps each reason once.
func (p *plan) unavailable() map[string]bool {
	without := make(map[string]bool)
	for _, transport := range bench.Transports() {
		if err := bench.Available(transport); err != nil {
			without[transport] = true
			if !slices.ContainsFunc(p.missing, func(e error) bool { return e.Error() == err.Error() }) {
				p.missing = append(p.missing, err)
			}
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
