package wait

import (
	"cmp"
	"context"
	"os"
	"runtime"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/look"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// noFenceSlice bounds a sleep if the kernel offers no fence. It is far longer than a store stays in
// a store buffer.
const noFenceSlice = 10 * time.Millisecond

// No sleep is longer than lastSlice, whatever the waiter waits for. Then the waiter tries again,
// since a process that is stopped (SIGSTOP, a debugger, a frozen cgroup) or starved may have lost a
// wake:
//
//   - If it is stopped asleep, or woken and before its try, it has consumed a wake that another
//     sleeper could use, and it does not set S of the gate again.
//   - If it is stopped between its publication and its load of S, it wakes nobody.
//
// So such a process delays the others by one slice at most. The slices of one wait double, since a
// delay hurts most where waits are short, and a long wait must cost nothing.
const (
	firstSlice = look.First
	lastSlice  = look.Last
)

// Await blocks until w.Try is done or fails, or until ctx ends. It tries at least once even if ctx
// has ended. It returns Try's error, ctx's error, or os.ErrClosed.
//
// It stays awake first, as the room's policy and s say. Then it sleeps, in these steps:
//
//  1. It reads the epoch.
//  2. It arms the waiter's word.
//  3. It makes sure that there is a fence between publications and publishers' loads of the word.
//  4. It tries.
//  5. It sleeps until the word or the epoch differs from the value that it has seen, or ctx ends,
//     or the slice is over. Then it begins again at step 1.
//
// So it misses no death: the try in step 4 sees a death before step 1, and a later death moves the
// epoch.
func (r *Room) Await(ctx context.Context, s *Spinner, w Waiter) error {
	a := attempt{room: r, w: w, spinner: s}
	if err := ctx.Err(); err != nil { // one try, and no wait
		if a.try() {
			return a.err
		}
		return err
	}
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	policy := r.Policy()
	if policy == Spin {
		if err := spinUntil(ctx, a.try, a.watch); err != nil {
			return err
		}
		return a.err
	}
	var begin time.Duration
	var done, spun bool
	if policy == Adaptive {
		begin = Now()
		if done, spun = s.awake(begin, r.crowded(), a.try); done {
			return a.err
		}
	}
	a.lot, a.sleeper = cmp.Or(r.lot, process), new(sleeper)
	defer a.lot.end(a.sleeper)
	for slice := firstSlice; ; slice = min(2*slice, lastSlice) {
		done, err := a.sleepOnce(ctx, slice)
		switch {
		case done:
			w.Pass(a.sleeper.woken, a.err == nil)
			if spun {
				s.missed(a.end() - begin)
			}
			return a.err
		case err != nil:
			w.Pass(a.sleeper.woken, false)
			return err
		}
	}
}

// An attempt is one call of Await.
type attempt struct {
	room *Room
	w    Waiter
	err  error // of the try that ended the wait

	spinner *Spinner
	slept   bool          // once, at least
	woke    time.Duration // when the last sleep ended, if slept is set

	lot     *parkingLot // nil until the first sleep
	sleeper *sleeper    // nil until the first sleep
}

// try reports whether the wait is over, because w.Try is done or fails or the room is closed. It
// sets a.err.
func (a *attempt) try() bool {
	if a.room.closed.Load() {
		a.err = os.ErrClosed
		return true
	}
	var done bool
	done, a.err = a.w.Try()
	return done || a.err != nil
}

// sleepOnce performs the steps of Await once. It returns done if a try has ended the wait, and
// otherwise an error if the wait fails: ctx's or that of the sleep.
func (a *attempt) sleepOnce(ctx context.Context, slice time.Duration) (done bool, err error) {
	epoch := a.room.Epoch.Load() // step 1
	a.room.Watch(epoch)
	word, ok := a.w.Arm() // step 2
	if !ok {
		if a.try() {
			return true, nil
		}
		return false, ctx.Err()
	}
	fenced := word.fence() // step 3
	if a.try() {           // step 4
		a.sleeper.found, a.sleeper.armed = a.err == nil, word.Val
		return true, nil
	}
	limit := word.AtMost
	if !fenced {
		limit = noFenceSlice
	}
	seen := futex.Word{Addr: a.room.Epoch, Val: epoch}
	err = a.sleep(ctx, slice, limit, &word, seen) // step 5
	if err == nil {
		err = ctx.Err() // the words may move so often that no sleep sees ctx end
	}
	if err != nil && a.tryLast() {
		return true, nil
	}
	return false, err
}

// end returns when the wait ended: with its last sleep if that was counted, or now.
func (a *attempt) end() time.Duration {
	if a.slept {
		return a.woke
	}
	return Now()
}

// sleep sleeps at the armed word, and counts that.
func (a *attempt) sleep(ctx context.Context, slice, limit time.Duration, word *Armed, epoch futex.Word) error {
	c := a.spinner.counters
	if c == nil {
		return a.lot.sleep(ctx, slice, limit, a.sleeper, a.w, word.Word, epoch)
	}
	a.spinner.flush()
	begin := Now()
	err := a.lot.sleep(ctx, slice, limit, a.sleeper, a.w, word.Word, epoch)
	a.woke = Now()
	c.slept(a.woke-begin, word.moved(), !a.slept)
	a.slept = true
	return err
}

// tryLast is the last try of a wait that fails. The waiter may have consumed a wake, which would be
// lost without a try. It arms again, as before every try that follows a sleep: the wake has cleared
// S, which the remaining sleepers need.
func (a *attempt) tryLast() bool {
	if word, ok := a.w.Arm(); ok {
		word.fence()
	}
	return a.try()
}

// watch has the deaths of all parties that have joined by now noticed.
func (a *attempt) watch() { a.room.Watch(a.room.Epoch.Load()) }

// spinsPerYield is how often spinUntil tries before it yields the CPU.
const spinsPerYield = 1024

// spinUntil waits as the policy Spin demands, without a sleep, until try returns true or ctx ends.
// It returns ctx's error in the latter case. It calls watch again and again.
func spinUntil(ctx context.Context, try func() bool, watch func()) error {
	watch()
	for i := 0; !try(); i++ {
		if i%spinsPerYield == 0 {
			if i > 0 {
				runtime.Gosched() // the answer may have to come from this process
				sys.Yield()
			}
			watch()
			if err := ctx.Err(); err != nil {
				if try() {
					return nil
				}
				return err
			}
		}
		cpu.Pause()
	}
	return nil
}
