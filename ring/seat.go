package ring

import (
	"context"
	"structs"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/robust"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// seatWords is the seat of one side of a stream in shared memory: who sits in
// it may work on that side. It begins the line that the side writes.
//
//	0  bias    ID<<1 | R   the goroutine that has the seat for itself; R: revoked, for good
//	4  inside  1 while the one that has it for itself works
//	8  lock    robust lock, 16 bytes, once the seat is revoked
//
// A side nearly always has one user: one goroutine of one process. The first to
// come takes the seat for itself, and from then on comes and goes with plain
// stores to inside. When a second one comes it revokes that: it sets R, lets the
// kernel put a fence into every running process, and waits until inside is 0.
// After its store of 1 the first looks at R, so that with the fence between
// either it sees R, or the second sees the 1:
//
//	enter: inside = 1 [SEAT]; look at bias     revoke: bias |= R; fence [SEAT]; look at inside
//
// Thereafter all take the lock for each visit. Death: a dead owner's inside says
// nothing, and its bias can be taken if it is not revoked; the lock is robust.
// What the dead left of the stream, see streamWords.
//
// The idea is that of biased locking (Kawachiya and others, "Lock Reservation").
type seatWords struct {
	_      structs.HostLayout
	bias   atomic.Uint32
	inside atomic.Uint32
	lock   robust.Words
}

const revoked = 1

// noFence is how long to wait instead where the kernel gives no fence: far
// longer than a store stays in a store buffer.
const noFence = 10 * time.Millisecond

// A seat is this process's view of a seat.
type seat struct {
	w     *seatWords
	room  *wait.Room
	table *party.Table
	mine  uint32 // bias when this process has the seat for itself
	lock  robust.Mutex
	open  func() bool // not closed in this process

	goroutine atomic.Uintptr // of this process that has it, 0 if none
	fenced    atomic.Bool    // a fence was made after R was seen
	spin      wait.Spinner
}

func (s *seat) init(w *seatWords, o object.Object, open func() bool) {
	s.w, s.room, s.table, s.open = w, o.Room(), o.Table(), open
	s.mine = uint32(o.Me()) << 1
	s.lock.Init(&w.lock, s.table, s.room)
}

// enter takes the seat the short way, or says that it can't be had that way.
func (s *seat) enter() bool {
	if s.goroutine.Load() != cpu.Self() || s.w.inside.Load() != 0 { // 1: it holds a message in place
		return false
	}
	fence.Publish32(&s.w.inside, 1)
	if s.w.bias.Load() == s.mine { // [SEAT]
		return true
	}
	s.ousted()
	return false
}

// ousted leaves a seat that was revoked before enter had it.
func (s *seat) ousted() {
	s.w.inside.Store(0)
	s.vacated()
}

// vacated tells who revoked the seat that inside has become 0. It does not
// make it 0 itself: where another goroutine ends a visit than began it, the one
// that has the seat may be inside again.
func (s *seat) vacated() {
	s.goroutine.Store(0)
	futex.Wake(&s.w.inside, futex.All)
}

// leave ends a visit that enter began.
func (s *seat) leave() {
	fence.Publish32(&s.w.inside, 0)
	if s.w.bias.Load() != s.mine { // [SEAT]
		s.vacated()
	}
}

// enterSlow takes the seat as it can be had, waiting for its turn until ctx
// ends (it tries once even if ctx has ended) or the end is closed. leaveAs ends
// the visit.
func (s *seat) enterSlow(ctx context.Context) (stay, error) {
	for {
		if s.enter() {
			return seated, nil
		}
		b := s.w.bias.Load()
		owner := party.ID(b >> 1)
		if b&revoked == 0 {
			self := cpu.Self()
			if self != 0 && (b == 0 || b != s.mine && s.table.Dead(owner)) {
				if s.w.bias.CompareAndSwap(b, s.mine) {
					s.w.inside.Store(0) // a dead owner's
					s.goroutine.Store(self)
				}
				continue
			}
			if !s.w.bias.CompareAndSwap(b, b|revoked) {
				continue
			}
		}
		if !s.fenced.Load() {
			if !fence.Heavy() {
				time.Sleep(noFence)
			}
			s.fenced.Store(true)
		}
		if _, err := s.lock.TakeOver(ctx, s.open); err != nil {
			return 0, err
		}
		if err := s.empty(ctx, owner); err != nil {
			s.lock.Release()
			return 0, err
		}
		return locked, nil
	}
}

// leaveAs ends a visit.
func (s *seat) leaveAs(how stay) {
	if how == locked {
		s.lock.Release()
	} else {
		s.leave()
	}
}

// empty waits until the former owner of a revoked seat is not inside.
func (s *seat) empty(ctx context.Context, owner party.ID) error {
	v := &vacancy{s: s, owner: owner}
	if ok, _ := v.Try(); ok {
		return nil
	}
	s.table.Watch(s.table.Epoch().Load()) // also who never waits learns of deaths
	return s.room.Await(ctx, &s.spin, v)
}

// A vacancy waits for the former owner to leave.
type vacancy struct {
	s     *seat
	owner party.ID
}

func (v *vacancy) Try() (bool, error) {
	if !v.s.open() {
		return false, ErrClosed
	}
	return v.s.w.inside.Load() == 0 || v.s.table.Dead(v.owner), nil
}

func (v *vacancy) Arm() (wait.Armed, bool) {
	inside := &v.s.w.inside
	now := inside.Load() // 1, unless somebody writes nonsense
	return wait.Armed{Word: futex.Word{Addr: inside, Val: now}}, now != 0
}

func (v *vacancy) Pass(bool, bool) {}

// busy makes ErrBusy of the error of a visit that was not to wait.
func busy(err error) error {
	if err == context.Canceled {
		return ErrBusy
	}
	return err
}

// ended is a context that is done: a call that gets it tries once.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
