package wait

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A yielder learns whether it pays to yield the CPU before a sleep. In a room with more processes than
// CPUs, the one that is to answer may be waiting for this very CPU. Then a yield lets it run, and the
// answer is there when this thread's turn comes again. That costs a switch of the CPU; a sleep costs
// the wake of the sleeper, too.
//
// It does not pay if the answer takes longer, or if the CPU comes back late: after a yield the system
// may let a thread of another program run for milliseconds, while a sleeper would get the CPU as soon
// as it is woken. So a growing number of waits, up to maxSkip, sleep without a yield after one that
// did not pay. It takes paysBack waits that paid to make up for one that did not.
//
// With no more processes than CPUs, each could have one. Then nobody yields: the system leaves two threads
// together that yield one CPU to each other all the time, and moves one that sleeps.
//
// A yielder is local to a process. Goroutines may share it, as a Spinner.
type yielder struct {
	debt atomic.Uint32 // a wait that did not pay adds paysBack, one that paid takes 1 away
	skip atomic.Uint32 // waits that do not yield before the next one that does
}

const (
	mostYields = 16                     // of one wait
	late       = 200 * time.Microsecond // the longest time of all yields of a wait that pays
	paysBack   = 8
)

// yield yields the CPU, if the room is crowded, and calls try, again and again, until try returns true, and then
// returns true. It returns false when yielding no longer pays. In a process with one P it yields to other
// goroutines, too: one of them may have to answer. With more, another thread runs that one, and each
// Gosched would wake a thread that finds nothing to do.
func (y *yielder) yield(crowded bool, try func() bool) (done bool) {
	oneP := runtime.GOMAXPROCS(0) == 1
	if !crowded && !oneP || !isDue(&y.skip) {
		return false
	}
	begin := Now()
	for range mostYields {
		if oneP {
			runtime.Gosched()
		}
		if crowded {
			sys.Yield()
		}
		done = try()
		if Now()-begin > late {
			break
		}
		if done {
			y.paid()
			return true
		}
	}
	y.missed()
	return done
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
