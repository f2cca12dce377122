//go:build linux

package history_test

import (
	"context"

	"github.com/anishathalye/porcupine"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A locker is a psync.Lock, or a broken one.
type locker interface {
	TryAcquire() error
	Acquire(ctx context.Context) error
	Release() error
	Recover(ctx context.Context, repair func() error) error
}

// locks is the subject of a lock, which wrap breaks.
func locks(o *psync.Options, wrap func(h *hand, l locker) locker) *subject {
	s := &subject{
		make: func(seg *shm.Segment, in *assignment) (err error) {
			in.Lock, err = psync.NewLock(seg, "", o)
			return err
		},
		work:  func(h *hand, in *assignment) error { return useLock(h, wrap(h, in.Lock)) },
		rest:  func(h *hand, in *assignment) (int, error) { return 0, restLock(h, in.Lock) },
		model: func(int) porcupine.Model { return lockModel(o != nil && o.IgnoreDeaths) },
		steps: lockSteps,
		kills: true,
	}
	for p := range crash.Points(crash.LockTaken, crash.LockHanded) {
		s.dieAt = append(s.dieAt, p)
	}
	return s
}

func useLock(h *hand, l locker) error {
	for h.room(4) {
		var res result
		var err error
		switch h.rand.IntN(8) {
		case 0:
			res = ownerDied // say
		case 1, 2, 3:
			res, err = h.do(tryAcquire, 0, l.TryAcquire)
		default:
			res, err = h.wait(acquire, 0, l.Acquire)
		}
		if err != nil {
			return err
		}
		switch {
		case res == ok:
			h.linger()
			_, err = h.do(release, 0, l.Release)
		case res == ownerDied:
			err = h.recoverSoon(l)
		case h.alone && h.chance(8):
			// Not held: several goroutines must not do that, as they would not
			// know whose hold they end.
			_, err = h.do(release, 0, l.Release)
		}
		if err != nil {
			return err
		}
		h.linger()
	}
	return nil
}

// recover records a Recover whose repair has the result end: up to the call of
// repair, and from its return on.
func (h *hand) recover(ctx context.Context, l locker, end error) error {
	before := h.begin(recover_, 0)
	var after *record
	err := l.Recover(ctx, func() error {
		h.board.end(before, repairs, 0)
		h.linger()
		fails := uint32(0)
		if end != nil {
			fails = 1
		}
		after = h.begin(repaired, fails)
		return end
	})
	if after == nil {
		after = before
	}
	_, err = h.end(after, err, 0)
	return err
}

// recoverSoon records a Recover that may be cancelled, and whose repair may
// fail.
func (h *hand) recoverSoon(l locker) error {
	ctx, cancel := h.soon()
	defer cancel()
	if h.chance(4) {
		return h.recover(ctx, l, errRepair)
	}
	return h.recover(ctx, l, nil)
}

// restLock frees a lock that a dead process holds.
func restLock(h *hand, l *psync.Lock) error {
	if _, err := h.do(tryAcquire, 0, l.TryAcquire); err != nil {
		return err
	}
	if _, err := h.do(release, 0, l.Release); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return h.recover(ctx, l, nil)
}

// lockSteps: a Recover that does not call repair takes the lock and releases
// it. Who waits for long is in the queue from its call to its return: see
// lockState.freed.
func lockSteps(h *history) (list []step) {
	for i, o := range h.ops {
		at := o.step(i)
		list = append(list, at)
		if o.waited || o.kind == recover_ || o.kind == acquire && o.pending {
			in, out := at.part(queueUp), at.part(leave)
			in.maybe, in.to = false, in.from
			list = append(list, in)
			if !o.pending {
				out.from = out.to
				list = append(list, out)
			}
		}
		if o.kind == recover_ && (o.pending || o.result == ok) {
			list = append(list, at.part(release))
		}
	}
	for _, d := range h.deaths {
		list = append(list, step{kind: die, place: d.place, from: d.from, to: d.known})
	}
	return list
}

// A lockState is who holds a lock. Who is dead goes on holding it.
type lockState struct {
	owner   int8 // place + 1; 0: nobody
	former  int8 // dead owner, while repair runs
	granted bool // handed over to a process that has not taken note
	dead    uint16
	queued  [maxPlaces]int8 // how many of each place wait for long
}

func (s lockState) ownerDead() bool { return s.dead>>s.owner&1 != 0 }

func (s lockState) to(owner int8) lockState {
	s.owner, s.former, s.granted = owner, 0, false
	return s
}

// freed are the states after a release: the lock is free, or handed over to a
// process in which one waits for long. It holds the lock from then on, although
// none of its goroutines knows: the first that waits takes it, unless another process
// takes it back before.
func (s lockState) freed() []lockState {
	list := []lockState{s.to(0)}
	for place, n := range s.queued {
		if n > 0 {
			heir := s.to(int8(place + 1))
			heir.granted = true
			list = append(list, heir)
		}
	}
	return list
}

func lockModel(ignoresDeaths bool) porcupine.Model {
	return modelOf(lockState{}, func(s lockState, at step) []lockState {
		me := int8(at.place + 1)
		if s.dead>>me&1 != 0 {
			return nil
		}
		same := []lockState{s}
		switch at.kind {
		case queueUp:
			s.queued[at.place]++
			return []lockState{s}
		case leave:
			s.queued[at.place]--
			return []lockState{s}
		case tryAcquire, acquire, recover_:
			// For one that was killed inside, every result is possible.
			switch takes := at.maybe || at.result == ok; {
			case takes && s.owner == 0,
				takes && s.granted, // by the heir, or by another because that is late
				takes && s.ownerDead() && ignoresDeaths && at.kind != recover_:
				return []lockState{s.to(me)}
			case (at.maybe || at.result == repairs) && s.ownerDead() && at.kind == recover_:
				next := s.to(me)
				next.former = s.owner
				return []lockState{next}
			case at.result == ownerDied && s.ownerDead() && !ignoresDeaths && at.kind != recover_,
				at.result == held && s.owner != 0 && !s.ownerDead() && at.kind == tryAcquire,
				at.result == ended && s.owner != 0 && !s.ownerDead() && at.kind != tryAcquire:
				return same
			}
		case release:
			switch holds := s.owner == me && !s.granted; {
			case (at.maybe || at.result == ok) && holds:
				return s.freed()
			case at.result == notHeld && !holds:
				return same
			}
		case repaired:
			switch holds := s.owner == me && s.former != 0; {
			case at.arg == 0 && (at.maybe || at.result == ok) && holds:
				return s.freed()
			case at.arg != 0 && (at.maybe || at.result == failed) && holds:
				return []lockState{s.to(s.former)}
			}
		case die:
			s.dead |= 1 << me
			s.queued[at.place] = 0
			if s.owner == me && s.granted {
				s = s.to(0)
			}
			return []lockState{s}
		}
		return nil
	})
}
