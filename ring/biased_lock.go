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

// biasedLockWords is the lock of one side of a stream in shared memory. The goroutine that holds it
// may send (tx) or receive (rx). The words begin the cache line that the side writes.
//
//	0  bias    ID<<1 | R   party of the goroutine that has the bias; R: revoked, for good
//	4  inside  1 while that goroutine holds the lock
//	8  lock    robust lock, 16 bytes, used once the bias is revoked
//
// A side nearly always has one user: one goroutine of one process. The first goroutine that
// acquires the lock gets the bias, and from then on acquires and releases with plain stores to
// inside. A second goroutine revokes the bias: it sets R, makes the kernel execute a full fence in
// every running process, and waits until inside is 0. The owner of the bias stores 1 to inside and
// then loads R. With the fence in between, either the owner sees R, or the revoker sees the 1:
//
//	acquire: inside = 1 [BIAS]; load bias     revoke: bias |= R; fence [BIAS]; load inside
//
// After the revocation every goroutine takes the robust lock.
//
// If the owner of the bias has died, inside has no meaning. Another party takes over a bias that is
// not revoked. The robust lock recovers from a dead owner by itself. For what a dead owner leaves
// in the stream, see streamWords.
//
// The idea is that of biased locking (Kawachiya and others, "Lock Reservation").
type biasedLockWords struct {
	_      structs.HostLayout
	bias   atomic.Uint32
	inside atomic.Uint32
	lock   robust.Words
}

const revoked = 1

// noFence is how long to wait where the kernel offers no fence. It is far longer than a store stays
// in a store buffer.
const noFence = 10 * time.Millisecond

// A biasedLock is this process's view of biasedLockWords.
type biasedLock struct {
	w     *biasedLockWords
	room  *wait.Room
	table *party.Table
	mine  uint32 // value of bias when a goroutine of this party has it
	lock  robust.Mutex
	open  func() bool // reports whether this process has not closed the end

	goroutine atomic.Uintptr // goroutine of this process that has the bias, or 0
	fenced    atomic.Bool    // a fence was executed after R was seen
	spin      wait.Spinner
}

// An ownership is how a goroutine holds a side, which determines how it gives the side up.
type ownership uint8

const (
	inline   ownership = iota // by the bias: see the Inline methods of stream
	biased                    // by the bias, from acquire to release
	locked                    // by the robust lock, from acquire to release
	released                  // not any more
)

func (l *biasedLock) init(w *biasedLockWords, o object.Object, open func() bool) {
	l.w, l.room, l.table, l.open = w, o.Room(), o.Table(), open
	l.mine = uint32(o.Me()) << 1
	l.lock.Init(&w.lock, l.table, l.room)
	l.lock.Count(o.Counters())
	l.spin.Count(o.Counters())
}

// acquireBiased acquires l if the calling goroutine has the bias, and reports whether it did.
func (l *biasedLock) acquireBiased() bool {
	if l.goroutine.Load() != cpu.Self() || l.w.inside.Load() != 0 { // 1: it holds a message in place
		return false
	}
	fence.Publish32(&l.w.inside, 1)
	if l.w.bias.Load() == l.mine { // [BIAS]
		return true
	}
	l.backOut()
	return false
}

// backOut undoes the store of 1 to inside by a goroutine that then found the bias revoked.
func (l *biasedLock) backOut() {
	l.w.inside.Store(0)
	l.wakeRevoker()
}

// wakeRevoker wakes the goroutine that revoked the bias. The caller has set inside to 0.
//
// wakeRevoker must not set it itself. If the goroutine that releases l is not the one that acquired
// it, the owner of the bias may have acquired l again since.
func (l *biasedLock) wakeRevoker() {
	l.goroutine.Store(0)
	futex.Wake(&l.w.inside, futex.All)
}

// releaseBiased undoes acquireBiased.
func (l *biasedLock) releaseBiased() {
	fence.Publish32(&l.w.inside, 0)
	if l.w.bias.Load() != l.mine { // [BIAS]
		l.wakeRevoker()
	}
}

// acquire acquires l: by the bias if the caller has it or can get it, by the robust lock otherwise.
// It blocks until l is available, ctx is done, or this process closes the end. It tries once even
// if ctx is done already. release undoes acquire.
func (l *biasedLock) acquire(ctx context.Context) (ownership, error) {
	for {
		if l.acquireBiased() {
			return biased, nil
		}
		b, self := l.w.bias.Load(), cpu.Self()
		owner := party.ID(b >> 1)
		switch {
		case b&revoked != 0:
			return l.acquireLocked(ctx, owner)
		case self != 0 && (b == 0 || b != l.mine && l.table.Dead(owner)):
			if l.w.bias.CompareAndSwap(b, l.mine) {
				l.w.inside.Store(0) // a dead owner may have left 1
				l.goroutine.Store(self)
			}
		default:
			if l.w.bias.CompareAndSwap(b, b|revoked) {
				return l.acquireLocked(ctx, owner)
			}
		}
	}
}

// acquireLocked acquires l after the bias of owner was revoked.
func (l *biasedLock) acquireLocked(ctx context.Context, owner party.ID) (ownership, error) {
	if !l.fenced.Load() {
		if !fence.Heavy() { // [BIAS]
			time.Sleep(noFence)
		}
		l.fenced.Store(true)
	}
	if _, err := l.lock.TakeOver(ctx, l.open); err != nil {
		return 0, err
	}
	if err := l.awaitOwner(ctx, owner); err != nil {
		l.lock.Release()
		return 0, err
	}
	return locked, nil
}

// release undoes acquire, which returned own.
func (l *biasedLock) release(own ownership) {
	if own == locked {
		l.lock.Release()
	} else {
		l.releaseBiased()
	}
}

// awaitOwner waits until the former owner of a revoked bias does not hold l.
func (l *biasedLock) awaitOwner(ctx context.Context, owner party.ID) error {
	w := &ownerWaiter{l: l, owner: owner}
	if ok, _ := w.Try(); ok {
		return nil
	}
	l.table.Watch(l.table.Epoch().Load()) // a process that only polls learns of deaths, too
	return l.room.Await(ctx, &l.spin, w)
}

// An ownerWaiter waits for the former owner of a revoked bias to release the lock or to die.
type ownerWaiter struct {
	l     *biasedLock
	owner party.ID
}

// Try implements wait.Waiter.
func (w *ownerWaiter) Try() (bool, error) {
	if !w.l.open() {
		return false, ErrClosed
	}
	return w.l.w.inside.Load() == 0 || w.l.table.Dead(w.owner), nil
}

// Arm implements wait.Waiter.
func (w *ownerWaiter) Arm() (wait.Armed, bool) {
	inside := &w.l.w.inside
	now := inside.Load() // 1, unless the memory is corrupt
	return wait.Armed{Word: futex.Word{Addr: inside, Val: now}}, now != 0
}

// Pass implements wait.Waiter.
func (w *ownerWaiter) Pass(bool, bool) {}

// tryOnce is a context that is done: a call that gets it tries once and does not wait.
var tryOnce = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// orBusy returns ErrBusy if err says that a call with tryOnce would have had to wait.
func orBusy(err error) error {
	if err == context.Canceled {
		return ErrBusy
	}
	return err
}
