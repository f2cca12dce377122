//go:build linux

package sync_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// newGroups makes a wait group and opens it for n parties of their own.
func newGroups(t testing.TB, seg *shm.Segment, n int) []*psync.WaitGroup {
	t.Helper()
	closing(t, must(psync.NewWaitGroup(seg, "g"))(t))
	var list []*psync.WaitGroup
	for range n {
		list = append(list, closing(t, must(psync.OpenWaitGroup(attach(t, seg), "g"))(t)))
	}
	return list
}

func waitsFor(ctx context.Context, g *psync.WaitGroup) <-chan error {
	return async(func() error { return g.Wait(ctx) })
}

// wantCount wants exactly n counts of the living, and takes them.
func wantCount(t testing.TB, g *psync.WaitGroup, n int) {
	t.Helper()
	for range n {
		wantError(t, "Wait", g.Wait(expired), context.Canceled)
		wantNil(t, "Done", g.Done())
	}
	wantNil(t, "Wait at the end", g.Wait(expired))
	wantError(t, "Done of nothing", g.Done(), psync.ErrOverRelease)
}

func wantRecovered(t testing.TB, g *psync.WaitGroup, want int) {
	t.Helper()
	if n, err := g.Recover(); n != want || err != nil {
		t.Errorf("Recover: %d, %v; want %d", n, err, want)
	}
}

func TestWaitGroup(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"counts", testGroupCounts},
		{"claim", testGroupClaim},
		{"wait", testGroupWait},
		{"go", testGroupGo},
		{"zero_for_a_moment", testGroupReused},
		{"limits", testGroupLimits},
		{"closed", testGroupClosed},
		{"hammer", testGroupHammer},
		{"handle", testGroupHandle},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

func testGroupCounts(t *testing.T, seg *shm.Segment) {
	list := newGroups(t, seg, 2)
	a, b := list[0], list[1]
	for range 3 {
		wantCount(t, a, 0)
		wantNil(t, "Add", a.Add(3))
		wantNil(t, "Add", b.Add(2))
		wantNil(t, "Add nothing", b.Add(0))
		wantError(t, "Add less than nothing", b.Add(-1), psync.ErrInvalid)
		// b's own two, then a's three.
		wantCount(t, b, 5)
	}
}

func testGroupClaim(t *testing.T, seg *shm.Segment) {
	list := newGroups(t, seg, 2)
	a, b := list[0], list[1]
	wantError(t, "Claim of nothing", a.Claim(), psync.ErrOverRelease)
	wantNil(t, "Add", a.Add(2))
	wantError(t, "Claim of what is one's own", a.Claim(), psync.ErrOverRelease)
	wantNil(t, "Claim", b.Claim())
	wantNil(t, "Claim", b.Claim())
	wantError(t, "Claim", b.Claim(), psync.ErrOverRelease)
	wantError(t, "Claim of what is claimed", a.Claim(), psync.ErrOverRelease)
	wantRecovered(t, a, 0)
	wantCount(t, a, 2)
	wantNil(t, "Add", a.Add(1))
	wantNil(t, "Add", b.Add(1))
	wantNil(t, "Claim", b.Claim())
	wantNil(t, "Done of what is added", b.Done())
	wantError(t, "Claim of what is claimed", a.Claim(), psync.ErrOverRelease)
	wantCount(t, a, 1)
}

func testGroupWait(t *testing.T, seg *shm.Segment) {
	list := newGroups(t, seg, 2)
	for range 3 {
		wantNil(t, "Add", list[0].Add(2))
		wantError(t, "Wait", list[1].Wait(expired), context.Canceled)
		one, two := waitsFor(within(t), list[0]), waitsFor(within(t), list[1])
		ctx, cancel := context.WithCancel(t.Context())
		cancelled := waitsFor(ctx, list[1])
		awaitAsleep(t, os.Getpid(), 3)
		cancel()
		wantError(t, "cancelled Wait", await(t, cancelled, "cancelled waiter"), context.Canceled)
		wantNil(t, "Done", list[1].Done())
		wantNil(t, "Claim", list[1].Claim())
		select {
		case <-one:
			t.Error("Wait returned too early")
		case <-two:
			t.Error("Wait returned too early")
		default:
		}
		wantNil(t, "Done", list[0].Done())
		wantNil(t, "Wait", await(t, one, "waiter"))
		wantNil(t, "Wait", await(t, two, "waiter"))
	}
}

// On the heap the race detector sees that Done synchronizes before Wait.
func testGroupGo(t *testing.T, seg *shm.Segment) {
	list := newGroups(t, seg, 3)
	const n = 30
	c := newCells(t, seg, n)
	for i := range n {
		wantNil(t, "Go", list[i%3].Go(func() { *c.plain(i) = 1 }))
	}
	wantNil(t, "Wait", list[0].Wait(within(t)))
	for i := range n {
		if *c.plain(i) != 1 {
			t.Errorf("%d was not done", i)
		}
	}
	runtime.KeepAlive(c)
	wantCount(t, list[1], 0)
}

// A waiter learns that nothing was counted although there is more since.
func testGroupReused(t *testing.T, seg *shm.Segment) {
	list := newGroups(t, seg, 2)
	wantNil(t, "Add", list[0].Add(1))
	for range 50 {
		waiter := waitsFor(within(t), list[1])
		awaitAsleep(t, os.Getpid(), 1)
		wantNil(t, "Done", list[0].Done())
		wantNil(t, "Add", list[0].Add(1))
		wantNil(t, "Wait", await(t, waiter, "waiter"))
	}
	wantCount(t, list[0], 1)
}

func testGroupLimits(t *testing.T, seg *shm.Segment) {
	list := newGroups(t, seg, 2)
	wantNil(t, "Add", list[0].Add(math.MaxInt32))
	for _, g := range list {
		wantError(t, "Add", g.Add(1), psync.ErrTooMany)
		wantError(t, "Add", g.Add(math.MaxInt32), psync.ErrTooMany)
		wantError(t, "Go", g.Go(func() { t.Error("it was called") }), psync.ErrTooMany)
	}
	wantNil(t, "Claim", list[1].Claim())
	wantNil(t, "Done", list[1].Done())
	wantNil(t, "Add", list[1].Add(1))
	wantError(t, "Wait", list[1].Wait(expired), context.Canceled)
}

func testGroupClosed(t *testing.T, seg *shm.Segment) {
	g := must(psync.NewWaitGroup(seg, "g"))(t)
	other := closing(t, must(psync.OpenWaitGroup(seg, "g"))(t))
	wantNil(t, "Add", g.Add(1))
	waiter, stays := waitsFor(context.Background(), g), waitsFor(within(t), other)
	awaitAsleep(t, os.Getpid(), 2)
	wantNil(t, "Close", g.Close())
	wantError(t, "Wait", await(t, waiter, "waiter at a closed group"), psync.ErrClosed)
	var zero psync.WaitGroup
	for _, g := range []*psync.WaitGroup{g, &zero} {
		for what, f := range map[string]func() error{
			"Add": func() error { return g.Add(1) }, "Done": g.Done, "Claim": g.Claim,
			"Recover": func() error { return second(g.Recover()) },
			"Wait":    func() error { return g.Wait(t.Context()) },
			"Go":      func() error { return g.Go(func() { t.Error("it was called") }) },
		} {
			wantError(t, what, f(), psync.ErrClosed)
		}
		wantNil(t, "Close", g.Close())
	}
	wantNil(t, "Done", other.Done())
	wantNil(t, "Wait", await(t, stays, "waiter"))

	// Who closes the segment counts as dead.
	party := must(seg.Attach())(t)
	far := must(psync.OpenWaitGroup(party, "g"))(t)
	wantNil(t, "Add", far.Add(2))
	waiter = waitsFor(context.Background(), far)
	awaitAsleep(t, os.Getpid(), 1)
	wantNil(t, "Close", party.Close())
	wantError(t, "Wait", await(t, waiter, "waiter of a closed segment"), psync.ErrClosed)
	wantError(t, "Wait", other.Wait(within(t)), psync.ErrOwnerDied)
	wantRecovered(t, other, 2)
	wantCount(t, other, 0)
	wantError(t, "Done", far.Done(), psync.ErrClosed)
}

// groupHammer does n pieces of work: counted, claimed from others if that is
// wanted, and taken back.
func groupHammer(g *psync.WaitGroup, n int, claim bool) error {
	for range n {
		k := 1 + rand.IntN(3)
		if err := g.Add(k); err != nil {
			return err
		}
		if claim {
			if err := g.Claim(); err != nil && err != psync.ErrOverRelease {
				return err
			}
		}
		for range k {
			if err := g.Done(); err != nil {
				return err
			}
		}
	}
	return nil
}

func testGroupHammer(t *testing.T, seg *shm.Segment) {
	const parties, goroutines, each = 3, 2, 300
	list := newGroups(t, seg, parties)
	c := newCells(t, seg, parties*goroutines)
	wantNil(t, "Add", list[0].Add(parties*goroutines))
	ctx := within(t)
	var workers []<-chan error
	for i := range parties * goroutines {
		workers = append(workers, async(func() error {
			if err := groupHammer(list[i%parties], each, true); err != nil {
				return err
			}
			*c.plain(i) = 1
			return list[i%parties].Done()
		}))
	}
	all(t, "waiters", parties, func(i int) error {
		if err := list[i].Wait(ctx); err != nil {
			return err
		}
		for i := range parties * goroutines {
			if *c.plain(i) != 1 {
				return fmt.Errorf("Wait returned before %d was done", i)
			}
		}
		return nil
	})
	for _, w := range workers {
		wantNil(t, "worker", await(t, w, "worker"))
	}
	runtime.KeepAlive(c)
	wantCount(t, list[0], 0)
}

func testGroupHandle(t *testing.T, seg *shm.Segment) {
	g := closing(t, must(psync.NewWaitGroup(seg, "g"))(t))
	var same psync.WaitGroup
	wantNil(t, "UnmarshalText", same.UnmarshalText(must(g.MarshalText())(t)))
	wantNil(t, "Add", g.Add(1))
	wantNil(t, "Done of the same", closing(t, &same).Done())
	wantError(t, "name that is taken", second(psync.NewWaitGroup(seg, "g")), fs.ErrExist)
	wantError(t, "name of nothing", second(psync.OpenWaitGroup(seg, "x")), fs.ErrNotExist)
}

// Deaths that are simulated: see the race detector's view of them.
func TestWaitGroupDeadParty(t *testing.T) {
	seg := heap(t)
	list := newGroups(t, seg, 2)
	a, b := list[0], list[1]
	t.Run("waiters_learn", func(t *testing.T) {
		party := must(seg.Attach())(t)
		far := must(psync.OpenWaitGroup(party, "g"))(t)
		wantNil(t, "Add", a.Add(2))
		wantNil(t, "Claim", far.Claim())
		one, two := waitsFor(within(t), a), waitsFor(within(t), b)
		awaitAsleep(t, os.Getpid(), 2)
		partyDies(t, seg, party)
		wantError(t, "Wait", await(t, one, "waiter"), psync.ErrOwnerDied)
		wantError(t, "Wait", await(t, two, "waiter"), psync.ErrOwnerDied)
		wantError(t, "Wait", b.Wait(within(t)), psync.ErrOwnerDied)
		wantNil(t, "Done of the living's", b.Done())
		wantError(t, "Done of the dead's", b.Done(), psync.ErrOwnerDied)
		wantError(t, "Claim of the dead's", b.Claim(), psync.ErrOverRelease)
		wantRecovered(t, b, 1)
		wantCount(t, b, 0)
	})
	t.Run("without_counts", func(t *testing.T) {
		party := must(seg.Attach())(t)
		far := must(psync.OpenWaitGroup(party, "g"))(t)
		wantNil(t, "Add", a.Add(1))
		wantNil(t, "Claim", far.Claim())
		wantNil(t, "Done", far.Done())
		wantNil(t, "Add", a.Add(1))
		waiter := waitsFor(within(t), b)
		awaitAsleep(t, os.Getpid(), 1)
		partyDies(t, seg, party)
		wantNil(t, "Done", a.Done())
		wantNil(t, "Wait", await(t, waiter, "waiter"))
		wantCount(t, b, 0)
	})
	t.Run("line_used_again", func(t *testing.T) {
		// The dead one's counts stay although others get its line.
		const lives = 4
		var last *psync.WaitGroup
		for i := range lives {
			party := must(seg.Attach())(t)
			last = must(psync.OpenWaitGroup(party, "g"))(t)
			wantNil(t, "Add", last.Add(1))
			if i%2 == 1 {
				wantNil(t, "Add", a.Add(1))
				wantNil(t, "Claim", last.Claim())
			}
			partyDies(t, seg, party)
		}
		party := must(seg.Attach())(t)
		last = closing(t, must(psync.OpenWaitGroup(closing(t, party), "g"))(t))
		wantNil(t, "Add", a.Add(1))
		wantNil(t, "Claim", last.Claim())
		wantError(t, "Wait", b.Wait(within(t)), psync.ErrOwnerDied)
		wantRecovered(t, b, lives+lives/2)
		wantError(t, "Wait", b.Wait(expired), context.Canceled)
		wantNil(t, "Done", last.Done())
		wantCount(t, b, 0)
	})
}

type groupJob struct {
	N     int
	Group *psync.WaitGroup
	Cells *cells
}

var groupHammerTask = register("group hammer", func(ctx context.Context, j groupJob) error {
	if err := j.Group.Claim(); err != nil {
		return err
	}
	if err := groupHammer(j.Group, j.N, false); err != nil {
		return err
	}
	*j.Cells.plain(2 + j.N%10) = 1
	return j.Group.Done()
})

// groupClaimTask claims a count, and is done when it is told.
var groupClaimTask = register("group claim", func(ctx context.Context, j groupJob) error {
	if err := j.Group.Claim(); err != nil {
		return err
	}
	j.Cells.add(0)
	if err := j.Cells.until(ctx, 1, 1); err != nil {
		return err
	}
	return j.Group.Done()
})

var groupOrphanTask = register("group orphan", func(ctx context.Context, j groupJob) error {
	if err := j.Group.Wait(ctx); err != psync.ErrOwnerDied {
		return fmt.Errorf("Wait: %v, want ErrOwnerDied", err)
	}
	return nil
})

func TestWaitGroupProcesses(t *testing.T) {
	seg := anonymous(t)
	g := closing(t, must(psync.NewWaitGroup(seg, ""))(t))
	t.Run("children", func(t *testing.T) {
		const n = 3
		c := newCells(t, seg, 2+10)
		wantNil(t, "Add", g.Add(n))
		var procs []*proc.Call[int]
		for i := range n {
			procs = append(procs, launch(t, groupHammerTask, groupJob{500 + i, g, c}, nil))
		}
		wantNil(t, "Wait", g.Wait(within(t)))
		for i := range n {
			if *c.plain(2 + i) != 1 {
				t.Errorf("child %d was not done", i)
			}
		}
		for _, p := range procs {
			joined(t, p)
		}
		wantCount(t, g, 0)
	})
	t.Run("killed", func(t *testing.T) {
		var worst time.Duration
		for range 5 {
			c := newCells(t, seg, 2)
			wantNil(t, "Add", g.Add(2))
			victim := launch(t, groupClaimTask, groupJob{0, g, c}, nil)
			c.await(t, 0, 1)
			other := launch(t, groupOrphanTask, groupJob{0, g, c}, nil)
			waiter := waitsFor(within(t), g)
			awaitAsleep(t, os.Getpid(), 1)
			awaitAsleep(t, other.PID(), 1)
			begin := time.Now()
			wantNil(t, "Kill", victim.Kill())
			wantError(t, "Wait", await(t, waiter, "waiter for the dead"), psync.ErrOwnerDied)
			worst = max(worst, time.Since(begin))
			joined(t, other)
			wantRecovered(t, g, 1)
			wantCount(t, g, 1)
		}
		t.Logf("SIGKILL to ErrOwnerDied: worst %v", worst)
		if worst > prompt {
			t.Errorf("a waiter learned of a death after %v", worst)
		}
	})
}

// Whatever stands in the group's memory, each call ends.
func TestWaitGroupHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		g := closing(t, must(psync.NewWaitGroup(seg, "g"))(t))
		o := must(seg.OpenObject(shm.KindWaitGroup, "g", 1))(t)
		guard := view.At[atomic.Uint64](o.Bytes(), 0)
		words := view.Slice[atomic.Uint64](o.Bytes(), 0, len(o.Bytes())/8)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		ctx := within(t)
		done := async(func() error {
			for range 1000 {
				w := &words[16+r.IntN(len(words)-16)]
				if r.IntN(2) == 0 {
					w = &words[16+r.IntN(30)] // not just lines
				}
				w.Store([]uint64{0, r.Uint64(), w.Load() ^ 1<<r.IntN(64), uint64(r.IntN(16))}[r.IntN(4)])
				guard.Store([]uint64{0, 1, 3, 1<<31 - 2}[r.IntN(4)]) // nobody, or somebody dead
				for _, f := range []func() error{
					func() error { return g.Add(r.IntN(3)) }, g.Claim, g.Done,
					func() error { return second(g.Recover()) },
					func() error {
						short, cancel := context.WithTimeout(ctx, 50*time.Microsecond)
						defer cancel()
						return g.Wait(short)
					},
				} {
					err := f()
					known := err == nil
					for _, e := range []error{psync.ErrOwnerDied, psync.ErrOverRelease, psync.ErrTooMany, context.DeadlineExceeded} {
						known = known || errors.Is(err, e)
					}
					if !known {
						return err
					}
				}
			}
			return nil
		})
		wantNil(t, "operations", await(t, done, fmt.Sprintf("operation on nonsense, seed %d", seed)))
		runtime.KeepAlive(o)
	})
}
