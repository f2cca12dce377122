package proc_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// benchPool returns a pool that has run a few calls.
func benchPool(b *testing.B, workers int, o *proc.PoolOptions) *proc.Pool {
	b.Helper()
	p := newPool(b, workers, o)
	mapAll(b, p, 2000, nil)
	return p
}

// mapAll maps n trivial calls.
func mapAll(b testing.TB, p *proc.Pool, n int, o *proc.MapOptions) {
	b.Helper()
	i := 0
	for y, err := range poolSquare.Map(context.Background(), p, seq(n), o) {
		if err != nil || y != i*i {
			b.Fatalf("call %d: %d, %v", i, y, err)
		}
		i++
	}
	if i != n {
		b.Fatalf("%d results of %d calls", i, n)
	}
}

const benchCalls = 100_000

// BenchmarkPoolMap maps 100,000 trivial calls on two workers.
func BenchmarkPoolMap(b *testing.B) {
	for _, chunk := range []int{0, 1, 32, 256} {
		b.Run(fmt.Sprintf("chunk=%d", chunk), func(b *testing.B) {
			p := benchPool(b, 2, nil)
			for b.Loop() {
				mapAll(b, p, benchCalls, &proc.MapOptions{Chunk: chunk})
			}
			b.ReportMetric(float64(b.N)*benchCalls/b.Elapsed().Seconds(), "calls/s")
		})
	}
}

// BenchmarkPoolApply makes one call after the other.
func BenchmarkPoolApply(b *testing.B) {
	p := benchPool(b, 2, nil)
	for b.Loop() {
		if _, err := poolSquare.Apply(context.Background(), p, 3); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPoolSleep maps calls of 1 ms on two workers. The metric ideal is the share of the time that
// two workers could have taken at best.
func BenchmarkPoolSleep(b *testing.B) {
	const calls = 1000
	p := benchPool(b, 2, nil)
	for b.Loop() {
		n := 0
		for _, err := range poolSpin.Map(context.Background(), p, func(yield func(time.Duration) bool) {
			for i := 0; i < calls && yield(time.Millisecond); i++ {
			}
		}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
	}
	ideal := time.Duration(b.N) * calls * time.Millisecond / 2
	b.ReportMetric(ideal.Seconds()/b.Elapsed().Seconds(), "ideal")
}

// poolSpin waits for that long by the clock, as exactly as it can, without using a processor but at
// the end.
var poolSpin = proc.Register("poolSpin", func(_ context.Context, d time.Duration) (proc.None, error) {
	poolSpinFor(d)
	return proc.None{}, nil
})

func poolSpinFor(d time.Duration) {
	end := time.Now().Add(d)
	sleep := syscall.NsecToTimespec(int64(d - d/4))
	_ = syscall.Nanosleep(&sleep, nil) // a signal may end it early; time.Sleep is too coarse
	for time.Now().Before(end) {
	}
}

// poolLen returns the length of an array.
var poolLen = proc.Register("poolLen", func(_ context.Context, a *array.Array[byte]) (int, error) { return a.Len(), nil })

// BenchmarkPoolHandle calls a task with an array of 100 MiB, which travels as its handle.
func BenchmarkPoolHandle(b *testing.B) {
	const size = 100 << 20
	seg, err := shm.Anonymous(size+1<<20, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer seg.Close()
	a, err := array.New[byte](seg, "", size, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	p := benchPool(b, 2, nil)
	for b.Loop() {
		if n, err := poolLen.Apply(context.Background(), p, a); n != size || err != nil {
			b.Fatal(n, err)
		}
	}
}

// rawQueues is the argument of rawWorker.
type rawQueues struct{ In, Out *ring.Queue[int64] }

// rawWorker squares what it gets from one queue into another.
var rawWorker = proc.Register("rawWorker", func(ctx context.Context, q rawQueues) (proc.None, error) {
	for {
		x, err := q.In.Get(ctx)
		if err != nil {
			return proc.None{}, err
		}
		if err := q.Out.Put(ctx, x*x); err != nil {
			return proc.None{}, err
		}
	}
})

// BenchmarkRawQueues moves as many numbers as BenchmarkPoolMap through two queues and two processes.
func BenchmarkRawQueues(b *testing.B) {
	seg, err := shm.Anonymous(1<<20, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer seg.Close()
	var q rawQueues
	for _, to := range []**ring.Queue[int64]{&q.In, &q.Out} {
		if *to, err = ring.NewQueue[int64](seg, "", 1024, nil); err != nil {
			b.Fatal(err)
		}
		defer (*to).Close()
	}
	ctx := context.Background()
	for range 2 {
		c, err := rawWorker.Start(ctx, q, nil)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Join(ctx)
		defer c.Kill()
	}
	for b.Loop() {
		go func() {
			for i := range int64(benchCalls) {
				_ = q.In.Put(ctx, i)
			}
		}()
		for range benchCalls {
			if _, err := q.Out.Get(ctx); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*benchCalls/b.Elapsed().Seconds(), "calls/s")
}

// pythonPool maps trivial calls by multiprocessing's pool and prints calls a second for each chunk
// size.
const pythonPool = `
import multiprocessing as mp, sys, time

def square(x):
    return x * x

if __name__ == "__main__":
    with mp.get_context("fork").Pool(2) as p:
        for chunk, n in (("0", 100000), ("1", 20000), ("32", 100000), ("256", 100000)):
            size = None if chunk == "0" else int(chunk)
            p.map(square, range(1000), size)
            begin = time.perf_counter()
            p.map(square, range(n), size)
            print(chunk, n / (time.perf_counter() - begin))
`

// BenchmarkPythonPool is BenchmarkPoolMap for multiprocessing. chunk=0 is the default of each.
func BenchmarkPythonPool(b *testing.B) {
	for b.Loop() {
		for chunk, rate := range pythonFigures(b, pythonPool) {
			b.ReportMetric(rate, "calls/s:chunk="+chunk)
		}
	}
}
