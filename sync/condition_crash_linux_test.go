package sync_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A condVictim is what a process does with a condition until it dies at a crash point: it waits, it
// notifies, or it waits and closes the condition when cell 2 is set.
type condVictim struct {
	Cond    *psync.Condition
	Cells   *Cells
	What    string
	Timeout time.Duration
}

var condVictimTask = task("condition victim", func(ctx context.Context, v condVictim) error {
	if err := v.Cond.L().Acquire(ctx); err != nil {
		return err
	}
	v.Cells.Add(0)
	if v.What == "notify" {
		return v.Cond.NotifyAll()
	}
	if v.What == "close" {
		go func() {
			if v.Cells.Until(ctx, 2, 1) == nil {
				v.Cond.Close()
			}
		}()
	}
	wait := ctx
	if v.Timeout > 0 {
		short, cancel := context.WithTimeout(ctx, v.Timeout)
		defer cancel()
		wait = short
	}
	return v.Cond.Wait(wait)
})

// victim starts a process that dies at the crash point.
func (s *scene) victim(c *Cells, what string, point crash.Point, nth int) *proc.Call[int] {
	s.Helper()
	in := condVictim{Cond: s.main.(lockMember).Condition, Cells: c, What: what}
	if point == crash.ConditionLeft {
		in.Timeout = time.Millisecond
	}
	return StartToDie(s, condVictimTask, in, point, nth)
}

// TestConditionUserDies kills a waiter or a notifier at each step. Two others wait, here and in
// another party. wakes is how many of them wake because of the victim. holding says that the victim
// dies holding the lock.
func TestConditionUserDies(t *testing.T) {
	NeedCrashPoints(t)
	walked := make(map[crash.Point]bool)
	for _, test := range []struct {
		point   crash.Point
		nth     int
		wakes   int
		holding bool
	}{
		{point: crash.ConditionEnqueued, holding: true},
		{point: crash.ConditionReleased},
		{point: crash.ConditionWoken, wakes: 1},
		{point: crash.ConditionReacquired, wakes: 1, holding: true},
		{point: crash.ConditionLeft},
		{point: crash.ConditionTakenOver, wakes: 1},
		{point: crash.ConditionHandedOn, wakes: 1},
		{point: crash.ConditionNotifying, holding: true},
		{point: crash.ConditionNotified, wakes: 1, holding: true},
		{point: crash.ConditionNotified, nth: 2, wakes: 2, holding: true},
	} {
		walked[test.point] = true
		nth := max(test.nth, 1)
		for _, ignore := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v_%d_ignore_%v", test.point, nth, ignore), func(t *testing.T) {
				seg := Anonymous(t, room)
				s := newScene(t, lockClub{}, seg, &psync.Options{IgnoreDeaths: ignore}, nil)
				c := NewCells(t, seg, 3)
				results := s.kill(c, test.point, nth)
				if test.holding && !ignore {
					for range 2 {
						WantError(t, "Wait", Await(t, results, "a waiter whose lock the dead hold"), psync.ErrOwnerDied)
					}
					WantNil(t, "Recover", recoverLock(s, s.main, s.main.NotifyAll))
				} else {
					for range test.wakes {
						s.wakes(results)
					}
					s.sleeps(make([]<-chan error, 2-test.wakes)...)
					s.notify(2)
					for range 2 - test.wakes {
						s.wakes(results)
					}
				}
				// The condition works as before.
				x, y := s.wait(s.seg), s.wait(s.party())
				s.notify(1)
				s.wakes(x)
				s.sleeps(y)
				s.notify(1)
				s.wakes(y)
			})
		}
	}
	for point := range crash.Points(crash.ConditionEnqueued, crash.ConditionNotified) {
		if !walked[point] {
			t.Errorf("%v is not walked", point)
		}
	}
}

// kill lets a victim die at the crash point. It returns what the Waits of two others return.
func (s *scene) kill(c *Cells, point crash.Point, nth int) <-chan error {
	s.Helper()
	results := make(chan error, 2)
	others := func() {
		for _, seg := range []*shm.Segment{s.seg, s.party()} {
			done := s.wait(seg)
			go func() { results <- <-done }()
		}
	}
	var victim *proc.Call[int]
	switch point {
	case crash.ConditionNotifying, crash.ConditionNotified:
		others()
		victim = s.victim(c, "notify", point, nth)
	case crash.ConditionEnqueued, crash.ConditionReleased, crash.ConditionLeft:
		others()
		victim = s.victim(c, "wait", point, nth)
	case crash.ConditionWoken, crash.ConditionReacquired:
		victim = s.victim(c, "wait", point, nth)
		s.awaitWaiting(1)
		others()
		s.notify(1)
	case crash.ConditionHandedOn:
		victim = s.victim(c, "close", point, nth)
		s.awaitWaiting(1)
		others()
		s.hold()
		WantNil(s, "Notify", s.main.Notify(1))
		c.Add(2)
		Killed(s, victim)
		s.release()
	case crash.ConditionTakenOver:
		// Only the victim can take over the dead waiter's notification: the other waiters that
		// could are stopped.
		first := s.child(c, 1)
		Stop(s, first)
		victim = s.victim(c, "wait", point, nth)
		s.awaitWaiting(2)
		heir := s.child(c, 1)
		Stop(s, heir)
		s.notify(1)
		Kill(s, first)
		Killed(s, victim)
		WantNil(s, "SIGCONT", resume(heir))
		c.Await(s, 1, 1)
		Result(s, heir)
		results <- nil
		done := s.wait(s.seg)
		go func() { results <- <-done }()
	}
	Killed(s, victim)
	return results
}

// condConsumer takes items until there are none and cell 1 is set. Cell 0 is the number of items,
// guarded by the condition's lock. Cell 2 counts the items taken.
var condConsumer = proc.Register("condition consumer", func(ctx context.Context, j job) (int, error) {
	errs := make(chan error)
	for range j.N {
		go func() { errs <- consume(ctx, j) }()
	}
	var err error
	for range j.N {
		err = errors.Join(err, <-errs)
	}
	return 0, err
})

func consume(ctx context.Context, j job) error {
	items, end := j.Cells.At(0), j.Cells.At(1)
	for {
		err := j.Cond.L().Acquire(ctx)
		if err == nil {
			err = j.Cond.WaitFor(ctx, func() bool { return items.Load() > 0 || end.Load() > 0 })
		}
		if errors.Is(err, psync.ErrOwnerDied) {
			// The dead process may have been notified and have taken nothing.
			err = j.Cond.L().Recover(ctx, j.Cond.NotifyAll)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		n := items.Load()
		if n > 0 {
			items.Store(n - 1)
		}
		if err := j.Cond.L().Release(); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if n == 1 {
			j.Cells.Add(2) // all items are taken
		}
	}
}

// TestConditionStorm kills consumers that wait, were just notified, or take items. Each
// notification that they got goes to another consumer, without another call of Notify.
func TestConditionStorm(t *testing.T) {
	const consumers, goroutines = 3, 2
	rounds := 250
	if testing.Short() {
		rounds = 30
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	seg := Anonymous(t, room)
	s := newScene(t, lockClub{}, seg, nil, nil)
	m := s.main.(lockMember)
	c := NewCells(t, seg, 3)
	start := func() *proc.Call[int] {
		return Start(t, condConsumer, job{N: goroutines, Cond: m.Condition, Cells: c})
	}
	var procs [consumers]*proc.Call[int]
	for i := range procs {
		procs[i] = start()
	}
	hold := func() {
		err := m.Acquire(Within(t))
		for errors.Is(err, psync.ErrOwnerDied) {
			WantNil(t, "Recover", m.L().Recover(Within(t), m.NotifyAll))
			err = m.Acquire(Within(t))
		}
		WantNil(t, "Acquire", err)
	}
	kills, worst := 0, time.Duration(0)
	for round := range rounds {
		hold()
		n := 1 + r.IntN(4)
		c.At(0).Store(c.At(0).Load() + uint32(n))
		WantNil(t, "Notify", m.Notify(n))
		victim := -1
		switch r.IntN(4) {
		case 0: // kill no consumer
		case 1: // kill one that holds the lock or is about to acquire it
			victim = r.IntN(consumers)
			WantNil(t, "Release", m.Release())
			time.Sleep(time.Duration(r.IntN(200)) * time.Microsecond) // a random moment
			WantNil(t, "Kill", procs[victim].Kill())
		default: // kill one that may have been notified, and does not hold the lock
			victim = r.IntN(consumers)
			WantNil(t, "Kill", procs[victim].Kill())
			WantNil(t, "Release", m.Release())
		}
		if victim < 0 {
			WantNil(t, "Release", m.Release())
		}
		begin := time.Now()
		for c.At(0).Load() > 0 {
			if time.Since(begin) > Patience {
				Stuck(t, fmt.Sprintf("round %d, seed %d: %d items are left, %d wait", round, seed, c.At(0).Load(), m.Waiting()))
			}
			time.Sleep(20 * time.Microsecond)
		}
		worst = max(worst, time.Since(begin))
		if victim >= 0 {
			kills++
			Await(t, procs[victim].Done(), "end of a killed process")
			procs[victim] = start()
		}
	}
	c.At(1).Store(1)
	hold()
	WantNil(t, "NotifyAll", m.NotifyAll())
	WantNil(t, "Release", m.Release())
	for _, p := range procs {
		Result(t, p)
	}
	t.Logf("%d rounds, %d killed; the longest until all was taken: %v; %d slots used", rounds, kills, worst, m.Used())
}
