package wait

import (
	"container/list"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/futex"
)

// A wordQueue holds the goroutines that wait in a hub at one word. Each of its sleepers is either
// queued, or trying: woken, and neither back in the queue nor gone.
//
// Invariant: while the word is val, no queued sleeper is owed a wake. For each of them has armed
// the word at val and then tried: it has found what was published before, and a later publication
// moves the word. If all are interchangeable (Alike), it is enough that one of them did so.
//
// What happens at each event, in the order of the methods:
//
//	event                            all interchangeable             others
//	-------------------------------  ------------------------------  --------------------------
//	add: a sleeper has armed and     queue it, in front if it was    wake all queued if val
//	  found nothing (val becomes     trying                          changes; then queue it
//	  the armed value)
//	found: a trying sleeper has      val becomes the armed value     -
//	  armed and then found
//	  something, and has passed a
//	  wake on if it left something
//	leave: a trying sleeper goes     as below, if the word has       as below, if the word has
//	                                 moved                           moved
//	giveUp: a queued sleeper goes    -                               -
//	the word has moved from val      none trying: wake the first     wake all
//	                                 some trying: - (each of them
//	                                 will add, or leave)
//	a second has passed              none trying: wake the first     wake all
//	                                 some trying: -
//	the epoch moved                  wake all                        wake all
//	the hub's sleep failed           wake all, with the error        wake all, with the error
//	the word moved while the hub     none queued: wake a sleeper of  the same; some queued: wake
//	  slept on it                    another process                 all
//	nobody queued, nobody trying     remove the queue                remove the queue
//
// All methods are called with the parking lot's mutex locked.
type wordQueue struct {
	hub    *hub
	epoch  *epoch
	word   *atomic.Uint32
	val    uint32
	queued list.List // of *sleeper
	trying int
	alike  bool   // all sleepers are interchangeable
	class  any    // the value of their Alike method, nil before the first
	waiter Waiter // one of the waiters; it keeps the memory of the words alive

	listed bool   // the hub sleeps on word, or is about to
	slept  uint32 // the value at which it does
}

// An epoch is the epoch of a segment that has word queues in a hub.
type epoch struct {
	word   *atomic.Uint32
	val    uint32 // the value that all queued sleepers of its queues have seen, or an earlier one
	queues int
	moved  bool
	listed bool // the hub sleeps on word, or is about to
}

// add queues a sleeper that has armed the word at val, tried, and found nothing. The sleeper is new
// to the queue, or it is trying.
func (q *wordQueue) add(s *sleeper, w Waiter, val uint32) {
	back := s.queue == q
	if back {
		q.trying--
	}
	if a, ok := w.(Alike); !ok || q.class != nil && q.class != a.Alike() {
		q.alike = false
	} else {
		q.class = a.Alike()
	}
	if val != q.val && !q.alike {
		q.wakeAll(nil)
	}
	q.val = val
	q.waiter = w
	s.queue, s.woken = q, false
	if back && q.alike {
		s.elem = q.queued.PushFront(s)
	} else {
		s.elem = q.queued.PushBack(s)
	}
	if !q.listed {
		q.hub.interrupt()
	}
}

// found records that a trying sleeper has armed the word at s.armed and then found something. If it
// left something for another waiter, it has passed a wake on.
func (q *wordQueue) found(s *sleeper) {
	if q.alike {
		q.val = s.armed
	}
}

// leave removes a trying sleeper.
func (q *wordQueue) leave(s *sleeper) {
	s.queue = nil
	q.trying--
	q.wakeIfMoved()
	q.removeIfUnused()
}

// giveUp removes a queued sleeper.
func (q *wordQueue) giveUp(s *sleeper) {
	q.queued.Remove(s.elem)
	s.queue, s.elem = nil, nil
	q.removeIfUnused()
}

// wakeIfMoved wakes sleepers if the word is not val.
func (q *wordQueue) wakeIfMoved() {
	if q.queued.Len() > 0 && q.word.Load() != q.val {
		q.wakeSome()
	}
}

// wakeSome wakes all queued sleepers. If they are interchangeable, it wakes the first of them
// unless another one is trying.
func (q *wordQueue) wakeSome() {
	switch {
	case !q.alike:
		q.wakeAll(nil)
	case q.trying == 0 && q.queued.Len() > 0:
		q.wakeFirst(nil)
	}
}

// recheck wakes the sleepers that must try after a sleep of the hub. secondPassed reports that it
// is time for a try in any case.
func (q *wordQueue) recheck(secondPassed bool) {
	switch {
	case q.epoch.moved:
		q.wakeAll(nil)
	case secondPassed:
		q.wakeSome()
	default:
		q.wakeIfMoved()
	}
}

// wakeAll wakes all queued sleepers, with the error of the hub's sleep, if any.
func (q *wordQueue) wakeAll(err error) {
	for q.queued.Len() > 0 {
		q.wakeFirst(err)
	}
}

func (q *wordQueue) wakeFirst(err error) {
	s := q.queued.Remove(q.queued.Front()).(*sleeper)
	q.trying++
	s.elem, s.woken = nil, true
	s.wake <- err
	q.hub.woke = true
}

// list notes that the hub is about to sleep on the word, and returns the word and the value at
// which it does: val, so that the kernel notices if the word has moved already. Where one of
// interchangeable sleepers is trying, a move up to now is noticed by that sleeper, and the value is
// the current one.
func (q *wordQueue) list() futex.Word {
	q.listed, q.slept = true, q.val
	if q.trying > 0 && q.alike {
		q.slept = q.word.Load()
	}
	return futex.Word{Addr: q.word, Val: q.slept}
}

// unlist handles a wake that may have reached the hub while it slept on the word. The wake may have
// been meant for a sleeper of another process. Sleepers that are not interchangeable try even if
// the word is val again: each of them that finds nothing passes the wake on. Interchangeable ones
// need not, since a sleeper of another process would find nothing either.
func (q *wordQueue) unlist() {
	q.listed = false
	switch {
	case q.word.Load() == q.slept:
	case q.queued.Len() == 0:
		futex.Wake(q.word, 1)
	case !q.alike:
		q.wakeAll(nil)
	}
}

// removeIfUnused removes a queue that has no sleeper.
func (q *wordQueue) removeIfUnused() {
	if q.queued.Len() == 0 && q.trying == 0 {
		q.hub.remove(q)
	}
}
