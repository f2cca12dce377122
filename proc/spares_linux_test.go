package proc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// loaded is what the Preload of a spare has loaded.
var loaded string

var load = proc.Register("load", func(_ context.Context, what string) (proc.None, error) {
	switch what {
	case "fail":
		return proc.None{}, fs.ErrPermission
	case "panic":
		panic("while loading")
	case "exit":
		os.Exit(7)
	}
	loaded = what + " in " + proc.Self().Name()
	return proc.None{}, nil
})

// A surrounding is what a process finds.
type surrounding struct {
	PID                int
	Name, Loaded, A, B string
	Dir                string
	Method             proc.Method
	Files              int
}

var surroundings = proc.Register("surroundings", func(context.Context, proc.None) (surrounding, error) {
	dir, err := os.Getwd()
	fmt.Println("out")
	fmt.Fprintln(os.Stderr, "err")
	return surrounding{
		PID: os.Getpid(), Name: proc.Self().Name(), Loaded: loaded, A: os.Getenv("MP_TEST_A"), B: os.Getenv("MP_TEST_B"), Dir: dir,
		Method: proc.Self().Method(), Files: len(openFiles()),
	}, err
})

// newSpares returns n spares that are ready. They are closed at the end of the test.
func newSpares(t testing.TB, n int, o *proc.SpareOptions) *proc.Spares {
	t.Helper()
	s := proc.NewSpares(n, o)
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := s.Ready(within(t)); err != nil {
		t.Fatal(err)
	}
	return s
}

// sparePIDs returns the process ids of the children of this process that are not among Children.
func sparePIDs(t testing.TB) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[int]bool)
	for p := range proc.Children() {
		known[p.PID()] = true
	}
	for _, e := range entries {
		var pid, parent int
		var name, state string
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		if _, err := fmt.Sscan(string(stat), &pid, &name, &state, &parent); err != nil {
			continue
		}
		if parent == os.Getpid() && !known[pid] && state != "Z" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// A process that was a spare is as one that was not.
func TestS02_Warm(t *testing.T) {
	t.Setenv("MP_TEST_A", "early")
	t.Setenv("MP_TEST_B", "gone")
	s := newSpares(t, 1, &proc.SpareOptions{Preload: load.With("models")})
	spare := sparePIDs(t)
	if len(spare) != 1 {
		t.Fatalf("spares: %v, want one", spare)
	}
	t.Setenv("MP_TEST_A", "late")
	os.Unsetenv("MP_TEST_B")
	var out, errs bytes.Buffer
	dir := t.TempDir()
	p := start(t, surroundings, proc.None{}, &proc.Options{
		Method: proc.Warm, Spares: s, Name: "warm", Stdout: &out, Stderr: &errs, Dir: dir,
	})
	got, err := p.Result(within(t))
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, p.Process, 0)
	if got.PID != spare[0] || got.PID != p.PID() || got.Name != "warm" || got.Loaded != "models in spare" || got.A != "late" ||
		got.B != "" || got.Dir != dir || got.Method != proc.Warm || out.String() != "out\n" || errs.String() != "err\n" {
		t.Errorf("found %+v, printed %q and %q; the spare was %v", got, &out, &errs, spare)
	}
	cold, err := start(t, surroundings, proc.None{}, nil).Result(within(t))
	if err != nil {
		t.Fatal(err)
	}
	warm, err := start(t, surroundings, proc.None{}, &proc.Options{Method: proc.Warm, Spares: s}).Result(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if warm.Files != cold.Files {
		t.Errorf("%d files are open in a warm process, %d in a spawned one", warm.Files, cold.Files)
	}
	if warm.Dir != cold.Dir {
		t.Errorf("working directory %q, want %q", warm.Dir, cold.Dir)
	}
}

// The ends of warm processes are those of others.
func TestS02_WarmEnds(t *testing.T) {
	s := newSpares(t, 1, nil)
	warm := proc.Options{Method: proc.Warm, Spares: s}
	t.Run("terminate", func(t *testing.T) {
		p, out := startReady(t, clean, cleaner{Return: "context"}, warm)
		if err := p.Terminate(); err != nil {
			t.Fatal(err)
		}
		wantExit(t, p.Process, -15)
		wantRest(t, out, "asked to terminate\nclean\n")
	})
	t.Run("terminate at once", func(t *testing.T) { // the task cleans up, whenever the signal comes after Start
		for range 20 {
			r, w := pipe(t)
			o := warm
			o.Stdout = w
			p := start(t, clean, cleaner{Return: "context"}, &o)
			if err := errors.Join(p.Terminate(), w.Close()); err != nil {
				t.Fatal(err)
			}
			wantRest(t, r, "ready\nasked to terminate\nclean\n")
			wantExit(t, p.Process, -15)
		}
	})
	t.Run("interrupt", func(t *testing.T) {
		p, _ := startReady(t, clean, cleaner{Return: "context"}, warm)
		if err := p.Interrupt(); err != nil {
			t.Fatal(err)
		}
		wantExit(t, p.Process, -2)
	})
	t.Run("panic", func(t *testing.T) {
		o := warm
		o.Stderr = io.Discard
		var panicked *proc.PanicError
		if err := start(t, doPanic, "goroutine", &o).Join(within(t)); !errors.As(err, &panicked) || panicked.Value != "boom elsewhere" {
			t.Errorf("Join: %v, want the panic", err)
		}
	})
	t.Run("exit", func(t *testing.T) {
		wantExit(t, start(t, exit, 5, &warm).Process, 5)
	})
	t.Run("objects", func(t *testing.T) {
		seg := anonymous(t, nil)
		if n, err := start(t, pass, passed{1, seg}, &warm).Result(within(t)); n != 3 || err != nil {
			t.Errorf("the last child sees %d parties, %v, want 3", n, err)
		}
		wantParties(t, seg, "afterwards", 1)
	})
	t.Run("large input", func(t *testing.T) {
		in := bytes.Repeat([]byte("0123456789abcde\n"), 1<<18)
		if out, err := start(t, echoBytes, in, &warm).Result(within(t)); !bytes.Equal(out, in) || err != nil {
			t.Errorf("%d bytes, %v", len(out), err)
		}
	})
	t.Run("no directory", func(t *testing.T) {
		o := warm
		o.Dir = filepath.Join(t.TempDir(), "none")
		if _, err := nothing.Start(within(t), struct{}{}, &o); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Start: %v, want ErrNotExist", err)
		}
	})
	t.Run("closed object", func(t *testing.T) {
		seg, err := shm.Anonymous(1<<16, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := hold.New(seg, &warm)
		if err != nil {
			t.Fatal(err)
		}
		seg.Close()
		if err := p.Start(within(t)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Start: %v, want ErrClosed", err)
		}
	})
	if err := s.Ready(within(t)); err != nil {
		t.Error(err)
	}
	t.Run("closed", func(t *testing.T) {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if left := sparePIDs(t); len(left) > 0 {
			t.Errorf("after Close: %v", left)
		}
		if _, err := nothing.Start(within(t), struct{}{}, &warm); !errors.Is(err, proc.ErrClosed) {
			t.Errorf("Start: %v, want ErrClosed", err)
		}
		if err := s.Ready(within(t)); !errors.Is(err, proc.ErrClosed) {
			t.Errorf("Ready: %v, want ErrClosed", err)
		}
	})
}

// A program without Spares of its own has some.
func TestS02_OwnSpares(t *testing.T) {
	for i := range 5 {
		if n, err := start(t, echoInt, i, &proc.Options{Method: proc.Warm}).Result(within(t)); n != i || err != nil {
			t.Errorf("Result = %d, %v", n, err)
		}
	}
	if err := proc.Shutdown(within(t)); err != nil {
		t.Error(err)
	}
	if left := sparePIDs(t); len(left) > 0 {
		t.Errorf("after Shutdown: %v", left)
	}
}

// awaitState waits until the process is in one of these states, or is gone.
func awaitState(t *testing.T, pid int, states string) {
	t.Helper()
	for ctx := within(t); ; time.Sleep(100 * time.Microsecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return
		}
		if _, after, _ := strings.Cut(string(stat), ") "); strings.Contains(states, after[:1]) {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("want %s, is %s", states, stat)
		}
	}
}

// S07: spares are killed, stopped and interrupted, and starts go on.
func TestS07_SpareDies(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT, syscall.SIGSTOP} {
		t.Run(sig.String(), func(t *testing.T) {
			size := 2
			if sig == syscall.SIGSTOP {
				size = 1 // each takes a second
			}
			s := newSpares(t, size, nil)
			warm := &proc.Options{Method: proc.Warm, Spares: s}
			for i := range 3 {
				if err := s.Ready(within(t)); err != nil {
					t.Fatal(err)
				}
				for _, pid := range sparePIDs(t) {
					if err := syscall.Kill(pid, sig); err != nil {
						t.Fatal(err)
					}
					switch sig { // until it has its effect, the process may become another
					case syscall.SIGSTOP:
						awaitState(t, pid, "T")
					case syscall.SIGKILL, syscall.SIGTERM:
						awaitState(t, pid, "ZX")
					}
				}
				if n, err := start(t, echoInt, i, warm).Result(within(t)); n != i || err != nil {
					t.Errorf("Result = %d, %v", n, err)
				}
				if sig == syscall.SIGSTOP {
					break
				}
			}
		})
	}
	t.Run("replaced", func(t *testing.T) {
		s := newSpares(t, 2, nil)
		if err := s.Ready(within(t)); err != nil {
			t.Fatal(err)
		}
		old := sparePIDs(t)
		for _, pid := range old {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		for ctx := within(t); ; {
			now := sparePIDs(t)
			if len(now) == 2 && !slices.ContainsFunc(now, func(pid int) bool { return slices.Contains(old, pid) }) {
				break
			}
			if ctx.Err() != nil {
				t.Fatalf("spares %v, they were %v", now, old)
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// While spares are killed all the time, each start gives its result, a process that was killed, or an error that says
// that the spares were killed.
func TestS07_SpareStorm(t *testing.T) {
	s := newSpares(t, 3, nil)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			if pids := sparePIDs(t); len(pids) > 0 {
				_ = syscall.Kill(pids[i%len(pids)], syscall.SIGKILL) // it may have ended
			}
		}
	}()
	starts := 60
	if testing.Short() {
		starts = 20
	}
	good, killed := 0, 0
	for i := range starts {
		p, err := echoInt.Start(within(t), i, &proc.Options{Method: proc.Warm, Spares: s})
		exit := (*proc.ExitError)(nil)
		if errors.As(err, &exit) && exit.Code == -9 || err != nil && strings.Contains(err.Error(), "the spare process has ended") {
			killed++ // and 7 other spares before this one: on a slow machine none gets ready within a millisecond
			continue
		}
		if err != nil {
			t.Errorf("Start: %v", err)
			continue
		}
		n, err := p.Result(within(t))
		switch exit := (*proc.ExitError)(nil); {
		case err == nil && n == i:
			good++
		case errors.As(err, &exit) && exit.Code == -9:
			killed++
		default:
			t.Errorf("Result = %d, %v, want %d", n, err, i)
		}
	}
	close(stop)
	<-stopped
	t.Logf("%d gave their results, %d were killed", good, killed)
	if good == 0 {
		t.Error("no process ran")
	}
}

// S08: a start succeeds only if the Preload has.
func TestS08_Preload(t *testing.T) {
	for _, tt := range []struct {
		what string
		want func(error) bool
	}{
		{"fail", func(err error) bool {
			return errors.Is(err, fs.ErrPermission) && strings.Contains(err.Error(), "preload")
		}},
		{"panic", func(err error) bool {
			var p *proc.PanicError
			return errors.As(err, &p) && p.Value == "while loading"
		}},
		{"exit", func(err error) bool {
			var e *proc.ExitError
			return errors.As(err, &e) && e.Code == 7
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			s := proc.NewSpares(1, &proc.SpareOptions{Preload: load.With(tt.what)})
			defer s.Close()
			if _, err := nothing.Start(within(t), struct{}{}, &proc.Options{Method: proc.Warm, Spares: s}); !tt.want(err) {
				t.Errorf("Start: %v", err)
			}
			for patient := within(t); ; {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				err := s.Ready(ctx)
				cancel()
				if errors.Is(err, context.DeadlineExceeded) && tt.want(err) {
					break
				}
				if err == nil || patient.Err() != nil {
					t.Fatalf("Ready: %v", err)
				}
			}
		})
	}
	t.Run("cannot be sent", func(t *testing.T) {
		s := proc.NewSpares(0, &proc.SpareOptions{Preload: echoFunc.With(func() {})})
		defer s.Close()
		if _, err := nothing.Start(within(t), struct{}{}, &proc.Options{Method: proc.Warm, Spares: s}); !errors.Is(err, proc.ErrValue) {
			t.Errorf("Start: %v, want ErrValue", err)
		}
	})
	t.Run("none are kept", func(t *testing.T) {
		s := newSpares(t, 0, &proc.SpareOptions{Preload: load.With("it")})
		got, err := start(t, surroundings, proc.None{}, &proc.Options{Method: proc.Warm, Spares: s, Stdout: io.Discard, Stderr: io.Discard}).Result(within(t))
		if err != nil || got.Loaded != "it in spare" {
			t.Errorf("found %+v, %v", got, err)
		}
	})
}

// passOnWarm is passOn by a spare, which gets the crash point that its parent does not have.
var passOnWarm = proc.Register("pass on warm", func(ctx context.Context, in endPoint) (proc.None, error) {
	spares := proc.NewSpares(1, nil)
	defer spares.Close()
	if err := spares.Ready(ctx); err != nil {
		return proc.None{}, err
	}
	p, err := sit.Start(ctx, in, &proc.Options{Method: proc.Warm, Spares: spares})
	if err != nil {
		return proc.None{}, err
	}
	if err := in.Conn.Close(); err != nil {
		return proc.None{}, err
	}
	fmt.Println("started")
	return proc.None{}, p.Join(ctx)
})

// Wherever a spare or its parent is killed while the spare gets a task, what the spare held is
// given up.
func TestS07_KilledHandOver(t *testing.T) {
	if !crash.Enabled {
		t.Skip("needs a binary built with -tags crashpoints")
	}
	for point := range crash.Points(crash.SpareParked, crash.SpareStarted) {
		t.Run(point.String(), func(t *testing.T) {
			seg, err := shm.Anonymous(1<<20, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer seg.Close()
			ours, theirs, err := ring.NewPipe(seg, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			out, stdout := pipe(t)
			p := start(t, passOnWarm, endPoint{seg, theirs}, &proc.Options{
				Env: []string{fmt.Sprintf("%s=%v", crash.Env, point)}, Stdout: stdout,
			})
			stdout.Close()
			if err := theirs.Close(); err != nil {
				t.Fatal(err)
			}
			// Each of the first two kills all spares before they have their files, so that Start
			// fails. At SpareTaken it is the process that dies. The rest kill the parent.
			if err := p.Join(within(t)); err == nil {
				t.Error("Join: no error")
			}
			text, err := io.ReadAll(out) // every descendant has the other end
			if err != nil {
				t.Fatalf("a descendant lives on: %v", err)
			}
			if started := string(text) == "started\n"; started != (point == crash.SpareTaken) {
				t.Errorf("printed %q", text)
			}
			if msg, err := ours.Receive(within(t)); !errors.Is(err, io.EOF) {
				t.Errorf("Receive: %q, %v, want EOF", msg, err)
			}
			wantParties(t, seg, "afterwards", 1)
		})
	}
}
