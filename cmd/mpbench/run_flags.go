package main

import (
	"flag"
	"strconv"
	"strings"

	"github.com/seed-2e7ecdea/mp/bench"
	"github.com/seed-2e7ecdea/mp/shm"
)

// runFlags are the flags of mpbench run, as the command line has them.
type runFlags struct {
	transports, sizes, measures, rates, batches, contents option
	producers, consumers, pin, place, policy              option
	duration, trials                                      option
	quick                                                 bool
	json, benchfmt, html, markdown, svg                   option
	color                                                 option
}

func (o *runFlags) add(f *flag.FlagSet) {
	add := func(to *option, name, value, does string) {
		*to = option(value)
		f.Var(to, name, does)
	}
	transports := strings.Join(bench.Transports(), ",")
	add(&o.transports, "transports", transports, "`list` of the transports to measure, of "+transports)
	add(&o.sizes, "sizes", strings.Join(texts(bench.Sizes()), ","), "`list` of the sizes of messages, in bytes")
	add(&o.measures, "measure", defaultMeasures, "`list` of what to measure, of "+strings.Join(bench.Measures(), ","))
	add(&o.rates, "rate", defaultRate, "`list` of messages a second, for -measure "+bench.Paced)
	add(&o.batches, "batch", "1", "`list` of the messages that are sent by one call; more than 1 only for throughput of "+strings.Join(bench.BatchTransports(), ","))
	add(&o.contents, "content", bytesContent, "`list` of what messages are, of "+allContents()+"; all but "+bytesContent+" only for queue")
	add(&o.producers, "producers", "1", "`list` of numbers of processes that send; more than 1 only for throughput of "+strings.Join(bench.SharedTransports(), ","))
	add(&o.consumers, "consumers", "1", "`list` of numbers of processes that receive; more than 1 only for the transports of -producers")
	add(&o.duration, "duration", defaultDuration.String(), "`duration` of each trial")
	add(&o.trials, "trials", strconv.Itoa(defaultTrials), "`number` of trials of each combination")
	f.BoolVar(&o.quick, "quick", false, "measure less: -transports "+quickTransports+" -sizes "+quickSizes+" -duration "+quickDuration.String()+" -trials "+strconv.Itoa(quickTrials)+", except those that are given")
	add(&o.policy, "wait", shm.WaitAdaptive.String(), "`policy` by which mp's transports wait: adaptive, spin or block")
	add(&o.pin, "pin", "", "`list` of CPUs to which the processes are bound in turn, producers first, such as 0,1")
	add(&o.place, "place", "", "two CPUs to which the processes are bound in turn, by their `relation`: "+strings.Join(texts(bench.Placements()), ", "))
	add(&o.json, "json", "", "`file` to which the results are written as JSON; - is standard output, instead of the table")
	add(&o.benchfmt, "benchfmt", "", "`file` to which all trials are written as lines of benchmarks, for benchstat; - is standard output")
	add(&o.html, "html", "", "`file` to which the results are written as a page with pictures; - is standard output")
	add(&o.markdown, "markdown", "", "`file` in which a block of Markdown is written, with the table; if it is not empty, between the two lines that mark the block; - is standard output")
	add(&o.svg, "svg", "", "`directory` in which the pictures of the page are written, each as a file")
	addColor(f, &o.color)
}
