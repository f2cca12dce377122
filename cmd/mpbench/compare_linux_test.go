package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-2e7ecdea/mp/bench"
)

var (
	compareSame = flag.Int("compare.same", 0, "compare mpbench so often with itself, all transports")
	compareSlow = flag.Bool("compare.slow", false, "compare mpbench with a build in which one transport is 10 % slower")
)

// compare runs mpbench compare and returns what it printed and its exit status.
func compare(t *testing.T, args ...string) (text string, code int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), program, append([]string{"compare"}, args...)...)
	out, err := c.CombinedOutput()
	if err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), c.ProcessState.ExitCode()
}

// TestCompareBuilds runs the program in turn with itself, and compares two files, which are equal.
func TestCompareBuilds(t *testing.T) {
	text, code := compare(t, "-trials", "2", "-all", program, program, "--", "-transports", "pipe,queue", "-sizes", "64", "-duration", "10ms")
	// If the machine moved its CPUs between the rounds, one trial is of near CPUs and the other of far ones.
	few := strings.Contains(text, "have 2 trials") || strings.Contains(text, "have 1 trial")
	if code != 0 || !strings.Contains(text, "0 results of 4 changed") || !few {
		t.Errorf("exit status %d\n%s", code, text)
	}
	dir := t.TempDir()
	if stdout, stderr, code := mpbench(t, dir, "run", "-transports", "pipe", "-sizes", "64", "-duration", "10ms", "-trials", "2", "-json", "a.json"); code != 0 {
		t.Fatalf("exit status %d\n%s%s", code, stdout, stderr)
	}
	path := filepath.Join(dir, "a.json")
	text, code = compare(t, path, path) // of 4 if the CPUs moved: those of near rounds, and of far ones
	if code != 0 || !strings.Contains(text, "0 results of 2 changed") && !strings.Contains(text, "0 results of 4 changed") {
		t.Errorf("exit status %d\n%s", code, text)
	}
	slower := filepath.Join(dir, "b.json")
	if err := os.WriteFile(slower, slowed(t, path), 0o644); err != nil {
		t.Fatal(err)
	}
	faster := filepath.Join(dir, "c.json")
	if err := os.WriteFile(faster, repeated(t, path), 0o644); err != nil {
		t.Fatal(err)
	}
	if text, code := compare(t, faster, slower); code != exitFailed || !strings.Contains(text, "SLOWER by more than 5 %: 2 results") {
		t.Errorf("exit status %d\n%s", code, text)
	}
}

// slowed returns the report in a file with its trials repeated, all half as fast.
func slowed(t *testing.T, path string) []byte {
	return changed(t, path, func(r *bench.Result) { r.MsgsPerSec /= 2; r.P50 *= 2 })
}

// repeated returns the report in a file with its trials repeated.
func repeated(t *testing.T, path string) []byte { return changed(t, path, func(*bench.Result) {}) }

func changed(t *testing.T, path string, change func(*bench.Result)) []byte {
	t.Helper()
	report, err := readReport(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, cell := range report.Results {
		var trials []bench.Result
		for range 10 {
			trial := cell.Trials[0]
			change(&trial)
			trials = append(trials, trial)
		}
		report.Results[i] = bench.NewCell(trials)
	}
	data, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestCompareErrors shows what a user is told.
func TestCompareErrors(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	old := filepath.Join(dir, "old.json")
	for path, content := range map[string]string{text: "hello", old: `{"schema":1,"machine":{},"results":[]}`} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{text}, "usage: mpbench compare", exitUsage},
		{[]string{text, text}, "is not a file of mpbench -json", exitFailed},
		{[]string{old, old}, fmt.Sprintf("has schema 1, this mpbench reads %d", bench.Schema), exitFailed},
		{[]string{text, filepath.Join(dir, "none")}, "no such file or directory", exitFailed},
		{[]string{program, text}, "one is a program and the other is not", exitFailed},
		{[]string{text, text, "--", "-quick"}, "they are for two programs, not for two files", exitFailed},
		{[]string{"-threshold", "-1", text, text}, "-threshold must be 0 or more", exitUsage},
		{[]string{program, program, "--", "-sizes", "7"}, "-sizes", exitFailed},
	} {
		if out, code := compare(t, c.args...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("compare %q: exit status %d, want %d; want %q in\n%s", c.args, code, c.code, c.want, out)
		}
	}
}

// TestCompareSame compares mpbench with itself again and again, on the machine as it is.
func TestCompareSame(t *testing.T) {
	if *compareSame == 0 {
		t.Skip("takes half a minute for each comparison: -compare.same=20")
	}
	alarms := 0
	for i := range *compareSame {
		text, code := compare(t, "-threshold", "0", program, program, "--", "-transports", "pipe,queue,shm,os-pipe,unix-socket",
			"-sizes", "64,1024", "-duration", "20ms")
		t.Logf("comparison %d: exit status %d\n%s", i+1, code, text)
		if !strings.HasPrefix(text, "0 results of") { // the table comes first, if there is one
			alarms++
		}
	}
	t.Logf("%d of %d comparisons of a build with itself raise an alarm", alarms, *compareSame)
	if alarms > 1 {
		t.Errorf("%d false alarms", alarms)
	}
}

// TestCompareSlow finds a build in which messages over a pipe of the kernel take 10 % longer. All processes run on one
// CPU: with two, where the kernel wakes a process changes the figures of its pipes by far more than that.
func TestCompareSlow(t *testing.T) {
	if !*compareSlow {
		t.Skip("takes a minute: -compare.slow")
	}
	dir := t.TempDir()
	flags := []string{"-place", "core", "-transports", "pipe,queue,os-pipe", "-sizes", "65536", "-measure", "throughput", "-duration", "50ms"}
	base := filepath.Join(dir, "base.json")
	if stdout, stderr, code := mpbench(t, "", append(flags, "-trials", "5", "-json", base)...); code != 0 {
		t.Fatalf("exit status %d\n%s%s", code, stdout, stderr)
	}
	report, err := readReport(base)
	if err != nil {
		t.Fatal(err)
	}
	var took float64 // nanoseconds a message, of sender and receiver
	for _, c := range report.Results {
		if c.Transport == "os-pipe" {
			took = 1e9 / c.MsgsPerSec
		}
	}
	slow := buildSlower(t, dir, int64(took/10))
	text, code := compare(t, append([]string{"-trials", "40", "-threshold", "2", "-all", program, slow, "--"}, flags...)...)
	t.Logf("os-pipe takes %.0f ns, and 10 %% longer in the new build:\n%s", took, text)
	if code != exitFailed || !strings.Contains(text, "SLOWER by more than 2 %: 1 result\n") {
		t.Errorf("exit status %d, want %d and one slower result", code, exitFailed)
	}
}

// buildSlower builds mpbench so that each message that is sent over a file of the kernel waits for ns nanoseconds more.
func buildSlower(t *testing.T, dir string, ns int64) string {
	t.Helper()
	files, err := filepath.Abs("../../bench/files.go")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(files)
	if err != nil {
		t.Fatal(err)
	}
	const stamp, imports = "stamp(batch[at:at+p.size], w)", "import ("
	changed := strings.Replace(string(source), stamp, fmt.Sprintf("%s\nfor begin := time.Now(); time.Since(begin) < %d; {\n}", stamp, ns), 1)
	changed = strings.Replace(changed, imports, imports+"\n\"time\"\n", 1)
	if strings.Count(changed, "time.Since") != 1 {
		t.Fatalf("%s has not the line %s", files, stamp)
	}
	copied := filepath.Join(dir, "files.go")
	overlay := filepath.Join(dir, "overlay.json")
	program := filepath.Join(dir, "slow")
	replaced, err := json.Marshal(map[string]map[string]string{"Replace": {files: copied}})
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{copied: []byte(changed), overlay: replaced} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-overlay", overlay, "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}
