package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestBenchmarks runs each benchmark of package bench once: everything that is measured by default has one of the same name.
func TestBenchmarks(t *testing.T) {
	if testing.Short() {
		t.Skip("runs 250 benchmarks")
	}
	c := exec.CommandContext(t.Context(), "go", "test", "-run", "^$", "-bench", ".", "-benchtime", "1x", "../../bench")
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	benchmarks := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(line, " ")
		if i := strings.LastIndexByte(name, '-'); i > 0 { // GOMAXPROCS, if it is not 1
			benchmarks[name[:i]] = true
		}
		benchmarks[name] = true
	}
	p, err := parse(nil, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.scenarios {
		if !benchmarks["Benchmark"+s.Name()] {
			t.Errorf("there is no benchmark %s", s.Name())
		}
	}
	if len(p.scenarios) < 50 {
		t.Errorf("%d scenarios by default", len(p.scenarios))
	}
}
