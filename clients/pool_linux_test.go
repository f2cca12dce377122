package clients_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
)

type vector struct {
	Name string
	X, Y float64
}

type norm struct {
	Name string
	Norm float64
}

var (
	upper   = proc.ForeignTask[[]byte, []byte]("upper")
	text    = proc.ForeignTask[string, string]("upper")
	normOf  = proc.ForeignTask[vector, norm]("norm")
	square  = proc.ForeignTask[int, int]("square")
	pidOf   = proc.ForeignTask[int, int]("pid")
	act     = proc.ForeignTask[string, int]("act")
	unknown = proc.ForeignTask[int, int]("unknown")
)

// pool returns a pool of that many workers in c's language.
func (c client) pool(t *testing.T, workers int, o proc.PoolOptions) *proc.Pool {
	t.Helper()
	c.command(t, "pool") // or skip
	o.Command = func() *proc.Cmd { return c.command(t, "pool") }
	p := Must(proc.NewPool(workers, &o))(t)
	t.Cleanup(func() { WantNil(t, "Terminate", p.Terminate()) })
	return p
}

// TestPool runs tasks in workers in other languages. Arguments and results are bytes, text, or JSON.
func TestPool(t *testing.T) { each(t, testPool) }

func testPool(t *testing.T, c client) {
	p := c.pool(t, 2, proc.PoolOptions{})
	ctx := Within(t)
	for _, n := range []int{0, 1, 1000, 1 << 20} {
		in := bytes.Repeat([]byte("a"), n)
		if got := Must(upper.Apply(ctx, p, in))(t); !bytes.Equal(got, bytes.ToUpper(in)) {
			t.Errorf("%d bytes: %d bytes came back, or they differ", n, len(got))
		}
	}
	Want(t, "text", Must(text.Apply(ctx, p, "größe"))(t), "GRößE") // the workers know ASCII alone
	if c.name == "Python" {
		Want(t, "struct", Must(normOf.Apply(ctx, p, vector{"it", 3, 4}))(t), norm{"it", 5})
	}
	i := 0
	for y, err := range square.Map(ctx, p, func(yield func(int) bool) {
		for i := 0; i < 5000 && yield(i); i++ {
		}
	}) {
		if err != nil || y != i*i {
			t.Fatalf("square of %d: %d, %v", i, y, err)
		}
		i++
	}
	Want(t, "results", i, 5000)
	s := p.Stats()
	Want(t, "calls done", s.Done, s.Submitted)
	WantNil(t, "Close", p.Close())
	WantError(t, "Apply", Second(square.Apply(ctx, p, 1)), proc.ErrPoolClosed)
}

// TestPoolErrors shows what becomes of tasks that fail, and of workers that end.
func TestPoolErrors(t *testing.T) { each(t, testPoolErrors) }

func testPoolErrors(t *testing.T, c client) {
	p := c.pool(t, 2, proc.PoolOptions{Timeout: 30 * time.Second, Grace: 50 * time.Millisecond})
	ctx := Within(t)
	wantRemote := func(err error, want string) {
		t.Helper()
		var remote *proc.RemoteError
		if !errors.As(err, &remote) || remote.Message != want || !strings.HasPrefix(remote.Process, "worker-") {
			t.Errorf("%v, want a RemoteError with %q", err, want)
		}
	}
	if c.name == "Python" {
		wantRemote(Second(act.Apply(ctx, p, "fail")), "ValueError: it was told to fail")
		wantRemote(Second(act.Apply(ctx, p, "key")), "KeyError: 'key'")
	} else {
		wantRemote(Second(act.Apply(ctx, p, "fail")), "it was told to fail")
	}
	wantRemote(Second(unknown.Apply(ctx, p, 1)), "unknown task 'unknown'")
	if _, err := proc.ForeignTask[int, int]("upper").Apply(ctx, p, 1); err != nil { // "1" in capitals
		t.Error(err)
	}
	if _, err := proc.ForeignTask[string, int]("upper").Apply(ctx, p, "x"); err == nil {
		t.Error("a result that is not JSON has no error")
	}
	for what, code := range map[string]int{"exit": 3, "kill": -9} {
		_, err := act.Apply(ctx, p, what)
		var lost *proc.WorkerLostError
		if !errors.As(err, &lost) || lost.ExitCode != code || lost.PID == 0 {
			t.Errorf("%s: %v, want a WorkerLostError with code %d", what, err, code)
		}
	}
	_, err := act.Apply(ctx, p, "sleep", &proc.CallOptions{Timeout: 50 * time.Millisecond})
	WantError(t, "a call that takes too long", err, context.DeadlineExceeded)
	stopped, stop := context.WithCancel(ctx)
	time.AfterFunc(50*time.Millisecond, stop)
	WantError(t, "a call whose context ends", Second(act.Apply(stopped, p, "sleep")), context.Canceled)
	Want(t, "afterwards", Must(square.Apply(ctx, p, 5))(t), 25)
	s := p.Stats()
	if s.Lost["exit code 3"] != 1 || s.Lost["signal 9 (killed)"] != 1 || s.Lost["timeout"] != 1 || s.Lost["stopped"] != 1 {
		t.Errorf("%+v", s)
	}
}

// TestPoolOfOthers shows what pools and programs that do not fit together return.
func TestPoolOfOthers(t *testing.T) {
	ctx := Within(t)
	p := Must(proc.NewPool(1, nil))(t)
	WantError(t, "a foreign task in a pool of this program", Second(square.Apply(ctx, p, 1)), proc.ErrUnknownTask)
	WantNil(t, "Close", p.Close())
	command := func() *proc.Cmd { return proc.Command("true") }
	_, err := proc.NewPool(1, &proc.PoolOptions{Command: command, Process: &proc.Options{}})
	WantError(t, "NewPool", err, errors.ErrUnsupported)
	_, err = proc.NewPool(1, &proc.PoolOptions{Command: func() *proc.Cmd { return proc.Command("/nonexistent") }})
	if err == nil {
		t.Error("a pool of programs that do not exist")
	}
	p = Must(proc.NewPool(1, &proc.PoolOptions{Command: command}))(t)
	WantError(t, "Apply", Second(square.Apply(ctx, p, 1)), proc.ErrInit)
	WantNil(t, "Terminate", p.Terminate())
}

// TestPoolKills kills workers in other languages at random while they run calls. Each call has its
// result, or was lost with its worker.
func TestPoolKills(t *testing.T) { each(t, testPoolKills) }

func testPoolKills(t *testing.T, c client) {
	p := c.pool(t, 2, proc.PoolOptions{})
	ctx := Within(t)
	var wg sync.WaitGroup
	over := make(chan struct{})
	good := 0
	wg.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			n := 0
			for y, err := range square.Map(ctx, p, func(yield func(int) bool) {
				for i := 0; i < 300 && yield(i); i++ {
				}
			}, &proc.MapOptions{KeepGoing: true}) {
				var lost *proc.WorkerLostError
				switch {
				case err == nil && y == n*n:
					good++
				case !errors.As(err, &lost):
					t.Errorf("square of %d: %d, %v", n, y, err)
				}
				n++
			}
			if n != 300 {
				t.Errorf("%d results of 300 calls", n)
				return
			}
		}
	})
	for range 10 {
		pid, err := pidOf.Apply(ctx, p, 0)
		if err != nil {
			continue
		}
		time.Sleep(rand.N(5 * time.Millisecond)) // the moment of the kill is random
		syscall.Kill(pid, syscall.SIGKILL)
	}
	close(over)
	wg.Wait()
	if s := p.Stats(); good == 0 || s.Lost["signal 9 (killed)"] == 0 {
		t.Errorf("%d results, %+v", good, s)
	}
}
