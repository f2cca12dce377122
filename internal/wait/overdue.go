package wait

import (
	"sync/atomic"
	"time"
)

// Grace is how long a party may take for a step that one which runs takes within
// microseconds, before others conclude that it is stopped and go on without it.
//
// On a busy machine it may have to wait for a CPU for some scheduler ticks: with 5 ms
// here the longest waits of TestLockFairness of package sync were several times as
// long.
const Grace = 50 * time.Millisecond

// An Overdue is how long a process has seen something stand still. The zero Overdue
// has seen nothing. Goroutines may share it; what they lose by a race is some of the
// other's time.
type Overdue struct {
	state atomic.Uint64 // 0: nothing
	since atomic.Int64  // when it was seen first, in nanoseconds after start
}

var start = time.Now()

// Since reports whether this process has seen the state, which is not 0, and no
// other for as long as Grace.
func (o *Overdue) Since(state uint64) bool {
	now := int64(time.Since(start))
	if o.state.Load() != state {
		o.since.Store(now)
		o.state.Store(state)
		return false
	}
	return now-o.since.Load() >= int64(Grace)
}

// Clear says that nothing stands still.
func (o *Overdue) Clear() {
	if o.state.Load() != 0 {
		o.state.Store(0)
	}
}
