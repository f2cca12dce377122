//go:build linux

package history_test

import (
	"context"

	"github.com/anishathalye/porcupine"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A bounded is a psync.BoundedSemaphore, or a broken one.
type bounded interface {
	TryAcquire() error
	Acquire(ctx context.Context) error
	Release() error
	Value() (int, error)
}

// boundeds returns the subject of a bounded semaphore. wrap returns the object that a client uses: the semaphore itself, or a
// broken one.
func boundeds(wrap func(c *client, s bounded) bounded) *subject {
	s := &subject{
		make: func(seg *shm.Segment, in *assignment) (err error) {
			in.Bounded, err = psync.NewBoundedSemaphore(seg, "", permits)
			return err
		},
		work:   func(c *client, in *assignment) error { return useBounded(c, wrap(c, in.Bounded)) },
		settle: func(c *client, in *assignment) (int, error) { return 0, c.value(wrap(c, in.Bounded).Value) },
		model:  func(int) porcupine.Model { return boundedModel() },
		steps:  stepsWithDeaths,
		kills:  true,
	}
	s.dieAt = []crash.Point{crash.SemaphoreWaiting, crash.SemaphoreWoken, crash.BoundedTaken, crash.BoundedFreed}
	return s
}

func useBounded(c *client, s bounded) error {
	mine := 0
	for c.canRecord(2 + mine) {
		var err error
		switch c.rand.IntN(16) {
		case 0:
			err = c.value(s.Value)
		case 1:
			_, err = c.do(release, 1, s.Release) // a permit of the other client of this process, or none
		default:
			mine, err = c.usePermit(s, mine)
		}
		if err != nil {
			return err
		}
		c.pause()
	}
	for ; mine > 0; mine-- {
		if _, err := c.do(release, 1, s.Release); err != nil {
			return err
		}
	}
	return nil
}

// boundedModel is a model whose state is how many permits each process holds. When a process dies, its permits are
// free.
func boundedModel() porcupine.Model {
	type state struct {
		held [maxProcesses]int8
		dead uint16
	}
	return modelOf(state{}, func(s state, at step) []state {
		free := permits
		for _, n := range s.held {
			free -= int(n)
		}
		mine := &s.held[at.process]
		if s.dead>>at.process&1 != 0 {
			return nil
		}
		switch at.kind {
		case tryAcquire, acquire:
			switch {
			case (at.maybe || at.result == ok) && free > 0:
				*mine++
				return []state{s}
			case at.result == noPermit && free == 0 && at.kind == tryAcquire,
				at.result == ended && free == 0 && at.kind == acquire:
				return []state{s}
			}
		case release:
			switch {
			case (at.maybe || at.result == ok) && *mine > 0:
				*mine--
				return []state{s}
			case (at.result == notHeld || at.result == overRelease) && *mine == 0:
				// Release decides between the two errors a moment after it has failed, when the other client of
				// this process may have taken a permit.
				return []state{s}
			}
		case count:
			if !at.maybe && free == int(at.value) {
				return []state{s}
			}
		case die:
			s.dead |= 1 << at.process
			*mine = 0
			return []state{s}
		}
		return nil
	})
}
