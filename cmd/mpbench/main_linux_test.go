package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/bench"
)

// program is the path of mpbench.
var program string

func TestMain(m *testing.M) { os.Exit(build(m)) }

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

// mpbench runs the program in a directory of its own.
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
	stdout, stderr, code := mpbench(t, dir, "-sizes", "64,1024", "-duration", "20ms", "-json", "out.json")
	if code != 0 || stderr != "" {
		t.Fatalf("exit status %d\n%s", code, stderr)
	}
	data, err := os.ReadFile(filepath.Join(dir, "out.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := decode(t, data)
	want := 0
	for _, size := range []int{64, 1024} {
		for _, transport := range bench.Transports() {
			for _, measure := range bench.Measures() {
				got := r.Results[want]
				if got.Size != size || got.Transport != transport || got.Measure != measure || !got.Verified || got.Messages == 0 {
					t.Errorf("result %d is %+v", want, got)
				}
				want++
			}
			if !strings.Contains(stdout, "\n"+fmt.Sprintf("%8d %s ", size, transport)) {
				t.Errorf("no line of %s, %d bytes in\n%s", transport, size, stdout)
			}
		}
	}
	if len(r.Results) != want {
		t.Errorf("%d results, want %d", len(r.Results), want)
	}
	if !strings.HasPrefix(stdout, r.Machine.String()+"\n") {
		t.Errorf("it does not begin with the machine:\n%s", stdout)
	}
}

func TestKeys(t *testing.T) {
	stdout, stderr, code := mpbench(t, "", "-transports", "queue", "-sizes", "8", "-producers", "2", "-consumers", "2",
		"-duration", "20ms", "-wait", "block", "-json", "-")
	if code != 0 || stderr != "" {
		t.Fatalf("exit status %d\n%s", code, stderr)
	}
	decode(t, []byte(stdout))
	var r struct{ Results []map[string]any }
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 1 { // several processes have throughput only
		t.Fatalf("results %v", r.Results)
	}
	for key, want := range map[string]any{
		"transport": "queue", "measure": "throughput", "size": 8.0, "producers": 2.0, "consumers": 2.0, "wait": "block",
		"p50_ns": 0.0, "p99_ns": 0.0, "verified": true, "messages": nil, "seconds": nil, "msgs_per_sec": nil, "bytes_per_sec": nil,
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

func TestUsage(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"-transports pipe,pigeon", "pipe, queue, shm, os-pipe, unix-socket"},
		{"-transports ,", "-transports"},
		{"-sizes 9", "8, 64, 1024, 65536, 1048576"},
		{"-sizes many", "8,64,1024,65536,1048576"},
		{"-measure joy", "throughput, latency"},
		{"-wait long", "adaptive, spin and block"},
		{"-producers 0", "1 to 64"},
		{"-producers 2 -transports os-pipe", "pipe, queue, shm"},
		{"-producers 2 -measure latency", "between one and one"},
		{"-duration -1s", "more than 0"},
		{"-pin 4096", "there are "},
		{"-pin x", "not a number"},
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

// TestInterrupt interrupts the program as a terminal does: all its processes.
func TestInterrupt(t *testing.T) {
	for _, all := range []bool{true, false} {
		t.Run(fmt.Sprintf("all=%t", all), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var stdout, stderr bytes.Buffer
			path := filepath.Join(t.TempDir(), "out.json")
			c := exec.CommandContext(ctx, program, "-transports", "queue", "-sizes", "64,1024", "-measure", "throughput",
				"-duration", "2s", "-json", path)
			c.Stdout, c.Stderr = &stdout, &stderr
			c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			group := c.Process.Pid
			var earlier []int
			for range 2 { // up to the second scenario
				awaitGroup(t, ctx, group, 3, earlier)
				earlier = slices.DeleteFunc(members(t, group), func(pid int) bool { return pid == group })
			}
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
			awaitGroup(t, ctx, group, 0, nil)
			if stderr.String() != "mpbench: interrupted\n" {
				t.Errorf("standard error:\n%s", &stderr)
			}
			if !strings.Contains(stdout.String(), "64 queue") || strings.Contains(stdout.String(), "1024 queue") {
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

// awaitGroup waits until a process group has n members, none of them an earlier
// one.
func awaitGroup(t *testing.T, ctx context.Context, group, n int, earlier []int) {
	t.Helper()
	for {
		now := members(t, group)
		if len(now) == n && !slices.ContainsFunc(now, func(pid int) bool { return slices.Contains(earlier, pid) }) {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("process group %d has the members %d, want %d new ones", group, now, n)
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
			continue // it has ended
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
