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

// A parkingLot is where all goroutines of a process sleep. A goroutine asleep in the kernel holds
// an OS thread, and Go ends a program that has 10,000 threads. So only the first few goroutines
// sleep in the kernel themselves, as direct sleepers. Each other one gives its two words to a hub
// and waits at a channel; the hub's one thread sleeps for many goroutines.
//
// Before each sleep of a hub, the kernel compares each of its words with the value at which a
// waiter has armed the word. If a word differs, the waiter tries again. So a hub that is awake when
// a wake comes, or does not exist yet, is no different from a sleeper that is slow to fall asleep,
// and wakers owe both the same:
//
//	A waiter is owed no wake that was sent before the instant at which the kernel compares its
//	words and finds them as the waiter armed them.
//
// Gates keep this rule, since each of their wakes moves the word after S was set. So does the
// epoch. Robust locks use gates. The word of a condition's waiter changes before the waiter is
// woken.
//
// A wake that reaches a hub is lost to the sleepers of other processes. If the word has moved, the
// hub lets its own waiters try, and they pass the wake on as any woken waiter does. If no waiter of
// the word is left, the hub sends the wake on itself. If the word has not moved, no waiter is owed
// a wake.
type parkingLot struct {
	maxDirect atomic.Int32 // the greatest number of direct sleepers
	direct    atomic.Int32 // direct sleepers now
	inUse     atomic.Int32 // word queues now

	mu     sync.Mutex // guards the rest, and all hubs, word queues and sleepers
	hubs   []*hub
	queues map[*atomic.Uint32]*wordQueue

	waitAny func(context.Context, time.Duration, ...futex.Word) (int, error) // futex.WaitAnyFor
}

// maxDirectSleepers is how many goroutines of a process sleep in the kernel themselves. For the
// number see docs/design/rationale.md.
const maxDirectSleepers = 16

func newParkingLot(maxDirect int32) *parkingLot {
	l := &parkingLot{queues: make(map[*atomic.Uint32]*wordQueue), waitAny: futex.WaitAnyFor}
	l.maxDirect.Store(maxDirect)
	return l
}

// process is the parking lot of this process.
var process = newParkingLot(maxDirectSleepers)

// A sleeper is one wait in the parking lot. It belongs to a word queue from its first sleep in a
// hub on. Then it is either queued, or trying: woken, and neither back in the queue nor gone.
type sleeper struct {
	woken bool // may have consumed a wake since it last slept
	queue *wordQueue
	elem  *list.Element // in the queue, nil if the sleeper is not queued
	wake  chan error    // wakes the sleeper with the error of its sleep, if any

	found bool   // a try succeeded after the word was armed
	armed uint32 // at this value
}

// sleep blocks until one of the two words may have moved, ctx ends, or it is time to try again:
// after slice, or in a hub when the hub says so, and after limit if limit is positive.
func (l *parkingLot) sleep(ctx context.Context, slice, limit time.Duration, s *sleeper, w Waiter, word, epoch futex.Word) error {
	if l.startDirect(s, word) {
		s.woken = true
		_, err := l.waitAny(ctx, min(slice, cmp.Or(limit, slice)), word, epoch)
		l.direct.Add(-1)
		return err
	}
	if !l.enqueue(s, w, word, epoch) {
		return nil
	}
	var timeout <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case err := <-s.wake:
		return err
	case <-ctx.Done():
	case <-timeout:
	}
	return l.dequeue(s)
}

// startDirect reports whether a waiter at word becomes a direct sleeper, and counts it if so. The
// waiters that are queued at the same word count as direct sleepers here. The kernel wakes the
// first sleeper of its own queue, and a hub goes to the end of that queue each time that it sleeps:
// goroutines that come later must not overtake the hub's waiters for ever.
func (l *parkingLot) startDirect(s *sleeper, word futex.Word) bool {
	queued := 0
	if l.inUse.Load() > 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		if q := l.queues[word.Addr]; q != nil {
			queued = q.queued.Len()
		}
	}
	if n := l.direct.Add(1); int(n)+queued > int(l.maxDirect.Load()) {
		l.direct.Add(-1)
		return false
	}
	if s.queue != nil {
		s.queue.leave(s)
	}
	return true
}

// enqueue puts the sleeper into the queue of its word and returns true, unless a word has moved.
func (l *parkingLot) enqueue(s *sleeper, w Waiter, word, epoch futex.Word) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if word.Addr.Load() != word.Val || epoch.Addr.Load() != epoch.Val {
		return false
	}
	q := l.queueOf(word.Addr, epoch)
	if s.queue != nil && s.queue != q {
		s.queue.leave(s)
	}
	if s.wake == nil {
		s.wake = make(chan error, 1)
	}
	q.add(s, w, word.Val)
	return true
}

// dequeue takes the sleeper out of its queue. If the sleeper was woken meanwhile, dequeue returns
// the error of its sleep, if any.
func (l *parkingLot) dequeue(s *sleeper) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.elem == nil {
		return <-s.wake
	}
	s.queue.giveUp(s)
	return nil
}

// end ends the wait of a sleeper that is not queued.
func (l *parkingLot) end(s *sleeper) {
	if s.queue == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.found {
		s.queue.found(s)
	}
	s.queue.leave(s)
}

// queueOf returns the queue of a word, a new one if there is none.
func (l *parkingLot) queueOf(word *atomic.Uint32, epoch futex.Word) *wordQueue {
	q := l.queues[word]
	if q == nil {
		q = l.hubFor(epoch.Addr).newQueue(word, epoch)
		l.queues[word] = q
		l.inUse.Add(1)
	}
	return q
}

// The time of a hub's sleep grows with the number of its words. So a hub gets at most
// preferredWords words while there are fewer than preferredHubs hubs, and later as many as the
// kernel accepts.
const (
	preferredWords = 16
	preferredHubs  = 8
)

// hubFor returns a hub that can take another word queue of that epoch.
func (l *parkingLot) hubFor(epoch *atomic.Uint32) *hub {
	var best *hub
	size := futex.MaxWords // number of words of the best hub, the new ones included
	for _, h := range l.hubs {
		if n := h.sizeWith(epoch); n <= size {
			best, size = h, n
		}
	}
	if best == nil || size > preferredWords && len(l.hubs) < preferredHubs {
		best = newHub(l)
		l.hubs = append(l.hubs, best)
		go best.run()
	}
	return best
}
