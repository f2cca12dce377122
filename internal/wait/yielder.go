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
// did not pay. It takes paysBack waits that paid to make up for one that did not.
//
// Nor does it pay if only the waiter and who answers share a CPU, and another CPU is idle: the system leaves
// two threads together that yield to each other all the time, and moves one that sleeps. So an answer that is
// there after a single short turn of another thread counts as one that did not pay.
//
// A yielder is local to a process. Goroutines may share it, as a Spinner.
type yielder struct {
	debt atomic.Uint32 // a wait that did not pay adds paysBack, one that paid takes 1 away
	skip atomic.Uint32 // waits that do not yield before the next one that does
}

const (
	mostYields = 16                     // of one wait
	late       = 200 * time.Microsecond // the longest time of all yields of a wait that pays
	switched   = time.Microsecond       // a yield that takes as long let another thread run
	brief      = 4 * time.Microsecond   // a yield that takes as long let more than one short turn pass
	paysBack   = 8
)

// yield yields the CPU and calls try, again and again, until try returns true, and then returns true.
// It returns false when yielding no longer pays.
func (y *yielder) yield(try func() bool) (done bool) {
	if !isDue(&y.skip) {
		return false
	}
	// With one P the answer may have to come from another goroutine. With more, another thread runs
	// that one, and each Gosched would wake a thread that finds nothing to do.
	oneP := runtime.GOMAXPROCS(0) == 1
	begin := now()
	for i, last := 1, begin; ; i++ {
		if oneP {
			runtime.Gosched()
		}
		sys.Yield()
		done = try()
		end := now()
		if done || i == mostYields || end-begin > late {
			if done && pays(end-begin, end-last, manyCPUs && !oneP) {
				y.paid()
			} else {
				y.missed()
			}
			return done
		}
		last = end
	}
}

// manyCPUs says that this process could use several CPUs when it began.
var manyCPUs = runtime.NumCPU() > 1

// pays reports whether it pays to yield for an answer that is there after yields that took all, the last of
// them as long as last. apart says that the waiter and who answers could each have a CPU.
func pays(all, last time.Duration, apart bool) bool {
	pair := last >= switched && last < brief
	return all <= late && !(apart && pair)
}

// paid records that the answer came soon.
func (y *yielder) paid() {
	if n := y.debt.Load(); n > 0 {
		y.debt.Store(n - 1)
	}
}

// missed records that it did not. Several goroutines that have waited for the same count once.
func (y *yielder) missed() {
	if y.skip.Load() > 0 {
		return
	}
	n := min(y.debt.Load()+paysBack, skipBits*paysBack)
	y.debt.Store(n)
	y.skip.Store(1 << (n / paysBack))
}
