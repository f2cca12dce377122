//go:build linux

package history_test

import (
	"context"

	"github.com/anishathalye/porcupine"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// permits is the number of permits with which a round begins.
const permits = 3

// A semaphore is a psync.Semaphore, or a broken one.
type semaphore interface {
	TryAcquire() error
	Acquire(ctx context.Context) error
	Release() error
	ReleaseN(n int) error
	Value() (int, error)
}

// semaphores returns the subject of a semaphore. wrap returns the object that a client uses: the semaphore itself, or a broken
// one.
func semaphores(wrap func(c *client, s semaphore) semaphore) *subject {
	s := &subject{
		make: func(seg *shm.Segment, in *assignment) (err error) {
			in.Semaphore, err = psync.NewSemaphore(seg, "", permits)
			return err
		},
		work:   func(c *client, in *assignment) error { return useSemaphore(c, wrap(c, in.Semaphore)) },
		settle: func(c *client, in *assignment) (int, error) { return permits, settleSemaphore(c, in.Semaphore) },
		model:  semaphoreModel,
		steps:  plainSteps,
		begin:  permits,
		kills:  true,
	}
	for p := range crash.Points(crash.SemaphoreTaken, crash.SemaphoreReleased) {
		s.dieAt = append(s.dieAt, p)
	}
	return s
}

func useSemaphore(c *client, s semaphore) error {
	mine := 0
	for c.canRecord(2) {
		var err error
		switch c.rand.IntN(16) {
		case 0:
			err = c.value(s.Value)
		case 1:
			_, err = c.do(release, 2, func() error { return s.ReleaseN(2) })
			mine -= 2
		default:
			mine, err = c.usePermit(s, mine)
		}
		if err != nil {
			return err
		}
		c.pause()
	}
	return nil
}

// usePermit releases one of the client's mine permits, or acquires one. It returns how many the client has then.
func (c *client) usePermit(s bounded, mine int) (int, error) {
	var res result
	var err error
	switch n := c.rand.IntN(14); {
	case n < 7 && mine > 0:
		_, err = c.do(release, 1, s.Release)
		return mine - 1, err
	case n < 10:
		res, err = c.do(tryAcquire, 0, s.TryAcquire)
	default:
		res, err = c.wait(acquire, 0, s.Acquire)
	}
	if res == ok && err == nil {
		mine++
	}
	return mine, err
}

// value calls Value and records the operation.
func (c *client) value(f func() (int, error)) error {
	r := c.begin(count, 0)
	n, err := f()
	_, err = c.end(r, err, uint32(n))
	return err
}

// settleSemaphore acquires or releases permits until there are as many as at the begin of a round.
func settleSemaphore(c *client, s *psync.Semaphore) error {
	if err := c.value(s.Value); err != nil {
		return err
	}
	n, err := s.Value()
	for ; err == nil && n > permits && c.canRecord(1); n-- {
		_, err = c.do(tryAcquire, 0, s.TryAcquire)
	}
	for ; err == nil && n > permits; n-- {
		err = s.TryAcquire()
	}
	if err == nil && n < permits {
		_, err = c.do(release, uint32(permits-n), func() error { return s.ReleaseN(permits - n) })
	}
	return err
}

// semaphoreModel is a model whose state is the number of permits. When a process dies, the permits that it has taken are
// lost.
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
