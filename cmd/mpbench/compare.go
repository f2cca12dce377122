package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchmath"

	"github.com/seed-2e7ecdea/mp/bench"
)

// familyError is the probability with which a comparison of two equal programs calls anything
// changed, if the trials are independent.
const familyError = 0.05

// compareFlags are the flags of mpbench compare.
type compareFlags struct {
	threshold float64
	trials    int
	all       bool
	color     option
}

func (o *compareFlags) add(f *flag.FlagSet) {
	f.Float64Var(&o.threshold, "threshold", 5, "exit with status 1 if something is slower by more than so many `percent`")
	f.IntVar(&o.trials, "trials", 10, "`number` of runs of each of two builds, in turn")
	f.BoolVar(&o.all, "all", false, "print what has not changed, too")
	addColor(f, &o.color)
}

// runCompare is mpbench compare. It returns the exit status: 1 if something has become slower by
// more than the threshold.
func runCompare(ctx context.Context, args []string, stdout, stderr *os.File) int {
	var o compareFlags
	flags := newFlags("compare", stderr, o.add)
	args, rest := cutRest(args)
	if code, done := parseFlags(flags, args, 2, 2); done {
		return code
	}
	if o.threshold < 0 || o.trials < 1 {
		fmt.Fprintln(stderr, "mpbench compare: -threshold must be 0 or more, -trials 1 or more")
		return exitUsage
	}
	var r reader
	mode := r.color(o.color)
	if r.err != nil {
		fmt.Fprintln(stderr, "mpbench compare:", r.err)
		return exitUsage
	}
	from, to, err := reportsOf(ctx, flags.Arg(0), flags.Arg(1), o.trials, rest, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "mpbench compare:", err)
		if ctx.Err() != nil {
			return exitInterrupted
		}
		return exitFailed
	}
	c := compareReports(from, to)
	if err := c.write(stdout, newStyle(stdout, mode), o.all, o.threshold); err != nil {
		fmt.Fprintln(stderr, "mpbench compare:", err)
		return exitFailed
	}
	if len(c.regressions(o.threshold)) > 0 {
		return exitFailed
	}
	return 0
}

// cutRest cuts what follows "--" off.
func cutRest(args []string) (before, after []string) {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i], args[i+1:]
	}
	return args, nil
}

// reportsOf returns the reports in two files, or of two programs that it runs.
func reportsOf(ctx context.Context, from, to string, trials int, flags []string, stderr *os.File) (a, b bench.Report, err error) {
	programs := 0
	for _, path := range []string{from, to} {
		info, err := os.Stat(path)
		if err != nil {
			return a, b, err
		}
		if info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			programs++
		}
	}
	switch {
	case programs == 2:
		return runInTurn(ctx, from, to, trials, flags, stderr)
	case programs == 1:
		return a, b, fmt.Errorf("%s and %s: one is a program and the other is not", from, to)
	case len(flags) > 0:
		return a, b, fmt.Errorf("flags %q after --: they are for two programs, not for two files", flags)
	}
	if a, err = readReport(from); err == nil {
		b, err = readReport(to)
	}
	return a, b, err
}

// readReport reads a file of mpbench -json, or one with lines of benchmarks.
func readReport(path string) (r bench.Report, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return readBenchfmt(path, data)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s is not a file of mpbench -json: %w", path, err)
	}
	if r.Schema != bench.Schema {
		return r, fmt.Errorf("%s has schema %d, this mpbench reads %d", path, r.Schema, bench.Schema)
	}
	return r, nil
}

// A difference is what a comparison found out about one scenario in rounds of one kind.
type difference struct {
	scenario bench.Scenario
	far      bool // the rounds in which the CPUs were far apart
	from, to bench.Cell
	p        float64 // probability of a difference like this if there is none
	changed  bool    // p is significant beside all other comparisons
}

// A comparison holds the differences of all scenarios that both reports have.
type comparison struct {
	machines    [2]bench.Machine
	differences []difference
	moved       bool // the CPUs were near together in some rounds and far apart in others
	skipped     int  // scenarios that could not be compared
}

// compareReports compares two reports. Rounds in which the CPUs were near together are compared with such
// rounds only.
func compareReports(from, to bench.Report) *comparison {
	c := &comparison{machines: [2]bench.Machine{from.Machine, to.Machine}}
	limit := farLimit(from, to)
	c.moved = !math.IsInf(limit, 1)
	others := make(map[string]bench.Cell)
	for _, cell := range to.Results {
		others[scenarioKey(cell.Result)] = cell
	}
	for _, cell := range from.Results {
		other, ok := others[scenarioKey(cell.Result)]
		delete(others, scenarioKey(cell.Result))
		found := false
		for _, far := range []bool{false, true} {
			a, b := within(cell.Trials, limit, far), within(other.Trials, limit, far)
			if ok && len(a) > 0 && len(b) > 0 {
				c.add(cell.Scenario(), far, a, b)
				found = true
			}
		}
		if !found {
			c.skipped++
		}
	}
	c.skipped += len(others) // only NEW has them
	c.judge()
	return c
}

// farLimit returns the limit of bench.Far for the rounds of two reports. It is infinity if some trials do not tell how far
// apart the CPUs were, as those of go test.
func farLimit(from, to bench.Report) float64 {
	var distances []float64
	for _, r := range []bench.Report{from, to} {
		for _, cell := range r.Results {
			for _, t := range cell.Trials {
				if t.Line <= 0 {
					return math.Inf(1)
				}
				distances = append(distances, t.Line)
			}
		}
	}
	return bench.Far(distances)
}

// scenarioKey tells the scenarios of a report apart.
func scenarioKey(r bench.Result) string { return fmt.Sprint(r.Scenario().Name(), r.Wait, r.Pin) }

func within(trials []bench.Result, limit float64, far bool) (list []bench.Result) {
	for _, t := range trials {
		if (t.Line >= limit) == far {
			list = append(list, t)
		}
	}
	return list
}

func (c *comparison) add(s bench.Scenario, far bool, from, to []bench.Result) {
	samples := [2]*benchmath.Sample{}
	for i, trials := range [][]bench.Result{from, to} {
		var figures []float64
		for _, t := range trials {
			figures = append(figures, t.Figure())
		}
		samples[i] = benchmath.NewSample(figures, &benchmath.DefaultThresholds)
	}
	p := benchmath.AssumeNothing.Compare(samples[0], samples[1]).P
	c.differences = append(c.differences, difference{
		scenario: s, far: far, from: bench.NewCell(from), to: bench.NewCell(to), p: p,
	})
}

// judge decides which differences are significant, by the method of Holm (Scandinavian Journal of
// Statistics 6, 1979): the smallest p of n must be at most familyError/n, the next at most
// familyError/(n-1), and so on.
func (c *comparison) judge() {
	order := make([]*difference, len(c.differences))
	for i := range order {
		order[i] = &c.differences[i]
	}
	slices.SortStableFunc(order, func(a, b *difference) int {
		switch {
		case a.p < b.p:
			return -1
		case a.p > b.p:
			return 1
		}
		return 0
	})
	for i, d := range order {
		if d.p > familyError/float64(len(order)-i) {
			return
		}
		d.changed = true
	}
}

// enough returns how many trials of each side a difference needs at least, so that it can be significant beside
// n-1 others: the smallest k for which two orders of the 2k choose k are at most familyError/n of all.
func enough(n int) int {
	orders := 1.0
	for k := 1; ; k++ {
		orders *= float64(2*k) * float64(2*k-1) / float64(k*k)
		if 2/orders <= familyError/float64(n) {
			return k
		}
	}
}

// slower returns by how many percent the scenario takes longer in the newer report; less than 0 if it
// is faster.
func (d *difference) slower() float64 {
	if d.to.Figure() == d.from.Figure() { // both may be 0
		return 0
	}
	ratio := d.to.Figure() / d.from.Figure()
	if d.scenario.Measure == bench.Throughput {
		ratio = 1 / ratio
	}
	return 100 * (ratio - 1)
}

// regressions returns what has become slower by more than threshold percent.
func (c *comparison) regressions(threshold float64) (list []difference) {
	for _, d := range c.differences {
		if d.changed && d.slower() > threshold {
			list = append(list, d)
		}
	}
	return list
}

// write prints a table and a verdict.
func (c *comparison) write(to io.Writer, s style, all bool, threshold float64) error {
	var text strings.Builder
	line := func(format string, args ...any) {
		text.WriteString(s.wrap(fmt.Sprintf(format, args...)) + "\n")
	}
	if a, b := c.machines[0], c.machines[1]; differ(a, b) {
		line("OLD: %v", a)
		line("NEW: %v", b)
		line("The machines differ, so that differences may be theirs.\n")
	}
	const probability = 1 // what is left out first
	g := &grid{columns: []column{
		{head: "size"}, {head: "transport", left: true}, {head: "measure", left: true}, {head: "old"}, {head: "±"},
		{head: "new"}, {head: "±"}, {head: "takes"}, {head: "", last: probability},
	}}
	changed := 0
	for i := range c.differences {
		d := &c.differences[i]
		if d.changed {
			changed++
		}
		if d.changed || all {
			g.row(d.line()...)
		}
	}
	if len(g.rows) > 0 {
		text.WriteString(g.write(s) + "\n")
	}
	n := len(c.differences)
	line("%s of %s changed (Mann-Whitney test, by Holm's method: with %.0f %% probability none, if nothing changed)",
		plural(changed, "result"), strconv.Itoa(n), 100*(1-familyError))
	if c.skipped > 0 {
		line("%s could not be compared: only one side measured them, or only one with the CPUs as near", plural(c.skipped, "result"))
	}
	if least := c.fewest(); n > 0 && least < enough(n) {
		line("Some results have %s: to find changes among %d results, each side needs %d (-trials).",
			plural(least, "trial"), n, enough(n))
	}
	if bad := len(c.regressions(threshold)); bad > 0 {
		text.WriteString(s.paint(red, fmt.Sprintf("SLOWER by more than %g %%: %s", threshold, plural(bad, "result"))) + "\n")
	}
	_, err := io.WriteString(to, text.String())
	return err
}

// differ reports whether two machines differ in something that is known of both. Lines of benchmarks tell little.
func differ(a, b bench.Machine) bool {
	texts := func(x, y string) bool { return x != "" && y != "" && x != y }
	return texts(a.CPU, b.CPU) || texts(a.Kernel, b.Kernel) || texts(a.Go, b.Go) || texts(a.OS, b.OS) || texts(a.Arch, b.Arch) ||
		a.Cores > 0 && b.Cores > 0 && a.Cores != b.Cores
}

// fewest returns the smallest number of trials of a side.
func (c *comparison) fewest() int {
	least := math.MaxInt
	for _, d := range c.differences {
		least = min(least, len(d.from.Trials), len(d.to.Trials))
	}
	return least
}

// line returns the cells of a difference: in red if it is slower, and in green if it is faster.
func (d *difference) line() []gridCell {
	size := ""
	if d.scenario.Size > 0 {
		size = strconv.Itoa(d.scenario.Size)
	}
	transport := (&row{key: keyOf(&d.from)}).name()
	measure := d.scenario.Measure
	if d.scenario.Rate > 0 {
		measure += "/" + count(float64(d.scenario.Rate))
	}
	if d.far {
		measure += ", far"
	}
	verdict, note, colour := "same", "", plain
	if d.changed {
		verdict, note = fmt.Sprintf("%.2f", 1+d.slower()/100), fmt.Sprintf("p=%.1g", d.p)
		colour = green
		if d.slower() > 0 {
			colour = red
		}
	}
	return []gridCell{
		{text: size}, {text: transport}, {text: measure}, {text: d.figure(&d.from)}, spreadCell(&d.from),
		{text: d.figure(&d.to)}, spreadCell(&d.to), {text: verdict, colour: colour}, {text: note},
	}
}

func (d *difference) figure(c *bench.Cell) string {
	if d.scenario.Measure == bench.Throughput {
		return count(c.Figure()) + "/s"
	}
	return nanoseconds(c.Figure())
}
