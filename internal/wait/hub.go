package wait

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
)

// A hub is a goroutine whose one thread sleeps in the kernel for the sleepers of many word queues.
// It ends when it has no queue left.
//
// It sleeps on these words:
//
//   - its control word, which moves if there is another word to sleep on, or if a queue is removed,
//     whose memory the hub must not use any more;
//   - the words of all queues with queued sleepers;
//   - the epochs of these queues.
//
// The parking lot's mutex guards its fields, except for words.
type hub struct {
	lot       *parkingLot
	control   atomic.Uint32
	queues    []*wordQueue
	epochs    []*epoch
	woke      bool      // it has woken a sleeper since its last sleep
	recheckAt time.Time // when sleepers try again in any case: see lastSlice

	asleep      bool // or about to sleep
	interrupted bool // control has moved since then
	listed      []*wordQueue
	words       []futex.Word // used by the hub's goroutine only
}

func newHub(l *parkingLot) *hub { return &hub{lot: l, recheckAt: time.Now().Add(lastSlice)} }

// sizeWith returns how many words the hub would have with one more queue of that epoch.
func (h *hub) sizeWith(word *atomic.Uint32) int {
	n := 1 + len(h.epochs) + len(h.queues) + 1
	if h.epoch(word) == nil {
		n++
	}
	return n
}

func (h *hub) epoch(word *atomic.Uint32) *epoch {
	for _, e := range h.epochs {
		if e.word == word {
			return e
		}
	}
	return nil
}

func (h *hub) newQueue(word *atomic.Uint32, at futex.Word) *wordQueue {
	e := h.epoch(at.Addr)
	if e == nil {
		e = &epoch{word: at.Addr, val: at.Val}
		h.epochs = append(h.epochs, e)
	}
	e.queues++
	q := &wordQueue{hub: h, epoch: e, word: word, alike: true}
	h.queues = append(h.queues, q)
	return q
}

func (h *hub) remove(q *wordQueue) {
	h.queues = drop(h.queues, q)
	if q.epoch.queues--; q.epoch.queues == 0 {
		h.epochs = drop(h.epochs, q.epoch)
	}
	delete(h.lot.queues, q.word)
	h.lot.inUse.Add(-1)
	if q.listed || len(h.queues) == 0 {
		h.interrupt()
	}
}

// drop removes x from s. It does not keep the order of s.
func drop[T comparable](s []T, x T) []T {
	i, last := slices.Index(s, x), len(s)-1
	s[i] = s[last]
	var none T
	s[last] = none
	return s[:last]
}

// interrupt ends the hub's sleep, if it sleeps or is about to.
func (h *hub) interrupt() {
	if h.asleep && !h.interrupted {
		h.interrupted = true
		h.control.Store(1)
		futex.Wake(&h.control, 1)
	}
}

func (h *hub) run() {
	for h.beforeSleep() {
		_, err := h.lot.waitAny(context.Background(), max(time.Until(h.recheckAt), time.Microsecond), h.words...)
		h.afterSleep(err)
	}
}

// beforeSleep lists the words to sleep on. It returns false if the hub ends.
func (h *hub) beforeSleep() bool {
	l := h.lot
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(h.queues) == 0 {
		l.hubs = drop(l.hubs, h)
		return false
	}
	h.control.Store(0)
	h.interrupted, h.asleep = false, true
	h.words = append(h.words[:0], futex.Word{Addr: &h.control})
	for _, e := range h.epochs {
		e.listed = false
	}
	for _, q := range h.queues {
		if q.queued.Len() == 0 {
			continue // no waiter keeps the memory of its words alive
		}
		if e := q.epoch; !e.listed {
			e.listed = true
			h.words = append(h.words, futex.Word{Addr: e.word, Val: e.val})
		}
		h.listed = append(h.listed, q)
		h.words = append(h.words, q.list())
	}
	return true
}

// afterSleep wakes the sleepers that must try. Then it yields the CPU to them, so that those that
// wait again find the hub awake.
func (h *hub) afterSleep(err error) {
	h.lot.mu.Lock()
	h.asleep, h.woke = false, false
	if err != nil {
		h.fail(err)
	}
	for _, q := range h.listed {
		q.unlist()
	}
	clear(h.listed)
	h.listed = h.listed[:0]
	clear(h.words)
	h.recheck()
	woke := h.woke
	h.lot.mu.Unlock()
	if woke {
		runtime.Gosched()
	}
}

// recheck looks at all words, and at the clock.
func (h *hub) recheck() {
	now := time.Now()
	secondPassed := !now.Before(h.recheckAt)
	if secondPassed {
		h.recheckAt = now.Add(lastSlice)
	}
	for _, e := range h.epochs {
		now := e.word.Load()
		e.moved = now != e.val
		e.val = now
	}
	for _, q := range h.queues {
		q.recheck(secondPassed)
	}
}

// fail wakes all sleepers. If words can be found that are to blame for the error of a sleep, the
// sleepers at these words get their errors, and the others try again. Otherwise all get err.
func (h *hub) fail(err error) {
	bad := make(map[*atomic.Uint32]error)
	for _, w := range h.words[1:] {
		if _, err := h.lot.waitAny(context.Background(), time.Nanosecond, w); err != nil {
			bad[w.Addr] = err
		}
	}
	for _, q := range h.queues {
		switch {
		case len(bad) == 0:
			q.wakeAll(err)
		case bad[q.word] != nil:
			q.wakeAll(bad[q.word])
		default:
			q.wakeAll(bad[q.epoch.word])
		}
	}
}
