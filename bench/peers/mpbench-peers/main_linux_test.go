package main

import (
	"bytes"
	"context"
	"encoding/json"
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
	"github.com/seed-2e7ecdea/mp/internal/testkit"
)

// programs is the directory with mpbench and mpbench-peers.
var programs string

func TestMain(m *testing.M) { os.Exit(build(m)) }

// build builds the two programs, each in its own module, and runs the tests.
func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mpbench-peers")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for program, source := range map[string]string{bench.PeersProgram: ".", "mpbench": "../../../cmd/mpbench"} {
		c := exec.Command("go", "build", "-o", filepath.Join(dir, program), ".")
		c.Dir = source
		if out, err := c.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build in %s: %v\n%s", source, err, out)
			return 1
		}
	}
	programs = dir
	if err := os.Setenv("PATH", dir+":"+os.Getenv("PATH")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// TestInTheTable measures each peer by both measures beside queue.
func TestInTheTable(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, filepath.Join(programs, "mpbench"), "-transports", "queue,zmq,grpc,net-rpc", "-sizes", "64,65536",
		"-duration", "5ms", "-trials", "2", "-json", "-")
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	var r bench.Report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 16 {
		t.Errorf("%d results, want 16", len(r.Results))
	}
	for _, c := range r.Results {
		if !c.Verified || c.Messages == 0 || len(c.Trials) != 2 {
			t.Errorf("%+v", c)
		}
	}
}

// A member is a process of an mpbench and of what that has started.
type member struct {
	pid     int
	program string // the name of its executable
}

// mark is the environment variable that all processes of one mpbench inherit.
const mark = "MPBENCH_PEERS_TEST"

// members returns the processes that have the mark.
func members(t *testing.T, value string) (list []member) {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		env, err := os.ReadFile(dir + "/environ")
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), mark+"="+value) {
			continue // of a process that has ended, or another one
		}
		path, err := os.Readlink(dir + "/exe")
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, member{pid, filepath.Base(path)})
	}
	return list
}

// pids returns the processes of the list that run a program.
func pids(list []member, program string) (of []int) {
	for _, m := range list {
		if m.program == program {
			of = append(of, m.pid)
		}
	}
	slices.Sort(of)
	return of
}

func names(t *testing.T) (list []string) {
	t.Helper()
	list, err := filepath.Glob("/dev/shm/mp*")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestEnds ends mpbench or a process of a peer in the middle of a run, in each way: no process and no shared memory is left,
// and mpbench, if it lives, says what has happened.
func TestEnds(t *testing.T) {
	for _, peer := range []string{"zmq", "grpc", "net-rpc"} {
		for _, c := range []struct {
			name   string
			end    func(mpbench int, peers []int) error // peers are the processes of mpbench-peers, the first one first
			code   int                                  // -1: mpbench is killed, too
			stderr string                               // a part of it
		}{
			{"interrupt", func(mpbench int, _ []int) error { return syscall.Kill(mpbench, syscall.SIGINT) }, 130, "mpbench: interrupted"},
			{"interrupt all", func(mpbench int, _ []int) error { return syscall.Kill(-mpbench, syscall.SIGINT) }, 130, "mpbench: interrupted"},
			{"kill mpbench", func(mpbench int, _ []int) error { return syscall.Kill(mpbench, syscall.SIGKILL) }, -1, ""},
			{"kill the peer", func(_ int, peers []int) error { return syscall.Kill(peers[0], syscall.SIGKILL) }, 1, "ended by signal 9 (killed)\n"},
			{"kill the first side", func(_ int, peers []int) error { return syscall.Kill(peers[1], syscall.SIGKILL) }, 1, peer},
			{"kill the second side", func(_ int, peers []int) error { return syscall.Kill(peers[2], syscall.SIGKILL) }, 1, peer},
		} {
			t.Run(peer+"/"+c.name, func(t *testing.T) {
				ctx := testkit.Within(t)
				before := names(t)
				var stdout, stderr bytes.Buffer
				m := exec.CommandContext(ctx, filepath.Join(programs, "mpbench"), "-transports", peer, "-sizes", "64", "-measure", "throughput", "-duration", "1h", "-trials", "1")
				m.Stdout, m.Stderr = &stdout, &stderr
				m.Env = append(os.Environ(), mark+"="+t.Name())
				m.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
				if err := m.Start(); err != nil {
					t.Fatal(err)
				}
				var peers []int
				testkit.Eventually(t, "three processes of "+bench.PeersProgram, func() bool {
					peers = pids(members(t, t.Name()), bench.PeersProgram)
					return len(peers) == 3
				})
				if err := c.end(m.Process.Pid, peers); err != nil {
					t.Fatal(err)
				}
				_ = m.Wait() // its error is the exit status
				if code := m.ProcessState.ExitCode(); code != c.code || !strings.Contains(stderr.String(), c.stderr) {
					t.Errorf("exit status %d, want %d; want %q in %q", code, c.code, c.stderr, &stderr)
				}
				t.Logf("%s", bytes.TrimSpace(stderr.Bytes()))
				testkit.Eventually(t, "end of all processes", func() bool { return len(members(t, t.Name())) == 0 })
				if after := names(t); len(after) > len(before) {
					t.Errorf("in /dev/shm: %q, before: %q", after, before)
				}
			})
		}
	}
}
