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

func TestRLock(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"L06_nested", testRLockNested},
		{"L07_other_holders", testRLockOtherHolders},
		{"expired_context", testRLockExpired},
		{"two_handles", testRLockTwoHandles},
		{"many_locks", testRLockMany},
		{"closed", testRLockClosed},
		{"closed_while_waiting", testRLockClosedWhileWaiting},
		{"locker", testRLockLocker},
		{"dead_party", testRLockDeadParty},
		{"ignore_deaths", testRLockIgnoreDeaths},
		{"hammer", testRLockHammer},
		{"handle", testRLockHandle},
		{"hostile_bytes", testRLockHostile},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

func newRLock(t testing.TB, seg *shm.Segment) *psync.RLock {
	t.Helper()
	return Closing(t, Must(psync.NewRLock(seg, "", nil))(t))
}

func testRLockNested(t *testing.T, seg *shm.Segment) {
	l := newRLock(t, seg)
	var h, other psync.Holder
	WantError(t, "Release of a free lock", l.Release(&h), psync.ErrNotHeld)
	for range 3 {
		WantNil(t, "Acquire", l.Acquire(t.Context(), &h))
		WantNil(t, "TryAcquire", l.TryAcquire(&h))
		WantNil(t, "Recover of one's own", l.Recover(t.Context(), &h, nil))
		WantNil(t, "Acquire, expired", l.Acquire(Expired, &h))
		for range 3 {
			WantError(t, "TryAcquire by another", l.TryAcquire(&other), psync.ErrHeld)
			WantNil(t, "Release", l.Release(&h))
		}
		WantError(t, "fourth Release", l.Release(&h), psync.ErrNotHeld)
		WantNil(t, "TryAcquire by another", l.TryAcquire(&other))
		WantNil(t, "Release by another", l.Release(&other))
	}
}

// Another Holder does not own the lock, be it of this process or of another party. A Holder may be
// passed from goroutine to goroutine.
func testRLockOtherHolders(t *testing.T, seg *shm.Segment) {
	l := Must(psync.NewRLock(seg, "l", nil))(t)
	party := Attach(t, seg)
	far := Must(psync.OpenRLock(party, "l"))(t)
	var h, other psync.Holder
	WantNil(t, "Acquire", l.Acquire(t.Context(), &h))
	WantError(t, "Release by another holder", l.Release(&other), psync.ErrNotHeld)
	WantError(t, "TryAcquire by another holder", l.TryAcquire(&other), psync.ErrHeld)
	WantError(t, "Acquire by another holder", l.Acquire(Expired, &other), context.Canceled)
	WantError(t, "Recover by another holder", l.Recover(Expired, &other, nil), context.Canceled)
	WantError(t, "Release by another party", far.Release(&h), psync.ErrNotHeld)
	WantError(t, "TryAcquire by another party", far.TryAcquire(&h), psync.ErrHeld)
	WantNil(t, "Release by another goroutine", Await(t, Async(func() error { return l.Release(&h) }), "Release"))
	WantNil(t, "TryAcquire by another party", far.TryAcquire(&other))
	WantError(t, "Release by the previous holder", l.Release(&h), psync.ErrNotHeld)
	WantNil(t, "Release", far.Release(&other))
}

func testRLockExpired(t *testing.T, seg *shm.Segment) {
	l := newRLock(t, seg)
	var h, other psync.Holder
	WantNil(t, "Acquire of a free lock", l.Acquire(Expired, &h))
	ctx, cancel := context.WithCancel(t.Context())
	done := Async(func() error { return l.Acquire(ctx, &other) })
	AwaitAsleep(t, os.Getpid(), 1)
	cancel()
	WantError(t, "Acquire", Await(t, done, "cancelled Acquire"), context.Canceled)
	WantNil(t, "Release", l.Release(&h))
	WantError(t, "Release by a Holder that gave up", l.Release(&other), psync.ErrNotHeld)
}

func testRLockTwoHandles(t *testing.T, seg *shm.Segment) {
	a := Closing(t, Must(psync.NewRLock(seg, "l", nil))(t))
	b := Closing(t, Must(psync.OpenRLock(seg, "l"))(t))
	var h, other psync.Holder
	WantNil(t, "Acquire", a.Acquire(t.Context(), &h))
	WantNil(t, "Acquire of the same", b.Acquire(t.Context(), &h))
	WantNil(t, "Release", a.Release(&h))
	WantError(t, "TryAcquire by another", a.TryAcquire(&other), psync.ErrHeld)
	WantNil(t, "Release of the same", b.Release(&h))
	WantNil(t, "TryAcquire by another", a.TryAcquire(&other))
	WantError(t, "Release", b.Release(&h), psync.ErrNotHeld)
	WantNil(t, "Release by another", b.Release(&other))
}

// One Holder holds many locks, released in any order.
func testRLockMany(t *testing.T, seg *shm.Segment) {
	const n = 20
	var locks [n]*psync.RLock
	for i := range locks {
		locks[i] = newRLock(t, seg)
	}
	var h, other psync.Holder
	var depth [n]int
	r := rand.New(rand.NewPCG(1, 1))
	for range 5000 {
		i := r.IntN(n)
		if r.IntN(2) == 0 {
			WantNil(t, "Acquire", locks[i].Acquire(t.Context(), &h))
			depth[i]++
		} else if err := locks[i].Release(&h); depth[i] > 0 {
			WantNil(t, "Release", err)
			depth[i]--
		} else {
			WantError(t, "Release", err, psync.ErrNotHeld)
		}
		if err := locks[i].TryAcquire(&other); depth[i] > 0 {
			WantError(t, "TryAcquire by another", err, psync.ErrHeld)
		} else {
			WantNil(t, "TryAcquire by another", err)
			WantNil(t, "Release by another", locks[i].Release(&other))
		}
	}
}

func rlockAllFail(t *testing.T, l *psync.RLock, h *psync.Holder) {
	t.Helper()
	WantError(t, "TryAcquire", l.TryAcquire(h), psync.ErrClosed)
	WantError(t, "Acquire", l.Acquire(t.Context(), h), psync.ErrClosed)
	WantError(t, "Acquire, expired", l.Acquire(Expired, h), psync.ErrClosed)
	WantError(t, "Recover", l.Recover(t.Context(), h, nil), psync.ErrClosed)
	WantError(t, "Release", l.Release(h), psync.ErrClosed)
}

func testRLockClosed(t *testing.T, seg *shm.Segment) {
	a := Must(psync.NewRLock(seg, "l", nil))(t)
	b := Closing(t, Must(psync.OpenRLock(seg, "l"))(t))
	var h, fresh psync.Holder
	WantNil(t, "Acquire", a.Acquire(t.Context(), &h))
	for range 2 {
		WantNil(t, "Close", a.Close())
	}
	rlockAllFail(t, a, &h)
	rlockAllFail(t, a, &fresh)
	rlockAllFail(t, new(psync.RLock), &fresh)
	WantNil(t, "Release by the other handle", b.Release(&h))

	// A party that closes its segment counts as dead, and loses the locks that it held.
	party := Must(object.Attach(seg))(t)
	far := Must(psync.OpenRLock(party, "l"))(t)
	for range 2 {
		WantNil(t, "Acquire", far.Acquire(t.Context(), &h))
	}
	WantNil(t, "Close", party.Close())
	rlockAllFail(t, far, &h)
	rlockAllFail(t, far, &fresh)
	WantError(t, "TryAcquire", b.TryAcquire(&fresh), psync.ErrOwnerDied)
	WantError(t, "TryAcquire by the same holder", b.TryAcquire(&h), psync.ErrOwnerDied)
	WantNil(t, "Recover", b.Recover(t.Context(), &h, func() error { return nil }))
	WantNil(t, "TryAcquire", b.TryAcquire(&fresh))
	WantNil(t, "Release", b.Release(&fresh))
}

func testRLockClosedWhileWaiting(t *testing.T, seg *shm.Segment) {
	for _, what := range []string{"lock", "segment"} {
		l := Must(psync.NewRLock(seg, what, nil))(t)
		end := l.Close
		if what == "segment" {
			end = seg.Close
		}
		var h psync.Holder
		WantNil(t, "Acquire", l.Acquire(t.Context(), &h))
		errs := make(chan error, 2)
		for range 2 {
			go func() { errs <- l.Acquire(context.Background(), new(psync.Holder)) }()
		}
		AwaitAsleep(t, os.Getpid(), 2)
		WantNil(t, "Close", end())
		for range 2 {
			WantError(t, "waiter", Await(t, errs, "waiter of a closed "+what), psync.ErrClosed)
		}
	}
}

func testRLockLocker(t *testing.T, seg *shm.Segment) {
	l := newRLock(t, seg)
	var h psync.Holder
	locker := l.Locker(&h)
	locker.Lock()
	locker.Lock()
	WantError(t, "TryAcquire by another", l.TryAcquire(new(psync.Holder)), psync.ErrHeld)
	locker.Unlock()
	WantNil(t, "Release", l.Release(&h))
	if v := PanicOf(locker.Unlock); !isError(v, psync.ErrNotHeld) {
		t.Errorf("Unlock of a free lock: panic %v", v)
	}
	WantNil(t, "Close", l.Close())
	if v := PanicOf(locker.Lock); !isError(v, psync.ErrClosed) {
		t.Errorf("Lock of a closed lock: panic %v", v)
	}
}

func testRLockDeadParty(t *testing.T, seg *shm.Segment) {
	l := Closing(t, Must(psync.NewRLock(seg, "l", nil))(t))
	party := Must(object.Attach(seg))(t)
	far := Must(psync.OpenRLock(party, "l"))(t)
	var h, farH psync.Holder
	for range 3 {
		WantNil(t, "Acquire", far.Acquire(t.Context(), &farH))
	}
	waiter := Async(func() error { return l.Acquire(context.Background(), &h) })
	AwaitAsleep(t, os.Getpid(), 1)
	Dies(t, seg, party)
	WantError(t, "Acquire", Await(t, waiter, "waiter of a dead owner"), psync.ErrOwnerDied)
	for range 2 {
		WantError(t, "TryAcquire", l.TryAcquire(&h), psync.ErrOwnerDied)
		WantError(t, "Release", l.Release(&h), psync.ErrNotHeld)
		broken := errors.New("beyond repair")
		if err := l.Recover(t.Context(), &h, func() error { return broken }); err != broken {
			t.Errorf("Recover: %v, want the repair's error", err)
		}
		if v := PanicOf(func() { l.Recover(t.Context(), &h, func() error { panic("oh") }) }); v != "oh" {
			t.Errorf("panic of repair: %v", v)
		}
	}
	var other psync.Holder
	WantNil(t, "Recover", l.Recover(t.Context(), &h, func() error {
		WantError(t, "TryAcquire by another while it is repaired", l.TryAcquire(&other), psync.ErrHeld)
		WantNil(t, "Acquire in the repair", l.Acquire(t.Context(), &h))
		return l.Release(&h)
	}))
	WantError(t, "Release after Recover", l.Release(&h), psync.ErrNotHeld)
	// The former depth is forgotten.
	WantNil(t, "TryAcquire", l.TryAcquire(&other))
	WantNil(t, "Release", l.Release(&other))
	WantNil(t, "TryAcquire", l.TryAcquire(&h))
	WantNil(t, "Release", l.Release(&h))
}

func testRLockIgnoreDeaths(t *testing.T, seg *shm.Segment) {
	l := Closing(t, Must(psync.NewRLock(seg, "l", &psync.Options{IgnoreDeaths: true}))(t))
	var h, farH psync.Holder
	for range 3 {
		party := Must(object.Attach(seg))(t)
		far := Must(psync.OpenRLock(party, "l"))(t)
		for range 2 {
			WantNil(t, "Acquire", far.Acquire(t.Context(), &farH))
		}
		waiter := Async(func() error { return l.Acquire(context.Background(), &h) })
		AwaitAsleep(t, os.Getpid(), 1)
		Dies(t, seg, party)
		WantNil(t, "Acquire", Await(t, waiter, "waiter of a dead owner"))
		WantNil(t, "Release", l.Release(&h))
		WantError(t, "Release", l.Release(&h), psync.ErrNotHeld)
	}
}

// rcount increments a counter n times under the lock. It acquires the lock several times for each.
func rcount(ctx context.Context, l *psync.RLock, counter *uint64, n int) error {
	var h psync.Holder
	for i := range n {
		depth := 1 + i%3
		for range depth {
			if err := l.Acquire(ctx, &h); err != nil {
				return fmt.Errorf("acquire %d: %w", i, err)
			}
		}
		*counter++
		for range depth {
			if err := l.Release(&h); err != nil {
				return err
			}
		}
	}
	return nil
}

func testRLockHammer(t *testing.T, seg *shm.Segment) {
	const parties, goroutines, each = 2, 3, 500
	Must(psync.NewRLock(seg, "l", nil))(t)
	c := NewCells(t, seg, 1)
	var locks [parties]*psync.RLock
	for i := range locks {
		locks[i] = Must(psync.OpenRLock(Attach(t, seg), "l"))(t)
	}
	ctx := Within(t)
	All(t, "users of the lock", parties*goroutines, func(i int) error {
		return rcount(ctx, locks[i%parties], c.Plain(0), each)
	})
	if n, want := *c.Plain(0), uint64(parties*goroutines*each); n != want {
		t.Errorf("counted %d, want %d", n, want)
	}
	runtime.KeepAlive(c)
}

func testRLockHandle(t *testing.T, seg *shm.Segment) {
	l := Closing(t, Must(psync.NewRLock(seg, "l", nil))(t))
	var same psync.RLock
	WantNil(t, "UnmarshalText", same.UnmarshalText(Must(l.MarshalText())(t)))
	var h psync.Holder
	WantNil(t, "TryAcquire", l.TryAcquire(&h))
	WantNil(t, "Release of the same", same.Release(&h))
	WantNil(t, "Close", same.Close())
	WantError(t, "name that is taken", Second(psync.NewRLock(seg, "l", nil)), fs.ErrExist)
	WantError(t, "name of nothing", Second(psync.OpenRLock(seg, "x")), fs.ErrNotExist)
	WantError(t, "a reentrant lock as a lock", Second(psync.OpenLock(seg, "l")), shm.ErrMismatch)
	Must(psync.NewLock(seg, "plain", nil))(t)
	WantError(t, "a lock as a reentrant lock", Second(psync.OpenRLock(seg, "plain")), shm.ErrMismatch)
}

// Every call ends, whatever the lock's memory contains.
func testRLockHostile(t *testing.T, seg *shm.Segment) {
	l := Closing(t, Must(psync.NewRLock(seg, "l", nil))(t))
	o := Must(object.Open(seg, shm.KindRLock, "l", 1))(t)
	word := view.At[atomic.Uint32](o.Bytes(), 0)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	known := []error{nil, psync.ErrHeld, psync.ErrNotHeld, psync.ErrOwnerDied, context.DeadlineExceeded}
	var h psync.Holder
	done := Async(func() error {
		for range 1000 {
			word.Store(r.Uint32() >> r.IntN(33))
			short, cancel := context.WithTimeout(context.Background(), 100*time.Microsecond)
			errs := []error{
				l.TryAcquire(&h), l.Acquire(short, &h), l.Release(&h),
				l.Recover(short, &h, func() error { return nil }), l.Release(&h), l.Release(&h),
			}
			cancel()
			for _, err := range errs {
				ok := false
				for _, e := range known {
					ok = ok || errors.Is(err, e)
				}
				if !ok {
					return err
				}
			}
		}
		return nil
	})
	WantNil(t, "operations", Await(t, done, fmt.Sprintf("operation on nonsense, seed %d", seed)))
	runtime.KeepAlive(o)
}

// rlockTask increments cell 2 N times. If N is 0, it checks that it does not own the lock: cell 0
// says that it has tried, cell 1 that it holds the lock.
var rlockTask = task("rlock", func(ctx context.Context, j job) error {
	if j.N > 0 {
		return rcount(ctx, j.RLock, j.Cells.Plain(2), j.N)
	}
	// The parent holds the lock.
	var h psync.Holder
	if err := j.RLock.Release(&h); !errors.Is(err, psync.ErrNotHeld) {
		return fmt.Errorf("Release: %v, want ErrNotHeld", err)
	}
	if err := j.RLock.TryAcquire(&h); !errors.Is(err, psync.ErrHeld) {
		return fmt.Errorf("TryAcquire: %v, want ErrHeld", err)
	}
	j.Cells.Add(0)
	// The child holds the lock three times, to the end.
	for range 3 {
		if err := j.RLock.Acquire(ctx, &h); err != nil {
			return err
		}
	}
	j.Cells.Add(1)
	return j.Cells.Until(ctx, 2, 1)
})

func TestRLockProcesses(t *testing.T) {
	t.Run("L15_hammer", func(t *testing.T) {
		const children, each = 2, 2000
		seg := Anonymous(t, room)
		l, c := newRLock(t, seg), NewCells(t, seg, 3)
		var procs []*proc.Call[int]
		for range children {
			procs = append(procs, Start(t, rlockTask, job{N: each, RLock: l, Cells: c}))
		}
		WantNil(t, "count", rcount(Within(t), l, c.Plain(2), each))
		for _, p := range procs {
			Result(t, p)
		}
		if n, want := *c.Plain(2), uint64((children+1)*each); n != want {
			t.Errorf("counted %d, want %d", n, want)
		}
		runtime.KeepAlive(c)
	})
	t.Run("L07_stranger_then_killed", func(t *testing.T) {
		seg := Anonymous(t, room)
		l, c := newRLock(t, seg), NewCells(t, seg, 3)
		var h psync.Holder
		WantNil(t, "Acquire", l.Acquire(Within(t), &h))
		p := Start(t, rlockTask, job{RLock: l, Cells: c})
		c.Await(t, 0, 1)
		WantNil(t, "Release", l.Release(&h))
		c.Await(t, 1, 1)
		WantError(t, "TryAcquire", l.TryAcquire(&h), psync.ErrHeld)
		waiter := Async(func() error { return l.Acquire(context.Background(), &h) })
		AwaitAsleep(t, os.Getpid(), 1)
		Kill(t, p)
		WantError(t, "Acquire", Await(t, waiter, "waiter of a dead owner"), psync.ErrOwnerDied)
		repaired := false
		WantNil(t, "Recover", l.Recover(Within(t), &h, func() error { repaired = true; return nil }))
		if !repaired {
			t.Error("repair was not called")
		}
		WantNil(t, "Acquire", l.Acquire(Within(t), &h))
		WantNil(t, "Release", l.Release(&h))
	})
}
