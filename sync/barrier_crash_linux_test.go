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
	"github.com/seed-2e7ecdea/mp/proc"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// dyingAt are the options of a victim.
func dyingAt(p crash.Point) *proc.Options {
	return &proc.Options{Env: []string{crash.Env + "=" + p.String()}}
}

// barrierVictim does with the barrier what N says, and dies in it.
var barrierVictim = register("barrier victim", func(ctx context.Context, j barrierJob) (err error) {
	switch j.N {
	case barrierPasses:
		_, err = j.Barrier.Wait(ctx)
	case barrierActs:
		_, err = j.Barrier.WaitDo(ctx, func() error {
			j.Cells.add(0)
			return nil
		})
	case barrierGivesUp:
		_, err = j.Barrier.Wait(expired)
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

// TestB09_BarrierUserDies kills a party of a barrier of three at each step:
// when it comes first, and when it comes last. The other two, in this process and
// in another party, must pass or find the barrier broken, as the step says.
func TestB09_BarrierUserDies(t *testing.T) {
	needsCrashPoints(t)
	passed, broken := error(nil), psync.ErrBroken
	for _, test := range []struct {
		point crash.Point
		does  int
		last  bool // comes last
		want  error
		after bool // broken afterwards
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
			seg := blocking(t)
			b := closing(t, must(psync.NewBarrier(seg, "b", 3, nil))(t))
			far := closing(t, must(psync.OpenBarrier(attach(t, seg), "b"))(t))
			c := newCells(t, seg, 1)
			job := barrierJob{test.does, b, c}
			var one, two <-chan error
			come := func() { one, two = waitsAt(within(t), b), waitsAt(within(t), far) }
			if test.last {
				come()
				awaitAsleep(t, os.Getpid(), 2)
				awaitWaiting(t, b, 2)
			}
			died(t, launch(t, barrierVictim, job, dyingAt(test.point)))
			if !test.last {
				come()
			}
			for _, w := range []<-chan error{one, two} {
				if err := await(t, w, "waiter with the dead"); !errors.Is(err, test.want) || test.want == nil && err != nil {
					t.Errorf("Wait: %v, want %v", err, test.want)
				}
			}
			if n := c.at(0).Load(); (n == 1) != (test.does == barrierActs && test.point != crash.BarrierActing) {
				t.Errorf("the action ran %d times", n)
			}
			wantBroken(t, far, test.after)
			if test.after {
				wantError(t, "Wait", second(far.Wait(within(t))), psync.ErrBroken)
				wantNil(t, "Reset", b.Reset())
			}
			for range 3 {
				passes(t, b, far, b)
			}
			runtime.KeepAlive(c)
		})
	}
}

// Cells of a barrier storm: how many rounds there were, and for each who has
// passed it, by index.
const (
	stormRound   = 0
	stormPassed  = 1
	stormWindow  = 4096
	stormParties = 3
)

// barrierStormer waits for ever. When the barrier is broken it comes again.
var barrierStormer = register("barrier stormer", func(ctx context.Context, j barrierJob) error {
	for {
		i, err := j.Barrier.WaitDo(ctx, func() error {
			j.Cells.at(stormRound).Add(1)
			return nil
		})
		switch {
		case err == nil:
			round := j.Cells.at(stormRound).Load()
			j.Cells.at(int(stormPassed + round%stormWindow)).Add(1 << (8 * i))
		case ctx.Err() != nil || !errors.Is(err, psync.ErrBroken):
			return err
		default:
			runtime.Gosched() // until it is reset
		}
	}
})

// TestB09_BarrierStorm kills parties at random moments. Rounds go on, no index
// is returned twice in a round, and only the killed may be missing in a round
// that has passed.
func TestB09_BarrierStorm(t *testing.T) {
	kills := 40
	if testing.Short() {
		kills = 10
	}
	seg := anonymous(t)
	b := closing(t, must(psync.NewBarrier(seg, "", stormParties, nil))(t))
	c := newCells(t, seg, stormPassed+stormWindow)
	begin := func() *proc.Call[int] { return launch(t, barrierStormer, barrierJob{0, b, c}, nil) }
	var procs [stormParties]*proc.Call[int]
	for i := range procs {
		procs[i] = begin()
	}
	var missing, rounds int
	check := func(round uint32) { // and forget it
		v := c.at(int(stormPassed + round%stormWindow)).Swap(0)
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
		before := c.at(stormRound).Load()
		eventually(t, "rounds after a death", func() bool { return c.at(stormRound).Load() > before+5 })
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // a random moment
		i := rand.IntN(len(procs))
		kill(t, procs[i])
		// All who live fail or wait for the third: the rounds rest.
		rest := c.at(stormRound).Load()
		if rest-checked > stormWindow/2 {
			t.Fatalf("%d rounds at once", rest-checked)
		}
		procs[i] = begin()
		wantNil(t, "Reset", b.Reset())
		for ; checked+1 < rest; checked++ {
			check(checked)
		}
	}
	for _, p := range procs {
		kill(t, p)
	}
	for ; checked <= c.at(stormRound).Load(); checked++ {
		check(checked)
	}
	t.Logf("%d rounds passed, %d processes killed, %d not seen to pass", rounds, kills+stormParties, missing)
	if missing > kills+stormParties {
		t.Errorf("%d parties are missing in rounds that have passed, %d were killed", missing, kills+stormParties)
	}
	wantNil(t, "Reset", b.Reset())
	passes(t, b, b, b)
	runtime.KeepAlive(c)
}
