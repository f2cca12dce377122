package wait

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOneOfMany wakes one of many goroutines that wait at one word, and waits until all of
// them wait again. It reports the CPU time of that.
func BenchmarkOneOfMany(b *testing.B) {
	for _, kind := range kinds {
		for _, n := range []int{1, 10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/waiters=%d", kind.name, n), func(b *testing.B) {
				r, tokens := newRoom(b, new(atomic.Uint32), 0), new(basket)
				took, ended := make(chan struct{}), make(chan struct{})
				for range n {
					go func() {
						for r.take(context.Background(), kind.taker(tokens)) == nil {
							took <- struct{}{}
						}
						ended <- struct{}{}
					}()
				}
				r.lot.asleep(b, n)
				begin := cpuTime(b)
				for b.Loop() {
					tokens.put(1)
					<-took
					r.lot.asleep(b, n)
				}
				b.ReportMetric(float64(cpuTime(b)-begin)/float64(b.N), "cpu-ns/op")
				tokens.shut()
				for range n {
					<-ended
				}
			})
		}
	}
}
