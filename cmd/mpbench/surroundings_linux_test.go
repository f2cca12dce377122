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
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/bench"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// Surroundings are what a process gives itself before it starts mpbench.
type surroundings struct {
	Tmpfs  map[string]string // file systems in memory, of these sizes, at these paths; seen by this mpbench only
	Forbid []uintptr         // system calls that fail with ENOSYS
	Pin    []int             // the CPUs that may be used
	Group  string            // a file of a control group, to which the number of the process is written
	Look   []string          // directories to look into afterwards
}

// An outcome is what became of an mpbench in surroundings.
type outcome struct {
	Skip           string // why it could not be tried
	Stdout, Stderr string
	Code, PID      int
	Left           []string // files in the directories of Look, with their sizes
}

// surroundingsEnv holds the surroundings, as JSON, of a process that is to make them.
const surroundingsEnv = "MPBENCH_TEST_SURROUNDINGS"

// inSurroundings is the process that makes surroundings, runs mpbench in them, and prints the outcome.
func inSurroundings(text string) int {
	runtime.LockOSThread() // a filter and a binding are the thread's, and its child's
	var s surroundings
	o := outcome{}
	err := json.Unmarshal([]byte(text), &s)
	if err == nil {
		if err := s.make(); err != nil {
			o.Skip = err.Error()
		} else {
			o.run(os.Args[1], os.Args[2:])
			o.look(s.Look)
		}
		err = json.NewEncoder(os.Stdout).Encode(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (s *surroundings) make() error {
	if len(s.Tmpfs) > 0 {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			return os.NewSyscallError("mount", err)
		}
	}
	if s.Group != "" {
		if err := os.WriteFile(s.Group, []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			return err
		}
	}
	for path, size := range s.Tmpfs {
		if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "size="+size); err != nil {
			return os.NewSyscallError("mount", err)
		}
	}
	if len(s.Pin) > 0 {
		if err := sys.Pin(s.Pin...); err != nil {
			return err
		}
	}
	if len(s.Forbid) > 0 {
		return forbid(s.Forbid)
	}
	return nil
}

func (o *outcome) run(program string, args []string) {
	var out, diag bytes.Buffer
	c := exec.Command(program, args...)
	c.Stdout, c.Stderr = &out, &diag
	err := c.Run()
	o.Stdout, o.Stderr, o.Code = out.String(), diag.String(), c.ProcessState.ExitCode()
	if c.Process != nil {
		o.PID = c.Process.Pid
	}
	if err != nil && o.Code <= 0 {
		o.Stderr += "\n" + err.Error()
	}
}

func (o *outcome) look(dirs []string) {
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			o.Left = append(o.Left, err.Error())
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil {
				o.Left = append(o.Left, fmt.Sprintf("%s %d", e.Name(), info.Size()))
			}
		}
	}
}

// in runs mpbench in surroundings, and wants it to leave no process and nothing in /dev/shm. It skips the test where
// the surroundings can't be made.
func (s surroundings) in(t *testing.T, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, self, append([]string{program}, args...)...)
	c.Env = append(os.Environ(), surroundingsEnv+"="+string(text))
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if len(s.Tmpfs) > 0 {
		c.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
	}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	var diag bytes.Buffer
	c.Stderr = &diag
	out, err := c.Output()
	if errors.Is(err, syscall.EPERM) {
		t.Skipf("mounts are not permitted here: %v", err)
	}
	if err != nil {
		t.Fatalf("%v: %s %s", err, out, &diag)
	}
	var o outcome
	if err := json.Unmarshal(out, &o); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if o.Skip != "" {
		t.Skipf("these surroundings can't be made here: %s", o.Skip)
	}
	awaitGroup(t, ctx, c.Process.Pid, 0)
	left, err := filepath.Glob(fmt.Sprintf("/dev/shm/mp-bench-%d-*", o.PID))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	t.Logf("mpbench %s\nexit status %d, left %q\n%s%s", strings.Join(args, " "), o.Code, o.Left, o.Stdout, o.Stderr)
	return o
}

// wants wants the exit status, and the texts in what mpbench has printed.
func (o outcome) wants(t *testing.T, code int, texts ...string) {
	t.Helper()
	if o.Code != code {
		t.Errorf("exit status %d, want %d", o.Code, code)
	}
	for _, text := range texts {
		if !strings.Contains(o.Stdout+o.Stderr, text) {
			t.Errorf("want %q in the output", text)
		}
	}
}

// brief is a run that takes a moment, of transports that need different things.
var brief = []string{"-transports", "pipe,queue,unix-socket,spawn", "-sizes", "64", "-duration", "5ms", "-trials", "1"}

// TestFullDisk has no space for the reports: mpbench names the files, and leaves no part of a report.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	s := surroundings{Tmpfs: map[string]string{dir: "4k"}, Look: []string{dir}}
	o := s.in(t, slices.Concat(brief, []string{"-json", dir + "/a.json", "-benchfmt", dir + "/b.txt", "-html", dir + "/c.html"})...)
	o.wants(t, exitFailed, "write "+dir+"/a.json: no space left on device", "write "+dir+"/c.html: no space left", " pipe ", " spawn ")
	for _, left := range o.Left {
		if name, size, _ := strings.Cut(left, " "); name != "b.txt" && size != "0" {
			t.Errorf("left a part of a report: %s", left)
		}
	}
}

// TestFullOutput prints to a device that is full.
func TestFullOutput(t *testing.T) {
	for _, args := range [][]string{nil, {"-json", "-"}, {"-benchfmt", "-"}} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip(err)
		}
		var diag bytes.Buffer
		c := exec.CommandContext(t.Context(), program, slices.Concat(brief, args)...)
		c.Stdout, c.Stderr = full, &diag
		_ = c.Run() // its error is the exit status
		full.Close()
		if code := c.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(diag.String(), "no space left on device") {
			t.Errorf("%v: exit status %d, %q", args, code, &diag)
		}
	}
}

// TestSmallSharedMemory has 1 MiB in /dev/shm. Anonymous segments need none of it; Python's shared memory does.
func TestSmallSharedMemory(t *testing.T) {
	s := surroundings{Tmpfs: map[string]string{"/dev/shm": "1m"}, Look: []string{"/dev/shm"}}
	o := s.in(t, slices.Concat(brief, []string{"-sizes", "64,1048576"})...)
	o.wants(t, 0, "\n1 MiB\n  pipe ")
	if len(o.Left) != 0 {
		t.Errorf("left in /dev/shm: %q", o.Left)
	}
	if bench.Available("python-shm") == nil {
		o = s.in(t, "-transports", "python-shm", "-sizes", "64,65536", "-duration", "5ms", "-trials", "1")
		o.wants(t, exitFailed, "No space left on device: '/dev/shm'", "\n64 bytes\n  python-shm ")
		if len(o.Left) != 0 {
			t.Errorf("left in /dev/shm: %q", o.Left)
		}
	}
	s.in(t, "doctor").wants(t, 0, "--  /dev/shm ", "1M, 1M free", "mount it larger")
}

// TestOneCPU has one CPU.
func TestOneCPU(t *testing.T) {
	cpus, err := sys.CPUs()
	if err != nil {
		t.Fatal(err)
	}
	s := surroundings{Pin: cpus[:1]}
	s.in(t, brief...).wants(t, 0, "1 cores", "\nnote: one CPU: ", " spawn ")
	s.in(t, "doctor").wants(t, 0, "--  CPUs ", "1, without a quota", "take turns on one CPU")
}

// TestHalfCPU has a control group whose quota is half a CPU.
func TestHalfCPU(t *testing.T) {
	if cpus, err := sys.CPUs(); err != nil || len(cpus) < 2 {
		t.Skipf("needs two CPUs, has %d, %v", len(cpus), err)
	}
	s := surroundings{Group: halfGroup(t)}
	s.in(t, brief...).wants(t, 0, "\nnote: the control group's quota is 0.5 CPUs", " spawn ")
	s.in(t, "doctor").wants(t, 0, "--  CPUs ", "with a quota of 0.5", "stops all processes of the group")
}

// halfGroup makes a control group with a quota of half a CPU, and returns the file to which its processes are written. It
// is removed after the test.
func halfGroup(t *testing.T) string {
	t.Helper()
	for _, g := range sys.FindCgroups(os.DirFS("/"), "cpu").Of("self") {
		dir := filepath.Join("/", g.Dir(), fmt.Sprintf("mpbench-test-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			continue
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		})
		files := map[string]string{"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"}
		if g.V2 {
			files = map[string]string{"cpu.max": "50000 100000"}
		}
		var err error
		for name, text := range files {
			err = errors.Join(err, writeExisting(filepath.Join(dir, name), text))
		}
		if err == nil {
			return filepath.Join(dir, "cgroup.procs")
		}
		t.Log(err)
	}
	t.Skip("no control group with a quota can be made here")
	return ""
}

// writeExisting writes to a file that must exist.
func writeExisting(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// callNumbers has the numbers of system calls, by processor.
var callNumbers = map[string]map[string]uintptr{
	"386":   {"futex_waitv": 449, "memfd_create": 356, "membarrier": 375, "mq_open": 277, "pidfd_open": 434, "ptrace": 26},
	"amd64": {"futex_waitv": 449, "memfd_create": 319, "membarrier": 324, "mq_open": 240, "pidfd_open": 434, "ptrace": 101},
	"arm64": {"futex_waitv": 449, "memfd_create": 279, "membarrier": 283, "mq_open": 180, "pidfd_open": 434, "ptrace": 117},
}

func numbers(t *testing.T, calls ...string) (list []uintptr) {
	t.Helper()
	known := callNumbers[runtime.GOARCH]
	if known == nil {
		t.Skipf("the numbers of the system calls of %s are not in the table", runtime.GOARCH)
	}
	for _, call := range calls {
		list = append(list, known[call])
	}
	return list
}

// TestForbidden forbids system calls, as sandboxes do.
func TestForbidden(t *testing.T) {
	t.Run("futex_waitv", func(t *testing.T) {
		s := surroundings{Forbid: numbers(t, "futex_waitv")}
		s.in(t, slices.Concat(brief, []string{"-measure", "throughput,latency,recovery"})...).wants(t, 0, "\nnote: no futex_waitv: ", " spawn ", "recovery")
		s.in(t, "doctor").wants(t, 0, "--  futex_waitv ", "1 to 32 ms later", "--  seccomp ", "a filter")
	})
	t.Run("memfd_create", func(t *testing.T) {
		s := surroundings{Forbid: numbers(t, "memfd_create")}
		s.in(t, brief...).wants(t, exitFailed, "memfd_create: function not implemented", "named segment")
		s.in(t, "doctor").wants(t, 0, "--  memfd ", "anonymous segments can't be made")
	})
	t.Run("membarrier", func(t *testing.T) {
		s := surroundings{Forbid: numbers(t, "membarrier")}
		s.in(t, brief...).wants(t, 0, " pipe ", " spawn ")
		s.in(t, "doctor").wants(t, 0, "--  membarrier ")
	})
	t.Run("mq_open", func(t *testing.T) {
		s := surroundings{Forbid: numbers(t, "mq_open")}
		s.in(t, "-measure", "latency", "-sizes", "64", "-duration", "1ms", "-trials", "1").wants(t, 0, "\nnot measured: bench: mqueue: ", " pipe ")
		s.in(t, "-transports", "mqueue").wants(t, exitUsage, "mqueue: not available here")
		s.in(t, "doctor").wants(t, 0, "--  POSIX message queues ", "leaves the transport mqueue out")
	})
	t.Run("pidfd", func(t *testing.T) {
		s := surroundings{Forbid: numbers(t, "pidfd_open")}
		s.in(t, slices.Concat(brief, []string{"-measure", "latency,recovery"})...).wants(t, 0, " pipe ", " spawn ")
		s.in(t, "doctor").wants(t, 0, "--  pidfd ", "within a second")
	})
	t.Run("ptrace", func(t *testing.T) {
		s := surroundings{Forbid: numbers(t, "ptrace")}
		s.in(t, brief...).wants(t, 0, " pipe ", " spawn ")
		s.in(t, "doctor").wants(t, 0, "--  ptrace ", "mp does not need it")
	})
}

// TestNoProc has no /proc.
func TestNoProc(t *testing.T) {
	s := surroundings{Tmpfs: map[string]string{"/proc": "4k"}}
	s.in(t, brief...).wants(t, exitFailed, "mp needs /proc, which is not mounted: mount -t proc proc /proc")
	s.in(t, "doctor").wants(t, 0, "--  /proc ", "not mounted", "--  kernel ", "virtual machine", "unknown")
}

// TestNoPythonDoctor has no python3 in PATH.
func TestNoPythonDoctor(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	surroundings{}.in(t, "doctor").wants(t, 0, "--  python3 ", "not found", "leaves the transports of Python out")
}
