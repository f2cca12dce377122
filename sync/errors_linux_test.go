package sync_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// An errorTable provokes errors, and checks and prints each of them.
type errorTable struct {
	*testing.T
	seg  *shm.Segment
	dead *shm.Segment // the party that dies while it holds objects
}

func (t errorTable) fails(op, object string, err, is error) {
	t.Helper()
	WantFailure(t.T, op, object, err, is)
}

// panics checks that f, a call of the method op, panics with an error that wraps is.
func (t errorTable) panics(op, object string, is error, f func()) {
	t.Helper()
	err, _ := PanicOf(f).(error)
	WantFailure(t.T, op, object, err, is)
}

// dies lets the party that holds objects die, and waits until its death is announced.
func (t errorTable) dies() {
	t.Helper()
	Dies(t.T, t.seg, t.dead)
}

// TestErrorTable provokes each error of the package.
func TestErrorTable(t *testing.T) {
	for name, f := range map[string]func(t errorTable){
		"lock":              lockErrors,
		"rlock":             rlockErrors,
		"rwlock":            rwlockErrors,
		"semaphore":         semaphoreErrors,
		"bounded_semaphore": boundedErrors,
		"event":             eventErrors,
		"once":              onceErrors,
		"condition":         conditionErrors,
		"rcondition":        rconditionErrors,
		"barrier":           barrierErrors,
		"wait_group":        waitGroupErrors,
	} {
		t.Run(name, func(t *testing.T) {
			seg := Anonymous(t, room)
			f(errorTable{t, seg, Attach(t, seg)})
		})
	}
}

func lockErrors(t errorTable) {
	const name = `lock "accounts"`
	ctx := t.Context()
	l := Must(psync.NewLock(t.seg, "accounts", nil))(t)
	t.fails("Release", name, l.Release(), psync.ErrNotHeld)
	t.panics("Unlock", name, psync.ErrNotHeld, l.Unlock)
	t.fails("With", name, l.With(ctx, l.Release), psync.ErrNotHeld)
	WantNil(t, "Acquire", l.Acquire(ctx))
	t.fails("TryAcquire", name, l.TryAcquire(), psync.ErrHeld)
	t.fails("Acquire", name, l.Acquire(Expired), context.Canceled)
	t.fails("With", name, l.With(Expired, nothing), context.Canceled)
	t.fails("Recover", name, l.Recover(Expired, nothing), context.Canceled)
	WantNil(t, "Release", l.Release())
	WantNil(t, "Acquire", Must(psync.OpenLock(t.dead, "accounts"))(t).Acquire(ctx))
	t.dies()
	t.fails("TryAcquire", name, l.TryAcquire(), psync.ErrOwnerDied)
	t.fails("Acquire", name, l.Acquire(ctx), psync.ErrOwnerDied)
	t.fails("With", name, l.With(ctx, nothing), psync.ErrOwnerDied)
	t.panics("Lock", name, psync.ErrOwnerDied, l.Lock)
	WantNil(t, "Close", l.Close())
	t.fails("TryAcquire", "lock", l.TryAcquire(), psync.ErrClosed)
	t.fails("Acquire", "lock", l.Acquire(ctx), psync.ErrClosed)
	t.fails("Release", "lock", l.Release(), psync.ErrClosed)
	t.fails("With", "lock", l.With(ctx, nothing), psync.ErrClosed)
	t.fails("Recover", "lock", l.Recover(ctx, nothing), psync.ErrClosed)
	t.fails("MarshalText", "lock", Second(l.MarshalText()), psync.ErrClosed)
	t.fails("MarshalText", "lock", Second(l.MarshalBinary()), psync.ErrClosed)
	t.panics("Lock", "lock", psync.ErrClosed, l.Lock)
	t.panics("Unlock", "lock", psync.ErrClosed, l.Unlock)
}

func rlockErrors(t errorTable) {
	const name = `reentrant lock "accounts"`
	ctx := t.Context()
	var h, other psync.Holder
	l := Must(psync.NewRLock(t.seg, "accounts", nil))(t)
	t.fails("Release", name, l.Release(&h), psync.ErrNotHeld)
	t.panics("Unlock", name, psync.ErrNotHeld, l.Locker(&h).Unlock)
	WantNil(t, "Acquire", l.Acquire(ctx, &h))
	t.fails("TryAcquire", name, l.TryAcquire(&other), psync.ErrHeld)
	t.fails("Acquire", name, l.Acquire(Expired, &other), context.Canceled)
	t.fails("With", name, l.With(Expired, &other, nothing), context.Canceled)
	t.fails("Recover", name, l.Recover(Expired, &other, nothing), context.Canceled)
	WantNil(t, "Release", l.Release(&h))
	WantNil(t, "Acquire", Must(psync.OpenRLock(t.dead, "accounts"))(t).Acquire(ctx, &other))
	t.dies()
	t.fails("TryAcquire", name, l.TryAcquire(&h), psync.ErrOwnerDied)
	t.fails("Acquire", name, l.Acquire(ctx, &h), psync.ErrOwnerDied)
	t.panics("Lock", name, psync.ErrOwnerDied, l.Locker(&h).Lock)
	WantNil(t, "Close", l.Close())
	t.fails("TryAcquire", "reentrant lock", l.TryAcquire(&h), psync.ErrClosed)
	t.fails("Acquire", "reentrant lock", l.Acquire(ctx, &h), psync.ErrClosed)
	t.fails("Release", "reentrant lock", l.Release(&h), psync.ErrClosed)
	t.fails("With", "reentrant lock", l.With(ctx, &h, nothing), psync.ErrClosed)
	t.fails("Recover", "reentrant lock", l.Recover(ctx, &h, nothing), psync.ErrClosed)
	t.panics("Lock", "reentrant lock", psync.ErrClosed, l.Locker(&h).Lock)
}

func rwlockErrors(t errorTable) {
	const name = `readers-writer lock "accounts"`
	ctx := t.Context()
	l := Must(psync.NewRWLock(t.seg, "accounts", nil))(t)
	t.fails("Release", name, l.Release(), psync.ErrNotHeld)
	t.fails("RRelease", name, l.RRelease(), psync.ErrNotHeld)
	t.panics("Unlock", name, psync.ErrNotHeld, l.Unlock)
	t.panics("RUnlock", name, psync.ErrNotHeld, l.RUnlock)
	WantNil(t, "Acquire", l.Acquire(ctx))
	t.fails("TryAcquire", name, l.TryAcquire(), psync.ErrHeld)
	t.fails("TryRAcquire", name, l.TryRAcquire(), psync.ErrHeld)
	t.fails("Acquire", name, l.Acquire(Expired), context.Canceled)
	t.fails("RAcquire", name, l.RAcquire(Expired), context.Canceled)
	t.fails("Recover", name, l.Recover(Expired, nothing), context.Canceled)
	WantNil(t, "Release", l.Release())
	reads := 0
	var err error
	for ; err == nil; reads++ {
		err = l.TryRAcquire()
	}
	t.fails("TryRAcquire", name, err, psync.ErrOverflow)
	t.fails("RAcquire", name, l.RAcquire(ctx), psync.ErrOverflow)
	t.fails("Acquire", name, l.Acquire(Expired), context.Canceled)
	for range reads - 1 {
		WantNil(t, "RRelease", l.RRelease())
	}
	WantNil(t, "Acquire", Must(psync.OpenRWLock(t.dead, "accounts"))(t).Acquire(ctx))
	t.dies()
	t.fails("TryAcquire", name, l.TryAcquire(), psync.ErrOwnerDied)
	t.fails("TryRAcquire", name, l.TryRAcquire(), psync.ErrOwnerDied)
	t.fails("Acquire", name, l.Acquire(ctx), psync.ErrOwnerDied)
	t.fails("RAcquire", name, l.RAcquire(ctx), psync.ErrOwnerDied)
	t.panics("Lock", name, psync.ErrOwnerDied, l.Lock)
	t.panics("RLock", name, psync.ErrOwnerDied, l.RLocker().Lock)
	WantNil(t, "Close", l.Close())
	t.fails("TryAcquire", "readers-writer lock", l.TryAcquire(), psync.ErrClosed)
	t.fails("TryRAcquire", "readers-writer lock", l.TryRAcquire(), psync.ErrClosed)
	t.fails("Acquire", "readers-writer lock", l.Acquire(ctx), psync.ErrClosed)
	t.fails("RAcquire", "readers-writer lock", l.RAcquire(ctx), psync.ErrClosed)
	t.fails("Release", "readers-writer lock", l.Release(), psync.ErrClosed)
	t.fails("RRelease", "readers-writer lock", l.RRelease(), psync.ErrClosed)
	t.fails("Recover", "readers-writer lock", l.Recover(ctx, nothing), psync.ErrClosed)
	t.panics("RUnlock", "readers-writer lock", psync.ErrClosed, l.RUnlock)
}

func semaphoreErrors(t errorTable) {
	const name = `semaphore "slots"`
	ctx := t.Context()
	t.fails("new semaphore", name, Second(psync.NewSemaphore(t.seg, "slots", -1)), psync.ErrInvalid)
	s := Must(psync.NewSemaphore(t.seg, "slots", 0))(t)
	t.fails("TryAcquire", name, s.TryAcquire(), psync.ErrNoPermit)
	t.fails("Acquire", name, s.Acquire(Expired), context.Canceled)
	t.fails("ReleaseN", name, s.ReleaseN(0), psync.ErrInvalid)
	WantNil(t, "ReleaseN", s.ReleaseN(1<<31-1))
	t.fails("ReleaseN", name, s.ReleaseN(1<<31-1), psync.ErrOverRelease)
	t.fails("Release", name, s.Release(), psync.ErrOverRelease)
	WantNil(t, "Close", s.Close())
	t.fails("TryAcquire", "semaphore", s.TryAcquire(), psync.ErrClosed)
	t.fails("Acquire", "semaphore", s.Acquire(ctx), psync.ErrClosed)
	t.fails("Release", "semaphore", s.Release(), psync.ErrClosed)
	t.fails("ReleaseN", "semaphore", s.ReleaseN(1), psync.ErrClosed)
	t.fails("Value", "semaphore", Second(s.Value()), psync.ErrClosed)
}

func boundedErrors(t errorTable) {
	const name = `bounded semaphore "slots"`
	ctx := t.Context()
	t.fails("new bounded semaphore", name, Second(psync.NewBoundedSemaphore(t.seg, "slots", 0)), psync.ErrInvalid)
	s := Must(psync.NewBoundedSemaphore(t.seg, "slots", 1))(t)
	t.fails("Release", name, s.Release(), psync.ErrOverRelease)
	WantNil(t, "Acquire", Must(psync.OpenBoundedSemaphore(t.dead, "slots"))(t).Acquire(ctx))
	t.fails("TryAcquire", name, s.TryAcquire(), psync.ErrNoPermit)
	t.fails("Acquire", name, s.Acquire(Expired), context.Canceled)
	t.fails("Release", name, s.Release(), psync.ErrNotHeld)
	WantNil(t, "Close", s.Close())
	t.fails("TryAcquire", "bounded semaphore", s.TryAcquire(), psync.ErrClosed)
	t.fails("Acquire", "bounded semaphore", s.Acquire(ctx), psync.ErrClosed)
	t.fails("Release", "bounded semaphore", s.Release(), psync.ErrClosed)
	t.fails("Value", "bounded semaphore", Second(s.Value()), psync.ErrClosed)
}

func eventErrors(t errorTable) {
	const name = `event "ready"`
	e := Must(psync.NewEvent(t.seg, "ready"))(t)
	t.fails("new event", name, Second(psync.NewEvent(t.seg, "ready")), fs.ErrExist)
	t.fails("open lock", `lock "ready"`, Second(psync.OpenLock(t.seg, "ready")), shm.ErrMismatch)
	t.fails("Wait", name, e.Wait(Expired), context.Canceled)
	WantNil(t, "Close", e.Close())
	t.fails("Wait", "event", e.Wait(t.Context()), psync.ErrClosed)
	t.fails("Set", "event", e.Set(), psync.ErrClosed)
	t.fails("Clear", "event", e.Clear(), psync.ErrClosed)
	t.panics("IsSet", "event", psync.ErrClosed, func() { e.IsSet() })
}

func onceErrors(t errorTable) {
	const name = `once "init"`
	ctx := t.Context()
	o := Must(psync.NewOnce(t.seg, "init"))(t)
	mine := errors.New("mine")
	WantNil(t, "Do", o.Do(ctx, func() error {
		t.fails("Do", name, o.Do(Expired, nothing), context.Canceled)
		return nil
	}))
	failing := Must(psync.NewOnce(t.seg, ""))(t)
	if err := failing.Do(ctx, func() error { return mine }); err != mine {
		t.Errorf("Do: %v, want the function's error as it is", err)
	}
	WantNil(t, "Close", o.Close())
	t.fails("Do", "once", o.Do(ctx, nothing), psync.ErrClosed)
	t.panics("Done", "once", psync.ErrClosed, func() { o.Done() })
}

func conditionErrors(t errorTable) {
	const name = `condition "changed"`
	ctx := t.Context()
	l := Must(psync.NewLock(t.seg, "accounts", nil))(t)
	never := func() bool { return false }
	t.fails("new condition", name, Second(psync.NewCondition(t.seg, "changed", l, &psync.ConditionOptions{Waiters: -1})), psync.ErrInvalid)
	t.fails("new condition", name, Second(psync.NewCondition(t.seg, "changed", new(psync.Lock), nil)), psync.ErrClosed)
	elsewhere := newLock(t, Anonymous(t.T, room))
	t.fails("new condition", name, Second(psync.NewCondition(t.seg, "changed", elsewhere, nil)), shm.ErrMismatch)
	c := Must(psync.NewCondition(t.seg, "changed", l, &psync.ConditionOptions{Waiters: 1}))(t)
	t.fails("Wait", name, c.Wait(ctx), psync.ErrNotHeld)
	t.fails("WaitFor", name, c.WaitFor(ctx, never), psync.ErrNotHeld)
	t.fails("Notify", name, c.Notify(1), psync.ErrNotHeld)
	t.fails("NotifyAll", name, c.NotifyAll(), psync.ErrNotHeld)
	WantNil(t, "Acquire", l.Acquire(ctx))
	t.fails("Wait", name, c.Wait(Expired), context.Canceled)
	t.fails("WaitFor", name, c.WaitFor(Expired, never), context.Canceled)
	WantNil(t, "Release", l.Release())
	waiter := asleep(t, 1, func(ctx context.Context) error {
		if err := l.Acquire(ctx); err != nil {
			return err
		}
		return c.Wait(ctx)
	})
	WantNil(t, "Acquire", l.Acquire(ctx))
	t.fails("Wait", name, c.Wait(ctx), psync.ErrTooManyWaiters)
	WantNil(t, "Release", l.Release())
	WantNil(t, "Acquire", Must(psync.OpenLock(t.dead, "accounts"))(t).Acquire(ctx))
	t.dies()
	t.fails("Wait", name, Await(t, waiter, "a waiter whose lock's owner died"), psync.ErrOwnerDied)
	WantNil(t, "Close", c.Close())
	t.fails("Wait", "condition", c.Wait(ctx), psync.ErrClosed)
	t.fails("WaitFor", "condition", c.WaitFor(ctx, never), psync.ErrClosed)
	t.fails("Notify", "condition", c.Notify(1), psync.ErrClosed)
	t.fails("NotifyAll", "condition", c.NotifyAll(), psync.ErrClosed)
	t.panics("L", "condition", psync.ErrClosed, func() { c.L() })
}

func rconditionErrors(t errorTable) {
	const name = `condition "changed"`
	ctx := t.Context()
	l := Must(psync.NewRLock(t.seg, "accounts", nil))(t)
	c := Must(psync.NewRCondition(t.seg, "changed", l, nil))(t)
	never := func() bool { return false }
	var h psync.Holder
	t.fails("open condition", name, Second(psync.OpenCondition(t.seg, "changed")), shm.ErrMismatch)
	t.fails("Wait", name, c.Wait(ctx, &h), psync.ErrNotHeld)
	t.fails("WaitFor", name, c.WaitFor(ctx, &h, never), psync.ErrNotHeld)
	t.fails("Notify", name, c.Notify(&h, 1), psync.ErrNotHeld)
	t.fails("NotifyAll", name, c.NotifyAll(&h), psync.ErrNotHeld)
	WantNil(t, "Acquire", l.Acquire(ctx, &h))
	t.fails("Wait", name, c.Wait(Expired, &h), context.Canceled)
	WantNil(t, "Close", c.Close())
	t.fails("Wait", "condition", c.Wait(ctx, &h), psync.ErrClosed)
	t.fails("WaitFor", "condition", c.WaitFor(ctx, &h, never), psync.ErrClosed)
	t.fails("Notify", "condition", c.Notify(&h, 1), psync.ErrClosed)
	t.fails("NotifyAll", "condition", c.NotifyAll(&h), psync.ErrClosed)
	t.panics("L", "condition", psync.ErrClosed, func() { c.L() })
}

func barrierErrors(t errorTable) {
	const name = `barrier "step"`
	ctx := t.Context()
	t.fails("new barrier", name, Second(psync.NewBarrier(t.seg, "step", 0, nil)), psync.ErrInvalid)
	b := Must(psync.NewBarrier(t.seg, "step", 2, nil))(t)
	t.fails("Wait", name, Second(b.Wait(Expired)), context.Canceled)
	t.fails("Wait", name, Second(b.Wait(ctx)), psync.ErrBroken)
	t.fails("WaitDo", name, Second(b.WaitDo(ctx, nothing)), psync.ErrBroken)
	alone := Must(psync.NewBarrier(t.seg, "", 1, nil))(t)
	mine := errors.New("mine")
	if _, err := alone.WaitDo(ctx, func() error { return mine }); err != mine {
		t.Errorf("WaitDo: %v, want the action's error as it is", err)
	}
	WantNil(t, "Reset", b.Reset())
	both := asleep(t, 1, func(ctx context.Context) error { return Second(b.Wait(ctx)) })
	WantNil(t, "Abort", b.Abort())
	t.fails("Wait", name, Await(t, both, "a waiter of a broken barrier"), psync.ErrBroken)
	WantNil(t, "Close", b.Close())
	t.fails("Wait", "barrier", Second(b.Wait(ctx)), psync.ErrClosed)
	t.fails("WaitDo", "barrier", Second(b.WaitDo(ctx, nothing)), psync.ErrClosed)
	t.fails("Abort", "barrier", b.Abort(), psync.ErrClosed)
	t.fails("Reset", "barrier", b.Reset(), psync.ErrClosed)
	t.panics("Broken", "barrier", psync.ErrClosed, func() { b.Broken() })
	t.panics("Parties", "barrier", psync.ErrClosed, func() { b.Parties() })
	t.panics("Waiting", "barrier", psync.ErrClosed, func() { b.Waiting() })
}

func waitGroupErrors(t errorTable) {
	const name = `wait group "jobs"`
	ctx := t.Context()
	g := Must(psync.NewWaitGroup(t.seg, "jobs"))(t)
	t.fails("Add", name, g.Add(-1), psync.ErrInvalid)
	t.fails("Done", name, g.Done(), psync.ErrOverRelease)
	t.fails("Claim", name, g.Claim(), psync.ErrOverRelease)
	WantNil(t, "Add", g.Add(1<<31-1))
	t.fails("Add", name, g.Add(1), psync.ErrOverflow)
	t.fails("Go", name, g.Go(func() {}), psync.ErrOverflow)
	t.fails("Wait", name, g.Wait(Expired), context.Canceled)
	lost := Must(psync.NewWaitGroup(t.seg, "lost"))(t)
	WantNil(t, "Add", Must(psync.OpenWaitGroup(t.dead, "lost"))(t).Add(1))
	t.dies()
	t.fails("Wait", `wait group "lost"`, lost.Wait(ctx), psync.ErrOwnerDied)
	t.fails("Done", `wait group "lost"`, lost.Done(), psync.ErrOwnerDied)
	WantNil(t, "Close", g.Close())
	t.fails("Add", "wait group", g.Add(1), psync.ErrClosed)
	t.fails("Done", "wait group", g.Done(), psync.ErrClosed)
	t.fails("Claim", "wait group", g.Claim(), psync.ErrClosed)
	t.fails("Go", "wait group", g.Go(func() {}), psync.ErrClosed)
	t.fails("Recover", "wait group", Second(g.Recover()), psync.ErrClosed)
	t.fails("Wait", "wait group", g.Wait(ctx), psync.ErrClosed)
}

// TestPollingDoesNotAllocate checks that the errors of polling are made only once.
func TestPollingDoesNotAllocate(t *testing.T) {
	seg := Anonymous(t, room)
	var h, other psync.Holder
	l, rl := newLock(t, seg), newRLock(t, seg)
	rw := Closing(t, Must(psync.NewRWLock(seg, "", nil))(t))
	s := Closing(t, Must(psync.NewSemaphore(seg, "", 0))(t))
	b := Closing(t, Must(psync.NewBoundedSemaphore(seg, "", 1))(t))
	WantNil(t, "Acquire", errors.Join(
		l.Acquire(t.Context()), rl.Acquire(t.Context(), &h), rw.Acquire(t.Context()), b.Acquire(t.Context())))
	for name, f := range map[string]func() error{
		"Lock.TryAcquire":             l.TryAcquire,
		"RLock.TryAcquire":            func() error { return rl.TryAcquire(&other) },
		"RWLock.TryAcquire":           rw.TryAcquire,
		"RWLock.TryRAcquire":          rw.TryRAcquire,
		"Semaphore.TryAcquire":        s.TryAcquire,
		"BoundedSemaphore.TryAcquire": b.TryAcquire,
	} {
		var err error
		if n := testing.AllocsPerRun(100, func() { err = f() }); n != 0 || err == nil {
			t.Errorf("%s allocates %v times and returns %v", name, n, err)
		}
	}
}
