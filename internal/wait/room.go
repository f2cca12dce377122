// Package wait is the one place where mp blocks: spin a little, then sleep
// in the kernel until what is waited for changes, a process dies, or the
// context ends.
package wait

import (
	"cmp"
	"context"
	"os"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
)

// A Room is where the waiters of one attached segment wait.
type Room struct {
	// Epoch is the segment's word that moves when a process joins or dies.
	Epoch *atomic.Uint32
	// Watch is called by each waiter that is about to sleep with the epoch as
	// it read it. It makes sure that the death of every party that has joined up
	// to then will be noticed as long as there is a waiter.
	Watch func(epoch uint32)

	closed  atomic.Bool
	waiting atomic.Int32
	policy  atomic.Uint32
	crowd   *crowd // nil: that of the process
}

// Close makes every wait fail with os.ErrClosed, once its waiter looks again,
// and reports whether it is the first.
func (r *Room) Close() bool { return r.closed.CompareAndSwap(false, true) }

// Closed reports whether Close was called. A method that has changed shared memory asks
// it afterwards: the change may have gone nowhere.
func (r *Room) Closed() bool { return r.closed.Load() }

// Waiting reports whether somebody waits in the room.
func (r *Room) Waiting() bool { return r.waiting.Load() != 0 }

// SetPolicy sets how this process's waiters of the segment pass the time.
func (r *Room) SetPolicy(p Policy) { r.policy.Store(uint32(p)) }

// Policy returns what SetPolicy set, Adaptive at first.
func (r *Room) Policy() Policy { return Policy(r.policy.Load()) }

// A Waiter knows how to wait for one thing.
type Waiter interface {
	// Try does what is waited for, if it can be done now. A non-nil error
	// ends the wait, as done does.
	Try() (done bool, err error)
	// Arm says in shared memory that somebody is about to sleep, and returns
	// the word that will move. ok false means that it has moved already. A wake
	// counts only if the word, or the epoch, is then not as it was armed: see
	// crowd.
	Arm() (word Armed, ok bool)
	// Pass hands on a wake that this waiter may have eaten: woken says that
	// it may have been woken since it last went to sleep, done that its Try
	// succeeded.
	Pass(woken, done bool)
}

// noFenceSlice bounds a sleep where the kernel gives no fence: far longer
// than a store stays in a store buffer.
const noFenceSlice = 10 * time.Millisecond

// No sleep is longer than lastSlice, whatever it waits for; then the waiter
// looks again. For a wake may be lost to a process that is stopped (SIGSTOP, a
// debugger, a frozen cgroup) or starved:
//
//   - stopped asleep, or woken and not yet looking: it has eaten a wake that
//     another sleeper could use, and does not set the gate's S again;
//   - stopped between its publication and its look at S: nobody is woken.
//
// So such a process holds nobody up for longer than one slice. The slices of one
// wait double, since what others wait for next to a wait that is short is
// urgent, and a wait that is long must cost nothing.
const (
	firstSlice = 50 * time.Millisecond
	lastSlice  = time.Second
)

// Await blocks until w's Try is done or fails, or ctx ends. It tries at least
// once even if ctx has ended. It returns Try's error, ctx's, or os.ErrClosed.
//
// A sleeper reads the epoch first, then arms, then tries, then sleeps on both
// words as it read them: a death before the first of these steps is seen by the
// Try, one after it moves the epoch. It does all that again at least once a
// second: see lastSlice.
func (r *Room) Await(ctx context.Context, s *Spinner, w Waiter) error {
	var err error
	look := func() bool {
		if r.closed.Load() {
			err = os.ErrClosed
			return true
		}
		var done bool
		done, err = w.Try()
		return done || err != nil
	}
	if cerr := ctx.Err(); cerr != nil { // one try, and no wait
		if !look() {
			return cerr
		}
		return err
	}
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	policy := r.Policy()
	if policy == Spin {
		return r.awaitSpinning(ctx, look, &err)
	}
	var begin time.Time
	tried := policy == Adaptive && s.skip.Load() == 0
	if tried {
		begin = time.Now()
	}
	if policy == Adaptive && s.spin(look) {
		return err
	}
	crowd, v := cmp.Or(r.crowd, process), new(visit)
	defer crowd.end(v)
	for slice := firstSlice; ; slice = min(2*slice, lastSlice) {
		epoch := r.Epoch.Load()
		r.Watch(epoch)
		word, ok := w.Arm()
		if !ok {
			if look() {
				break
			}
			if ctx.Err() != nil {
				w.Pass(v.woken, false)
				return ctx.Err()
			}
			continue
		}
		fenced := word.fence()
		if look() {
			v.found, v.armed = err == nil, word.Val
			break
		}
		limit := word.AtMost
		if !fenced {
			limit = noFenceSlice
		}
		serr := crowd.sleep(ctx, slice, limit, v, w, word.Word, futex.Word{Addr: r.Epoch, Val: epoch})
		if serr == nil {
			serr = ctx.Err() // also if the words never rest
		}
		if serr != nil {
			// The wake that this waiter was counted for may be lost with it:
			// look once more, else pass it on. It arms again, as after each
			// sleep: who was woken cleared the bit of those who still sleep.
			if last, ok := w.Arm(); ok {
				last.fence()
			}
			if look() {
				break
			}
			w.Pass(v.woken, false)
			return serr
		}
	}
	w.Pass(v.woken, err == nil)
	if tried {
		s.missed(time.Since(begin))
	}
	return err
}

func (r *Room) awaitSpinning(ctx context.Context, look func() bool, err *error) error {
	seen := r.Epoch.Load()
	r.Watch(seen)
	stop := func() bool {
		if e := r.Epoch.Load(); e != seen {
			r.Watch(e)
			seen = e
		}
		return ctx.Err() != nil
	}
	if !look() && (stop() || !spinOn(look, stop)) && !look() {
		*err = ctx.Err()
	}
	return *err
}
