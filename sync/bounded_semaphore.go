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

// A BoundedSemaphore is a fixed number of permits that processes and
// goroutines take and give back. Each permit that is out belongs to the process
// that took it, whichever goroutine did: only that process can give it back,
// and when it dies all that it held come back by themselves.
//
// Release synchronizes before the return of the Acquire or TryAcquire that takes
// the same permit next; for one permit a BoundedSemaphore is a lock that ignores
// deaths.
//
// Each permit takes 8 bytes. A call on a semaphore whose permits are nearly all
// taken looks at each of them; otherwise it finds one where this process was
// last.
//
// A BoundedSemaphore must not be copied. The zero BoundedSemaphore is closed.
// All methods may be called from several goroutines at once.
type BoundedSemaphore struct {
	handle[boundedCore, *boundedCore]
}

var _ marshaler = (*BoundedSemaphore)(nil)

// boundedWords is a bounded semaphore in shared memory. The permits follow it.
//
//	0    count    permits; written when the semaphore is made
//	128  gate     of those who wait for a permit
//	256  permits  8 bytes each; written by who takes it and gives it back
//
// A permit names its holder from the moment of the CAS that takes it to that
// of the CAS that frees it, so that there is no death that loses one:
//
//	BoundedTaken: it names the dead          free for all, from the announcement on
//	SemaphoreWaiting: gate set, not asleep   costs one wake too many
//	SemaphoreWoken: a permit is free, not    the others look again at the death
//	taken yet
//	BoundedFreed: it is free, nobody woken   the same
type boundedWords struct {
	_     structs.HostLayout
	count atomic.Uint32
	_     [124]byte
	gate  wait.Gate
	_     [120]byte
}

// A permit is one of the permits as it is in shared memory.
//
//	 63                      32   31                        0
//	+----------------------------+---------------------------+
//	| changes so far             | party ID of the holder,   |
//	| modulo 2^32                | 0: free                   |
//	+----------------------------+---------------------------+
type permit uint64

func (p permit) changes() uint32  { return uint32(p >> 32) }
func (p permit) holder() party.ID { return party.ID(uint32(p)) }

// to is p after it has gone to id.
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

// NewBoundedSemaphore makes a semaphore of n permits, all free, in seg, with
// an optional name. It fails with ErrInvalid if n is less than one or above
// MaxBounded, and as shm.Segment.NewObject does.
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

// OpenBoundedSemaphore opens the bounded semaphore of that name. It fails as
// shm.Segment.OpenObject does.
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

func (c *boundedCore) Use(o *object.Object) error {
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
	c.permits = view.Slice[atomic.Uint64](o.Bytes(), boundedHead, int(n))
	return nil
}

// TryAcquire takes a permit if one is free, and never waits. It fails with
// ErrNoPermit, or ErrClosed.
func (s *BoundedSemaphore) TryAcquire() error {
	c := s.ref.Load()
	if c == nil {
		return s.closed("TryAcquire")
	}
	if !c.take() {
		c.watch()
		return tryFailed(&c.Base, &c.taken, "psync: TryAcquire", c.Done(ErrNoPermit))
	}
	return c.Fail("psync: TryAcquire", c.Done(nil))
}

// Acquire takes a permit. It blocks until one is free, by a Release or by the
// death of its holder, ctx ends (ctx's error; it tries once even if ctx has
// ended already), or the semaphore is closed in this process (ErrClosed). An
// error means that no permit was taken.
func (s *BoundedSemaphore) Acquire(ctx context.Context) error {
	c := s.ref.Load()
	if c == nil {
		return s.closed("Acquire")
	}
	if c.take() {
		return c.Fail("psync: Acquire", c.Done(nil))
	}
	w := &permitWaiter{permits: c, gate: c.gate, wanted: s.ref.Wanted(c)}
	return c.Fail("psync: Acquire", c.Done(c.Room().Await(ctx, &c.spin, w)))
}

// Release gives back one permit of this process, and wakes one who waits. It
// fails with ErrOverRelease if no permit is out, ErrNotHeld if some are but none
// is this process's, or ErrClosed.
func (s *BoundedSemaphore) Release() error {
	c := s.ref.Load()
	if c == nil {
		return s.closed("Release")
	}
	return c.Fail("psync: Release", c.Done(c.give()))
}

// Value returns how many permits are free, those of the dead among them, as
// soon as their deaths are known. It fails with ErrClosed.
func (s *BoundedSemaphore) Value() (int, error) {
	c := s.ref.Load()
	if c == nil {
		return 0, s.closed("Value")
	}
	n := c.free()
	if n < len(c.permits) {
		c.watch()
	}
	if err := c.Done(nil); err != nil {
		return 0, c.Fail("psync: Value", err)
	}
	return n, nil
}

// watch sees to it that who asks again and again, and never waits, is told of
// the deaths.
func (c *boundedCore) watch() {
	t := c.Object().Table()
	t.Watch(t.Epoch().Load())
}

func (c *boundedCore) at(i int) permit { return permit(c.permits[i].Load()) }

// change makes permit i, which was p, id's.
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
	if p := c.at(i); p.holder() != 0 || !c.change(i, p, c.Object().Me()) {
		return c.takeSlow()
	}
	if crash.Enabled {
		crash.At(crash.BoundedTaken)
	}
	return true
}

// takeSlow goes upwards, and giveSlow downwards: a process that takes several
// permits and gives them back finds each at once.
func (c *boundedCore) takeSlow() bool {
	found := c.find(1, func(i int, p permit) bool {
		return c.isFree(p) && c.change(i, p, c.Object().Me())
	})
	if crash.Enabled && found {
		crash.At(crash.BoundedTaken)
	}
	return found
}

func (c *boundedCore) isFree(p permit) bool {
	return p.holder() == 0 || c.Object().Table().Dead(p.holder())
}

func (c *boundedCore) some() bool {
	return c.find(1, func(_ int, p permit) bool { return c.isFree(p) })
}

func (c *boundedCore) give() error {
	i := int(c.last.Load())
	if p := c.at(i); p.holder() != c.Object().Me() || !c.change(i, p, 0) {
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
		return p.holder() == c.Object().Me() && c.change(i, p, 0)
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

// maxRounds is how often find looks at everything at most while others change
// it each time. After that it believes what it saw, which may be wrong: only of
// many permits, never at rest.
const maxRounds = 100

// find looks at each permit, from the last one on in steps of 1 or -1, until
// f is content with one. If it is with none, find returns false, but not before
// it has come round twice without a change in between: then there was a moment
// at which f would have been content with none, while a single round can miss a
// permit that goes from hand to hand.
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
