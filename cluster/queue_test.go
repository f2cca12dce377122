package cluster_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/cluster"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestQueue puts and gets values of a type that must be encoded, one by one and many at once.
func TestQueue(t *testing.T) {
	ctx, c := Within(t), open(t, nil)
	q := newQueue[[]string](t, c, 100, nil)
	far := Closing(t, Must(cluster.OpenQueue[[]string](ctx, open(t, &cluster.Options{URL: c.URL()}), "q", nil))(t))
	Want(t, "Cap", far.Cap(), 100)
	WantError(t, "TryGet", Second(q.TryGet(ctx)), ring.ErrEmpty)
	for _, s := range []string{"a", "b", "c", "d"} {
		WantNil(t, "Put", q.Put(ctx, []string{s, s}))
	}
	Want(t, "Len", Must(far.Len(ctx))(t), 4)
	Want(t, "Get", strings.Join(Must(far.Get(ctx))(t), ""), "aa")
	Want(t, "TryGet", strings.Join(Must(far.TryGet(ctx))(t), ""), "bb")
	many := make([][]string, 5)
	Want(t, "GetMany", Must(far.GetMany(ctx, many))(t), 2)
	Want(t, "first of many", many[0][0], "c")
	Want(t, "second of many", many[1][0], "d")
	WantNil(t, "Join", far.Join(ctx))

	got := Async(func() error { return Second(far.Get(ctx)) })
	WantNil(t, "Put", q.Put(ctx, []string{"e"}))
	WantNil(t, "Get that waits", Await(t, got, "Get"))
}

// TestQueueFull puts into a full queue: TryPut fails, Put waits until a value is got.
func TestQueueFull(t *testing.T) {
	ctx := Within(t)
	q := newQueue[int](t, open(t, nil), 2, nil)
	WantNil(t, "Put", q.Put(ctx, 1))
	WantNil(t, "TryPut", q.TryPut(ctx, 2))
	WantError(t, "TryPut", q.TryPut(ctx, 3), ring.ErrFull)
	WantError(t, "Put", q.Put(Expired, 3), context.Canceled)
	put := Async(func() error { return q.Put(ctx, 3) })
	for want := 1; want <= 3; want++ {
		Want(t, "Get", Must(q.Get(ctx))(t), want)
	}
	WantNil(t, "Put that waits", Await(t, put, "Put"))
}

// TestQueueShutdown shuts a queue down while getters wait, and with a value under a lease, which
// comes back.
func TestQueueShutdown(t *testing.T) {
	ctx, c := Within(t), open(t, nil)
	q := newQueue[int](t, c, 10, nil)
	far := Closing(t, Must(cluster.OpenQueue[int](ctx, open(t, &cluster.Options{URL: c.URL()}), "q", nil))(t))
	WantNil(t, "Put", q.Put(ctx, 1))
	l := Must(q.Lease(ctx))(t)
	got := Async(func() (v int) {
		v, _ = far.Get(ctx)
		return v
	})
	WantNil(t, "Shutdown", q.Shutdown(ctx))
	WantNil(t, "Shutdown", far.Shutdown(ctx))
	WantError(t, "Put", q.Put(ctx, 2), ring.ErrShutdown)
	WantError(t, "Put", far.TryPut(ctx, 2), ring.ErrShutdown)
	WantError(t, "TryGet", Second(far.TryGet(ctx)), ring.ErrEmpty)
	WantNil(t, "Return", l.Return())
	Want(t, "Get of what came back", Await(t, got, "Get"), 1)
	WantError(t, "Get", Second(q.Get(ctx)), ring.ErrShutdown)
	WantError(t, "TryGet", Second(q.TryGet(ctx)), ring.ErrShutdown)
	for range far.All(ctx) {
		t.Error("All yields a value of an empty queue")
	}
	late := Closing(t, Must(cluster.OpenQueue[int](ctx, c, "q", nil))(t))
	WantError(t, "Put", late.Put(ctx, 2), ring.ErrShutdown)
}

// TestQueueJoin takes values through a joinable Queue: they are done only after TaskDone, and come
// back after Close.
func TestQueueJoin(t *testing.T) {
	ctx, c := Within(t), open(t, nil)
	q := newQueue(t, c, 10, &cluster.QueueOptions[int]{Joinable: true})
	for i := range 3 {
		WantNil(t, "Put", q.Put(ctx, i))
	}
	other := Must(cluster.OpenQueue(ctx, c, "q", &cluster.QueueOptions[int]{Joinable: true}))(t)
	Want(t, "Get", Must(other.Get(ctx))(t), 0)
	WantNil(t, "Close", other.Close())
	sum := 0
	for range 3 {
		sum += Must(q.Get(ctx))(t)
	}
	Want(t, "sum", sum, 3)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	WantError(t, "Join of what is not done", q.Join(short), context.DeadlineExceeded)
	for range 3 {
		WantNil(t, "TaskDone", q.TaskDone(ctx))
	}
	WantNil(t, "Join", q.Join(ctx))
	WantError(t, "TaskDone", q.TaskDone(ctx), ring.ErrTooManyDone)
}

// TestQueueLease ends leases in all ways, and keeps one for longer than it lasts without renewal.
func TestQueueLease(t *testing.T) {
	ctx := Within(t)
	q := newQueue(t, open(t, nil), 10, &cluster.QueueOptions[string]{Lease: time.Second})
	WantError(t, "TryLease", Second(q.TryLease(ctx)), ring.ErrEmpty)
	WantNil(t, "Put", q.Put(ctx, "a"))
	l := Must(q.Lease(ctx))(t)
	Want(t, "Value", l.Value(), "a")
	long, cancel := context.WithTimeout(ctx, 2500*time.Millisecond)
	defer cancel()
	WantError(t, "Get of a value whose lease is renewed", Second(q.Get(long)), context.DeadlineExceeded)
	WantNil(t, "Return", l.Return())
	WantError(t, "Return", l.Return(), ring.ErrLeaseEnded)
	l = Must(q.Lease(ctx))(t)
	WantNil(t, "Done", l.Done(ctx))
	WantError(t, "Done", l.Done(ctx), ring.ErrLeaseEnded)
	WantNil(t, "Join", q.Join(ctx))
}

// TestQueueErrors checks the errors of names, types, sizes and closed queues.
func TestQueueErrors(t *testing.T) {
	ctx, c := Within(t), open(t, &cluster.Options{MaxMessage: 64 << 10})
	q := newQueue[string](t, c, 10, nil)
	WantError(t, "NewQueue", Second(cluster.NewQueue[string](ctx, c, "q", 1, nil)), fs.ErrExist)
	WantError(t, "NewQueue with the same options", Second(cluster.NewQueue[string](ctx, c, "q", 10, nil)), fs.ErrExist)
	WantError(t, "OpenQueue", Second(cluster.OpenQueue[string](ctx, c, "none", nil)), fs.ErrNotExist)
	WantError(t, "OpenQueue", Second(cluster.OpenQueue[string](ctx, c, "a b", nil)), cluster.ErrName)
	WantError(t, "OpenQueue", Second(cluster.OpenQueue[int](ctx, c, "q", nil)), cluster.ErrVersion)
	WantError(t, "NewQueue", Second(cluster.NewQueue[chan int](ctx, c, "c", 1, nil)), shm.ErrType)
	WantError(t, "Put", q.Put(ctx, strings.Repeat("x", 70_000)), ring.ErrTooLarge)
	wait := Async(func() error { return Second(q.Get(ctx)) })
	other := Must(cluster.OpenQueue[string](ctx, c, "q", nil))(t)
	WantNil(t, "Delete", other.Delete(ctx))
	WantError(t, "Put", q.Put(ctx, "x"), fs.ErrNotExist)
	WantError(t, "Len", Second(q.Len(ctx)), fs.ErrNotExist)
	WantError(t, "Get of a queue that is deleted", Await(t, wait, "Get"), fs.ErrNotExist)
	q = newQueue[string](t, c, 10, nil)
	wait = Async(func() error { return Second(q.Get(ctx)) })
	WantNil(t, "Close", q.Close())
	WantNil(t, "Close", q.Close())
	WantError(t, "Get", Await(t, wait, "Get"), ring.ErrClosed)
	WantError(t, "Put", q.Put(ctx, "x"), ring.ErrClosed)
	WantError(t, "TryGet", Second(q.TryGet(ctx)), ring.ErrClosed)
	WantError(t, "Join", q.Join(ctx), ring.ErrClosed)
	WantNil(t, "Close", c.Close())
	WantError(t, "NewQueue", Second(cluster.NewQueue[string](ctx, c, "x", 1, nil)), ring.ErrClosed)
}

// A pair encodes itself as its sum, by a codec of the test.
type sumCodec struct{}

func (sumCodec) Append(dst []byte, v *[2]byte) ([]byte, error) { return append(dst, v[0]+v[1]), nil }
func (sumCodec) Decode(src []byte, v *[2]byte) error {
	if src[0] == 13 {
		return errors.New("unlucky")
	}
	v[0] = src[0]
	return nil
}

// TestQueueCodec gives a queue a codec. A value that it can't decode is gone.
func TestQueueCodec(t *testing.T) {
	ctx := Within(t)
	q := newQueue(t, open(t, nil), 10, &cluster.QueueOptions[[2]byte]{Codec: sumCodec{}})
	WantNil(t, "Put", q.Put(ctx, [2]byte{6, 7}))
	WantNil(t, "Put", q.Put(ctx, [2]byte{1, 2}))
	if _, err := q.Get(ctx); err == nil || !strings.Contains(err.Error(), "unlucky") {
		t.Errorf("Get: %v", err)
	}
	Want(t, "Get", Must(q.Get(ctx))(t), [2]byte{3, 0})
	WantNil(t, "Join", q.Join(ctx))
}

// A visit is the argument of a process that takes values from a queue.
type visit struct {
	URL string
	N   int
}

var takeLeases = proc.Register("takeLeases", func(ctx context.Context, v visit) (int, error) {
	c, err := cluster.Open(ctx, &cluster.Options{URL: v.URL})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	q, err := cluster.OpenQueue[int](ctx, c, "q", nil)
	if err != nil {
		return 0, err
	}
	for range v.N {
		if _, err := q.Lease(ctx); err != nil {
			return 0, err
		}
	}
	os.Stdout.WriteString("taken\n")
	<-ctx.Done()
	return 0, ctx.Err()
})

// TestQueueHolderDies kills a process that holds values under leases: all come back, once each.
func TestQueueHolderDies(t *testing.T) {
	if !hasProcesses {
		t.Skip("the test starts processes")
	}
	ctx, c := Within(t), open(t, nil)
	q := newQueue(t, c, 100, &cluster.QueueOptions[int]{Lease: time.Second})
	for i := range 20 {
		WantNil(t, "Put", q.Put(ctx, i))
	}
	lines := make(chan string, 10)
	p := Must(takeLeases.Start(ctx, visit{c.URL(), 10}, &proc.Options{Stdout: lineWriter(lines)}))(t)
	Await(t, lines, "the process that takes leases")
	WantNil(t, "Kill", p.Kill())
	if err := p.Join(ctx); err == nil {
		t.Error("the process ended by itself")
	}
	killed := time.Now()
	seen := make(map[int]int)
	for range 20 {
		seen[Must(q.Get(ctx))(t)]++
	}
	t.Logf("all values were got %v after the death", time.Since(killed).Round(time.Millisecond))
	Want(t, "distinct values", len(seen), 20)
	WantNil(t, "Join", q.Join(ctx))
}

type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

// A serverAt is the argument of a process that has a server.
type serverAt struct{ Listen, Dir string }

var runServer = proc.Register("runServer", func(ctx context.Context, s serverAt) (proc.None, error) {
	c, err := cluster.Open(ctx, &cluster.Options{Listen: s.Listen, Dir: s.Dir, Token: "t"})
	if err != nil {
		return proc.None{}, err
	}
	defer c.Close()
	os.Stdout.WriteString("up\n")
	<-ctx.Done()
	return proc.None{}, nil
})

// TestQueueServerDies kills the server, which keeps its messages in files, and starts it again, while
// one goroutine puts and another gets. Nothing is lost, and nothing is got twice but the value that
// was being got at that moment.
func TestQueueServerDies(t *testing.T) {
	if !hasProcesses {
		t.Skip("the test starts processes")
	}
	const n = 300
	ctx := Within(t)
	listener := Must(net.Listen("tcp", "127.0.0.1:0"))(t)
	at := serverAt{listener.Addr().String(), t.TempDir()}
	WantNil(t, "Close", listener.Close())
	lines := make(chan string, 10)
	start := func() *proc.Call[proc.None] {
		p := Must(runServer.Start(ctx, at, &proc.Options{Stdout: lineWriter(lines)}))(t)
		Await(t, lines, "the start of the server")
		return p
	}
	kill := func(p *proc.Call[proc.None]) {
		WantNil(t, "Kill", p.Kill())
		if err := p.Join(ctx); err == nil {
			t.Error("the server ended by itself")
		}
	}
	server := start()
	client := open(t, &cluster.Options{URL: "nats://t@" + at.Listen})
	q := newQueue(t, client, 50, &cluster.QueueOptions[int]{Lease: time.Second})
	put := Async(func() error {
		for i := range n {
			if err := q.Put(ctx, i); err != nil {
				return err
			}
		}
		return q.Shutdown(ctx)
	})
	seen := make(map[int]int)
	var killed time.Time
	for v, err := range q.All(ctx) {
		WantNil(t, "Get", err)
		if !killed.IsZero() {
			t.Logf("the next value was got %v after the death of the server", time.Since(killed).Round(time.Millisecond))
			killed = time.Time{}
		}
		seen[v]++
		if len(seen) == n/3 && seen[v] == 1 {
			killed = time.Now()
			kill(server)
			server = start()
		}
	}
	WantNil(t, "Put", Await(t, put, "the goroutine that puts"))
	kill(server)
	twice := 0
	for i := range n {
		if seen[i] == 0 {
			t.Errorf("value %d was lost", i)
		}
		twice += max(0, seen[i]-1)
	}
	if twice > 1 {
		t.Errorf("%d values were got twice, but only one was being got when the server died", twice)
	}
}
