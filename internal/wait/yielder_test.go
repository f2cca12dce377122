package wait

import (
	"runtime"
	"testing"
	"time"
)

// busyFor keeps the CPU for so long.
func busyFor(d time.Duration) {
	for begin := Now(); Now()-begin < d; {
	}
}

// If answers never come soon, ever fewer waits yield, and then one in maxSkip.
func TestYielderGivesUp(t *testing.T) {
	for name, answer := range map[string]func() bool{
		"never": func() bool { return false },
		"late":  func() bool { busyFor(2 * late); return true },
	} {
		t.Run(name, func(t *testing.T) {
			var y yielder
			yields := 0
			waits := func(n int) {
				for range n {
					before := yields
					y.yield(true, func() bool { yields++; return answer() })
					if got := yields - before; got > mostYields {
						t.Fatalf("a wait yields %d times", got)
					}
				}
			}
			waits(2 * maxSkip)
			if yields > 2*skipBits*mostYields {
				t.Errorf("%d yields at first", yields)
			}
			yields = 0
			waits(10 * (maxSkip + 1))
			if yields < 10 || yields > 10*mostYields {
				t.Errorf("%d yields in 10 times %d waits", yields, maxSkip+1)
			}
		})
	}
}

// A waiter yields if its room has more processes than CPUs, or its process has one P: to other goroutines.
func TestYielderInCrowd(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, c := range []struct {
		parties, procs int
		want           bool
	}{{0, 2, false}, {cpus, 2, false}, {cpus + 1, 2, true}, {0, 1, true}, {cpus + 1, 1, true}} {
		runtime.GOMAXPROCS(c.procs)
		r := Room{Parties: func() int { return c.parties }}
		var y yielder
		if got := y.yield(r.crowded(), func() bool { return true }); got != c.want {
			t.Errorf("%d processes, %d P: the wait has ended between yields: %v", c.parties, c.procs, got)
		}
	}
	if new(Room).crowded() {
		t.Error("a room that knows no processes is crowded")
	}
}

// After a wait that did not pay, some waits do not yield. It takes several that paid before a later failure counts
// as the first.
func TestYielderPaysBack(t *testing.T) {
	var y yielder
	never := func() bool { return false }
	for _, want := range []int{2, 4, 2} {
		if y.yield(true, never) {
			t.Error("yield reports an answer")
		}
		y.missed() // of another goroutine, which waited for the same
		n := 0
		for y.skip.Load() > 0 {
			y.yield(true, never)
			n++
		}
		if n != want {
			t.Errorf("%d waits do not yield after one that failed, want %d", n, want)
		}
		if want == 4 {
			for range 2 * paysBack {
				y.paid()
			}
		}
	}
}
