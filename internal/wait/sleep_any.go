package wait

import (
	"cmp"
	"context"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
)

// sleepAny is sleep for a selection. A selection that does not sleep in the kernel itself has a
// sleeper in the word queue of each of its words, perhaps in several hubs. When one of them is
// woken, those that are still queued give up.
func (l *parkingLot) sleepAny(ctx context.Context, slice, limit time.Duration, s *selection) error {
	s.words = s.words[:0]
	for i := range s.armed {
		s.words = append(s.words, s.armed[i].Word)
	}
	for i, r := range s.rooms {
		s.words = append(s.words, futex.Word{Addr: r.Epoch, Val: s.epochs[i]})
	}
	if l.startDirectAny(s) {
		_, err := l.waitAny(ctx, min(slice, cmp.Or(limit, slice)), s.words...)
		l.direct.Add(-1)
		for i := range s.armed {
			s.asleep[i].woken = s.armed[i].moved()
		}
		return err
	}
	if !l.enqueueAll(s) {
		return nil
	}
	var timeout <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		timeout = t.C
	}
	var err error
	select {
	case err = <-s.wake:
	case <-ctx.Done():
	case <-timeout:
	}
	return cmp.Or(err, l.dequeueAll(s))
}

// startDirectAny is startDirect for a selection.
func (l *parkingLot) startDirectAny(s *selection) bool {
	if len(s.words) > futex.MaxWords {
		return false
	}
	queued := 0
	if l.inUse.Load() > 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i := range s.armed {
			if q := l.queues[s.armed[i].Addr]; q != nil {
				queued = max(queued, q.queued.Len())
			}
		}
	}
	if n := l.direct.Add(1); int(n)+queued > int(l.maxDirect.Load()) {
		l.direct.Add(-1)
		return false
	}
	for i := range s.asleep {
		if q := s.asleep[i].queue; q != nil {
			q.leave(&s.asleep[i])
		}
	}
	return true
}

// enqueueAll puts the sleepers into the queues of their words and returns true, unless a word has
// moved.
func (l *parkingLot) enqueueAll(s *selection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range s.words {
		if w.Addr.Load() != w.Val {
			return false
		}
	}
	for i, c := range s.cases {
		w, room := s.armed[i], s.roomOf[i]
		q := l.queueOf(w.Addr, futex.Word{Addr: s.rooms[room].Epoch, Val: s.epochs[room]})
		if old := s.asleep[i].queue; old != nil && old != q {
			old.leave(&s.asleep[i])
		}
		q.add(&s.asleep[i], c.Waiter, w.Val)
	}
	return true
}

// dequeueAll takes the sleepers that are still queued out of their queues. It returns the error of
// one of those that were woken, if any.
func (l *parkingLot) dequeueAll(s *selection) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range s.asleep {
		if s.asleep[i].elem != nil {
			s.asleep[i].queue.giveUp(&s.asleep[i])
		}
	}
	for len(s.wake) > 0 {
		err = cmp.Or(err, <-s.wake)
	}
	return err
}

// endAll is end for the sleepers of a selection.
func (l *parkingLot) endAll(asleep []sleeper) {
	for i := range asleep {
		l.end(&asleep[i])
	}
}
