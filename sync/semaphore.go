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

// A Semaphore is a number of permits that processes and goroutines take and
// give back.
//
// The permits are anonymous: who gives one back need not have taken one, and a
// process that dies with one has taken it for ever. For permits that come back
// by themselves use a BoundedSemaphore.
//
// Release synchronizes before the return of each Acquire and TryAcquire that
// takes a permit after it.
//
// A Semaphore must not be copied. The zero Semaphore is closed. All methods may
// be called from several goroutines at once.
type Semaphore struct {
	handle[semaphoreCore, *semaphoreCore]
}

var _ marshaler = (*Semaphore)(nil)

// semaphoreWords is a semaphore in shared memory.
//
//	0    count  free permits; written by all
//	128  gate   of those who wait for a permit
//
// A permit is taken and given back by one CAS of count, so that no death
// leaves anything half done:
//
//	SemaphoreTaken: count is one less        the permit is gone with the dead
//	SemaphoreWaiting: gate set, not asleep   costs one wake too many
//	SemaphoreWoken: a permit is there, not   the others look again at the death
//	taken yet
//	SemaphoreReleased: permits given,        the same
//	nobody woken
type semaphoreWords struct {
	_     structs.HostLayout
	count atomic.Uint32
	_     [124]byte // the gate moves when somebody sleeps only
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

// NewSemaphore makes a semaphore in seg, of value permits, with an optional
// name. It fails with ErrInvalid if value is negative or above 2^31-1, and as
// shm.Segment.NewObject does.
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

// OpenSemaphore opens the semaphore of that name. It fails as
// shm.Segment.OpenObject does.
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

func (c *semaphoreCore) Use(o *object.Object) error {
	if err := c.Init(o, semaphoreSize); err != nil {
		return err
	}
	c.w = view.At[semaphoreWords](o.Bytes(), 0)
	return nil
}

// TryAcquire takes a permit if there is one, and never waits. It fails with
// ErrNoPermit, or ErrClosed.
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

// Acquire takes a permit. It blocks until there is one, ctx ends (ctx's error;
// it tries once even if ctx has ended already), or the semaphore is closed in
// this process (ErrClosed). An error means that no permit was taken.
func (s *Semaphore) Acquire(ctx context.Context) error {
	c := s.ref.Load()
	if c == nil {
		return s.closed("Acquire")
	}
	if c.take() {
		return c.Fail("psync: Acquire", c.Done(nil))
	}
	w := &permitWaiter{permits: c, gate: &c.w.gate, wanted: s.ref.Wanted(c)}
	return c.Fail("psync: Acquire", c.Done(c.Room().Await(ctx, &c.spin, w)))
}

// Release gives one permit, taken or new, and wakes one who waits. It fails
// with ErrOverRelease if there are 2^31-1 already, or ErrClosed.
func (s *Semaphore) Release() error {
	c := s.ref.Load()
	if c == nil {
		return s.closed("Release")
	}
	return c.Fail("psync: Release", c.Done(c.give(1)))
}

// ReleaseN gives n permits at once, taken or new, and wakes as many who wait.
// It fails with ErrInvalid if n is less than one, ErrOverRelease if there would
// be more than 2^31-1, or ErrClosed; then it has given none.
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

// Value returns how many permits there are to take. It fails with ErrClosed.
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

// give adds n permits, of which there is at most maxPermits.
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
	c.w.gate.Notify() // one: it wakes the next if it leaves permits
	return nil
}

// A permitWaiter waits at a gate until it has taken a permit.
type permitWaiter struct {
	permits interface {
		take() bool // takes a permit if one is free
		some() bool // tells whether one is free
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

// Pass wakes the next if this one ate a wake that it had no use for, or if
// more permits came while one wake was on its way.
func (w *permitWaiter) Pass(woken, done bool) {
	if woken && (!done || w.permits.some()) {
		w.gate.Pass()
	}
}

// Alike implements wait.Alike.
func (w *permitWaiter) Alike() any { return w.gate }
