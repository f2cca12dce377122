//go:build linux

package proc

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// callTest is what the task of these tests is told to do.
type callTest struct {
	N    int
	Wait bool // until the context ends
	Loop bool // for ever
	Time time.Duration
}

var callTask = Register("callTest", func(ctx context.Context, in callTest) (int, error) {
	if in.Wait {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	for in.Loop {
		callLoops.Add(1)
	}
	time.Sleep(in.Time)
	return in.N, nil
})

var callLoops atomic.Int64

// callPool returns a pool whose workers have nothing to do and are ready to be led.
func callPool(t *testing.T, workers int, method Method) (context.Context, *Pool) {
	t.Helper()
	p, err := NewPool(workers, &PoolOptions{Process: &Options{Method: method}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Terminate() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	awaitParked(t, ctx, p, workers)
	return ctx, p
}

// awaitParked waits until the pool has that many workers with nothing to do, whose feeder sleeps and
// whose collector is parked. It makes calls so that new workers get there.
func awaitParked(t *testing.T, ctx context.Context, p *Pool, workers int) {
	t.Helper()
	for parked := -1; parked != workers; {
		if ctx.Err() != nil {
			t.Fatalf("%d of %d workers are parked", parked, workers)
		}
		for range workers {
			if _, err := callTask.Submit(ctx, p, callTest{Time: time.Millisecond}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := callTask.Apply(ctx, p, callTest{Time: 2 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // there is no event to wait for
		c := p.engine.(*crew)
		c.mu.Lock()
		parked = 0
		for _, w := range c.workers {
			if w.parked && w.idle && !w.led && w.quiet() {
				parked++
			}
		}
		c.mu.Unlock()
	}
}

// callDirectly makes a call as Apply does, and fails if no worker takes it at once. finish leads until
// the call has its result.
func callDirectly(t *testing.T, ctx context.Context, p *Pool, in callTest) (w *worker, finish func() (int, error)) {
	t.Helper()
	f, w, err := callTask.submit(ctx, p, "Apply", &in, nil, true)
	if err != nil || w == nil {
		t.Fatalf("no worker takes the call at once: %v", err)
	}
	return w, func() (int, error) {
		w.lead(f.Ready)
		return f.Wait(ctx)
	}
}

// A call of Apply goes to a worker that has nothing to do by itself. Other calls that the worker gets
// meanwhile are answered, while the caller leads and after it.
func TestPoolCallLeads(t *testing.T) {
	for _, method := range []Method{Spawn, InProcess} {
		ctx, p := callPool(t, 1, method)
		w, finish := callDirectly(t, ctx, p, callTest{N: 7, Time: 20 * time.Millisecond})
		if _, second, err := callTask.submit(ctx, p, "Apply", &callTest{}, nil, true); second != nil || err != nil {
			t.Errorf("%v: a second caller leads: %v, %v", method, second, err)
		}
		var others []*Future[int]
		for i := range 50 {
			f, err := callTask.Submit(ctx, p, callTest{N: i})
			if err != nil {
				t.Fatal(err)
			}
			others = append(others, f)
		}
		if n, err := finish(); n != 7 || err != nil {
			t.Errorf("%v: %d, %v", method, n, err)
		}
		for i, f := range others {
			if n, err := f.Wait(ctx); n != i || err != nil {
				t.Errorf("%v: call %d of another: %d, %v", method, i, n, err)
			}
		}
		awaitParked(t, ctx, p, 1)
		for i := range 200 {
			if n, err := callTask.Apply(ctx, p, callTest{N: i}); n != i || err != nil {
				t.Fatalf("%v: call %d: %d, %v", method, i, n, err)
			}
		}
		c := p.engine.(*crew)
		c.mu.Lock()
		if w.led || len(w.has.list) != 0 || c.stats.Submitted != c.stats.Done {
			t.Errorf("%v: led %t, %d batches, %+v", method, w.led, len(w.has.list), c.stats)
		}
		c.mu.Unlock()
	}
}

// A caller that leads notices the end of its worker and of its context, and a timeout.
func TestPoolCallFails(t *testing.T) {
	for _, method := range []Method{Spawn, InProcess} {
		ctx, p := callPool(t, 1, method)
		w, finish := callDirectly(t, ctx, p, callTest{Wait: true})
		w.kill()
		var lost *WorkerLostError
		if _, err := finish(); !errors.As(err, &lost) {
			t.Errorf("%v: killed worker: %v, want a WorkerLostError", method, err)
		}
		for _, in := range []callTest{{Wait: true}, {Loop: true}} {
			if in.Loop && method == InProcess {
				continue // a goroutine can't be killed
			}
			awaitParked(t, ctx, p, 1)
			stopped, stop := context.WithCancel(ctx)
			_, finish = callDirectly(t, stopped, p, in)
			time.AfterFunc(time.Millisecond, stop)
			if _, err := finish(); !errors.Is(err, context.Canceled) {
				t.Errorf("%v: ended context: %v, want Canceled", method, err)
			}
			if _, err := callTask.Apply(ctx, p, in, &CallOptions{Timeout: time.Millisecond}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v: timeout: %v, want DeadlineExceeded", method, err)
			}
		}
		awaitParked(t, ctx, p, 1)
		_, finish = callDirectly(t, ctx, p, callTest{Wait: true})
		time.AfterFunc(time.Millisecond, func() { p.Terminate() })
		if _, err := finish(); !errors.Is(err, ErrPoolClosed) {
			t.Errorf("%v: Terminate: %v, want ErrPoolClosed", method, err)
		}
	}
}

// The pool replaces a worker that ends while it has nothing to do and nobody receives from it.
func TestPoolIdleWorkerEnds(t *testing.T) {
	ctx, p := callPool(t, 2, Spawn)
	c := p.engine.(*crew)
	c.mu.Lock()
	w := c.workers[0]
	c.mu.Unlock()
	if err := syscall.Kill(w.call.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.fed: // its feeder ends when its collector has seen the end
	case <-ctx.Done():
		t.Fatal("the pool does not notice that the worker has ended")
	}
	awaitParked(t, ctx, p, 2)
	if s := p.Stats(); s.Started != 1 || s.Failed != 0 || s.Lost["signal 9 (killed)"] != 1 {
		t.Errorf("%+v", s)
	}
}
