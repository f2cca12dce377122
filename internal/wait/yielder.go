package wait

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A yielder learns whether it pays to yield the CPU before a sleep. If there are more processes than
// CPUs, the one that is to answer may be waiting for this very CPU. Then a yield lets it run, and the
// answer is there when this thread's turn comes again. That costs a switch of the CPU; a sleep costs
// the wake of the sleeper, too.
//
// It does not pay if the answer takes longer, or if the CPU comes back late: after a yield the system
// may let a thread of another program run for milliseconds, while a sleeper would get the CPU as soon
// as it is woken. So a growing number of waits, up to maxSkip, sleep without a yield after one that
// did not pay. It takes paysBack waits that paid to make up for one.
//
// A yielder is local to a process. Goroutines may share it, as a Spinner.
type yielder struct {
	failed atomic.Uint32 // waits that did not pay, times paysBack, less those that paid
	skip   atomic.Uint32 // waits that do not yield before the next one that does
}

const (
	mostYields = 16                     // of one wait
	late       = 200 * time.Microsecond // the longest time of all yields of a wait that pays
	paysBack   = 8
	mostFailed = 10 // 1<<mostFailed is maxSkip
)

var _ = [1]int{}[maxSkip-1<<mostFailed]

// yield yields the CPU and calls try, again and again, until try returns true, and then returns true.
// It returns false when yielding no longer pays.
func (y *yielder) yield(try func() bool) bool {
	if n := y.skip.Load(); n > 0 {
		y.skip.Store(n - 1)
		return false
	}
	begin := now()
	for range mostYields {
		runtime.Gosched() // it may have to come from this process
		sys.Yield()
		done, inTime := try(), now()-begin <= late
		switch {
		case done && inTime:
			y.paid()
		case done || !inTime:
			y.missed()
		}
		if done || !inTime {
			return done
		}
	}
	y.missed()
	return false
}

// paid records that the answer came soon.
func (y *yielder) paid() {
	if n := y.failed.Load(); n > 0 {
		y.failed.Store(n - 1)
	}
}

// missed records that it did not.
func (y *yielder) missed() {
	n := min(y.failed.Load()+paysBack, mostFailed*paysBack)
	y.failed.Store(n)
	y.skip.Store(1 << (n / paysBack))
}
