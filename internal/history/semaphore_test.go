//go:build linux

package history_test

import (
	"context"

	"github.com/anishathalye/porcupine"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// permits is how many permits a round begins with.
const permits = 3

// A semaphore is a psync.Semaphore, or a broken one.
type semaphore interface {
	TryAcquire() error
	Acquire(ctx context.Context) error
	Release() error
	ReleaseN(n int) error
	Value() (int, error)
}

// semaphores is the subject of a semaphore, which wrap breaks.
func semaphores(wrap func(h *hand, s semaphore) semaphore) *subject {
	s := &subject{
		make: func(seg *shm.Segment, in *assignment) (err error) {
			in.Semaphore, err = psync.NewSemaphore(seg, "", permits)
			return err
		},
		work:  func(h *hand, in *assignment) error { return useSemaphore(h, wrap(h, in.Semaphore)) },
		rest:  func(h *hand, in *assignment) (int, error) { return permits, restSemaphore(h, in.Semaphore) },
		model: semaphoreModel,
		steps: plain,
		begin: permits,
		kills: true,
	}
	for p := range crash.Points(crash.SemaphoreTaken, crash.SemaphoreReleased) {
		s.dieAt = append(s.dieAt, p)
	}
	return s
}

func useSemaphore(h *hand, s semaphore) error {
	mine := 0
	for h.room(2) {
		var err error
		var res result
		switch n := h.rand.IntN(16); {
		case n == 0:
			err = h.value(s.Value)
		case n == 1:
			_, err = h.do(release, 2, func() error { return s.ReleaseN(2) })
			mine -= 2
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
	return nil
}

// taken is how many permits an Acquire with this result has taken.
func taken(res result) int {
	if res == ok {
		return 1
	}
	return 0
}

// value records a call of Value.
func (h *hand) value(f func() (int, error)) error {
	r := h.begin(count, 0)
	n, err := f()
	_, err = h.end(r, err, uint32(n))
	return err
}

// restSemaphore makes it as many permits as before.
func restSemaphore(h *hand, s *psync.Semaphore) error {
	if err := h.value(s.Value); err != nil {
		return err
	}
	n, err := s.Value()
	for ; err == nil && n > permits && h.room(1); n-- {
		_, err = h.do(tryAcquire, 0, s.TryAcquire)
	}
	for ; err == nil && n > permits; n-- {
		err = s.TryAcquire()
	}
	if err == nil && n < permits {
		_, err = h.do(release, uint32(permits-n), func() error { return s.ReleaseN(permits - n) })
	}
	return err
}

// semaphoreModel: the state is how many permits there are. Those that a dead
// process has taken are gone.
func semaphoreModel(begin int) porcupine.Model {
	return modelOf(begin, func(n int, at step) []int {
		switch at.kind {
		case tryAcquire, acquire:
			switch {
			case (at.maybe || at.result == ok) && n > 0:
				return []int{n - 1}
			case at.result == noPermit && n == 0 && at.kind == tryAcquire,
				at.result == ended && n == 0 && at.kind == acquire:
				return []int{n}
			}
		case release:
			if at.maybe || at.result == ok {
				return []int{n + int(at.arg)}
			}
		case count:
			if !at.maybe && n == int(at.value) {
				return []int{n}
			}
		}
		return nil
	})
}
