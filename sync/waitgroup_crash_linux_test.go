package sync_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/proc"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

const (
	groupAdds = iota
	groupDoes
	groupClaims
	groupRecovers
	groupWaits
)

// groupVictim does what N says when it is told, and dies in it.
var groupVictim = register("group victim", func(ctx context.Context, j groupJob) error {
	j.Cells.add(0)
	if err := j.Cells.until(ctx, 1, 1); err != nil {
		return err
	}
	switch j.N {
	case groupAdds:
		return j.Group.Add(1)
	case groupDoes:
		return j.Group.Done()
	case groupClaims:
		return j.Group.Claim()
	case groupRecovers:
		return second(j.Group.Recover())
	}
	return j.Group.Wait(ctx)
})

// groupLost claims a count and ends with it.
var groupLost = register("group lost", func(ctx context.Context, j groupJob) error { return j.Group.Claim() })

// TestWaitGroupUserDies kills a process at each step of each change. The
// change is made, or not, as the step says; who waits learns what that means.
func TestWaitGroupUserDies(t *testing.T) {
	needsCrashPoints(t)
	test := func(does int, point crash.Point, made bool) {
		t.Run(fmt.Sprintf("%d_%v", does, point), func(t *testing.T) {
			seg := blocking(t)
			g := closing(t, must(psync.NewWaitGroup(seg, "g"))(t))
			far := closing(t, must(psync.OpenWaitGroup(attach(t, seg), "g"))(t))
			c := newCells(t, seg, 2)
			wantNil(t, "Add", g.Add(1))
			lost := 0
			if does == groupRecovers {
				joined(t, launch(t, groupLost, groupJob{0, g, c}, nil))
				lost = 1
			}
			victim := launch(t, groupVictim, groupJob{does, g, c}, dyingAt(point))
			c.await(t, 0, 1)
			var one, two <-chan error
			if lost == 0 {
				one, two = waitsFor(within(t), g), waitsFor(within(t), far)
				awaitAsleep(t, os.Getpid(), 2)
			}
			c.add(1)
			died(t, victim)
			// What is counted now, and for whom.
			living, want := 1, error(nil)
			switch {
			case does == groupAdds && made:
				lost, want = 1, psync.ErrOwnerDied
			case does == groupClaims && made:
				living, lost, want = 0, 1, psync.ErrOwnerDied
			case does == groupDoes && made:
				living = 0
			case does == groupRecovers && made:
				living, lost = 0, 0
			case does == groupRecovers:
				living = 0
			default: // as if nothing had been: they wait on
				wantNil(t, "Done", far.Done())
				living = 0
			}
			for _, w := range []<-chan error{one, two} {
				if w == nil {
					continue
				}
				if err := await(t, w, "waiter"); err != want {
					t.Errorf("Wait: %v, want %v", err, want)
				}
			}
			if lost > 0 {
				wantError(t, "Wait", far.Wait(within(t)), psync.ErrOwnerDied)
			}
			wantRecovered(t, far, lost)
			wantCount(t, g, living)
			runtime.KeepAlive(c)
		})
	}
	for _, does := range []int{groupAdds, groupDoes, groupClaims, groupRecovers} {
		test(does, crash.LockTaken, false)
		for point := range crash.Points(crash.WaitGroupLogged, crash.WaitGroupCleared) {
			test(does, point, true)
		}
		test(does, crash.LockFreed, true)
	}
	test(groupWaits, crash.WaitGroupWaiting, false)
}

// groupStormer claims what its parent has added for it, does some more, and is
// done. It counts in cell 0, and in cell 1 when it has claimed.
var groupStormer = register("group stormer", func(ctx context.Context, j groupJob) error {
	if err := j.Group.Claim(); err != nil {
		return err
	}
	j.Cells.add(1)
	for {
		if err := groupHammer(j.Group, 5, false); err != nil {
			return err
		}
		j.Cells.at(0).Add(1)
	}
})

// TestWaitGroupStorm kills processes that count at random moments. Whatever
// they had is dropped by Recover, and no more.
func TestWaitGroupStorm(t *testing.T) {
	kills := 50
	if testing.Short() {
		kills = 10
	}
	seg := anonymous(t)
	g := closing(t, must(psync.NewWaitGroup(seg, ""))(t))
	c := newCells(t, seg, 2)
	begun := uint32(0)
	begin := func() *proc.Call[int] {
		wantNil(t, "Add", g.Add(1))
		p := launch(t, groupStormer, groupJob{0, g, c}, nil)
		begun++
		c.await(t, 1, begun)
		return p
	}
	var procs [3]*proc.Call[int]
	for i := range procs {
		procs[i] = begin()
	}
	dropped := 0
	for range kills {
		before := c.at(0).Load()
		eventually(t, "work after a death", func() bool { return c.at(0).Load() > before+20 })
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond) // a random moment
		i := rand.IntN(len(procs))
		select {
		case <-procs[i].Done():
			t.Fatalf("a process ended by itself: %v", procs[i].Join(within(t)))
		default:
		}
		waiter := waitsFor(within(t), g)
		kill(t, procs[i])
		wantError(t, "Wait", await(t, waiter, "waiter for the dead"), psync.ErrOwnerDied)
		n, err := g.Recover()
		wantNil(t, "Recover", err)
		dropped += n
		procs[i] = begin()
	}
	for _, p := range procs {
		kill(t, p)
	}
	// Their deaths may become known one by one.
	for err := g.Wait(within(t)); err != nil; err = g.Wait(within(t)) {
		wantError(t, "Wait", err, psync.ErrOwnerDied)
		n, err := g.Recover()
		wantNil(t, "Recover", err)
		dropped += n
	}
	t.Logf("%d processes killed, %d counts dropped", kills+len(procs), dropped)
	wantCount(t, g, 0)
	runtime.KeepAlive(c)
}
