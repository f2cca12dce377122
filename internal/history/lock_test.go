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

// locks returns the subject of a lock. wrap returns the object that a client uses: the lock itself, or a broken one.
func locks(o *psync.Options, wrap func(c *client, l locker) locker) *subject {
	s := &subject{
		make: func(seg *shm.Segment, in *assignment) (err error) {
			in.Lock, err = psync.NewLock(seg, "", o)
			return err
		},
		work:   func(c *client, in *assignment) error { return useLock(c, wrap(c, in.Lock)) },
		settle: func(c *client, in *assignment) (int, error) { return 0, settleLock(c, in.Lock) },
		model:  func(int) porcupine.Model { return lockModel(o != nil && o.IgnoreDeaths) },
		steps:  lockSteps,
		kills:  true,
	}
	for p := range crash.Points(crash.LockTaken, crash.LockHanded) {
		s.dieAt = append(s.dieAt, p)
	}
	return s
}

func useLock(c *client, l locker) error {
	for c.canRecord(4) {
		var res result
		var err error
		switch c.rand.IntN(8) {
		case 0:
			res = ownerDied // as if: a Recover must also work when the owner has not died
		case 1, 2, 3:
			res, err = c.do(tryAcquire, 0, l.TryAcquire)
		default:
			res, err = c.wait(acquire, 0, l.Acquire)
		}
		if err != nil {
			return err
		}
		switch {
		case res == ok:
			c.pause()
			_, err = c.do(release, 0, l.Release)
		case res == ownerDied:
			err = c.recoverSoon(l)
		case c.alone && c.chance(8):
			// Release a lock that this process does not hold. If the process has two clients, they must not do that: one could
			// release the lock that the other holds.
			_, err = c.do(release, 0, l.Release)
		}
		if err != nil {
			return err
		}
		c.pause()
	}
	return nil
}

// recover calls Recover with a repair that returns end. It records the part up to the call of repair and
// the part from the return of repair on as two operations.
func (c *client) recover(ctx context.Context, l locker, end error) error {
	before := c.begin(recover_, 0)
	var after *record
	err := l.Recover(ctx, func() error {
		c.journal.end(before, repairs, 0)
		c.pause()
		fails := uint32(0)
		if end != nil {
			fails = 1
		}
		after = c.begin(repaired, fails)
		return end
	})
	if after == nil {
		after = before
	}
	_, err = c.end(after, err, 0)
	return err
}

// recoverSoon calls a Recover that may be cancelled, and whose repair may fail.
func (c *client) recoverSoon(l locker) error {
	ctx, cancel := c.shortContext()
	defer cancel()
	if c.chance(4) {
		return c.recover(ctx, l, errRepair)
	}
	return c.recover(ctx, l, nil)
}

// settleLock frees a lock that a dead process holds.
func settleLock(c *client, l *psync.Lock) error {
	if _, err := c.do(tryAcquire, 0, l.TryAcquire); err != nil {
		return err
	}
	if _, err := c.do(release, 0, l.Release); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.recover(ctx, l, nil)
}

// lockSteps returns the steps of a history of a lock:
//
//   - each operation;
//   - release, of a Recover that did not call repair: it takes the lock and releases it;
//   - queueUp at the call and leave at the return of an operation that waited for long, of a Recover, and of an
//     Acquire whose process was killed in it: see lockState.freed;
//   - each death.
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
		list = append(list, step{kind: die, process: d.process, from: d.from, to: d.known})
	}
	return list
}

// A lockState names the owner of a lock. A process that dies as the owner remains the owner.
type lockState struct {
	owner   int8               // process + 1; 0: the lock is free
	former  int8               // the dead owner, while repair runs
	granted bool               // the lock was handed over to the owner, and no operation of it has returned with it yet
	dead    uint16             // bit process + 1
	queued  [maxProcesses]int8 // how many operations of each process wait for long
}

func (s lockState) ownerDead() bool { return s.dead>>s.owner&1 != 0 }

func (s lockState) to(owner int8) lockState {
	s.owner, s.former, s.granted = owner, 0, false
	return s
}

// freed returns the states that can follow a release: the lock is free, or it was handed over to a
// process in which an operation waits for long. From then on that process owns the lock, although
// none of its operations has returned yet: the first of those that wait takes it, unless another process
// takes it back before.
func (s lockState) freed() []lockState {
	list := []lockState{s.to(0)}
	for process, n := range s.queued {
		if n > 0 {
			heir := s.to(int8(process + 1))
			heir.granted = true
			list = append(list, heir)
		}
	}
	return list
}

func lockModel(ignoresDeaths bool) porcupine.Model {
	return modelOf(lockState{}, func(s lockState, at step) []lockState {
		me := int8(at.process + 1)
		if s.dead>>me&1 != 0 {
			return nil
		}
		same := []lockState{s}
		switch at.kind {
		case queueUp:
			s.queued[at.process]++
			return []lockState{s}
		case leave:
			s.queued[at.process]--
			return []lockState{s}
		case tryAcquire, acquire, recover_:
			// An operation whose process was killed in it may have had any result.
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
			s.queued[at.process] = 0
			if s.owner == me && s.granted {
				s = s.to(0)
			}
			return []lockState{s}
		}
		return nil
	})
}
