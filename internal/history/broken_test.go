//go:build linux

package history_test

import (
	"context"
	"errors"
	"slices"

	"github.com/seed-2e7ecdea/mp/ring"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// The objects of this file are broken, each in one way: each wraps an object and falsifies some of its results.

func init() {
	for name, s := range map[string]*subject{
		"lock: TryAcquire of a held one":        locks(nil, func(c *client, l locker) locker { return &grabbingLock{l, c, false} }),
		"lock: a death is hidden":               locks(nil, func(_ *client, l locker) locker { return hidingLock{l} }),
		"lock: Acquire does not try":            locks(nil, func(_ *client, l locker) locker { return impatientLock{l} }),
		"semaphore: a permit too many":          semaphores(func(c *client, s semaphore) semaphore { return generousSemaphore{s, c} }),
		"semaphore: Release does nothing":       semaphores(func(c *client, s semaphore) semaphore { return keepingSemaphore{s, c} }),
		"bounded: a permit too many":            boundeds(func(c *client, s bounded) bounded { return generousBounded{s, c} }),
		"bounded: no permit though one is free": boundeds(func(c *client, s bounded) bounded { return meanBounded{s, c} }),
		"event: IsSet is stale":                 events(func(_ *client, e event) event { return &staleEvent{event: e} }),
		"event: Wait ends before Set":           events(func(c *client, e event) event { return hastyEvent{e, c} }),
		"event: Set does nothing":               events(func(c *client, e event) event { return deafEvent{e, c} }),
		"queue: a message twice":                queues(3, func(c *client, q queue) queue { return &repeatingQueue{queue: q, c: c} }),
		"queue: two messages swapped":           queues(3, func(c *client, q queue) queue { return &swappingQueue{queue: q} }),
		"queue: a message lost":                 queues(3, func(c *client, q queue) queue { return losingQueue{q, c} }),
		"queue: empty though it is not":         queues(3, func(c *client, q queue) queue { return lazyQueue{q, c} }),
		"queue: full though it is not":          queues(3, func(c *client, q queue) queue { return pickyQueue{q, c} }),
		"queue: a message more than fit":        queues(3, func(c *client, q queue) queue { return &hoardingQueue{queue: q} }),
		"batches: a message lost":               batches(3, func(c *client, q batchQueue) batchQueue { return losingBatches{q, c} }),
		"batches: one more than was put":        batches(3, func(_ *client, q batchQueue) batchQueue { return boastingBatches{q} }),
		"batches: got in reverse":               batches(3, func(_ *client, q batchQueue) batchQueue { return backwardBatches{q} }),
		"strings: a message lost":               texts(3, func(c *client, q queue) queue { return losingQueue{q, c} }),
		"strings: full though it is not":        texts(3, func(c *client, q queue) queue { return pickyQueue{q, c} }),
		"leases: Done returns":                  leases(3, func(c *client, l lessor) lessor { return leaseChanger{l, func(h loan) loan { return undone{h, c} }} }),
		"leases: Return is Done":                leases(3, func(_ *client, l lessor) lessor { return leaseChanger{l, func(h loan) loan { return forgotten{h} }} }),
		"leases: returned to the back":          leases(3, func(_ *client, l lessor) lessor { return leaseChanger{l, func(h loan) loan { return requeued{h, l} }} }),
		"leases: empty though it is not":        leases(3, func(c *client, l lessor) lessor { return lazyLessor{l, c} }),
		"value: Load is stale":                  words(func(_ *client, v register) register { return &staleValue{register: v} }),
		"value: Store does nothing":             wides(func(c *client, v register) register { return deafValue{v, c} }),
		"value: Update is Load and Store":       wides(func(c *client, v register) register { return forgetfulValue{v, c} }),
		"value: Swap is Load and Store":         words(func(c *client, v register) register { return swappedValue{v, c} }),
	} {
		broken = append(broken, name)
		subjects[name] = s
	}
}

// broken are the names of the broken subjects.
var broken []string

// A grabbingLock sometimes reports that TryAcquire succeeded although another client holds the lock.
type grabbingLock struct {
	locker
	c         *client
	pretended bool
}

func (l *grabbingLock) TryAcquire() error {
	err := l.locker.TryAcquire()
	l.pretended = errors.Is(err, psync.ErrHeld) && l.c.chance(4)
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

// A hidingLock treats a dead owner as a live one, and waits for it.
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

// An impatientLock does not try to acquire a free lock if the context has ended.
type impatientLock struct{ locker }

func (l impatientLock) Acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return l.locker.Acquire(ctx)
}

// A generousSemaphore sometimes gives a permit although there is none.
type generousSemaphore struct {
	semaphore
	c *client
}

func (s generousSemaphore) TryAcquire() error {
	err := s.semaphore.TryAcquire()
	if errors.Is(err, psync.ErrNoPermit) && s.c.chance(4) {
		return nil
	}
	return err
}

// A keepingSemaphore sometimes does not release the permit.
type keepingSemaphore struct {
	semaphore
	c *client
}

func (s keepingSemaphore) Release() error {
	if s.c.chance(8) {
		return nil
	}
	return s.semaphore.Release()
}

// A generousBounded sometimes gives a permit although there is none.
type generousBounded struct {
	bounded
	c *client
}

func (s generousBounded) TryAcquire() error {
	err := s.bounded.TryAcquire()
	if errors.Is(err, psync.ErrNoPermit) && s.c.chance(4) {
		return nil
	}
	return err
}

// A meanBounded sometimes reports that there is no permit without a look.
type meanBounded struct {
	bounded
	c *client
}

func (s meanBounded) TryAcquire() error {
	if s.c.chance(4) {
		return psync.ErrNoPermit
	}
	return s.bounded.TryAcquire()
}

// A staleEvent returns from IsSet what was true at the call before.
type staleEvent struct {
	event
	last bool
}

func (e *staleEvent) IsSet() bool {
	said := e.last
	e.last = e.event.IsSet()
	return said
}

// A hastyEvent sometimes returns from Wait although the event was not set.
type hastyEvent struct {
	event
	c *client
}

func (e hastyEvent) Wait(ctx context.Context) error {
	err := e.event.Wait(ctx)
	if err != nil && e.c.chance(4) {
		return nil
	}
	return err
}

// A deafEvent sometimes ignores Set.
type deafEvent struct {
	event
	c *client
}

func (e deafEvent) Set() error {
	if e.c.chance(4) {
		return nil
	}
	return e.event.Set()
}

// A repeatingQueue sometimes delivers a message again.
type repeatingQueue struct {
	queue
	c    *client
	last message
}

func (q *repeatingQueue) TryGet() (m message, err error) {
	if q.last[0] != 0 && q.c.chance(8) {
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

// A losingQueue sometimes drops a message.
type losingQueue struct {
	queue
	c *client
}

func (q losingQueue) TryGet() (message, error) {
	m, err := q.queue.TryGet()
	if err == nil && q.c.chance(8) {
		return q.queue.TryGet()
	}
	return m, err
}

// A lazyQueue sometimes reports that it is empty without a look.
type lazyQueue struct {
	queue
	c *client
}

func (q lazyQueue) TryGet() (m message, err error) {
	if q.c.chance(8) {
		return m, ring.ErrEmpty
	}
	return q.queue.TryGet()
}

// A pickyQueue sometimes reports that it is full without a look.
type pickyQueue struct {
	queue
	c *client
}

func (q pickyQueue) TryPut(m message) error {
	if q.c.chance(8) {
		return ring.ErrFull
	}
	return q.queue.TryPut(m)
}

// A hoardingQueue takes a message although it is full, and puts it later.
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

// losingBatches sometimes drops the last message of a batch.
type losingBatches struct {
	batchQueue
	c *client
}

func (q losingBatches) TryGetMany(vs []message) (int, error) {
	n, err := q.batchQueue.TryGetMany(vs)
	if n > 1 && q.c.chance(4) {
		n--
		vs[n] = message{}
	}
	return n, err
}

// boastingBatches says that all was put when one message was not.
type boastingBatches struct{ batchQueue }

func (q boastingBatches) TryPutMany(vs []message) (int, error) {
	n, err := q.batchQueue.TryPutMany(vs)
	if n == len(vs)-1 {
		return len(vs), nil
	}
	return n, err
}

// backwardBatches returns the last message of a batch first.
type backwardBatches struct{ batchQueue }

func (q backwardBatches) GetMany(ctx context.Context, vs []message) (int, error) {
	n, err := q.batchQueue.GetMany(ctx, vs)
	slices.Reverse(vs[:n])
	return n, err
}

// A leaseChanger gives out leases that are broken.
type leaseChanger struct {
	lessor
	change func(h loan) loan
}

func (l leaseChanger) TryLease() (loan, error) {
	h, err := l.lessor.TryLease()
	if err != nil {
		return nil, err
	}
	return l.change(h), nil
}

// An undone lease is sometimes returned by Done.
type undone struct {
	loan
	c *client
}

func (u undone) Done() error {
	if u.c.chance(4) {
		return u.loan.Return()
	}
	return u.loan.Done()
}

// A forgotten lease is ended by Return.
type forgotten struct{ loan }

func (f forgotten) Return() error { return f.loan.Done() }

// A requeued lease puts its message behind the others, where there is space.
type requeued struct {
	loan
	l lessor
}

func (r requeued) Return() error {
	if r.l.TryPut(r.Value()) != nil {
		return r.loan.Return()
	}
	return r.loan.Done()
}

// A lazyLessor sometimes reports that it is empty without a look.
type lazyLessor struct {
	lessor
	c *client
}

func (l lazyLessor) TryLease() (loan, error) {
	if l.c.chance(8) {
		return nil, ring.ErrEmpty
	}
	return l.lessor.TryLease()
}

// A staleValue returns from Load the number that was there at the Load before.
type staleValue struct {
	register
	last uint32
}

func (v *staleValue) Load() uint32 {
	said := v.last
	v.last = v.register.Load()
	return said
}

// A deafValue sometimes ignores Store.
type deafValue struct {
	register
	c *client
}

func (v deafValue) Store(x uint32) {
	if !v.c.chance(4) {
		v.register.Store(x)
	}
}

// A forgetfulValue loses numbers that other clients write during an Update.
type forgetfulValue struct {
	register
	c *client
}

func (v forgetfulValue) Update(_ context.Context, f func(x uint32) uint32) error {
	x := v.Load()
	v.c.nap()
	v.Store(f(x))
	return nil
}

// A swappedValue loses numbers that other clients write during a Swap.
type swappedValue struct {
	register
	c *client
}

func (v swappedValue) Swap(x uint32) uint32 {
	old := v.Load()
	v.c.nap()
	v.Store(x)
	return old
}
