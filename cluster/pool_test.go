package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/seed-2e7ecdea/mp/cluster"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/value"
)

// Tasks of the tests. Those that need worker processes of their own are in serve_linux_test.go.
var (
	square  = proc.Register("square", func(_ context.Context, x int) (int, error) { return x * x, nil })
	failing = proc.Register("failing", func(_ context.Context, x int) (int, error) {
		if x%2 == 1 {
			return 0, io.ErrUnexpectedEOF
		}
		return x, nil
	})
	panicking = proc.Register("panicking", func(_ context.Context, x int) (int, error) { panic("boom") })
	repeat    = proc.Register("repeat", func(_ context.Context, n int) ([]byte, error) { return bytes.Repeat([]byte{7}, n), nil })
	length    = proc.Register("length", func(_ context.Context, b []byte) (int, error) { return len(b), nil })
	waiting   = proc.Register("waiting", func(ctx context.Context, _ int) (int, error) {
		select {
		case begun <- struct{}{}:
		default: // nobody waits for it
		}
		<-ctx.Done()
		return 0, ctx.Err()
	})
	giveValue = proc.Register("give value", func(_ context.Context, _ int) (*value.Int64, error) { return value.NewInt64(nil, "", 1, nil) })
	takeValue = proc.Register("take value", func(_ context.Context, v *value.Int64) (int64, error) { return v.Load(), nil })
)

// begun gets a value when waiting has begun in this process.
var begun = make(chan struct{})

// runs counts how often lasting has begun in this process.
var runs atomic.Int64

var lasting = proc.Register("lasting", func(ctx context.Context, d time.Duration) (int64, error) {
	runs.Add(1)
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(d): // stands for work
		return runs.Load(), nil
	}
})

// second has a value when call 1 of swapped has run.
var second = make(chan struct{}, 1)

// swapped answers call 0 after call 1.
var swapped = proc.Register("swapped", func(ctx context.Context, x int) (int, error) {
	if x == 1 {
		second <- struct{}{}
		return x, nil
	}
	select {
	case <-second:
		return x, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
})

// inProcess are options for workers that are goroutines.
func inProcess(workers int) *cluster.ServeOptions {
	return &cluster.ServeOptions{Workers: workers, Name: "here", Pool: &proc.PoolOptions{Process: &proc.Options{Method: proc.InProcess}}}
}

// serve serves the pool "p" until the test ends, on a connection of its own.
func serve(t testing.TB, c *cluster.Cluster, o *cluster.ServeOptions) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	far := open(t, &cluster.Options{URL: c.URL()})
	served := Async(func() error { return cluster.Serve(ctx, far, "p", o) })
	t.Cleanup(func() {
		cancel()
		WantNil(t, "Serve", Await(t, served, "Serve"))
	})
}

// newPool makes the pool "p". It is terminated after the test.
func newPool(t testing.TB, c *cluster.Cluster, o *cluster.PoolOptions) *cluster.Pool {
	t.Helper()
	p := Must(cluster.NewPool(Within(t), c, "p", o))(t)
	t.Cleanup(func() { p.Terminate() })
	return p
}

// numbers yields 0 to n-1.
func numbers(n int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// TestPoolMap maps over two machines, in order and not.
func TestPoolMap(t *testing.T) {
	ctx, c := Within(t), open(t, nil)
	p := newPool(t, c, nil)
	serve(t, c, inProcess(2))
	serve(t, c, inProcess(1))
	n := 10_000
	if testing.Short() {
		n = 1_000
	}
	next, done := 0, 0
	for got, err := range square.Map(ctx, p, numbers(n), &proc.MapOptions{Progress: func(d, _ int) { done = d }}) {
		WantNil(t, "Map", err)
		if got != next*next {
			t.Fatalf("result %d is %d", next, got)
		}
		next++
	}
	Want(t, "results", next, n)
	Want(t, "progress", done, n)
	seen := make([]bool, n)
	for got, err := range square.MapUnordered(ctx, p, numbers(n)) {
		WantNil(t, "MapUnordered", err)
		i := int(isqrt(got))
		if seen[i] {
			t.Fatalf("result %d came twice", i)
		}
		seen[i] = true
	}
	Want(t, "a result is missing", slices.Contains(seen, false), false)
	Eventually(t, "workers of both machines", func() bool { return p.Workers() == 3 })
	WantNil(t, "Close", p.Close())
	s := p.Stats()
	Want(t, "submitted", s.Submitted, 2*n)
	Want(t, "done", s.Done, 2*n)
	WantError(t, "Submit", Second(square.Submit(ctx, p, 1)), proc.ErrPoolClosed)
}

func isqrt(n int) (r int) {
	for r = 0; (r+1)*(r+1) <= n; r++ {
	}
	return r
}

// TestPoolErrors makes calls that fail, each in another way.
func TestPoolErrors(t *testing.T) {
	ctx, c := Within(t), open(t, nil)
	p := newPool(t, c, nil)
	serve(t, c, inProcess(1))

	var remote *proc.RemoteError
	_, err := failing.Apply(ctx, p, 1)
	WantError(t, "failing", err, io.ErrUnexpectedEOF)
	if !errors.As(err, &remote) || remote.Message != "unexpected EOF" || !strings.Contains(remote.Process, " on here") {
		t.Errorf("failing: %#v", err)
	}
	var panicked *proc.PanicError
	if _, err := panicking.Apply(ctx, p, 1); !errors.As(err, &panicked) || panicked.Value != "boom" {
		t.Errorf("panicking: %v", err)
	}
	WantError(t, "timeout", Second(waiting.Apply(ctx, p, 1, &proc.CallOptions{Timeout: 10 * time.Millisecond})), context.DeadlineExceeded)
	WantError(t, "key", Second(square.Apply(ctx, p, 1, &proc.CallOptions{Key: "k"})), errors.ErrUnsupported)
	WantError(t, "Resize", p.Resize(2), errors.ErrUnsupported)
	WantError(t, "unknown task", Second(proc.ForeignTask[int, int]("nowhere").Apply(ctx, p, 1)), proc.ErrUnknownTask)
	WantError(t, "other types", Second(proc.ForeignTask[string, int]("square").Apply(ctx, p, "x")), cluster.ErrVersion)
	if hasProcesses {
		v := Closing(t, Must(value.NewInt64(nil, "", 3, nil))(t))
		if _, err := takeValue.Apply(ctx, p, v); err == nil || !strings.Contains(err.Error(), "another machine") {
			t.Errorf("an object in the argument: %v", err)
		}
		if _, err := giveValue.Apply(ctx, p, 1); err == nil || !strings.Contains(err.Error(), "another machine") {
			t.Errorf("an object in the result: %v", err)
		}
	}
	Want(t, "after all that", Must(square.Apply(ctx, p, 5))(t), 25)
}

// TestPoolLarge sends arguments and results that are larger than a message may be.
func TestPoolLarge(t *testing.T) {
	ctx := Within(t)
	c := open(t, &cluster.Options{MaxMessage: 64 << 10})
	p := newPool(t, c, nil)
	serve(t, c, inProcess(1))
	const n = 5 << 20
	Want(t, "length of a large argument", Must(length.Apply(ctx, p, make([]byte, n)))(t), n)
	if b := Must(repeat.Apply(ctx, p, n))(t); len(b) != n || b[0] != 7 || b[n-1] != 7 {
		t.Errorf("a large result has %d bytes", len(b))
	}
}

// TestPoolSlowNetwork sends an argument and a result that the caller's network needs 6 s for.
func TestPoolSlowNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("the test takes some ten seconds")
	}
	ctx := Within(t)
	server := open(t, &cluster.Options{MaxMessage: 64 << 10})
	const size, rate = 1536 << 10, 256 << 10
	p := newPool(t, open(t, &cluster.Options{URL: newLink(t, server, rate).url}), nil)
	serve(t, server, inProcess(1))
	begin := time.Now()
	received := Must(repeat.Submit(ctx, p, size))(t)
	sent := Must(length.Submit(ctx, p, make([]byte, size)))(t)
	Want(t, "length of a large argument", Must(sent.Wait(ctx))(t), size)
	Want(t, "length of a large result", len(Must(received.Wait(ctx))(t)), size)
	if took := time.Since(begin); took < 6*time.Second {
		t.Errorf("the transfers took only %v: that is no test of their patience", took)
	}
}

// TestPoolStops stops calls by their context, before and while they run.
func TestPoolStops(t *testing.T) {
	ctx, c := Within(t), open(t, nil)
	p := newPool(t, c, nil)
	early, cancel := context.WithCancel(ctx)
	queued := Must(square.Submit(early, p, 1))(t) // nobody serves yet
	cancel()
	WantError(t, "queued call", Second(queued.Wait(ctx)), context.Canceled)

	serve(t, c, inProcess(1))
	running, cancel := context.WithCancel(ctx)
	call := Must(waiting.Submit(running, p, 1))(t)
	Await(t, begun, "the begin of the call")
	cancel()
	WantError(t, "running call", Second(call.Wait(ctx)), context.Canceled)
	Want(t, "the only worker is free again", Must(square.Apply(ctx, p, 6))(t), 36)

	for range square.Map(ctx, p, numbers(1_000_000)) {
		break
	}
	Want(t, "after a Map that was left", Must(square.Apply(ctx, p, 7))(t), 49)

	last := Must(waiting.Submit(ctx, p, 1))(t)
	WantNil(t, "Terminate", p.Terminate())
	WantError(t, "a call of a pool that was terminated", Second(last.Wait(ctx)), proc.ErrPoolClosed)
}

// TestPoolLeaseChanges makes the lease of a pool shorter while a machine serves it: the machine renews its
// calls more often then, so that no call runs twice.
func TestPoolLeaseChanges(t *testing.T) {
	ctx, c := Within(t), open(t, nil)
	p := newPool(t, c, &cluster.PoolOptions{Lease: time.Minute})
	for range 4 { // a call that comes back goes to another one, as a rule
		serve(t, c, inProcess(1))
	}
	Eventually(t, "all machines", func() bool { return p.Workers() == 4 })
	runs.Store(0)
	newPool(t, c, &cluster.PoolOptions{Lease: time.Second})
	call := Must(lasting.Submit(ctx, p, 2500*time.Millisecond))(t)
	Want(t, "runs of a call of 2.5 s", Must(call.Wait(ctx))(t), 1)
}

// TestPoolDropsObjects looks whether large messages of calls that are answered, stopped or given up stay at
// the server.
func TestPoolDropsObjects(t *testing.T) {
	ctx := Within(t)
	c := open(t, &cluster.Options{MaxMessage: 64 << 10})
	p := newPool(t, c, nil)
	large := make([]byte, 1<<20)
	stopped, cancel := context.WithCancel(ctx)
	call := Must(length.Submit(stopped, p, large))(t) // nobody serves yet
	Eventually(t, "the call is stored", func() bool { return p.Stats().Running == 1 })
	cancel()
	WantError(t, "call that was stopped", Second(call.Wait(ctx)), context.Canceled)
	serve(t, c, inProcess(1))
	Want(t, "length", Must(length.Apply(ctx, p, large))(t), len(large))
	Want(t, "length of a result", len(Must(repeat.Apply(ctx, p, len(large)))(t)), len(large))
	WantNil(t, "Close", p.Close())
	Want(t, "objects left", Must(cluster.Objects(ctx, c, "p"))(t), 0)
}

// TestPoolKeepsNamedObjects stores a large message again, as after an answer that was lost: its object stays. One of
// the same id under another name is dropped, as is one whose message is gone.
func TestPoolKeepsNamedObjects(t *testing.T) {
	ctx, c := Within(t), open(t, &cluster.Options{MaxMessage: 64 << 10})
	newPool(t, c, nil)
	drop := func(object string, sequence uint64, left int) {
		t.Helper()
		WantNil(t, "DropUnlessNamed", cluster.DropUnlessNamed(ctx, c, "p", object, sequence))
		Want(t, "objects after "+object, Must(cluster.Objects(ctx, c, "p"))(t), left)
	}
	large := make([]byte, 128<<10)
	first := Must(cluster.StoreLarge(ctx, c, "p", "id", "a", large))(t)
	Want(t, "message of the same id", Must(cluster.StoreLarge(ctx, c, "p", "id", "a", large))(t), first)
	drop("a", first, 1)
	Want(t, "message of the same id", Must(cluster.StoreLarge(ctx, c, "p", "id", "b", large))(t), first)
	drop("b", first, 1)
	conn := Must(nats.Connect(c.URL()))(t)
	defer conn.Close()
	stream := Must(Must(jetstream.New(conn))(t).Stream(ctx, "mp_pool_p"))(t)
	WantNil(t, "DeleteMsg", stream.DeleteMsg(ctx, first))
	drop("a", first, 0)
}

// TestPoolServerRestarts maps while the server, which keeps its messages in files, is restarted.
func TestPoolServerRestarts(t *testing.T) {
	testRestart(t, &cluster.Options{Dir: t.TempDir(), Listen: freeAddress(t), Token: "secret"}, false)
}

// TestPoolServerForgets maps while the server is restarted and has lost its messages.
func TestPoolServerForgets(t *testing.T) {
	testRestart(t, &cluster.Options{Listen: freeAddress(t), Token: "secret"}, true)
}

func testRestart(t *testing.T, o *cluster.Options, forgets bool) {
	ctx := Within(t)
	server := Must(cluster.Open(ctx, o))(t)
	url := server.URL()
	c := open(t, &cluster.Options{URL: url, Memory: forgets})
	p := newPool(t, c, &cluster.PoolOptions{Lease: time.Second})
	serve(t, c, inProcess(2))
	n := 2_000
	restarted := make(chan *cluster.Cluster, 1)
	next := 0
	for got, err := range square.Map(ctx, p, numbers(n), &proc.MapOptions{Chunk: 10}) {
		WantNil(t, "Map", err)
		if got != next*next {
			t.Fatalf("result %d is %d", next, got)
		}
		if next++; next == n/4 {
			go func() {
				server.Close()
				s, err := cluster.Open(ctx, o)
				if err != nil {
					t.Errorf("restart: %v", err)
				}
				restarted <- s
			}()
		}
	}
	Want(t, "results", next, n)
	if s := Await(t, restarted, "the restart"); s != nil {
		WantNil(t, "Close", s.Close())
	}
}

// freeAddress returns an address of this machine on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l := Must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer l.Close()
	return l.Addr().String()
}

// wantNoMessages waits until the server has no message of the pool "p".
func wantNoMessages(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	ctx := Within(t)
	Eventually(t, "no message of the pool is left", func() bool { return Must(cluster.Messages(ctx, c, "p"))(t) == 0 })
}

// TestServeCountsMachines has the server deliver a call often, but to no machine: it runs.
func TestServeCountsMachines(t *testing.T) {
	for _, machines := range []int{1, 2} {
		t.Run(fmt.Sprint("machines=", machines), func(t *testing.T) {
			ctx, c := Within(t), open(t, nil)
			p := newPool(t, c, &cluster.PoolOptions{Machines: machines})
			call := Must(square.Submit(ctx, p, 3))(t)
			conn := Must(nats.Connect(c.URL()))(t)
			defer conn.Close()
			consumer := Must(Must(jetstream.New(conn))(t).Consumer(ctx, "mp_pool_p", "workers"))(t)
			for range 20 {
				WantNil(t, "Nak", Must(consumer.Next())(t).Nak())
			}
			serve(t, c, inProcess(1))
			Want(t, "square", Must(call.Wait(ctx))(t), 9)
			wantNoMessages(t, c)
		})
	}
}

// TestServeCutOff terminates a pool while the machine that runs its only call is cut off. The machine ends the
// call when it is back, though nobody tells it.
func TestServeCutOff(t *testing.T) {
	ctx, c := Within(t), open(t, nil)
	p := newPool(t, c, nil)
	l := newLink(t, c, 0)
	serving, cancel := context.WithCancel(context.Background())
	defer cancel()
	far := open(t, &cluster.Options{URL: l.url})
	served := Async(func() error { return cluster.Serve(serving, far, "p", inProcess(1)) })
	call := Must(waiting.Submit(ctx, p, 1))(t)
	Await(t, begun, "the begin of the call")
	l.cut()
	WantNil(t, "Terminate", p.Terminate())
	WantError(t, "the call", Second(call.Wait(ctx)), proc.ErrPoolClosed)
	WantNil(t, "Join", p.Join(ctx))
	l.mend()
	next := newPool(t, c, nil)
	Want(t, "the only worker is free again", Must(square.Apply(ctx, next, 6))(t), 36)
	cancel()
	WantNil(t, "Serve", Await(t, served, "Serve"))
}

// TestServeClosed closes the connection of a machine that serves.
func TestServeClosed(t *testing.T) {
	ctx := Within(t)
	c := open(t, nil)
	p := newPool(t, c, nil)
	far := open(t, &cluster.Options{URL: c.URL()})
	served := Async(func() error { return cluster.Serve(ctx, far, "p", inProcess(1)) })
	Want(t, "square", Must(square.Apply(ctx, p, 3))(t), 9)
	WantNil(t, "Close", far.Close())
	WantError(t, "Serve", Await(t, served, "Serve"), ring.ErrClosed)
}

// A machine whose workers run one call each splits a batch. The answers may come in any order.
func TestServeSplitsBatches(t *testing.T) {
	c := open(t, nil)
	o := inProcess(2)
	o.Pool.MaxTasks = 1
	serve(t, c, o)
	p := newPool(t, c, nil)
	var got []int
	for y, err := range swapped.Map(Within(t), p, slices.Values([]int{0, 1}), &proc.MapOptions{Chunk: 2}) {
		WantNil(t, "Map", err)
		got = append(got, y)
	}
	Want(t, "results in order", fmt.Sprint(got), "[0 1]")
}
