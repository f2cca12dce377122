package ring_test

import (
	"context"
	"runtime"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A trip is two queues, one in each direction.
type trip struct{ There, Back *ring.Queue[int] }

func (p trip) answer(ctx context.Context) error {
	for {
		v, err := p.There.Get(ctx)
		if err == nil {
			err = p.Back.Put(ctx, v)
		}
		if err != nil {
			return err
		}
	}
}

// ask makes round trips until most waits of the last 256 have ended without a sleep, and returns how many it made.
func (p trip) ask(ctx context.Context) (n int, err error) {
	const trips = 256
	var before shm.Stats
	for {
		for range trips {
			if err := p.There.Put(ctx, n); err != nil {
				return n, err
			}
			if _, err := p.Back.Get(ctx); err != nil {
				return n, err
			}
			n++
		}
		s, err := p.Back.Stats()
		if err != nil || s.Spins-before.Spins > trips/2 {
			return n, err
		}
		before = s
	}
}

var answerTrip = Task("answer a trip", func(ctx context.Context, p trip) (proc.None, error) {
	return proc.None{}, p.answer(ctx)
})

var askTrip = Task("ask a trip", func(ctx context.Context, p trip) (int, error) { return p.ask(ctx) })

func newTrip(t *testing.T) trip {
	seg := Anonymous(t, room)
	return trip{newQueue[int](t, seg, 4), newQueue[int](t, seg, 4)}
}

// Two processes on one CPU yield it to each other, so that they need not sleep and wake each other. No
// spin sees an answer there.
func TestProcessesYieldToEachOther(t *testing.T) {
	if !*speed || runtime.NumCPU() > 1 {
		t.Skip("needs one CPU that does nothing else: taskset -c 0, -speed")
	}
	p := newTrip(t)
	answering := Start(t, answerTrip, p)
	n := Result(t, Start(t, askTrip, p))
	Kill(t, answering)
	t.Logf("after %d round trips, %+v", n, Must(p.Back.Stats())(t))
}

// So do two goroutines of a process that runs one goroutine at a time.
func TestGoroutinesYieldToEachOther(t *testing.T) {
	if !*speed {
		t.Skip("needs a machine that does nothing else: -speed")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	p := newTrip(t)
	ctx, cancel := context.WithCancel(Within(t))
	answering := Async(func() error { return p.answer(ctx) })
	n := Must(p.ask(ctx))(t)
	cancel()
	WantError(t, "the answering goroutine", Await(t, answering, "its end"), context.Canceled)
	t.Logf("after %d round trips, %+v", n, Must(p.Back.Stats())(t))
}
