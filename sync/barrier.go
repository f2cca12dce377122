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

// A Barrier lets a fixed number of parties, goroutines of any processes, wait until all of them
// have arrived, and then go on together, round after round.
//
// A barrier breaks if a party that waits gives up: its context is done, its process is killed, it
// closes the barrier, its action fails, or Abort is called. Then all calls of Wait, also later
// ones, return ErrBroken until Reset.
//
// A party that is killed after its round has passed does not break the barrier. A party that is
// killed less than about a millisecond before the last one arrives may go unnoticed, and the round
// passes. The barrier does not know of a party that is killed outside of Wait: bound Wait by a
// context, or let a process that notices the death call Abort.
//
// Each Wait of a round synchronizes before the return of every Wait that passes the round, and so
// does the round's action.
//
// A Barrier must not be copied. The zero Barrier is closed. All methods may be called from several
// goroutines at once.
type Barrier struct {
	handle[barrierCore, *barrierCore]
}

var _ marshaler = (*Barrier)(nil)

// BarrierOptions are the options of a barrier. Nil means all defaults.
type BarrierOptions struct {
	// Timeout bounds every Wait of every process: when it has passed, the barrier breaks as if the
	// context were done. 0 means no bound.
	Timeout time.Duration
}

// MaxBarrierParties is the greatest number of parties of a barrier.
const MaxBarrierParties = 1 << 12

// barrierWords is a barrier in shared memory. The seats follow, one 64-bit word for each party.
//
//	0    parties  written when the barrier is made
//	8    timeout  written when the barrier is made
//	128  word     round, its state, and the last round that passed
//	256  ended    gate of the waiters that have a seat
//	384  freed    gate of the waiters that have none
//	512  seats
//
// There is no lock. A party that arrives takes a free seat by CAS. When every seat is taken in the
// round, one CAS of the word lets the round pass, and then each party leaves its seat. So:
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

// NewBarrier makes a barrier for that many parties in seg, with an optional name. It takes 512
// bytes and 8 bytes for each party. NewBarrier fails with ErrInvalid if parties is not 1 to
// MaxBarrierParties or the timeout is negative, or as every New function does: see package shm.
func NewBarrier(seg *shm.Segment, name string, parties int, o *BarrierOptions) (*Barrier, error) {
	var timeout time.Duration
	if o != nil {
		timeout = o.Timeout
	}
	if parties < 1 || parties > MaxBarrierParties || timeout < 0 {
		return nil, fmt.Errorf("psync: new barrier %q: %w: %d parties, want 1 to %d, timeout %v",
			name, ErrInvalid, parties, MaxBarrierParties, timeout)
	}
	b := new(Barrier)
	err := b.ref.New(seg, name, barrierSeats+8*parties, func(mem []byte) error {
		w := view.At[barrierWords](mem, 0)
		w.parties.Store(uint32(parties))
		w.timeout.Store(int64(timeout))
		w.word.Store(uint64(newBarrierWord(1, roundOpen, 0)))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// OpenBarrier opens the barrier of that name. It fails as every Open function does: see package
// shm.
func OpenBarrier(seg *shm.Segment, name string) (*Barrier, error) {
	b := new(Barrier)
	if err := b.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return b, nil
}

func (*barrierCore) Type() (shm.Kind, uint64, error) { return shm.KindBarrier, barrierPrint, nil }

func (c *barrierCore) Use(o *object.Object) error {
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
	c.timeout = time.Duration(c.words.timeout.Load())
	return nil
}

// Wait blocks until all parties have arrived. It returns the caller's index: in each round, every
// index from 0 to Parties()-1 is returned once.
//
// Wait fails with ErrBroken if the barrier is broken, breaks, or is reset. If ctx is done or the
// barrier's timeout has passed, the barrier breaks, and the error wraps both ErrBroken and ctx's
// error; but the last party to arrive passes even if ctx is done already. If this process closes
// the barrier, the barrier breaks, and Wait fails with ErrClosed.
//
// If more than Parties() parties arrive at once, those that find no free seat wait for one. They
// are not part of the round: if ctx is done while they wait for a seat, Wait fails with ctx's error
// alone, and nothing breaks.
func (b *Barrier) Wait(ctx context.Context) (int, error) { return b.waitDo(ctx, "Wait", nil) }

// WaitDo is Wait with an action. The last party to arrive runs its action, once in each round,
// before any party passes; the actions of the others are not run. All parties should bring the same
// action: shared memory can't hold a function.
//
// If the action fails or panics, the barrier breaks, and WaitDo returns the action's error as it
// is. If the barrier breaks or is reset while the action runs, the action runs to its end, and then
// WaitDo fails with ErrBroken. The action must not use the barrier.
func (b *Barrier) WaitDo(ctx context.Context, action func() error) (int, error) {
	return b.waitDo(ctx, "WaitDo", action)
}

func (b *Barrier) waitDo(ctx context.Context, op string, action func() error) (int, error) {
	c := b.ref.Load()
	if c == nil {
		return -1, b.closed(op)
	}
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	v := visit{c: c, wanted: b.ref.Wanted(c)}
	err := c.Done(v.pass(ctx, action))
	if err == nil {
		return v.seat, nil
	}
	if v.failed != nil {
		return -1, called(&c.Base, "psync: "+op, v.failed)
	}
	return -1, c.Fail("psync: "+op, err)
}

// A visit is one call of Wait.
type visit struct {
	c      *barrierCore
	wanted func() bool
	seat   int
	round  uint32
	failed error // of the action
}

func (v *visit) pass(ctx context.Context, action func() error) error {
	watch(&v.c.Base)
	if done, err := v.sit(); err != nil {
		return err
	} else if !done {
		if err := v.c.Room().Await(ctx, &v.c.spin, (*comer)(v)); err != nil {
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
	err := v.c.Room().Await(ctx, &v.c.spin, (*sitter)(v))
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

// passed reports whether the visit's round has passed, as the word is w now. No later round passes
// while the visit has its seat.
func (v *visit) passed(w barrierWord) bool {
	return w.round() != v.round && w.passed() == v.round
}

// sit takes a free seat, and reports whether there was one.
//
// It reads the seat before the word: then the CAS shows that no party has had this seat in that
// round before. Otherwise a slow party could take a seat that was left after the round had passed,
// and believe that it had passed, too. If the round has ended before the CAS, it has not passed,
// since this seat was not taken in it.
func (v *visit) sit() (bool, error) {
	c := v.c
	for missed := true; missed; {
		missed = false
		for i := range c.seats {
			s := seat(c.seats[i].Load())
			w := c.load()
			dead := s.party() != 0 && c.Object().Table().Dead(s.party())
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
			if c.seats[i].CompareAndSwap(uint64(s), uint64(newSeat(c.Object().Me(), w.round()))) {
				v.seat, v.round = i, w.round()
				return true, nil
			}
			missed = true
		}
	}
	return false, nil
}

// leave gives up the seat. If the round is still open, it breaks the round first.
func (v *visit) leave() {
	c := v.c
	c.breakRound(v.round)
	c.seats[v.seat].CompareAndSwap(uint64(newSeat(c.Object().Me(), v.round)), uint64(newSeat(0, v.round)))
	if crash.Enabled {
		crash.At(crash.BarrierLeft)
	}
	c.words.freed.NotifyAll()
}

// end runs the action and lets the round pass. It reports false if another party has ended the
// round or runs its action.
func (v *visit) end(action func() error) (bool, error) {
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
			dead = dead || c.Object().Table().Dead(s.party())
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
	c.tellAll()
}

func (c *barrierCore) tellAll() {
	c.words.ended.NotifyAll()
	c.words.freed.NotifyAll()
}

// look returns the barrier's word. It breaks the round first if a party in it is dead.
func (c *barrierCore) look() barrierWord {
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

// A sitter is a visit that waits for the end of its round.
type sitter visit

func (v *sitter) Try() (bool, error) {
	if !v.wanted() {
		return false, os.ErrClosed
	}
	w := v.c.load()
	if w.round() == v.round {
		w = v.c.look()
	}
	switch {
	case w.round() == v.round && !w.broken():
		return false, nil
	case (*visit)(v).passed(w):
		return true, nil
	}
	return false, ErrBroken
}

func (v *sitter) Arm() (wait.Armed, bool) {
	word := v.c.words.ended.Arm()
	if crash.Enabled {
		crash.At(crash.BarrierWaiting)
	}
	return word, true
}

// Pass does nothing: all waiters are woken together.
func (v *sitter) Pass(woken, done bool) {}

// A comer is a visit that waits for a seat.
type comer visit

func (v *comer) Try() (bool, error) {
	if !v.wanted() {
		return false, os.ErrClosed
	}
	return (*visit)(v).sit()
}

func (v *comer) Arm() (wait.Armed, bool) { return v.c.words.freed.Arm(), true }

// Pass does nothing: all waiters are woken together.
func (v *comer) Pass(woken, done bool) {}

// Abort breaks the barrier: all calls of Wait return ErrBroken until Reset. If the barrier is
// broken already, Abort does nothing. It does not block. It fails with ErrClosed.
func (b *Barrier) Abort() error {
	c := b.ref.Load()
	if c == nil {
		return b.closed("Abort")
	}
	for w := c.load(); !w.broken(); w = c.load() {
		c.breakRound(w.round())
	}
	return c.Fail("psync: Abort", c.Done(nil))
}

// Reset begins a new round, whether the barrier is broken or not. Calls of Wait that are waiting
// return ErrBroken; later calls find a barrier that is not broken. It does not block. It fails with
// ErrClosed.
func (b *Barrier) Reset() error {
	c := b.ref.Load()
	if c == nil {
		return b.closed("Reset")
	}
	for w := c.load(); !c.cas(w, newBarrierWord(w.round()+1, roundOpen, w.passed())); w = c.load() {
	}
	if crash.Enabled {
		crash.At(crash.BarrierReset)
	}
	c.tellAll()
	return c.Fail("psync: Reset", c.Done(nil))
}

// Broken reports whether the barrier is broken. It does not block. It panics if the barrier is
// closed.
func (b *Barrier) Broken() bool {
	c := b.ref.Load()
	if c == nil {
		panic(b.closed("Broken"))
	}
	watch(&c.Base)
	broken := c.look().broken()
	if c.Closed.Load() {
		panic(b.closed("Broken"))
	}
	return broken
}

// Parties returns the number of parties that make up a round. It panics if the barrier is closed.
func (b *Barrier) Parties() int {
	c := b.ref.Load()
	if c == nil || c.Closed.Load() {
		panic(b.closed("Parties"))
	}
	return len(c.seats)
}

// Waiting returns the number of parties that wait in the current round, 0 if the barrier is broken.
// It does not block. It panics if the barrier is closed.
func (b *Barrier) Waiting() int {
	c := b.ref.Load()
	if c == nil {
		panic(b.closed("Waiting"))
	}
	watch(&c.Base)
	w := c.look()
	n, _ := c.count(w.round())
	if c.Closed.Load() {
		panic(b.closed("Waiting"))
	}
	if w.broken() {
		return 0
	}
	return n
}
