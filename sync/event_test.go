//go:build linux

package sync_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	stdsync "sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

func newEvent(t testing.TB, seg *shm.Segment) *psync.Event {
	t.Helper()
	return closing(t, must(psync.NewEvent(seg, ""))(t))
}

func wantSet(t testing.TB, e *psync.Event, want bool) {
	t.Helper()
	if e.IsSet() != want {
		t.Errorf("set is %v, want %v", !want, want)
	}
}

func TestEvent(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"E01_E03_set_and_clear", testSetClear},
		{"E01_wakes_all", testSetWakesAll},
		{"E04_lock_free", testEventHammer},
		{"E06_cleared_at_once", testClearedAtOnce},
		{"E06_generations_wrap", testGenerationsWrap},
		{"cancelled", testEventCancelled},
		{"closed", testEventClosed},
		{"close_while_waiting", testEventCloseWhileWaiting},
		{"synchronizes", testEventSynchronizes},
		{"handle", testEventHandle},
		{"no_allocation", testEventAllocs},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

func testSetClear(t *testing.T, seg *shm.Segment) {
	e := newEvent(t, seg)
	for range 3 {
		wantSet(t, e, false)
		wantError(t, "Wait, expired", e.Wait(expired), context.Canceled)
		late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
		wantError(t, "Wait, late", e.Wait(late), context.DeadlineExceeded)
		cancel()
		const d = 10 * time.Millisecond
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), d)
		wantError(t, "Wait", e.Wait(ctx), context.DeadlineExceeded)
		cancel()
		if took := time.Since(begin); took < d || took > prompt {
			t.Errorf("Wait gave up after %v, want %v", took, d)
		}
		for range 3 {
			wantNil(t, "Set", e.Set())
			wantSet(t, e, true)
			wantNil(t, "Wait", e.Wait(t.Context()))
			wantNil(t, "Wait, expired", e.Wait(expired))
		}
		for range 3 {
			wantNil(t, "Clear", e.Clear())
			wantSet(t, e, false)
		}
	}
}

// asleepAtEvent starts n goroutines that wait for e.
func asleepAtEvent(t testing.TB, e *psync.Event, n int) (errs chan error) {
	t.Helper()
	errs = make(chan error, n)
	for range n {
		go func() { errs <- e.Wait(context.Background()) }()
	}
	awaitAsleep(t, os.Getpid(), n)
	return errs
}

func testSetWakesAll(t *testing.T, seg *shm.Segment) {
	e := must(psync.NewEvent(seg, "e"))(t)
	far := must(psync.OpenEvent(closing(t, must(seg.Attach())(t)), "e"))(t)
	for range 5 {
		errs := asleepAtEvent(t, e, 5)
		wantNil(t, "Set", far.Set())
		for i := range cap(errs) {
			wantNil(t, "Wait", await(t, errs, fmt.Sprintf("waiter %d", i)))
		}
		wantSet(t, e, true)
		wantNil(t, "Clear", e.Clear())
		wantSet(t, far, false)
	}
}

// Everything at once, as signal handlers would: nothing waits but Wait.
func testEventHammer(t *testing.T, seg *shm.Segment) {
	e := newEvent(t, seg)
	ctx, cancel := context.WithCancel(within(t))
	pulse := async(func() error {
		for ctx.Err() == nil {
			if err := errors.Join(e.Set(), e.Clear()); err != nil {
				return err
			}
			runtime.Gosched()
		}
		return nil
	})
	all(t, "waiters", 6, func(int) error {
		for range 300 {
			short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(200)-20)*time.Microsecond)
			err := e.Wait(short)
			if err != nil && short.Err() == nil {
				cancel()
				return err
			}
			cancel()
			e.IsSet()
			// Without an end of its own it gets through all the same.
			if err := e.Wait(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	cancel()
	wantNil(t, "pulses", await(t, pulse, "pulses"))
}

// A Wait that began before the Set returns, though it wakes up to a cleared
// event.
func testClearedAtOnce(t *testing.T, seg *shm.Segment) {
	e := newEvent(t, seg)
	for range 50 {
		errs := asleepAtEvent(t, e, 3)
		wantNil(t, "Set and Clear", errors.Join(e.Set(), e.Clear()))
		for i := range cap(errs) {
			wantNil(t, "Wait", await(t, errs, fmt.Sprintf("waiter %d of an event cleared at once", i)))
		}
		// One that begins after it does not.
		wantError(t, "Wait, expired", e.Wait(expired), context.Canceled)
	}
}

func changesOf(t testing.TB, seg *shm.Segment, name string) (*atomic.Uint64, *shm.Object) {
	o := must(seg.OpenObject(shm.KindEvent, name, 1))(t)
	return view.At[atomic.Uint64](o.Bytes(), 0), o
}

func testGenerationsWrap(t *testing.T, seg *shm.Segment) {
	e := must(psync.NewEvent(seg, "e"))(t)
	changes, o := changesOf(t, seg, "e")
	for _, begin := range []uint64{math.MaxUint64 - 5, math.MaxUint32 - 5, math.MaxInt64 - 5} {
		changes.Store(begin) // even
		for range 5 {
			wantSet(t, e, false)
			errs := asleepAtEvent(t, e, 2)
			wantNil(t, "Set", e.Set())
			wantSet(t, e, true)
			wantNil(t, "Clear", e.Clear())
			wantSet(t, e, false)
			for range cap(errs) {
				wantNil(t, "Wait", await(t, errs, fmt.Sprintf("waiter at change %#x", changes.Load())))
			}
		}
		if n := changes.Load(); n != begin+10 {
			t.Errorf("%#x after 10 changes, want %#x", n, begin+10)
		}
	}
	runtime.KeepAlive(o)
}

func testEventCancelled(t *testing.T, seg *shm.Segment) {
	e := newEvent(t, seg)
	ctx, cancel := context.WithCancel(t.Context())
	errs := asleepAtEvent(t, e, 1)
	done := async(func() error { return e.Wait(ctx) })
	awaitAsleep(t, os.Getpid(), 2)
	begin := time.Now()
	cancel()
	wantError(t, "cancelled Wait", await(t, done, "cancelled Wait"), context.Canceled)
	if d := time.Since(begin); d > prompt {
		t.Errorf("Wait took %v to see that it was cancelled", d)
	}
	wantNil(t, "Set", e.Set())
	wantNil(t, "Wait", await(t, errs, "waiter beside a cancelled one"))
}

func eventFails(t *testing.T, e *psync.Event) {
	t.Helper()
	for range 2 {
		wantError(t, "Wait", e.Wait(t.Context()), psync.ErrClosed)
		wantError(t, "Wait, expired", e.Wait(expired), psync.ErrClosed)
		wantError(t, "Set", e.Set(), psync.ErrClosed)
		wantError(t, "Clear", e.Clear(), psync.ErrClosed)
		wantSet(t, e, false)
	}
}

func testEventClosed(t *testing.T, seg *shm.Segment) {
	e := must(psync.NewEvent(seg, "e"))(t)
	other := closing(t, must(psync.OpenEvent(seg, "e"))(t))
	wantNil(t, "Set", e.Set())
	for range 2 {
		wantNil(t, "Close", e.Close())
	}
	eventFails(t, e)
	if e.Handle() != (shm.Handle{}) {
		t.Error("a closed event has a handle")
	}
	wantSet(t, other, true)
	var zero psync.Event
	eventFails(t, &zero)
	wantNil(t, "Close of the zero Event", zero.Close())

	party := must(seg.Attach())(t)
	far := must(psync.OpenEvent(party, "e"))(t)
	wantSet(t, far, true)
	wantNil(t, "Close", party.Close())
	wantSet(t, other, true) // no death changes it
	eventFails(t, far)
}

func testEventCloseWhileWaiting(t *testing.T, seg *shm.Segment) {
	party := must(seg.Attach())(t)
	e := must(psync.NewEvent(seg, "e"))(t)
	far := must(psync.OpenEvent(party, "e"))(t)
	here := asleepAtEvent(t, e, 2)
	there := make(chan error, 2)
	for range 2 {
		go func() { there <- far.Wait(context.Background()) }()
	}
	awaitAsleep(t, os.Getpid(), 4)
	wantNil(t, "Close", e.Close())
	wantNil(t, "Close", party.Close())
	for range 2 {
		wantError(t, "waiter", await(t, here, "waiter of a closed event"), psync.ErrClosed)
		wantError(t, "waiter", await(t, there, "waiter of a closed segment"), psync.ErrClosed)
	}
}

// Each Set comes before what sees it. The race detector sees it on the heap.
func testEventSynchronizes(t *testing.T, seg *shm.Segment) {
	c := newCells(t, seg, 2)
	for range 200 {
		e := newEvent(t, seg)
		*c.plain(0), *c.plain(1) = 0, 0
		waiter := async(func() error {
			if err := e.Wait(context.Background()); err != nil {
				return err
			}
			*c.plain(0)++
			return nil
		})
		*c.plain(0) = 1
		wantNil(t, "Set", e.Set())
		wantNil(t, "waiter", await(t, waiter, "waiter"))
		if v := *c.plain(0); v != 2 {
			t.Errorf("counted %d, want 2", v)
		}
	}
	testSetAgain(t, newEvent(t, seg), c)
	testClearThenLook(t, newEvent(t, seg), c)
}

// The Set of a set event comes before a later Clear or IsSet, too. Signals
// through mapped memory put them in order without the race detector's
// knowledge.
func testSetAgain(t *testing.T, e *psync.Event, c *cells) {
	signals := newCells(t, anonymous(t), 2)
	ctx := within(t)
	wantNil(t, "Set", e.Set())
	looker := async(func() error {
		if err := signals.until(ctx, 0, 1); err != nil || !e.IsSet() {
			return fmt.Errorf("set is %v: %w", e.IsSet(), err)
		}
		*c.plain(0)++
		return nil
	})
	clearer := async(func() error {
		if err := signals.until(ctx, 1, 1); err != nil {
			return err
		}
		err := e.Clear()
		*c.plain(1)++
		return err
	})
	for i := range 2 {
		*c.plain(i) = 1
		wantNil(t, "Set again", e.Set())
		signals.add(i)
		if i == 0 {
			wantNil(t, "looker", await(t, looker, "looker"))
		}
	}
	wantNil(t, "clearer", await(t, clearer, "clearer"))
	if a, b := *c.plain(0), *c.plain(1); a != 2 || b != 2 {
		t.Errorf("%d and %d, want 2 and 2", a, b)
	}
}

// A consumer clears, then looks at all there is, then waits. Whatever a
// producer made before a Set is seen after the Clear, or the Set comes after
// it.
func testClearThenLook(t *testing.T, e *psync.Event, c *cells) {
	const n = 3000
	ctx := within(t)
	var mu stdsync.Mutex // for the plain cell, which the event does not guard
	*c.plain(0) = 0
	consumer := async(func() error {
		for {
			if err := errors.Join(e.Wait(ctx), e.Clear()); err != nil {
				return err
			}
			mu.Lock()
			made := *c.plain(0)
			mu.Unlock()
			if made == n {
				return nil
			}
		}
	})
	for range n {
		mu.Lock()
		*c.plain(0)++
		mu.Unlock()
		wantNil(t, "Set", e.Set())
	}
	wantNil(t, "consumer", await(t, consumer, "consumer of the last"))
}

func testEventHandle(t *testing.T, seg *shm.Segment) {
	e := closing(t, must(psync.NewEvent(seg, "e"))(t))
	var same psync.Event
	wantNil(t, "UnmarshalText", same.UnmarshalText(must(e.MarshalText())(t)))
	wantNil(t, "Set", e.Set())
	wantSet(t, &same, true)
	wantNil(t, "Close", same.Close())
	wantSet(t, e, true)
	wantError(t, "name that is taken", second(psync.NewEvent(seg, "e")), fs.ErrExist)
	wantError(t, "name of nothing", second(psync.OpenEvent(seg, "x")), fs.ErrNotExist)
	wantError(t, "lock of that name", second(psync.OpenLock(seg, "e")), shm.ErrMismatch)
}

func testEventAllocs(t *testing.T, seg *shm.Segment) {
	e := newEvent(t, seg)
	ctx := t.Context()
	var err error
	wantNoAllocs(t, "Set, IsSet, Wait, Clear", func() {
		err = errors.Join(err, e.Set(), e.Wait(ctx), e.Clear())
		e.IsSet()
	})
	wantNil(t, "calls", err)
}

// Whatever stands in the memory of an event, each call ends.
func TestEventHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		e := closing(t, must(psync.NewEvent(seg, "e"))(t))
		changes, o := changesOf(t, seg, "e")
		gate := view.At[atomic.Uint32](o.Bytes(), 128)
		ctx := within(t)
		done := async(func() error {
			for range 2000 {
				changes.Store(rand.Uint64())
				gate.Store(rand.Uint32())
				short, cancel := context.WithTimeout(ctx, 100*time.Microsecond)
				err := e.Wait(short)
				cancel()
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					return err
				}
				if err := errors.Join(e.Set(), e.Wait(ctx), e.Clear(), e.Clear()); err != nil || e.IsSet() {
					return fmt.Errorf("set is %v: %w", e.IsSet(), err)
				}
			}
			return nil
		})
		wantNil(t, "calls", await(t, done, "call on nonsense"))
		runtime.KeepAlive(o)
	})
}

// Tasks of the children. Cell 0 counts those that are ready; cell 1 those
// that got through.

var waitEventTask = partTask("wait event", func(ctx context.Context, p part) error {
	p.Cells.add(0)
	if err := p.Event.Wait(ctx); err != nil {
		return err
	}
	p.Cells.add(1)
	return nil
})

var setEventTask = partTask("set event", func(ctx context.Context, p part) error { return p.Event.Set() })

// hammerEventTask never ends.
var hammerEventTask = partTask("hammer event", func(ctx context.Context, p part) error {
	p.Cells.add(0)
	go func() {
		for p.Event.Wait(ctx) == nil {
		}
	}()
	for ctx.Err() == nil {
		if err := errors.Join(p.Event.Set(), p.Event.Clear()); err != nil {
			return err
		}
		p.Event.IsSet()
	}
	return nil
})

func TestEventProcesses(t *testing.T) {
	t.Run("E01_set_by_child", func(t *testing.T) {
		e := newEvent(t, anonymous(t))
		errs := asleepAtEvent(t, e, 2)
		p := startPart(t, setEventTask, part{Event: e})
		for range cap(errs) {
			wantNil(t, "Wait", await(t, errs, "waiter"))
		}
		joined(t, p)
		wantSet(t, e, true)
	})
	// In CPython Set hangs once a waiter was killed.
	t.Run("E05_waiter_killed", func(t *testing.T) {
		for range 3 {
			seg := anonymous(t)
			e, c := newEvent(t, seg), newCells(t, seg, 2)
			var procs []*proc.Call[int]
			for range 3 {
				p := startPart(t, waitEventTask, part{Event: e, Cells: c})
				awaitAsleep(t, p.PID(), 1)
				procs = append(procs, p)
			}
			here := asleepAtEvent(t, e, 2)
			kill(t, procs[0])
			wantNil(t, "Kill", procs[1].Kill()) // it may be dying while the event is set
			wantNil(t, "Set", await(t, async(e.Set), "Set with a dead waiter"))
			for range cap(here) {
				wantNil(t, "Wait", await(t, here, "waiter beside a dead one"))
			}
			joined(t, procs[2])
			c.await(t, 1, 1)
			wantNil(t, "Close", seg.Close())
		}
	})
	// In CPython Set from a signal handler waits for the lock that the
	// interrupted call holds. Here a process that is stopped anywhere inside holds
	// up nobody.
	t.Run("E04_stopped_anywhere", func(t *testing.T) {
		seg := anonymous(t)
		e, c := newEvent(t, seg), newCells(t, seg, 2)
		p := startPart(t, hammerEventTask, part{Event: e, Cells: c})
		c.await(t, 0, 1)
		for range 50 {
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond) // a random moment
			wantNil(t, "SIGSTOP", syscall.Kill(p.PID(), syscall.SIGSTOP))
			wantNil(t, "calls", await(t, async(func() error {
				return errors.Join(e.Set(), e.Wait(context.Background()), e.Clear())
			}), "calls beside a stopped process"))
			wantNil(t, "SIGCONT", syscall.Kill(p.PID(), syscall.SIGCONT))
		}
	})
}

func BenchmarkEventIsSet(b *testing.B) {
	e := newEvent(b, closing(b, must(shm.Anonymous(1<<16, nil))(b)))
	wantNil(b, "Set", e.Set())
	for b.Loop() {
		if !e.IsSet() {
			b.Fatal("not set")
		}
	}
}
