//go:build linux

package sync_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

func TestLock(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"L01_acquire_and_release", testAcquireRelease},
		{"L02_released_by_another_goroutine", testReleasedByGoroutine},
		{"L03_not_reentrant", testNotReentrant},
		{"L04_expired_context", testExpired},
		{"cancelled", testCancelled},
		{"closed", testClosed},
		{"close_while_waiting", testCloseWhileWaiting},
		{"segment_closed_while_waiting", testSegmentClosedWhileWaiting},
		{"L05_with", testWith},
		{"locker", testLocker},
		{"recover_of_the_living", testRecoverLiving},
		{"hammer", testHammer},
		{"handle", testHandle},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

func testAcquireRelease(t *testing.T, seg *shm.Segment) {
	l := newLock(t, seg)
	for range 3 {
		WantError(t, "Release of a free lock", l.Release(), psync.ErrNotHeld)
		WantNil(t, "TryAcquire", l.TryAcquire())
		WantError(t, "TryAcquire of a held lock", l.TryAcquire(), psync.ErrHeld)
		WantNil(t, "Release", l.Release())
		WantNil(t, "Acquire", l.Acquire(t.Context()))
		WantNil(t, "Release", l.Release())
	}
}

func testReleasedByGoroutine(t *testing.T, seg *shm.Segment) {
	l := newLock(t, seg)
	WantNil(t, "Acquire", l.Acquire(t.Context()))
	WantNil(t, "Release by another goroutine", Await(t, Async(l.Release), "Release"))
	WantError(t, "Release", l.Release(), psync.ErrNotHeld)
	// Another party does not own the lock.
	party := Attach(t, seg)
	named := Closing(t, Must(psync.NewLock(seg, "l", nil))(t))
	far := Closing(t, Must(psync.OpenLock(party, "l"))(t))
	WantNil(t, "Acquire", named.Acquire(t.Context()))
	WantError(t, "Release by another party", far.Release(), psync.ErrNotHeld)
	WantError(t, "TryAcquire by another party", far.TryAcquire(), psync.ErrHeld)
	WantNil(t, "Release", named.Release())
	WantNil(t, "TryAcquire by another party", far.TryAcquire())
	WantError(t, "Release by the previous holder", named.Release(), psync.ErrNotHeld)
	WantNil(t, "Release", far.Release())
}

func testNotReentrant(t *testing.T, seg *shm.Segment) {
	l := newLock(t, seg)
	WantNil(t, "Acquire", l.Acquire(t.Context()))
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	WantError(t, "second Acquire", l.Acquire(ctx), context.DeadlineExceeded)
	if d := time.Since(begin); d < 10*time.Millisecond {
		t.Errorf("Acquire gave up after %v", d)
	}
	WantNil(t, "Release", l.Release())
	WantError(t, "Release", l.Release(), psync.ErrNotHeld)
}

// With an expired context there is one try.
func testExpired(t *testing.T, seg *shm.Segment) {
	l := newLock(t, seg)
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
	defer cancel()
	for range 10 {
		WantNil(t, "Acquire of a free lock", l.Acquire(Expired))
		WantError(t, "Acquire of a held lock", l.Acquire(Expired), context.Canceled)
		WantError(t, "Acquire of a held lock", l.Acquire(late), context.DeadlineExceeded)
		WantError(t, "Recover of a held lock", l.Recover(Expired, nil), context.Canceled)
		WantNil(t, "Release", l.Release())
		WantNil(t, "Acquire of a free lock", l.Acquire(late))
		WantNil(t, "Release", l.Release())
		WantNil(t, "Recover of a free lock", l.Recover(Expired, nil))
	}
}

// prompt bounds a call that need not wait for another process. It is far longer than the call
// takes, and far shorter than Patience.
const prompt = 5 * time.Second

func testCancelled(t *testing.T, seg *shm.Segment) {
	l := newLock(t, seg)
	WantNil(t, "Acquire", l.Acquire(t.Context()))
	for _, f := range []func(ctx context.Context) error{
		l.Acquire,
		func(ctx context.Context) error {
			return l.Recover(ctx, func() error { return errors.New("repair was called") })
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := Async(func() error { return f(ctx) })
		AwaitAsleep(t, os.Getpid(), 1)
		begin := time.Now()
		cancel()
		WantError(t, "cancelled call", Await(t, done, "cancelled call"), context.Canceled)
		if d := time.Since(begin); d > prompt {
			t.Errorf("the call took %v to see that it was cancelled", d)
		}
	}
	WantNil(t, "Release", l.Release())
	WantNil(t, "TryAcquire", l.TryAcquire())
	WantNil(t, "Release", l.Release())
}

func allFail(t *testing.T, l *psync.Lock) {
	t.Helper()
	for range 3 {
		WantError(t, "TryAcquire", l.TryAcquire(), psync.ErrClosed)
		WantError(t, "Acquire", l.Acquire(t.Context()), psync.ErrClosed)
		WantError(t, "Acquire, expired", l.Acquire(Expired), psync.ErrClosed)
		WantError(t, "Release", l.Release(), psync.ErrClosed)
		WantError(t, "Recover", l.Recover(t.Context(), func() error {
			t.Error("repair was called")
			return nil
		}), psync.ErrClosed)
	}
}

// Close does not release, and a party that closes its segment counts as dead.
func testClosed(t *testing.T, seg *shm.Segment) {
	l := Must(psync.NewLock(seg, "l", nil))(t)
	other := Closing(t, Must(psync.OpenLock(seg, "l"))(t))
	WantNil(t, "Acquire", l.Acquire(t.Context()))
	for range 3 {
		WantNil(t, "Close", l.Close())
	}
	allFail(t, l)
	if l.Handle() != (shm.Handle{}) {
		t.Error("a closed lock has a handle")
	}
	WantError(t, "TryAcquire", other.TryAcquire(), psync.ErrHeld)
	WantNil(t, "Release by the same process", other.Release())
	var zero psync.Lock
	allFail(t, &zero)
	WantNil(t, "Close of the zero Lock", zero.Close())

	party := Must(object.Attach(seg))(t)
	far := Must(psync.OpenLock(party, "l"))(t)
	WantNil(t, "Acquire", far.Acquire(t.Context()))
	WantNil(t, "Close", party.Close())
	WantError(t, "TryAcquire", other.TryAcquire(), psync.ErrOwnerDied)
	allFail(t, far)
}

// waiters acquires l and starts two goroutines that wait for it, and one that waits to repair it.
func waiters(t *testing.T, l *psync.Lock) (errs chan error) {
	t.Helper()
	WantNil(t, "Acquire", l.Acquire(t.Context()))
	recover := func(ctx context.Context) error { return l.Recover(ctx, nil) }
	return asleep(t, 1, l.Acquire, l.Acquire, recover)
}

func testCloseWhileWaiting(t *testing.T, seg *shm.Segment) {
	l := Must(psync.NewLock(seg, "", nil))(t)
	errs := waiters(t, l)
	WantNil(t, "Close", l.Close())
	for range cap(errs) {
		WantError(t, "waiter", Await(t, errs, "waiter of a closed lock"), psync.ErrClosed)
	}
}

func testSegmentClosedWhileWaiting(t *testing.T, seg *shm.Segment) {
	l := Must(psync.NewLock(seg, "", nil))(t)
	errs := waiters(t, l)
	WantNil(t, "Close", seg.Close())
	for range cap(errs) {
		WantError(t, "waiter", Await(t, errs, "waiter of a closed segment"), psync.ErrClosed)
	}
}

func testWith(t *testing.T, seg *shm.Segment) {
	l := newLock(t, seg)
	r := Closing(t, Must(psync.NewRLock(seg, "", nil))(t))
	var h psync.Holder
	failure := errors.New("failure")
	for what, lock := range map[string]struct {
		with  func(ctx context.Context, f func() error) error
		held  func() error
		free  func() error
		close func() error
	}{
		"Lock":  {l.With, l.TryAcquire, l.Release, l.Close},
		"RLock": {func(ctx context.Context, f func() error) error { return r.With(ctx, &h, f) }, func() error { return r.TryAcquire(new(psync.Holder)) }, func() error { return r.Release(&h) }, r.Close},
	} {
		for _, want := range []error{nil, failure} {
			called := false
			err := lock.with(t.Context(), func() error {
				called = true
				WantError(t, what+": TryAcquire in With", lock.held(), psync.ErrHeld)
				return want
			})
			if err != want && !errors.Is(err, want) || !called {
				t.Errorf("%s: With: %v, called %v, want %v", what, err, called, want)
			}
			WantError(t, what+": Release after With", lock.free(), psync.ErrNotHeld)
		}
		if v := PanicOf(func() { lock.with(t.Context(), func() error { panic("oh") }) }); v != "oh" {
			t.Errorf("%s: panic %v", what, v)
		}
		WantError(t, what+": Release after a panic", lock.free(), psync.ErrNotHeld)
		WantError(t, what+": With that releases itself", lock.with(t.Context(), lock.free), psync.ErrNotHeld)
		WantNil(t, "Close", lock.close())
		WantError(t, what+": With of a closed lock", lock.with(t.Context(), func() error {
			t.Error("called")
			return nil
		}), psync.ErrClosed)
	}
}

func testLocker(t *testing.T, seg *shm.Segment) {
	l := Must(psync.NewLock(seg, "", nil))(t)
	var locker stdsync.Locker = l
	locker.Lock()
	WantError(t, "TryAcquire", l.TryAcquire(), psync.ErrHeld)
	locker.Unlock()
	if v := PanicOf(locker.Unlock); !isError(v, psync.ErrNotHeld) {
		t.Errorf("Unlock of a free lock: panic %v", v)
	}
	WantNil(t, "Close", l.Close())
	for what, f := range map[string]func(){"Lock": locker.Lock, "Unlock": locker.Unlock} {
		if v := PanicOf(f); !isError(v, psync.ErrClosed) {
			t.Errorf("%s of a closed lock: panic %v", what, v)
		}
	}
}

func testRecoverLiving(t *testing.T, seg *shm.Segment) {
	l := newLock(t, seg)
	repair := func() error { return errors.New("repair was called") }
	WantNil(t, "Recover of a free lock", l.Recover(t.Context(), repair))
	WantNil(t, "TryAcquire", l.TryAcquire())
	done := Async(func() error { return l.Recover(context.Background(), repair) })
	AwaitAsleep(t, os.Getpid(), 1)
	WantNil(t, "Release", l.Release())
	WantNil(t, "Recover", Await(t, done, "Recover"))
	WantNil(t, "TryAcquire", l.TryAcquire())
	WantNil(t, "Release", l.Release())
}

// count increments a counter n times under the lock. It gives up and tries again at random.
func count(ctx context.Context, l *psync.Lock, counter *uint64, n int) error {
	for i := 0; i < n; {
		if err := impatiently(ctx, l.Acquire); err != nil {
			return fmt.Errorf("acquire %d: %w", i, err)
		}
		*counter++
		if i%16 == 0 {
			runtime.Gosched() // so that others wait
		}
		if err := l.Release(); err != nil {
			return err
		}
		i++
	}
	return nil
}

// Several goroutines of several parties exclude each other. On the heap the race detector checks
// that Release synchronizes before Acquire. It can't check that in mapped memory.
func testHammer(t *testing.T, seg *shm.Segment) {
	const parties, goroutines, each = 3, 3, 700
	Must(psync.NewLock(seg, "l", nil))(t)
	c := NewCells(t, seg, 1)
	counter := c.Plain(0)
	var locks [parties]*psync.Lock
	for i := range locks {
		locks[i] = Must(psync.OpenLock(Attach(t, seg), "l"))(t)
	}
	ctx := Within(t)
	All(t, "users of the lock", parties*goroutines, func(i int) error {
		return count(ctx, locks[i%parties], counter, each)
	})
	if want := uint64(parties * goroutines * each); *counter != want {
		t.Errorf("counted %d, want %d", *counter, want)
	}
	runtime.KeepAlive(c)
}

func testHandle(t *testing.T, seg *shm.Segment) {
	l := Closing(t, Must(psync.NewLock(seg, "l", nil))(t))
	var same psync.Lock
	WantNil(t, "UnmarshalText", same.UnmarshalText(Must(l.MarshalText())(t)))
	WantNil(t, "TryAcquire", l.TryAcquire())
	WantError(t, "TryAcquire of the same", same.TryAcquire(), psync.ErrHeld)
	WantNil(t, "Release of the same", same.Release())
	WantNil(t, "Close", same.Close())
	WantNil(t, "TryAcquire", l.TryAcquire())
	WantNil(t, "Release", l.Release())

	WantError(t, "name that is taken", Second(psync.NewLock(seg, "l", nil)), fs.ErrExist)
	WantError(t, "name of nothing", Second(psync.OpenLock(seg, "x")), fs.ErrNotExist)
	WantError(t, "no handle", same.UnmarshalText([]byte("mp1-")), shm.ErrHandle)
	h := l.Handle()
	h.Kind = shm.KindQueue
	WantError(t, "handle of a queue", same.UnmarshalText([]byte(h.String())), shm.ErrMismatch)
	h = l.Handle()
	h.Serial++
	WantError(t, "handle of one that was removed", same.UnmarshalText([]byte(h.String())), fs.ErrNotExist)
}

// Deaths are simulated, so that the race detector can observe what follows.
func TestLockDeadParty(t *testing.T) {
	open := func(t *testing.T, o *psync.Options) (seg, party *shm.Segment, l, far *psync.Lock) {
		seg = Heap(t, room)
		party = Must(object.Attach(seg))(t)
		l = Closing(t, Must(psync.NewLock(seg, "l", o))(t))
		far = Must(psync.OpenLock(party, "l"))(t)
		WantNil(t, "TryAcquire", far.TryAcquire())
		return seg, party, l, far
	}
	die := func(t *testing.T, seg, party *shm.Segment) {
		t.Helper()
		Dies(t, seg, party)
	}
	t.Run("L08_waiters_learn", func(t *testing.T) {
		seg, party, l, _ := open(t, nil)
		errs := make(chan error)
		const n = 3
		for range n {
			go func() { errs <- l.Acquire(context.Background()) }()
		}
		repaired := Async(func() error { return l.Recover(context.Background(), func() error { return nil }) })
		AwaitAsleep(t, os.Getpid(), n+1)
		die(t, seg, party)
		for range n {
			// If Recover came first, the waiters hold the lock one after the other.
			err := Await(t, errs, "waiter of a dead owner")
			if err == nil {
				WantNil(t, "Release", l.Release())
			} else {
				WantError(t, "Acquire", err, psync.ErrOwnerDied)
			}
		}
		WantNil(t, "Recover", Await(t, repaired, "Recover"))
		WantNil(t, "TryAcquire", l.TryAcquire())
		WantNil(t, "Release", l.Release())
	})
	t.Run("L08_states", func(t *testing.T) {
		seg, party, l, _ := open(t, nil)
		die(t, seg, party)
		for range 3 {
			WantError(t, "TryAcquire", l.TryAcquire(), psync.ErrOwnerDied)
			WantError(t, "Acquire", l.Acquire(t.Context()), psync.ErrOwnerDied)
			WantError(t, "Acquire, expired", l.Acquire(Expired), psync.ErrOwnerDied)
			WantError(t, "Release", l.Release(), psync.ErrNotHeld)
		}
		// A repair that fails leaves the lock as it was.
		broken := errors.New("beyond repair")
		for range 3 {
			if err := l.Recover(t.Context(), func() error {
				WantError(t, "TryAcquire while it is repaired", l.TryAcquire(), psync.ErrHeld)
				return broken
			}); err != broken {
				t.Errorf("Recover: %v, want the repair's error", err)
			}
			WantError(t, "TryAcquire after a repair that failed", l.TryAcquire(), psync.ErrOwnerDied)
		}
		if v := PanicOf(func() { l.Recover(t.Context(), func() error { panic("oh") }) }); v != "oh" {
			t.Errorf("panic of repair: %v", v)
		}
		WantError(t, "TryAcquire after a panic", l.TryAcquire(), psync.ErrOwnerDied)
		if v := PanicOf(l.Lock); !isError(v, psync.ErrOwnerDied) {
			t.Errorf("Lock of a dead owner's: panic %v", v)
		}
		// Goroutines that wait during the repair get its outcome.
		errs := make(chan error)
		if err := l.Recover(t.Context(), func() error {
			go func() { errs <- l.Acquire(context.Background()) }()
			AwaitAsleep(t, os.Getpid(), 1)
			return broken
		}); err != broken {
			t.Errorf("Recover: %v", err)
		}
		WantError(t, "waiter", Await(t, errs, "waiter of a failed repair"), psync.ErrOwnerDied)
		WantNil(t, "Recover", l.Recover(t.Context(), func() error {
			go func() { errs <- l.Acquire(context.Background()) }()
			AwaitAsleep(t, os.Getpid(), 1)
			return nil
		}))
		WantNil(t, "waiter", Await(t, errs, "waiter of a repair"))
		WantNil(t, "Release", l.Release())
	})
	t.Run("L08_dies_in_repair", func(t *testing.T) {
		seg, party, l, _ := open(t, nil)
		die(t, seg, party)
		second := Must(object.Attach(seg))(t)
		far := Must(psync.OpenLock(second, "l"))(t)
		inside, end := make(chan struct{}), make(chan struct{})
		done := Async(func() error {
			return far.Recover(context.Background(), func() error {
				close(inside)
				<-end
				return nil
			})
		})
		Await(t, inside, "repair")
		WantError(t, "TryAcquire", l.TryAcquire(), psync.ErrHeld)
		waiter := Async(func() error { return l.Acquire(context.Background()) })
		AwaitAsleep(t, os.Getpid(), 1)
		die(t, seg, second)
		WantError(t, "Acquire", Await(t, waiter, "waiter of a dead repairer"), psync.ErrOwnerDied)
		close(end)
		WantError(t, "Recover of the dead", Await(t, done, "Recover"), psync.ErrClosed)
	})
	t.Run("ignore_deaths", func(t *testing.T) {
		seg, party, l, _ := open(t, &psync.Options{IgnoreDeaths: true})
		waiter := Async(func() error { return l.Acquire(context.Background()) })
		AwaitAsleep(t, os.Getpid(), 1)
		die(t, seg, party)
		WantNil(t, "Acquire", Await(t, waiter, "waiter of a dead owner"))
		WantNil(t, "Release", l.Release())

		party = Must(object.Attach(seg))(t)
		far := Must(psync.OpenLock(party, "l"))(t) // the option belongs to the lock, not to the handle
		WantNil(t, "TryAcquire", far.TryAcquire())
		die(t, seg, party)
		WantNil(t, "TryAcquire", l.TryAcquire())
		WantNil(t, "Release", l.Release())
	})
}

// The children's tasks. Cell 0 counts the children that are ready. Cell 1 is set when they may go
// on.

var countTask = task("count", func(ctx context.Context, j job) error {
	j.Cells.Add(0)
	errs := make(chan error)
	for range 2 {
		go func() { errs <- count(ctx, j.Lock, j.Cells.Plain(2), j.N) }()
	}
	return errors.Join(<-errs, <-errs)
})

// holdTask acquires the lock, and releases it when cell 1 is set.
var holdTask = task("hold", func(ctx context.Context, j job) error {
	if err := j.Lock.Acquire(ctx); err != nil {
		return err
	}
	j.Cells.Add(0)
	if err := j.Cells.Until(ctx, 1, 1); err != nil {
		return err
	}
	return j.Lock.Release()
})

// strangerTask checks the methods of a lock that its parent holds.
var strangerTask = task("stranger", func(ctx context.Context, j job) error {
	if err := j.Lock.Release(); !errors.Is(err, psync.ErrNotHeld) {
		return fmt.Errorf("Release: %v, want ErrNotHeld", err)
	}
	if err := j.Lock.TryAcquire(); !errors.Is(err, psync.ErrHeld) {
		return fmt.Errorf("TryAcquire: %v, want ErrHeld", err)
	}
	if err := j.Lock.Acquire(Expired); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("Acquire: %v, want the context's error", err)
	}
	return nil
})

// repairTask stays in a repair until it is killed.
var repairTask = task("repair", func(ctx context.Context, j job) error {
	return j.Lock.Recover(ctx, func() error {
		j.Cells.Add(0)
		return j.Cells.Until(ctx, 1, 1)
	})
})

func TestLockProcesses(t *testing.T) {
	t.Run("L15_hammer", func(t *testing.T) {
		const children, each = 2, 2500
		seg := Anonymous(t, room)
		l, c := newLock(t, seg), NewCells(t, seg, 3)
		var procs []*proc.Call[int]
		for range children {
			procs = append(procs, Start(t, countTask, job{N: each, Lock: l, Cells: c}))
		}
		c.Await(t, 0, children)
		ctx := Within(t)
		All(t, "users of the lock", 3, func(int) error { return count(ctx, l, c.Plain(2), each) })
		for _, p := range procs {
			Result(t, p)
		}
		if n, want := *c.Plain(2), uint64((2*children+3)*each); n != want {
			t.Errorf("counted %d, want %d", n, want)
		}
		WantNil(t, "TryAcquire", l.TryAcquire())
		WantNil(t, "Release", l.Release())
	})
	t.Run("L02_stranger", func(t *testing.T) {
		seg := Anonymous(t, room)
		l := newLock(t, seg)
		WantNil(t, "Acquire", l.Acquire(t.Context()))
		Result(t, Start(t, strangerTask, job{Lock: l}))
		WantNil(t, "Release", l.Release())
	})
	t.Run("L15_handed_over", func(t *testing.T) {
		seg := Anonymous(t, room)
		l, c := newLock(t, seg), NewCells(t, seg, 3)
		p := Start(t, holdTask, job{Lock: l, Cells: c})
		c.Await(t, 0, 1)
		WantError(t, "TryAcquire", l.TryAcquire(), psync.ErrHeld)
		WantError(t, "Release", l.Release(), psync.ErrNotHeld)
		waiter := Async(func() error { return l.Acquire(context.Background()) })
		AwaitAsleep(t, os.Getpid(), 1)
		c.Add(1)
		WantNil(t, "Acquire", Await(t, waiter, "waiter"))
		Result(t, p)
		WantNil(t, "Release", l.Release())
	})
	t.Run("L08_killed", testOwnerKilled)
	t.Run("L08_exits", func(t *testing.T) {
		// An owner that exits while it holds the lock counts as dead, too.
		seg := Anonymous(t, room)
		l, c := newLock(t, seg), NewCells(t, seg, 3)
		p := Start(t, keepTask, job{Lock: l, Cells: c})
		Result(t, p)
		WantError(t, "Acquire", l.Acquire(Within(t)), psync.ErrOwnerDied)
		WantNil(t, "Recover", l.Recover(Within(t), func() error { return nil }))
	})
	t.Run("L08_killed_in_repair", func(t *testing.T) {
		seg := Anonymous(t, room)
		l, owner, repairer := newLock(t, seg), NewCells(t, seg, 3), NewCells(t, seg, 3)
		p := Start(t, holdTask, job{Lock: l, Cells: owner})
		owner.Await(t, 0, 1)
		Kill(t, p)
		WantError(t, "Acquire", l.Acquire(Within(t)), psync.ErrOwnerDied)
		p = Start(t, repairTask, job{Lock: l, Cells: repairer})
		repairer.Await(t, 0, 1)
		WantError(t, "TryAcquire", l.TryAcquire(), psync.ErrHeld)
		waiter := Async(func() error { return l.Acquire(context.Background()) })
		AwaitAsleep(t, os.Getpid(), 1)
		Kill(t, p)
		WantError(t, "Acquire", Await(t, waiter, "waiter of a dead repairer"), psync.ErrOwnerDied)
		called := false
		WantNil(t, "Recover", l.Recover(Within(t), func() error { called = true; return nil }))
		if !called {
			t.Error("repair was not called")
		}
		WantNil(t, "TryAcquire", l.TryAcquire())
		WantNil(t, "Release", l.Release())
	})
	t.Run("ignore_deaths", func(t *testing.T) {
		seg := Anonymous(t, room)
		l := Closing(t, Must(psync.NewLock(seg, "", &psync.Options{IgnoreDeaths: true}))(t))
		for range 5 {
			c := NewCells(t, seg, 3)
			p := Start(t, holdTask, job{Lock: l, Cells: c})
			c.Await(t, 0, 1)
			waiter := Async(func() error { return l.Acquire(context.Background()) })
			AwaitAsleep(t, os.Getpid(), 1)
			WantNil(t, "Kill", p.Kill())
			WantNil(t, "Acquire", Await(t, waiter, "waiter of a dead owner"))
			WantNil(t, "Release", l.Release())
		}
	})
}

var keepTask = task("keep", func(ctx context.Context, j job) error { return j.Lock.Acquire(ctx) })

// Waiters in several processes notice that the owner was killed.
func testOwnerKilled(t *testing.T) {
	var worst time.Duration
	for range 10 {
		seg := Anonymous(t, room)
		l, c := newLock(t, seg), NewCells(t, seg, 3)
		p := Start(t, holdTask, job{Lock: l, Cells: c})
		c.Await(t, 0, 1)
		waiter := Start(t, orphanTask, job{Lock: l, Cells: c})
		here := Async(func() error { return l.Acquire(context.Background()) })
		AwaitAsleep(t, os.Getpid(), 1)
		AwaitAsleep(t, waiter.PID(), 1)
		begin := time.Now()
		WantNil(t, "Kill", p.Kill())
		WantError(t, "Acquire", Await(t, here, "waiter of a dead owner"), psync.ErrOwnerDied)
		worst = max(worst, time.Since(begin))
		Result(t, waiter)
		WantNil(t, "Recover", l.Recover(Within(t), func() error { return nil }))
		WantNil(t, "Close", seg.Close())
	}
	t.Logf("SIGKILL to ErrOwnerDied: worst %v", worst)
	if worst > prompt {
		t.Errorf("a waiter learned of a death after %v", worst)
	}
}

var orphanTask = task("orphan", func(ctx context.Context, j job) error {
	if err := j.Lock.Acquire(ctx); !errors.Is(err, psync.ErrOwnerDied) {
		return fmt.Errorf("Acquire: %v, want ErrOwnerDied", err)
	}
	return nil
})

// Every call ends, whatever the lock's memory contains.
func TestLockHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		l := Closing(t, Must(psync.NewLock(seg, "l", nil))(t))
		const lockPrint = 1
		o := Must(object.Open(seg, shm.KindLock, "l", lockPrint))(t)
		owner := view.At[atomic.Uint32](o.Bytes(), 0)
		words := []*atomic.Uint32{owner, view.At[atomic.Uint32](o.Bytes(), 4), view.At[atomic.Uint32](o.Bytes(), 8)}
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		ctx := Within(t)
		done := Async(func() error {
			for range 3000 {
				word := words[r.IntN(len(words))]
				switch r.IntN(4) {
				case 0:
					word.Store(r.Uint32())
				case 1:
					word.Store(word.Load() ^ 1<<r.IntN(32))
				case 2:
					word.Store(1) // a gate with waiters, and no owner
				case 3:
					word.Store(0)
				}
				for _, f := range []func() error{
					l.TryAcquire,
					l.Release,
					func() error {
						short, cancel := context.WithTimeout(ctx, 100*time.Microsecond)
						defer cancel()
						if r.IntN(2) == 0 {
							return l.Acquire(short)
						}
						return l.Recover(short, func() error { return nil })
					},
				} {
					err := f()
					known := err == nil
					for _, e := range []error{psync.ErrHeld, psync.ErrNotHeld, psync.ErrOwnerDied, context.DeadlineExceeded} {
						known = known || errors.Is(err, e)
					}
					if !known {
						return err
					}
				}
			}
			return nil
		})
		WantNil(t, "operations", Await(t, done, fmt.Sprintf("operation on nonsense, seed %d", seed)))
		// Recover makes the lock usable again, whatever its memory contains.
		owner.Store(1<<31 - 1)
		WantNil(t, "Recover", l.Recover(ctx, func() error { return nil }))
		WantNil(t, "TryAcquire", l.TryAcquire())
		WantNil(t, "Release", l.Release())
		runtime.KeepAlive(o)
	})
}

func BenchmarkLockUncontended(b *testing.B) {
	seg := Anonymous(b, 1<<16)
	l := newLock(b, seg)
	ctx := context.Background()
	for b.Loop() {
		if err := l.Acquire(ctx); err != nil {
			b.Fatal(err)
		}
		if err := l.Release(); err != nil {
			b.Fatal(err)
		}
	}
}
