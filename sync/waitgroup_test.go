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

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// newGroups makes a wait group and opens it in n other parties.
func newGroups(t testing.TB, seg *shm.Segment, n int) []*psync.WaitGroup {
	t.Helper()
	Closing(t, Must(psync.NewWaitGroup(seg, "g"))(t))
	var list []*psync.WaitGroup
	for range n {
		list = append(list, Closing(t, Must(psync.OpenWaitGroup(Attach(t, seg), "g"))(t)))
	}
	return list
}

func waitsFor(ctx context.Context, g *psync.WaitGroup) <-chan error {
	return Async(func() error { return g.Wait(ctx) })
}

// wantCount checks that living processes have exactly n counts, and takes them back.
func wantCount(t testing.TB, g *psync.WaitGroup, n int) {
	t.Helper()
	for range n {
		WantError(t, "Wait", g.Wait(Expired), context.Canceled)
		WantNil(t, "Done", g.Done())
	}
	WantNil(t, "Wait at the end", g.Wait(Expired))
	WantError(t, "Done of nothing", g.Done(), psync.ErrOverRelease)
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
		WantNil(t, "Add", a.Add(3))
		WantNil(t, "Add", b.Add(2))
		WantNil(t, "Add nothing", b.Add(0))
		WantError(t, "Add less than nothing", b.Add(-1), psync.ErrInvalid)
		// First b's own two counts, then a's three.
		wantCount(t, b, 5)
	}
}

func testGroupClaim(t *testing.T, seg *shm.Segment) {
	list := newGroups(t, seg, 2)
	a, b := list[0], list[1]
	WantError(t, "Claim of nothing", a.Claim(), psync.ErrOverRelease)
	WantNil(t, "Add", a.Add(2))
	WantError(t, "Claim of what is one's own", a.Claim(), psync.ErrOverRelease)
	WantNil(t, "Claim", b.Claim())
	WantNil(t, "Claim", b.Claim())
	WantError(t, "Claim", b.Claim(), psync.ErrOverRelease)
	WantError(t, "Claim of what is claimed", a.Claim(), psync.ErrOverRelease)
	wantRecovered(t, a, 0)
	wantCount(t, a, 2)
	WantNil(t, "Add", a.Add(1))
	WantNil(t, "Add", b.Add(1))
	WantNil(t, "Claim", b.Claim())
	WantNil(t, "Done of what is added", b.Done())
	WantError(t, "Claim of what is claimed", a.Claim(), psync.ErrOverRelease)
	wantCount(t, a, 1)
}

func testGroupWait(t *testing.T, seg *shm.Segment) {
	list := newGroups(t, seg, 2)
	for range 3 {
		WantNil(t, "Add", list[0].Add(2))
		WantError(t, "Wait", list[1].Wait(Expired), context.Canceled)
		one, two := waitsFor(Within(t), list[0]), waitsFor(Within(t), list[1])
		ctx, cancel := context.WithCancel(t.Context())
		cancelled := waitsFor(ctx, list[1])
		AwaitAsleep(t, os.Getpid(), 3)
		cancel()
		WantError(t, "cancelled Wait", Await(t, cancelled, "cancelled waiter"), context.Canceled)
		WantNil(t, "Done", list[1].Done())
		WantNil(t, "Claim", list[1].Claim())
		select {
		case <-one:
			t.Error("Wait returned too early")
		case <-two:
			t.Error("Wait returned too early")
		default:
		}
		WantNil(t, "Done", list[0].Done())
		WantNil(t, "Wait", Await(t, one, "waiter"))
		WantNil(t, "Wait", Await(t, two, "waiter"))
	}
}

// On the heap the race detector checks that Done synchronizes before Wait.
func testGroupGo(t *testing.T, seg *shm.Segment) {
	list := newGroups(t, seg, 3)
	const n = 30
	c := NewCells(t, seg, n)
	for i := range n {
		WantNil(t, "Go", list[i%3].Go(func() { *c.Plain(i) = 1 }))
	}
	WantNil(t, "Wait", list[0].Wait(Within(t)))
	for i := range n {
		if *c.Plain(i) != 1 {
			t.Errorf("%d was not done", i)
		}
	}
	runtime.KeepAlive(c)
	wantCount(t, list[1], 0)
}

// A waiter notices that the count was zero, although there are counts again.
func testGroupReused(t *testing.T, seg *shm.Segment) {
	list := newGroups(t, seg, 2)
	WantNil(t, "Add", list[0].Add(1))
	for range 50 {
		waiter := waitsFor(Within(t), list[1])
		AwaitAsleep(t, os.Getpid(), 1)
		WantNil(t, "Done", list[0].Done())
		WantNil(t, "Add", list[0].Add(1))
		WantNil(t, "Wait", Await(t, waiter, "waiter"))
	}
	wantCount(t, list[0], 1)
}

func testGroupLimits(t *testing.T, seg *shm.Segment) {
	list := newGroups(t, seg, 2)
	WantNil(t, "Add", list[0].Add(math.MaxInt32))
	for _, g := range list {
		WantError(t, "Add", g.Add(1), psync.ErrOverflow)
		WantError(t, "Add", g.Add(math.MaxInt32), psync.ErrOverflow)
		WantError(t, "Go", g.Go(func() { t.Error("it was called") }), psync.ErrOverflow)
	}
	WantNil(t, "Claim", list[1].Claim())
	WantNil(t, "Done", list[1].Done())
	WantNil(t, "Add", list[1].Add(1))
	WantError(t, "Wait", list[1].Wait(Expired), context.Canceled)
}

func testGroupClosed(t *testing.T, seg *shm.Segment) {
	g := Must(psync.NewWaitGroup(seg, "g"))(t)
	other := Closing(t, Must(psync.OpenWaitGroup(seg, "g"))(t))
	WantNil(t, "Add", g.Add(1))
	waiter, stays := waitsFor(context.Background(), g), waitsFor(Within(t), other)
	AwaitAsleep(t, os.Getpid(), 2)
	WantNil(t, "Close", g.Close())
	WantError(t, "Wait", Await(t, waiter, "waiter at a closed group"), psync.ErrClosed)
	var zero psync.WaitGroup
	for _, g := range []*psync.WaitGroup{g, &zero} {
		for what, f := range map[string]func() error{
			"Add": func() error { return g.Add(1) }, "Done": g.Done, "Claim": g.Claim,
			"Recover": func() error { return Second(g.Recover()) },
			"Wait":    func() error { return g.Wait(t.Context()) },
			"Go":      func() error { return g.Go(func() { t.Error("it was called") }) },
		} {
			WantError(t, what, f(), psync.ErrClosed)
		}
		WantNil(t, "Close", g.Close())
	}
	WantNil(t, "Done", other.Done())
	WantNil(t, "Wait", Await(t, stays, "waiter"))

	// A party that closes its segment counts as dead.
	party := Must(object.Attach(seg))(t)
	far := Must(psync.OpenWaitGroup(party, "g"))(t)
	WantNil(t, "Add", far.Add(2))
	waiter = waitsFor(context.Background(), far)
	AwaitAsleep(t, os.Getpid(), 1)
	WantNil(t, "Close", party.Close())
	WantError(t, "Wait", Await(t, waiter, "waiter of a closed segment"), psync.ErrClosed)
	WantError(t, "Wait", other.Wait(Within(t)), psync.ErrOwnerDied)
	wantRecovered(t, other, 2)
	wantCount(t, other, 0)
	WantError(t, "Done", far.Done(), psync.ErrClosed)
}

// groupHammer does n pieces of work. Each is added, claimed from other parties if claim is set, and
// done.
func groupHammer(g *psync.WaitGroup, n int, claim bool) error {
	for range n {
		k := 1 + rand.IntN(3)
		if err := g.Add(k); err != nil {
			return err
		}
		if claim {
			if err := g.Claim(); err != nil && !errors.Is(err, psync.ErrOverRelease) {
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
	c := NewCells(t, seg, parties*goroutines)
	WantNil(t, "Add", list[0].Add(parties*goroutines))
	ctx := Within(t)
	var workers []<-chan error
	for i := range parties * goroutines {
		workers = append(workers, Async(func() error {
			if err := groupHammer(list[i%parties], each, true); err != nil {
				return err
			}
			*c.Plain(i) = 1
			return list[i%parties].Done()
		}))
	}
	All(t, "waiters", parties, func(i int) error {
		if err := list[i].Wait(ctx); err != nil {
			return err
		}
		for i := range parties * goroutines {
			if *c.Plain(i) != 1 {
				return fmt.Errorf("Wait returned before %d was done", i)
			}
		}
		return nil
	})
	for _, w := range workers {
		WantNil(t, "worker", Await(t, w, "worker"))
	}
	runtime.KeepAlive(c)
	wantCount(t, list[0], 0)
}

func testGroupHandle(t *testing.T, seg *shm.Segment) {
	g := Closing(t, Must(psync.NewWaitGroup(seg, "g"))(t))
	var same psync.WaitGroup
	WantNil(t, "UnmarshalText", same.UnmarshalText(Must(g.MarshalText())(t)))
	WantNil(t, "Add", g.Add(1))
	WantNil(t, "Done of the same", Closing(t, &same).Done())
	WantError(t, "name that is taken", Second(psync.NewWaitGroup(seg, "g")), fs.ErrExist)
	WantError(t, "name of nothing", Second(psync.OpenWaitGroup(seg, "x")), fs.ErrNotExist)
}

// Deaths are simulated, so that the race detector can observe what follows.
func TestWaitGroupDeadParty(t *testing.T) {
	seg := Heap(t, room)
	list := newGroups(t, seg, 2)
	a, b := list[0], list[1]
	t.Run("waiters_learn", func(t *testing.T) {
		party := Must(object.Attach(seg))(t)
		far := Must(psync.OpenWaitGroup(party, "g"))(t)
		WantNil(t, "Add", a.Add(2))
		WantNil(t, "Claim", far.Claim())
		one, two := waitsFor(Within(t), a), waitsFor(Within(t), b)
		AwaitAsleep(t, os.Getpid(), 2)
		Dies(t, seg, party)
		WantError(t, "Wait", Await(t, one, "waiter"), psync.ErrOwnerDied)
		WantError(t, "Wait", Await(t, two, "waiter"), psync.ErrOwnerDied)
		WantError(t, "Wait", b.Wait(Within(t)), psync.ErrOwnerDied)
		WantNil(t, "Done of the living's", b.Done())
		WantError(t, "Done of the dead's", b.Done(), psync.ErrOwnerDied)
		WantError(t, "Claim of the dead's", b.Claim(), psync.ErrOverRelease)
		wantRecovered(t, b, 1)
		wantCount(t, b, 0)
	})
	t.Run("without_counts", func(t *testing.T) {
		party := Must(object.Attach(seg))(t)
		far := Must(psync.OpenWaitGroup(party, "g"))(t)
		WantNil(t, "Add", a.Add(1))
		WantNil(t, "Claim", far.Claim())
		WantNil(t, "Done", far.Done())
		WantNil(t, "Add", a.Add(1))
		waiter := waitsFor(Within(t), b)
		AwaitAsleep(t, os.Getpid(), 1)
		Dies(t, seg, party)
		WantNil(t, "Done", a.Done())
		WantNil(t, "Wait", Await(t, waiter, "waiter"))
		wantCount(t, b, 0)
	})
	t.Run("line_used_again", func(t *testing.T) {
		// The dead party's counts stay although another party gets its line.
		const lives = 4
		var last *psync.WaitGroup
		for i := range lives {
			party := Must(object.Attach(seg))(t)
			last = Must(psync.OpenWaitGroup(party, "g"))(t)
			WantNil(t, "Add", last.Add(1))
			if i%2 == 1 {
				WantNil(t, "Add", a.Add(1))
				WantNil(t, "Claim", last.Claim())
			}
			Dies(t, seg, party)
		}
		party := Must(object.Attach(seg))(t)
		last = Closing(t, Must(psync.OpenWaitGroup(Closing(t, party), "g"))(t))
		WantNil(t, "Add", a.Add(1))
		WantNil(t, "Claim", last.Claim())
		WantError(t, "Wait", b.Wait(Within(t)), psync.ErrOwnerDied)
		wantRecovered(t, b, lives+lives/2)
		WantError(t, "Wait", b.Wait(Expired), context.Canceled)
		WantNil(t, "Done", last.Done())
		wantCount(t, b, 0)
	})
}

var groupHammerTask = task("group hammer", func(ctx context.Context, j job) error {
	if err := j.Group.Claim(); err != nil {
		return err
	}
	if err := groupHammer(j.Group, j.N, false); err != nil {
		return err
	}
	*j.Cells.Plain(2 + j.N%10) = 1
	return j.Group.Done()
})

// groupClaimTask claims a count, and calls Done when it may go on.
var groupClaimTask = task("group claim", func(ctx context.Context, j job) error {
	if err := j.Group.Claim(); err != nil {
		return err
	}
	j.Cells.Add(0)
	if err := j.Cells.Until(ctx, 1, 1); err != nil {
		return err
	}
	return j.Group.Done()
})

var groupOrphanTask = task("group orphan", func(ctx context.Context, j job) error {
	if err := j.Group.Wait(ctx); !errors.Is(err, psync.ErrOwnerDied) {
		return fmt.Errorf("Wait: %v, want ErrOwnerDied", err)
	}
	return nil
})

func TestWaitGroupProcesses(t *testing.T) {
	seg := Anonymous(t, room)
	g := Closing(t, Must(psync.NewWaitGroup(seg, ""))(t))
	t.Run("children", func(t *testing.T) {
		const n = 3
		c := NewCells(t, seg, 2+10)
		WantNil(t, "Add", g.Add(n))
		var procs []*proc.Call[int]
		for i := range n {
			procs = append(procs, Start(t, groupHammerTask, job{N: 500 + i, Group: g, Cells: c}))
		}
		WantNil(t, "Wait", g.Wait(Within(t)))
		for i := range n {
			if *c.Plain(2 + i) != 1 {
				t.Errorf("child %d was not done", i)
			}
		}
		for _, p := range procs {
			Result(t, p)
		}
		wantCount(t, g, 0)
	})
	t.Run("killed", func(t *testing.T) {
		var worst time.Duration
		for range 5 {
			c := NewCells(t, seg, 2)
			WantNil(t, "Add", g.Add(2))
			victim := Start(t, groupClaimTask, job{Group: g, Cells: c})
			c.Await(t, 0, 1)
			other := Start(t, groupOrphanTask, job{Group: g, Cells: c})
			waiter := waitsFor(Within(t), g)
			AwaitAsleep(t, os.Getpid(), 1)
			AwaitAsleep(t, other.PID(), 1)
			begin := time.Now()
			WantNil(t, "Kill", victim.Kill())
			WantError(t, "Wait", Await(t, waiter, "waiter for the dead"), psync.ErrOwnerDied)
			worst = max(worst, time.Since(begin))
			Result(t, other)
			wantRecovered(t, g, 1)
			wantCount(t, g, 1)
		}
		t.Logf("SIGKILL to ErrOwnerDied: worst %v", worst)
		if worst > prompt {
			t.Errorf("a waiter learned of a death after %v", worst)
		}
	})
}

// Every call ends, whatever the wait group's memory contains.
func TestWaitGroupHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		g := Closing(t, Must(psync.NewWaitGroup(seg, "g"))(t))
		o := Must(object.Open(seg, shm.KindWaitGroup, "g", 1))(t)
		guard := view.At[atomic.Uint64](o.Bytes(), 0)
		words := view.Slice[atomic.Uint64](o.Bytes(), 0, len(o.Bytes())/8)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		ctx := Within(t)
		done := Async(func() error {
			for range 1000 {
				w := &words[16+r.IntN(len(words)-16)]
				if r.IntN(2) == 0 {
					w = &words[16+r.IntN(30)] // not only the shares
				}
				w.Store([]uint64{0, r.Uint64(), w.Load() ^ 1<<r.IntN(64), uint64(r.IntN(16))}[r.IntN(4)])
				guard.Store([]uint64{0, 1, 3, 1<<31 - 2}[r.IntN(4)]) // no owner, or a dead one
				for _, f := range []func() error{
					func() error { return g.Add(r.IntN(3)) }, g.Claim, g.Done,
					func() error { return Second(g.Recover()) },
					func() error {
						short, cancel := context.WithTimeout(ctx, 50*time.Microsecond)
						defer cancel()
						return g.Wait(short)
					},
				} {
					err := f()
					known := err == nil
					for _, e := range []error{psync.ErrOwnerDied, psync.ErrOverRelease, psync.ErrOverflow, context.DeadlineExceeded} {
						known = known || errors.Is(err, e)
					}
					if !known {
						return err
					}
				}
			}
			return nil
		})
		WantNil(t, "operations", Await(t, done, fmt.Sprintf("operation on nonsense, seed %d", seed)))
		runtime.KeepAlive(o)
	})
}
