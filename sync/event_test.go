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
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

func newEvent(t testing.TB, seg *shm.Segment) *psync.Event {
	t.Helper()
	return Closing(t, Must(psync.NewEvent(seg, ""))(t))
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
		WantError(t, "Wait, expired", e.Wait(Expired), context.Canceled)
		late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
		WantError(t, "Wait, late", e.Wait(late), context.DeadlineExceeded)
		cancel()
		const d = 10 * time.Millisecond
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), d)
		WantError(t, "Wait", e.Wait(ctx), context.DeadlineExceeded)
		cancel()
		if took := time.Since(begin); took < d || took > prompt {
			t.Errorf("Wait gave up after %v, want %v", took, d)
		}
		for range 3 {
			WantNil(t, "Set", e.Set())
			wantSet(t, e, true)
			WantNil(t, "Wait", e.Wait(t.Context()))
			WantNil(t, "Wait, expired", e.Wait(Expired))
		}
		for range 3 {
			WantNil(t, "Clear", e.Clear())
			wantSet(t, e, false)
		}
	}
}

func testSetWakesAll(t *testing.T, seg *shm.Segment) {
	e := Must(psync.NewEvent(seg, "e"))(t)
	far := Must(psync.OpenEvent(Attach(t, seg), "e"))(t)
	for range 5 {
		errs := asleep(t, 5, e.Wait)
		WantNil(t, "Set", far.Set())
		for i := range cap(errs) {
			WantNil(t, "Wait", Await(t, errs, fmt.Sprintf("waiter %d", i)))
		}
		wantSet(t, e, true)
		WantNil(t, "Clear", e.Clear())
		wantSet(t, far, false)
	}
}

// All methods are called at once, as by signal handlers. Only Wait blocks.
func testEventHammer(t *testing.T, seg *shm.Segment) {
	e := newEvent(t, seg)
	ctx, cancel := context.WithCancel(Within(t))
	pulse := Async(func() error {
		for ctx.Err() == nil {
			if err := errors.Join(e.Set(), e.Clear()); err != nil {
				return err
			}
			runtime.Gosched()
		}
		return nil
	})
	All(t, "waiters", 6, func(int) error {
		for range 300 {
			short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(200)-20)*time.Microsecond)
			err := e.Wait(short)
			if err != nil && short.Err() == nil {
				cancel()
				return err
			}
			cancel()
			e.IsSet()
			// A Wait without a deadline returns, too.
			if err := e.Wait(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	cancel()
	WantNil(t, "pulses", Await(t, pulse, "pulses"))
}

// A Wait that began before the Set returns, although the event has been cleared again.
func testClearedAtOnce(t *testing.T, seg *shm.Segment) {
	e := newEvent(t, seg)
	for range 50 {
		errs := asleep(t, 3, e.Wait)
		WantNil(t, "Set and Clear", errors.Join(e.Set(), e.Clear()))
		for i := range cap(errs) {
			WantNil(t, "Wait", Await(t, errs, fmt.Sprintf("waiter %d of an event cleared at once", i)))
		}
		// A Wait that begins after the Clear does not return.
		WantError(t, "Wait, expired", e.Wait(Expired), context.Canceled)
	}
}

func changesOf(t testing.TB, seg *shm.Segment, name string) (*atomic.Uint64, object.Object) {
	o := Must(object.Open(seg, shm.KindEvent, name, 1))(t)
	return view.At[atomic.Uint64](o.Bytes(), 0), o
}

func testGenerationsWrap(t *testing.T, seg *shm.Segment) {
	e := Must(psync.NewEvent(seg, "e"))(t)
	changes, o := changesOf(t, seg, "e")
	for _, begin := range []uint64{math.MaxUint64 - 5, math.MaxUint32 - 5, math.MaxInt64 - 5} {
		changes.Store(begin) // an even number: not set
		for range 5 {
			wantSet(t, e, false)
			errs := asleep(t, 2, e.Wait)
			WantNil(t, "Set", e.Set())
			wantSet(t, e, true)
			WantNil(t, "Clear", e.Clear())
			wantSet(t, e, false)
			for range cap(errs) {
				WantNil(t, "Wait", Await(t, errs, fmt.Sprintf("waiter at change %#x", changes.Load())))
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
	errs := asleep(t, 1, e.Wait)
	done := Async(func() error { return e.Wait(ctx) })
	AwaitAsleep(t, os.Getpid(), 2)
	begin := time.Now()
	cancel()
	WantError(t, "cancelled Wait", Await(t, done, "cancelled Wait"), context.Canceled)
	if d := time.Since(begin); d > prompt {
		t.Errorf("Wait took %v to see that it was cancelled", d)
	}
	WantNil(t, "Set", e.Set())
	WantNil(t, "Wait", Await(t, errs, "waiter beside a cancelled one"))
}

func eventFails(t *testing.T, e *psync.Event) {
	t.Helper()
	for range 2 {
		WantError(t, "Wait", e.Wait(t.Context()), psync.ErrClosed)
		WantError(t, "Wait, expired", e.Wait(Expired), psync.ErrClosed)
		WantError(t, "Set", e.Set(), psync.ErrClosed)
		WantError(t, "Clear", e.Clear(), psync.ErrClosed)
		wantClosed(t, "IsSet", e.IsSet)
	}
}

func testEventClosed(t *testing.T, seg *shm.Segment) {
	e := Must(psync.NewEvent(seg, "e"))(t)
	other := Closing(t, Must(psync.OpenEvent(seg, "e"))(t))
	WantNil(t, "Set", e.Set())
	for range 2 {
		WantNil(t, "Close", e.Close())
	}
	eventFails(t, e)
	if e.Handle() != (shm.Handle{}) {
		t.Error("a closed event has a handle")
	}
	wantSet(t, other, true)
	var zero psync.Event
	eventFails(t, &zero)
	WantNil(t, "Close of the zero Event", zero.Close())

	party := Must(object.Attach(seg))(t)
	far := Must(psync.OpenEvent(party, "e"))(t)
	wantSet(t, far, true)
	WantNil(t, "Close", party.Close())
	wantSet(t, other, true) // no death changes the event
	eventFails(t, far)
}

func testEventCloseWhileWaiting(t *testing.T, seg *shm.Segment) {
	party := Must(object.Attach(seg))(t)
	e := Must(psync.NewEvent(seg, "e"))(t)
	far := Must(psync.OpenEvent(party, "e"))(t)
	here := asleep(t, 2, e.Wait)
	there := make(chan error, 2)
	for range 2 {
		go func() { there <- far.Wait(context.Background()) }()
	}
	AwaitAsleep(t, os.Getpid(), 4)
	WantNil(t, "Close", e.Close())
	WantNil(t, "Close", party.Close())
	for range 2 {
		WantError(t, "waiter", Await(t, here, "waiter of a closed event"), psync.ErrClosed)
		WantError(t, "waiter", Await(t, there, "waiter of a closed segment"), psync.ErrClosed)
	}
}

// Each Set synchronizes before the calls that see it. The race detector checks that on the heap.
func testEventSynchronizes(t *testing.T, seg *shm.Segment) {
	c := NewCells(t, seg, 2)
	for range 200 {
		e := newEvent(t, seg)
		*c.Plain(0), *c.Plain(1) = 0, 0
		waiter := Async(func() error {
			if err := e.Wait(context.Background()); err != nil {
				return err
			}
			*c.Plain(0)++
			return nil
		})
		*c.Plain(0) = 1
		WantNil(t, "Set", e.Set())
		WantNil(t, "waiter", Await(t, waiter, "waiter"))
		if v := *c.Plain(0); v != 2 {
			t.Errorf("counted %d, want 2", v)
		}
	}
	testSetAgain(t, newEvent(t, seg), c)
	testClearThenLook(t, newEvent(t, seg), c)
}

// The Set of an event that is set already synchronizes before a later Clear or IsSet, too. The
// calls are ordered by signals in mapped memory, which the race detector does not see.
func testSetAgain(t *testing.T, e *psync.Event, c *Cells) {
	signals := NewCells(t, Anonymous(t, room), 2)
	ctx := Within(t)
	WantNil(t, "Set", e.Set())
	looker := Async(func() error {
		if err := signals.Until(ctx, 0, 1); err != nil || !e.IsSet() {
			return fmt.Errorf("set is %v: %w", e.IsSet(), err)
		}
		*c.Plain(0)++
		return nil
	})
	clearer := Async(func() error {
		if err := signals.Until(ctx, 1, 1); err != nil {
			return err
		}
		err := e.Clear()
		*c.Plain(1)++
		return err
	})
	for i := range 2 {
		*c.Plain(i) = 1
		WantNil(t, "Set again", e.Set())
		signals.Add(i)
		if i == 0 {
			WantNil(t, "looker", Await(t, looker, "looker"))
		}
	}
	WantNil(t, "clearer", Await(t, clearer, "clearer"))
	if a, b := *c.Plain(0), *c.Plain(1); a != 2 || b != 2 {
		t.Errorf("%d and %d, want 2 and 2", a, b)
	}
}

// A consumer clears the event, then reads all items, then waits. It misses no item: it sees what a
// producer made before a Set that precedes the Clear, and a later Set ends its wait.
func testClearThenLook(t *testing.T, e *psync.Event, c *Cells) {
	const n = 3000
	ctx := Within(t)
	var mu stdsync.Mutex // guards the plain cell, which the event does not
	*c.Plain(0) = 0
	consumer := Async(func() error {
		for {
			if err := errors.Join(e.Wait(ctx), e.Clear()); err != nil {
				return err
			}
			mu.Lock()
			made := *c.Plain(0)
			mu.Unlock()
			if made == n {
				return nil
			}
		}
	})
	for range n {
		mu.Lock()
		*c.Plain(0)++
		mu.Unlock()
		WantNil(t, "Set", e.Set())
	}
	WantNil(t, "consumer", Await(t, consumer, "consumer of the last"))
}

func testEventHandle(t *testing.T, seg *shm.Segment) {
	e := Closing(t, Must(psync.NewEvent(seg, "e"))(t))
	var same psync.Event
	WantNil(t, "UnmarshalText", same.UnmarshalText(Must(e.MarshalText())(t)))
	WantNil(t, "Set", e.Set())
	wantSet(t, &same, true)
	WantNil(t, "Close", same.Close())
	wantSet(t, e, true)
	WantError(t, "name that is taken", Second(psync.NewEvent(seg, "e")), fs.ErrExist)
	WantError(t, "name of nothing", Second(psync.OpenEvent(seg, "x")), fs.ErrNotExist)
	WantError(t, "lock of that name", Second(psync.OpenLock(seg, "e")), shm.ErrMismatch)
}

func testEventAllocs(t *testing.T, seg *shm.Segment) {
	e := newEvent(t, seg)
	ctx := t.Context()
	var err error
	wantNoAllocs(t, "Set, IsSet, Wait, Clear", func() {
		err = errors.Join(err, e.Set(), e.Wait(ctx), e.Clear())
		e.IsSet()
	})
	WantNil(t, "calls", err)
}

// Every call ends, whatever the event's memory contains.
func TestEventHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		e := Closing(t, Must(psync.NewEvent(seg, "e"))(t))
		changes, o := changesOf(t, seg, "e")
		gate := view.At[atomic.Uint32](o.Bytes(), 128)
		ctx := Within(t)
		done := Async(func() error {
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
		WantNil(t, "calls", Await(t, done, "call on nonsense"))
		runtime.KeepAlive(o)
	})
}

// The children's tasks. Cell 0 counts the children that are ready, cell 1 those whose wait has
// returned.

var waitEventTask = task("wait event", func(ctx context.Context, p job) error {
	p.Cells.Add(0)
	if err := p.Event.Wait(ctx); err != nil {
		return err
	}
	p.Cells.Add(1)
	return nil
})

var setEventTask = task("set event", func(ctx context.Context, p job) error { return p.Event.Set() })

// hammerEventTask never returns.
var hammerEventTask = task("hammer event", func(ctx context.Context, p job) error {
	p.Cells.Add(0)
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
		e := newEvent(t, Anonymous(t, room))
		errs := asleep(t, 2, e.Wait)
		p := Start(t, setEventTask, job{Event: e})
		for range cap(errs) {
			WantNil(t, "Wait", Await(t, errs, "waiter"))
		}
		Result(t, p)
		wantSet(t, e, true)
	})
	// In CPython Set hangs after a waiter was killed.
	t.Run("E05_waiter_killed", func(t *testing.T) {
		for range 3 {
			seg := Anonymous(t, room)
			e, c := newEvent(t, seg), NewCells(t, seg, 2)
			var procs []*proc.Call[int]
			for range 3 {
				p := Start(t, waitEventTask, job{Event: e, Cells: c})
				AwaitAsleep(t, p.PID(), 1)
				procs = append(procs, p)
			}
			here := asleep(t, 2, e.Wait)
			Kill(t, procs[0])
			WantNil(t, "Kill", procs[1].Kill()) // the process may die while the event is being set
			WantNil(t, "Set", Await(t, Async(e.Set), "Set with a dead waiter"))
			for range cap(here) {
				WantNil(t, "Wait", Await(t, here, "waiter beside a dead one"))
			}
			Result(t, procs[2])
			c.Await(t, 1, 1)
			WantNil(t, "Close", seg.Close())
		}
	})
	// In CPython a Set in a signal handler waits for the lock that the interrupted call holds. Here
	// a process that is stopped anywhere in a method does not delay others.
	t.Run("E04_stopped_anywhere", func(t *testing.T) {
		seg := Anonymous(t, room)
		e, c := newEvent(t, seg), NewCells(t, seg, 2)
		p := Start(t, hammerEventTask, job{Event: e, Cells: c})
		c.Await(t, 0, 1)
		for range 50 {
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond) // a random moment
			Stop(t, p)                                                    // all its threads: none of them clears the event after Set here
			WantNil(t, "calls", Await(t, Async(func() error {
				return errors.Join(e.Set(), e.Wait(context.Background()), e.Clear())
			}), "calls beside a stopped process"))
			Continue(t, p)
		}
	})
}

func BenchmarkEventIsSet(b *testing.B) {
	e := newEvent(b, Anonymous(b, 1<<16))
	WantNil(b, "Set", e.Set())
	for b.Loop() {
		if !e.IsSet() {
			b.Fatal("not set")
		}
	}
}
