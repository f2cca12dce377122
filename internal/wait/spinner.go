package wait

import (
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
)

// A Spinner learns how long it pays to spin for one kind of event. To sleep and be woken costs
// about lastBudget, so a longer spin never pays. Spinning pays at all only while answers come from
// another CPU.
//
// While answers come during the spin, the budget follows their delay. If an answer does not, the
// spin was for nothing. If it came soon after the spin, the budget doubles at once. Otherwise a
// growing number of waits (up to maxSkip) sleep without a spin before one spins again. On a single
// CPU no spin ever succeeds, and the few that are made cost little.
//
// A Spinner is local to a process. Goroutines may share it, and what it learns. A race between them
// loses a little of that.
type Spinner struct {
	budget atomic.Int64  // nanoseconds to spin
	failed atomic.Uint32 // spins in a row that did not see the answer
	skip   atomic.Uint32 // waits that do not spin before the next spin

	yielder yielder

	counters *Counters // of the object for which its waiters wait; nil: none
	spins    atomic.Uint64
	spinning atomic.Uint64 // nanoseconds; like spins not added to counters yet
}

// Count makes waits with s count in c. It is called before the first wait.
func (s *Spinner) Count(c *Counters) { s.counters = c }

// Counters returns where waits with s count, nil if they do not.
func (s *Spinner) Counters() *Counters { return s.counters }

// awake spins if that has lately paid, and otherwise yields the CPU if that has. It returns done if a
// try has succeeded. If not, and if it has spun, the caller calls missed when the wait is over. The
// wait begins at begin. crowded says whether the room is.
func (s *Spinner) awake(begin time.Duration, crowded bool, try func() bool) (done, spun bool) {
	if isDue(&s.skip) {
		return s.spin(begin, try), true
	}
	if !s.yielder.yield(crowded, try) {
		return false, false
	}
	s.ended(Now() - begin)
	return true, false
}

// ended counts a wait that ended without a sleep, after d.
func (s *Spinner) ended(d time.Duration) {
	if s.counters == nil {
		return
	}
	s.spinning.Add(uint64(d))
	if s.spins.Add(1) >= countEvery {
		s.flush()
	}
}

// flush adds what s has counted by itself to the counters.
func (s *Spinner) flush() {
	if n := s.spins.Swap(0); n > 0 {
		s.counters.spinning.Add(s.spinning.Swap(0))
		s.counters.spins.Add(n)
	}
}

const (
	firstBudget = 4 * time.Microsecond
	lastBudget  = 50 * time.Microsecond
	skipBits    = 10
	maxSkip     = 1 << skipBits
	pauses      = 32 // tries between two readings of the clock
)

// Glances returns how often a caller may try, with a pause before each try, before it calls Await.
// These tries avoid what it costs to set up a wait. Await spins after them.
func (r *Room) Glances(s *Spinner) int {
	if r.Policy() == Block || s.skip.Load() > 0 {
		return 0
	}
	return glances
}

const glances = 32

// isDue reports whether a wait that begins now is to spin, or to yield. If not, it is one of the skip waits
// that do not, and is counted.
func isDue(skip *atomic.Uint32) bool {
	n := skip.Load()
	if n > 0 {
		skip.Store(n - 1)
	}
	return n == 0
}

// spin calls try until that returns true, and then returns true. It returns false when spinning no
// longer pays. The wait has begun at begin.
func (s *Spinner) spin(begin time.Duration, try func() bool) bool {
	budget := time.Duration(s.budget.Load())
	if budget == 0 {
		budget = firstBudget
	}
	for last := begin; ; {
		for range pauses {
			cpu.Pause()
			if try() {
				end := Now()
				s.ended(end - begin)
				if end-last < offCPU {
					s.saw(end-begin, budget)
				} else {
					s.missed(end - begin)
				}
				return true
			}
		}
		if last = Now(); last-begin >= budget {
			return false
		}
	}
}

// offCPU is the least time that up to pauses tries take if the thread was off the CPU meanwhile.
// Then the spin did not see the answer: the answer may have waited for the spin to stop.
const offCPU = 10 * time.Microsecond

// saw records that the answer came during the spin.
func (s *Spinner) saw(after, budget time.Duration) {
	if s.failed.Load() != 0 {
		s.failed.Store(0)
	}
	if want := min(max(4*after, firstBudget), lastBudget); want > budget {
		s.budget.Store(int64(want))
	} else if want < budget/2 {
		s.budget.Store(int64(budget - budget/8))
	}
}

// missed records that the answer did not come during the spin, and that the whole wait took d.
func (s *Spinner) missed(d time.Duration) {
	failed := s.failed.Load()
	if failed < 31 {
		failed++
		s.failed.Store(failed)
	}
	budget := max(time.Duration(s.budget.Load()), firstBudget)
	switch {
	case d > 4*lastBudget: // the peer is not about to answer
		s.budget.Store(int64(max(budget/2, firstBudget)))
	case budget < lastBudget: // the answer came soon after: spin longer at once
		s.budget.Store(int64(min(2*budget, lastBudget)))
		return
	}
	s.skip.Store(1 << min(failed, skipBits))
}
