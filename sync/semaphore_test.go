//go:build linux

package sync_test

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A part is what a child of the tests of semaphores, events and onces is
// given.
type part struct {
	N         int
	Semaphore *psync.Semaphore
	Bounded   *psync.BoundedSemaphore
	Event     *psync.Event
	Once      *psync.Once
	Cells     *cells
}

// permits is what both semaphores have.
type permits interface {
	TryAcquire() error
	Acquire(ctx context.Context) error
	Release() error
	Value() (int, error)
	Handle() shm.Handle
	encoding.TextMarshaler
	encoding.TextUnmarshaler
	Close() error
}

func (p part) permits() permits {
	if p.Bounded != nil {
		return p.Bounded
	}
	return p.Semaphore
}

// with puts a semaphore into p.
func (p part) with(s permits) part {
	switch s := s.(type) {
	case *psync.Semaphore:
		p.Semaphore = s
	case *psync.BoundedSemaphore:
		p.Bounded = s
	}
	return p
}

func partTask(name string, f func(ctx context.Context, p part) error) *proc.Task[part, int] {
	return proc.Register(name, func(ctx context.Context, p part) (int, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return 0, f(ctx, p)
	})
}

// startPart starts a child. It is killed at the end of the test if it runs
// then.
func startPart(t testing.TB, task *proc.Task[part, int], p part, env ...string) *proc.Call[int] {
	t.Helper()
	c, err := task.New(p, &proc.Options{Env: env})
	if err == nil {
		err = c.Start(within(t))
	}
	if err != nil {
		t.Fatalf("start %s: %v", task.Name(), err)
	}
	t.Cleanup(func() { kill(t, c) })
	return c
}

// A semaphoreKind makes and opens semaphores of one of the two kinds.
type semaphoreKind struct {
	name string
	make func(seg *shm.Segment, name string, n int) (permits, error)
	open func(seg *shm.Segment, name string) (permits, error)
	zero func() permits
}

var plainSemaphores = semaphoreKind{
	"plain",
	func(seg *shm.Segment, name string, n int) (permits, error) {
		return psync.NewSemaphore(seg, name, n)
	},
	func(seg *shm.Segment, name string) (permits, error) { return psync.OpenSemaphore(seg, name) },
	func() permits { return new(psync.Semaphore) },
}

var boundedSemaphores = semaphoreKind{
	"bounded",
	func(seg *shm.Segment, name string, n int) (permits, error) {
		return psync.NewBoundedSemaphore(seg, name, n)
	},
	func(seg *shm.Segment, name string) (permits, error) {
		return psync.OpenBoundedSemaphore(seg, name)
	},
	func() permits { return new(psync.BoundedSemaphore) },
}

func newPermits(t testing.TB, k semaphoreKind, seg *shm.Segment, n int) permits {
	t.Helper()
	return closing(t, must(k.make(seg, "", n))(t))
}

func wantValue(t testing.TB, s permits, want int) {
	t.Helper()
	if n := must(s.Value())(t); n != want {
		t.Errorf("value %d, want %d", n, want)
	}
}

// onSemaphores runs f for both kinds of semaphores, on both kinds of segments.
func onSemaphores(t *testing.T, f func(t *testing.T, seg *shm.Segment, k semaphoreKind)) {
	for _, k := range []semaphoreKind{plainSemaphores, boundedSemaphores} {
		t.Run(k.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, seg *shm.Segment) { f(t, seg, k) })
		})
	}
}

func TestSemaphores(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment, k semaphoreKind)
	}{
		{"L09_value", testPermitValue},
		{"L04_L12_timeouts", testPermitTimeouts},
		{"L13_invalid", testPermitInvalid},
		{"cancelled", testPermitCancelled},
		{"closed", testPermitClosed},
		{"close_while_waiting", testPermitCloseWhileWaiting},
		{"segment_closed_while_waiting", testPermitSegmentClosed},
		{"blocked", testPermitBlocked},
		{"cancelled_pass_on", testPermitPassOn},
		{"hammer", testPermitHammer},
		{"handle", testPermitHandle},
		{"no_allocation", testPermitAllocs},
	} {
		t.Run(test.name, func(t *testing.T) { onSemaphores(t, test.f) })
	}
}

func testPermitValue(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := newPermits(t, k, seg, 2)
	for range 3 {
		wantValue(t, s, 2)
		wantNil(t, "TryAcquire", s.TryAcquire())
		wantValue(t, s, 1)
		wantNil(t, "Acquire", s.Acquire(t.Context()))
		wantValue(t, s, 0)
		wantError(t, "TryAcquire of none", s.TryAcquire(), psync.ErrNoPermit)
		wantValue(t, s, 0)
		wantNil(t, "Release", s.Release())
		wantValue(t, s, 1)
		wantNil(t, "Release by another goroutine", await(t, async(s.Release), "Release"))
	}
	wantValue(t, s, 2)
}

func testPermitTimeouts(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := newPermits(t, k, seg, 1)
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
	defer cancel()
	for range 5 {
		wantNil(t, "Acquire, expired", s.Acquire(expired))
		wantError(t, "Acquire of none, expired", s.Acquire(expired), context.Canceled)
		wantError(t, "Acquire of none, expired", s.Acquire(late), context.DeadlineExceeded)
		wantNil(t, "Release", s.Release())
	}
	wantNil(t, "Acquire", s.Acquire(late))
	const d = 20 * time.Millisecond
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	wantError(t, "Acquire of none", s.Acquire(ctx), context.DeadlineExceeded)
	if took := time.Since(begin); took < d || took > prompt {
		t.Errorf("Acquire gave up after %v, want %v", took, d)
	}
	wantValue(t, s, 0)
	wantNil(t, "Release", s.Release())
}

func testPermitInvalid(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	for _, n := range []int{-1, math.MinInt, math.MaxInt} {
		if n == math.MaxInt32 && k.name == "plain" { // 32 bits: as many as there can be
			continue
		}
		wantError(t, fmt.Sprintf("%d permits", n), second(k.make(seg, "x", n)), psync.ErrInvalid)
	}
	wantError(t, "open", second(k.open(seg, "x")), fs.ErrNotExist)
}

func testPermitCancelled(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := newPermits(t, k, seg, 1)
	wantNil(t, "Acquire", s.Acquire(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	done := async(func() error { return s.Acquire(ctx) })
	awaitAsleep(t, os.Getpid(), 1)
	begin := time.Now()
	cancel()
	wantError(t, "cancelled Acquire", await(t, done, "cancelled Acquire"), context.Canceled)
	if d := time.Since(begin); d > prompt {
		t.Errorf("Acquire took %v to see that it was cancelled", d)
	}
	wantNil(t, "Release", s.Release())
	wantValue(t, s, 1)
}

func permitsFail(t *testing.T, s permits) {
	t.Helper()
	for range 2 {
		wantError(t, "TryAcquire", s.TryAcquire(), psync.ErrClosed)
		wantError(t, "Acquire", s.Acquire(t.Context()), psync.ErrClosed)
		wantError(t, "Acquire, expired", s.Acquire(expired), psync.ErrClosed)
		wantError(t, "Release", s.Release(), psync.ErrClosed)
		wantError(t, "Value", second(s.Value()), psync.ErrClosed)
		if p, ok := s.(*psync.Semaphore); ok {
			for _, n := range []int{1, 0, math.MaxInt} {
				wantError(t, "ReleaseN", p.ReleaseN(n), psync.ErrClosed)
			}
		}
	}
}

func testPermitClosed(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := must(k.make(seg, "s", 2))(t)
	other := closing(t, must(k.open(seg, "s"))(t))
	wantNil(t, "Acquire", s.Acquire(t.Context()))
	for range 3 {
		wantNil(t, "Close", s.Close())
	}
	permitsFail(t, s)
	if s.Handle() != (shm.Handle{}) {
		t.Error("a closed semaphore has a handle")
	}
	wantValue(t, other, 1)
	wantNil(t, "Release by the same process", other.Release())
	wantValue(t, other, 2)
	zero := k.zero()
	permitsFail(t, zero)
	wantNil(t, "Close of the zero value", zero.Close())

	// Who closes the segment counts as dead.
	party := must(seg.Attach())(t)
	far := must(k.open(party, "s"))(t)
	wantNil(t, "Acquire", far.Acquire(t.Context()))
	wantNil(t, "Close", party.Close())
	if k.name == "bounded" {
		wantValue(t, other, 2)
	} else {
		wantValue(t, other, 1)
	}
	permitsFail(t, far)
}

// asleepAt starts n goroutines that wait for a permit, of which there is none.
func asleepAt(t *testing.T, s permits, n int) (errs chan error) {
	t.Helper()
	errs = make(chan error, n)
	for range n {
		go func() { errs <- s.Acquire(context.Background()) }()
	}
	awaitAsleep(t, os.Getpid(), n)
	return errs
}

func testPermitCloseWhileWaiting(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := must(k.make(seg, "", 1))(t)
	wantNil(t, "Acquire", s.Acquire(t.Context()))
	errs := asleepAt(t, s, 3)
	wantNil(t, "Close", s.Close())
	for range cap(errs) {
		wantError(t, "waiter", await(t, errs, "waiter of a closed semaphore"), psync.ErrClosed)
	}
}

func testPermitSegmentClosed(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := must(k.make(seg, "", 1))(t)
	wantNil(t, "Acquire", s.Acquire(t.Context()))
	errs := asleepAt(t, s, 3)
	wantNil(t, "Close", seg.Close())
	for range cap(errs) {
		wantError(t, "waiter", await(t, errs, "waiter of a closed segment"), psync.ErrClosed)
	}
}

// Several waiters get through one by one; each Release lets one.
func testPermitBlocked(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	const n = 4
	s := newPermits(t, k, seg, n)
	for range n {
		wantNil(t, "Acquire", s.Acquire(t.Context()))
	}
	errs := asleepAt(t, s, n)
	for i := range n {
		wantNil(t, "Release", s.Release())
		wantNil(t, "Acquire", await(t, errs, fmt.Sprintf("waiter %d", i)))
	}
	wantValue(t, s, 0)
	// All at once: one wake may be on its way for several.
	errs = asleepAt(t, s, n)
	for range n {
		wantNil(t, "Release", s.Release())
	}
	for i := range n {
		wantNil(t, "Acquire", await(t, errs, fmt.Sprintf("waiter %d of those released at once", i)))
	}
	wantValue(t, s, 0)
	for range n {
		wantNil(t, "Release", s.Release())
	}
}

// A waiter whose context ends as it is woken takes the permit or leaves it to
// the next.
func testPermitPassOn(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := newPermits(t, k, seg, 1)
	for range 200 {
		wantNil(t, "Acquire", s.Acquire(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		leaver := async(func() error { return s.Acquire(ctx) })
		stayer := async(func() error { return s.Acquire(context.Background()) })
		if rand.IntN(4) == 0 {
			awaitAsleep(t, os.Getpid(), 2)
		}
		go cancel()
		wantNil(t, "Release", s.Release())
		if err := await(t, leaver, "cancelled waiter"); err == nil {
			wantNil(t, "Release", s.Release())
		} else {
			wantError(t, "cancelled waiter", err, context.Canceled)
		}
		wantNil(t, "waiter", await(t, stayer, "waiter beside a cancelled one"))
		wantNil(t, "Release", s.Release())
	}
	wantValue(t, s, 1)
}

// usePermits takes and gives back a permit n times, giving up and trying again at
// random, and counts how many are inside at once.
func usePermits(ctx context.Context, s permits, inside *atomic.Uint32, limit uint32, n int) error {
	for i := 0; i < n; {
		short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(300)-10)*time.Microsecond)
		err := s.Acquire(short)
		late := short.Err()
		cancel()
		if err != nil {
			if late == nil || ctx.Err() != nil {
				return fmt.Errorf("acquire %d: %w", i, err)
			}
			continue
		}
		if now := inside.Add(1); now > limit {
			return fmt.Errorf("%d inside, want %d at most", now, limit)
		}
		if i%16 == 0 {
			runtime.Gosched() // others come to wait
		}
		inside.Add(^uint32(0))
		if err := s.Release(); err != nil {
			return fmt.Errorf("release %d: %w", i, err)
		}
		i++
	}
	return nil
}

// Several parties with several goroutines are never more inside than there
// are permits. With one permit it guards plain memory, for the race detector.
func testPermitHammer(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	const parties, goroutines, each = 3, 3, 400
	for _, limit := range []int{1, 3} {
		name := fmt.Sprint("s", limit)
		first := closing(t, must(k.make(seg, name, limit))(t))
		c := newCells(t, seg, 2)
		counter := c.plain(1)
		var users [parties]permits
		for i := range users {
			users[i] = must(k.open(closing(t, must(seg.Attach())(t)), name))(t)
		}
		ctx := within(t)
		all(t, "users of the semaphore", parties*goroutines, func(i int) error {
			s := users[i%parties]
			if limit == 1 {
				for range each {
					if err := s.Acquire(ctx); err != nil {
						return err
					}
					*counter++
					if err := s.Release(); err != nil {
						return err
					}
				}
			}
			return usePermits(ctx, s, c.at(0), uint32(limit), each)
		})
		if want := uint64(parties * goroutines * each); limit == 1 && *counter != want {
			t.Errorf("counted %d, want %d", *counter, want)
		}
		wantValue(t, first, limit)
		runtime.KeepAlive(c)
	}
}

func testPermitHandle(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := closing(t, must(k.make(seg, "s", 1))(t))
	same := k.zero()
	wantNil(t, "UnmarshalText", same.UnmarshalText(must(s.MarshalText())(t)))
	wantNil(t, "TryAcquire", s.TryAcquire())
	wantError(t, "TryAcquire of the same", same.TryAcquire(), psync.ErrNoPermit)
	wantNil(t, "Release of the same", same.Release())
	wantNil(t, "Close", same.Close())
	wantValue(t, s, 1)
	wantError(t, "name that is taken", second(k.make(seg, "s", 1)), fs.ErrExist)
	wantError(t, "lock of that name", second(psync.OpenLock(seg, "s")), shm.ErrMismatch)
	h := s.Handle()
	h.Kind = shm.KindLock
	wantError(t, "handle of a lock", same.UnmarshalText([]byte(h.String())), shm.ErrMismatch)
}

// wantNoAllocs checks that f allocates nothing.
func wantNoAllocs(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		t.Errorf("%s allocates %v times", what, n)
	}
}

func testPermitAllocs(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := newPermits(t, k, seg, 2)
	ctx := t.Context()
	var err error
	wantNoAllocs(t, "Acquire and Release", func() { err = errors.Join(err, s.Acquire(ctx), s.Release()) })
	wantNoAllocs(t, "TryAcquire and Release", func() { err = errors.Join(err, s.TryAcquire(), s.Release()) })
	wantNil(t, "calls", err)
	wantNil(t, "calls", errors.Join(s.TryAcquire(), s.TryAcquire()))
	wantNoAllocs(t, "TryAcquire of none", func() { err = s.TryAcquire() })
	wantError(t, "TryAcquire of none", err, psync.ErrNoPermit)
	wantNoAllocs(t, "Value", func() { s.Value() })
}

func TestSemaphore(t *testing.T) {
	t.Run("L09_release_above_start", func(t *testing.T) {
		s := must(psync.NewSemaphore(anonymous(t), "", 2))(t)
		for n := 3; n < 6; n++ {
			wantNil(t, "Release", s.Release())
			wantValue(t, s, n)
		}
		for range 5 {
			wantNil(t, "TryAcquire", s.TryAcquire())
		}
		wantError(t, "TryAcquire", s.TryAcquire(), psync.ErrNoPermit)
	})
	t.Run("L10_release_many", func(t *testing.T) {
		onBoth(t, func(t *testing.T, seg *shm.Segment) {
			s := must(psync.NewSemaphore(seg, "", 0))(t)
			const n = 8
			for _, extra := range []int{0, 3} {
				errs := asleepAt(t, s, n)
				wantNil(t, "ReleaseN", s.ReleaseN(n+extra))
				for i := range n {
					wantNil(t, "Acquire", await(t, errs, fmt.Sprintf("waiter %d of %d", i, n)))
				}
				wantValue(t, s, extra)
			}
			for _, n := range []int{0, -1, math.MinInt} {
				wantError(t, fmt.Sprintf("ReleaseN(%d)", n), s.ReleaseN(n), psync.ErrInvalid)
			}
			wantValue(t, s, 3)
		})
	})
	t.Run("L11_maximum", func(t *testing.T) {
		s := must(psync.NewSemaphore(anonymous(t), "", math.MaxInt32-1))(t)
		wantError(t, "ReleaseN(2)", s.ReleaseN(2), psync.ErrOverRelease)
		wantError(t, "ReleaseN(MaxInt)", s.ReleaseN(math.MaxInt), psync.ErrOverRelease)
		wantNil(t, "Release", s.Release())
		for range 2 {
			wantError(t, "Release", s.Release(), psync.ErrOverRelease)
			wantError(t, "ReleaseN(1)", s.ReleaseN(1), psync.ErrOverRelease)
			wantValue(t, s, math.MaxInt32)
		}
		wantNil(t, "TryAcquire", s.TryAcquire())
		wantNil(t, "Release", s.Release())
	})
	// Anonymous: who dies takes the permits with it, and others may give new ones.
	t.Run("dead_party", func(t *testing.T) {
		seg := heap(t)
		party := must(seg.Attach())(t)
		s := closing(t, must(psync.NewSemaphore(seg, "s", 1))(t))
		far := must(psync.OpenSemaphore(party, "s"))(t)
		wantNil(t, "TryAcquire", far.TryAcquire())
		errs := asleepAt(t, s, 2)
		wantNil(t, "Announce", seg.Announce(must(party.Drop())(t)))
		wantError(t, "Acquire of none", s.Acquire(expired), context.Canceled)
		for range 2 {
			wantNil(t, "Release", s.Release())
			wantNil(t, "Acquire", await(t, errs, "waiter"))
		}
	})
}

// Whatever stands in the memory of a semaphore, each call ends.
func TestSemaphoreHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		s := closing(t, must(psync.NewSemaphore(seg, "s", 1))(t))
		o := must(seg.OpenObject(shm.KindSemaphore, "s", 1))(t)
		hostile(t, o, []int{0, 128}, nil, s,
			psync.ErrNoPermit, psync.ErrOverRelease, context.DeadlineExceeded)
		view.At[atomic.Uint32](o.Bytes(), 0).Store(math.MaxUint32)
		wantValue(t, s, math.MaxInt32)
		wantError(t, "Release", s.Release(), psync.ErrOverRelease)
		wantNil(t, "TryAcquire", s.TryAcquire())
	})
}

// hostile writes nonsense at the given offsets while it calls everything; no
// call may hang or fail otherwise than with one of the errors.
func hostile(t *testing.T, o *shm.Object, offsets []int, values []uint32, s permits, known ...error) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	ctx := within(t)
	done := async(func() error {
		for range 2000 {
			word := view.At[atomic.Uint32](o.Bytes(), offsets[r.IntN(len(offsets))])
			switch n := r.IntN(4 + len(values)); n {
			case 0:
				word.Store(r.Uint32())
			case 1:
				word.Store(word.Load() ^ 1<<r.IntN(32))
			case 2:
				word.Store(1)
			case 3:
				word.Store(0)
			default:
				word.Store(values[n-4])
			}
			for _, f := range []func() error{
				s.TryAcquire, s.Release,
				func() error { return second(s.Value()) },
				func() error {
					short, cancel := context.WithTimeout(ctx, 100*time.Microsecond)
					defer cancel()
					return s.Acquire(short)
				},
			} {
				err := f()
				ok := err == nil
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
	wantNil(t, "calls", await(t, done, fmt.Sprintf("call on nonsense, seed %d", seed)))
	for _, off := range offsets {
		view.At[atomic.Uint32](o.Bytes(), off).Store(0)
	}
}

// Tasks of the children. Cell 0 counts those that are ready, or inside; cell 1
// says go on.

var usePermitsTask = partTask("use permits", func(ctx context.Context, p part) error {
	errs := make(chan error)
	for range 2 {
		go func() { errs <- usePermits(ctx, p.permits(), p.Cells.at(0), 2, p.N) }()
	}
	return errors.Join(<-errs, <-errs)
})

// holdPermitTask takes N permits and gives them back when it is told to.
var holdPermitTask = partTask("hold permit", func(ctx context.Context, p part) error {
	for range p.N {
		if err := p.permits().Acquire(ctx); err != nil {
			return err
		}
	}
	p.Cells.add(0)
	if err := p.Cells.until(ctx, 1, 1); err != nil {
		return err
	}
	for range p.N {
		if err := p.permits().Release(); err != nil {
			return err
		}
	}
	return nil
})

// leaveSemaphoreTask makes a named semaphore in a segment of its own and in
// that of its parent, takes a permit of each, and waits to be killed.
var leaveSemaphoreTask = proc.Register("leave semaphore", func(ctx context.Context, in struct {
	Segment *shm.Segment
	Name    string
	Cells   *cells
}) (int, error) {
	own, err := shm.Anonymous(1<<16, nil)
	if err != nil {
		return 0, err
	}
	for _, seg := range []*shm.Segment{own, in.Segment} {
		s, err := psync.NewSemaphore(seg, in.Name, 2)
		if err == nil {
			err = s.Acquire(ctx)
		}
		if err != nil {
			return 0, err
		}
	}
	in.Cells.add(0)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return 0, in.Cells.until(ctx, 1, 1)
})

func TestSemaphoreProcesses(t *testing.T) {
	for _, k := range []semaphoreKind{plainSemaphores, boundedSemaphores} {
		t.Run(k.name+"/L15_hammer", func(t *testing.T) {
			seg := anonymous(t)
			s, c := newPermits(t, k, seg, 2), newCells(t, seg, 3)
			var procs []*proc.Call[int]
			for range 2 {
				procs = append(procs, startPart(t, usePermitsTask, part{N: 1000, Cells: c}.with(s)))
			}
			ctx := within(t)
			all(t, "users of the semaphore", 2, func(int) error { return usePermits(ctx, s, c.at(0), 2, 1000) })
			for _, p := range procs {
				joined(t, p)
			}
			wantValue(t, s, 2)
		})
		t.Run(k.name+"/L15_handed_over", func(t *testing.T) {
			seg := anonymous(t)
			s, c := newPermits(t, k, seg, 2), newCells(t, seg, 3)
			p := startPart(t, holdPermitTask, part{N: 2, Cells: c}.with(s))
			c.await(t, 0, 1)
			wantError(t, "TryAcquire", s.TryAcquire(), psync.ErrNoPermit)
			errs := asleepAt(t, s, 2)
			c.add(1)
			for range 2 {
				wantNil(t, "Acquire", await(t, errs, "waiter"))
			}
			joined(t, p)
			wantNil(t, "Release", errors.Join(s.Release(), s.Release()))
			wantValue(t, s, 2)
		})
		t.Run(k.name+"/killed", func(t *testing.T) { testPermitHolderKilled(t, k) })
	}
	t.Run("L14_nothing_left", func(t *testing.T) {
		seg := anonymous(t)
		name := fmt.Sprintf("left-%d-%x", os.Getpid(), rand.Uint32())
		c := newCells(t, seg, 2)
		p, err := leaveSemaphoreTask.New(struct {
			Segment *shm.Segment
			Name    string
			Cells   *cells
		}{seg, name, c}, nil)
		wantNil(t, "New", err)
		wantNil(t, "Start", p.Start(within(t)))
		t.Cleanup(func() { kill(t, p) })
		c.await(t, 0, 1)
		kill(t, p)
		for _, f := range must(os.ReadDir("/dev/shm"))(t) {
			if strings.Contains(f.Name(), name) {
				t.Errorf("/dev/shm/%s is left", f.Name())
			}
		}
		// In a segment that others use it is as the dead left it.
		wantValue(t, closing(t, must(psync.OpenSemaphore(seg, name))(t)), 1)
	})
}

// A killed process takes permits of a plain semaphore with it; those of a
// bounded one come back, to who waits already too.
func testPermitHolderKilled(t *testing.T, k semaphoreKind) {
	var worst time.Duration
	for range 5 {
		seg := anonymous(t)
		s, c := newPermits(t, k, seg, 2), newCells(t, seg, 3)
		p := startPart(t, holdPermitTask, part{N: 2, Cells: c}.with(s))
		c.await(t, 0, 1)
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error)
		for range 2 {
			go func() { errs <- s.Acquire(ctx) }()
		}
		awaitAsleep(t, os.Getpid(), 2)
		begin := time.Now()
		wantNil(t, "Kill", p.Kill())
		if k.name == "plain" {
			await(t, p.Done(), "end of the holder")
			wantValue(t, s, 0)
			cancel()
			for range 2 {
				wantError(t, "Acquire", await(t, errs, "waiter"), context.Canceled)
			}
			wantNil(t, "Close", seg.Close())
			continue
		}
		for range 2 {
			wantNil(t, "Acquire", await(t, errs, "waiter of a dead holder"))
			worst = max(worst, time.Since(begin))
		}
		cancel()
		wantValue(t, s, 0)
		wantNil(t, "Release", errors.Join(s.Release(), s.Release()))
		wantValue(t, s, 2)
		wantNil(t, "Close", seg.Close())
	}
	t.Logf("SIGKILL to Acquire: worst %v", worst)
	if worst > prompt {
		t.Errorf("permits came back after %v", worst)
	}
}

func BenchmarkSemaphoreUncontended(b *testing.B) {
	for _, k := range []semaphoreKind{plainSemaphores, boundedSemaphores} {
		b.Run(k.name, func(b *testing.B) {
			s := newPermits(b, k, closing(b, must(shm.Anonymous(1<<16, nil))(b)), 2)
			ctx := context.Background()
			for b.Loop() {
				if err := s.Acquire(ctx); err != nil {
					b.Fatal(err)
				}
				if err := s.Release(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
