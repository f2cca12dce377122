package cluster_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/cluster"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
)

var poolCalls = flag.Int("pool.calls", 5_000, "calls of the test that kills machines")

// A machine says how a process serves the pool "p".
type machine struct {
	URL, Name string
	Workers   int
	Drain     time.Duration
	InProcess bool // its workers are goroutines
}

// serveThere serves until its context ends, with worker processes of its own.
var serveThere = proc.Register("serve there", func(ctx context.Context, m machine) (proc.None, error) {
	c, err := cluster.Open(ctx, &cluster.Options{URL: m.URL})
	if err != nil {
		return proc.None{}, err
	}
	defer c.Close()
	o := &cluster.ServeOptions{Workers: m.Workers, Name: m.Name, Drain: m.Drain}
	if m.InProcess {
		o.Pool = &proc.PoolOptions{Process: &proc.Options{Method: proc.InProcess}}
	}
	return proc.None{}, cluster.Serve(ctx, c, "p", o)
})

var (
	dying = proc.Register("dying", func(_ context.Context, code int) (int, error) {
		if code == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		os.Exit(code)
		return 0, nil
	})
	processOf = proc.Register("process of", func(context.Context, int) (int, error) { return os.Getpid(), nil })
	slowly    = proc.Register("slowly", func(ctx context.Context, x int) (int, error) {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Duration(x%5) * time.Millisecond): // stands for work
			return x * x, nil
		}
	})
)

// startMachine starts a process that serves the pool "p".
func startMachine(t testing.TB, c *cluster.Cluster, name string, workers int) *proc.Call[proc.None] {
	t.Helper()
	return start(t, machine{URL: c.URL(), Name: name, Workers: workers})
}

// start starts a process that serves as m says.
func start(t testing.TB, m machine) *proc.Call[proc.None] {
	t.Helper()
	p := Must(serveThere.Start(context.Background(), m, nil))(t)
	t.Cleanup(func() {
		WantNil(t, "Stop", p.Stop(Within(t)))
		p.Close()
	})
	return p
}

// TestServeLosesWorkers has calls end their worker process: each loses its own call only.
func TestServeLosesWorkers(t *testing.T) {
	ctx, c := Within(t), open(t, nil)
	p := newPool(t, c, nil)
	startMachine(t, c, "there", 2)
	for _, code := range []int{3, 0} {
		var lost *proc.WorkerLostError
		_, err := dying.Apply(ctx, p, code)
		if code == 0 {
			code = -int(syscall.SIGKILL)
		}
		if !errors.As(err, &lost) || lost.ExitCode != code || lost.Task != "dying" || lost.PID == 0 || lost.PID == os.Getpid() {
			t.Errorf("exit code %d: %#v", code, err)
		}
		Want(t, "the next call", Must(square.Apply(ctx, p, 3))(t), 9)
	}
	if pid := Must(processOf.Apply(ctx, p, 0))(t); pid == os.Getpid() {
		t.Error("a call ran in the caller's process")
	}
}

// TestServeEnds ends a machine on request while it runs calls: it finishes those that are short, and
// another machine gets the others.
func TestServeEnds(t *testing.T) {
	ctx, c := Within(t), open(t, nil)
	p := newPool(t, c, nil)
	first := startMachine(t, c, "first", 1)
	n, next := 500, 0
	for got, err := range slowly.Map(ctx, p, numbers(n), &proc.MapOptions{Chunk: 1}) {
		WantNil(t, "Map", err)
		if got != next*next {
			t.Fatalf("result %d is %d", next, got)
		}
		if next++; next == 100 {
			startMachine(t, c, "second", 1)
			WantNil(t, "Terminate", first.Terminate())
		}
	}
	Want(t, "results", next, n)
	if err := first.Join(ctx); err != nil {
		t.Errorf("the first machine: %v", err)
	}
}

// TestServeMachinesDie kills a machine with all its workers again and again, and starts another one.
// Each call gets its result once.
func TestServeMachinesDie(t *testing.T) {
	ctx, c := Within(t), open(t, nil)
	p := newPool(t, c, &cluster.PoolOptions{Lease: time.Second, Machines: 1000})
	startMachine(t, c, "survivor", 1)
	victim := startMachine(t, c, "victim", 1)
	n := *poolCalls
	if testing.Short() {
		n = 1_000
	}
	next, deaths, every := 0, 0, n/4
	longest, last := time.Duration(0), time.Now()
	for got, err := range slowly.Map(ctx, p, numbers(n)) {
		WantNil(t, "Map", err)
		if got != next*next {
			t.Fatalf("result %d is %d", next, got)
		}
		longest, last = max(longest, time.Since(last)), time.Now()
		if next++; next%every == 0 && next < n {
			deaths++
			WantNil(t, "Kill", victim.Kill())
			victim = startMachine(t, c, "victim", 1)
		}
	}
	Want(t, "results", next, n)
	t.Logf("%d calls, %d machines killed, the longest time between two results was %v", n, deaths, longest.Round(time.Millisecond))
}

// TestServeGivesUp has a call kill its machine: it fails when it has lost as many as it may. The first one is
// recorded only if no other may get the call.
func TestServeGivesUp(t *testing.T) {
	for _, test := range []struct{ machines, deaths int }{{1, 1}, {2, 3}} {
		t.Run(fmt.Sprint("machines=", test.machines), func(t *testing.T) {
			ctx, c := Within(t), open(t, nil)
			p := newPool(t, c, &cluster.PoolOptions{Lease: time.Second, Machines: test.machines})
			call := Must(killMachine.Submit(ctx, p, 0))(t)
			for range test.deaths {
				doomed := startMachine(t, c, "doomed", 1)
				if err := doomed.Join(ctx); err == nil {
					t.Error("the machine was not killed")
				}
			}
			startMachine(t, c, "other", 1)
			WantError(t, "the call", Second(call.Wait(ctx)), cluster.ErrMachines)
			wantNoMessages(t, c)
		})
	}
}

// killMachine kills the process that serves.
var killMachine = proc.Register("kill machine", func(ctx context.Context, _ int) (int, error) {
	_ = syscall.Kill(proc.Parent().PID(), syscall.SIGKILL)
	<-ctx.Done()
	return 0, ctx.Err()
})

// repeatLate returns n bytes. The first call of all machines opens the file, which is a FIFO, and waits
// until its other end is closed.
var repeatLate = proc.Register("repeat late", func(_ context.Context, j late) ([]byte, error) {
	if os.Mkdir(j.FIFO+".begun", 0o700) == nil {
		if _, err := os.ReadFile(j.FIFO); err != nil {
			return nil, err
		}
	}
	return make([]byte, j.N), nil
})

type late struct {
	FIFO string
	N    int
}

// TestServeLateReply stops a machine until another one has run its call, too, and has it go on then. Its
// reply, which is larger than a message, is dropped, and its object is dropped with it.
func TestServeLateReply(t *testing.T) {
	ctx, c := Within(t), open(t, &cluster.Options{MaxMessage: 64 << 10})
	p := newPool(t, c, &cluster.PoolOptions{Lease: time.Second})
	j := late{filepath.Join(t.TempDir(), "fifo"), 1 << 20}
	WantNil(t, "Mkfifo", syscall.Mkfifo(j.FIFO, 0o600))
	first := startMachine(t, c, "first", 1)
	call := Must(repeatLate.Submit(ctx, p, j))(t)
	begun := Async(func() *os.File {
		f, err := os.OpenFile(j.FIFO, os.O_WRONLY, 0)
		if err != nil {
			t.Errorf("open: %v", err)
		}
		return f
	})
	fifo := Await(t, begun, "the begin of the call")
	defer fifo.Close()
	Stop(t, first)
	startMachine(t, c, "second", 1)
	Want(t, "bytes of the result", len(Must(call.Wait(ctx))(t)), j.N)
	Continue(t, first)
	WantNil(t, "Close", fifo.Close())
	WantNil(t, "Terminate", first.Terminate())
	WantNil(t, "the first machine, which finishes its call", first.Join(ctx))
	Want(t, "objects left", Must(cluster.Objects(ctx, c, "p"))(t), 0)
}
