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

// A Barrier lets a fixed number of parties, goroutines of any processes, wait
// until all of them have come, and then go on together, round after round.
//
// A barrier in which somebody gives up is broken: one of those who wait has a
// context that ends, or is killed, or closes the barrier, or runs an action that
// fails, or somebody calls Abort. Then all who wait and all who come fail with
// ErrBroken, until Reset. A party that is killed after its round has passed
// breaks nothing, nor does one whose death is not known yet, for a millisecond,
// when the last comes; of one that is killed outside of Wait the barrier knows
// nothing: bound Wait by a context, or let who sees the death call Abort.
//
// Every call of Wait that comes for a round synchronizes before the return of
// every Wait that passes it, and so does the round's action.
//
// A Barrier must not be copied. The zero Barrier is closed. All methods may be
// called from several goroutines at once.
type Barrier struct {
	handle[barrierCore, *barrierCore]
}

var _ marshaler = (*Barrier)(nil)

// BarrierOptions are the choices at making a barrier. Nil means all defaults.
type BarrierOptions struct {
	// Timeout bounds every Wait of every process, as if its context ended
	// then: the barrier breaks. 0 means no bound.
	Timeout time.Duration
}

// MaxBarrierParties is the greatest number of parties of a barrier.
const MaxBarrierParties = 1 << 12

// barrierWords is a barrier in shared memory. The seats follow, one 64-bit
// word for each party.
//
//	0    parties  written when the barrier is made, as is
//	8    timeout
//	128  word     which round it is, and how the rounds before have ended
//	256  ended    gate of those who have a seat
//	384  freed    gate of those who have none
//	512  seats
//
// There is no lock. Who comes takes a free seat by CAS; a round passes by one
// CAS of the word, which is made when every seat is taken for that round; who
// has waited then leaves its seat. So:
//
//   - Seats of a round that is open are never given up: who leaves breaks the
//     round first.
//   - No round passes while somebody from a round before still has a seat, and
//     it can always tell from the word whether its own round has passed.
//   - A seat is an index, and each is taken once in a round.
//
// Steps, and what is left if the party is killed after them:
//
//	1  seat taken                    its seat names the dead in an open round: who
//	                                 looks at the seats breaks the round
//	2  all seats seen taken          the same
//	3  ACTING; the action has run    the same
//	4  next round                    the round has passed; the death wakes all, and
//	                                 the seat, of a round before, is free
//	5  others woken                  the same
//	6  seat left                     nothing; the death wakes who waits for a seat
//
// BROKEN and a reset are one CAS each, and the death wakes all as well.
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
	roundActing // all have come, and one of them runs the action
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

// A seat says who has it, nobody if that is 0, and since which round.
type seat uint64

func newSeat(id party.ID, round uint32) seat { return seat(id)<<32 | seat(round) }
func (s seat) party() party.ID               { return party.ID(s >> 32) }
func (s seat) round() uint32                 { return uint32(s) }

// takenIn tells whether s was taken in that round.
func (s seat) takenIn(round uint32) bool { return s.party() != 0 && s.round() == round }

type barrierCore struct {
	object.Base
	words   *barrierWords
	seats   []atomic.Uint64
	timeout time.Duration
	spin    wait.Spinner
}

// NewBarrier makes a barrier for so many parties in seg, with an optional
// name. It fails with ErrInvalid if parties is not 1 to MaxBarrierParties or the
// timeout is negative, and as shm.Segment.NewObject does.
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

// OpenBarrier opens the barrier of that name. It fails as
// shm.Segment.OpenObject does.
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

// Wait waits until all parties have come, and returns the caller's index: each
// from 0 to Parties()-1 is returned once in a round.
//
// It fails with ErrBroken if the barrier is broken or breaks, or is reset, and
// with ErrClosed if it is closed in this process. If ctx ends, or the barrier's
// timeout has passed, the barrier breaks, and the error is ErrBroken and ctx's;
// the last party to come passes even if ctx has ended already. When more than
// Parties() come at once, those that find no place wait, outside of the barrier,
// until one is free: if ctx ends then, it is ctx's error alone and nothing breaks.
func (b *Barrier) Wait(ctx context.Context) (int, error) { return b.waitDo(ctx, "Wait", nil) }

// WaitDo is Wait with an action, which the last party to come runs, once in
// each round, before anyone passes; the others' actions are not run. All parties
// should bring the same: a function can't be kept in shared memory.
//
// If the action fails or panics the barrier breaks, and WaitDo returns the
// action's error. If the barrier breaks or is reset while the action runs, it is
// not stopped, and its caller then fails with ErrBroken. The action must not use
// the barrier.
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
	v.c.watch()
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

// passed tells whether the visit's round has passed. No round passes after it
// while the visit has its seat.
func (v *visit) passed(w barrierWord) bool {
	return w.round() != v.round && w.passed() == v.round
}

// sit takes a free seat, if there is one.
//
// The seat is read before the word: the CAS then shows that nobody has had this
// seat in that round before. Otherwise a slow comer might take a seat that was
// left after the round has passed, and take itself for one of those who passed.
// The round may have ended before the CAS; then it has not passed, since this
// seat was not taken for it.
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

// leave gives up the seat. Who leaves before the end of the round breaks it.
func (v *visit) leave() {
	c := v.c
	c.breakRound(v.round)
	c.seats[v.seat].CompareAndSwap(uint64(newSeat(c.Object().Me(), v.round)), uint64(newSeat(0, v.round)))
	if crash.Enabled {
		crash.At(crash.BarrierLeft)
	}
	c.words.freed.NotifyAll()
}

// end lets the round pass, unless somebody else has ended it or is about to.
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
			return true, err // these are not the shared seats: nobody waits
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

// watch makes sure that deaths are noticed even if nobody sleeps, and those
// that nobody has noticed yet at once.
func (c *barrierCore) watch() {
	t := c.Object().Table()
	t.Watch(t.Epoch().Load())
}

func (c *barrierCore) load() barrierWord { return barrierWord(c.words.word.Load()) }

func (c *barrierCore) cas(from, to barrierWord) bool {
	return c.words.word.CompareAndSwap(uint64(from), uint64(to))
}

// full tells whether every seat is taken in that round, by the living. It
// breaks the round if not all of them live.
func (c *barrierCore) full(round uint32) bool {
	n, dead := c.count(round)
	if dead {
		c.breakRound(round)
	}
	return n == len(c.seats) && !dead
}

// count returns how many seats are taken in that round, and whether anyone of
// them by the dead.
func (c *barrierCore) count(round uint32) (n int, dead bool) {
	for i := range c.seats {
		if s := seat(c.seats[i].Load()); s.takenIn(round) {
			n++
			dead = dead || c.Object().Table().Dead(s.party())
		}
	}
	return n, dead
}

// breakRound breaks that round, if it has not ended.
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

// look returns the barrier's word, after the round was broken if somebody in
// it is dead.
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

// A sitter waits for the end of its round.
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

// Pass has nothing to do: all who wait are woken together.
func (v *sitter) Pass(woken, done bool) {}

// A comer waits for a seat.
type comer visit

func (v *comer) Try() (bool, error) {
	if !v.wanted() {
		return false, os.ErrClosed
	}
	return (*visit)(v).sit()
}

func (v *comer) Arm() (wait.Armed, bool) { return v.c.words.freed.Arm(), true }

// Pass has nothing to do, as above.
func (v *comer) Pass(woken, done bool) {}

// Abort breaks the barrier: all who wait and all who come fail with ErrBroken,
// until Reset. A broken barrier stays as it is. It fails with ErrClosed.
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

// Reset begins a new round, broken or not: who waits fails with ErrBroken, and
// who comes afterwards finds a barrier as good as new. It fails with ErrClosed.
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

// Broken tells whether the barrier is broken. It never waits. A barrier that
// is closed in this process counts as broken.
func (b *Barrier) Broken() bool {
	c := b.ref.Load()
	if c == nil {
		panic(b.closed("Broken"))
	}
	c.watch()
	broken := c.look().broken()
	if c.Closed.Load() {
		panic(b.closed("Broken"))
	}
	return broken
}

// Parties returns how many have to come, 0 if the barrier is closed in this
// process.
func (b *Barrier) Parties() int {
	c := b.ref.Load()
	if c == nil || c.Closed.Load() {
		panic(b.closed("Parties"))
	}
	return len(c.seats)
}

// Waiting returns how many wait in the barrier at the moment, 0 if it is broken
// or closed in this process.
func (b *Barrier) Waiting() int {
	c := b.ref.Load()
	if c == nil {
		panic(b.closed("Waiting"))
	}
	c.watch()
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
