package proc_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// An errorCase is an error that a program can provoke.
type errorCase struct {
	op     string // of the message
	object string // process or task that the message names
	remedy string // or cause, which the message names
	is     error  // the sentinel; nil if as is what identifies it
	as     any    // or a pointer for errors.As
	err    func(t *testing.T) error
}

// TestErrorTable provokes each error of the package, and checks that its message names the operation and the process
// or task, and says what to do or what is wrong. With -v it prints the table.
func TestErrorTable(t *testing.T) {
	named := &proc.Options{Name: "p"}
	fresh := func(t *testing.T) *proc.Process {
		p, err := nothing.New(proc.None{}, named)
		if err != nil {
			t.Fatal(err)
		}
		return p.Process
	}
	closed := func(t *testing.T) *proc.Process {
		p := fresh(t)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		return p
	}
	running := func(t *testing.T) *proc.Process { return start(t, block, proc.None{}, named).Process }
	startWith := func(o proc.Options) func(t *testing.T) error {
		return func(t *testing.T) error {
			o.Name = "p"
			p, err := nothing.Start(within(t), proc.None{}, &o)
			if err == nil {
				await(t, p.Process)
			}
			return err
		}
	}
	join := func(t *testing.T, p *proc.Process, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		await(t, p)
		return p.Join(within(t))
	}
	shut := func() *os.File {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		return f
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var exited *proc.ExitError
	var panicked *proc.PanicError
	var remote *proc.RemoteError
	for _, c := range []errorCase{
		{"New", `task "echo func"`, "func(): kind func", proc.ErrValue, nil, func(t *testing.T) error {
			_, err := echoFunc.New(func() {}, nil)
			return err
		}},
		{"New", `task "hold"`, "(value) was closed", os.ErrClosed, nil, func(t *testing.T) error {
			seg := anonymous(t, nil)
			if err := seg.Close(); err != nil {
				t.Fatal(err)
			}
			_, err := hold.New(seg, nil)
			return err
		}},
		{"Start", `process "p"`, "call it first in main", proc.ErrNoInit, nil, withoutInit},
		{"Start", `process "p"`, "make another", proc.ErrAlreadyStarted, nil, func(t *testing.T) error {
			return running(t).Start(within(t))
		}},
		{"Start", `process "p"`, "Close was called", proc.ErrClosed, nil, func(t *testing.T) error {
			return closed(t).Start(within(t))
		}},
		{"Start", `process "p"`, "context canceled", context.Canceled, nil, func(t *testing.T) error {
			ctx, cancel := context.WithCancel(within(t))
			cancel()
			return fresh(t).Start(ctx)
		}},
		{"Start", `process "p"`, "working directory: stat /no/such/directory", fs.ErrNotExist, nil, startWith(proc.Options{Dir: "/no/such/directory"})},
		{"Start", `process "p"`, "working directory: chdir " + file, syscall.ENOTDIR, nil, startWith(proc.Options{Dir: file})},
		{"Start", `process "p"`, "option Stdin", os.ErrClosed, nil, startWith(proc.Options{Stdin: shut()})},
		{"Start", `process "p"`, "option Stdout", os.ErrClosed, nil, startWith(proc.Options{Stdout: shut()})},
		{"Start", `process "p"`, "option Stderr", os.ErrClosed, nil, startWith(proc.Options{Stderr: shut()})},
		{"Start", `process "p"`, "option Env[1]", syscall.EINVAL, nil, startWith(proc.Options{Env: []string{"A=1", "B=\x00"}})},
		{"Start", `process "p"`, "segment", shm.ErrParties, nil, func(t *testing.T) error {
			_, err := hold.Start(within(t), anonymous(t, &shm.Options{Parties: 1}), named)
			return err
		}},
		{"Start", `process "p"`, "was closed after New", os.ErrClosed, nil, func(t *testing.T) error {
			seg := anonymous(t, nil)
			p, err := hold.New(seg, named)
			if err = errors.Join(err, seg.Close()); err != nil {
				t.Fatal(err)
			}
			return p.Start(within(t))
		}},
		{"Start", `process "p"`, "/proc is not mounted", fs.ErrNotExist, nil, withoutProc},
		{"Join", `process "p"`, "call Start first", proc.ErrNotStarted, nil, func(t *testing.T) error { return fresh(t).Join(within(t)) }},
		{"Terminate", `process "p"`, "call Start first", proc.ErrNotStarted, nil, func(t *testing.T) error { return fresh(t).Terminate() }},
		{"Kill", `process "p"`, "call Start first", proc.ErrNotStarted, nil, func(t *testing.T) error { return fresh(t).Kill() }},
		{"Join", `process "p"`, "Close was called", proc.ErrClosed, nil, func(t *testing.T) error { return closed(t).Join(within(t)) }},
		{"Terminate", `process "p"`, "Close was called", proc.ErrClosed, nil, func(t *testing.T) error { return closed(t).Terminate() }},
		{"Kill", `process "p"`, "Close was called", proc.ErrClosed, nil, func(t *testing.T) error { return closed(t).Kill() }},
		{"Close", `process "p"`, "Terminate or Kill", proc.ErrRunning, nil, func(t *testing.T) error { return running(t).Close() }},
		{"Join", `process "p"`, "deadline exceeded", context.DeadlineExceeded, nil, func(t *testing.T) error {
			ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
			defer cancel()
			return running(t).Join(ctx)
		}},
		{"Join", `process "p"`, "Init was not called", proc.ErrNoInit, nil, func(t *testing.T) error {
			p := start(t, nothing, proc.None{}, &proc.Options{Name: "p", Env: []string{modeEnv + "=early exit"}})
			return join(t, p.Process, nil)
		}},
		{"proc", "p: ", `task "echo hidden": unknown task: register it`, proc.ErrUnknownTask, &remote, func(t *testing.T) error {
			p := start(t, hidden, 1, &proc.Options{Name: "p", Env: []string{hideEnv + "=1"}})
			return join(t, p.Process, nil)
		}},
		{"proc", "p: ", `result of task "bad result": (value) is a chan`, proc.ErrValue, &remote, func(t *testing.T) error {
			return join(t, start(t, badResult, proc.None{}, named).Process, nil)
		}},
		{"proc", "p: ", "outer: inner: custom error", errCustom, &remote, func(t *testing.T) error {
			return join(t, start(t, fail, "wrapped", named).Process, nil)
		}},
		{"proc", "p: ", "Goexit", nil, &remote, func(t *testing.T) error {
			return join(t, start(t, doPanic, "Goexit", named).Process, nil)
		}},
		{"proc", "p: ", "panic: boom", nil, &panicked, func(t *testing.T) error {
			return join(t, start(t, doPanic, "string", &proc.Options{Name: "p", Stderr: null(t)}).Process, nil)
		}},
		{"proc", "p: ", "exit code 3", nil, &exited, func(t *testing.T) error {
			return join(t, start(t, exit, 3, named).Process, nil)
		}},
		{"proc", "p: ", "ended by signal 9 (killed)", nil, &exited, func(t *testing.T) error {
			p := running(t)
			return join(t, p, p.Kill())
		}},
		{"Result", `process "p"`, "called os.Exit(0)", proc.ErrNoResult, nil, func(t *testing.T) error {
			_, err := start(t, exit, 0, named).Result(within(t))
			return err
		}},
		{"Wait", "group", "its context is done", context.Canceled, nil, func(t *testing.T) error {
			ctx, cancel := context.WithCancel(within(t))
			cancel()
			g := proc.NewGroup(ctx)
			g.Go(nothing.With(proc.None{}))
			return g.Wait()
		}},
		{"Go", "group", "make another group", os.ErrClosed, nil, func(t *testing.T) error {
			g := proc.NewGroup(within(t))
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			g.Go(nothing.With(proc.None{}))
			return g.Wait()
		}},
	} {
		t.Run(strings.ReplaceAll(c.op+" "+c.remedy, "/", "|"), func(t *testing.T) {
			err := c.err(t)
			if err == nil {
				t.Fatal("no error")
			}
			t.Logf("%-10s %v\n\tis %v", c.op, err, c.is)
			for _, want := range []string{"proc: ", c.op, c.object, c.remedy} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if n := strings.Count(err.Error(), "proc: "); n != 1 {
				t.Errorf("%q names the package %d times", err, n)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%q is not %q", err, c.is)
			}
			if c.as != nil && !errors.As(err, c.as) {
				t.Errorf("%q is a %T, want a %T", err, err, c.as)
			}
		})
	}
}

func null(t *testing.T) *os.File {
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// A printedError is an error of another process, from its output.
type printedError struct {
	text string
	is   error
}

func (e printedError) Error() string { return e.text }
func (e printedError) Unwrap() error { return e.is }

// printed runs a command that prints "SENTINEL? MESSAGE", and returns the message as an error.
func printed(t *testing.T, cmd *exec.Cmd, is error) error {
	t.Helper()
	out, err := cmd.Output() // the race detector may write to the standard error
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found, text, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if found != "true" {
		t.Errorf("the error %s is not %v", text, is)
	}
	return printedError{text, is}
}

// withoutInit returns the error of Start in a program that has not called Init.
func withoutInit(t *testing.T) error {
	cmd := exec.CommandContext(within(t), "/proc/self/exe")
	cmd.Env = append(os.Environ(), modeEnv+"=start without init")
	return printed(t, cmd, proc.ErrNoInit)
}

// withoutProc returns the error of Start in a program that has no /proc.
func withoutProc(t *testing.T) error {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := `mount --make-rprivate / && umount -l /proc || exit 7; exec "$0"`
	cmd := exec.CommandContext(within(t), "unshare", "-m", "sh", "-c", script, self)
	cmd.Env = append(os.Environ(), modeEnv+"=start without proc")
	if err := exec.Command("unshare", "-m", "sh", "-c", "mount --make-rprivate / && umount -l /proc").Run(); err != nil {
		t.Skip("needs the right to unmount /proc in a namespace of its own:", err)
	}
	return printed(t, cmd, fs.ErrNotExist)
}

// printStart is the main function of the programs that withoutInit and withoutProc run.
func printStart(is error) int {
	_, err := nothing.Start(context.Background(), proc.None{}, &proc.Options{Name: "p"})
	fmt.Println(errors.Is(err, is), err)
	return 0
}

// failedStarts makes TestFailedStartsAndTestLog fail to start processes, in place of testing that.
const failedStarts = "MP_TEST_FAILED_STARTS"

// TestFailedStartsAndTestLog fails to start processes until the log is full that go test keeps of the files
// for which a test looks. The log can be written: nothing looks for files on the thread that starts children,
// which does not have the log's descriptor.
func TestFailedStartsAndTestLog(t *testing.T) {
	if os.Getenv(failedStarts) != "" {
		dir := "/no/such" + strings.Repeat("/directory", 50)
		for range 100 { // twelve times the buffer of the log
			if p, err := nothing.Start(within(t), proc.None{}, &proc.Options{Dir: dir}); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Start: %v", err)
				if err == nil {
					await(t, p.Process)
				}
			}
		}
		return
	}
	cmd := exec.CommandContext(within(t), executable(t), "-test.run=^TestFailedStartsAndTestLog$",
		"-test.testlogfile="+filepath.Join(t.TempDir(), "log"))
	cmd.Env = append(os.Environ(), failedStarts+"=yes")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}
