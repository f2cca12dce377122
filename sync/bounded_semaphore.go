package sync

import (
	"context"
	"fmt"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A BoundedSemaphore is a fixed number of permits that processes and goroutines take and give back.
// A permit that is taken belongs to the process that took it, whichever goroutine did: only that
// process can give it back, and if the process dies, all its permits become free.
//
// Release synchronizes before the return of the Acquire or TryAcquire that takes the same permit
// next. With one permit, a BoundedSemaphore is a lock that ignores deaths.
//
// If nearly all permits are taken, a call reads each of them. Otherwise it finds one next to the
// permit that this process took or gave last.
//
// A BoundedSemaphore must not be copied. The zero BoundedSemaphore is closed. All methods may be
// called from several goroutines at once.
type BoundedSemaphore struct {
	handle[boundedCore, *boundedCore]
}

var _ marshaler = (*BoundedSemaphore)(nil)

// boundedWords is a bounded semaphore in shared memory. The permits follow it.
//
//	0    count    number of permits; written when the semaphore is made
//	128  gate     where waiters for a permit sleep
//	256  permits  8 bytes each; written by the process that takes it or gives it back
//
// A permit names its holder from the CAS that takes it to the CAS that frees it, so no death loses
// a permit. If the process is killed after
//
//	BoundedTaken     the permit names the dead       it is free once the death is announced
//	SemaphoreWaiting gate is set, it does not sleep  one wakeup too many
//	SemaphoreWoken   it has not taken the permit     the death wakes the other waiters
//	BoundedFreed     the permit is free, none woken  the same
type boundedWords struct {
	_     structs.HostLayout
	count atomic.Uint32
	_     [124]byte
	gate  wait.Gate
	_     [120]byte
}

// A permit is a permit's word in shared memory.
//
//	 63                      32   31                        0
//	+----------------------------+---------------------------+
//	| changes so far             | party ID of the holder,   |
//	| modulo 2^32                | 0: free                   |
//	+----------------------------+---------------------------+
type permit uint64

func (p permit) changes() uint32  { return uint32(p >> 32) }
func (p permit) holder() party.ID { return party.ID(uint32(p)) }

// to returns the word of p after it is given to id.
func (p permit) to(id party.ID) permit { return permit(p.changes()+1)<<32 | permit(id) }

const (
	boundedHead  = 256
	boundedPrint = 1 // version of boundedWords and permit
	permitSize   = 8

	// MaxBounded is the greatest number of permits of a BoundedSemaphore.
	MaxBounded = 1 << 16
)

var (
	errNoneTaken = fmt.Errorf("%w: no permit is taken", ErrOverRelease)
	errNoneHere  = &reworded{"no permit that is taken belongs to this process", ErrNotHeld}
)

type boundedCore struct {
	object.Base
	gate    *wait.Gate
	permits []atomic.Uint64
	last    atomic.Uint32 // permit that this process changed last
	spin    wait.Spinner
	taken   object.Polled // error of TryAcquire
}

// NewBoundedSemaphore makes a semaphore of n free permits in seg, with an optional name. It takes
// 256 bytes and 8 bytes for each permit. It fails with ErrInvalid if n is less than 1 or above
// MaxBounded, or as every New function does: see package shm.
func NewBoundedSemaphore(seg *shm.Segment, name string, n int) (*BoundedSemaphore, error) {
	if n < 1 || n > MaxBounded {
		return nil, fmt.Errorf("psync: new bounded semaphore %q: %w: %d permits, want 1 to %d", name, ErrInvalid, n, MaxBounded)
	}
	s := new(BoundedSemaphore)
	err := s.ref.New(seg, name, boundedHead+n*permitSize, func(mem []byte) error {
		view.At[boundedWords](mem, 0).count.Store(uint32(n))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// OpenBoundedSemaphore opens the bounded semaphore of that name. It fails as every Open function
// does: see package shm.
func OpenBoundedSemaphore(seg *shm.Segment, name string) (*BoundedSemaphore, error) {
	s := new(BoundedSemaphore)
	if err := s.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return s, nil
}

func (*boundedCore) Type() (shm.Kind, uint64, error) {
	return shm.KindBoundedSemaphore, boundedPrint, nil
}

func (c *boundedCore) Use(o object.Object) error {
	if err := c.Init(o, boundedHead); err != nil {
		return err
	}
	w := view.At[boundedWords](o.Bytes(), 0)
	n := w.count.Load()
	if n < 1 || n > MaxBounded {
		return fmt.Errorf("bounded semaphore of %d permits: %w", n, shm.ErrCorrupt)
	}
	if err := c.Init(o, boundedHead+int(n)*permitSize); err != nil {
		return err
	}
	c.gate = &w.gate
	c.spin.Count(o.Counters())
	c.permits = view.Slice[atomic.Uint64](o.Bytes(), boundedHead, int(n))
	return nil
}

// TryAcquire takes a permit if one is free, and never blocks. It fails with ErrNoPermit or
// ErrClosed.
func (s *BoundedSemaphore) TryAcquire() error {
	c := s.ref.Load()
	if c == nil {
		return s.closed("TryAcquire")
	}
	if !c.take() {
		watch(&c.Base)
		return tryFailed(&c.Base, &c.taken, "psync: TryAcquire", c.Done(ErrNoPermit))
	}
	return c.Fail("psync: TryAcquire", c.Done(nil))
}

// Acquire takes a permit. It blocks until one is free, because a process releases it or its holder
// dies. It fails with ctx's error when ctx is done (it tries once even if ctx is done already), or
// with ErrClosed when this process closes the semaphore. If Acquire fails, it has not taken a
// permit.
func (s *BoundedSemaphore) Acquire(ctx context.Context) error {
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
func (s *BoundedSemaphore) wait(ctx context.Context, c *boundedCore) error {
	w := &permitWaiter{permits: c, gate: c.gate, wanted: s.ref.Wanted(c)}
	return c.Fail("psync: Acquire", c.Done(c.Room().Await(ctx, &c.spin, w)))
}

// Release gives back one permit of this process, and wakes a waiter. It does not block. It fails
// with ErrOverRelease if no permit is taken, with ErrNotHeld if all that are taken belong to other
// processes, or with ErrClosed.
func (s *BoundedSemaphore) Release() error {
	c := s.ref.Load()
	if c == nil {
		return s.closed("Release")
	}
	return c.Fail("psync: Release", c.Done(c.give()))
}

// Value returns the number of free permits. Those of a process that died count as free as soon as
// its death is known. It fails with ErrClosed.
func (s *BoundedSemaphore) Value() (int, error) {
	c := s.ref.Load()
	if c == nil {
		return 0, s.closed("Value")
	}
	n := c.free()
	if n < len(c.permits) {
		watch(&c.Base)
	}
	if err := c.Done(nil); err != nil {
		return 0, c.Fail("psync: Value", err)
	}
	return n, nil
}

func (c *boundedCore) at(i int) permit { return permit(c.permits[i].Load()) }

// change gives permit i, whose word was p, to id. It reports whether the word was still p.
func (c *boundedCore) change(i int, p permit, id party.ID) bool {
	if !c.permits[i].CompareAndSwap(uint64(p), uint64(p.to(id))) {
		return false
	}
	if c.last.Load() != uint32(i) {
		c.last.Store(uint32(i))
	}
	return true
}

func (c *boundedCore) take() bool {
	i := int(c.last.Load())
	if p := c.at(i); p.holder() != 0 || !c.change(i, p, c.Me()) {
		return c.takeSlow()
	}
	if crash.Enabled {
		crash.At(crash.BoundedTaken)
	}
	return true
}

// takeSlow searches upwards for a free permit, and giveSlow searches downwards for one of this
// process. So a process that takes several permits and gives them back finds each at once.
func (c *boundedCore) takeSlow() bool {
	found := c.find(1, func(i int, p permit) bool {
		return c.isFree(p) && c.change(i, p, c.Me())
	})
	if crash.Enabled && found {
		crash.At(crash.BoundedTaken)
	}
	return found
}

func (c *boundedCore) isFree(p permit) bool {
	return p.holder() == 0 || c.Table().Dead(p.holder())
}

func (c *boundedCore) some() bool {
	return c.find(1, func(_ int, p permit) bool { return c.isFree(p) })
}

func (c *boundedCore) give() error {
	i := int(c.last.Load())
	if p := c.at(i); p.holder() != c.Me() || !c.change(i, p, 0) {
		if err := c.giveSlow(); err != nil {
			return err
		}
	}
	if crash.Enabled {
		crash.At(crash.BoundedFreed)
	}
	c.gate.Notify()
	return nil
}

func (c *boundedCore) giveSlow() error {
	found := c.find(-1, func(i int, p permit) bool {
		return p.holder() == c.Me() && c.change(i, p, 0)
	})
	switch {
	case found:
		return nil
	case c.free() == len(c.permits):
		return errNoneTaken
	}
	return errNoneHere
}

func (c *boundedCore) free() int {
	free, seen := 0, 0
	c.find(1, func(_ int, p permit) bool {
		if seen%len(c.permits) == 0 { // another round
			free = 0
		}
		seen++
		if c.isFree(p) {
			free++
		}
		return false
	})
	return free
}

// maxRounds is how often find reads all permits if other processes change them each time. After
// that it returns its last result. The result may be wrong, but only if there are many permits and
// they change all the time.
const maxRounds = 100

// find calls f with each permit, from the last one on in steps of 1 or -1, until f returns true. It
// returns false only after two rounds without a change between them. Then there was a moment at
// which f would have returned false for every permit. A single round can miss a permit that one
// process frees and another takes.
func (c *boundedCore) find(step int, f func(i int, p permit) bool) bool {
	n := len(c.permits)
	var before uint32
	for round := range maxRounds {
		var changes uint32
		i := int(c.last.Load())
		for range n {
			p := c.at(i)
			if f(i, p) {
				return true
			}
			changes += p.changes()
			if i += step; i == n {
				i = 0
			} else if i < 0 {
				i = n - 1
			}
		}
		if round > 0 && changes == before {
			return false
		}
		before = changes
	}
	return false
}
