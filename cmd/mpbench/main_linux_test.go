package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/bench"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// program is the path of the mpbench that the tests run.
var program string

func TestMain(m *testing.M) {
	if text := os.Getenv(surroundingsEnv); text != "" {
		os.Exit(inSurroundings(text))
	}
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mpbench")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "mpbench")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// mpbench runs the program in directory dir.
func mpbench(t *testing.T, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, diag bytes.Buffer
	c := exec.CommandContext(ctx, program, args...)
	c.Dir, c.Stdout, c.Stderr = dir, &out, &diag
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), diag.String(), c.ProcessState.ExitCode()
}

func decode(t *testing.T, data []byte) bench.Report {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var r bench.Report
	if err := d.Decode(&r); err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	if d.More() {
		t.Errorf("more than one value in\n%s", data)
	}
	if r.Schema != bench.Schema || r.Machine != bench.ThisMachine() {
		t.Errorf("schema %d, machine %+v", r.Schema, r.Machine)
	}
	return r
}

func TestReport(t *testing.T) {
	dir := t.TempDir()
	stdout, stderr, code := mpbench(t, dir, "-transports", quickTransports, "-sizes", "64,1024", "-duration", "10ms", "-trials", "2", "-json", "out.json", "-benchfmt", "out.txt")
	if code != 0 || stderr != "" {
		t.Fatalf("exit status %d\n%s", code, stderr)
	}
	data, err := os.ReadFile(filepath.Join(dir, "out.json"))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(filepath.Join(dir, "out.txt"))
	if err != nil {
		t.Fatal(err)
	}
	r := decode(t, data)
	want := 0
	for _, size := range []int{64, 1024} {
		for transport := range strings.SplitSeq(quickTransports, ",") {
			for measure := range strings.SplitSeq(defaultMeasures, ",") {
				got := r.Results[want]
				if len(got.Trials) != 2 || got.Low > got.Figure() || got.High < got.Figure() {
					t.Errorf("result %d, of %d trials: %g in %g to %g", want, len(got.Trials), got.Figure(), got.Low, got.High)
				}
				for i, trial := range got.Trials {
					if trial.Futex <= 0 || trial.Copy <= 0 || trial.OfLimit <= 0 {
						t.Errorf("trial %d of result %d: %g of limits %+v", i, want, trial.OfLimit, trial.Limits)
					}
					if trial.Line <= 0 || trial.CPU <= 0 || trial.Line != r.Results[0].Trials[i].Line {
						t.Errorf("trial %d of result %d: line %g ns, CPU %g ns", i, want, trial.Line, trial.CPU)
					}
				}
				if name := "Benchmark" + got.Scenario().Name(); bytes.Count(lines, []byte(name+"-")) != 2 {
					t.Errorf("want 2 lines of %s in\n%s", name, lines)
				}
				if got.Size != size || got.Transport != transport || got.Measure != measure || !got.Verified || got.Messages == 0 {
					t.Errorf("result %d is %+v", want, got)
				}
				want++
			}
			if _, group, _ := strings.Cut(stdout, "\n"+sizeText(size)+"\n"); !strings.Contains(group, "\n  "+transport+" ") && !strings.HasPrefix(group, "  "+transport+" ") {
				t.Errorf("no line of %s, %d bytes in\n%s", transport, size, stdout)
			}
		}
	}
	if len(r.Results) != want {
		t.Errorf("%d results, want %d", len(r.Results), want)
	}
	if !strings.HasPrefix(stdout, r.Machine.String()+"\n") {
		t.Errorf("standard output does not begin with the machine:\n%s", stdout)
	}
}

func TestKeys(t *testing.T) {
	stdout, stderr, code := mpbench(t, "", "-transports", "queue", "-sizes", "8", "-producers", "2", "-consumers", "2",
		"-duration", "20ms", "-trials", "1", "-wait", "block", "-json", "-")
	if code != 0 || stderr != "" {
		t.Fatalf("exit status %d\n%s", code, stderr)
	}
	decode(t, []byte(stdout))
	var r struct{ Results []map[string]any }
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 1 { // only throughput can be measured with several producers
		t.Fatalf("results %v", r.Results)
	}
	for key, want := range map[string]any{
		"transport": "queue", "measure": "throughput", "size": 8.0, "producers": 2.0, "consumers": 2.0, "wait": "block",
		"p50_ns": 0.0, "p99_ns": 0.0, "verified": true, "messages": nil, "seconds": nil, "msgs_per_sec": nil, "bytes_per_sec": nil,
		"cpu_ns": nil, "switches": nil, "line_ns": nil, "futex_ns": nil, "copy_bytes_per_sec": nil, "of_limit": nil, "low": nil, "high": nil, "confidence": 0.0, "trials": nil,
	} {
		got, ok := r.Results[0][key]
		if !ok || want != nil && got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
		delete(r.Results[0], key)
	}
	if len(r.Results[0]) > 0 {
		t.Errorf("keys that should not be there: %v", r.Results[0])
	}
}

// TestBrief measures for a time that is over before the first message. Each figure is still one of some messages, in every
// format.
func TestBrief(t *testing.T) {
	for _, to := range []string{"", "-json", "-benchfmt", "-html", "-markdown"} {
		args := []string{"-transports", "pipe,os-pipe,pool,lock,value", "-sizes", "65536", "-duration", "1ns", "-trials", "2"}
		if to != "" {
			args = append(args, to, "-")
		}
		stdout, stderr, code := mpbench(t, "", args...)
		if code != 0 || stdout == "" {
			t.Fatalf("%q: exit status %d\n%s", args, code, stderr)
		}
		if strings.Contains(stdout, "NaN") || strings.Contains(stdout, "Inf") {
			t.Errorf("%q: a figure is no number:\n%s", args, stdout)
		}
	}
}

// TestTablesOfNothing shows cells without figures: their ratios and spreads are left out.
func TestTablesOfNothing(t *testing.T) {
	var cells []bench.Cell
	for _, transport := range []string{reference, "pool"} {
		for _, measure := range bench.Measures() {
			r := bench.Result{Transport: transport, Measure: measure, Size: 64, Producers: 1, Consumers: 1}
			cells = append(cells, bench.NewCell([]bench.Result{r, r, r}))
		}
	}
	text := tables(style{width: widest, utf8: true}, cells)
	c := compareReports(bench.NewReport(cells), bench.NewReport(cells))
	var compared strings.Builder
	if err := c.write(&compared, style{width: widest}, true, 5); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{text, compared.String()} {
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("a figure is no number:\n%s", text)
		}
	}
}

// TestErrorTable gives the program each wrong flag: the error names the flag, its value and what is allowed.
func TestErrorTable(t *testing.T) {
	const (
		transports = "one or more of pipe,queue,shm,broadcast,os-pipe,unix-socket,unix-seqpacket,tcp,mqueue,channel,python-pipe,python-queue,python-shm,zmq,grpc,net-rpc,lock,semaphore,condition,event,array,value,spawn,warm,pool"
		sizes      = "one or more of 8,64,1024,65536,1048576"
		measures   = "one or more of throughput,latency,paced,idle,recovery"
		duration   = "more than 0 and at most 24h0m0s, such as 300ms or 2s"
	)
	for _, c := range []struct{ args, flag, value, want string }{
		{"-transports pipe,pigeon", "transports", "pigeon", transports},
		{"-transports ,", "transports", ",", transports},
		{"-sizes 9", "sizes", "9", sizes},
		{"-sizes 8,-1", "sizes", "-1", sizes},
		{"-sizes many", "sizes", "many", sizes},
		{"-measure joy", "measure", "joy", measures},
		{"-wait long", "wait", "long", "adaptive, spin or block"},
		{"-producers 0", "producers", "0", "1 to 64"},
		{"-producers many", "producers", "many", "1 to 64"},
		{"-consumers 65", "consumers", "65", "1 to 64"},
		{"-producers 2 -transports queue,os-pipe", "transports", "os-pipe",
			"one of pipe, queue, shm, broadcast, channel, or one producer and one consumer: there are 2 producers and 1 consumer"},
		{"-producers 2 -measure latency", "measure", "latency",
			"throughput, or one producer and one consumer: there are 2 producers and 1 consumer"},
		{"-transports lock -measure throughput", "measure", "throughput", "one of latency, recovery, which is what can be measured of lock"},
		{"-transports mqueue,pipe -sizes 65536", "sizes", "65536", "one of 8, 64, 1024 bytes, which mqueue carries"},
		{"-batch 0", "batch", "0", "numbers from 1 to 1024"},
		{"-batch 4 -transports pipe,queue", "transports", "pipe", "one of queue, os-pipe, unix-socket, tcp, for batches of 4 messages"},
		{"-content bytes,poem", "content", "poem", "one or more of bytes,string,struct"},
		{"-content string -sizes 8", "sizes", "8", "64 or 1024 bytes, for messages that are a string"},
		{"-rate 0", "rate", "0", "numbers from 1 to 100000000"},
		{"-rate ,", "rate", ",", "numbers from 1 to 100000000"},
		{"-trials 0", "trials", "0", "1 to 1000"},
		{"-trials few", "trials", "few", "1 to 1000"},
		{"-json - -benchfmt -", "benchfmt", "-", "a file, since -json writes to standard output"},
		{"-duration -1s", "duration", "-1s", duration},
		{"-duration 0", "duration", "0", duration},
		{"-duration 25h", "duration", "25h", duration},
		{"-duration long", "duration", "long", duration},
		{"-pin 0,4096", "pin", "4096", "the CPUs that this process may use"},
		{"-pin -1", "pin", "-1", "the CPUs that this process may use"},
		{"-color pink", "color", "pink", "auto, always or never"},
		{"-place moon", "place", "moon", "one of core, siblings, socket, numa, far, auto"},
		{"-place core -pin 0", "place", "core", "no -pin, which says where the processes are bound"},
		{"-pin x", "pin", "x", "numbers of CPUs, such as 0,1"},
	} {
		t.Run(c.args, func(t *testing.T) {
			stdout, stderr, code := mpbench(t, "", strings.Fields(c.args)...)
			t.Logf("%-40s %s", c.args, strings.TrimSpace(stderr))
			begin := fmt.Sprintf("mpbench: invalid value %q for flag -%s: want ", c.value, c.flag)
			if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, begin) || !strings.HasSuffix(stderr, c.want+"\n") || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit status %d, standard output %q, standard error %q; want status %d, and to standard error %q and %q",
					code, stdout, stderr, exitUsage, begin, c.want)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"-json", "-help"},
		{"-pigeons 3", "-help"},
		{"pigeons", "-help"},
	} {
		t.Run(c.args, func(t *testing.T) {
			stdout, stderr, code := mpbench(t, "", strings.Fields(c.args)...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit status %d, want %d; printed %q, and to standard error, want %q in one line:\n%s", code, exitUsage, stdout, c.says, stderr)
			}
		})
	}
}

// TestOutput gives a path at which no file can be made.
func TestOutput(t *testing.T) {
	stdout, stderr, code := mpbench(t, "", "-json", "/nonexistent/out.json")
	if code != exitFailed || stdout != "" || stderr != "mpbench: -json: open /nonexistent/out.json: no such file or directory\n" {
		t.Errorf("exit status %d, standard output %q, standard error %q", code, stdout, stderr)
	}
}

// TestInterrupt interrupts the program alone, and all its processes, as a terminal does.
func TestInterrupt(t *testing.T) {
	for _, all := range []bool{true, false} {
		t.Run(fmt.Sprintf("all=%t", all), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var stdout bytes.Buffer
			terminal, stderr, err := sys.OpenPTY()
			if err != nil {
				t.Fatal(err)
			}
			defer terminal.Close()
			path := filepath.Join(t.TempDir(), "out.json")
			c := exec.CommandContext(ctx, program, "-transports", "queue", "-sizes", "64,1024", "-measure", "throughput",
				"-duration", "2s", "-json", path)
			c.Stdout, c.Stderr = &stdout, stderr
			c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := errors.Join(c.Start(), stderr.Close()); err != nil {
				t.Fatal(err)
			}
			shown := &screen{changed: make(chan struct{}, 1)}
			go shown.copy(terminal)
			shown.await(t, ctx, "[2/")
			group := c.Process.Pid
			awaitGroup(t, ctx, group, 3)
			for _, pid := range members(t, group) {
				if maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid)); err == nil && bytes.Contains(maps, []byte(" /dev/shm/")) {
					t.Errorf("process %d has something in /dev/shm:\n%s", pid, maps)
				}
			}
			to := group
			if all {
				to = -group
			}
			if err := syscall.Kill(to, syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			_ = c.Wait() // its error is the exit status
			if code := c.ProcessState.ExitCode(); code != exitInterrupted {
				t.Errorf("exit status %d, want %d", code, exitInterrupted)
			}
			awaitGroup(t, ctx, group, 0)
			shown.await(t, ctx, "\r\x1b[Kmpbench: interrupted\r\n")
			if !strings.Contains(stdout.String(), "64 bytes\n  queue ") || strings.Contains(stdout.String(), "1 KiB") {
				t.Errorf("standard output, want the first result alone:\n%s", &stdout)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if r := decode(t, data); len(r.Results) != 1 {
				t.Errorf("results %+v, want the first alone", r.Results)
			}
		})
	}
}

// A screen is what a program has written to a terminal.
type screen struct {
	changed chan struct{}
	mu      sync.Mutex
	text    []byte
}

// copy adds what the program writes, until it has ended.
func (s *screen) copy(terminal io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := terminal.Read(buf)
		s.mu.Lock()
		s.text = append(s.text, buf[:n]...)
		s.mu.Unlock()
		select {
		case s.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// await waits until the program has written want.
func (s *screen) await(t *testing.T, ctx context.Context, want string) {
	t.Helper()
	for {
		s.mu.Lock()
		text := string(s.text)
		s.mu.Unlock()
		if strings.Contains(text, want) {
			return
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			t.Fatalf("the terminal shows %q, want %q", text, want)
		}
	}
}

// awaitGroup waits until a process group has n members.
func awaitGroup(t *testing.T, ctx context.Context, group, n int) {
	t.Helper()
	for {
		now := members(t, group)
		if len(now) == n {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("process group %d has the members %d, want %d of them", group, now, n)
		}
		time.Sleep(time.Millisecond)
	}
}

// members returns the processes of a process group.
func members(t *testing.T, group int) (pids []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // the process has ended
		}
		// pid (name) state ppid pgrp
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		if len(fields) > 2 && fields[2] == strconv.Itoa(group) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestPlace binds the processes to CPUs by their relation: the table and the JSON say to which.
func TestPlace(t *testing.T) {
	dir := t.TempDir()
	for _, p := range []bench.Placement{bench.PlaceCore, bench.PlaceAuto} {
		cpus, what, err := p.CPUs()
		if err != nil {
			t.Skipf("the system does not tell its topology: %v", err)
		}
		stdout, stderr, code := mpbench(t, dir, "-transports", "pipe", "-sizes", "64", "-measure", "latency", "-duration", "10ms",
			"-trials", "1", "-place", string(p), "-json", "out.json")
		if code != 0 || stderr != "" || !strings.Contains(stdout, "\n"+what+"\n") {
			t.Errorf("exit status %d, %q, want %q in\n%s", code, stderr, what, stdout)
		}
		data, err := os.ReadFile(filepath.Join(dir, "out.json"))
		if err != nil {
			t.Fatal(err)
		}
		if r := decode(t, data); r.Place != what || !slices.Equal(r.Results[0].Pin, cpus) {
			t.Errorf("place %q on CPUs %d, want %q on %d", r.Place, r.Results[0].Pin, what, cpus)
		}
	}
}

// TestNoPython runs where there is no python3: it is said, once, and the rest is measured.
func TestNoPython(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	stdout, stderr, code := mpbench(t, "", "-measure", "latency", "-sizes", "8", "-duration", "5ms", "-trials", "1")
	if code != 0 || stderr != "" || strings.Count(stdout, "\"python3\"") != 1 || !strings.Contains(stdout, "\nnot measured: bench: python-") ||
		!strings.Contains(stdout, " queue ") {
		t.Errorf("exit status %d, %q\n%s", code, stderr, stdout)
	}
	stdout, stderr, code = mpbench(t, "", "-transports", "python-pipe")
	if code != exitUsage || stdout != "" || !strings.Contains(stderr, "install it") {
		t.Errorf("exit status %d, want %d; %q\n%s", code, exitUsage, stderr, stdout)
	}
}

// TestCombinations measures all combinations that are possible, and no other.
func TestCombinations(t *testing.T) {
	for _, c := range []struct {
		args string
		want []string // the names of the benchmarks
	}{
		{"-transports pipe,lock -measure latency,recovery -sizes 64,1024", []string{
			"Latency/transport=pipe/size=64", "Recovery/transport=pipe", "Latency/transport=lock/size=64", "Recovery/transport=lock",
			"Latency/transport=pipe/size=1024", "Latency/transport=lock/size=1024"}},
		{"-transports queue,unix-seqpacket -sizes 64 -producers 1,2 -measure throughput", []string{
			"Throughput/transport=queue/size=64", "Throughput/transport=queue/size=64/producers=2/consumers=1",
			"Throughput/transport=unix-seqpacket/size=64"}},
		{"-transports queue -sizes 64 -batch 1,8 -content bytes,string", []string{
			"Throughput/transport=queue/size=64", "Throughput/transport=queue/size=64/content=string",
			"Throughput/transport=queue/size=64/batch=8", "Latency/transport=queue/size=64", "Latency/transport=queue/size=64/content=string"}},
		{"-transports pipe -measure paced -sizes 64 -rate 1000,2000", []string{
			"Paced/transport=pipe/size=64/rate=1000", "Paced/transport=pipe/size=64/rate=2000"}},
	} {
		p, err := parse(strings.Fields(c.args), os.Stderr)
		if err != nil {
			t.Errorf("%s: %v", c.args, err)
		}
		var got []string
		for _, s := range p.scenarios {
			got = append(got, s.Name())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s measures\n%s\nwant\n%s", c.args, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// TestDefault wants all measures and nearly all transports in what is measured by default, each once.
func TestDefault(t *testing.T) {
	p, err := parse(nil, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, s := range p.scenarios {
		if name := s.Name(); seen[name] {
			t.Errorf("%s is measured twice", name)
		}
		seen[s.Name()], seen[s.Measure], seen[s.Transport] = true, true, true
	}
	for _, want := range slices.Concat(bench.Transports(), bench.Measures()) {
		if !seen[want] && bench.Available(want) == nil {
			t.Errorf("%s is not measured", want)
		}
	}
}
