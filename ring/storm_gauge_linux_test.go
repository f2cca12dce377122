package ring_test

import (
	"sync"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

const (
	// stormStandstill is the longest that all processes may wait for a dead one.
	stormStandstill = 100 * time.Millisecond
	// stormLook is how often a gauge looks, and the longest that the time between two looks counts: if
	// the gauge has no CPU it does not know what was in between.
	stormLook = 2 * time.Millisecond
)

// A stormGauge measures how long the processes of a storm wait.
//
// There is a standstill while no process puts or gets a message, and none is running, ready to run
// or stopped, and each side has a process that has begun. Then all of them sleep, and what they wait
// for is a dead process, or a wake that was lost. What the scheduler takes does not count, since a
// process that waits for a CPU is ready to run.
//
// A delay is from a kill until another process has put or got two messages, so that it has begun
// and completed one. It includes what the scheduler takes, and that others may be faster to take the
// messages or the slots that become free.
type stormGauge struct {
	book stormBook
	done chan struct{} // closed: the watcher has to end
	over chan struct{} // closed: it has

	mu         sync.Mutex
	pids       [stormSeats]int // 0: killed or stopped
	stopped    bool            // a process is
	delays     [stormSeats]stormDelay
	moved      [stormSeats]uint32 // messages of each process at the last look
	looked     time.Time          // when that was
	still      time.Duration      // how long there has been a standstill
	standstill time.Duration      // the longest one
	delay      time.Duration      // the longest one
	closed     bool
}

// A stormDelay is what was when the delay of a process began. If it has none, since is zero.
type stormDelay struct {
	since time.Time
	moved uint32
}

func newStormGauge(book stormBook) *stormGauge {
	g := &stormGauge{book: book, done: make(chan struct{}), over: make(chan struct{}), looked: time.Now()}
	go g.watch()
	return g
}

// started notes that there is a process in a seat, which may have been stopped before.
func (g *stormGauge) started(seat, pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.look()
	g.pids[seat], g.stopped = pid, false
}

// dies notes that the process in a seat is about to be killed. It waits for nobody any more.
func (g *stormGauge) dies(seat int) { g.leaves(seat, false) }

// stops notes that the process in a seat is about to be stopped.
func (g *stormGauge) stops(seat int) { g.leaves(seat, true) }

func (g *stormGauge) leaves(seat int, stops bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.look()
	g.pids[seat], g.delays[seat], g.stopped = 0, stormDelay{}, stops
}

// death begins the delays by a process that was killed at that time and has ended.
func (g *stormGauge) death(at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.look()
	for i, pid := range g.pids {
		if pid != 0 && g.moved[i] > 0 && g.delays[i].since.IsZero() {
			g.delays[i] = stormDelay{at, g.moved[i]}
		}
	}
}

// watch looks again and again.
func (g *stormGauge) watch() {
	defer close(g.over)
	ticks := time.NewTicker(stormLook)
	defer ticks.Stop()
	for {
		select {
		case <-g.done:
			return
		case <-ticks.C:
		}
		g.mu.Lock()
		g.look()
		g.mu.Unlock()
	}
}

// look measures what has been since the last call.
func (g *stormGauge) look() {
	before := g.moved
	for i := range g.moved {
		g.moved[i] = g.book.seats[i].done.Load()
	}
	now := time.Now()
	if g.moved == before && !g.stopped && g.bothBegun() && g.asleep() {
		g.still += min(now.Sub(g.looked), stormLook)
		g.standstill = max(g.standstill, g.still)
	} else {
		g.still = 0
	}
	g.looked = now
	for i, d := range g.delays {
		if !d.since.IsZero() && g.moved[i]-d.moved >= 2 {
			g.delay = max(g.delay, now.Sub(d.since))
			g.delays[i] = stormDelay{}
		}
	}
}

// bothBegun reports whether each side has a process that has begun.
func (g *stormGauge) bothBegun() bool {
	var begun [2]bool
	for i, pid := range g.pids {
		if pid != 0 && g.moved[i] > 0 {
			begun[i/stormProducers] = true
		}
	}
	return begun[0] && begun[1]
}

// asleep reports whether all threads of all processes sleep.
func (g *stormGauge) asleep() bool {
	for _, pid := range g.pids {
		if pid == 0 {
			continue
		}
		for _, thread := range Threads(pid) {
			if thread.State() != 'S' {
				return false
			}
		}
	}
	return true
}

// settled reports whether all delays are over.
func (g *stormGauge) settled() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.delays == [stormSeats]stormDelay{}
}

// close ends the measurement.
func (g *stormGauge) close() {
	if !g.closed {
		g.closed = true
		close(g.done)
		<-g.over
	}
}
