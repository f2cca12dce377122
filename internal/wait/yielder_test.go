package wait

import (
	"testing"
	"time"
)

// busyFor keeps the CPU for so long.
func busyFor(d time.Duration) {
	for begin := now(); now()-begin < d; {
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
					y.yield(func() bool { yields++; return answer() })
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

// An answer pays that is there soon, unless only the two share a CPU and could each have one.
func TestYielderPays(t *testing.T) {
	for _, c := range []struct {
		all, last time.Duration
		apart     bool
		want      bool
	}{
		{switched / 2, switched / 2, true, true}, // nobody else ran
		{switched, switched, true, false},
		{late, brief - 1, true, false},
		{brief, brief, true, true},
		{late, late, true, true},
		{late + 1, brief, true, false},
		{switched, switched, false, true},
		{late + 1, switched, false, false},
	} {
		if got := pays(c.all, c.last, c.apart); got != c.want {
			t.Errorf("pays(%v, %v, %v) = %v", c.all, c.last, c.apart, got)
		}
	}
}

// After a wait that did not pay, some waits do not yield. It takes several that paid before a later failure counts
// as the first.
func TestYielderPaysBack(t *testing.T) {
	var y yielder
	never := func() bool { return false }
	for _, want := range []int{2, 4, 2} {
		if y.yield(never) {
			t.Error("yield reports an answer")
		}
		y.missed() // of another goroutine, which waited for the same
		n := 0
		for y.skip.Load() > 0 {
			y.yield(never)
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
