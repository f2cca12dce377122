package sync_test

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/proc"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// TestEventUserDies kills who sets an event, or waits for it, at each step.
// The others, in two parties of this process and in another process, wake up.
func TestEventUserDies(t *testing.T) {
	needsCrashPoints(t)
	for point := range crash.Points(crash.EventSet, crash.EventWoken) {
		t.Run("E05_"+point.String(), func(t *testing.T) {
			seg := blocking(t)
			e := closing(t, must(psync.NewEvent(seg, "e"))(t))
			far := closing(t, must(psync.OpenEvent(closing(t, must(seg.Attach())(t)), "e"))(t))
			c := newCells(t, seg, 2)
			p := part{Event: e, Cells: c}
			errs := make(chan error, 3)
			survivors := func() *proc.Call[int] {
				for _, e := range []*psync.Event{e, far, e} {
					go func() { errs <- e.Wait(context.Background()) }()
				}
				child := startPart(t, waitEventTask, p)
				awaitAsleep(t, os.Getpid(), cap(errs))
				awaitAsleep(t, child.PID(), 1)
				return child
			}
			var child *proc.Call[int]
			switch point {
			case crash.EventSet:
				child = survivors()
				died(t, dieAt(t, point, setEventTask, p))
			case crash.EventWaiting:
				died(t, dieAt(t, point, waitEventTask, p))
				child = survivors()
				died(t, dieAt(t, point, waitEventTask, p)) // among others
				wantNil(t, "Set", e.Set())
			case crash.EventWoken:
				victim := dieAt(t, point, waitEventTask, p)
				awaitAsleep(t, victim.PID(), 1)
				child = survivors()
				wantNil(t, "Set", e.Set())
				died(t, victim)
			}
			for range cap(errs) {
				wantNil(t, "survivor", await(t, errs, "survivor: waits on the dead"))
			}
			joined(t, child)
			wantSet(t, far, true)
			wantNil(t, "Clear", far.Clear())
			wantSet(t, e, false)
			last := asleepAtEvent(t, e, 1)
			wantNil(t, "Set", far.Set())
			wantNil(t, "Wait", await(t, last, "waiter after it all"))
		})
	}
}

// eventStormArgs are two events that are set by turns.
type eventStormArgs struct {
	A, B  *psync.Event
	Cells *cells
	Life  int
}

// eventStormer counts, in a cell for each life, the waits that it has come
// through. It never ends.
var eventStormer = proc.Register("event stormer", func(ctx context.Context, in eventStormArgs) (int, error) {
	for {
		for _, e := range []*psync.Event{in.A, in.B} {
			if err := e.Wait(ctx); err != nil {
				return 0, err
			}
			if err := e.Set(); err != nil { // it is set: for those who are killed in it
				return 0, err
			}
			in.Cells.add(in.Life)
		}
	}
})

// TestE05_EventStorm sets events by turns while those who wait for them are
// killed at random moments: all the living wake up each time.
func TestE05_EventStorm(t *testing.T) {
	const users, rounds = 3, 60
	seg := anonymous(t)
	c := newCells(t, seg, users+2*rounds)
	var events [2]*psync.Event
	for i := range events {
		events[i] = newEvent(t, seg)
	}
	type user struct {
		*proc.Call[int]
		life int
		want uint32
	}
	life := 0
	start := func() *user {
		p, err := eventStormer.New(eventStormArgs{events[0], events[1], c, life}, nil)
		if err == nil {
			err = p.Start(within(t))
		}
		wantNil(t, "Start", err)
		t.Cleanup(func() { kill(t, p) })
		life++
		return &user{Call: p, life: life - 1}
	}
	var procs [users]*user
	kills := 0
	end := func() {
		i := rand.IntN(users)
		if procs[i] == nil {
			return
		}
		wantNil(t, "Kill", procs[i].Kill())
		died(t, procs[i].Call)
		procs[i] = nil
		kills++
	}
	for range rounds {
		for i := range procs {
			if procs[i] == nil {
				procs[i] = start()
			}
		}
		for _, e := range events {
			moment := rand.IntN(4)
			if moment == 0 {
				time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
				end()
			}
			wantNil(t, "Set", e.Set())
			if moment == 1 {
				time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
				end()
			}
			for _, p := range procs {
				if p != nil {
					p.want++
					c.await(t, p.life, p.want)
				}
			}
			wantNil(t, "Clear", e.Clear())
		}
	}
	t.Logf("%d times set, %d of %d processes killed", 2*rounds, kills, life)
}
