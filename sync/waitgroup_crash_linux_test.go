package sync_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
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

// groupVictim waits until it may go on, calls the method that N selects, and dies in it.
var groupVictim = task("group victim", func(ctx context.Context, j job) error {
	j.Cells.Add(0)
	if err := j.Cells.Until(ctx, 1, 1); err != nil {
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
		return Second(j.Group.Recover())
	}
	return j.Group.Wait(ctx)
})

// groupLost claims a count and exits with it.
var groupLost = task("group lost", func(ctx context.Context, j job) error { return j.Group.Claim() })

// TestWaitGroupUserDies kills a process at each step of each change. The change is made, or not, as
// the table says, and waiters notice what follows from it.
func TestWaitGroupUserDies(t *testing.T) {
	NeedCrashPoints(t)
	test := func(does int, point crash.Point, made bool) {
		t.Run(fmt.Sprintf("%d_%v", does, point), func(t *testing.T) {
			seg := Blocking(t, room)
			g := Closing(t, Must(psync.NewWaitGroup(seg, "g"))(t))
			far := Closing(t, Must(psync.OpenWaitGroup(Attach(t, seg), "g"))(t))
			c := NewCells(t, seg, 2)
			WantNil(t, "Add", g.Add(1))
			lost := 0
			if does == groupRecovers {
				Result(t, Start(t, groupLost, job{Group: g, Cells: c}))
				lost = 1
			}
			victim := StartToDie(t, groupVictim, job{N: does, Group: g, Cells: c}, point, 1)
			c.Await(t, 0, 1)
			var one, two <-chan error
			if lost == 0 {
				one, two = waitsFor(Within(t), g), waitsFor(Within(t), far)
				AwaitAsleep(t, os.Getpid(), 2)
			}
			c.Add(1)
			Killed(t, victim)
			// The counts now, and to which process they belong.
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
			default: // nothing has changed: the waiters wait on
				WantNil(t, "Done", far.Done())
				living = 0
			}
			for _, w := range []<-chan error{one, two} {
				if w == nil {
					continue
				}
				if err := Await(t, w, "waiter"); !errors.Is(err, want) {
					t.Errorf("Wait: %v, want %v", err, want)
				}
			}
			if lost > 0 {
				WantError(t, "Wait", far.Wait(Within(t)), psync.ErrOwnerDied)
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

// groupStormer claims a count that its parent has added for it, adds and takes back more, and calls
// Done. It counts its rounds in cell 0, and its claims in cell 1.
var groupStormer = task("group stormer", func(ctx context.Context, j job) error {
	if err := j.Group.Claim(); err != nil {
		return err
	}
	j.Cells.Add(1)
	for {
		if err := groupHammer(j.Group, 5, false); err != nil {
			return err
		}
		j.Cells.At(0).Add(1)
	}
})

// TestWaitGroupStorm kills processes that count, at random moments. Recover drops exactly the
// counts that they had.
func TestWaitGroupStorm(t *testing.T) {
	kills := 50
	if testing.Short() {
		kills = 10
	}
	seg := Anonymous(t, room)
	g := Closing(t, Must(psync.NewWaitGroup(seg, ""))(t))
	c := NewCells(t, seg, 2)
	begun := uint32(0)
	begin := func() *proc.Call[int] {
		WantNil(t, "Add", g.Add(1))
		p := Start(t, groupStormer, job{Group: g, Cells: c})
		begun++
		c.Await(t, 1, begun)
		return p
	}
	var procs [3]*proc.Call[int]
	for i := range procs {
		procs[i] = begin()
	}
	dropped := 0
	for range kills {
		before := c.At(0).Load()
		Eventually(t, "work after a death", func() bool { return c.At(0).Load() > before+20 })
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond) // a random moment
		i := rand.IntN(len(procs))
		select {
		case <-procs[i].Done():
			t.Fatalf("a process ended by itself: %v", procs[i].Join(Within(t)))
		default:
		}
		waiter := waitsFor(Within(t), g)
		Kill(t, procs[i])
		WantError(t, "Wait", Await(t, waiter, "waiter for the dead"), psync.ErrOwnerDied)
		n, err := g.Recover()
		WantNil(t, "Recover", err)
		dropped += n
		procs[i] = begin()
	}
	for _, p := range procs {
		Kill(t, p)
	}
	// The deaths may be noticed one by one.
	for err := g.Wait(Within(t)); err != nil; err = g.Wait(Within(t)) {
		WantError(t, "Wait", err, psync.ErrOwnerDied)
		n, err := g.Recover()
		WantNil(t, "Recover", err)
		dropped += n
	}
	t.Logf("%d processes killed, %d counts dropped", kills+len(procs), dropped)
	wantCount(t, g, 0)
	runtime.KeepAlive(c)
}
