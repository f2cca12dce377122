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
			waits(1 << (mostFailed + 1))
			if yields > 2*mostFailed*mostYields {
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

// As long as answers come soon each wait yields. After one that came late or not at all, only some
// waits do not. It takes several answers that come soon before a later failure counts as the first.
func TestYielderGoesOn(t *testing.T) {
	const waits = 1000
	var y yielder
	paid := 0
	for range waits {
		left := 3
		if y.yield(func() bool { left--; return left == 0 }) {
			paid++
		}
	}
	if paid < waits/2 { // another program may take the CPU meanwhile
		t.Errorf("%d of %d waits ended between yields", paid, waits)
	}
	y = yielder{}
	never, soon := func() bool { return false }, func() bool { return true }
	skipped := func() (n int) {
		for y.skip.Load() > 0 {
			y.yield(soon)
			n++
		}
		return n
	}
	y.yield(never)
	if n := skipped(); n != 2 {
		t.Errorf("%d waits do not yield after one that failed, want 2", n)
	}
	y.yield(never)
	if n := skipped(); n != 4 {
		t.Errorf("%d waits do not yield after the second, want 4", n)
	}
	for range 2 * paysBack {
		y.paid()
	}
	y.yield(never)
	if n := skipped(); n != 2 {
		t.Errorf("%d waits do not yield after both were made up for, want 2", n)
	}
}
