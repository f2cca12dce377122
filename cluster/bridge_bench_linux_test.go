package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/seed-2e7ecdea/mp/cluster"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
)

// A taker is what a worker process of BenchmarkBridge takes values from: one of the three.
type taker struct {
	Local *cluster.Local[int]
	URL   string // of the queue "q"
	Ring  *ring.Queue[int]
}

// takeAll takes values under leases and ends these at once, until there are no more.
var takeAll = proc.Register("take all", func(ctx context.Context, from taker) (int, error) {
	n := 0
	switch {
	case from.Local != nil:
		defer from.Local.Close()
		err := work(ctx, from.Local, func(int) { n++ })
		return n, err
	case from.Ring != nil:
		for {
			l, err := from.Ring.Lease(ctx)
			if err != nil {
				return n, unlessShutdown(err)
			}
			n++
			if err := l.Done(); err != nil {
				return n, err
			}
		}
	}
	c, err := cluster.Open(ctx, &cluster.Options{URL: from.URL})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	q, err := cluster.OpenQueue[int](ctx, c, "q", nil)
	if err != nil {
		return 0, err
	}
	defer q.Close()
	for {
		l, err := q.Lease(ctx)
		if err != nil {
			return n, unlessShutdown(err)
		}
		n++
		if err := l.Done(ctx); err != nil {
			return n, err
		}
	}
})

// unlessShutdown returns err, or nil if it is ErrShutdown.
func unlessShutdown(err error) error {
	if errors.Is(err, ring.ErrShutdown) {
		return nil
	}
	return err
}

// BenchmarkBridge measures how fast 1 to 8 worker processes take b.N values that are there, each under a
// lease of its own: through a bridge, from the server without one, and from a ring.Queue without a
// server. The start of the processes counts: use -benchtime 20000x or more.
func BenchmarkBridge(b *testing.B) {
	if !hasProcesses {
		b.Skip("the benchmark starts processes")
	}
	for _, workers := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprintf("bridge/workers=%d", workers), func(b *testing.B) {
			q := filled(b)
			bridge := newBridge(b, q, nil)
			takeBy(b, workers, taker{Local: bridge.Local()})
			WantNil(b, "Wait", bridge.Wait(context.Background()))
		})
		b.Run(fmt.Sprintf("direct/workers=%d", workers), func(b *testing.B) {
			c := open(b, nil)
			fill(b, newQueue[int](b, c, b.N, nil))
			takeBy(b, workers, taker{URL: c.URL()})
		})
		b.Run(fmt.Sprintf("ring/workers=%d", workers), func(b *testing.B) {
			q := Closing(b, Must(ring.NewQueue[int](Anonymous(b, 1<<20+256*b.N), "", b.N, nil))(b))
			for i := range b.N {
				WantNil(b, "Put", q.Put(context.Background(), i))
			}
			WantNil(b, "Shutdown", q.Shutdown())
			takeBy(b, workers, taker{Ring: q})
		})
	}
}

// filled returns a queue with b.N values that is shut down.
func filled(b *testing.B) *cluster.Queue[int] {
	q := newQueue[int](b, open(b, nil), b.N, nil)
	fill(b, q)
	return q
}

// fill puts b.N values by several goroutines, and shuts q down.
func fill(b *testing.B, q *cluster.Queue[int]) {
	ctx := context.Background()
	var putters sync.WaitGroup
	for i := range 16 {
		putters.Go(func() {
			for v := i; v < b.N; v += 16 {
				if err := q.Put(ctx, v); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	putters.Wait()
	WantNil(b, "Shutdown", q.Shutdown(ctx))
}

// takeBy has worker processes take all values, and measures that.
func takeBy(b *testing.B, workers int, from taker) {
	ctx := context.Background()
	b.ResetTimer()
	var calls []*proc.Call[int]
	for range workers {
		calls = append(calls, Must(takeAll.Start(ctx, from, nil))(b))
	}
	n := 0
	for _, call := range calls {
		n += Must(call.Result(ctx))(b)
	}
	b.StopTimer()
	Want(b, "values", n, b.N)
}
