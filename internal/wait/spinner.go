package wait

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A Spinner learns how long it pays to spin for one kind of event. Sleeping
// and being woken costs about lastBudget, so that spinning for longer can
// never pay; spinning pays at all only while answers come from another CPU.
//
// While answers come during the spin the budget follows their delay. When
// they don't, the spin was for nothing: the budget doubles, if the answer came
// soon after it, and ever more waits (up to maxSkip) go to sleep at once before
// the next try. On a single CPU no try ever succeeds, and the tries cost little.
//
// A Spinner is local to a process. Goroutines may share it: they then share
// what it learns, and what they lose by a race is a bit of that.
type Spinner struct {
	budget atomic.Int64  // ns to spin
	failed atomic.Uint32 // tries in a row that did not see the answer
	skip   atomic.Uint32 // waits to let pass before the next try
}

const (
	firstBudget = 4 * time.Microsecond
	lastBudget  = 50 * time.Microsecond
	maxSkip     = 1024
	pauses      = 32 // looks between two looks at the clock
)

// Glances returns how often a caller may look, with a pause before each look,
// before it calls Await: without what a wait costs to set up. The spin of Await
// comes after it.
func (r *Room) Glances(s *Spinner) int {
	if r.Policy() == Block || s.skip.Load() > 0 {
		return 0
	}
	return glances
}

const glances = 32

// spin calls look until it returns true or it no longer pays to spin, and
// returns what look returned last.
func (s *Spinner) spin(look func() bool) bool {
	if n := s.skip.Load(); n > 0 {
		s.skip.Store(n - 1)
		return false
	}
	budget := time.Duration(s.budget.Load())
	if budget == 0 {
		budget = firstBudget
	}
	begin := time.Now()
	for last := begin; ; {
		for range pauses {
			cpu.Pause()
			if look() {
				if now := time.Now(); now.Sub(last) < offCPU {
					s.saw(now.Sub(begin), budget)
				} else {
					s.missed(now.Sub(begin))
				}
				return true
			}
		}
		now := time.Now()
		if now.Sub(begin) >= budget {
			return false
		}
		last = now
	}
}

// offCPU is how long a few looks take at the least if the thread was not
// running meanwhile: then it was not the spinning that saw the answer, but the
// answer may have waited for the spinning to stop.
const offCPU = 10 * time.Microsecond

// saw notes that the answer came while spinning.
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

// missed notes that the spin did not see the answer, which came when the
// whole wait had taken d.
func (s *Spinner) missed(d time.Duration) {
	failed := s.failed.Load()
	if failed < 31 {
		failed++
		s.failed.Store(failed)
	}
	budget := max(time.Duration(s.budget.Load()), firstBudget)
	switch {
	case d > 4*lastBudget: // nobody is busy answering
		s.budget.Store(int64(max(budget/2, firstBudget)))
	case budget < lastBudget: // it came soon after: try a longer spin at once
		s.budget.Store(int64(min(2*budget, lastBudget)))
		return
	}
	s.skip.Store(min(uint32(1)<<min(failed, 16), maxSkip))
}

// spinOn calls look until it returns true, or stop does, giving the CPU away
// now and then.
func spinOn(look, stop func() bool) bool {
	for i := 1; ; i++ {
		cpu.Pause()
		if look() {
			return true
		}
		if i%1024 == 0 {
			runtime.Gosched() // the answer may have to come from this process
			sys.Yield()
			if stop() {
				return false
			}
		}
	}
}
