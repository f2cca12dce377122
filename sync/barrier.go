package sync

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/view"
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

// Wait blocks until all parties have arrived. It returns the caller's index: in each round, every
// index from 0 to Parties()-1 is returned once.
//
// Wait fails with ErrBroken if the barrier is broken, breaks, or is reset. If ctx is done or the
// barrier's timeout has passed, the barrier breaks, and the error wraps both ErrBroken and ctx's
// error; but the last party to arrive passes even if ctx is done already. If this process closes
// the barrier, the barrier breaks, and Wait fails with ErrClosed.
//
// If more than Parties() parties arrive at once, the surplus ones wait for a later round. They are
// not part of the current round: if ctx is done before they are part of one, Wait fails with ctx's
// error alone, and nothing breaks.
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
	v := arrival{c: c, wanted: b.ref.Wanted(c)}
	err := c.Done(v.pass(ctx, action))
	if err == nil {
		return v.seat, nil
	}
	if v.failed != nil {
		return -1, called(&c.Base, "psync: "+op, v.failed)
	}
	return -1, failed(&c.Base, op, err)
}

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
	c.wakeAll()
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
	broken := c.loadChecked().broken()
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
	w := c.loadChecked()
	n, _ := c.count(w.round())
	if c.Closed.Load() {
		panic(b.closed("Waiting"))
	}
	if w.broken() {
		return 0
	}
	return n
}
