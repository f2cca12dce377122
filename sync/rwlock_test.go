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
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// newRWLocks makes a lock and opens it in n other parties.
func newRWLocks(t testing.TB, seg *shm.Segment, n int, o *psync.Options) []*psync.RWLock {
	t.Helper()
	Closing(t, Must(psync.NewRWLock(seg, "rw", o))(t))
	var list []*psync.RWLock
	for range n {
		list = append(list, Closing(t, Must(psync.OpenRWLock(Attach(t, seg), "rw"))(t)))
	}
	return list
}

func reads(ctx context.Context, l *psync.RWLock) <-chan error {
	return Async(func() error { return l.RAcquire(ctx) })
}

func writes(ctx context.Context, l *psync.RWLock) <-chan error {
	return Async(func() error { return l.Acquire(ctx) })
}

// awaitWriter waits until a writer waits for the caller, which is a reader.
func awaitWriter(t testing.TB, l *psync.RWLock) {
	t.Helper()
	Eventually(t, "a writer that waits", func() bool {
		err := l.TryRAcquire()
		if err == nil {
			err = l.RRelease()
		}
		return errors.Is(err, psync.ErrHeld)
	})
}

// wantFree checks that all can use the lock.
func wantFree(t testing.TB, list ...*psync.RWLock) {
	t.Helper()
	for _, l := range list {
		WantNil(t, "TryAcquire at the end", l.TryAcquire())
		WantNil(t, "Release", l.Release())
		WantNil(t, "TryRAcquire at the end", l.TryRAcquire())
		WantNil(t, "RRelease", l.RRelease())
		WantError(t, "RRelease of a free lock", l.RRelease(), psync.ErrNotHeld)
		WantError(t, "Release of a free lock", l.Release(), psync.ErrNotHeld)
	}
}

func TestRWLock(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"who_excludes_whom", testRWExcludes},
		{"misuse", testRWMisuse},
		{"expired_context", testRWExpired},
		{"readers_wait_behind_a_waiting_writer", testRWWriterFirst},
		{"readers_before_the_next_writer", testRWReadersBetween},
		{"cancelled", testRWCancelled},
		{"writer_gives_up_often", testRWGivesUp},
		{"in_although_the_next_stalls", testRWInBeforeStall},
		{"stalled", testRWStalled},
		{"readers_in_a_chain", testRWChain},
		{"too_many", testRWTooMany},
		{"closed", testRWClosed},
		{"close_while_waiting", testRWCloseWaiting},
		{"locker", testRWLocker},
		{"recover_of_the_living", testRWRecoverLiving},
		{"hammer", testRWHammer},
		{"handle", testRWHandle},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

func testRWExcludes(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 2, nil)
	a, b := list[0], list[1]
	for range 3 {
		for _, other := range list { // of the same party, and of another one
			WantNil(t, "TryRAcquire", a.TryRAcquire())
			WantNil(t, "TryRAcquire beside a reader", other.TryRAcquire())
			WantNil(t, "RAcquire beside a reader", other.RAcquire(t.Context()))
			WantError(t, "TryAcquire beside readers", other.TryAcquire(), psync.ErrHeld)
			WantError(t, "TryAcquire beside readers", a.TryAcquire(), psync.ErrHeld)
			WantNil(t, "TryRAcquire after a try to write", b.TryRAcquire())
			WantNil(t, "RRelease", b.RRelease())
			WantNil(t, "RRelease", a.RRelease())
			WantNil(t, "RRelease", other.RRelease())
			WantError(t, "TryAcquire beside a reader", b.TryAcquire(), psync.ErrHeld)
			WantNil(t, "RRelease", other.RRelease())
			WantNil(t, "TryAcquire", a.TryAcquire())
			WantError(t, "TryAcquire beside a writer", other.TryAcquire(), psync.ErrHeld)
			WantError(t, "TryRAcquire beside a writer", other.TryRAcquire(), psync.ErrHeld)
			WantNil(t, "Release", a.Release())
			WantNil(t, "Acquire", other.Acquire(t.Context()))
			WantNil(t, "Release", other.Release())
		}
	}
	wantFree(t, list...)
}

func testRWMisuse(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 2, nil)
	a, b := list[0], list[1]
	wantFree(t, list...)
	WantNil(t, "RAcquire", a.RAcquire(t.Context()))
	WantError(t, "RRelease by another party", b.RRelease(), psync.ErrNotHeld)
	WantError(t, "Release by a reader", a.Release(), psync.ErrNotHeld)
	// A waiting writer holds nothing yet, and neither does a waiting reader.
	writer := writes(Within(t), b)
	awaitWriter(t, a)
	WantError(t, "Release by a waiter", b.Release(), psync.ErrNotHeld)
	reader := reads(Within(t), b)
	AwaitAsleep(t, os.Getpid(), 2)
	WantError(t, "RRelease by a waiter", b.RRelease(), psync.ErrNotHeld)
	WantNil(t, "RRelease", a.RRelease())
	WantNil(t, "Acquire", Await(t, writer, "writer"))
	WantError(t, "RRelease by a writer", b.RRelease(), psync.ErrNotHeld)
	WantError(t, "Release by another party", a.Release(), psync.ErrNotHeld)
	WantNil(t, "Release", b.Release())
	WantNil(t, "RAcquire", Await(t, reader, "reader"))
	WantNil(t, "RRelease", b.RRelease())
	wantFree(t, list...)
}

func testRWExpired(t *testing.T, seg *shm.Segment) {
	l := newRWLocks(t, seg, 1, nil)[0]
	for range 5 {
		WantNil(t, "Acquire", l.Acquire(Expired))
		WantError(t, "Acquire of a held lock", l.Acquire(Expired), context.Canceled)
		WantError(t, "RAcquire of a held lock", l.RAcquire(Expired), context.Canceled)
		WantError(t, "Recover of a held lock", l.Recover(Expired, nil), context.Canceled)
		WantNil(t, "Release", l.Release())
		WantNil(t, "RAcquire", l.RAcquire(Expired))
		WantError(t, "Acquire of a held lock", l.Acquire(Expired), context.Canceled)
		WantNil(t, "RAcquire after a writer gave up", l.RAcquire(Expired))
		WantNil(t, "RRelease", l.RRelease())
		WantNil(t, "RRelease", l.RRelease())
	}
	wantFree(t, l)
}

func testRWWriterFirst(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 3, nil)
	WantNil(t, "RAcquire", list[0].RAcquire(t.Context()))
	writer := writes(Within(t), list[1])
	awaitWriter(t, list[0])
	reader, same := reads(Within(t), list[2]), reads(Within(t), list[0])
	AwaitAsleep(t, os.Getpid(), 3)
	WantError(t, "TryRAcquire", list[2].TryRAcquire(), psync.ErrHeld)
	WantNil(t, "RRelease", list[0].RRelease())
	WantNil(t, "Acquire", Await(t, writer, "writer"))
	select {
	case <-reader:
		t.Error("a reader came in beside the writer")
	case <-same:
		t.Error("a reader came in beside the writer")
	default:
	}
	WantNil(t, "Release", list[1].Release())
	WantNil(t, "RAcquire", Await(t, reader, "reader"))
	WantNil(t, "RAcquire", Await(t, same, "reader"))
	WantNil(t, "RRelease", list[2].RRelease())
	WantNil(t, "RRelease", list[0].RRelease())
	wantFree(t, list...)
}

func testRWReadersBetween(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 3, nil)
	for range 5 {
		WantNil(t, "Acquire", list[0].Acquire(t.Context()))
		writer := writes(Within(t), list[1]) // before the readers
		AwaitAsleep(t, os.Getpid(), 1)
		one, two := reads(Within(t), list[2]), reads(Within(t), list[0])
		AwaitAsleep(t, os.Getpid(), 3)
		WantNil(t, "Release", list[0].Release())
		WantNil(t, "RAcquire", Await(t, one, "reader"))
		WantNil(t, "RAcquire", Await(t, two, "reader"))
		select {
		case <-writer:
			t.Error("the writer came in beside readers")
		default:
		}
		WantNil(t, "RRelease", list[2].RRelease())
		WantNil(t, "RRelease", list[0].RRelease())
		WantNil(t, "Acquire", Await(t, writer, "writer"))
		WantNil(t, "Release", list[1].Release())
	}
	wantFree(t, list...)
}

func testRWCancelled(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 3, nil)
	ctx, cancel := context.WithCancel(t.Context())
	WantNil(t, "RAcquire", list[0].RAcquire(t.Context()))
	writer := writes(ctx, list[1])
	awaitWriter(t, list[0])
	reader := reads(Within(t), list[2])
	AwaitAsleep(t, os.Getpid(), 2)
	// The readers that wait for the writer get the lock when the writer gives up.
	cancel()
	WantError(t, "cancelled Acquire", Await(t, writer, "cancelled writer"), context.Canceled)
	WantNil(t, "RAcquire", Await(t, reader, "reader"))
	// The next writer waits for both of them.
	writer = writes(Within(t), list[1])
	AwaitAsleep(t, os.Getpid(), 1)
	WantNil(t, "RRelease", list[0].RRelease())
	awaitWriter(t, list[2])
	WantNil(t, "RRelease", list[2].RRelease())
	WantNil(t, "Acquire", Await(t, writer, "writer"))
	// A writer does not wait for a reader that gives up.
	ctx, cancel = context.WithCancel(t.Context())
	reader = reads(ctx, list[0])
	AwaitAsleep(t, os.Getpid(), 1)
	cancel()
	WantError(t, "cancelled RAcquire", Await(t, reader, "cancelled reader"), context.Canceled)
	WantError(t, "RRelease", list[0].RRelease(), psync.ErrNotHeld)
	WantNil(t, "Release", list[1].Release())
	wantFree(t, list...)
}

// Readers may release at any time while writers arrive and give up, and no count is lost.
func testRWGivesUp(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 2, nil)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var held [2]int
	for range 3000 {
		switch i := r.IntN(2); r.IntN(4) {
		case 0, 1:
			WantNil(t, "RAcquire", list[i].RAcquire(t.Context()))
			held[i]++
		case 2:
			if held[i] > 0 {
				held[i]--
				WantNil(t, "RRelease", list[i].RRelease())
			} else {
				WantError(t, "RRelease", list[i].RRelease(), psync.ErrNotHeld)
			}
		case 3:
			err := list[i].Acquire(Expired)
			if held[0]+held[1] == 0 {
				WantNil(t, "Acquire", err)
				WantNil(t, "Release", list[i].Release())
			} else {
				WantError(t, "Acquire", err, context.Canceled)
			}
		}
		if t.Failed() {
			return
		}
	}
	for i, l := range list {
		for range held[i] {
			WantError(t, "TryAcquire beside readers", l.TryAcquire(), psync.ErrHeld)
			WantNil(t, "RRelease", l.RRelease())
		}
	}
	wantFree(t, list...)
}

// Readers that have waited for a writer that gave up get the lock, although the next writer makes
// later readers wait.
func testRWInBeforeStall(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 3, nil)
	const rounds = 5
	late := 0
	for range rounds {
		WantNil(t, "RAcquire", list[0].RAcquire(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		first := writes(ctx, list[1])
		awaitWriter(t, list[0])
		reader, next := reads(Within(t), list[2]), writes(Within(t), list[2])
		AwaitAsleep(t, os.Getpid(), 3)
		cancel()
		WantError(t, "Acquire", Await(t, first, "writer that gives up"), context.Canceled)
		select {
		case err := <-reader:
			WantNil(t, "RAcquire", err)
			WantNil(t, "RRelease", list[0].RRelease())
			WantNil(t, "RRelease", list[2].RRelease())
			WantNil(t, "Acquire", Await(t, next, "next writer"))
			WantNil(t, "Release", list[2].Release())
		case <-time.After(20 * wait.Grace):
			// The machine has not run the reader for the grace, so that the next writer has not waited for it.
			late++
			WantNil(t, "RRelease", list[0].RRelease())
			WantNil(t, "Acquire", Await(t, next, "next writer"))
			WantNil(t, "Release", list[2].Release())
			WantNil(t, "RAcquire", Await(t, reader, "reader that was late"))
			WantNil(t, "RRelease", list[2].RRelease())
		}
	}
	if late == rounds {
		t.Errorf("the next writer was faster than the reader in all %d rounds", rounds)
	}
	wantFree(t, list...)
}

// Readers that arrive while a writer waits for readers from before the last writer wait for the
// waiting writer, too.
func testRWStalled(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 3, nil)
	for range 3 {
		WantNil(t, "RAcquire", list[0].RAcquire(t.Context()))
		WantError(t, "Acquire that gives up", list[1].Acquire(Expired), context.Canceled)
		for _, gives := range []bool{true, false} {
			ctx, cancel := context.WithCancel(Within(t))
			writer := writes(ctx, list[1])
			awaitWriter(t, list[2])
			reader, leaver := reads(Within(t), list[2]), reads(ctx, list[0])
			AwaitAsleep(t, os.Getpid(), 3)
			WantError(t, "TryRAcquire", list[2].TryRAcquire(), psync.ErrHeld)
			if gives {
				cancel()
				WantError(t, "Acquire", Await(t, writer, "writer that gives up"), context.Canceled)
				if err := Await(t, leaver, "reader that gives up"); err == nil {
					WantNil(t, "RRelease", list[0].RRelease())
				}
				WantNil(t, "RAcquire", Await(t, reader, "reader that was stalled"))
				WantNil(t, "RRelease", list[2].RRelease())
				continue
			}
			WantNil(t, "RRelease", list[0].RRelease())
			for got := 0; got < 3; got++ { // in any order, if the readers are slow to count themselves
				select {
				case err := <-writer:
					WantNil(t, "Acquire", err)
					WantNil(t, "Release", list[1].Release())
				case err := <-reader:
					WantNil(t, "RAcquire", err)
					WantNil(t, "RRelease", list[2].RRelease())
				case err := <-leaver:
					WantNil(t, "RAcquire", err)
					WantNil(t, "RRelease", list[0].RRelease())
				case <-time.After(Patience):
					Stuck(t, "a reader that was stalled")
				}
			}
			cancel()
		}
	}
	wantFree(t, list...)
}

// A writer does not starve although the readers of one process never leave all at once. The same
// holds after another writer has given up.
func testRWChain(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 2, nil)
	for range 5 {
		WantNil(t, "RAcquire", list[0].RAcquire(t.Context()))
		WantError(t, "Acquire that gives up", list[1].Acquire(Expired), context.Canceled)
		chain := Async(func() error {
			for {
				if err := list[0].TryRAcquire(); err != nil {
					if errors.Is(err, psync.ErrHeld) {
						err = nil
					}
					return errors.Join(err, list[0].RRelease())
				}
				if err := list[0].RRelease(); err != nil {
					return err
				}
			}
		})
		WantNil(t, "Acquire", Await(t, writes(Within(t), list[1]), "writer beside readers"))
		WantNil(t, "chain", Await(t, chain, "chain of readers"))
		WantNil(t, "Release", list[1].Release())
	}
	wantFree(t, list...)
}

func testRWTooMany(t *testing.T, seg *shm.Segment) {
	const most = 1<<16 - 1
	list := newRWLocks(t, seg, 2, nil)
	for range most {
		WantNil(t, "RAcquire", list[0].RAcquire(t.Context()))
	}
	WantError(t, "TryRAcquire", list[0].TryRAcquire(), psync.ErrOverflow)
	WantError(t, "RAcquire", list[0].RAcquire(t.Context()), psync.ErrOverflow)
	WantNil(t, "RAcquire by another party", list[1].RAcquire(t.Context()))
	WantNil(t, "RRelease by another party", list[1].RRelease())
	for range most {
		WantNil(t, "RRelease", list[0].RRelease())
	}
	wantFree(t, list...)
}

func testRWClosed(t *testing.T, seg *shm.Segment) {
	l := Must(psync.NewRWLock(seg, "rw", nil))(t)
	other := Closing(t, Must(psync.OpenRWLock(seg, "rw"))(t))
	WantNil(t, "Acquire", l.Acquire(t.Context()))
	WantNil(t, "Close", l.Close())
	var zero psync.RWLock
	for _, l := range []*psync.RWLock{l, &zero} {
		for what, f := range map[string]func() error{
			"TryRAcquire": l.TryRAcquire, "RRelease": l.RRelease, "TryAcquire": l.TryAcquire, "Release": l.Release,
			"RAcquire": func() error { return l.RAcquire(t.Context()) },
			"Acquire":  func() error { return l.Acquire(t.Context()) },
			"Recover":  func() error { return l.Recover(t.Context(), nil) },
		} {
			WantError(t, what, f(), psync.ErrClosed)
		}
		WantNil(t, "Close", l.Close())
	}
	WantError(t, "TryRAcquire", other.TryRAcquire(), psync.ErrHeld)
	WantNil(t, "Release by the same process", other.Release())

	// A party that closes its segment counts as dead.
	party := Must(object.Attach(seg))(t)
	far := Must(psync.OpenRWLock(party, "rw"))(t)
	WantNil(t, "RAcquire", far.RAcquire(t.Context()))
	WantError(t, "TryAcquire", other.TryAcquire(), psync.ErrHeld)
	WantNil(t, "Close", party.Close())
	WantNil(t, "TryAcquire", other.TryAcquire())
	WantError(t, "RRelease", far.RRelease(), psync.ErrClosed)
	WantNil(t, "Release", other.Release())
	wantFree(t, other)
	Want(t, "Handle", far.Handle(), shm.Handle{})
	// A call that uses the memory that has replaced a closed segment's does not call repair.
	party = Must(object.Attach(seg))(t)
	far = Must(psync.OpenRWLock(party, "rw"))(t)
	WantNil(t, "Close", party.Close())
	if seg.Handle().FD != 0 { // on the heap the others still use the lock
		WantError(t, "Acquire", far.Acquire(t.Context()), psync.ErrClosed)
	}
	WantError(t, "Recover", far.Recover(t.Context(), func() error {
		t.Error("a closed lock is repaired")
		return nil
	}), psync.ErrClosed)
}

func testRWCloseWaiting(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 2, nil)
	// The waiters wait for a writer, and then for a reader.
	for _, f := range []struct{ acquire, release func() error }{
		{list[0].TryAcquire, list[0].Release},
		{list[0].TryRAcquire, list[0].RRelease},
	} {
		l := Must(psync.OpenRWLock(seg, "rw"))(t)
		WantNil(t, "Try", f.acquire())
		writer := writes(context.Background(), l)
		AwaitAsleep(t, os.Getpid(), 1)
		reader := reads(context.Background(), l)
		recoverer := Async(func() error { return l.Recover(context.Background(), nil) })
		AwaitAsleep(t, os.Getpid(), 3)
		WantNil(t, "Close", l.Close())
		WantError(t, "writer", Await(t, writer, "writer at a closed lock"), psync.ErrClosed)
		WantError(t, "Recover", Await(t, recoverer, "Recover of a closed lock"), psync.ErrClosed)
		if err := Await(t, reader, "reader at a closed lock"); err == nil {
			// The writer gave up before the reader noticed that the lock was closed, so the reader
			// got the lock.
			same := Closing(t, Must(psync.OpenRWLock(seg, "rw"))(t))
			WantNil(t, "RRelease", same.RRelease())
		} else {
			WantError(t, "reader", err, psync.ErrClosed)
		}
		WantNil(t, "release", f.release())
		wantFree(t, list...)
	}
}

func testRWLocker(t *testing.T, seg *shm.Segment) {
	l := Must(psync.NewRWLock(seg, "", nil))(t)
	r := l.RLocker()
	r.Lock()
	l.RLock()
	WantError(t, "TryAcquire", l.TryAcquire(), psync.ErrHeld)
	r.Unlock()
	l.RUnlock()
	l.Lock()
	WantError(t, "TryRAcquire", l.TryRAcquire(), psync.ErrHeld)
	l.Unlock()
	for what, f := range map[string]func(){"Unlock": l.Unlock, "RUnlock": r.Unlock} {
		if v := PanicOf(f); !isError(v, psync.ErrNotHeld) {
			t.Errorf("%s of a free lock: panic %v", what, v)
		}
	}
	WantNil(t, "Close", l.Close())
	for what, f := range map[string]func(){"Lock": l.Lock, "Unlock": l.Unlock, "RLock": l.RLock, "RUnlock": l.RUnlock} {
		if v := PanicOf(f); !isError(v, psync.ErrClosed) {
			t.Errorf("%s of a closed lock: panic %v", what, v)
		}
	}
}

func testRWRecoverLiving(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 2, nil)
	repair := func() error { return errors.New("repair was called") }
	WantNil(t, "Recover of a free lock", list[0].Recover(t.Context(), repair))
	WantNil(t, "TryRAcquire", list[0].TryRAcquire())
	WantNil(t, "Recover beside a reader", list[1].Recover(t.Context(), repair))
	WantNil(t, "RRelease", list[0].RRelease())
	WantNil(t, "TryAcquire", list[0].TryAcquire())
	done := Async(func() error { return list[1].Recover(context.Background(), repair) })
	AwaitAsleep(t, os.Getpid(), 1)
	WantNil(t, "Release", list[0].Release())
	WantNil(t, "Recover", Await(t, done, "Recover"))
	wantFree(t, list...)
}

// rwHammer reads and writes two words, which are equal unless a writer writes. It gives up and
// tries again at random. Sometimes it holds the lock for longer, so that others wait.
func rwHammer(ctx context.Context, l *psync.RWLock, a, b *uint64, n int, dwell func()) error {
	for i := 0; i < n; {
		short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(400)-10)*time.Microsecond)
		write := rand.IntN(4) == 0
		var err error
		switch {
		case write && rand.IntN(4) == 0:
			err = l.TryAcquire()
		case write:
			err = l.Acquire(short)
		case rand.IntN(4) == 0:
			err = l.TryRAcquire()
		default:
			err = l.RAcquire(short)
		}
		cancel()
		if err != nil {
			if ctx.Err() != nil || !errors.Is(err, psync.ErrHeld) && !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("%d: %w", i, err)
			}
			continue
		}
		if *a != *b {
			return fmt.Errorf("%d: %d and %d under the lock", i, *a, *b)
		}
		if write {
			*a++
		}
		if i%8 == 0 {
			dwell()
		}
		if write {
			*b++
			err = l.Release()
		} else {
			err = l.RRelease()
		}
		if err != nil {
			return err
		}
		i++
	}
	return nil
}

// On the heap the race detector checks that the releases synchronize before the acquires.
func testRWHammer(t *testing.T, seg *shm.Segment) {
	const parties, goroutines, each = 3, 3, 500
	list := newRWLocks(t, seg, parties, nil)
	c := NewCells(t, seg, 2)
	ctx := Within(t)
	All(t, "users of the lock", parties*goroutines, func(i int) error {
		return rwHammer(ctx, list[i%parties], c.Plain(0), c.Plain(1), each, runtime.Gosched)
	})
	if *c.Plain(0) != *c.Plain(1) || *c.Plain(0) == 0 {
		t.Errorf("wrote %d and %d", *c.Plain(0), *c.Plain(1))
	}
	runtime.KeepAlive(c)
	wantFree(t, list...)
}

func testRWHandle(t *testing.T, seg *shm.Segment) {
	l := Closing(t, Must(psync.NewRWLock(seg, "rw", nil))(t))
	var same psync.RWLock
	WantNil(t, "UnmarshalText", same.UnmarshalText(Must(l.MarshalText())(t)))
	WantNil(t, "TryRAcquire", l.TryRAcquire())
	WantNil(t, "RRelease of the same", Closing(t, &same).RRelease())
	WantError(t, "name that is taken", Second(psync.NewRWLock(seg, "rw", nil)), fs.ErrExist)
	WantError(t, "name of nothing", Second(psync.OpenRWLock(seg, "x")), fs.ErrNotExist)
	WantError(t, "lock", Second(psync.OpenLock(seg, "rw")), shm.ErrMismatch)
}

// Deaths are simulated, so that the race detector can observe what follows.
func TestRWLockDeadParty(t *testing.T) {
	open := func(t *testing.T, o *psync.Options) (seg, party *shm.Segment, list []*psync.RWLock, far *psync.RWLock) {
		seg = Heap(t, room)
		list = newRWLocks(t, seg, 2, o)
		party = Must(object.Attach(seg))(t)
		return seg, party, list, Must(psync.OpenRWLock(party, "rw"))(t)
	}
	t.Run("reader", func(t *testing.T) {
		seg, party, list, far := open(t, nil)
		WantNil(t, "RAcquire", far.RAcquire(t.Context()))
		WantNil(t, "RAcquire", far.RAcquire(t.Context()))
		writer := writes(Within(t), list[0])
		AwaitAsleep(t, os.Getpid(), 1)
		Dies(t, seg, party)
		WantNil(t, "Acquire", Await(t, writer, "writer behind a dead reader"))
		WantNil(t, "Release", list[0].Release())
		// The next party gets the dead party's line.
		next := Closing(t, Must(psync.OpenRWLock(Attach(t, seg), "rw"))(t))
		WantError(t, "RRelease by the next party", next.RRelease(), psync.ErrNotHeld)
		wantFree(t, append(list, next)...)
	})
	t.Run("waiting_reader", func(t *testing.T) {
		seg, party, list, far := open(t, nil)
		WantNil(t, "Acquire", list[0].Acquire(t.Context()))
		reader := reads(context.Background(), far)
		AwaitAsleep(t, os.Getpid(), 1)
		Dies(t, seg, party)
		WantError(t, "RAcquire of the dead", Await(t, reader, "dead reader"), psync.ErrClosed)
		WantNil(t, "Release", list[0].Release())
		wantFree(t, list...)
	})
	t.Run("waiting_writer", func(t *testing.T) {
		seg, party, list, far := open(t, nil)
		WantNil(t, "RAcquire", list[0].RAcquire(t.Context()))
		dead := writes(context.Background(), far)
		awaitWriter(t, list[0])
		reader, writer := reads(Within(t), list[1]), writes(Within(t), list[1])
		AwaitAsleep(t, os.Getpid(), 3)
		Dies(t, seg, party)
		// There is no ErrOwnerDied, since the dead writer had not begun to write. Now the other
		// writer waits, and the reader has arrived before it.
		WantNil(t, "RAcquire", Await(t, reader, "reader behind a dead writer"))
		WantError(t, "Acquire of the dead", Await(t, dead, "dead writer"), psync.ErrClosed)
		WantNil(t, "RRelease", list[0].RRelease())
		WantNil(t, "RRelease", list[1].RRelease())
		WantNil(t, "Acquire", Await(t, writer, "writer behind a dead writer"))
		WantNil(t, "Release", list[1].Release())
		wantFree(t, list...)
	})
	t.Run("writer", func(t *testing.T) {
		seg, party, list, far := open(t, nil)
		WantNil(t, "Acquire", far.Acquire(t.Context()))
		reader, writer := reads(Within(t), list[0]), writes(Within(t), list[1])
		AwaitAsleep(t, os.Getpid(), 2)
		Dies(t, seg, party)
		WantError(t, "RAcquire", Await(t, reader, "reader behind a dead writer"), psync.ErrOwnerDied)
		WantError(t, "Acquire", Await(t, writer, "writer behind a dead writer"), psync.ErrOwnerDied)
		broken := errors.New("beyond repair")
		for range 3 {
			for _, l := range list {
				WantError(t, "TryRAcquire", l.TryRAcquire(), psync.ErrOwnerDied)
				WantError(t, "TryAcquire", l.TryAcquire(), psync.ErrOwnerDied)
				WantError(t, "RAcquire", l.RAcquire(t.Context()), psync.ErrOwnerDied)
				WantError(t, "Acquire", l.Acquire(t.Context()), psync.ErrOwnerDied)
				WantError(t, "Release", l.Release(), psync.ErrNotHeld)
				WantError(t, "RRelease", l.RRelease(), psync.ErrNotHeld)
			}
			// Goroutines that wait during the repair get its outcome.
			if err := list[0].Recover(t.Context(), func() error {
				WantError(t, "TryRAcquire while it is repaired", list[1].TryRAcquire(), psync.ErrHeld)
				WantError(t, "TryAcquire while it is repaired", list[1].TryAcquire(), psync.ErrHeld)
				reader, writer = reads(Within(t), list[0]), writes(Within(t), list[1])
				AwaitAsleep(t, os.Getpid(), 2)
				return broken
			}); err != broken {
				t.Errorf("Recover: %v", err)
			}
			WantError(t, "RAcquire", Await(t, reader, "reader in a repair"), psync.ErrOwnerDied)
			WantError(t, "Acquire", Await(t, writer, "writer in a repair"), psync.ErrOwnerDied)
		}
		WantNil(t, "Recover", list[0].Recover(t.Context(), func() error {
			reader = reads(Within(t), list[0])
			AwaitAsleep(t, os.Getpid(), 1)
			return nil
		}))
		WantNil(t, "RAcquire", Await(t, reader, "reader in a repair"))
		WantNil(t, "RRelease", list[0].RRelease())
		wantFree(t, list...)
	})
	t.Run("ignore_deaths", func(t *testing.T) {
		seg, party, list, far := open(t, &psync.Options{IgnoreDeaths: true})
		WantNil(t, "Acquire", far.Acquire(t.Context()))
		reader := reads(Within(t), list[0])
		AwaitAsleep(t, os.Getpid(), 1)
		Dies(t, seg, party)
		WantNil(t, "RAcquire", Await(t, reader, "reader behind a dead writer"))
		WantNil(t, "RRelease", list[0].RRelease())
		wantFree(t, list...)
		for _, f := range []func(*psync.RWLock) error{(*psync.RWLock).TryAcquire, func(l *psync.RWLock) error { return l.Acquire(Within(t)) }} {
			party = Must(object.Attach(seg))(t)
			far = Must(psync.OpenRWLock(party, "rw"))(t)
			WantNil(t, "Acquire", far.Acquire(t.Context()))
			Dies(t, seg, party)
			WantNil(t, "Acquire after a death", f(list[1]))
			WantNil(t, "Release", list[1].Release())
			wantFree(t, list...)
		}
	})
}

var rwHammerTask = task("rw hammer", func(ctx context.Context, j job) error {
	return rwHammer(ctx, j.RWLock, j.Cells.Plain(2), j.Cells.Plain(3), j.N, runtime.Gosched)
})

// rwHoldTask acquires the lock, for writing if N is 1, and holds it until the parent sets the cell.
var rwHoldTask = task("rw hold", func(ctx context.Context, j job) error {
	acquire, release := j.RWLock.RAcquire, j.RWLock.RRelease
	if j.N == 1 {
		acquire, release = j.RWLock.Acquire, j.RWLock.Release
	}
	if err := acquire(ctx); err != nil {
		return err
	}
	j.Cells.Add(0)
	if err := j.Cells.Until(ctx, 1, 1); err != nil {
		return err
	}
	return release()
})

var rwOrphanTask = task("rw orphan", func(ctx context.Context, j job) error {
	if err := j.RWLock.RAcquire(ctx); !errors.Is(err, psync.ErrOwnerDied) {
		return fmt.Errorf("RAcquire: %v, want ErrOwnerDied", err)
	}
	if err := j.RWLock.Acquire(ctx); !errors.Is(err, psync.ErrOwnerDied) {
		return fmt.Errorf("Acquire: %v, want ErrOwnerDied", err)
	}
	return nil
})

func TestRWLockProcesses(t *testing.T) {
	seg := Anonymous(t, room)
	l := Closing(t, Must(psync.NewRWLock(seg, "", nil))(t))
	t.Run("hammer", func(t *testing.T) {
		c := NewCells(t, seg, 4)
		var procs []*proc.Call[int]
		for range 3 {
			procs = append(procs, Start(t, rwHammerTask, job{N: 1500, RWLock: l, Cells: c}))
		}
		WantNil(t, "hammer", rwHammer(Within(t), l, c.Plain(2), c.Plain(3), 1500, runtime.Gosched))
		for _, p := range procs {
			Result(t, p)
		}
		if *c.Plain(2) != *c.Plain(3) || *c.Plain(2) == 0 {
			t.Errorf("wrote %d and %d", *c.Plain(2), *c.Plain(3))
		}
		wantFree(t, l)
	})
	t.Run("reader_killed", func(t *testing.T) {
		for range 5 {
			c := NewCells(t, seg, 2)
			p := Start(t, rwHoldTask, job{RWLock: l, Cells: c})
			c.Await(t, 0, 1)
			WantNil(t, "TryRAcquire", l.TryRAcquire())
			WantNil(t, "RRelease", l.RRelease())
			writer := writes(Within(t), l)
			AwaitAsleep(t, os.Getpid(), 1)
			WantNil(t, "Kill", p.Kill())
			WantNil(t, "Acquire", Await(t, writer, "writer behind a dead reader"))
			WantNil(t, "Release", l.Release())
		}
		wantFree(t, l)
	})
	t.Run("writer_killed", func(t *testing.T) {
		var worst time.Duration
		for range 5 {
			c := NewCells(t, seg, 2)
			p := Start(t, rwHoldTask, job{N: 1, RWLock: l, Cells: c})
			c.Await(t, 0, 1)
			other := Start(t, rwOrphanTask, job{RWLock: l, Cells: c})
			reader, writer := reads(Within(t), l), writes(Within(t), l)
			AwaitAsleep(t, os.Getpid(), 2)
			AwaitAsleep(t, other.PID(), 1)
			begin := time.Now()
			WantNil(t, "Kill", p.Kill())
			WantError(t, "RAcquire", Await(t, reader, "reader behind a dead writer"), psync.ErrOwnerDied)
			WantError(t, "Acquire", Await(t, writer, "writer behind a dead writer"), psync.ErrOwnerDied)
			worst = max(worst, time.Since(begin))
			Result(t, other)
			called := false
			WantNil(t, "Recover", l.Recover(Within(t), func() error { called = true; return nil }))
			if !called {
				t.Error("repair was not called")
			}
			wantFree(t, l)
		}
		t.Logf("SIGKILL to ErrOwnerDied: worst %v", worst)
		if worst > prompt {
			t.Errorf("a waiter learned of a death after %v", worst)
		}
	})
}

// Every call ends, whatever the lock's memory contains.
func TestRWLockHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		l := Closing(t, Must(psync.NewRWLock(seg, "rw", nil))(t))
		o := Must(object.Open(seg, shm.KindRWLock, "rw", 2))(t)
		words := view.Slice[atomic.Uint64](o.Bytes(), 0, len(o.Bytes())/8)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 2))
		ctx := Within(t)
		places := []int{16, 32, 33, 48, 64, 64 + 16, 64 + 32, 64 + 48, 64 + 16*255} // writer, phase, gates, lines
		done := Async(func() error {
			for range 2000 {
				w := &words[places[r.IntN(len(places))]]
				w.Store([]uint64{0, r.Uint64(), w.Load() ^ 1<<r.IntN(64), uint64(r.IntN(16))}[r.IntN(4)])
				for _, f := range []func() error{
					l.TryAcquire, l.TryRAcquire, l.Release, l.RRelease,
					func() error {
						short, cancel := context.WithTimeout(ctx, 50*time.Microsecond)
						defer cancel()
						return []func(context.Context) error{l.Acquire, l.RAcquire, func(ctx context.Context) error {
							return l.Recover(ctx, func() error { return nil })
						}}[r.IntN(3)](short)
					},
				} {
					err := f()
					known := err == nil
					for _, e := range []error{
						psync.ErrHeld, psync.ErrNotHeld, psync.ErrOwnerDied, psync.ErrOverflow, context.DeadlineExceeded, shm.ErrCorrupt,
					} {
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
		runtime.KeepAlive(o)
	})
}
