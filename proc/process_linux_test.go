package proc_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// P02, P04: inputs arrive equal, and so do results.
func TestP04_RoundTrip(t *testing.T) {
	t.Run("int", func(t *testing.T) { roundTrip(t, echoInt, -42) })
	t.Run("zero", func(t *testing.T) { roundTrip(t, echoInt, 0) })
	t.Run("string", func(t *testing.T) { roundTrip(t, echoString, "a\x00b\nc") })
	t.Run("bytes", func(t *testing.T) { roundTrip(t, echoBytes, []byte{0, 1, 255}) })
	t.Run("empty bytes", func(t *testing.T) { roundTrip(t, echoBytes, []byte{}) })
	t.Run("16 MiB", func(t *testing.T) { // too much for cmp
		in := bytes.Repeat([]byte("0123456789abcde\n"), 1<<20)
		out, err := start(t, echoBytes, in, nil).Result(within(t))
		if err != nil || !bytes.Equal(in, out) {
			t.Errorf("%d bytes changed on the way, or became %d: %v", len(in), len(out), err)
		}
	})
	t.Run("array", func(t *testing.T) { roundTrip(t, echoArray, [3]int16{1, 0, -3}) })
	t.Run("map", func(t *testing.T) { roundTrip(t, echoMap, map[string][]int{"a": {1}, "b": nil}) })
	t.Run("empty struct", func(t *testing.T) { roundTrip(t, echoEmpty, struct{}{}) })
	t.Run("pointer", func(t *testing.T) { roundTrip(t, echoPoint, &point{1, 2}) })
	t.Run("nil pointer", func(t *testing.T) { roundTrip(t, echoPoint, nil) })
	t.Run("interface", func(t *testing.T) { roundTrip(t, echoAny, any(point{3, 4})) })
	t.Run("nil interface", func(t *testing.T) { roundTrip(t, echoAny, nil) })
	t.Run("error", func(t *testing.T) {
		in := fmt.Errorf("outer: %w", errCustom)
		out, err := start(t, echoError, in, nil).Result(within(t))
		if err != nil || out == nil || out.Error() != in.Error() || !errors.Is(out, errCustom) {
			t.Errorf("%v became %v, %v", in, out, err)
		}
	})
	t.Run("struct", func(t *testing.T) {
		roundTrip(t, echoRecord, record{
			Name:   "r",
			At:     time.Date(2024, 2, 29, 12, 0, 0, 7, time.UTC),
			Big:    new(big.Int).Exp(big.NewInt(3), big.NewInt(1000), nil),
			Points: []point{{1, 2}, {3, 4}},
			ByName: map[string]*point{"p": {5, 6}},
			Next:   &record{Name: "next", Big: big.NewInt(1), Nil: &point{}},
			hidden: 9,
			Any:    point{7, 8},
		})
	})
}

func roundTrip[T any](t *testing.T, task *proc.Task[T, T], in T) {
	t.Helper()
	p := start(t, task, in, nil)
	out, err := p.Result(within(t))
	if err != nil {
		t.Fatalf("Result: %v", err)
	}
	same := cmp.Comparer(func(a, b *big.Int) bool { return a == nil && b == nil || a != nil && b != nil && a.Cmp(b) == 0 })
	if diff := cmp.Diff(in, out, same, cmp.AllowUnexported(record{})); diff != "" {
		t.Errorf("changed on the way (-in +out):\n%s", diff)
	}
	wantExit(t, p.Process, 0)
}

// Inputs and results that can't be sent are an error, where they are made.
func TestUnsendable(t *testing.T) {
	self := map[string]any{}
	self["self"] = self
	list := &record{Name: "a", Next: &record{Name: "b"}}
	list.Next.Next = list.Next
	slice := make([]any, 2)
	slice[1] = slice
	for _, tt := range []struct {
		name, where string
		make        func() error
	}{
		{"chan", ".C: kind chan", func() error {
			_, err := echoChan.New(struct{ C chan int }{make(chan int)}, nil)
			return err
		}},
		{"nil chan", ".C: kind chan", func() error { _, err := echoChan.New(struct{ C chan int }{}, nil); return err }},
		{"chan in an interface", "(value)[k] is a chan", func() error {
			_, err := echoAny.New(map[string]any{"k": make(chan int)}, nil)
			return err
		}},
		{"func", "func(): kind func", func() error { _, err := echoFunc.New(func() {}, nil); return err }},
		{"map in itself", "(value)[self] refers to itself", func() error { _, err := echoAny.New(self, nil); return err }},
		{"list in itself", "(value).Next.Next refers to itself", func() error { _, err := echoRecord.New(*list, nil); return err }},
		{"slice in itself", "(value)[1] refers to itself", func() error { _, err := echoAny.New(slice, nil); return err }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.make()
			if !errors.Is(err, proc.ErrValue) || !strings.Contains(err.Error(), tt.where) {
				t.Errorf("New: %v, want ErrValue with %q", err, tt.where)
			}
		})
	}
	t.Run("unregistered type", func(t *testing.T) {
		if _, err := echoAny.New(record{}, nil); !errors.Is(err, ring.ErrEncode) || !strings.Contains(err.Error(), "record") {
			t.Errorf("New: %v, want ErrEncode with the type", err)
		}
	})
	t.Run("result", func(t *testing.T) {
		p := start(t, badResult, struct{}{}, nil)
		if _, err := p.Result(within(t)); !errors.Is(err, proc.ErrValue) {
			t.Errorf("Result: %v, want ErrValue", err)
		}
		wantExit(t, p.Process, 1)
	})
}

func TestP01_Fresh(t *testing.T) {
	p, err := block.New(struct{}{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	code, exited := p.ExitCode()
	if p.Alive() || p.PID() != 0 || code != 0 || exited || slices.Contains(childList(), p.Process) {
		t.Errorf("Alive %t, PID %d, ExitCode %d %t, in Children %t before Start",
			p.Alive(), p.PID(), code, exited, slices.Contains(childList(), p.Process))
	}
	select {
	case <-p.Done():
		t.Error("Done is closed before Start")
	default:
	}
}

func TestP02_Running(t *testing.T) {
	p := start(t, block, struct{}{}, nil)
	if code, exited := p.ExitCode(); !p.Alive() || code != 0 || exited || !slices.Contains(childList(), p.Process) {
		t.Errorf("Alive %t, ExitCode %d %t, Children %v", p.Alive(), code, exited, childList())
	}
}

func TestP02_Identity(t *testing.T) {
	p := start(t, whoami, struct{}{}, &proc.Options{Name: "Aurélie"})
	got, err := p.Result(within(t))
	if want := (identity{p.PID(), os.Getpid(), "Aurélie"}); err != nil || got != want {
		t.Errorf("Result = %+v, %v, want %+v", got, err, want)
	}
	if p.Name() != "Aurélie" {
		t.Errorf("Name = %q", p.Name())
	}
}

func TestP03_Return(t *testing.T) {
	p := start(t, nothing, struct{}{}, nil)
	if err := p.Join(within(t)); err != nil {
		t.Errorf("Join: %v", err)
	}
	wantExit(t, p.Process, 0)
	if p.Alive() || slices.Contains(childList(), p.Process) {
		t.Errorf("Alive %t, Children %v after the end", p.Alive(), childList())
	}
}

func TestP05_P06_ExpiredContext(t *testing.T) {
	p := start(t, block, struct{}{}, nil)
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
	defer cancel()
	if err := p.Join(expired); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Join of a running process: %v, want DeadlineExceeded", err)
	}
	if !p.Alive() {
		t.Error("not alive after Join with an expired context")
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	await(t, p.Process)
	var exit *proc.ExitError
	if err := p.Join(expired); !errors.As(err, &exit) {
		t.Errorf("Join after the end: %v, want an ExitError", err)
	}
}

func TestP06_CancelledWhileWaiting(t *testing.T) {
	p := start(t, block, struct{}{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	joined := make(chan error, 1)
	go func() { joined <- p.Join(ctx) }()
	cancel()
	select {
	case err := <-joined:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Join: %v, want Canceled", err)
		}
	case <-time.After(patience):
		t.Fatal("Join does not notice that its context was cancelled")
	}
}

func TestP07_ManyJoins(t *testing.T) {
	stdin, w := pipe(t)
	p := start(t, untilEOF, struct{}{}, &proc.Options{Stdin: stdin})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 2 {
				if n, err := p.Result(within(t)); n != 5 || err != nil {
					t.Errorf("Result = %d, %v, want 5", n, err)
				}
			}
		})
	}
	if _, err := w.WriteString("hello"); err != nil {
		t.Error(err)
	}
	w.Close()
	wg.Wait()
}

func TestP08_P14_NotStarted(t *testing.T) {
	p, err := block.New(struct{}{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"Join": p.Join(within(t)), "Terminate": p.Terminate(), "Kill": p.Kill()} {
		if !errors.Is(err, proc.ErrNotStarted) {
			t.Errorf("%s: %v, want ErrNotStarted", name, err)
		}
	}
	if _, err := p.Result(within(t)); !errors.Is(err, proc.ErrNotStarted) {
		t.Errorf("Result: %v, want ErrNotStarted", err)
	}
}

func TestP10_DoubleStart(t *testing.T) {
	p, err := block.New(struct{}{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = p.Start(within(t)) })
	}
	wg.Wait()
	succeeded := 0
	for _, err := range errs {
		if err == nil {
			succeeded++
		} else if !errors.Is(err, proc.ErrAlreadyStarted) {
			t.Errorf("Start: %v, want ErrAlreadyStarted", err)
		}
	}
	if succeeded != 1 {
		t.Errorf("%d of %d calls of Start succeeded", succeeded, len(errs))
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	wantExit(t, p.Process, -9)
	if err := p.Start(within(t)); !errors.Is(err, proc.ErrAlreadyStarted) {
		t.Errorf("Start after the end: %v, want ErrAlreadyStarted", err)
	}
}

func TestP11_P12_P17_Signal(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*proc.Process) error
		code int
	}{
		{"terminate", (*proc.Process).Terminate, -15},
		{"kill", (*proc.Process).Kill, -9},
		{"interrupt", (*proc.Process).Interrupt, -2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, block, struct{}{}, nil)
			if err := tt.end(p.Process); err != nil {
				t.Fatal(err)
			}
			err := p.Join(within(t))
			if exit := (*proc.ExitError)(nil); !errors.As(err, &exit) || exit.Code != tt.code {
				t.Errorf("Join: %v, want an ExitError with code %d", err, tt.code)
			}
			wantExit(t, p.Process, tt.code)
		})
	}
}

func TestP13_SignalAfterTheEnd(t *testing.T) {
	p := start(t, nothing, struct{}{}, nil)
	await(t, p.Process)
	if err := errors.Join(p.Terminate(), p.Kill(), p.Terminate()); err != nil {
		t.Error(err)
	}
	wantExit(t, p.Process, 0)
}

func TestP15_ExitCode(t *testing.T) {
	for _, code := range []int{0, 1, 2, 3, 255} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			p := start(t, exit, code, nil)
			err := p.Join(within(t))
			wantExit(t, p.Process, code)
			if code == 0 {
				if _, noResult := p.Result(within(t)); err != nil || !errors.Is(noResult, proc.ErrNoResult) {
					t.Errorf("Join: %v, Result: %v, want nil and ErrNoResult", err, noResult)
				}
				return
			}
			if exit := (*proc.ExitError)(nil); !errors.As(err, &exit) || exit.Code != code {
				t.Errorf("Join: %v, want an ExitError with code %d", err, code)
			}
		})
	}
}

func TestP19_Close(t *testing.T) {
	p := start(t, block, struct{}{}, nil)
	if err := p.Close(); !errors.Is(err, proc.ErrRunning) {
		t.Errorf("Close of a running process: %v, want ErrRunning", err)
	}
	if err := p.Kill(); err != nil {
		t.Errorf("Kill after a refused Close: %v", err)
	}
	await(t, p.Process)
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Errorf("Close: %v", err)
	}
	for name, err := range map[string]error{
		"Join": p.Join(within(t)), "Terminate": p.Terminate(), "Kill": p.Kill(), "Start": p.Start(within(t)),
	} {
		if !errors.Is(err, proc.ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", name, err)
		}
	}
	if p.Alive() {
		t.Error("alive after Close")
	}
}

func TestP20_CloseBeforeStart(t *testing.T) {
	p, err := block.New(struct{}{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := p.Start(within(t)); !errors.Is(err, proc.ErrClosed) {
		t.Errorf("Start: %v, want ErrClosed", err)
	}
}

func childList() []*proc.Process { return slices.Collect(proc.Children()) }

// pipe returns a pipe that is closed at the end of the test.
func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return r, w
}

// P15, K10: the error of a task reaches the parent.
func TestP15_Error(t *testing.T) {
	for _, tt := range []struct {
		name    string
		message string
		is      []error
		not     []error
	}{
		{"plain", "plain", nil, []error{io.EOF, errCustom}},
		{"EOF", "EOF", []error{io.EOF}, []error{io.ErrUnexpectedEOF}},
		{"wrapped", "outer: inner: custom error of the test", []error{errCustom}, []error{io.EOF}},
		{"joined", "context canceled\ncontext deadline exceeded", []error{context.Canceled, context.DeadlineExceeded}, nil},
		{
			"mp's", errors.Join(psync.ErrBroken, ring.ErrShutdown, array.ErrTooLarge, shm.ErrSize).Error(),
			[]error{psync.ErrBroken, ring.ErrShutdown, array.ErrTooLarge, shm.ErrSize}, []error{psync.ErrHeld},
		},
		{"closed", "file already closed", []error{proc.ErrClosed, fs.ErrClosed}, []error{fs.ErrExist}},
		{"no file", "open /nonexistent/file: no such file or directory", []error{fs.ErrNotExist, syscall.ENOENT}, []error{fs.ErrExist}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, fail, tt.name, &proc.Options{Name: "it"})
			err := p.Join(within(t))
			wantExit(t, p.Process, 1)
			var remote *proc.RemoteError
			if !errors.As(err, &remote) || remote.Message != tt.message || remote.Process != "it" {
				t.Fatalf("Join: %#v, want a RemoteError with message %q", err, tt.message)
			}
			if len(remote.Chain) == 0 || !strings.HasSuffix(remote.Chain[0], ": "+tt.message) {
				t.Errorf("Chain = %q, should start with the error", remote.Chain)
			}
			for _, want := range tt.is {
				if !errors.Is(err, want) {
					t.Errorf("errors.Is(%v, %v) is false", err, want)
				}
			}
			for _, other := range tt.not {
				if errors.Is(err, other) {
					t.Errorf("errors.Is(%v, %v) is true", err, other)
				}
			}
			if _, resultErr := p.Result(within(t)); resultErr != err {
				t.Errorf("Result gives %v, Join %v", resultErr, err)
			}
		})
	}
}

// P16: a panic reaches the parent with its stack, and is printed.
func TestP16_Panic(t *testing.T) {
	for _, tt := range []struct{ how, value, stack string }{
		{"string", "boom", "panicDeeply"},
		{"error", "wrapped: EOF", "tasks_linux_test.go"},
		{"runtime", "runtime error: invalid memory address or nil pointer dereference", "tasks_linux_test.go"},
		{"goroutine", "boom elsewhere", "panicDeeply"},
		{"fatal", "fatal error", "tasks_linux_test.go"},
	} {
		t.Run(tt.how, func(t *testing.T) {
			stderr, err := os.CreateTemp(t.TempDir(), "stderr")
			if err != nil {
				t.Fatal(err)
			}
			defer stderr.Close()
			p := start(t, doPanic, tt.how, &proc.Options{Stderr: stderr})
			err = p.Join(within(t))
			wantExit(t, p.Process, 2)
			var panicked *proc.PanicError
			if !errors.As(err, &panicked) {
				t.Fatalf("Join: %v, want a PanicError", err)
			}
			if panicked.Value != tt.value {
				t.Errorf("Value = %q, want %q", panicked.Value, tt.value)
			}
			if !strings.Contains(panicked.Stack, tt.stack) || !strings.Contains(panicked.Stack, "goroutine ") {
				t.Errorf("Stack has no %q:\n%s", tt.stack, panicked.Stack)
			}
			printed, err := os.ReadFile(stderr.Name())
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(printed), tt.value) || !strings.Contains(string(printed), tt.stack) {
				t.Errorf("standard error has no %q with %q:\n%s", tt.value, tt.stack, printed)
			}
		})
	}
	t.Run("Goexit", func(t *testing.T) {
		p := start(t, doPanic, "Goexit", nil)
		var remote *proc.RemoteError
		if err := p.Join(within(t)); !errors.As(err, &remote) || !strings.Contains(remote.Message, "Goexit") {
			t.Errorf("Join: %v, want a RemoteError that names Goexit", err)
		}
		wantExit(t, p.Process, 1)
	})
}

// P25: when a process is killed, its children die, whether the kernel's signal or
// the end of the control socket tells them.
func TestP25_Orphan(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  []string
		stop bool // a stopped process can't notice the end of the socket
	}{
		{"both", nil, false},
		{"signal", nil, true},
		{"socket", []string{noDeathSigEnv + "=1"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Both have the pipe as their standard output. Its end comes when the
			// last of them has died.
			r, w := pipe(t)
			p := start(t, middle, tt.env, &proc.Options{Stdout: w})
			w.Close()
			out := bufio.NewReader(r)
			line, err := out.ReadString('\n')
			if err != nil {
				t.Fatalf("the grandchild does not run: %v", err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil {
				t.Fatal(err)
			}
			if tt.stop {
				if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
			wantExit(t, p.Process, -9)
			if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
				t.Errorf("the grandchild, pid %d, lives on: read %q, %v", pid, rest, err)
			}
		})
	}
}

// P26, P34: children start children, which are numbered below them.
func TestP26_P34_Tree(t *testing.T) {
	p := start(t, tree, 2, &proc.Options{Name: "root"})
	names, err := p.Result(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != 7 || names[0] != "root" {
		t.Fatalf("names %q, want 7 and the first root", names)
	}
	top, ok := strings.CutSuffix(names[1], ":1")
	if !ok || !strings.HasPrefix(top, "tree-") {
		t.Fatalf("first child is %q, want tree-N:1", names[1])
	}
	want := []string{"root", top + ":1", top + ":1:1", top + ":1:2", top + ":2", top + ":2:1", top + ":2:2"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// P35: a hundred children at once, twice. The check in TestMain finds zombies.
func TestP35_Many(t *testing.T) {
	const n = 100
	var quick, blocked []*proc.Process
	for range n {
		quick = append(quick, start(t, nothing, struct{}{}, nil).Process)
	}
	for _, p := range quick {
		wantExit(t, p, 0)
	}
	for range n {
		blocked = append(blocked, start(t, block, struct{}{}, nil).Process)
	}
	for _, p := range blocked {
		if err := p.Terminate(); err != nil {
			t.Errorf("%s: %v", p.Name(), err)
		}
	}
	for _, p := range blocked {
		wantExit(t, p, -15)
	}
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("wait4 = %d, %v, want ECHILD: no child and no zombie", pid, err)
	}
}

// P36, P37: a child inherits nothing but what it needs.
func TestP36_P37_InheritedFiles(t *testing.T) {
	mine := filepath.Join(t.TempDir(), "mine")
	f, err := os.Create(mine)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// As C code and careless Go code open files: without the close-on-exec mark.
	careless, err := syscall.Open(mine, syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(careless)
	alone, err := start(t, files, struct{}{}, nil).Result(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		start(t, block, struct{}{}, nil)
	}
	among, err := start(t, files, struct{}{}, nil).Result(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(alone) != len(among) {
		t.Errorf("%d descriptors in a child without siblings, %d with ten:\n%v\n%v", len(alone), len(among), alone, among)
	}
	for fd, what := range among {
		if what == mine {
			t.Errorf("descriptor %s of the child is a file of its parent, %s", fd, what)
		}
	}
}

// TestP30_Reaped shows that a result counts though another part of the program, as PID 1 does, reaps all
// children. Then only the exit code is unknown.
func TestP30_Reaped(t *testing.T) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			var status syscall.WaitStatus
			if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				time.Sleep(10 * time.Microsecond)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	lost := 0
	for i := range 60 {
		p := start(t, echoInt, i, nil)
		if n, err := p.Result(within(t)); n != i || err != nil {
			t.Errorf("Result = %d, %v, want %d", n, err, i)
		}
		code, exited := p.ExitCode()
		if !exited || code != 0 && code != 255 {
			t.Errorf("ExitCode() = %d, %t", code, exited)
		}
		if code == 255 {
			lost++
		}
		var remote *proc.RemoteError
		if err := start(t, fail, "wrapped", nil).Join(within(t)); !errors.As(err, &remote) {
			t.Errorf("Join of a task that fails: %v, want its error", err)
		}
		q := start(t, exit, 0, nil)
		await(t, q.Process)
		if code, _ := q.ExitCode(); code == 255 {
			if err := q.Join(within(t)); err == nil || !strings.Contains(err.Error(), "has reaped it") {
				t.Errorf("Join of a process that was reaped without a result: %v", err)
			}
		}
	}
	t.Logf("%d of 60 exit codes were lost", lost)
	if lost == 0 {
		t.Error("no child was reaped by another part of the program: nothing is shown")
	}
}

// TestStartWhileCollecting shows that the thread that starts children, whose descriptors are its own, can do all that
// Go's runtime does on any thread: look at the netpoller when a collection has stopped the world.
func TestStartWhileCollecting(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	var env []string // copied by that thread: so collections begin there
	for i := range 200 {
		env = append(env, fmt.Sprintf("MP_TEST_%d=%s", i, strings.Repeat("x", 1000)))
	}
	for i := range 100 {
		if n, err := start(t, echoInt, i, &proc.Options{Env: env}).Result(within(t)); n != i || err != nil {
			t.Fatalf("Result = %d, %v, want %d", n, err, i)
		}
	}
}

// P39: a child does without standard files, if it must.
func TestP39_StandardFiles(t *testing.T) {
	t.Run("given", func(t *testing.T) {
		stdin, in := pipe(t)
		out, stdout := pipe(t)
		errs, stderr := pipe(t)
		p := start(t, shout, struct{}{}, &proc.Options{Stdin: stdin, Stdout: stdout, Stderr: stderr})
		stdout.Close()
		stderr.Close()
		if _, err := in.WriteString("quiet"); err != nil {
			t.Fatal(err)
		}
		in.Close()
		gotOut, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		gotErr, err := io.ReadAll(errs)
		if err != nil {
			t.Fatal(err)
		}
		if string(gotOut) != "QUIET" || string(gotErr) != "whisper" {
			t.Errorf("stdout %q, stderr %q", gotOut, gotErr)
		}
		wantExit(t, p.Process, 0)
	})
	t.Run("default input is empty", func(t *testing.T) {
		if n, err := start(t, untilEOF, struct{}{}, nil).Result(within(t)); n != 0 || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		_, closed := pipe(t)
		closed.Close()
		for name, o := range map[string]*proc.Options{
			"Stdin": {Stdin: closed}, "Stdout": {Stdout: closed}, "Stderr": {Stderr: closed},
		} {
			_, err := nothing.Start(within(t), struct{}{}, o)
			if !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), name) {
				t.Errorf("Start with a closed %s: %v, want ErrClosed", name, err)
			}
		}
	})
}

func TestOptions(t *testing.T) {
	t.Run("environment", func(t *testing.T) {
		t.Setenv("MP_TEST_A", "parent")
		t.Setenv("MP_TEST_B", "parent")
		env, err := start(t, environ, struct{}{}, &proc.Options{
			Env: []string{"MP_TEST_A=first", "MP_TEST_A=last", "MP_TEST_C=new"},
		}).Result(within(t))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, kv := range env {
			if strings.HasPrefix(kv, "MP_TEST_") {
				got = append(got, kv)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"MP_TEST_A=last", "MP_TEST_B=parent", "MP_TEST_C=new"}, got); diff != "" {
			t.Errorf("environment of the child (-want +got):\n%s", diff)
		}
	})
	t.Run("directory", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "sub")
		p, err := workDir.New(struct{}{}, &proc.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(within(t)); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("Start in a directory that does not exist: %v, want ErrNotExist", err)
		}
		if p.PID() != 0 || p.Alive() {
			t.Errorf("PID %d, Alive %t after a failed Start", p.PID(), p.Alive())
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(within(t)); err != nil {
			t.Fatalf("Start after a failed Start: %v", err)
		}
		if got, err := p.Result(within(t)); got != dir || err != nil {
			t.Errorf("Result = %q, %v, want %q", got, err, dir)
		}
	})
	t.Run("arguments", func(t *testing.T) {
		got, err := start(t, args, struct{}{}, nil).Result(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(os.Args, got); diff != "" {
			t.Errorf("os.Args of the child (-parent +child):\n%s", diff)
		}
	})
}

func TestStartContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, err := echoInt.New(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Start: %v, want Canceled", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), patience)
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	cancel() // bounds the start only
	if got, err := p.Result(within(t)); got != 1 || err != nil {
		t.Errorf("Result = %d, %v, want 1", got, err)
	}
}

// What goes wrong before the task runs is an error of Join.
func TestBeforeTask(t *testing.T) {
	t.Run("unknown task", func(t *testing.T) {
		p := start(t, hidden, 1, &proc.Options{Env: []string{hideEnv + "=1"}})
		if err := p.Join(within(t)); !errors.Is(err, proc.ErrUnknownTask) {
			t.Errorf("Join: %v, want ErrUnknownTask", err)
		}
		wantExit(t, p.Process, 1)
	})
	t.Run("end before Init", func(t *testing.T) {
		// The input is larger than any socket buffer, and nobody reads it.
		p := start(t, echoBytes, make([]byte, 16<<20), &proc.Options{Env: []string{modeEnv + "=early exit"}})
		if err := p.Join(within(t)); !errors.Is(err, proc.ErrNoInit) {
			t.Errorf("Join: %v, want ErrNoInit", err)
		}
		wantExit(t, p.Process, 0)
	})
}

// TestKilledBeforeInit shows that a child holds the objects of its input before it has called Init, and does so no
// longer when it is killed there.
func TestKilledBeforeInit(t *testing.T) {
	seg, err := shm.Anonymous(1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	ours, theirs, err := ring.NewPipe(seg, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, endOfPipe, theirs, &proc.Options{Env: []string{modeEnv + "=hang early"}})
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	if msg, err := ours.TryReceive(); !errors.Is(err, ring.ErrEmpty) {
		t.Errorf("TryReceive while the child lives: %q, %v, want ErrEmpty", msg, err)
	}
	if n, err := seg.Parties(); n != 2 || err != nil {
		t.Errorf("%d parties while the child lives, %v, want 2", n, err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if msg, err := ours.Receive(within(t)); err != io.EOF {
		t.Errorf("Receive after the child's death: %q, %v, want EOF", msg, err)
	}
	wantExit(t, p.Process, -9)
}

// What a child starts by other means is not a child, though it is the same program.
func TestNotAChild(t *testing.T) {
	got, err := start(t, runPlain, struct{}{}, nil).Result(within(t))
	if want := `plain true`; got != want || err != nil {
		t.Errorf("printed %q, %v, want %q", got, err, want)
	}
}

// S04: without Init, Start fails and starts nothing.
func TestS04_NoInit(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	cmd := exec.CommandContext(within(t), "/proc/self/exe")
	cmd.Env = append(os.Environ(), modeEnv+"=no init", markEnv+"="+mark)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("program without Init: %v\n%s", err, out)
	}
	// Any process of this program would have added a line.
	if got, err := os.ReadFile(mark); string(got) != "run\n" || err != nil {
		t.Errorf("runs: %q, %v, want one", got, err)
	}
}

// mainWithoutInit is the main function of the program that TestS04_NoInit runs.
func mainWithoutInit() int {
	f, err := os.OpenFile(os.Getenv(markEnv), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		panic(err)
	}
	if _, err := f.WriteString("run\n"); err != nil {
		panic(err)
	}
	p, err := nothing.New(struct{}{}, nil)
	if err != nil {
		fmt.Println("New:", err)
		return 1
	}
	if err := p.Start(context.Background()); !errors.Is(err, proc.ErrNoInit) {
		fmt.Println("Start:", err)
		return 1
	}
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(-1, &status, 0, nil); !errors.Is(err, syscall.ECHILD) {
		fmt.Println("a child was started:", pid, err)
		return 1
	}
	return 0
}

// Misuse that no program could handle panics.
func TestRegisterMisuse(t *testing.T) {
	for _, tt := range []struct {
		name string
		f    func()
	}{
		{"after Init", func() { echo[int]("late") }},
		{"two errors with one text", func() { proc.RegisterError(errors.New(io.EOF.Error())) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if v := recover(); v == nil || !strings.HasPrefix(fmt.Sprint(v), "proc: ") {
					t.Errorf("recovered %v, want a panic of proc", v)
				}
			}()
			tt.f()
		})
	}
}
