package sync_test

import (
	"context"
	"errors"
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

// barrierVictim calls the method of the barrier that N selects, and dies in it.
var barrierVictim = task("barrier victim", func(ctx context.Context, j job) (err error) {
	switch j.N {
	case barrierPasses:
		_, err = j.Barrier.Wait(ctx)
	case barrierActs:
		_, err = j.Barrier.WaitDo(ctx, func() error {
			j.Cells.Add(0)
			return nil
		})
	case barrierGivesUp:
		_, err = j.Barrier.Wait(Expired)
	case barrierAborts:
		err = j.Barrier.Abort()
	case barrierResets:
		err = j.Barrier.Reset()
	}
	return err
})

const (
	barrierPasses = iota
	barrierActs
	barrierGivesUp
	barrierAborts
	barrierResets
)

// TestB09_BarrierUserDies kills a party of a barrier of three at each step: if it arrives first,
// and if it arrives last. The other two, in this process and in another party, must pass or find
// the barrier broken, as the table says.
func TestB09_BarrierUserDies(t *testing.T) {
	NeedCrashPoints(t)
	passed, broken := error(nil), psync.ErrBroken
	for _, test := range []struct {
		point crash.Point
		does  int
		last  bool // the victim arrives last
		want  error
		after bool // the barrier is broken afterwards
	}{
		{crash.BarrierSeated, barrierPasses, false, broken, true},
		{crash.BarrierSeated, barrierPasses, true, broken, true},
		{crash.BarrierFull, barrierPasses, true, broken, true},
		{crash.BarrierActing, barrierActs, true, broken, true},
		{crash.BarrierActed, barrierActs, true, broken, true},
		{crash.BarrierPassed, barrierPasses, true, passed, false},
		{crash.BarrierPassed, barrierActs, true, passed, false},
		{crash.BarrierBroke, barrierGivesUp, false, broken, true},
		{crash.BarrierBroke, barrierAborts, false, broken, true},
		{crash.BarrierBroke, barrierAborts, true, broken, true},
		{crash.BarrierLeft, barrierPasses, true, passed, false},
		{crash.BarrierLeft, barrierGivesUp, false, broken, true},
		{crash.BarrierReset, barrierResets, true, broken, false},
		{crash.BarrierWaiting, barrierPasses, false, broken, true},
	} {
		t.Run(test.point.String(), func(t *testing.T) {
			seg := Blocking(t, room)
			b := Closing(t, Must(psync.NewBarrier(seg, "b", 3, nil))(t))
			far := Closing(t, Must(psync.OpenBarrier(Attach(t, seg), "b"))(t))
			c := NewCells(t, seg, 1)
			j := job{N: test.does, Barrier: b, Cells: c}
			var one, two <-chan error
			come := func() { one, two = waits(Within(t), b), waits(Within(t), far) }
			if test.last {
				come()
				AwaitAsleep(t, os.Getpid(), 2)
				awaitWaiting(t, b, 2)
			}
			Killed(t, StartToDie(t, barrierVictim, j, test.point, 1))
			if !test.last {
				come()
			}
			for _, w := range []<-chan error{one, two} {
				if err := Await(t, w, "waiter with the dead"); !errors.Is(err, test.want) || test.want == nil && err != nil {
					t.Errorf("Wait: %v, want %v", err, test.want)
				}
			}
			if n := c.At(0).Load(); (n == 1) != (test.does == barrierActs && test.point != crash.BarrierActing) {
				t.Errorf("the action ran %d times", n)
			}
			wantBroken(t, far, test.after)
			if test.after {
				WantError(t, "Wait", Second(far.Wait(Within(t))), psync.ErrBroken)
				WantNil(t, "Reset", b.Reset())
			}
			for range 3 {
				passes(t, b, far, b)
			}
			runtime.KeepAlive(c)
		})
	}
}

// The cells of a barrier storm: the number of rounds, the number of rounds that the test has checked,
// and for each round a bit field of the indices that passed it.
const (
	stormRound   = 0
	stormChecked = 1
	stormPassed  = 2
	stormWindow  = 4096
	stormParties = 3
)

// tooFar reports whether so many rounds have not been checked that the cells are used up.
func tooFar(c *Cells) bool { return c.At(stormRound).Load()-c.At(stormChecked).Load() > stormWindow/2 }

// barrierStormer calls Wait for ever. If the barrier is broken, it tries again. If the test is far
// behind, it waits for it.
var barrierStormer = task("barrier stormer", func(ctx context.Context, j job) error {
	for {
		for tooFar(j.Cells) && ctx.Err() == nil {
			runtime.Gosched()
		}
		i, err := j.Barrier.WaitDo(ctx, func() error {
			j.Cells.At(stormRound).Add(1)
			return nil
		})
		switch {
		case err == nil:
			round := j.Cells.At(stormRound).Load()
			j.Cells.At(int(stormPassed + round%stormWindow)).Add(1 << (8 * i))
		case ctx.Err() != nil || !errors.Is(err, psync.ErrBroken):
			return err
		default:
			runtime.Gosched() // until the test resets the barrier
		}
	}
})

// TestB09_BarrierStorm kills parties at random moments. Rounds go on, no index is returned twice in
// a round, and in a round that has passed only killed parties may be missing.
func TestB09_BarrierStorm(t *testing.T) {
	kills := 40
	if testing.Short() {
		kills = 10
	}
	seg := Anonymous(t, room)
	b := Closing(t, Must(psync.NewBarrier(seg, "", stormParties, nil))(t))
	c := NewCells(t, seg, stormPassed+stormWindow)
	begin := func() *proc.Call[int] { return Start(t, barrierStormer, job{Barrier: b, Cells: c}) }
	var procs [stormParties]*proc.Call[int]
	for i := range procs {
		procs[i] = begin()
	}
	var missing, rounds int
	check := func(round uint32) { // and clears its cell
		v := c.At(int(stormPassed + round%stormWindow)).Swap(0)
		came := 0
		for i := range stormParties {
			n := int(v >> (8 * i) & 0xff)
			if n > 1 {
				t.Errorf("round %d: index %d was returned %d times", round, i, n)
			}
			came += n
		}
		if came > 0 {
			rounds++
			missing += stormParties - came
		}
	}
	checked := uint32(1)
	for range kills {
		before := c.At(stormRound).Load()
		Eventually(t, "rounds after a death", func() bool { return c.At(stormRound).Load() > before+5 || tooFar(c) })
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // a random moment
		i := rand.IntN(len(procs))
		Kill(t, procs[i])
		// All living parties fail or wait for the third one, so no round ends.
		rest := c.At(stormRound).Load()
		procs[i] = begin()
		WantNil(t, "Reset", b.Reset())
		for ; checked+1 < rest; checked++ {
			check(checked)
		}
		c.At(stormChecked).Store(checked)
	}
	for _, p := range procs {
		Kill(t, p)
	}
	for ; checked <= c.At(stormRound).Load(); checked++ {
		check(checked)
	}
	t.Logf("%d rounds passed, %d processes killed, %d not seen to pass", rounds, kills+stormParties, missing)
	if missing > kills+stormParties {
		t.Errorf("%d parties are missing in rounds that have passed, %d were killed", missing, kills+stormParties)
	}
	WantNil(t, "Reset", b.Reset())
	passes(t, b, b, b)
	runtime.KeepAlive(c)
}
