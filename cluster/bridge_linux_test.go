package cluster_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/cluster"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
)

// A shift is what a worker process does: it prints each value that it has dealt with. If Hold is true,
// it prints the first value that it has taken, and keeps it.
type shift struct {
	Local *cluster.Local[int]
	Hold  bool
}

var workShift = proc.Register("work shift", func(ctx context.Context, s shift) (int, error) {
	defer s.Local.Close()
	if s.Hold {
		l, err := s.Local.Lease(ctx)
		if err != nil {
			return 0, err
		}
		fmt.Println(l.Value())
		<-ctx.Done()
		return 0, ctx.Err()
	}
	n := 0
	err := work(ctx, s.Local, func(int) { n++ })
	return n, err
})

// TestBridgeWorkerDies kills a worker process that holds a value: another one gets it without a new
// delivery by the server. A worker that is stopped keeps its value for longer than the server's lease.
func TestBridgeWorkerDies(t *testing.T) {
	const n = 100
	ctx, c := Within(t), open(t, nil)
	q := newQueue(t, c, n, &cluster.QueueOptions[int]{Lease: time.Second})
	b := newBridge(t, q, nil)
	WantNil(t, "Put", q.Put(ctx, 0))
	lines := make(chan string, 10)
	hold := func() *proc.Call[int] {
		p := Must(workShift.Start(ctx, shift{b.Local(), true}, &proc.Options{Stdout: lineWriter(lines)}))(t)
		Want(t, "the value of the worker", Await(t, lines, "a worker"), "0\n")
		return p
	}
	victim := hold()
	Kill(t, victim)
	killed := time.Now()
	stopped := hold()
	t.Logf("the next worker, with its start, had the value %v after the death", time.Since(killed).Round(time.Millisecond))
	Stop(t, stopped)
	WantNil(t, "Put", putAll(ctx, q, n-1))
	WantNil(t, "Shutdown", q.Shutdown(ctx))
	worker := Must(workShift.Start(ctx, shift{b.Local(), false}, nil))(t)
	Eventually(t, "all values but one are done", func() bool { return Must(q.Len(ctx))(t) == 1 })
	short, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
	defer cancel()
	WantError(t, "Get of the value that the stopped worker has", Second(q.Get(short)), context.DeadlineExceeded)
	Kill(t, stopped)
	Want(t, "values of the last worker", Result(t, worker), n)
	WantNil(t, "Wait", b.Wait(ctx))
}

// runBridge has a bridge for the queue "q" until it is killed, and prints its Local.
var runBridge = proc.Register("run bridge", func(ctx context.Context, url string) (proc.None, error) {
	c, err := cluster.Open(ctx, &cluster.Options{URL: url})
	if err != nil {
		return proc.None{}, err
	}
	defer c.Close()
	q, err := cluster.OpenQueue[int](ctx, c, "q", nil)
	if err != nil {
		return proc.None{}, err
	}
	defer q.Close()
	b, err := cluster.NewBridge(q, nil)
	if err != nil {
		return proc.None{}, err
	}
	defer b.Close()
	text, err := b.Local().MarshalText()
	if err != nil {
		return proc.None{}, err
	}
	os.Stdout.WriteString(string(text) + "\n")
	return proc.None{}, b.Wait(ctx)
})

// TestBridgeDies kills the process of a bridge. Workers that wait, and a worker that has a value, learn of
// it. The values come back to the queue, and the next bridge passes them.
func TestBridgeDies(t *testing.T) {
	const n = 20
	ctx, c := Within(t), open(t, nil)
	q := newQueue(t, c, n, &cluster.QueueOptions[int]{Lease: time.Second})
	lines := make(chan string, 10)
	p := Must(runBridge.Start(ctx, c.URL(), &proc.Options{Stdout: lineWriter(lines)}))(t)
	var local cluster.Local[int]
	WantNil(t, "UnmarshalText", local.UnmarshalText([]byte(strings.TrimSpace(Await(t, lines, "the bridge")))))
	Closing(t, &local)
	seen := newTally()
	WantNil(t, "Put", putAll(ctx, q, n/2))
	for range n / 2 {
		l := Must(local.Lease(ctx))(t)
		seen.add(l.Value())
		WantNil(t, "Done", l.Done(ctx))
	}
	Eventually(t, "the server has noted what is done", func() bool { return Must(q.Len(ctx))(t) == 0 })
	WantNil(t, "Put", q.Put(ctx, n/2))
	held := Must(local.Lease(ctx))(t)
	wait := Async(func() error { return Second(local.Lease(ctx)) })
	Kill(t, p)
	killed := time.Now()
	WantError(t, "Lease of a worker that waits", Await(t, wait, "a worker that waits"), cluster.ErrBridgeDied)
	t.Logf("the worker that waits learned of the death after %v", time.Since(killed).Round(time.Millisecond))
	WantError(t, "Done", held.Done(ctx), cluster.ErrBridgeDied)
	WantError(t, "Lease", Second(local.Lease(ctx)), cluster.ErrBridgeDied)
	for i := n/2 + 1; i < n; i++ {
		WantNil(t, "Put", q.Put(ctx, i))
	}
	WantNil(t, "Shutdown", q.Shutdown(ctx))
	next := newBridge(t, q, nil)
	WantNil(t, "worker of the next bridge", work(ctx, next.Local(), seen.add))
	t.Logf("all values were done %v after the death", time.Since(killed).Round(time.Millisecond))
	Want(t, "values seen again", seen.check(t, n), 0)
	WantError(t, "Lease of a Local that is not open", Second(new(cluster.Local[int]).Lease(ctx)), ring.ErrClosed)
}
