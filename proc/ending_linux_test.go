package proc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
)

// A cleaner says how a task behaves that is asked to end.
type cleaner struct {
	Return string // what it returns when its context is done: "context", "cause", "nil", "other", or "never"
	Ignore bool   // it ignores SIGTERM
}

var errCleanUp = errors.New("clean-up failed")

// clean prints "ready", and when its context is done the cause, and from a deferred call "clean".
var clean = proc.Register("clean", func(ctx context.Context, c cleaner) (string, error) {
	defer fmt.Println("clean")
	if c.Ignore {
		signal.Ignore(syscall.SIGTERM)
	}
	fmt.Println("ready")
	<-ctx.Done()
	fmt.Println(context.Cause(ctx))
	switch c.Return {
	case "context":
		return "", fmt.Errorf("task: %w", ctx.Err())
	case "cause":
		return "", context.Cause(ctx)
	case "other":
		return "", errCleanUp
	case "never":
		select {}
	}
	return "done", nil
})

// startReady starts a process whose first line of output is "ready", and returns a reader of the
// rest.
func startReady[In, Out any](t *testing.T, task *proc.Task[In, Out], in In, o proc.Options) (*proc.Call[Out], *bufio.Reader) {
	t.Helper()
	r, w := pipe(t)
	o.Stdout = w
	p := start(t, task, in, &o)
	w.Close()
	out := bufio.NewReader(r)
	if line, err := out.ReadString('\n'); line != "ready\n" || err != nil {
		t.Fatalf("%s printed %q, %v, want ready", p.Name(), line, err)
	}
	return p, out
}

// wantRest checks what is left of the output.
func wantRest(t *testing.T, out io.Reader, want string) {
	t.Helper()
	if rest, err := io.ReadAll(out); string(rest) != want || err != nil {
		t.Errorf("printed %q, %v, want %q", rest, err, want)
	}
}

// A task that is asked to end can clean up; then its process has ended by the signal.
func TestP11_P40_CleanUp(t *testing.T) {
	for _, tt := range []struct {
		name    string
		end     func(*proc.Process) error
		returns string
		code    int
		output  string
	}{
		{"terminate", (*proc.Process).Terminate, "context", -15, "asked to terminate\nclean\n"},
		{"interrupt", (*proc.Process).Interrupt, "context", -2, "interrupted\nclean\n"},
		{"stop", func(p *proc.Process) error { return p.Stop(context.Background()) }, "cause", -15, "asked to terminate\nclean\n"},
		{"nil", (*proc.Process).Terminate, "nil", 0, "asked to terminate\nclean\n"},
		{"another error", (*proc.Process).Terminate, "other", 1, "asked to terminate\nclean\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, out := startReady(t, clean, cleaner{Return: tt.returns}, proc.Options{})
			if err := tt.end(p.Process); err != nil {
				t.Fatal(err)
			}
			got, err := p.Result(within(t))
			wantExit(t, p.Process, tt.code)
			var exit *proc.ExitError
			switch {
			case tt.code < 0 && (!errors.As(err, &exit) || exit.Signal() != syscall.Signal(-tt.code)):
				t.Errorf("Result: %v, want an ExitError with signal %d", err, -tt.code)
			case tt.code == 0 && (err != nil || got != "done"):
				t.Errorf("Result = %q, %v, want done", got, err)
			case tt.code == 1 && (err == nil || !strings.Contains(err.Error(), errCleanUp.Error())):
				t.Errorf("Result: %v, want the task's error", err)
			}
			wantRest(t, out, tt.output)
		})
	}
}

// A task that does not return is ended when the grace is over, or at the second signal.
func TestP11_Grace(t *testing.T) {
	t.Run("over", func(t *testing.T) {
		p, out := startReady(t, clean, cleaner{Return: "never"}, proc.Options{Grace: 50 * time.Millisecond})
		if err := p.Terminate(); err != nil {
			t.Fatal(err)
		}
		wantExit(t, p.Process, -15)
		wantRest(t, out, "asked to terminate\n")
	})
	t.Run("second signal", func(t *testing.T) {
		p, out := startReady(t, clean, cleaner{Return: "never"}, proc.Options{Grace: time.Hour})
		if err := p.Terminate(); err != nil {
			t.Fatal(err)
		}
		if line, err := out.ReadString('\n'); line != "asked to terminate\n" || err != nil {
			t.Fatalf("printed %q, %v", line, err)
		}
		if err := p.Interrupt(); err != nil {
			t.Fatal(err)
		}
		wantExit(t, p.Process, -2)
	})
}

// P18: a process may ignore SIGTERM. Stop kills it.
func TestP18_Stop(t *testing.T) {
	t.Run("grace", func(t *testing.T) {
		p, _ := startReady(t, clean, cleaner{Ignore: true}, proc.Options{Grace: 10 * time.Millisecond})
		if err := p.Stop(within(t)); err != nil {
			t.Fatal(err)
		}
		wantExit(t, p.Process, -9)
		if err := p.Stop(within(t)); err != nil {
			t.Errorf("Stop after the end: %v", err)
		}
	})
	t.Run("context", func(t *testing.T) {
		p, _ := startReady(t, clean, cleaner{Ignore: true}, proc.Options{Grace: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		wantExit(t, p.Process, -9)
	})
	t.Run("stopped", func(t *testing.T) {
		p, _ := startReady(t, clean, cleaner{Return: "context"}, proc.Options{Grace: 10 * time.Millisecond})
		if err := syscall.Kill(p.PID(), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if err := p.Stop(within(t)); err != nil {
			t.Fatal(err)
		}
		wantExit(t, p.Process, -9)
	})
	t.Run("not started", func(t *testing.T) {
		p, err := block.New(struct{}{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Stop(within(t)); !errors.Is(err, proc.ErrNotStarted) {
			t.Errorf("Stop: %v, want ErrNotStarted", err)
		}
	})
}

// litter starts programs that are no children of mp, one of which starts another one, and prints
// their ids. It ignores SIGTERM if it is told so.
var litter = proc.Register("litter", func(ctx context.Context, ignore bool) (proc.None, error) {
	if ignore {
		signal.Ignore(syscall.SIGTERM)
	}
	fmt.Println("ready")
	cmd := exec.Command("/bin/sh", "-c", "sleep 1000 & echo $!; echo $$; wait")
	cmd.Stdout = os.Stdout
	if err := cmd.Start(); err != nil {
		return proc.None{}, err
	}
	<-ctx.Done()
	return proc.None{}, ctx.Err()
})

// Stop ends what the process has started by other means, too.
func TestP18_StopTree(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ignore bool
		code   int
	}{{"in time", false, -15}, {"killed", true, -9}} {
		t.Run(tt.name, func(t *testing.T) {
			p, out := startReady(t, litter, tt.ignore, proc.Options{Grace: 20 * time.Millisecond})
			for range 2 {
				line, err := out.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if _, err := strconv.Atoi(strings.TrimSpace(line)); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Stop(within(t)); err != nil {
				t.Fatal(err)
			}
			wantExit(t, p.Process, tt.code)
			wantRest(t, out, "") // the end of the pipe comes when the last of them has ended
		})
	}
}

// lingering prints "ready" and its process id, and when its context is done the cause, and what it
// sees of its parent.
var lingering = proc.Register("lingering", func(ctx context.Context, _ proc.None) (proc.None, error) {
	if !proc.Parent().Alive() {
		return proc.None{}, errors.New("the parent is dead at the beginning")
	}
	fmt.Println("ready")
	<-ctx.Done()
	if err := proc.Parent().Join(context.Background()); err != nil {
		return proc.None{}, err
	}
	fmt.Println(context.Cause(ctx), proc.Parent().Name(), proc.Parent().Alive())
	return proc.None{}, ctx.Err()
})

// startLingering starts lingering.
var startLingering = proc.Register("start lingering", func(ctx context.Context, linger time.Duration) (proc.None, error) {
	p, err := lingering.Start(ctx, proc.None{}, &proc.Options{Linger: linger})
	if err != nil {
		return proc.None{}, err
	}
	return proc.None{}, p.Join(ctx)
})

// P33: a process notices its parent's death, if it is given the time.
func TestP33_ParentDied(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("SIGHUP is ignored, as under nohup: Options.Linger is refused")
	}
	p, out := startReady(t, startLingering, patience, proc.Options{Name: "middle"})
	begin := time.Now()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	wantExit(t, p.Process, -9)
	wantRest(t, out, "the parent has died middle false\n")
	if d := time.Since(begin); d > patience/2 {
		t.Errorf("it ended %v after its parent, though its task has returned", d)
	}
}

// P25: when a parent is killed, child and grandchild are gone in half a second.
func TestP25_Soon(t *testing.T) {
	r, w := pipe(t)
	p := start(t, middle, nil, &proc.Options{Stdout: w})
	w.Close()
	out := bufio.NewReader(r)
	if _, err := out.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	wantRest(t, out, "")
	if d := time.Since(begin); d > 500*time.Millisecond {
		t.Errorf("they were gone after %v", d)
	} else {
		t.Logf("they were gone after %v", d)
	}
}
