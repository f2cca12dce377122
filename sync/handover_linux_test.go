package sync_test

import (
	"context"
	"slices"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A receiver acquires a lock again and again, and records when it got it.
type receiver struct {
	Lock  *psync.Lock
	Cells *Cells // 0: rounds that may begin, 1: rounds that are over, 2: time of the acquisition
	Count int
}

var receive = proc.Register("receive", func(ctx context.Context, in receiver) (int, error) {
	for i := range in.Count {
		if err := in.Cells.Until(ctx, 0, uint32(i+1)); err != nil {
			return i, err
		}
		if err := in.Lock.Acquire(ctx); err != nil {
			return i, err
		}
		*in.Cells.Plain(2) = uint64(time.Now().UnixNano())
		if err := in.Lock.Release(); err != nil {
			return i, err
		}
		in.Cells.Add(1)
	}
	return in.Count, nil
})

// BenchmarkLockHandOver measures the time from a Release to the return of the Acquire of a process
// that sleeps in it. Half of a round trip by futexes is comparable.
func BenchmarkLockHandOver(b *testing.B) {
	seg := Anonymous(b, room)
	lock, c := newLock(b, seg), NewCells(b, seg, 3)
	p := Must(receive.New(receiver{lock, c, b.N}, nil))(b)
	WantNil(b, "Start", p.Start(context.Background()))
	b.Cleanup(func() { p.Kill(); p.Join(context.Background()) })
	var took []time.Duration
	for i := range b.N {
		WantNil(b, "Acquire", lock.Acquire(context.Background()))
		c.Add(0)
		AwaitAsleep(b, p.PID(), 1)
		begin := time.Now()
		WantNil(b, "Release", lock.Release())
		c.Await(b, 1, uint32(i+1))
		took = append(took, time.Unix(0, int64(*c.Plain(2))).Sub(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "median-ns")
	b.ReportMetric(float64(took[len(took)*95/100].Nanoseconds()), "p95-ns")
}
