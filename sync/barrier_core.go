package sync

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"structs"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// barrierWords is a barrier in shared memory. The seats follow, one 64-bit word for each party.
//
//	0    parties  written when the barrier is made
//	8    timeout  written when the barrier is made
//	128  word     round, its state, and the last round that passed
//	256  ended    gate of the waiters that have a seat: they wait for the end of the round
//	384  freed    gate of the waiters that have none: they wait for a free seat
//	512  seats
//
// There is no lock. A seat is one party's part in a round. A party that arrives takes a free seat
// by CAS. When every seat is taken in the round, one CAS of the word lets the round pass, and then
// each party leaves its seat. So:
//
//   - A seat that is taken in an open round is never given up: a party that leaves breaks the round
//     first.
//   - No round passes while a party of an earlier round has its seat. Until then that party can
//     tell from the word whether its own round has passed.
//   - A party's index is its seat, and each seat is taken once in a round.
//
// Steps of a party, and what follows if it is killed after one:
//
//	1  seat taken                    a party that looks at the seats finds the dead one in an
//	                                 open round and breaks it
//	2  all seats seen taken          the same
//	3  ACTING; the action has run    the same
//	4  next round                    the round has passed; the death wakes all waiters, and the
//	                                 seat, of an earlier round, counts as free
//	5  others woken                  the same
//	6  seat left                     nothing; the death wakes the waiters for a seat
//
// To break a round and to reset the barrier is one CAS each. If the process is killed before it
// wakes the waiters, its death wakes them.
type barrierWords struct {
	_       structs.HostLayout
	parties atomic.Uint32
	_       [4]byte
	timeout atomic.Int64
	_       [112]byte
	word    atomic.Uint64
	_       [120]byte
	ended   wait.Gate
	_       [120]byte
	freed   wait.Gate
	_       [120]byte
}

const (
	barrierSeats = 512 // offset
	barrierPrint = 1   // version of barrierWords
)

// A barrierWord is the state of a barrier.
//
//	 63           33  32     31  30                0
//	+---------------+-----------+-------------------+
//	|     round     |   state   | last that passed  |
//	+---------------+-----------+-------------------+
type barrierWord uint64

// States of a round.
const (
	roundOpen   = iota
	roundActing // all have arrived, and one of them runs the action
	roundBroken
)

const roundMask = 1<<31 - 1

func newBarrierWord(round uint32, state uint, passed uint32) barrierWord {
	return barrierWord(round&roundMask)<<33 | barrierWord(state)<<31 | barrierWord(passed&roundMask)
}

func (w barrierWord) round() uint32  { return uint32(w >> 33) }
func (w barrierWord) state() uint    { return uint(w>>31) & 3 }
func (w barrierWord) passed() uint32 { return uint32(w) & roundMask }
func (w barrierWord) broken() bool   { return w.state() >= roundBroken }

// with returns w in another state of the same round.
func (w barrierWord) with(state uint) barrierWord {
	return newBarrierWord(w.round(), state, w.passed())
}

// A seat names the party that has it, 0 if none, and the round in which it was taken.
type seat uint64

func newSeat(id party.ID, round uint32) seat { return seat(id)<<32 | seat(round) }
func (s seat) party() party.ID               { return party.ID(s >> 32) }
func (s seat) round() uint32                 { return uint32(s) }

// takenIn reports whether s was taken in that round.
func (s seat) takenIn(round uint32) bool { return s.party() != 0 && s.round() == round }

type barrierCore struct {
	object.Base
	words   *barrierWords
	seats   []atomic.Uint64
	timeout time.Duration
	spin    wait.Spinner
}

func (*barrierCore) Type() (shm.Kind, uint64, error) { return shm.KindBarrier, barrierPrint, nil }

func (c *barrierCore) Use(o object.Object) error {
	if err := c.Init(o, barrierSeats); err != nil {
		return err
	}
	c.words = view.At[barrierWords](o.Bytes(), 0)
	n := int(min(c.words.parties.Load(), math.MaxInt32))
	if n < 1 || n > MaxBarrierParties {
		return fmt.Errorf("barrier of %d parties: %w", n, shm.ErrCorrupt)
	}
	if err := c.Init(o, barrierSeats+8*n); err != nil {
		return err
	}
	c.seats = view.Slice[atomic.Uint64](o.Bytes(), barrierSeats, n)
	c.spin.Count(o.Counters())
	c.timeout = time.Duration(c.words.timeout.Load())
	return nil
}

// An arrival is one call of Wait.
type arrival struct {
	c      *barrierCore
	wanted func() bool
	seat   int
	round  uint32
	failed error // of the action
}

func (v *arrival) pass(ctx context.Context, action func() error) error {
	watch(&v.c.Base)
	if done, err := v.takeSeat(); err != nil {
		return err
	} else if !done {
		if err := v.c.Room().Await(ctx, &v.c.spin, (*seatWaiter)(v)); err != nil {
			return err
		}
	}
	defer v.leave()
	if crash.Enabled {
		crash.At(crash.BarrierSeated)
	}
	if v.c.full(v.round) {
		if crash.Enabled {
			crash.At(crash.BarrierFull)
		}
		if done, err := v.end(action); done {
			return err
		}
	}
	err := v.c.Room().Await(ctx, &v.c.spin, (*roundWaiter)(v))
	if err == nil || err == ErrBroken {
		return err
	}
	v.c.breakRound(v.round)
	if v.passed(v.c.load()) {
		return nil // it passed before it could be broken
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", err, ErrBroken)
	}
	return err
}

// passed reports whether the arrival's round has passed, given that the word is w now. No later
// round passes while the arrival has its seat.
func (v *arrival) passed(w barrierWord) bool {
	return w.round() != v.round && w.passed() == v.round
}

// takeSeat takes a free seat, and reports whether there was one.
//
// It reads the seat before the word: then the CAS shows that no party has had this seat in that
// round before. Otherwise a slow party could take a seat that was left after the round had passed,
// and believe that it had passed, too. If the round has ended before the CAS, it has not passed,
// since this seat was not taken in it.
func (v *arrival) takeSeat() (bool, error) {
	c := v.c
	for missed := true; missed; {
		missed = false
		for i := range c.seats {
			s := seat(c.seats[i].Load())
			w := c.load()
			dead := s.party() != 0 && c.Table().Dead(s.party())
			if dead && s.takenIn(w.round()) {
				c.breakRound(w.round())
				w = c.load()
			}
			if w.broken() {
				return false, ErrBroken
			}
			if s.takenIn(w.round()) || s.party() != 0 && !dead {
				continue
			}
			if c.seats[i].CompareAndSwap(uint64(s), uint64(newSeat(c.Me(), w.round()))) {
				v.seat, v.round = i, w.round()
				return true, nil
			}
			missed = true
		}
	}
	return false, nil
}

// leave gives up the seat. If the round is still open, it breaks the round first.
func (v *arrival) leave() {
	c := v.c
	c.breakRound(v.round)
	c.seats[v.seat].CompareAndSwap(uint64(newSeat(c.Me(), v.round)), uint64(newSeat(0, v.round)))
	if crash.Enabled {
		crash.At(crash.BarrierLeft)
	}
	c.words.freed.NotifyAll()
}

// end runs the action and lets the round pass. It reports false if another party has ended the
// round or runs its action.
func (v *arrival) end(action func() error) (bool, error) {
	c := v.c
	w := c.load()
	if w.round() != v.round || w.state() != roundOpen {
		return false, nil
	}
	if action != nil {
		acting := w.with(roundActing)
		if !c.cas(w, acting) {
			return false, nil
		}
		if crash.Enabled {
			crash.At(crash.BarrierActing)
		}
		if err := c.Done(nil); err != nil {
			return true, err // the memory is not shared any more: no other party waits
		}
		if v.failed = action(); v.failed != nil {
			return true, v.failed
		}
		if crash.Enabled {
			crash.At(crash.BarrierActed)
		}
		w = acting
	}
	if !c.cas(w, newBarrierWord(w.round()+1, roundOpen, w.round())) {
		return false, nil
	}
	if crash.Enabled {
		crash.At(crash.BarrierPassed)
	}
	c.words.ended.NotifyAll()
	return true, nil
}

func (c *barrierCore) load() barrierWord { return barrierWord(c.words.word.Load()) }

func (c *barrierCore) cas(from, to barrierWord) bool {
	return c.words.word.CompareAndSwap(uint64(from), uint64(to))
}

// full reports whether living parties have taken every seat in that round. If one of them is dead,
// it breaks the round.
func (c *barrierCore) full(round uint32) bool {
	n, dead := c.count(round)
	if dead {
		c.breakRound(round)
	}
	return n == len(c.seats) && !dead
}

// count returns the number of seats that are taken in that round, and whether a dead party has one
// of them.
func (c *barrierCore) count(round uint32) (n int, dead bool) {
	for i := range c.seats {
		if s := seat(c.seats[i].Load()); s.takenIn(round) {
			n++
			dead = dead || c.Table().Dead(s.party())
		}
	}
	return n, dead
}

// breakRound breaks that round unless it has ended.
func (c *barrierCore) breakRound(round uint32) {
	for {
		w := c.load()
		if w.round() != round || w.broken() {
			return
		}
		if c.cas(w, w.with(roundBroken)) {
			break
		}
	}
	if crash.Enabled {
		crash.At(crash.BarrierBroke)
	}
	c.wakeAll()
}

func (c *barrierCore) wakeAll() {
	c.words.ended.NotifyAll()
	c.words.freed.NotifyAll()
}

// loadChecked returns the barrier's word. It breaks the round first if a party in it is dead.
func (c *barrierCore) loadChecked() barrierWord {
	w := c.load()
	if w.broken() {
		return w
	}
	if _, dead := c.count(w.round()); dead {
		c.breakRound(w.round())
		w = c.load()
	}
	return w
}

// A roundWaiter is an arrival that waits for the end of its round.
type roundWaiter arrival

func (v *roundWaiter) Try() (bool, error) {
	if !v.wanted() {
		return false, os.ErrClosed
	}
	w := v.c.load()
	if w.round() == v.round {
		w = v.c.loadChecked()
	}
	switch {
	case w.round() == v.round && !w.broken():
		return false, nil
	case (*arrival)(v).passed(w):
		return true, nil
	}
	return false, ErrBroken
}

func (v *roundWaiter) Arm() (wait.Armed, bool) {
	word := v.c.words.ended.Arm()
	if crash.Enabled {
		crash.At(crash.BarrierWaiting)
	}
	return word, true
}

// Pass does nothing: all waiters are woken together.
func (v *roundWaiter) Pass(woken, done bool) {}

// A seatWaiter is an arrival that waits for a seat.
type seatWaiter arrival

func (v *seatWaiter) Try() (bool, error) {
	if !v.wanted() {
		return false, os.ErrClosed
	}
	return (*arrival)(v).takeSeat()
}

func (v *seatWaiter) Arm() (wait.Armed, bool) { return v.c.words.freed.Arm(), true }

// Pass does nothing: all waiters are woken together.
func (v *seatWaiter) Pass(woken, done bool) {}
