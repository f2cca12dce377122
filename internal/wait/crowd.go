package wait

import (
	"cmp"
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
)

// A crowd is all goroutines of the process that sleep. A goroutine asleep in
// the kernel holds an OS thread, and Go ends a program that has 10,000. So only
// the first few sleep there themselves; the others give their words to a hub,
// whose one thread sleeps for all of them, and wait at a channel.
//
// Its words are compared with the values at which a waiter armed them before a
// hub sleeps for it, each time anew, and the waiter looks again when they have
// moved. That a hub comes and goes, and is not asleep just when a wake comes, asks
// of those who wake no more than a sleeper asks that is slow to fall asleep:
//
//	A waiter is owed no wake that was sent before the instant in which the
//	kernel compares its words and finds them as the waiter armed them.
//
// Gates keep this, since every wake of theirs moves the word after S was set, as
// does the epoch. Robust locks wait at gates. The word of a condition's place
// changes before its waiter is woken.
//
// A wake that reaches a hub has been taken from the sleepers of other processes.
// If the word has moved the hub lets its own waiters look, who do what anybody
// does that was woken; if none of them is left it sends the wake on. If the word
// has not moved, nobody is owed anything.
type crowd struct {
	few    atomic.Int32 // so many may sleep themselves
	direct atomic.Int32 // so many do
	used   atomic.Int32 // places in use

	mu     sync.Mutex // guards what follows, and all hubs, places and visits
	hubs   []*hub
	places map[*atomic.Uint32]*place

	waitAny func(context.Context, time.Duration, ...futex.Word) (int, error) // of futex
}

// fewSleepers is how many goroutines of a process sleep themselves: see
// docs/design/rationale.md.
const fewSleepers = 16

func newCrowd(few int32) *crowd {
	c := &crowd{places: make(map[*atomic.Uint32]*place), waitAny: futex.WaitAnyFor}
	c.few.Store(few)
	return c
}

// process is the crowd of this process.
var process = newCrowd(fewSleepers)

// Alike is implemented by waiters that want the same thing of the same word.
// What one of them does not find after it has armed, the others would not find
// either, unless the epoch has moved. And it is enough to wake one of them, who
// wakes the next, by Pass, if it leaves something for another or leaves without
// having looked.
//
// Of those who wait in a hub at one word one after the other is let look, and
// only until one finds nothing. Those who are not Alike are all let look.
type Alike interface {
	Waiter
	// Alike returns what the waiters of one word that are alike have in common:
	// the same comparable value.
	Alike() any
}

// A visit is one wait as the crowd sees it.
type visit struct {
	woken bool // may have eaten a wake since it last slept
	place *place
	turn  *list.Element // in the place's queue, nil while out
	ready chan error
	found bool // what it waited for, after it had armed its word at armed
	armed uint32
}

// sleep blocks until one of the two words has moved, perhaps, or ctx ends, or
// it is time to look again: after slice, or in a hub when that says so, and after
// limit, if it is positive.
func (c *crowd) sleep(ctx context.Context, slice, limit time.Duration, v *visit, w Waiter, word, epoch futex.Word) error {
	if c.alone(v, word) {
		v.woken = true
		_, err := c.waitAny(ctx, min(slice, cmp.Or(limit, slice)), word, epoch)
		c.direct.Add(-1)
		return err
	}
	if !c.enter(v, w, word, epoch) {
		return nil
	}
	var timeout <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case err := <-v.ready:
		return err
	case <-ctx.Done():
	case <-timeout:
	}
	return c.giveUp(v)
}

// alone reports whether a waiter at word shall sleep itself, and counts it if
// so. Those who wait at the same word in a hub count, too: the kernel wakes the
// first in its queue, where a hub that comes and goes stands behind those who
// sleep themselves, and so must not be left alone with newcomers.
func (c *crowd) alone(v *visit, word futex.Word) bool {
	others := 0
	if c.used.Load() > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		if p := c.places[word.Addr]; p != nil {
			others = p.queue.Len()
		}
	}
	if n := c.direct.Add(1); int(n)+others > int(c.few.Load()) {
		c.direct.Add(-1)
		return false
	}
	if v.place != nil {
		v.leave()
	}
	return true
}

// enter puts the waiter into a hub, unless its words have moved.
func (c *crowd) enter(v *visit, w Waiter, word, epoch futex.Word) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if word.Addr.Load() != word.Val || epoch.Addr.Load() != epoch.Val {
		return false // it stays out, if it was
	}
	p := c.place(word.Addr, epoch)
	if v.place != nil && v.place != p {
		v.leave()
	}
	back := v.place == p
	if back {
		p.out--
	}
	if v.ready == nil {
		v.ready = make(chan error, 1)
	}
	p.add(v, w, word.Val, back)
	return true
}

// giveUp takes a waiter out of its place, or tells what it has become ready
// for meanwhile.
func (c *crowd) giveUp(v *visit) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.turn == nil {
		return <-v.ready
	}
	p := v.place
	p.queue.Remove(v.turn)
	v.place, v.turn = nil, nil
	p.tidy()
	return nil
}

// end ends the wait.
func (c *crowd) end(v *visit) {
	if v.place == nil {
		return // nobody else knows it
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.found { // Pass has woken the next, if there is something left
		v.place.settle(v.armed)
	}
	v.leave()
}

// place returns the place of a word, a new one if there is none.
func (c *crowd) place(word *atomic.Uint32, epoch futex.Word) *place {
	p := c.places[word]
	if p == nil {
		h := c.hubFor(epoch.Addr)
		p = h.newPlace(word, epoch)
		c.places[word] = p
		c.used.Add(1)
	}
	return p
}

// A hub's sleep costs time for each of its words. So hubs get a few words each
// while there are not many hubs, then as many as the kernel takes.
const (
	fewWords = 16
	fewHubs  = 8
)

// hubFor returns a hub with room for a place of that epoch.
func (c *crowd) hubFor(epoch *atomic.Uint32) *hub {
	var best *hub
	size := futex.MaxWords // of the best, with the new words
	for _, h := range c.hubs {
		if n := h.sizeWith(epoch); n <= size {
			best, size = h, n
		}
	}
	if best == nil || size > fewWords && len(c.hubs) < fewHubs {
		best = newHub(c)
		c.hubs = append(c.hubs, best)
		go best.run()
	}
	return best
}
