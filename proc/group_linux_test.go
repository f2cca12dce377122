package proc_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
)

// stubborn ignores SIGTERM. It says so by removing the file, and runs until it is killed.
var stubborn = proc.Register("stubborn", func(ctx context.Context, file string) (proc.None, error) {
	signal.Ignore(syscall.SIGTERM)
	if err := os.Remove(file); err != nil {
		return proc.None{}, err
	}
	<-ctx.Done()
	return proc.None{}, ctx.Err()
})

func TestTaskStart(t *testing.T) {
	p, err := echoInt.Start(within(t), 7, &proc.Options{Name: "seven"})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := p.Result(within(t)); n != 7 || err != nil || p.Name() != "seven" {
		t.Errorf("%s returned %d, %v, want 7", p.Name(), n, err)
	}
	if _, err := echoChan.Start(within(t), struct{ C chan int }{make(chan int)}, nil); !errors.Is(err, proc.ErrValue) {
		t.Errorf("Start with a channel: %v, want ErrValue", err)
	}
	if p, err := echoInt.Start(within(t), 1, &proc.Options{Dir: "/no/such/directory"}); !errors.Is(err, fs.ErrNotExist) || p != nil {
		t.Errorf("Start in no directory: %v, %v", p, err)
	}
}

// leftAlive fails the test if children are alive.
func leftAlive(t *testing.T) {
	t.Helper()
	for p := range proc.Children() {
		t.Errorf("%s is alive", p.Name())
	}
}

// eventuallyNone waits until no child is left.
func eventuallyNone(t *testing.T) {
	t.Helper()
	for p := range proc.Children() {
		await(t, p)
	}
}

func TestGroup(t *testing.T) {
	t.Run("all end well", func(t *testing.T) {
		g := proc.NewGroup(within(t))
		job := nothing.With(struct{}{})
		for range 3 {
			g.Go(job)
		}
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		if g.Context().Err() == nil {
			t.Error("after Wait the context is not done")
		}
		leftAlive(t)
	})
	t.Run("none", func(t *testing.T) {
		if err := proc.NewGroup(within(t)).Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("the first failure ends the others", func(t *testing.T) {
		g := proc.NewGroup(within(t))
		g.Go(block.With(struct{}{}).Options(&proc.Options{Name: "blocked"}))
		g.Go(block.With(struct{}{}))
		g.Go(exit.With(3))
		err := g.Wait()
		var e *proc.ExitError
		if !errors.As(err, &e) || e.Code != 3 {
			t.Errorf("Wait returned %v, want exit code 3", err)
		}
		if cause := context.Cause(g.Context()); cause != err {
			t.Errorf("the context's cause is %v, want %v", cause, err)
		}
		leftAlive(t)
		g.Go(nothing.With(struct{}{}))
		leftAlive(t)
	})
	t.Run("a process that ignores SIGTERM is killed", func(t *testing.T) {
		file := t.TempDir() + "/ready"
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		g := proc.NewGroup(within(t))
		g.Go(stubborn.With(file))
		for ctx := within(t); ; {
			if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
				break
			}
			if ctx.Err() != nil {
				t.Fatal("the stubborn process is not ready")
			}
			time.Sleep(time.Millisecond)
		}
		begin := time.Now()
		g.Go(exit.With(4))
		if err := g.Wait(); err == nil || !strings.Contains(err.Error(), "exit code 4") {
			t.Errorf("Wait returned %v, want exit code 4", err)
		}
		if d := time.Since(begin); d < 2*time.Second {
			t.Errorf("it was killed after %v, without the time that it has to end", d)
		}
		leftAlive(t)
	})
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(within(t))
		g := proc.NewGroup(ctx)
		g.Go(block.With(struct{}{}))
		cancel()
		if err := g.Wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait returned %v, want context.Canceled", err)
		}
		leftAlive(t)
	})
	t.Run("context after the end", func(t *testing.T) {
		ctx, cancel := context.WithCancel(within(t))
		g := proc.NewGroup(ctx)
		p := nothing.With(struct{}{})
		g.Go(p)
		eventuallyNone(t)
		cancel()
		for range 2 {
			if err := g.Wait(); err != nil {
				t.Errorf("Wait after all have ended well: %v", err)
			}
		}
		g.Go(p)
		if err := g.Wait(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Wait after a late Go: %v, want ErrClosed", err)
		}
	})
	t.Run("Go when the context is done", func(t *testing.T) {
		ctx, cancel := context.WithCancel(within(t))
		cancel()
		g := proc.NewGroup(ctx)
		g.Go(nothing.With(struct{}{}))
		if err := g.Wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait returned %v, want context.Canceled", err)
		}
	})
	t.Run("Go and Wait at once", func(t *testing.T) {
		g := proc.NewGroup(within(t))
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { g.Go(nothing.With(struct{}{})) })
		}
		all.Go(func() { _ = g.Wait() })
		all.Wait()
		_ = g.Wait() // a Go may have been too late
		leftAlive(t)
	})
	t.Run("a failed start", func(t *testing.T) {
		g := proc.NewGroup(within(t))
		g.Go(block.With(struct{}{}))
		g.Go(nothing.With(struct{}{}).Options(&proc.Options{Dir: "/no/such/directory"}))
		if err := g.Wait(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Wait returned %v, want fs.ErrNotExist", err)
		}
		leftAlive(t)
		g = proc.NewGroup(within(t))
		g.Go(echoFunc.With(func() {}))
		if err := g.Wait(); !errors.Is(err, proc.ErrValue) {
			t.Errorf("Wait returned %v, want ErrValue", err)
		}
	})
}
