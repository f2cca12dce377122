package sync_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A contest measures the time of one use of a primitive: by one goroutine, and by several
// goroutines or processes that contend.
type contest struct {
	name string
	// lay makes the object in seg, with that name, for that many contenders.
	lay func(seg *shm.Segment, name string, contenders int) error
	// enter opens the object for the ith of n contenders, which all use it equally often, and
	// returns one use of it.
	enter func(seg *shm.Segment, name string, i, n int) (use func(ctx context.Context) error, err error)
}

// uses returns the contest of a primitive of type T. lay makes the object, open opens it, and use
// is one use.
func uses[T any](name string, lay func(seg *shm.Segment, name string, contenders int) (T, error),
	open func(*shm.Segment, string) (T, error), use func(ctx context.Context, v T) error) contest {
	return contest{
		name,
		func(seg *shm.Segment, name string, n int) error { return Second(lay(seg, name, n)) },
		func(seg *shm.Segment, name string, _, _ int) (func(context.Context) error, error) {
			v, err := open(seg, name)
			return func(ctx context.Context) error { return use(ctx, v) }, err
		},
	}
}

// releasing is one use of an object that is acquired and released.
func releasing[T interface {
	Acquire(context.Context) error
	Release() error
}](ctx context.Context, v T) error {
	if err := v.Acquire(ctx); err != nil {
		return err
	}
	return v.Release()
}

var contests = []contest{
	uses("Lock",
		func(seg *shm.Segment, name string, _ int) (*psync.Lock, error) { return psync.NewLock(seg, name, nil) },
		psync.OpenLock, releasing),
	uses("RLock",
		func(seg *shm.Segment, name string, _ int) (*held, error) {
			l, err := psync.NewRLock(seg, name, nil)
			return &held{RLock: l}, err
		},
		func(seg *shm.Segment, name string) (*held, error) {
			l, err := psync.OpenRLock(seg, name)
			return &held{RLock: l}, err
		}, releasing),
	uses("Semaphore", // with half as many permits as contenders
		func(seg *shm.Segment, name string, n int) (*psync.Semaphore, error) {
			return psync.NewSemaphore(seg, name, (n+1)/2)
		},
		psync.OpenSemaphore, releasing),
	uses("BoundedSemaphore",
		func(seg *shm.Segment, name string, n int) (*psync.BoundedSemaphore, error) {
			return psync.NewBoundedSemaphore(seg, name, (n+1)/2)
		},
		psync.OpenBoundedSemaphore, releasing),
	uses("Event", // all contenders set and read it
		func(seg *shm.Segment, name string, _ int) (*psync.Event, error) { return psync.NewEvent(seg, name) },
		psync.OpenEvent,
		func(ctx context.Context, e *psync.Event) error {
			if err := e.Set(); err != nil {
				return err
			}
			return e.Wait(ctx)
		}),
	uses("EventIsSet",
		func(seg *shm.Segment, name string, _ int) (*psync.Event, error) { return psync.NewEvent(seg, name) },
		psync.OpenEvent,
		func(_ context.Context, e *psync.Event) error {
			if e.IsSet() {
				return psync.ErrInvalid
			}
			return nil
		}),
	{"Condition", layTurns, enterTurns},
	uses("Barrier",
		func(seg *shm.Segment, name string, n int) (*psync.Barrier, error) {
			return psync.NewBarrier(seg, name, n, nil)
		},
		psync.OpenBarrier,
		func(ctx context.Context, b *psync.Barrier) error { return Second(b.Wait(ctx)) }),
	uses("RWLockRead",
		func(seg *shm.Segment, name string, _ int) (*psync.RWLock, error) {
			return psync.NewRWLock(seg, name, nil)
		},
		psync.OpenRWLock,
		func(ctx context.Context, l *psync.RWLock) error {
			if err := l.RAcquire(ctx); err != nil {
				return err
			}
			return l.RRelease()
		}),
	uses("RWLockWrite",
		func(seg *shm.Segment, name string, _ int) (*psync.RWLock, error) {
			return psync.NewRWLock(seg, name, nil)
		},
		psync.OpenRWLock, releasing),
	uses("WaitGroup",
		func(seg *shm.Segment, name string, _ int) (*psync.WaitGroup, error) {
			return psync.NewWaitGroup(seg, name)
		},
		psync.OpenWaitGroup,
		func(_ context.Context, g *psync.WaitGroup) error {
			if err := g.Add(1); err != nil {
				return err
			}
			return g.Done()
		}),
	uses("Once",
		func(seg *shm.Segment, name string, _ int) (*psync.Once, error) { return psync.NewOnce(seg, name) },
		psync.OpenOnce,
		func(ctx context.Context, o *psync.Once) error { return o.Do(ctx, func() error { return nil }) }),
}

// A held is an RLock with a Holder.
type held struct {
	*psync.RLock
	holder psync.Holder
}

func (h *held) Acquire(ctx context.Context) error { return h.RLock.Acquire(ctx, &h.holder) }
func (h *held) Release() error                    { return h.RLock.Release(&h.holder) }

// turnKind is the kind of a counter in shared memory.
const turnKind = shm.Kind(1003)

func layTurns(seg *shm.Segment, name string, _ int) error {
	l, err := psync.NewLock(seg, "", nil)
	if err != nil {
		return err
	}
	if _, err := object.New(seg, object.Spec{Kind: turnKind, Name: name + " turn", Size: 8}); err != nil {
		return err
	}
	return Second(psync.NewCondition(seg, name, l, nil))
}

// enterTurns returns a use of a condition by which the contenders take turns: each waits for its
// turn, and then ends it.
func enterTurns(seg *shm.Segment, name string, i, n int) (func(context.Context) error, error) {
	c, err := psync.OpenCondition(seg, name)
	if err != nil {
		return nil, err
	}
	o, err := object.Open(seg, turnKind, name+" turn", 0)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		turn := view.At[uint64](o.Bytes(), 0)
		if err := c.L().Acquire(ctx); err != nil {
			return err
		}
		if err := c.WaitFor(ctx, func() bool { return *turn%uint64(n) == uint64(i) }); err != nil {
			return err
		}
		*turn++
		if err := c.NotifyAll(); err != nil {
			return err
		}
		return c.L().Release()
	}, nil
}

// BenchmarkContests measures each primitive. It reports the time from one use to the next one, of
// any contender.
func BenchmarkContests(b *testing.B) {
	for i, c := range contests {
		b.Run(c.name, func(b *testing.B) {
			b.Run("uncontended", func(b *testing.B) { c.alone(b) })
			for _, n := range []int{2, 8} {
				b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) { c.goroutines(b, n) })
				b.Run(fmt.Sprintf("processes=%d", n), func(b *testing.B) { c.processes(b, i, n) })
			}
		})
	}
}

const contested = "contested"

func (c *contest) open(b *testing.B, contenders int) *shm.Segment {
	b.Helper()
	seg := Anonymous(b, room)
	if err := c.lay(seg, contested, contenders); err != nil {
		b.Fatal(err)
	}
	return seg
}

func (c *contest) alone(b *testing.B) {
	seg := c.open(b, 1)
	use := Must(c.enter(seg, contested, 0, 1))(b)
	ctx := context.Background()
	for b.Loop() {
		if err := use(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func (c *contest) goroutines(b *testing.B, n int) {
	seg := c.open(b, n)
	var uses []func(context.Context) error
	for i := range n {
		uses = append(uses, Must(c.enter(seg, contested, i, n))(b))
	}
	b.ResetTimer()
	done := make(chan error, n)
	for _, use := range uses {
		go func() { done <- repeat(context.Background(), use, (b.N+n-1)/n) }()
	}
	for range n {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

func (c *contest) processes(b *testing.B, index, n int) {
	seg := c.open(b, n)
	ready := NewCells(b, seg, 2)
	var children []*proc.Call[int]
	for i := range n {
		p := Must(contend.New(contender{index, i, n, (b.N + n - 1) / n, seg, ready}, nil))(b)
		WantNil(b, "Start", p.Start(context.Background()))
		b.Cleanup(func() { p.Kill(); p.Join(context.Background()) })
		children = append(children, p)
	}
	ready.Await(b, 0, uint32(n))
	b.ResetTimer()
	ready.Add(1)
	for _, p := range children {
		WantNil(b, "contender", p.Join(context.Background()))
	}
}

// A contender is the argument of a process of a contest.
type contender struct {
	Contest, I, N, Uses int
	Segment             *shm.Segment
	Ready               *Cells
}

var contend = proc.Register("contend", func(ctx context.Context, in contender) (int, error) {
	use, err := contests[in.Contest].enter(in.Segment, contested, in.I, in.N)
	if err != nil {
		return 0, err
	}
	in.Ready.Add(0)
	if err := in.Ready.Until(ctx, 1, 1); err != nil {
		return 0, err
	}
	return 0, repeat(ctx, use, in.Uses)
})

func repeat(ctx context.Context, use func(context.Context) error, n int) error {
	for range n {
		if err := use(ctx); err != nil {
			return err
		}
	}
	return nil
}
