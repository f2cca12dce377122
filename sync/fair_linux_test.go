package sync_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// hammering is how long TestLockFairness runs.
var hammering = flag.Duration("fair", time.Second, "how long to hammer a lock")

// A hammerer acquires and releases a lock as fast as it can, for some time.
type hammerer struct {
	Lock *psync.Lock
	For  time.Duration
	Hold time.Duration
}

// waitTimes are the times that a hammerer waited.
type waitTimes struct {
	Acquired uint64
	Longest  time.Duration
	Slow     [7]uint64 // waits of at least 1, 2, 4 ... ms
}

var hammer = proc.Register("hammer", func(ctx context.Context, in hammerer) (waitTimes, error) {
	var w waitTimes
	begin := time.Now()
	for now := begin; now.Sub(begin) < in.For; {
		if err := in.Lock.Acquire(ctx); err != nil {
			return w, err
		}
		got := time.Now()
		for time.Since(got) < in.Hold {
		}
		if err := in.Lock.Release(); err != nil {
			return w, err
		}
		waited := got.Sub(now)
		w.Acquired++
		w.Longest = max(w.Longest, waited)
		if ms := waited.Milliseconds(); ms > 0 {
			w.Slow[min(int(math.Log2(float64(ms))), len(w.Slow)-1)]++
		}
		now = time.Now()
	}
	return w, nil
})

// No process starves. Four processes acquire a lock as fast as they can, and each gets it again and
// again. That is so even if they hold it nearly all the time, so that a waiter that a Release wakes
// is too late to take it.
func TestLockFairness(t *testing.T) {
	for _, hold := range []time.Duration{0, 200 * time.Microsecond} {
		t.Run(fmt.Sprintf("held_for_%v", hold), func(t *testing.T) { testFairness(t, hold) })
	}
}

func testFairness(t *testing.T, hold time.Duration) {
	const hammerers = 4
	lock := newLock(t, Anonymous(t, room))
	ctx, cancel := context.WithTimeout(context.Background(), Patience+2**hammering)
	defer cancel()
	var children []*proc.Call[waitTimes]
	for range hammerers {
		p := Must(hammer.New(hammerer{lock, *hammering, hold}, nil))(t)
		WantNil(t, "Start", p.Start(ctx))
		t.Cleanup(func() { p.Kill(); p.Join(context.Background()) })
		children = append(children, p)
	}
	for i, p := range children {
		w, err := p.Result(ctx)
		WantNil(t, fmt.Sprintf("hammerer %d", i), err)
		t.Logf("hammerer %d: %d times, longest wait %v, waits of 1, 2, 4 ... ms %v", i, w.Acquired, w.Longest, w.Slow)
		if w.Longest > *hammering/2 {
			t.Errorf("hammerer %d waited %v of %v", i, w.Longest, *hammering)
		}
	}
}
