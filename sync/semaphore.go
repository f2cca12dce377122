package sync

import (
	"context"
	"fmt"
	"math"
	"os"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Semaphore is a number of permits that processes and goroutines take and give back.
//
// The permits have no owner: a process may give a permit that it has not taken, and if a process
// dies, the permits that it had taken are lost. In a BoundedSemaphore they become free.
//
// Release synchronizes before the return of each Acquire and TryAcquire that takes a permit after
// it.
//
// A Semaphore must not be copied. The zero Semaphore is closed. All methods may be called from
// several goroutines at once.
type Semaphore struct {
	handle[semaphoreCore, *semaphoreCore]
}

var _ marshaler = (*Semaphore)(nil)

// semaphoreWords is a semaphore in shared memory.
//
//	0    count  free permits; all processes write it
//	128  gate   where waiters for a permit sleep
//
// One CAS of count takes or gives a permit, so a death leaves nothing half done. If the process is
// killed after
//
//	SemaphoreTaken     count is one less              the permit is lost
//	SemaphoreWaiting   gate is set, it does not sleep  one wakeup too many
//	SemaphoreWoken     it has not taken the permit    the death wakes the other waiters
//	SemaphoreReleased  permits given, none woken      the same
type semaphoreWords struct {
	_     structs.HostLayout
	count atomic.Uint32
	_     [124]byte // the gate is on its own cache lines: it changes only if a waiter sleeps
	gate  wait.Gate
	_     [120]byte
}

const (
	semaphoreSize  = 256
	semaphorePrint = 1 // version of semaphoreWords
	maxPermits     = math.MaxInt32
)

var errTooManyPermits = fmt.Errorf("%w: it would have more than %d permits", ErrOverRelease, maxPermits)

type semaphoreCore struct {
	object.Base
	w     *semaphoreWords
	spin  wait.Spinner
	taken object.Polled // error of TryAcquire
}

// NewSemaphore makes a semaphore in seg with value free permits, and an optional name. It takes 256
// bytes. NewSemaphore fails with ErrInvalid if value is negative or above 2^31-1, or as every New
// function does: see package shm.
func NewSemaphore(seg *shm.Segment, name string, value int) (*Semaphore, error) {
	if value < 0 || value > maxPermits {
		return nil, fmt.Errorf("psync: new semaphore %q: %w: %d permits, want 0 to %d", name, ErrInvalid, value, maxPermits)
	}
	s := new(Semaphore)
	err := s.ref.New(seg, name, semaphoreSize, func(mem []byte) error {
		view.At[semaphoreWords](mem, 0).count.Store(uint32(value))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// OpenSemaphore opens the semaphore of that name. It fails as every Open function does: see package
// shm.
func OpenSemaphore(seg *shm.Segment, name string) (*Semaphore, error) {
	s := new(Semaphore)
	if err := s.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return s, nil
}

func (*semaphoreCore) Type() (shm.Kind, uint64, error) {
	return shm.KindSemaphore, semaphorePrint, nil
}

func (c *semaphoreCore) Use(o object.Object) error {
	if err := c.Init(o, semaphoreSize); err != nil {
		return err
	}
	c.w = view.At[semaphoreWords](o.Bytes(), 0)
	c.spin.Count(o.Counters())
	return nil
}

// TryAcquire takes a permit if one is free, and never blocks. It fails with ErrNoPermit or
// ErrClosed.
func (s *Semaphore) TryAcquire() error {
	c := s.ref.Load()
	if c == nil {
		return s.closed("TryAcquire")
	}
	if !c.take() {
		return tryFailed(&c.Base, &c.taken, "psync: TryAcquire", c.Done(ErrNoPermit))
	}
	return c.Fail("psync: TryAcquire", c.Done(nil))
}

// Acquire takes a permit. It blocks until one is free. It fails with ctx's error when ctx is done
// (it tries once even if ctx is done already), or with ErrClosed when this process closes the
// semaphore. If Acquire fails, it has not taken a permit.
func (s *Semaphore) Acquire(ctx context.Context) error {
	c := s.ref.Load()
	if c == nil {
		return s.closed("Acquire")
	}
	if c.take() {
		return c.Fail("psync: Acquire", c.Done(nil))
	}
	return s.wait(ctx, c)
}

// wait is Acquire when no permit is free. It is a separate function to keep Acquire's frame small.
func (s *Semaphore) wait(ctx context.Context, c *semaphoreCore) error {
	w := &permitWaiter{permits: c, gate: &c.w.gate, wanted: s.ref.Wanted(c)}
	return c.Fail("psync: Acquire", c.Done(c.Room().Await(ctx, &c.spin, w)))
}

// Release gives one permit, whether it had been taken or not, and wakes a waiter. It does not
// block. It fails with ErrOverRelease if there are 2^31-1 free permits already, or with ErrClosed.
func (s *Semaphore) Release() error {
	c := s.ref.Load()
	if c == nil {
		return s.closed("Release")
	}
	return c.Fail("psync: Release", c.Done(c.give(1)))
}

// ReleaseN gives n permits at once, whether they had been taken or not, and wakes up to n waiters.
// It does not block. It fails with ErrInvalid if n is less than 1, with ErrOverRelease if there
// would be more than 2^31-1 free permits, or with ErrClosed; then it has given none.
func (s *Semaphore) ReleaseN(n int) error {
	c := s.ref.Load()
	if c == nil {
		return s.closed("ReleaseN")
	}
	switch {
	case n < 1:
		return c.Fail("psync: ReleaseN", c.Done(fmt.Errorf("%w: %d permits, want 1 or more", ErrInvalid, n)))
	case n > maxPermits:
		return c.Fail("psync: ReleaseN", c.Done(errTooManyPermits))
	}
	return c.Fail("psync: ReleaseN", c.Done(c.give(uint32(n))))
}

// Value returns the number of free permits. It fails with ErrClosed.
func (s *Semaphore) Value() (int, error) {
	c := s.ref.Load()
	if c == nil {
		return 0, s.closed("Value")
	}
	n := c.w.count.Load()
	if err := c.Done(nil); err != nil {
		return 0, c.Fail("psync: Value", err)
	}
	return int(min(n, maxPermits)), nil
}

func (c *semaphoreCore) take() bool {
	for {
		n := c.w.count.Load()
		if n == 0 {
			return false
		}
		if c.w.count.CompareAndSwap(n, n-1) {
			if crash.Enabled {
				crash.At(crash.SemaphoreTaken)
			}
			return true
		}
	}
}

func (c *semaphoreCore) some() bool { return c.w.count.Load() > 0 }

// give adds n permits. n is at most maxPermits.
func (c *semaphoreCore) give(n uint32) error {
	for {
		old := c.w.count.Load()
		if old > maxPermits-n {
			return errTooManyPermits
		}
		if c.w.count.CompareAndSwap(old, old+n) {
			break
		}
	}
	if crash.Enabled {
		crash.At(crash.SemaphoreReleased)
	}
	c.w.gate.Notify() // wakes one waiter, which wakes the next if it leaves permits
	return nil
}

// A permitWaiter waits at a gate until it has taken a permit.
type permitWaiter struct {
	permits interface {
		take() bool // takes a permit if one is free
		some() bool // reports whether one is free
	}
	gate   *wait.Gate
	wanted func() bool
	armed  bool
}

func (w *permitWaiter) Try() (bool, error) {
	if !w.wanted() {
		return false, os.ErrClosed
	}
	if crash.Enabled && w.armed && w.permits.some() {
		crash.At(crash.SemaphoreWoken)
	}
	return w.permits.take(), nil
}

func (w *permitWaiter) Arm() (wait.Armed, bool) {
	word := w.gate.Arm()
	w.armed = true
	if crash.Enabled {
		crash.At(crash.SemaphoreWaiting)
	}
	return word, true
}

// Pass wakes the next waiter if this one was woken and took no permit, or if more permits than one
// were given since it was woken.
func (w *permitWaiter) Pass(woken, done bool) {
	if woken && (!done || w.permits.some()) {
		w.gate.Pass()
	}
}

// Alike implements wait.Alike: waiters at one gate are interchangeable.
func (w *permitWaiter) Alike() any { return w.gate }
