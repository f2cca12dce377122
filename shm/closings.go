package shm

import (
	"runtime"
	"sync"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/party"
)

// closings counts the objects of this party that were closed and that a method may still use, by
// the generation of their Close. [CLOSING]
type closings struct {
	list  []closing // in the order of generations; the first has n > 0
	timer *time.Timer
	pause time.Duration // between two polls of wanted
}

type closing struct {
	generation uint32
	n          int
}

// add counts an object that is closed in generation g.
func (c *closings) add(g uint32) {
	if n := len(c.list); n > 0 && c.list[n-1].generation == g {
		c.list[n-1].n++
		return
	}
	c.list = append(c.list, closing{g, 1})
}

// remove counts one object less that was closed in generation g.
func (c *closings) remove(g uint32) {
	for i := range c.list {
		if c.list[i].generation == g {
			c.list[i].n--
			break
		}
	}
	for len(c.list) > 0 && c.list[0].n == 0 {
		c.list = c.list[1:]
	}
}

// quiet returns 1 + the oldest generation, or 0 if there is none.
func (c *closings) quiet() uint32 {
	if len(c.list) == 0 {
		return 0
	}
	return c.list[0].generation + 1
}

// The shortest and the longest pause between two polls of wanted.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
)

// closing counts an object that is about to be closed, and returns the generation. The caller holds
// a.mu and has not dropped the object's hold yet.
func (a *attachment) closing() uint32 {
	g := a.words.dir.request.Load()
	a.closings.add(g)
	a.table.SetQuiet(a.closings.quiet())
	if c := &a.closings; len(c.list) == 1 && c.list[0].n == 1 {
		c.pause = firstPause
		if c.timer == nil {
			c.timer = time.AfterFunc(c.pause, a.lookWanted)
		} else {
			c.timer.Reset(c.pause)
		}
	}
	return g
}

// collected records that the garbage collector has collected an object that was closed in
// generation g. The caller holds a.mu.
func (a *attachment) collected(g uint32) {
	if a.room.Closed() {
		return
	}
	a.closings.remove(g)
	a.table.SetQuiet(a.closings.quiet())
}

// lookWanted runs the garbage collector if a maker waits for space that methods of this process may
// still use. It polls wanted until all closed objects have been collected.
func (a *attachment) lookWanted() {
	a.mu.Lock()
	c := &a.closings
	if a.room.Closed() || len(c.list) == 0 {
		a.mu.Unlock()
		return
	}
	wanted := c.list[0].generation < a.words.dir.wanted.Load()
	if c.pause = min(2*c.pause, lastPause); wanted {
		c.pause = firstPause
	}
	c.timer.Reset(c.pause)
	a.mu.Unlock()
	if wanted {
		runtime.GC()
	}
}

// recycleWait is the longest time that a maker waits for methods that may use closed objects.
const recycleWait = 3 * time.Second

// awaitQuiet asks all processes for garbage collections and waits for pause at most. It returns a
// party that still keeps the requested gap from being used, or 0 if there is none.
func (a *attachment) awaitQuiet(pause time.Duration) (id party.ID, pid uint32) {
	d := &a.words.dir
	g := d.request.Load()
	if w := d.wanted.Load(); w < g {
		d.wanted.CompareAndSwap(w, g)
	}
	next := nextRelease()
	for _, ours := range attachmentsOf(a.id) {
		if ours.loud(g) {
			runtime.GC()
			break
		}
	}
	if id, pid, loud := a.table.Loud(g); loud {
		timeout := time.NewTimer(pause)
		defer timeout.Stop()
		select {
		case <-next:
		case <-timeout.C:
		}
		return id, pid
	}
	return 0, 0
}

// loud reports whether this party has closed objects of a generation before g.
func (a *attachment) loud(g uint32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.closings.quiet()
	return q != 0 && q-1 < g
}

// A maker that finds no space runs the garbage collector for removed objects that this process has
// dropped without Close.
const (
	collections    = 3                     // how many times at most
	collectionWait = 20 * time.Millisecond // how long it waits each time
)

// holdsRemoved reports whether a party of this process holds a removed object.
func (a *attachment) holdsRemoved() bool {
	ours := attachmentsOf(a.id)
	for i := range a.used() {
		e := &a.entries[i]
		if e.state.Load() != stateRemoved {
			continue
		}
		for _, b := range ours {
			line := b.table.Me().Line()
			if e.holds[0][line/32].Load()&(1<<(line%32)) != 0 {
				return true
			}
		}
	}
	return false
}

// awaitCollected waits until this process holds no removed object. It waits for d at most, because
// this process may be using one.
func (a *attachment) awaitCollected(d time.Duration) {
	timeout := time.After(d)
	for {
		next := nextRelease()
		if !a.holdsRemoved() {
			return
		}
		select {
		case <-next:
		case <-timeout:
			return
		}
	}
}

// released has a channel that is closed when the garbage collector has collected an object of this
// process.
var released struct {
	sync.Mutex
	next chan struct{} // nil if no goroutine waits
}

// nextRelease returns the channel that the next call of tellReleased closes.
func nextRelease() <-chan struct{} {
	released.Lock()
	defer released.Unlock()
	if released.next == nil {
		released.next = make(chan struct{})
	}
	return released.next
}

// tellReleased closes the channel of nextRelease.
func tellReleased() {
	released.Lock()
	defer released.Unlock()
	if released.next != nil {
		close(released.next)
		released.next = nil
	}
}
