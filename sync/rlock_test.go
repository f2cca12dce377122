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
	return closing(t, must(psync.NewRLock(seg, "", nil))(t))
}

func testRLockNested(t *testing.T, seg *shm.Segment) {
	l := newRLock(t, seg)
	var h, other psync.Holder
	wantError(t, "Release of a free lock", l.Release(&h), psync.ErrNotHeld)
	for range 3 {
		wantNil(t, "Acquire", l.Acquire(t.Context(), &h))
		wantNil(t, "TryAcquire", l.TryAcquire(&h))
		wantNil(t, "Recover of one's own", l.Recover(t.Context(), &h, nil))
		wantNil(t, "Acquire, expired", l.Acquire(expired, &h))
		for range 3 {
			wantError(t, "TryAcquire by another", l.TryAcquire(&other), psync.ErrHeld)
			wantNil(t, "Release", l.Release(&h))
		}
		wantError(t, "fourth Release", l.Release(&h), psync.ErrNotHeld)
		wantNil(t, "TryAcquire by another", l.TryAcquire(&other))
		wantNil(t, "Release by another", l.Release(&other))
	}
}

// A holder is neither another Holder of the process nor one of another party,
// and goes from goroutine to goroutine.
func testRLockOtherHolders(t *testing.T, seg *shm.Segment) {
	l := must(psync.NewRLock(seg, "l", nil))(t)
	party := closing(t, must(seg.Attach())(t))
	far := must(psync.OpenRLock(party, "l"))(t)
	var h, other psync.Holder
	wantNil(t, "Acquire", l.Acquire(t.Context(), &h))
	wantError(t, "Release by another holder", l.Release(&other), psync.ErrNotHeld)
	wantError(t, "TryAcquire by another holder", l.TryAcquire(&other), psync.ErrHeld)
	wantError(t, "Acquire by another holder", l.Acquire(expired, &other), context.Canceled)
	wantError(t, "Recover by another holder", l.Recover(expired, &other, nil), context.Canceled)
	wantError(t, "Release by another party", far.Release(&h), psync.ErrNotHeld)
	wantError(t, "TryAcquire by another party", far.TryAcquire(&h), psync.ErrHeld)
	wantNil(t, "Release by another goroutine", await(t, async(func() error { return l.Release(&h) }), "Release"))
	wantNil(t, "TryAcquire by another party", far.TryAcquire(&other))
	wantError(t, "Release by who had it before", l.Release(&h), psync.ErrNotHeld)
	wantNil(t, "Release", far.Release(&other))
}

func testRLockExpired(t *testing.T, seg *shm.Segment) {
	l := newRLock(t, seg)
	var h, other psync.Holder
	wantNil(t, "Acquire of a free lock", l.Acquire(expired, &h))
	ctx, cancel := context.WithCancel(t.Context())
	done := async(func() error { return l.Acquire(ctx, &other) })
	awaitAsleep(t, os.Getpid(), 1)
	cancel()
	wantError(t, "Acquire", await(t, done, "cancelled Acquire"), context.Canceled)
	wantNil(t, "Release", l.Release(&h))
	wantError(t, "Release of who gave up", l.Release(&other), psync.ErrNotHeld)
}

func testRLockTwoHandles(t *testing.T, seg *shm.Segment) {
	a := closing(t, must(psync.NewRLock(seg, "l", nil))(t))
	b := closing(t, must(psync.OpenRLock(seg, "l"))(t))
	var h, other psync.Holder
	wantNil(t, "Acquire", a.Acquire(t.Context(), &h))
	wantNil(t, "Acquire of the same", b.Acquire(t.Context(), &h))
	wantNil(t, "Release", a.Release(&h))
	wantError(t, "TryAcquire by another", a.TryAcquire(&other), psync.ErrHeld)
	wantNil(t, "Release of the same", b.Release(&h))
	wantNil(t, "TryAcquire by another", a.TryAcquire(&other))
	wantError(t, "Release", b.Release(&h), psync.ErrNotHeld)
	wantNil(t, "Release by another", b.Release(&other))
}

// One Holder holds many locks, in any order.
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
			wantNil(t, "Acquire", locks[i].Acquire(t.Context(), &h))
			depth[i]++
		} else if err := locks[i].Release(&h); depth[i] > 0 {
			wantNil(t, "Release", err)
			depth[i]--
		} else {
			wantError(t, "Release", err, psync.ErrNotHeld)
		}
		if err := locks[i].TryAcquire(&other); depth[i] > 0 {
			wantError(t, "TryAcquire by another", err, psync.ErrHeld)
		} else {
			wantNil(t, "TryAcquire by another", err)
			wantNil(t, "Release by another", locks[i].Release(&other))
		}
	}
}

func rlockAllFail(t *testing.T, l *psync.RLock, h *psync.Holder) {
	t.Helper()
	wantError(t, "TryAcquire", l.TryAcquire(h), psync.ErrClosed)
	wantError(t, "Acquire", l.Acquire(t.Context(), h), psync.ErrClosed)
	wantError(t, "Acquire, expired", l.Acquire(expired, h), psync.ErrClosed)
	wantError(t, "Recover", l.Recover(t.Context(), h, nil), psync.ErrClosed)
	wantError(t, "Release", l.Release(h), psync.ErrClosed)
}

func testRLockClosed(t *testing.T, seg *shm.Segment) {
	a := must(psync.NewRLock(seg, "l", nil))(t)
	b := closing(t, must(psync.OpenRLock(seg, "l"))(t))
	var h, fresh psync.Holder
	wantNil(t, "Acquire", a.Acquire(t.Context(), &h))
	for range 2 {
		wantNil(t, "Close", a.Close())
	}
	rlockAllFail(t, a, &h)
	rlockAllFail(t, a, &fresh)
	rlockAllFail(t, new(psync.RLock), &fresh)
	wantNil(t, "Release by the other handle", b.Release(&h))

	// Who closes its segment is as dead, and loses what it held.
	party := must(seg.Attach())(t)
	far := must(psync.OpenRLock(party, "l"))(t)
	for range 2 {
		wantNil(t, "Acquire", far.Acquire(t.Context(), &h))
	}
	wantNil(t, "Close", party.Close())
	rlockAllFail(t, far, &h)
	rlockAllFail(t, far, &fresh)
	wantError(t, "TryAcquire", b.TryAcquire(&fresh), psync.ErrOwnerDied)
	wantError(t, "TryAcquire by the same holder", b.TryAcquire(&h), psync.ErrOwnerDied)
	wantNil(t, "Recover", b.Recover(t.Context(), &h, func() error { return nil }))
	wantNil(t, "TryAcquire", b.TryAcquire(&fresh))
	wantNil(t, "Release", b.Release(&fresh))
}

func testRLockClosedWhileWaiting(t *testing.T, seg *shm.Segment) {
	for _, what := range []string{"lock", "segment"} {
		l := must(psync.NewRLock(seg, what, nil))(t)
		end := l.Close
		if what == "segment" {
			end = seg.Close
		}
		var h psync.Holder
		wantNil(t, "Acquire", l.Acquire(t.Context(), &h))
		errs := make(chan error, 2)
		for range 2 {
			go func() { errs <- l.Acquire(context.Background(), new(psync.Holder)) }()
		}
		awaitAsleep(t, os.Getpid(), 2)
		wantNil(t, "Close", end())
		for range 2 {
			wantError(t, "waiter", await(t, errs, "waiter of a closed "+what), psync.ErrClosed)
		}
	}
}

func testRLockLocker(t *testing.T, seg *shm.Segment) {
	l := newRLock(t, seg)
	var h psync.Holder
	locker := l.Locker(&h)
	locker.Lock()
	locker.Lock()
	wantError(t, "TryAcquire by another", l.TryAcquire(new(psync.Holder)), psync.ErrHeld)
	locker.Unlock()
	wantNil(t, "Release", l.Release(&h))
	if v := panicOf(locker.Unlock); v != "psync: Unlock: lock is not held" {
		t.Errorf("Unlock of a free lock: panic %v", v)
	}
	wantNil(t, "Close", l.Close())
	if v := panicOf(locker.Lock); v != "psync: Lock: "+psync.ErrClosed.Error() {
		t.Errorf("Lock of a closed lock: panic %v", v)
	}
}

// partyDies ends a party as SIGKILL would.
func partyDies(t *testing.T, seg, party *shm.Segment) {
	t.Helper()
	wantNil(t, "Announce", seg.Announce(must(party.Drop())(t)))
}

func testRLockDeadParty(t *testing.T, seg *shm.Segment) {
	l := closing(t, must(psync.NewRLock(seg, "l", nil))(t))
	party := must(seg.Attach())(t)
	far := must(psync.OpenRLock(party, "l"))(t)
	var h, farH psync.Holder
	for range 3 {
		wantNil(t, "Acquire", far.Acquire(t.Context(), &farH))
	}
	waiter := async(func() error { return l.Acquire(context.Background(), &h) })
	awaitAsleep(t, os.Getpid(), 1)
	partyDies(t, seg, party)
	wantError(t, "Acquire", await(t, waiter, "waiter of a dead owner"), psync.ErrOwnerDied)
	for range 2 {
		wantError(t, "TryAcquire", l.TryAcquire(&h), psync.ErrOwnerDied)
		wantError(t, "Release", l.Release(&h), psync.ErrNotHeld)
		broken := errors.New("beyond repair")
		if err := l.Recover(t.Context(), &h, func() error { return broken }); err != broken {
			t.Errorf("Recover: %v, want the repair's error", err)
		}
		if v := panicOf(func() { l.Recover(t.Context(), &h, func() error { panic("oh") }) }); v != "oh" {
			t.Errorf("panic of repair: %v", v)
		}
	}
	var other psync.Holder
	wantNil(t, "Recover", l.Recover(t.Context(), &h, func() error {
		wantError(t, "TryAcquire by another while it is repaired", l.TryAcquire(&other), psync.ErrHeld)
		wantNil(t, "Acquire in the repair", l.Acquire(t.Context(), &h))
		return l.Release(&h)
	}))
	wantError(t, "Release after Recover", l.Release(&h), psync.ErrNotHeld)
	// The former depth is forgotten.
	wantNil(t, "TryAcquire", l.TryAcquire(&other))
	wantNil(t, "Release", l.Release(&other))
	wantNil(t, "TryAcquire", l.TryAcquire(&h))
	wantNil(t, "Release", l.Release(&h))
}

func testRLockIgnoreDeaths(t *testing.T, seg *shm.Segment) {
	l := closing(t, must(psync.NewRLock(seg, "l", &psync.Options{IgnoreDeaths: true}))(t))
	var h, farH psync.Holder
	for range 3 {
		party := must(seg.Attach())(t)
		far := must(psync.OpenRLock(party, "l"))(t)
		for range 2 {
			wantNil(t, "Acquire", far.Acquire(t.Context(), &farH))
		}
		waiter := async(func() error { return l.Acquire(context.Background(), &h) })
		awaitAsleep(t, os.Getpid(), 1)
		partyDies(t, seg, party)
		wantNil(t, "Acquire", await(t, waiter, "waiter of a dead owner"))
		wantNil(t, "Release", l.Release(&h))
		wantError(t, "Release", l.Release(&h), psync.ErrNotHeld)
	}
}

// rcount increments a counter n times under the lock, acquired some times.
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
	must(psync.NewRLock(seg, "l", nil))(t)
	c := newCells(t, seg, 1)
	var locks [parties]*psync.RLock
	for i := range locks {
		locks[i] = must(psync.OpenRLock(closing(t, must(seg.Attach())(t)), "l"))(t)
	}
	ctx := within(t)
	all(t, "users of the lock", parties*goroutines, func(i int) error {
		return rcount(ctx, locks[i%parties], c.plain(0), each)
	})
	if n, want := *c.plain(0), uint64(parties*goroutines*each); n != want {
		t.Errorf("counted %d, want %d", n, want)
	}
	runtime.KeepAlive(c)
}

func testRLockHandle(t *testing.T, seg *shm.Segment) {
	l := closing(t, must(psync.NewRLock(seg, "l", nil))(t))
	var same psync.RLock
	wantNil(t, "UnmarshalText", same.UnmarshalText(must(l.MarshalText())(t)))
	var h psync.Holder
	wantNil(t, "TryAcquire", l.TryAcquire(&h))
	wantNil(t, "Release of the same", same.Release(&h))
	wantNil(t, "Close", same.Close())
	wantError(t, "name that is taken", second(psync.NewRLock(seg, "l", nil)), fs.ErrExist)
	wantError(t, "name of nothing", second(psync.OpenRLock(seg, "x")), fs.ErrNotExist)
	wantError(t, "a reentrant lock as a lock", second(psync.OpenLock(seg, "l")), shm.ErrMismatch)
	must(psync.NewLock(seg, "plain", nil))(t)
	wantError(t, "a lock as a reentrant lock", second(psync.OpenRLock(seg, "plain")), shm.ErrMismatch)
}

// Whatever stands in the lock's memory, each call ends.
func testRLockHostile(t *testing.T, seg *shm.Segment) {
	l := closing(t, must(psync.NewRLock(seg, "l", nil))(t))
	o := must(seg.OpenObject(shm.KindRLock, "l", 1))(t)
	word := view.At[atomic.Uint32](o.Bytes(), 0)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	known := []error{nil, psync.ErrHeld, psync.ErrNotHeld, psync.ErrOwnerDied, context.DeadlineExceeded}
	var h psync.Holder
	done := async(func() error {
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
	wantNil(t, "operations", await(t, done, fmt.Sprintf("operation on nonsense, seed %d", seed)))
	runtime.KeepAlive(o)
}

// An rlockJob is what a child is given. Cells as in job.
type rlockJob struct {
	N     int
	Lock  *psync.RLock
	Cells *cells
}

var rlockTask = proc.Register("rlock", func(ctx context.Context, j rlockJob) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if j.N > 0 {
		return 0, rcount(ctx, j.Lock, j.Cells.plain(2), j.N)
	}
	// Its parent holds the lock.
	var h psync.Holder
	if err := j.Lock.Release(&h); err != psync.ErrNotHeld {
		return 0, fmt.Errorf("Release: %v, want ErrNotHeld", err)
	}
	if err := j.Lock.TryAcquire(&h); err != psync.ErrHeld {
		return 0, fmt.Errorf("TryAcquire: %v, want ErrHeld", err)
	}
	j.Cells.add(0)
	// Holds it three times, to the end.
	for range 3 {
		if err := j.Lock.Acquire(ctx, &h); err != nil {
			return 0, err
		}
	}
	j.Cells.add(1)
	return 0, j.Cells.until(ctx, 2, 1)
})

func startRLock(t testing.TB, j rlockJob) *proc.Call[int] {
	t.Helper()
	p, err := rlockTask.New(j, nil)
	if err == nil {
		err = p.Start(within(t))
	}
	wantNil(t, "start", err)
	t.Cleanup(func() { kill(t, p) })
	return p
}

func TestRLockProcesses(t *testing.T) {
	t.Run("L15_hammer", func(t *testing.T) {
		const children, each = 2, 2000
		seg := anonymous(t)
		l, c := newRLock(t, seg), newCells(t, seg, 3)
		var procs []*proc.Call[int]
		for range children {
			procs = append(procs, startRLock(t, rlockJob{each, l, c}))
		}
		wantNil(t, "count", rcount(within(t), l, c.plain(2), each))
		for _, p := range procs {
			joined(t, p)
		}
		if n, want := *c.plain(2), uint64((children+1)*each); n != want {
			t.Errorf("counted %d, want %d", n, want)
		}
		runtime.KeepAlive(c)
	})
	t.Run("L07_stranger_then_killed", func(t *testing.T) {
		seg := anonymous(t)
		l, c := newRLock(t, seg), newCells(t, seg, 3)
		var h psync.Holder
		wantNil(t, "Acquire", l.Acquire(within(t), &h))
		p := startRLock(t, rlockJob{0, l, c})
		c.await(t, 0, 1)
		wantNil(t, "Release", l.Release(&h))
		c.await(t, 1, 1)
		wantError(t, "TryAcquire", l.TryAcquire(&h), psync.ErrHeld)
		waiter := async(func() error { return l.Acquire(context.Background(), &h) })
		awaitAsleep(t, os.Getpid(), 1)
		kill(t, p)
		wantError(t, "Acquire", await(t, waiter, "waiter of a dead owner"), psync.ErrOwnerDied)
		repaired := false
		wantNil(t, "Recover", l.Recover(within(t), &h, func() error { repaired = true; return nil }))
		if !repaired {
			t.Error("repair was not called")
		}
		wantNil(t, "Acquire", l.Acquire(within(t), &h))
		wantNil(t, "Release", l.Release(&h))
	})
}
