package sync_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A contest is a use of a primitive whose time is measured: by one goroutine,
// and by several goroutines or processes that contend.
type contest struct {
	name string
	// lay makes the object in seg, under the name, for so many contenders.
	lay func(seg *shm.Segment, name string, contenders int) error
	// enter opens it for one contender and returns one use of it.
	enter func(seg *shm.Segment, name string) (use func(ctx context.Context) error, err error)
}

var contests = []contest{
	{
		"Lock",
		func(seg *shm.Segment, name string, _ int) error { return second(psync.NewLock(seg, name, nil)) },
		func(seg *shm.Segment, name string) (func(context.Context) error, error) {
			l, err := psync.OpenLock(seg, name)
			return func(ctx context.Context) error {
				if err := l.Acquire(ctx); err != nil {
					return err
				}
				return l.Release()
			}, err
		},
	},
}

// BenchmarkContests measures each primitive. What is shown is the time from
// one use to the next, whoever makes it.
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
	seg := anonymous(b)
	if err := c.lay(seg, contested, contenders); err != nil {
		b.Fatal(err)
	}
	return seg
}

func (c *contest) alone(b *testing.B) {
	seg := c.open(b, 1)
	use := must(c.enter(seg, contested))(b)
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
	for range n {
		uses = append(uses, must(c.enter(seg, contested))(b))
	}
	b.ResetTimer()
	done := make(chan error, n)
	for i, use := range uses {
		go func() { done <- repeat(context.Background(), use, share(b.N, i, n)) }()
	}
	for range n {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

func (c *contest) processes(b *testing.B, index, n int) {
	seg := c.open(b, n)
	ready := newCells(b, seg, 2)
	var children []*proc.Call[int]
	for i := range n {
		p := must(contend.New(contender{index, share(b.N, i, n), seg, ready}, nil))(b)
		wantNil(b, "Start", p.Start(context.Background()))
		b.Cleanup(func() { p.Kill(); p.Join(context.Background()) })
		children = append(children, p)
	}
	ready.await(b, 0, uint32(n))
	b.ResetTimer()
	ready.add(1)
	for _, p := range children {
		wantNil(b, "contender", p.Join(context.Background()))
	}
}

// A contender is what a process of a contest gets.
type contender struct {
	Contest, Uses int
	Segment       *shm.Segment
	Ready         *cells
}

var contend = proc.Register("contend", func(ctx context.Context, in contender) (int, error) {
	use, err := contests[in.Contest].enter(in.Segment, contested)
	if err != nil {
		return 0, err
	}
	in.Ready.add(0)
	if err := in.Ready.until(ctx, 1, 1); err != nil {
		return 0, err
	}
	return 0, repeat(ctx, use, in.Uses)
})

// share is the ith of n parts of total.
func share(total, i, n int) int { return total*(i+1)/n - total*i/n }

func repeat(ctx context.Context, use func(context.Context) error, n int) error {
	for range n {
		if err := use(ctx); err != nil {
			return err
		}
	}
	return nil
}
