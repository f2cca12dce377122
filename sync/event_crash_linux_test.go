package sync_test

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// TestEventUserDies kills a process that sets an event, or waits for it, at each step. The others,
// in two parties of this process and in another process, are woken.
func TestEventUserDies(t *testing.T) {
	NeedCrashPoints(t)
	for point := range crash.Points(crash.EventSet, crash.EventWoken) {
		t.Run("E05_"+point.String(), func(t *testing.T) {
			seg := Blocking(t, room)
			e := Closing(t, Must(psync.NewEvent(seg, "e"))(t))
			far := Closing(t, Must(psync.OpenEvent(Attach(t, seg), "e"))(t))
			c := NewCells(t, seg, 2)
			p := job{Event: e, Cells: c}
			errs := make(chan error, 3)
			survivors := func() *proc.Call[int] {
				for _, e := range []*psync.Event{e, far, e} {
					go func() { errs <- e.Wait(context.Background()) }()
				}
				child := Start(t, waitEventTask, p)
				AwaitAsleep(t, os.Getpid(), cap(errs))
				AwaitAsleep(t, child.PID(), 1)
				return child
			}
			var child *proc.Call[int]
			switch point {
			case crash.EventSet:
				child = survivors()
				Killed(t, StartToDie(t, setEventTask, p, point, 1))
			case crash.EventWaiting:
				Killed(t, StartToDie(t, waitEventTask, p, point, 1))
				child = survivors()
				Killed(t, StartToDie(t, waitEventTask, p, point, 1)) // while others wait
				WantNil(t, "Set", e.Set())
			case crash.EventWoken:
				victim := StartToDie(t, waitEventTask, p, point, 1)
				AwaitAsleep(t, victim.PID(), 1)
				child = survivors()
				WantNil(t, "Set", e.Set())
				Killed(t, victim)
			}
			for range cap(errs) {
				WantNil(t, "survivor", Await(t, errs, "survivor: waits on the dead"))
			}
			Result(t, child)
			wantSet(t, far, true)
			WantNil(t, "Clear", far.Clear())
			wantSet(t, e, false)
			last := asleep(t, 1, e.Wait)
			WantNil(t, "Set", far.Set())
			WantNil(t, "Wait", Await(t, last, "waiter after it all"))
		})
	}
}

// eventStormArgs are two events that are set in turn.
type eventStormArgs struct {
	A, B  *psync.Event
	Cells *Cells
	Life  int
}

// eventStormer waits in turn for the two events, for ever. It counts the waits that returned, in a
// cell for each life.
var eventStormer = proc.Register("event stormer", func(ctx context.Context, in eventStormArgs) (int, error) {
	for {
		for _, e := range []*psync.Event{in.A, in.B} {
			if err := e.Wait(ctx); err != nil {
				return 0, err
			}
			if err := e.Set(); err != nil { // it is set already: for victims that are killed in Set
				return 0, err
			}
			in.Cells.Add(in.Life)
		}
	}
})

// TestE05_EventStorm sets events in turn while waiters are killed at random moments. Each time all
// living waiters are woken.
func TestE05_EventStorm(t *testing.T) {
	const users, rounds = 3, 60
	seg := Anonymous(t, room)
	c := NewCells(t, seg, users+2*rounds)
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
		p := Start(t, eventStormer, eventStormArgs{events[0], events[1], c, life})
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
		WantNil(t, "Kill", procs[i].Kill())
		Killed(t, procs[i].Call)
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
			WantNil(t, "Set", e.Set())
			if moment == 1 {
				time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
				end()
			}
			for _, p := range procs {
				if p != nil {
					p.want++
					c.Await(t, p.life, p.want)
				}
			}
			WantNil(t, "Clear", e.Clear())
		}
	}
	t.Logf("%d times set, %d of %d processes killed", 2*rounds, kills, life)
}
