package proc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
)

// insideLimit bounds every wait of these tests.
const insideLimit = time.Minute

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), insideLimit)
	t.Cleanup(cancel)
	return ctx
}

func TestS01_Methods(t *testing.T) {
	for m, name := range map[proc.Method]string{
		proc.Spawn: "spawn", proc.Warm: "warm", proc.InProcess: "in-process", proc.Fork: "fork",
	} {
		if got, err := proc.ParseMethod(name); got != m || m.String() != name || err != nil {
			t.Errorf("%v and %q, which is %v, %v", m, name, got, err)
		}
	}
	if _, err := proc.ParseMethod("thread"); !errors.Is(err, proc.ErrMethod) {
		t.Errorf("an unknown name: %v, want ErrMethod", err)
	}
	if s := proc.Method(9).String(); s != "Method(9)" {
		t.Error(s)
	}
	for method, want := range map[proc.Method]error{proc.Fork: errors.ErrUnsupported, 9: proc.ErrMethod, -1: proc.ErrMethod} {
		p, err := double.New(1, &proc.Options{Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(bounded(t)); !errors.Is(err, want) || p.Alive() {
			t.Errorf("Start with method %v: %v, want %v", method, err, want)
		}
	}
}

var double = proc.Register("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })

// in is what a task does that runs in this process.
type in struct {
	Do    string
	Slice []int
}

// gate lets tests wait for a task that runs in this process, and hold it.
var gate struct {
	sync.Mutex
	entered, leave chan struct{}
}

func newGate() (entered, leave chan struct{}) {
	gate.Lock()
	defer gate.Unlock()
	gate.entered, gate.leave = make(chan struct{}), make(chan struct{})
	return gate.entered, gate.leave
}

var inside = proc.Register("inside", func(ctx context.Context, a in) ([]int, error) {
	gate.Lock()
	entered, leave := gate.entered, gate.leave
	gate.Unlock()
	switch a.Do {
	case "change":
		a.Slice[0] = 99
		return a.Slice, nil
	case "fail":
		return nil, fmt.Errorf("wrapped: %w", io.ErrUnexpectedEOF)
	case "panic":
		panic("boom")
	case "Goexit":
		runtime.Goexit()
	case "wait":
		close(entered)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	case "stay":
		close(entered)
		<-leave
	}
	return nil, nil
})

func startInside(t *testing.T, a in, o proc.Options) *proc.Call[[]int] {
	t.Helper()
	o.Method = proc.InProcess
	p, err := inside.Start(bounded(t), a, &o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The method InProcess has the same results and errors as another process.
func TestD01_InProcess(t *testing.T) {
	ctx := bounded(t)
	t.Run("result", func(t *testing.T) {
		mine := []int{1, 2}
		p := startInside(t, in{"change", mine}, proc.Options{Name: "it"})
		got, err := p.Result(ctx)
		if code, exited := p.ExitCode(); !slices.Equal(got, []int{99, 2}) || err != nil || code != 0 || !exited || p.Alive() {
			t.Errorf("Result = %v, %v, exit code %d", got, err, code)
		}
		if mine[0] != 1 {
			t.Error("the task has changed the parent's slice")
		}
		if p.Name() != "it" || p.Method() != proc.InProcess {
			t.Errorf("it is %s, %v", p.Name(), p.Method())
		}
	})
	t.Run("error", func(t *testing.T) {
		p := startInside(t, in{Do: "fail"}, proc.Options{})
		var remote *proc.RemoteError
		if err := p.Join(ctx); !errors.As(err, &remote) || !errors.Is(err, io.ErrUnexpectedEOF) || remote.Message != "wrapped: unexpected EOF" {
			t.Errorf("Join: %v", err)
		}
		if code, _ := p.ExitCode(); code != 1 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("panic", func(t *testing.T) {
		p := startInside(t, in{Do: "panic"}, proc.Options{})
		var panicked *proc.PanicError
		if err := p.Join(ctx); !errors.As(err, &panicked) || panicked.Value != "boom" || !strings.Contains(panicked.Stack, "method_test.go") {
			t.Errorf("Join: %v", err)
		}
		if code, _ := p.ExitCode(); code != 2 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("Goexit", func(t *testing.T) {
		p := startInside(t, in{Do: "Goexit"}, proc.Options{})
		if err := p.Join(ctx); err == nil || !strings.Contains(err.Error(), "Goexit") {
			t.Errorf("Join: %v", err)
		}
	})
	for _, tt := range []struct {
		name string
		end  func(*proc.Process) error
		code int
	}{
		{"terminate", (*proc.Process).Terminate, -15},
		{"interrupt", (*proc.Process).Interrupt, -2},
		{"kill", (*proc.Process).Kill, -9},
		{"stop", func(p *proc.Process) error { return p.Stop(ctx) }, -15},
	} {
		t.Run(tt.name, func(t *testing.T) {
			entered, _ := newGate()
			p := startInside(t, in{Do: "wait"}, proc.Options{})
			<-entered
			if !p.Alive() {
				t.Error("not alive")
			}
			if err := tt.end(p.Process); err != nil {
				t.Fatal(err)
			}
			var exit *proc.ExitError
			if err := p.Join(ctx); !errors.As(err, &exit) || exit.Code != tt.code {
				t.Errorf("Join: %v, want an ExitError with %d", err, tt.code)
			}
		})
	}
	for _, name := range []string{"kill", "terminate", "stop"} {
		t.Run(name+" a task that does not return", func(t *testing.T) {
			entered, leave := newGate()
			defer close(leave)
			p := startInside(t, in{Do: "stay"}, proc.Options{Grace: 10 * time.Millisecond})
			<-entered
			end, code := p.Terminate, -15
			switch name {
			case "kill":
				end, code = p.Kill, -9
			case "stop":
				end = func() error { return p.Stop(ctx) }
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
			var exit *proc.ExitError
			if err := p.Join(ctx); !errors.As(err, &exit) || exit.Code != code {
				t.Errorf("Join: %v, want an ExitError with %d", err, code)
			}
		})
	}
	t.Run("options", func(t *testing.T) {
		for _, o := range []proc.Options{
			{Env: []string{"A=b"}}, {Dir: "."}, {Stdin: strings.NewReader("")}, {Stdout: io.Discard}, {NameLines: true},
			{Memory: 1}, {Executable: "x"}, {Linger: 1},
		} {
			o.Method = proc.InProcess
			if _, err := inside.Start(ctx, in{}, &o); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("Start with %+v: %v, want ErrUnsupported", o, err)
			}
		}
	})
	t.Run("many", func(t *testing.T) {
		g := proc.NewGroup(ctx)
		for range 100 {
			g.Go(double.With(1).Options(&proc.Options{Method: proc.InProcess}))
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
	for p := range proc.Children() {
		t.Errorf("%s is left", p.Name())
	}
}
