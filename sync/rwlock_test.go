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

// onBothWide is onBoth with room for several RWLocks.
func onBothWide(t *testing.T, f func(t *testing.T, seg *shm.Segment)) {
	t.Run("mapped", func(t *testing.T) { f(t, anonymous(t)) })
	t.Run("heap", func(t *testing.T) { f(t, wideHeap(t)) })
}

func wideHeap(t testing.TB) *shm.Segment {
	t.Helper()
	return closing(t, must(shm.Heap(1<<18))(t))
}

// newRWLocks makes a lock and opens it for n parties of their own.
func newRWLocks(t testing.TB, seg *shm.Segment, n int, o *psync.Options) []*psync.RWLock {
	t.Helper()
	closing(t, must(psync.NewRWLock(seg, "rw", o))(t))
	var list []*psync.RWLock
	for range n {
		list = append(list, closing(t, must(psync.OpenRWLock(attach(t, seg), "rw"))(t)))
	}
	return list
}

func reads(ctx context.Context, l *psync.RWLock) <-chan error {
	return async(func() error { return l.RAcquire(ctx) })
}

func writes(ctx context.Context, l *psync.RWLock) <-chan error {
	return async(func() error { return l.Acquire(ctx) })
}

// awaitWriter waits until a writer waits for the reader that the caller is.
func awaitWriter(t testing.TB, l *psync.RWLock) {
	t.Helper()
	eventually(t, "a writer that waits", func() bool {
		err := l.TryRAcquire()
		if err == nil {
			err = l.RRelease()
		}
		return err == psync.ErrHeld
	})
}

// wantFree wants the lock to be good for all.
func wantFree(t testing.TB, list ...*psync.RWLock) {
	t.Helper()
	for _, l := range list {
		wantNil(t, "TryAcquire at the end", l.TryAcquire())
		wantNil(t, "Release", l.Release())
		wantNil(t, "TryRAcquire at the end", l.TryRAcquire())
		wantNil(t, "RRelease", l.RRelease())
		wantError(t, "RRelease of a free lock", l.RRelease(), psync.ErrNotHeld)
		wantError(t, "Release of a free lock", l.Release(), psync.ErrNotHeld)
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
		t.Run(test.name, func(t *testing.T) { onBothWide(t, test.f) })
	}
}

func testRWExcludes(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 2, nil)
	a, b := list[0], list[1]
	for range 3 {
		for _, other := range list { // of the same party, and of another
			wantNil(t, "TryRAcquire", a.TryRAcquire())
			wantNil(t, "TryRAcquire beside a reader", other.TryRAcquire())
			wantNil(t, "RAcquire beside a reader", other.RAcquire(t.Context()))
			wantError(t, "TryAcquire beside readers", other.TryAcquire(), psync.ErrHeld)
			wantError(t, "TryAcquire beside readers", a.TryAcquire(), psync.ErrHeld)
			wantNil(t, "TryRAcquire after a try to write", b.TryRAcquire())
			wantNil(t, "RRelease", b.RRelease())
			wantNil(t, "RRelease", a.RRelease())
			wantNil(t, "RRelease", other.RRelease())
			wantError(t, "TryAcquire beside a reader", b.TryAcquire(), psync.ErrHeld)
			wantNil(t, "RRelease", other.RRelease())
			wantNil(t, "TryAcquire", a.TryAcquire())
			wantError(t, "TryAcquire beside a writer", other.TryAcquire(), psync.ErrHeld)
			wantError(t, "TryRAcquire beside a writer", other.TryRAcquire(), psync.ErrHeld)
			wantNil(t, "Release", a.Release())
			wantNil(t, "Acquire", other.Acquire(t.Context()))
			wantNil(t, "Release", other.Release())
		}
	}
	wantFree(t, list...)
}

func testRWMisuse(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 2, nil)
	a, b := list[0], list[1]
	wantFree(t, list...)
	wantNil(t, "RAcquire", a.RAcquire(t.Context()))
	wantError(t, "RRelease by another party", b.RRelease(), psync.ErrNotHeld)
	wantError(t, "Release by a reader", a.Release(), psync.ErrNotHeld)
	// A writer that waits holds nothing yet, and a reader neither.
	writer := writes(within(t), b)
	awaitWriter(t, a)
	wantError(t, "Release by one who waits", b.Release(), psync.ErrNotHeld)
	reader := reads(within(t), b)
	awaitAsleep(t, os.Getpid(), 2)
	wantError(t, "RRelease by one who waits", b.RRelease(), psync.ErrNotHeld)
	wantNil(t, "RRelease", a.RRelease())
	wantNil(t, "Acquire", await(t, writer, "writer"))
	wantError(t, "RRelease by a writer", b.RRelease(), psync.ErrNotHeld)
	wantError(t, "Release by another party", a.Release(), psync.ErrNotHeld)
	wantNil(t, "Release", b.Release())
	wantNil(t, "RAcquire", await(t, reader, "reader"))
	wantNil(t, "RRelease", b.RRelease())
	wantFree(t, list...)
}

func testRWExpired(t *testing.T, seg *shm.Segment) {
	l := newRWLocks(t, seg, 1, nil)[0]
	for range 5 {
		wantNil(t, "Acquire", l.Acquire(expired))
		wantError(t, "Acquire of a held lock", l.Acquire(expired), context.Canceled)
		wantError(t, "RAcquire of a held lock", l.RAcquire(expired), context.Canceled)
		wantError(t, "Recover of a held lock", l.Recover(expired, nil), context.Canceled)
		wantNil(t, "Release", l.Release())
		wantNil(t, "RAcquire", l.RAcquire(expired))
		wantError(t, "Acquire of a held lock", l.Acquire(expired), context.Canceled)
		wantNil(t, "RAcquire after a writer gave up", l.RAcquire(expired))
		wantNil(t, "RRelease", l.RRelease())
		wantNil(t, "RRelease", l.RRelease())
	}
	wantFree(t, l)
}

func testRWWriterFirst(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 3, nil)
	wantNil(t, "RAcquire", list[0].RAcquire(t.Context()))
	writer := writes(within(t), list[1])
	awaitWriter(t, list[0])
	reader, same := reads(within(t), list[2]), reads(within(t), list[0])
	awaitAsleep(t, os.Getpid(), 3)
	wantError(t, "TryRAcquire", list[2].TryRAcquire(), psync.ErrHeld)
	wantNil(t, "RRelease", list[0].RRelease())
	wantNil(t, "Acquire", await(t, writer, "writer"))
	select {
	case <-reader:
		t.Error("a reader came in beside the writer")
	case <-same:
		t.Error("a reader came in beside the writer")
	default:
	}
	wantNil(t, "Release", list[1].Release())
	wantNil(t, "RAcquire", await(t, reader, "reader"))
	wantNil(t, "RAcquire", await(t, same, "reader"))
	wantNil(t, "RRelease", list[2].RRelease())
	wantNil(t, "RRelease", list[0].RRelease())
	wantFree(t, list...)
}

func testRWReadersBetween(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 3, nil)
	for range 5 {
		wantNil(t, "Acquire", list[0].Acquire(t.Context()))
		writer := writes(within(t), list[1]) // before the readers
		awaitAsleep(t, os.Getpid(), 1)
		one, two := reads(within(t), list[2]), reads(within(t), list[0])
		awaitAsleep(t, os.Getpid(), 3)
		wantNil(t, "Release", list[0].Release())
		wantNil(t, "RAcquire", await(t, one, "reader"))
		wantNil(t, "RAcquire", await(t, two, "reader"))
		select {
		case <-writer:
			t.Error("the writer came in beside readers")
		default:
		}
		wantNil(t, "RRelease", list[2].RRelease())
		wantNil(t, "RRelease", list[0].RRelease())
		wantNil(t, "Acquire", await(t, writer, "writer"))
		wantNil(t, "Release", list[1].Release())
	}
	wantFree(t, list...)
}

func testRWCancelled(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 3, nil)
	ctx, cancel := context.WithCancel(t.Context())
	wantNil(t, "RAcquire", list[0].RAcquire(t.Context()))
	writer := writes(ctx, list[1])
	awaitWriter(t, list[0])
	reader := reads(within(t), list[2])
	awaitAsleep(t, os.Getpid(), 2)
	// The readers that wait for the writer come in when it gives up.
	cancel()
	wantError(t, "cancelled Acquire", await(t, writer, "cancelled writer"), context.Canceled)
	wantNil(t, "RAcquire", await(t, reader, "reader"))
	// The next writer waits for both of them.
	writer = writes(within(t), list[1])
	awaitAsleep(t, os.Getpid(), 1)
	wantNil(t, "RRelease", list[0].RRelease())
	awaitWriter(t, list[2])
	wantNil(t, "RRelease", list[2].RRelease())
	wantNil(t, "Acquire", await(t, writer, "writer"))
	// A reader that gives up is not waited for.
	ctx, cancel = context.WithCancel(t.Context())
	reader = reads(ctx, list[0])
	awaitAsleep(t, os.Getpid(), 1)
	cancel()
	wantError(t, "cancelled RAcquire", await(t, reader, "cancelled reader"), context.Canceled)
	wantError(t, "RRelease", list[0].RRelease(), psync.ErrNotHeld)
	wantNil(t, "Release", list[1].Release())
	wantFree(t, list...)
}

// Readers of any age may release while writers come and give up, and all are
// accounted for.
func testRWGivesUp(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 2, nil)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var held [2]int
	for range 3000 {
		switch i := r.IntN(2); r.IntN(4) {
		case 0, 1:
			wantNil(t, "RAcquire", list[i].RAcquire(t.Context()))
			held[i]++
		case 2:
			if held[i] > 0 {
				held[i]--
				wantNil(t, "RRelease", list[i].RRelease())
			} else {
				wantError(t, "RRelease", list[i].RRelease(), psync.ErrNotHeld)
			}
		case 3:
			err := list[i].Acquire(expired)
			if held[0]+held[1] == 0 {
				wantNil(t, "Acquire", err)
				wantNil(t, "Release", list[i].Release())
			} else {
				wantError(t, "Acquire", err, context.Canceled)
			}
		}
		if t.Failed() {
			return
		}
	}
	for i, l := range list {
		for range held[i] {
			wantError(t, "TryAcquire beside readers", l.TryAcquire(), psync.ErrHeld)
			wantNil(t, "RRelease", l.RRelease())
		}
	}
	wantFree(t, list...)
}

// Readers that waited for a writer that gave up are in, although the next writer
// stalls those that come after them.
func testRWInBeforeStall(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 3, nil)
	for range 5 {
		wantNil(t, "RAcquire", list[0].RAcquire(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		first := writes(ctx, list[1])
		awaitWriter(t, list[0])
		reader, next := reads(within(t), list[2]), writes(within(t), list[2])
		awaitAsleep(t, os.Getpid(), 3)
		cancel()
		wantError(t, "Acquire", await(t, first, "writer that gives up"), context.Canceled)
		wantNil(t, "RAcquire", await(t, reader, "reader behind a writer that gave up"))
		wantNil(t, "RRelease", list[0].RRelease())
		wantNil(t, "RRelease", list[2].RRelease())
		wantNil(t, "Acquire", await(t, next, "next writer"))
		wantNil(t, "Release", list[2].Release())
	}
	wantFree(t, list...)
}

// Readers that come while a writer waits for those from before the last writer
// wait for it, too.
func testRWStalled(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 3, nil)
	for range 3 {
		wantNil(t, "RAcquire", list[0].RAcquire(t.Context()))
		wantError(t, "Acquire that gives up", list[1].Acquire(expired), context.Canceled)
		for _, gives := range []bool{true, false} {
			ctx, cancel := context.WithCancel(within(t))
			writer := writes(ctx, list[1])
			awaitWriter(t, list[2])
			reader, leaver := reads(within(t), list[2]), reads(ctx, list[0])
			awaitAsleep(t, os.Getpid(), 3)
			wantError(t, "TryRAcquire", list[2].TryRAcquire(), psync.ErrHeld)
			if gives {
				cancel()
				wantError(t, "Acquire", await(t, writer, "writer that gives up"), context.Canceled)
				if err := await(t, leaver, "reader that gives up"); err == nil {
					wantNil(t, "RRelease", list[0].RRelease())
				}
				wantNil(t, "RAcquire", await(t, reader, "reader that was stalled"))
				wantNil(t, "RRelease", list[2].RRelease())
				continue
			}
			wantNil(t, "RRelease", list[0].RRelease())
			for got := 0; got < 3; got++ { // in any order, if the readers are slow to count themselves
				select {
				case err := <-writer:
					wantNil(t, "Acquire", err)
					wantNil(t, "Release", list[1].Release())
				case err := <-reader:
					wantNil(t, "RAcquire", err)
					wantNil(t, "RRelease", list[2].RRelease())
				case err := <-leaver:
					wantNil(t, "RAcquire", err)
					wantNil(t, "RRelease", list[0].RRelease())
				case <-time.After(patience):
					stuck(t, "who was stalled")
				}
			}
			cancel()
		}
	}
	wantFree(t, list...)
}

// Readers of one process that never all leave don't starve a writer, also after
// another has given up.
func testRWChain(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 2, nil)
	for range 5 {
		wantNil(t, "RAcquire", list[0].RAcquire(t.Context()))
		wantError(t, "Acquire that gives up", list[1].Acquire(expired), context.Canceled)
		chain := async(func() error {
			for {
				if err := list[0].TryRAcquire(); err != nil {
					if err == psync.ErrHeld {
						err = nil
					}
					return errors.Join(err, list[0].RRelease())
				}
				if err := list[0].RRelease(); err != nil {
					return err
				}
			}
		})
		wantNil(t, "Acquire", await(t, writes(within(t), list[1]), "writer beside readers"))
		wantNil(t, "chain", await(t, chain, "chain of readers"))
		wantNil(t, "Release", list[1].Release())
	}
	wantFree(t, list...)
}

func testRWTooMany(t *testing.T, seg *shm.Segment) {
	const most = 1<<16 - 1
	list := newRWLocks(t, seg, 2, nil)
	for range most {
		wantNil(t, "RAcquire", list[0].RAcquire(t.Context()))
	}
	wantError(t, "TryRAcquire", list[0].TryRAcquire(), psync.ErrTooMany)
	wantError(t, "RAcquire", list[0].RAcquire(t.Context()), psync.ErrTooMany)
	wantNil(t, "RAcquire by another party", list[1].RAcquire(t.Context()))
	wantNil(t, "RRelease by another party", list[1].RRelease())
	for range most {
		wantNil(t, "RRelease", list[0].RRelease())
	}
	wantFree(t, list...)
}

func testRWClosed(t *testing.T, seg *shm.Segment) {
	l := must(psync.NewRWLock(seg, "rw", nil))(t)
	other := closing(t, must(psync.OpenRWLock(seg, "rw"))(t))
	wantNil(t, "Acquire", l.Acquire(t.Context()))
	wantNil(t, "Close", l.Close())
	var zero psync.RWLock
	for _, l := range []*psync.RWLock{l, &zero} {
		for what, f := range map[string]func() error{
			"TryRAcquire": l.TryRAcquire, "RRelease": l.RRelease, "TryAcquire": l.TryAcquire, "Release": l.Release,
			"RAcquire": func() error { return l.RAcquire(t.Context()) },
			"Acquire":  func() error { return l.Acquire(t.Context()) },
			"Recover":  func() error { return l.Recover(t.Context(), nil) },
		} {
			wantError(t, what, f(), psync.ErrClosed)
		}
		wantNil(t, "Close", l.Close())
	}
	wantError(t, "TryRAcquire", other.TryRAcquire(), psync.ErrHeld)
	wantNil(t, "Release by the same process", other.Release())

	// Who closes the segment counts as dead.
	party := must(seg.Attach())(t)
	far := must(psync.OpenRWLock(party, "rw"))(t)
	wantNil(t, "RAcquire", far.RAcquire(t.Context()))
	wantError(t, "TryAcquire", other.TryAcquire(), psync.ErrHeld)
	wantNil(t, "Close", party.Close())
	wantNil(t, "TryAcquire", other.TryAcquire())
	wantError(t, "RRelease", far.RRelease(), psync.ErrClosed)
	wantNil(t, "Release", other.Release())
	wantFree(t, other)
}

func testRWCloseWaiting(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 2, nil)
	// Behind a writer, and behind a reader.
	for _, f := range []struct{ acquire, release func() error }{
		{list[0].TryAcquire, list[0].Release},
		{list[0].TryRAcquire, list[0].RRelease},
	} {
		l := must(psync.OpenRWLock(seg, "rw"))(t)
		wantNil(t, "Try", f.acquire())
		writer := writes(context.Background(), l)
		awaitAsleep(t, os.Getpid(), 1)
		reader := reads(context.Background(), l)
		recoverer := async(func() error { return l.Recover(context.Background(), nil) })
		awaitAsleep(t, os.Getpid(), 3)
		wantNil(t, "Close", l.Close())
		wantError(t, "writer", await(t, writer, "writer at a closed lock"), psync.ErrClosed)
		wantError(t, "Recover", await(t, recoverer, "Recover of a closed lock"), psync.ErrClosed)
		if err := await(t, reader, "reader at a closed lock"); err == nil {
			// The writer gave up before it saw that the lock was closed.
			same := closing(t, must(psync.OpenRWLock(seg, "rw"))(t))
			wantNil(t, "RRelease", same.RRelease())
		} else {
			wantError(t, "reader", err, psync.ErrClosed)
		}
		wantNil(t, "release", f.release())
		wantFree(t, list...)
	}
}

func testRWLocker(t *testing.T, seg *shm.Segment) {
	l := must(psync.NewRWLock(seg, "", nil))(t)
	r := l.RLocker()
	r.Lock()
	l.RLock()
	wantError(t, "TryAcquire", l.TryAcquire(), psync.ErrHeld)
	r.Unlock()
	l.RUnlock()
	l.Lock()
	wantError(t, "TryRAcquire", l.TryRAcquire(), psync.ErrHeld)
	l.Unlock()
	for what, f := range map[string]func(){"Unlock": l.Unlock, "RUnlock": r.Unlock} {
		if v := panicOf(f); v != "psync: RWLock: "+what+": lock is not held" {
			t.Errorf("%s of a free lock: panic %v", what, v)
		}
	}
	wantNil(t, "Close", l.Close())
	for what, f := range map[string]func(){"Lock": l.Lock, "Unlock": l.Unlock, "RLock": l.RLock, "RUnlock": l.RUnlock} {
		if v := panicOf(f); v != "psync: RWLock: "+what+": "+psync.ErrClosed.Error() {
			t.Errorf("%s of a closed lock: panic %v", what, v)
		}
	}
}

func testRWRecoverLiving(t *testing.T, seg *shm.Segment) {
	list := newRWLocks(t, seg, 2, nil)
	repair := func() error { return errors.New("repair was called") }
	wantNil(t, "Recover of a free lock", list[0].Recover(t.Context(), repair))
	wantNil(t, "TryRAcquire", list[0].TryRAcquire())
	wantNil(t, "Recover beside a reader", list[1].Recover(t.Context(), repair))
	wantNil(t, "RRelease", list[0].RRelease())
	wantNil(t, "TryAcquire", list[0].TryAcquire())
	done := async(func() error { return list[1].Recover(context.Background(), repair) })
	awaitAsleep(t, os.Getpid(), 1)
	wantNil(t, "Release", list[0].Release())
	wantNil(t, "Recover", await(t, done, "Recover"))
	wantFree(t, list...)
}

// rwHammer reads and writes two words, which are equal unless somebody writes,
// giving up and trying again at random. Now and then it dwells under the lock, so
// that others come to wait.
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
			if ctx.Err() != nil || err != psync.ErrHeld && !errors.Is(err, context.DeadlineExceeded) {
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

// On the heap the race detector sees whether the releases synchronize before
// the acquires.
func testRWHammer(t *testing.T, seg *shm.Segment) {
	const parties, goroutines, each = 3, 3, 500
	list := newRWLocks(t, seg, parties, nil)
	c := newCells(t, seg, 2)
	ctx := within(t)
	all(t, "users of the lock", parties*goroutines, func(i int) error {
		return rwHammer(ctx, list[i%parties], c.plain(0), c.plain(1), each, runtime.Gosched)
	})
	if *c.plain(0) != *c.plain(1) || *c.plain(0) == 0 {
		t.Errorf("wrote %d and %d", *c.plain(0), *c.plain(1))
	}
	runtime.KeepAlive(c)
	wantFree(t, list...)
}

func testRWHandle(t *testing.T, seg *shm.Segment) {
	l := closing(t, must(psync.NewRWLock(seg, "rw", nil))(t))
	var same psync.RWLock
	wantNil(t, "UnmarshalText", same.UnmarshalText(must(l.MarshalText())(t)))
	wantNil(t, "TryRAcquire", l.TryRAcquire())
	wantNil(t, "RRelease of the same", closing(t, &same).RRelease())
	wantError(t, "name that is taken", second(psync.NewRWLock(seg, "rw", nil)), fs.ErrExist)
	wantError(t, "name of nothing", second(psync.OpenRWLock(seg, "x")), fs.ErrNotExist)
	wantError(t, "lock", second(psync.OpenLock(seg, "rw")), shm.ErrMismatch)
}

// Deaths that are simulated: see the race detector's view of them.
func TestRWLockDeadParty(t *testing.T) {
	open := func(t *testing.T, o *psync.Options) (seg, party *shm.Segment, list []*psync.RWLock, far *psync.RWLock) {
		seg = wideHeap(t)
		list = newRWLocks(t, seg, 2, o)
		party = must(seg.Attach())(t)
		return seg, party, list, must(psync.OpenRWLock(party, "rw"))(t)
	}
	t.Run("reader", func(t *testing.T) {
		seg, party, list, far := open(t, nil)
		wantNil(t, "RAcquire", far.RAcquire(t.Context()))
		wantNil(t, "RAcquire", far.RAcquire(t.Context()))
		writer := writes(within(t), list[0])
		awaitAsleep(t, os.Getpid(), 1)
		partyDies(t, seg, party)
		wantNil(t, "Acquire", await(t, writer, "writer behind a dead reader"))
		wantNil(t, "Release", list[0].Release())
		// The next party gets the dead one's line.
		next := closing(t, must(psync.OpenRWLock(attach(t, seg), "rw"))(t))
		wantError(t, "RRelease by the next party", next.RRelease(), psync.ErrNotHeld)
		wantFree(t, append(list, next)...)
	})
	t.Run("waiting_reader", func(t *testing.T) {
		seg, party, list, far := open(t, nil)
		wantNil(t, "Acquire", list[0].Acquire(t.Context()))
		reader := reads(context.Background(), far)
		awaitAsleep(t, os.Getpid(), 1)
		partyDies(t, seg, party)
		wantError(t, "RAcquire of the dead", await(t, reader, "dead reader"), psync.ErrClosed)
		wantNil(t, "Release", list[0].Release())
		wantFree(t, list...)
	})
	t.Run("waiting_writer", func(t *testing.T) {
		seg, party, list, far := open(t, nil)
		wantNil(t, "RAcquire", list[0].RAcquire(t.Context()))
		dead := writes(context.Background(), far)
		awaitWriter(t, list[0])
		reader, writer := reads(within(t), list[1]), writes(within(t), list[1])
		awaitAsleep(t, os.Getpid(), 3)
		partyDies(t, seg, party)
		// No ErrOwnerDied: it had not written. The other writer waits now; the
		// reader has come before it.
		wantNil(t, "RAcquire", await(t, reader, "reader behind a dead writer"))
		wantError(t, "Acquire of the dead", await(t, dead, "dead writer"), psync.ErrClosed)
		wantNil(t, "RRelease", list[0].RRelease())
		wantNil(t, "RRelease", list[1].RRelease())
		wantNil(t, "Acquire", await(t, writer, "writer behind a dead writer"))
		wantNil(t, "Release", list[1].Release())
		wantFree(t, list...)
	})
	t.Run("writer", func(t *testing.T) {
		seg, party, list, far := open(t, nil)
		wantNil(t, "Acquire", far.Acquire(t.Context()))
		reader, writer := reads(within(t), list[0]), writes(within(t), list[1])
		awaitAsleep(t, os.Getpid(), 2)
		partyDies(t, seg, party)
		wantError(t, "RAcquire", await(t, reader, "reader behind a dead writer"), psync.ErrOwnerDied)
		wantError(t, "Acquire", await(t, writer, "writer behind a dead writer"), psync.ErrOwnerDied)
		broken := errors.New("beyond repair")
		for range 3 {
			for _, l := range list {
				wantError(t, "TryRAcquire", l.TryRAcquire(), psync.ErrOwnerDied)
				wantError(t, "TryAcquire", l.TryAcquire(), psync.ErrOwnerDied)
				wantError(t, "RAcquire", l.RAcquire(t.Context()), psync.ErrOwnerDied)
				wantError(t, "Acquire", l.Acquire(t.Context()), psync.ErrOwnerDied)
				wantError(t, "Release", l.Release(), psync.ErrNotHeld)
				wantError(t, "RRelease", l.RRelease(), psync.ErrNotHeld)
			}
			// Those who wait while it is repaired learn how that ends.
			if err := list[0].Recover(t.Context(), func() error {
				wantError(t, "TryRAcquire while it is repaired", list[1].TryRAcquire(), psync.ErrHeld)
				wantError(t, "TryAcquire while it is repaired", list[1].TryAcquire(), psync.ErrHeld)
				reader, writer = reads(within(t), list[0]), writes(within(t), list[1])
				awaitAsleep(t, os.Getpid(), 2)
				return broken
			}); err != broken {
				t.Errorf("Recover: %v", err)
			}
			wantError(t, "RAcquire", await(t, reader, "reader in a repair"), psync.ErrOwnerDied)
			wantError(t, "Acquire", await(t, writer, "writer in a repair"), psync.ErrOwnerDied)
		}
		wantNil(t, "Recover", list[0].Recover(t.Context(), func() error {
			reader = reads(within(t), list[0])
			awaitAsleep(t, os.Getpid(), 1)
			return nil
		}))
		wantNil(t, "RAcquire", await(t, reader, "reader in a repair"))
		wantNil(t, "RRelease", list[0].RRelease())
		wantFree(t, list...)
	})
	t.Run("ignore_deaths", func(t *testing.T) {
		seg, party, list, far := open(t, &psync.Options{IgnoreDeaths: true})
		wantNil(t, "Acquire", far.Acquire(t.Context()))
		reader := reads(within(t), list[0])
		awaitAsleep(t, os.Getpid(), 1)
		partyDies(t, seg, party)
		wantNil(t, "RAcquire", await(t, reader, "reader behind a dead writer"))
		wantNil(t, "RRelease", list[0].RRelease())
		wantFree(t, list...)
		for _, f := range []func(*psync.RWLock) error{(*psync.RWLock).TryAcquire, func(l *psync.RWLock) error { return l.Acquire(within(t)) }} {
			party = must(seg.Attach())(t)
			far = must(psync.OpenRWLock(party, "rw"))(t)
			wantNil(t, "Acquire", far.Acquire(t.Context()))
			partyDies(t, seg, party)
			wantNil(t, "Acquire after a death", f(list[1]))
			wantNil(t, "Release", list[1].Release())
			wantFree(t, list...)
		}
	})
}

type rwJob struct {
	N     int
	Lock  *psync.RWLock
	Cells *cells
}

var rwHammerTask = register("rw hammer", func(ctx context.Context, j rwJob) error {
	return rwHammer(ctx, j.Lock, j.Cells.plain(2), j.Cells.plain(3), j.N, runtime.Gosched)
})

// rwHoldTask acquires, for writing if N is 1, and stays so until it is told.
var rwHoldTask = register("rw hold", func(ctx context.Context, j rwJob) error {
	acquire, release := j.Lock.RAcquire, j.Lock.RRelease
	if j.N == 1 {
		acquire, release = j.Lock.Acquire, j.Lock.Release
	}
	if err := acquire(ctx); err != nil {
		return err
	}
	j.Cells.add(0)
	if err := j.Cells.until(ctx, 1, 1); err != nil {
		return err
	}
	return release()
})

var rwOrphanTask = register("rw orphan", func(ctx context.Context, j rwJob) error {
	if err := j.Lock.RAcquire(ctx); err != psync.ErrOwnerDied {
		return fmt.Errorf("RAcquire: %v, want ErrOwnerDied", err)
	}
	if err := j.Lock.Acquire(ctx); err != psync.ErrOwnerDied {
		return fmt.Errorf("Acquire: %v, want ErrOwnerDied", err)
	}
	return nil
})

func TestRWLockProcesses(t *testing.T) {
	seg := anonymous(t)
	l := closing(t, must(psync.NewRWLock(seg, "", nil))(t))
	t.Run("hammer", func(t *testing.T) {
		c := newCells(t, seg, 4)
		var procs []*proc.Call[int]
		for range 3 {
			procs = append(procs, launch(t, rwHammerTask, rwJob{1500, l, c}, nil))
		}
		wantNil(t, "hammer", rwHammer(within(t), l, c.plain(2), c.plain(3), 1500, runtime.Gosched))
		for _, p := range procs {
			joined(t, p)
		}
		if *c.plain(2) != *c.plain(3) || *c.plain(2) == 0 {
			t.Errorf("wrote %d and %d", *c.plain(2), *c.plain(3))
		}
		wantFree(t, l)
	})
	t.Run("reader_killed", func(t *testing.T) {
		for range 5 {
			c := newCells(t, seg, 2)
			p := launch(t, rwHoldTask, rwJob{0, l, c}, nil)
			c.await(t, 0, 1)
			wantNil(t, "TryRAcquire", l.TryRAcquire())
			wantNil(t, "RRelease", l.RRelease())
			writer := writes(within(t), l)
			awaitAsleep(t, os.Getpid(), 1)
			wantNil(t, "Kill", p.Kill())
			wantNil(t, "Acquire", await(t, writer, "writer behind a dead reader"))
			wantNil(t, "Release", l.Release())
		}
		wantFree(t, l)
	})
	t.Run("writer_killed", func(t *testing.T) {
		var worst time.Duration
		for range 5 {
			c := newCells(t, seg, 2)
			p := launch(t, rwHoldTask, rwJob{1, l, c}, nil)
			c.await(t, 0, 1)
			other := launch(t, rwOrphanTask, rwJob{0, l, c}, nil)
			reader, writer := reads(within(t), l), writes(within(t), l)
			awaitAsleep(t, os.Getpid(), 2)
			awaitAsleep(t, other.PID(), 1)
			begin := time.Now()
			wantNil(t, "Kill", p.Kill())
			wantError(t, "RAcquire", await(t, reader, "reader behind a dead writer"), psync.ErrOwnerDied)
			wantError(t, "Acquire", await(t, writer, "writer behind a dead writer"), psync.ErrOwnerDied)
			worst = max(worst, time.Since(begin))
			joined(t, other)
			called := false
			wantNil(t, "Recover", l.Recover(within(t), func() error { called = true; return nil }))
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

// Whatever stands in the lock's memory, each call ends.
func TestRWLockHostileBytes(t *testing.T) {
	onBothWide(t, func(t *testing.T, seg *shm.Segment) {
		l := closing(t, must(psync.NewRWLock(seg, "rw", nil))(t))
		o := must(seg.OpenObject(shm.KindRWLock, "rw", 1))(t)
		words := view.Slice[atomic.Uint64](o.Bytes(), 0, len(o.Bytes())/8)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		ctx := within(t)
		places := []int{16, 32, 33, 48, 64, 64 + 16, 64 + 32, 64 + 48, 64 + 16*255} // writer, phase, gates, lines
		done := async(func() error {
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
						psync.ErrHeld, psync.ErrNotHeld, psync.ErrOwnerDied, psync.ErrTooMany, context.DeadlineExceeded, shm.ErrCorrupt,
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
		wantNil(t, "operations", await(t, done, fmt.Sprintf("operation on nonsense, seed %d", seed)))
		runtime.KeepAlive(o)
	})
}
