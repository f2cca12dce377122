//go:build linux

package history_test

import (
	"context"
	"errors"

	"github.com/seed-2e7ecdea/mp/ring"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// Objects that are broken, each in one way: what a worker calls is wrapped.

func init() {
	for name, s := range map[string]*subject{
		"lock: TryAcquire of a held one":        locks(nil, func(h *hand, l locker) locker { return &grabbingLock{l, h, false} }),
		"lock: a death is hidden":               locks(nil, func(_ *hand, l locker) locker { return hidingLock{l} }),
		"lock: Acquire does not try":            locks(nil, func(_ *hand, l locker) locker { return impatientLock{l} }),
		"semaphore: a permit too many":          semaphores(func(h *hand, s semaphore) semaphore { return generousSemaphore{s, h} }),
		"semaphore: Release does nothing":       semaphores(func(h *hand, s semaphore) semaphore { return keepingSemaphore{s, h} }),
		"bounded: a permit too many":            boundeds(func(h *hand, s bounded) bounded { return generousBounded{s, h} }),
		"bounded: no permit though one is free": boundeds(func(h *hand, s bounded) bounded { return meanBounded{s, h} }),
		"event: IsSet is stale":                 events(func(_ *hand, e event) event { return &staleEvent{event: e} }),
		"event: Wait ends before Set":           events(func(h *hand, e event) event { return hastyEvent{e, h} }),
		"event: Set does nothing":               events(func(h *hand, e event) event { return deafEvent{e, h} }),
		"queue: a message twice":                queues(3, func(h *hand, q queue) queue { return &repeatingQueue{queue: q, h: h} }),
		"queue: two messages swapped":           queues(3, func(h *hand, q queue) queue { return &swappingQueue{queue: q} }),
		"queue: a message lost":                 queues(3, func(h *hand, q queue) queue { return losingQueue{q, h} }),
		"queue: empty though it is not":         queues(3, func(h *hand, q queue) queue { return lazyQueue{q, h} }),
		"queue: full though it is not":          queues(3, func(h *hand, q queue) queue { return pickyQueue{q, h} }),
		"queue: a message more than fit":        queues(3, func(h *hand, q queue) queue { return &hoardingQueue{queue: q} }),
		"value: Load is stale":                  words(func(_ *hand, v register) register { return &staleValue{register: v} }),
		"value: Store does nothing":             wides(func(h *hand, v register) register { return deafValue{v, h} }),
		"value: Update is Load and Store":       wides(func(h *hand, v register) register { return forgetfulValue{v, h} }),
		"value: Swap is Load and Store":         words(func(h *hand, v register) register { return swappedValue{v, h} }),
	} {
		broken = append(broken, name)
		subjects[name] = s
	}
}

// broken are the names of the broken subjects.
var broken []string

// A grabbingLock says at times that it was taken though another has it.
type grabbingLock struct {
	locker
	h         *hand
	pretended bool
}

func (l *grabbingLock) TryAcquire() error {
	err := l.locker.TryAcquire()
	l.pretended = errors.Is(err, psync.ErrHeld) && l.h.chance(4)
	if l.pretended {
		return nil
	}
	return err
}

func (l *grabbingLock) Release() error {
	if l.pretended {
		l.pretended = false
		return nil
	}
	return l.locker.Release()
}

// A hidingLock calls a dead owner alive, and waits for it.
type hidingLock struct{ locker }

func (l hidingLock) TryAcquire() error {
	err := l.locker.TryAcquire()
	if errors.Is(err, psync.ErrOwnerDied) {
		return psync.ErrHeld
	}
	return err
}

func (l hidingLock) Acquire(ctx context.Context) error {
	err := l.locker.Acquire(ctx)
	if errors.Is(err, psync.ErrOwnerDied) {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

// An impatientLock does not try once if the context has ended.
type impatientLock struct{ locker }

func (l impatientLock) Acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.locker.Acquire(ctx)
}

// A generousSemaphore gives a permit where there is none.
type generousSemaphore struct {
	semaphore
	h *hand
}

func (s generousSemaphore) TryAcquire() error {
	err := s.semaphore.TryAcquire()
	if errors.Is(err, psync.ErrNoPermit) && s.h.chance(4) {
		return nil
	}
	return err
}

// A keepingSemaphore loses permits.
type keepingSemaphore struct {
	semaphore
	h *hand
}

func (s keepingSemaphore) Release() error {
	if s.h.chance(8) {
		return nil
	}
	return s.semaphore.Release()
}

// A generousBounded gives a permit where there is none.
type generousBounded struct {
	bounded
	h *hand
}

func (s generousBounded) TryAcquire() error {
	err := s.bounded.TryAcquire()
	if errors.Is(err, psync.ErrNoPermit) && s.h.chance(4) {
		return nil
	}
	return err
}

// A meanBounded has no permit without having looked.
type meanBounded struct {
	bounded
	h *hand
}

func (s meanBounded) TryAcquire() error {
	if s.h.chance(4) {
		return psync.ErrNoPermit
	}
	return s.bounded.TryAcquire()
}

// A staleEvent says what was true when it was asked last.
type staleEvent struct {
	event
	last bool
}

func (e *staleEvent) IsSet() bool {
	said := e.last
	e.last = e.event.IsSet()
	return said
}

// A hastyEvent wakes those who wait for nothing.
type hastyEvent struct {
	event
	h *hand
}

func (e hastyEvent) Wait(ctx context.Context) error {
	err := e.event.Wait(ctx)
	if err != nil && e.h.chance(4) {
		return nil
	}
	return err
}

// A deafEvent is at times not set.
type deafEvent struct {
	event
	h *hand
}

func (e deafEvent) Set() error {
	if e.h.chance(4) {
		return nil
	}
	return e.event.Set()
}

// A repeatingQueue delivers at times what it has delivered before.
type repeatingQueue struct {
	queue
	h    *hand
	last message
}

func (q *repeatingQueue) TryGet() (m message, err error) {
	if q.last[0] != 0 && q.h.chance(8) {
		return q.last, nil
	}
	m, err = q.queue.TryGet()
	if err == nil {
		q.last = m
	}
	return m, err
}

// A swappingQueue delivers the second message before the first.
type swappingQueue struct {
	queue
	first *message
}

func (q *swappingQueue) TryGet() (message, error) {
	if q.first != nil {
		m := *q.first
		q.first = nil
		return m, nil
	}
	first, err := q.queue.TryGet()
	if err != nil {
		return first, err
	}
	second, err := q.queue.TryGet()
	if err != nil {
		return first, nil
	}
	q.first = &first
	return second, nil
}

// A losingQueue throws a message away at times.
type losingQueue struct {
	queue
	h *hand
}

func (q losingQueue) TryGet() (message, error) {
	m, err := q.queue.TryGet()
	if err == nil && q.h.chance(8) {
		return q.queue.TryGet()
	}
	return m, err
}

// A lazyQueue is empty without having looked.
type lazyQueue struct {
	queue
	h *hand
}

func (q lazyQueue) TryGet() (m message, err error) {
	if q.h.chance(8) {
		return m, ring.ErrEmpty
	}
	return q.queue.TryGet()
}

// A pickyQueue is full without having looked.
type pickyQueue struct {
	queue
	h *hand
}

func (q pickyQueue) TryPut(m message) error {
	if q.h.chance(8) {
		return ring.ErrFull
	}
	return q.queue.TryPut(m)
}

// A hoardingQueue takes a message for which there is no room, and puts it
// later.
type hoardingQueue struct {
	queue
	more *message
}

func (q *hoardingQueue) TryPut(m message) error {
	if q.more != nil {
		if err := q.queue.TryPut(*q.more); err != nil {
			return err
		}
		q.more = nil
	}
	err := q.queue.TryPut(m)
	if errors.Is(err, ring.ErrFull) {
		q.more = &m
		return nil
	}
	return err
}

// A staleValue says what was true when it was asked last.
type staleValue struct {
	register
	last uint32
}

func (v *staleValue) Load() uint32 {
	said := v.last
	v.last = v.register.Load()
	return said
}

// A deafValue is at times not stored to.
type deafValue struct {
	register
	h *hand
}

func (v deafValue) Store(x uint32) {
	if !v.h.chance(4) {
		v.register.Store(x)
	}
}

// A forgetfulValue loses what others write during an Update.
type forgetfulValue struct {
	register
	h *hand
}

func (v forgetfulValue) Update(_ context.Context, f func(x uint32) uint32) error {
	x := v.Load()
	v.h.nap()
	v.Store(f(x))
	return nil
}

// A swappedValue loses what others write during a Swap.
type swappedValue struct {
	register
	h *hand
}

func (v swappedValue) Swap(x uint32) uint32 {
	old := v.Load()
	v.h.nap()
	v.Store(x)
	return old
}
