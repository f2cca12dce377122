package wait

import (
	"sync/atomic"
	"time"
)

// Grace is the time that a party has for a step that a running party takes within microseconds.
// After it the others conclude that the party is stopped, and go on without it.
//
// On a busy machine a party may have to wait for a CPU for several scheduler ticks. With 5 ms here
// the longest waits of TestLockFairness of package sync were several times as long.
const Grace = 50 * time.Millisecond

// An Overdue measures for how long this process has seen a state of shared memory unchanged. The
// zero Overdue has seen nothing. Goroutines may share it. If they race, one of them may lose a part
// of the time that another one has measured.
type Overdue struct {
	state atomic.Uint64 // 0 if nothing was seen
	since atomic.Int64  // when state was first seen, in nanoseconds after start
}

var start = time.Now()

// Now returns the time since the program started. It reads one clock, and time.Now two.
func Now() time.Duration { return time.Since(start) }

// Since reports whether this process has seen the state, which is not 0, and no other one for at
// least Grace.
func (o *Overdue) Since(state uint64) bool {
	t := int64(Now())
	if o.state.Load() != state {
		o.since.Store(t)
		o.state.Store(state)
		return false
	}
	return t-o.since.Load() >= int64(Grace)
}

// Clear forgets the state.
func (o *Overdue) Clear() {
	if o.state.Load() != 0 {
		o.state.Store(0)
	}
}
