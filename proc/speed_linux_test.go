package proc_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
)

func BenchmarkStartJoin(b *testing.B) {
	ctx := context.Background()
	for b.Loop() {
		p, err := nothing.New(struct{}{}, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(p.Start(ctx), p.Join(ctx)); err != nil {
			b.Fatal(err)
		}
	}
}

// stamp returns the time of its first line.
var stamp = proc.Register("stamp", func(context.Context, proc.None) (time.Time, error) { return time.Now(), nil })

// BenchmarkMethods runs an empty main of the same executable by os/exec, and a trivial task by each
// method, in turn, and reports the medians of Start and Join, and of the time from Start to the
// first line of a warm task.
func BenchmarkMethods(b *testing.B) {
	ctx := context.Background()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	spares := newSpares(b, 1, nil)
	warm := &proc.Options{Method: proc.Warm, Spares: spares}
	var all [5][]time.Duration
	measure := func(i int, f func() error) {
		begin := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		all[i] = append(all[i], time.Since(begin))
	}
	run := func(o *proc.Options) func() error {
		return func() error {
			p, err := nothing.Start(ctx, struct{}{}, o)
			if err != nil {
				return err
			}
			return p.Join(ctx)
		}
	}
	for b.Loop() {
		measure(0, func() error {
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), modeEnv+"=early exit")
			return cmd.Run()
		})
		measure(1, run(nil))
		if err := spares.Ready(ctx); err != nil {
			b.Fatal(err)
		}
		measure(2, run(warm))
		if err := spares.Ready(ctx); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		p, err := stamp.Start(ctx, proc.None{}, warm)
		if err != nil {
			b.Fatal(err)
		}
		at, err := p.Result(ctx)
		if err != nil {
			b.Fatal(err)
		}
		all[3] = append(all[3], at.Sub(begin))
		measure(4, run(&proc.Options{Method: proc.InProcess}))
	}
	median := func(i int) float64 {
		slices.Sort(all[i])
		return float64(all[i][len(all[i])/2].Nanoseconds()) / 1e3
	}
	b.ReportMetric(median(0), "µs/exec")
	b.ReportMetric(median(1), "µs/spawn")
	b.ReportMetric(median(1)/median(0), "spawn/exec")
	b.ReportMetric(median(2), "µs/warm")
	b.ReportMetric(median(3), "µs/warm-first-line")
	b.ReportMetric(median(4), "µs/in-process")
}

// python starts and joins a trivial process by each method of multiprocessing, and prints the
// medians in microseconds.
const python = `
import multiprocessing as mp, statistics, time

def nothing():
    pass

if __name__ == "__main__":
    for method in "fork", "spawn", "forkserver":
        ctx = mp.get_context(method)
        times = []
        for _ in range(11):
            begin = time.perf_counter()
            p = ctx.Process(target=nothing)
            p.start()
            p.join()
            times.append(time.perf_counter() - begin)
        print(method, statistics.median(times) * 1e6)
`

// BenchmarkPython is what BenchmarkMethods is for multiprocessing.
func BenchmarkPython(b *testing.B) {
	for b.Loop() {
		for method, us := range pythonFigures(b, python) {
			b.ReportMetric(us, "µs/"+method)
		}
	}
}

// pythonFigures runs a program in Python. Each line that it prints is a name and a figure.
func pythonFigures(b *testing.B, program string) map[string]float64 {
	name, err := exec.LookPath("python3")
	if err != nil {
		b.Skip("needs python3")
	}
	file := b.TempDir() + "/program.py" // multiprocessing wants a file
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		b.Fatal(err)
	}
	out, err := exec.Command(name, file).Output()
	if err != nil {
		b.Fatal(err)
	}
	figures := make(map[string]float64)
	for line := range strings.Lines(string(out)) {
		what, figure, _ := strings.Cut(strings.TrimSpace(line), " ")
		if figures[what], err = strconv.ParseFloat(figure, 64); err != nil {
			b.Fatal(err)
		}
	}
	return figures
}
