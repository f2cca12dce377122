package proc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// patience bounds every wait of the tests.
const patience = time.Minute

// Environment of the processes that the tests start.
const (
	modeEnv       = "MP_TEST_MODE"         // what TestMain does: see below
	markEnv       = "MP_TEST_MARK"         // a file to which each such process adds a line
	hideEnv       = "MP_TEST_HIDE"         // if set, the task hidden is not registered
	noDeathSigEnv = "MP_TEST_NO_PDEATHSIG" // if set, the kernel does not kill the process with its parent
)

func init() {
	if os.Getenv(noDeathSigEnv) == "" {
		return
	}
	const prSetPdeathsig = 1
	// Initialisation runs on the main thread, to which the signal is attached.
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetPdeathsig, 0, 0); errno != 0 {
		panic(errno)
	}
}

func TestMain(m *testing.M) {
	switch mode := os.Getenv(modeEnv); mode {
	case "no init":
		os.Exit(mainWithoutInit())
	case "early exit":
		os.Exit(0)
	case "hang early":
		time.Sleep(time.Hour)
	case "start without init":
		os.Exit(printStart(proc.ErrNoInit))
	case "start without proc":
		proc.Init()
		os.Exit(printStart(fs.ErrNotExist))
	case "few files":
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 20, Max: 20}); err != nil {
			panic(err)
		}
	case "cpus":
		fmt.Println(proc.CPUCount())
		os.Exit(0)
	case "ctrl-c", "ctrl-c handled", "ctrl-c pool", "ctrl-c pool handled":
		os.Exit(mainForCtrlC(mode))
	case "pool left":
		os.Exit(mainLeavingPool())
	case "exec":
		os.Setenv(modeEnv, "")
		panic(syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
	case "close stdout":
		os.Exit(mainClosingStdout())
	case "plain when read":
		_, _ = io.Copy(io.Discard, os.Stdin)
		fmt.Println("asks")
		fallthrough
	case "plain":
		proc.Init()
		fmt.Printf("plain %t", proc.Parent() == nil)
		os.Exit(0)
	case "":
	default:
		panic("unknown mode " + mode)
	}
	proc.Init()
	os.Exit(run(m))
}

// run runs the tests and fails if they leave a descriptor or a child behind.
func run(m *testing.M) int {
	// Under the race detector, a process sleeps for a second before it exits.
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	warmUp()
	before := openFiles()
	code := m.Run()
	for p := range proc.Children() {
		fmt.Fprintf(os.Stderr, "child left behind: %s, pid %d\n", p.Name(), p.PID())
		code = 1
	}
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		fmt.Fprintf(os.Stderr, "child or zombie left behind: wait4 gives %d, %v\n", pid, err)
		code = 1
	}
	// What the garbage collector closes counts as left behind, too.
	for fd, what := range openFiles() {
		if _, ok := before[fd]; !ok {
			fmt.Fprintf(os.Stderr, "descriptor left behind: %s %s\n", fd, what)
			code = 1
		}
	}
	return code
}

// warmUp makes the runtime open what it keeps for good.
func warmUp() {
	p, err := nothing.New(struct{}{}, nil)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var own *shm.Segment
	_, err = own.ID()
	if err := errors.Join(p.Start(ctx), p.Join(ctx), err); err != nil {
		panic(err)
	}
}

// openFiles returns the descriptors of this process and what they are.
func openFiles() map[string]string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	open := make(map[string]string)
	for _, e := range entries {
		if what, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil { // not the one of ReadDir
			open[e.Name()] = what
		}
	}
	return open
}

// within returns a context that ends when a test has waited too long.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("the test has waited too long"))
	t.Cleanup(cancel)
	return ctx
}

// start makes a process of the task and starts it. It is killed at the end of
// the test if it runs then.
func start[In, Out any](t testing.TB, task *proc.Task[In, Out], in In, options *proc.Options) *proc.Call[Out] {
	t.Helper()
	p, err := task.New(in, options)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	if err := p.Start(within(t)); err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil && !errors.Is(err, proc.ErrClosed) {
			t.Errorf("%s: Kill: %v", p.Name(), err)
		}
		await(t, p.Process)
	})
	return p
}

// await waits for the end of p.
func await(t testing.TB, p *proc.Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(patience):
		buf := make([]byte, 1<<20)
		t.Fatalf("%s (pid %d) has not ended\n%s", p.Name(), p.PID(), buf[:runtime.Stack(buf, true)])
	}
}

// wantExit waits for the end of p and checks its exit code.
func wantExit(t testing.TB, p *proc.Process, want int) {
	t.Helper()
	await(t, p)
	if code, exited := p.ExitCode(); code != want || !exited {
		t.Errorf("%s: ExitCode() = %d, %t, want %d, true", p.Name(), code, exited, want)
	}
}
