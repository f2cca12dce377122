package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"

	"github.com/seed-2e7ecdea/mp/bench"
	"github.com/seed-2e7ecdea/mp/shm"
)

// readBenchfmt returns the report in lines of benchmarks, as -benchfmt or go test -bench write them. Benchmarks that are
// not scenarios of package bench do not count.
func readBenchfmt(path string, data []byte) (bench.Report, error) {
	trials := make(map[string][]bench.Result)
	var order []string
	r := bench.Report{Schema: bench.Schema}
	lines := benchfmt.NewReader(bytes.NewReader(data), path)
	for lines.Scan() {
		line, ok := lines.Result().(*benchfmt.Result)
		if !ok {
			continue // a line that is broken, or about a unit
		}
		base, cores := cutCores(line.Name.String())
		s, err := bench.ParseName(base)
		if err != nil {
			continue
		}
		if r.Machine = (bench.Machine{
			CPU: line.GetConfig("cpu"), OS: line.GetConfig("goos"), Arch: line.GetConfig("goarch"), Cores: cores,
		}); trials[base] == nil {
			order = append(order, base)
		}
		trials[base] = append(trials[base], resultOf(s, line))
	}
	if err := lines.Err(); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	for _, name := range order {
		cell := bench.NewCell(trials[name])
		if cell.Figure() <= 0 {
			return r, fmt.Errorf("%s: Benchmark%s has no %s", path, name, figureUnit(cell.Measure))
		}
		r.Results = append(r.Results, cell)
	}
	if len(order) == 0 {
		return r, fmt.Errorf("%s is not a file of mpbench -json, and has no benchmarks of mpbench or of its package bench", path)
	}
	return r, nil
}

// cutCores cuts the number of CPUs off the name of a benchmark: go test writes none if there is one.
func cutCores(name string) (base string, cores int) {
	if i := strings.LastIndexByte(name, '-'); i >= 0 {
		if n, err := strconv.Atoi(name[i+1:]); err == nil {
			return name[:i], n
		}
	}
	return name, 1
}

// figureUnit returns the unit of what trials of a measure are compared by.
func figureUnit(measure string) string {
	switch measure {
	case bench.Throughput:
		return "msgs/s"
	case bench.Idle:
		return "cpu-ns/s"
	}
	return "p50-ns"
}

// resultOf returns the result in a line: what metrics writes.
func resultOf(s bench.Scenario, line *benchfmt.Result) bench.Result {
	value := func(unit string) float64 {
		i := slices.IndexFunc(line.Values, func(v benchfmt.Value) bool {
			return v.OrigUnit == unit || v.OrigUnit == "" && v.Unit == unit
		})
		switch {
		case i < 0:
			return 0
		case line.Values[i].OrigUnit != "":
			return line.Values[i].OrigValue
		}
		return line.Values[i].Value
	}
	per := "/op"
	if s.Measure == bench.Idle {
		per = "/s"
	}
	wait := shm.WaitAdaptive
	if o := bench.OriginOf(s.Transport); o != bench.OriginMP && o != bench.OriginGo {
		wait = shm.WaitBlock // as Run enters it
	}
	return bench.Result{
		Wait: wait, Transport: s.Transport, Measure: s.Measure, Size: s.Size, Producers: max(s.Producers, 1), Consumers: max(s.Consumers, 1),
		Batch: s.Batch, Content: s.Content, Rate: s.Rate, Messages: uint64(line.Iters),
		MsgsPerSec: value("msgs/s"), BytesPerSec: value("MB/s") * 1e6, P50: int64(value("p50-ns")), P99: int64(value("p99-ns")),
		CPU: value("cpu-ns" + per), Switches: value("switches" + per), Limits: bench.Limits{Line: value("line-ns")},
	}
}
