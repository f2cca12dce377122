package proc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
)

// A view is what a process knows about itself and its parent.
type view struct {
	Name, Parent   string
	PID, ParentPID int
	Daemon         bool
	Method         proc.Method
	Key            []byte
	CPUs           int
}

var look = proc.Register("look", func(context.Context, proc.None) (view, error) {
	me, up := proc.Self(), proc.Parent()
	return view{me.Name(), up.Name(), me.PID(), up.PID(), me.Daemon(), me.Method(), proc.AuthKey(), proc.CPUCount()}, nil
})

// lookBelow returns what a child of the child sees.
var lookBelow = proc.Register("look below", func(ctx context.Context, _ proc.None) (view, error) {
	p, err := look.Start(ctx, proc.None{}, nil)
	if err != nil {
		return view{}, err
	}
	return p.Result(ctx)
})

func TestP31_Self(t *testing.T) {
	me := proc.Self()
	if me.Name() != "main" || me.String() != "main" || me.PID() != os.Getpid() || me.Daemon() || proc.Parent() != nil {
		t.Errorf("Self is %v, pid %d, daemon %t, its parent %v", me, me.PID(), me.Daemon(), proc.Parent())
	}
	if key := proc.AuthKey(); len(key) != 32 || bytes.Equal(key, make([]byte, 32)) {
		t.Errorf("AuthKey is %x", key)
	}
}

func TestP02_P21_P32_Identity(t *testing.T) {
	p := start(t, look, proc.None{}, &proc.Options{Name: "n", Daemon: true})
	got, err := p.Result(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "n" || got.Parent != "main" || got.PID != p.PID() || got.ParentPID != os.Getpid() || !got.Daemon ||
		got.Method != proc.Spawn || !bytes.Equal(got.Key, proc.AuthKey()) || !p.Daemon() {
		t.Errorf("the child sees %+v", got)
	}
	below, err := start(t, lookBelow, proc.None{}, &proc.Options{Name: "up"}).Result(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if below.Parent != "up" || below.Daemon || !bytes.Equal(below.Key, got.Key) || !strings.HasSuffix(below.Name, ":1") {
		t.Errorf("its child sees %+v", below)
	}
}

// P27: a name is text alone. Processes may share one, also with their parent, and it may be any text.
func TestP27_Name(t *testing.T) {
	for _, name := range []string{"main", "a:1", "a b\nc=d %s \"", "名前", strings.Repeat("long", 1000)} {
		one := start(t, look, proc.None{}, &proc.Options{Name: name})
		two := start(t, look, proc.None{}, &proc.Options{Name: name})
		first, err1 := one.Result(within(t))
		second, err2 := two.Result(within(t))
		if err := errors.Join(err1, err2); err != nil || first.PID == second.PID {
			t.Errorf("%.20q: processes %d and %d, %v", name, first.PID, second.PID, err)
		}
		for _, got := range []string{one.Name(), two.Name(), first.Name, second.Name} {
			if got != name {
				t.Errorf("the name is %.20q, want %.20q", got, name)
			}
		}
	}
}

func TestP44_CPUCount(t *testing.T) {
	if n := proc.CPUCount(); n < 1 {
		t.Errorf("CPUCount = %d", n)
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		t.Skip("needs taskset")
	}
	cmd := exec.CommandContext(within(t), taskset, "-c", "0", executable(t))
	cmd.Env = append(os.Environ(), modeEnv+"=cpus")
	out, err := cmd.Output()
	if string(out) != "1\n" || err != nil {
		t.Errorf("with the affinity of one CPU: CPUCount is %q, %v", out, err)
	}
}

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// P45: the child's Go runtime is set as its parent's is.
func TestP45_Environment(t *testing.T) {
	t.Setenv("GODEBUG", "madvdontneed=1")
	t.Setenv("GOMAXPROCS", "3")
	got, err := start(t, look, proc.None{}, nil).Result(within(t))
	if err != nil || got.CPUs != 3 {
		t.Errorf("the child has %d CPUs, %v, want 3", got.CPUs, err)
	}
}

// P46: a child may be another file, if it has the task.
func TestP46_Executable(t *testing.T) {
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, text, 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := start(t, runs, proc.None{}, &proc.Options{Executable: other}).Result(within(t))
	if got != other || err != nil {
		t.Errorf("the child runs %q, %v, want %q", got, err, other)
	}
	if _, err := runs.Start(within(t), proc.None{}, &proc.Options{Executable: other + "2"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start of no file: %v, want ErrNotExist", err)
	}
}

var runs = proc.Register("runs", func(context.Context, proc.None) (string, error) { return os.Executable() })

// A greeter is a task as a type.
type greeter struct{ Greeting, Name string }

func (g greeter) Run(context.Context) error {
	if g.Name == "" {
		return errors.New("nobody to greet")
	}
	_, err := fmt.Println(g.Greeting, g.Name)
	return err
}

// A counter counts its runs.
type counter struct{ N int }

func (c *counter) Run(context.Context) error {
	c.N++
	if c.N != 1 {
		return fmt.Errorf("the counter is %d", c.N)
	}
	return nil
}

var (
	greet = proc.RegisterRunner[greeter]("greet")
	count = proc.RegisterRunner[*counter]("count")
)

func TestP42_Runner(t *testing.T) {
	var out bytes.Buffer
	if err := start(t, greet, greeter{"hello", "bob"}, &proc.Options{Stdout: &out}).Join(within(t)); err != nil || out.String() != "hello bob\n" {
		t.Errorf("printed %q, %v", &out, err)
	}
	if err := start(t, greet, greeter{}, nil).Join(within(t)); err == nil || !strings.Contains(err.Error(), "nobody to greet") {
		t.Errorf("Join: %v, want the error of Run", err)
	}
	c := new(counter) // to a zero value
	if err := start(t, count, c, nil).Join(within(t)); err != nil || c.N != 0 {
		t.Errorf("Join: %v, and the parent's counter is %d", err, c.N)
	}
}

func TestP28_PidFD(t *testing.T) {
	fresh, err := block.New(struct{}{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.PidFD(); !errors.Is(err, proc.ErrNotStarted) {
		t.Errorf("PidFD before Start: %v, want ErrNotStarted", err)
	}
	p := start(t, block, struct{}{}, nil)
	f, err := p.PidFD()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	readable := func() bool {
		var set syscall.FdSet
		fd := int(f.Fd())
		set.Bits[fd/strconv.IntSize] |= 1 << (fd % strconv.IntSize)
		n, err := syscall.Select(fd+1, &set, nil, nil, &syscall.Timeval{})
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	}
	if readable() {
		t.Error("the pidfd is readable while the process runs")
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	await(t, p.Process)
	if !readable() {
		t.Error("the pidfd is not readable when the process has ended")
	}
	if _, err := p.PidFD(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("PidFD after the end: %v, want ErrProcessDone", err)
	}
}

// P38: goroutines of the child end with its task, as they end with main.
func TestP38_Goroutines(t *testing.T) {
	if err := start(t, leaveGoroutine, proc.None{}, nil).Join(within(t)); err != nil {
		t.Error(err)
	}
}

var leaveGoroutine = proc.Register("leave a goroutine", func(context.Context, proc.None) (proc.None, error) {
	go func() { select {} }()
	return proc.None{}, nil
})

// P43: signals do not disturb Join.
func TestP43_Signals(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	defer signal.Stop(signals)
	stdin, w := pipe(t)
	p := start(t, untilEOF, struct{}{}, &proc.Options{Stdin: stdin})
	joined := make(chan error, 1)
	go func() { joined <- p.Join(within(t)) }()
	for range 50 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		<-signals
	}
	w.Close()
	if err := <-joined; err != nil {
		t.Error(err)
	}
}

var global = 1

var changeGlobal = proc.Register("change a global", func(context.Context, proc.None) (int, error) {
	global++
	return global, nil
})

// P47: processes share no variables.
func TestP47_Globals(t *testing.T) {
	global = 7
	defer func() { global = 1 }()
	if n, err := start(t, changeGlobal, proc.None{}, nil).Result(within(t)); n != 2 || err != nil || global != 7 {
		t.Errorf("the child's is %d, %v, the parent's %d, want 2 and 7", n, err, global)
	}
}

// P24: Wait waits for all but daemons. Shutdown ends daemons too.
func TestP24_Daemons(t *testing.T) {
	t.Run("wait", func(t *testing.T) {
		d := start(t, block, struct{}{}, &proc.Options{Daemon: true})
		p := start(t, exit, 3, &proc.Options{Name: "three"})
		err := proc.Wait(within(t))
		if exit := (*proc.ExitError)(nil); !errors.As(err, &exit) || exit.Process != "three" || exit.Code != 3 {
			if _, ended := p.ExitCode(); !ended || err != nil { // it may have ended before Wait was called
				t.Errorf("Wait: %v, want exit code 3", err)
			}
		}
		if !d.Alive() {
			t.Error("Wait has ended a daemon")
		}
	})
	t.Run("wait for too long", func(t *testing.T) {
		p := start(t, block, struct{}{}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := proc.Wait(ctx); !errors.Is(err, context.Canceled) || !p.Alive() {
			t.Errorf("Wait: %v, want Canceled; alive %t", err, p.Alive())
		}
	})
	t.Run("shutdown", func(t *testing.T) {
		d, out := startReady(t, clean, cleaner{Return: "context"}, proc.Options{Daemon: true})
		stdin, w := pipe(t)
		p := start(t, untilEOF, struct{}{}, &proc.Options{Stdin: stdin})
		time.AfterFunc(20*time.Millisecond, func() { w.Close() })
		if err := proc.Shutdown(within(t)); err != nil {
			t.Error(err)
		}
		wantExit(t, d.Process, -15)
		wantRest(t, out, "asked to terminate\nclean\n")
		wantExit(t, p.Process, 0)
	})
	t.Run("shutdown with an ended context", func(t *testing.T) {
		p := start(t, block, struct{}{}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := proc.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown: %v, want Canceled", err)
		}
		leftAlive(t)
		if code, _ := p.ExitCode(); code != -15 && code != -9 {
			t.Errorf("exit code %d", code)
		}
	})
}

// P23: a daemon may have children.
func TestP23_ChildOfDaemon(t *testing.T) {
	below, err := start(t, lookBelow, proc.None{}, &proc.Options{Name: "up", Daemon: true}).Result(within(t))
	if err != nil || below.Parent != "up" {
		t.Errorf("the child of a daemon sees %+v, %v", below, err)
	}
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p := start(t, block, struct{}{}, &proc.Options{Name: "it", Logger: logger})
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	await(t, p.Process)
	for _, want := range []string{
		`msg="process started" process=it pid=`, "task=block method=spawn", `msg=signal process=it`, "signal=killed",
		`level=WARN msg="process ended" process=it`, "code=-9", "ended by signal 9",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, &out)
		}
	}
}
