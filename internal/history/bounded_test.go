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

// boundeds is the subject of a bounded semaphore, which wrap breaks.
func boundeds(wrap func(h *hand, s bounded) bounded) *subject {
	s := &subject{
		make: func(seg *shm.Segment, in *assignment) (err error) {
			in.Bounded, err = psync.NewBoundedSemaphore(seg, "", permits)
			return err
		},
		work:  func(h *hand, in *assignment) error { return useBounded(h, wrap(h, in.Bounded)) },
		rest:  func(h *hand, in *assignment) (int, error) { return 0, h.value(wrap(h, in.Bounded).Value) },
		model: func(int) porcupine.Model { return boundedModel() },
		steps: mortal,
		kills: true,
	}
	s.dieAt = []crash.Point{crash.SemaphoreWaiting, crash.SemaphoreWoken, crash.BoundedTaken, crash.BoundedFreed}
	return s
}

func useBounded(h *hand, s bounded) error {
	mine := 0
	for h.room(2 + mine) {
		var err error
		var res result
		switch n := h.rand.IntN(16); {
		case n == 0:
			err = h.value(s.Value)
		case n == 1:
			_, err = h.do(release, 1, s.Release) // another's of this process, or nobody's
		case n < 9 && mine > 0:
			_, err = h.do(release, 1, s.Release)
			mine--
		case n < 12:
			res, err = h.do(tryAcquire, 0, s.TryAcquire)
			mine += taken(res)
		default:
			res, err = h.wait(acquire, 0, s.Acquire)
			mine += taken(res)
		}
		if err != nil {
			return err
		}
		h.linger()
	}
	for ; mine > 0; mine-- {
		if _, err := h.do(release, 1, s.Release); err != nil {
			return err
		}
	}
	return nil
}

// boundedModel: the state is how many permits each process holds. Those of the
// dead are free.
func boundedModel() porcupine.Model {
	type state struct {
		held [maxPlaces]int8
		dead uint16
	}
	return modelOf(state{}, func(s state, at step) []state {
		free := permits
		for _, n := range s.held {
			free -= int(n)
		}
		mine := &s.held[at.place]
		if s.dead>>at.place&1 != 0 {
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
				// Which of the two is found out a moment later, when this process
				// may have taken a permit.
				return []state{s}
			}
		case count:
			if !at.maybe && free == int(at.value) {
				return []state{s}
			}
		case die:
			s.dead |= 1 << at.place
			*mine = 0
			return []state{s}
		}
		return nil
	})
}
