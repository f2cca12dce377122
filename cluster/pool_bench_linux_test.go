package cluster_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
)

// nap takes some time and no CPU, so that it shows what more machines bring where there are few CPUs. With 0 it does
// nothing.
var nap = proc.Register("nap", func(ctx context.Context, d time.Duration) (proc.None, error) {
	if d == 0 {
		return proc.None{}, nil
	}
	select {
	case <-ctx.Done():
		return proc.None{}, ctx.Err()
	case <-time.After(d): // stands for work
		return proc.None{}, nil
	}
})

// BenchmarkPool maps over 1 to 8 processes that serve, with one worker each: calls that do nothing, and
// calls that take 2 ms.
func BenchmarkPool(b *testing.B) {
	for _, each := range []time.Duration{0, 2 * time.Millisecond} {
		for _, machines := range []int{1, 2, 4, 8} {
			b.Run(fmt.Sprintf("each=%v/machines=%d", each, machines), func(b *testing.B) {
				ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
				defer cancel()
				c := open(b, nil)
				p := newPool(b, c, nil)
				for i := range machines {
					startMachine(b, c, fmt.Sprint("machine-", i), 1)
				}
				Eventually(b, "all machines", func() bool { return p.Workers() == machines })
				calls := func(n int) {
					input := func(yield func(time.Duration) bool) {
						for i := 0; i < n && yield(each); i++ {
						}
					}
					for _, err := range nap.Map(ctx, p, input) {
						WantNil(b, "Map", err)
					}
				}
				calls(100 * machines) // so that the chunks have their size
				b.ResetTimer()
				calls(b.N)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			})
		}
	}
}

// hash computes a hash of a hash, so many times: work for the CPU.
func hash(_ context.Context, rounds int) (int, error) {
	sum := sha256.Sum256(nil)
	for range rounds {
		sum = sha256.Sum256(sum[:])
	}
	return int(sum[0]), nil
}

var hashes = proc.Register("hashes", hash)

// BenchmarkPoolPlain maps over one process that serves with one worker, and has one process do the same with nats.go
// alone, with the same batches and acknowledgements, in rounds that alternate. The metric "of-plain" is the speed of
// the Pool as a fraction of that of nats.go: the median of the rounds. The calls are one a message, one after the other
// or many at once, or as many a message as the pool puts there. In some the machine has no worker process, so that they
// show what that costs.
func BenchmarkPoolPlain(b *testing.B) {
	const busy = 400 // hashes of a call that keeps the CPU busy
	for _, test := range []struct {
		name                 string
		calls, chunk, rounds int
		inProcess            bool
	}{
		{"alone", 1, 1, 0, false},
		{"alone, in process", 1, 1, 0, true},
		{"one a message", 300, 1, 0, false},
		{"one a message, busy", 300, 1, busy, false},
		{"100 a message, busy", 10_000, 100, busy, false},
		{"4096 a message", 40_960, 4096, 0, false},
		{"4096 a message, in process", 40_960, 4096, 0, true},
	} {
		b.Run(test.name, func(b *testing.B) {
			ctx, c := b.Context(), open(b, nil)
			plain, p := newPlainPool(b, c), newPool(b, c, nil)
			start(b, machine{URL: c.URL(), Name: "machine", Workers: 1, InProcess: test.inProcess})
			Eventually(b, "the machine", func() bool { return p.Workers() == 1 })
			input := func(yield func(int) bool) {
				for i := 0; i < test.calls && yield(test.rounds); i++ {
				}
			}
			ours := func() {
				if test.calls == 1 {
					Must(hashes.Apply(ctx, p, test.rounds))(b)
					return
				}
				for _, err := range hashes.Map(ctx, p, input, &proc.MapOptions{Chunk: test.chunk}) {
					WantNil(b, "Map", err)
				}
			}
			theirs := func() { plain.run(b, test.calls, test.chunk, test.rounds) }
			took := func(f func()) time.Duration {
				begin := time.Now()
				f()
				return time.Since(begin)
			}
			ours()
			theirs()
			var ratios []float64
			var times [2][]time.Duration
			for i := 0; b.Loop(); i++ {
				var mine, other time.Duration
				if i%2 == 0 {
					mine, other = took(ours), took(theirs)
				} else {
					other, mine = took(theirs), took(ours)
				}
				ratios = append(ratios, float64(other)/float64(mine))
				times[0], times[1] = append(times[0], mine), append(times[1], other)
			}
			b.ReportMetric(Median(ratios), "of-plain")
			b.ReportMetric(float64(Median(times[0]).Nanoseconds())/1000/float64(test.calls), "µs/call")
			b.ReportMetric(float64(Median(times[1]).Nanoseconds())/1000/float64(test.calls), "plain-µs/call")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkPoolApply makes one call after the other.
func BenchmarkPoolApply(b *testing.B) {
	ctx, c := b.Context(), open(b, nil)
	p := newPool(b, c, nil)
	startMachine(b, c, "machine", 1)
	for b.Loop() {
		if _, err := square.Apply(ctx, p, 3); err != nil {
			b.Fatal(err)
		}
	}
}
