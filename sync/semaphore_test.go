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

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// permits are the methods that both kinds of semaphores have.
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

func (p job) permits() permits {
	if p.Bounded != nil {
		return p.Bounded
	}
	return p.Semaphore
}

// with returns j with the semaphore in it.
func (p job) with(s permits) job {
	switch s := s.(type) {
	case *psync.Semaphore:
		p.Semaphore = s
	case *psync.BoundedSemaphore:
		p.Bounded = s
	}
	return p
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
	return Closing(t, Must(k.make(seg, "", n))(t))
}

func wantValue(t testing.TB, s permits, want int) {
	t.Helper()
	if n := Must(s.Value())(t); n != want {
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
		WantNil(t, "TryAcquire", s.TryAcquire())
		wantValue(t, s, 1)
		WantNil(t, "Acquire", s.Acquire(t.Context()))
		wantValue(t, s, 0)
		WantError(t, "TryAcquire of none", s.TryAcquire(), psync.ErrNoPermit)
		wantValue(t, s, 0)
		WantNil(t, "Release", s.Release())
		wantValue(t, s, 1)
		WantNil(t, "Release by another goroutine", Await(t, Async(s.Release), "Release"))
	}
	wantValue(t, s, 2)
}

func testPermitTimeouts(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := newPermits(t, k, seg, 1)
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
	defer cancel()
	for range 5 {
		WantNil(t, "Acquire, expired", s.Acquire(Expired))
		WantError(t, "Acquire of none, expired", s.Acquire(Expired), context.Canceled)
		WantError(t, "Acquire of none, expired", s.Acquire(late), context.DeadlineExceeded)
		WantNil(t, "Release", s.Release())
	}
	WantNil(t, "Acquire", s.Acquire(late))
	const d = 20 * time.Millisecond
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	WantError(t, "Acquire of none", s.Acquire(ctx), context.DeadlineExceeded)
	if took := time.Since(begin); took < d || took > prompt {
		t.Errorf("Acquire gave up after %v, want %v", took, d)
	}
	wantValue(t, s, 0)
	WantNil(t, "Release", s.Release())
}

func testPermitInvalid(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	for _, n := range []int{-1, math.MinInt, math.MaxInt} {
		if n == math.MaxInt32 && k.name == "plain" { // the maximum
			continue
		}
		WantError(t, fmt.Sprintf("%d permits", n), Second(k.make(seg, "x", n)), psync.ErrInvalid)
	}
	WantError(t, "open", Second(k.open(seg, "x")), fs.ErrNotExist)
}

func testPermitCancelled(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := newPermits(t, k, seg, 1)
	WantNil(t, "Acquire", s.Acquire(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	done := Async(func() error { return s.Acquire(ctx) })
	AwaitAsleep(t, os.Getpid(), 1)
	begin := time.Now()
	cancel()
	WantError(t, "cancelled Acquire", Await(t, done, "cancelled Acquire"), context.Canceled)
	if d := time.Since(begin); d > prompt {
		t.Errorf("Acquire took %v to see that it was cancelled", d)
	}
	WantNil(t, "Release", s.Release())
	wantValue(t, s, 1)
}

func permitsFail(t *testing.T, s permits) {
	t.Helper()
	for range 2 {
		WantError(t, "TryAcquire", s.TryAcquire(), psync.ErrClosed)
		WantError(t, "Acquire", s.Acquire(t.Context()), psync.ErrClosed)
		WantError(t, "Acquire, expired", s.Acquire(Expired), psync.ErrClosed)
		WantError(t, "Release", s.Release(), psync.ErrClosed)
		WantError(t, "Value", Second(s.Value()), psync.ErrClosed)
		if p, ok := s.(*psync.Semaphore); ok {
			for _, n := range []int{1, 0, math.MaxInt} {
				WantError(t, "ReleaseN", p.ReleaseN(n), psync.ErrClosed)
			}
		}
	}
}

func testPermitClosed(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := Must(k.make(seg, "s", 2))(t)
	other := Closing(t, Must(k.open(seg, "s"))(t))
	WantNil(t, "Acquire", s.Acquire(t.Context()))
	for range 3 {
		WantNil(t, "Close", s.Close())
	}
	permitsFail(t, s)
	if s.Handle() != (shm.Handle{}) {
		t.Error("a closed semaphore has a handle")
	}
	wantValue(t, other, 1)
	WantNil(t, "Release by the same process", other.Release())
	wantValue(t, other, 2)
	zero := k.zero()
	permitsFail(t, zero)
	WantNil(t, "Close of the zero value", zero.Close())

	// A party that closes its segment counts as dead.
	party := Must(object.Attach(seg))(t)
	far := Must(k.open(party, "s"))(t)
	WantNil(t, "Acquire", far.Acquire(t.Context()))
	WantNil(t, "Close", party.Close())
	if k.name == "bounded" {
		wantValue(t, other, 2)
	} else {
		wantValue(t, other, 1)
	}
	permitsFail(t, far)
}

func testPermitCloseWhileWaiting(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := Must(k.make(seg, "", 1))(t)
	WantNil(t, "Acquire", s.Acquire(t.Context()))
	errs := asleep(t, 3, s.Acquire)
	WantNil(t, "Close", s.Close())
	for range cap(errs) {
		WantError(t, "waiter", Await(t, errs, "waiter of a closed semaphore"), psync.ErrClosed)
	}
}

func testPermitSegmentClosed(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := Must(k.make(seg, "", 1))(t)
	WantNil(t, "Acquire", s.Acquire(t.Context()))
	errs := asleep(t, 3, s.Acquire)
	WantNil(t, "Close", seg.Close())
	for range cap(errs) {
		WantError(t, "waiter", Await(t, errs, "waiter of a closed segment"), psync.ErrClosed)
	}
}

// Several waiters get through one by one: each Release lets one of them go on.
func testPermitBlocked(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	const n = 4
	s := newPermits(t, k, seg, n)
	for range n {
		WantNil(t, "Acquire", s.Acquire(t.Context()))
	}
	errs := asleep(t, n, s.Acquire)
	for i := range n {
		WantNil(t, "Release", s.Release())
		WantNil(t, "Acquire", Await(t, errs, fmt.Sprintf("waiter %d", i)))
	}
	wantValue(t, s, 0)
	// All at once: one wake may have to serve several waiters.
	errs = asleep(t, n, s.Acquire)
	for range n {
		WantNil(t, "Release", s.Release())
	}
	for i := range n {
		WantNil(t, "Acquire", Await(t, errs, fmt.Sprintf("waiter %d of those released at once", i)))
	}
	wantValue(t, s, 0)
	for range n {
		WantNil(t, "Release", s.Release())
	}
}

// A waiter whose context ends as it is woken takes the permit, or leaves it to the next waiter.
func testPermitPassOn(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := newPermits(t, k, seg, 1)
	for range 200 {
		WantNil(t, "Acquire", s.Acquire(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		leaver := Async(func() error { return s.Acquire(ctx) })
		stayer := Async(func() error { return s.Acquire(context.Background()) })
		if rand.IntN(4) == 0 {
			AwaitAsleep(t, os.Getpid(), 2)
		}
		go cancel()
		WantNil(t, "Release", s.Release())
		if err := Await(t, leaver, "cancelled waiter"); err == nil {
			WantNil(t, "Release", s.Release())
		} else {
			WantError(t, "cancelled waiter", err, context.Canceled)
		}
		WantNil(t, "waiter", Await(t, stayer, "waiter beside a cancelled one"))
		WantNil(t, "Release", s.Release())
	}
	wantValue(t, s, 1)
}

// usePermits takes and gives back a permit n times. It gives up and tries again at random, and
// checks how many goroutines hold permits at once.
func usePermits(ctx context.Context, s permits, inside *atomic.Uint32, limit uint32, n int) error {
	for i := 0; i < n; {
		if err := impatiently(ctx, s.Acquire); err != nil {
			return fmt.Errorf("acquire %d: %w", i, err)
		}
		if now := inside.Add(1); now > limit {
			return fmt.Errorf("%d inside, want %d at most", now, limit)
		}
		if i%16 == 0 {
			runtime.Gosched() // so that others wait
		}
		inside.Add(^uint32(0))
		if err := s.Release(); err != nil {
			return fmt.Errorf("release %d: %w", i, err)
		}
		i++
	}
	return nil
}

// Of several goroutines of several parties never more hold permits than there are. One permit
// guards plain memory, which the race detector checks.
func testPermitHammer(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	const parties, goroutines, each = 3, 3, 400
	for _, limit := range []int{1, 3} {
		name := fmt.Sprint("s", limit)
		first := Closing(t, Must(k.make(seg, name, limit))(t))
		c := NewCells(t, seg, 2)
		counter := c.Plain(1)
		var users [parties]permits
		for i := range users {
			users[i] = Must(k.open(Attach(t, seg), name))(t)
		}
		ctx := Within(t)
		All(t, "users of the semaphore", parties*goroutines, func(i int) error {
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
			return usePermits(ctx, s, c.At(0), uint32(limit), each)
		})
		if want := uint64(parties * goroutines * each); limit == 1 && *counter != want {
			t.Errorf("counted %d, want %d", *counter, want)
		}
		wantValue(t, first, limit)
		runtime.KeepAlive(c)
	}
}

func testPermitHandle(t *testing.T, seg *shm.Segment, k semaphoreKind) {
	s := Closing(t, Must(k.make(seg, "s", 1))(t))
	same := k.zero()
	WantNil(t, "UnmarshalText", same.UnmarshalText(Must(s.MarshalText())(t)))
	WantNil(t, "TryAcquire", s.TryAcquire())
	WantError(t, "TryAcquire of the same", same.TryAcquire(), psync.ErrNoPermit)
	WantNil(t, "Release of the same", same.Release())
	WantNil(t, "Close", same.Close())
	wantValue(t, s, 1)
	WantError(t, "name that is taken", Second(k.make(seg, "s", 1)), fs.ErrExist)
	WantError(t, "lock of that name", Second(psync.OpenLock(seg, "s")), shm.ErrMismatch)
	h := s.Handle()
	h.Kind = shm.KindLock
	WantError(t, "handle of a lock", same.UnmarshalText([]byte(h.String())), shm.ErrMismatch)
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
	WantNil(t, "calls", err)
	WantNil(t, "calls", errors.Join(s.TryAcquire(), s.TryAcquire()))
	wantNoAllocs(t, "TryAcquire of none", func() { err = s.TryAcquire() })
	WantError(t, "TryAcquire of none", err, psync.ErrNoPermit)
	wantNoAllocs(t, "Value", func() { s.Value() })
}

func TestSemaphore(t *testing.T) {
	t.Run("L09_release_above_start", func(t *testing.T) {
		s := Must(psync.NewSemaphore(Anonymous(t, room), "", 2))(t)
		for n := 3; n < 6; n++ {
			WantNil(t, "Release", s.Release())
			wantValue(t, s, n)
		}
		for range 5 {
			WantNil(t, "TryAcquire", s.TryAcquire())
		}
		WantError(t, "TryAcquire", s.TryAcquire(), psync.ErrNoPermit)
	})
	t.Run("L10_release_many", func(t *testing.T) {
		onBoth(t, func(t *testing.T, seg *shm.Segment) {
			s := Must(psync.NewSemaphore(seg, "", 0))(t)
			const n = 8
			for _, extra := range []int{0, 3} {
				errs := asleep(t, n, s.Acquire)
				WantNil(t, "ReleaseN", s.ReleaseN(n+extra))
				for i := range n {
					WantNil(t, "Acquire", Await(t, errs, fmt.Sprintf("waiter %d of %d", i, n)))
				}
				wantValue(t, s, extra)
			}
			for _, n := range []int{0, -1, math.MinInt} {
				WantError(t, fmt.Sprintf("ReleaseN(%d)", n), s.ReleaseN(n), psync.ErrInvalid)
			}
			wantValue(t, s, 3)
		})
	})
	t.Run("L11_maximum", func(t *testing.T) {
		s := Must(psync.NewSemaphore(Anonymous(t, room), "", math.MaxInt32-1))(t)
		WantError(t, "ReleaseN(2)", s.ReleaseN(2), psync.ErrOverRelease)
		WantError(t, "ReleaseN(MaxInt)", s.ReleaseN(math.MaxInt), psync.ErrOverRelease)
		WantNil(t, "Release", s.Release())
		for range 2 {
			WantError(t, "Release", s.Release(), psync.ErrOverRelease)
			WantError(t, "ReleaseN(1)", s.ReleaseN(1), psync.ErrOverRelease)
			wantValue(t, s, math.MaxInt32)
		}
		WantNil(t, "TryAcquire", s.TryAcquire())
		WantNil(t, "Release", s.Release())
	})
	// Permits have no owner: those of a dead process are lost, and other processes may give new
	// ones.
	t.Run("dead_party", func(t *testing.T) {
		seg := Heap(t, room)
		party := Must(object.Attach(seg))(t)
		s := Closing(t, Must(psync.NewSemaphore(seg, "s", 1))(t))
		far := Must(psync.OpenSemaphore(party, "s"))(t)
		WantNil(t, "TryAcquire", far.TryAcquire())
		errs := asleep(t, 2, s.Acquire)
		Dies(t, seg, party)
		WantError(t, "Acquire of none", s.Acquire(Expired), context.Canceled)
		for range 2 {
			WantNil(t, "Release", s.Release())
			WantNil(t, "Acquire", Await(t, errs, "waiter"))
		}
	})
}

// Every call ends, whatever the semaphore's memory contains.
func TestSemaphoreHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		s := Closing(t, Must(psync.NewSemaphore(seg, "s", 1))(t))
		o := Must(object.Open(seg, shm.KindSemaphore, "s", 1))(t)
		hostile(t, o, []int{0, 128}, nil, s,
			psync.ErrNoPermit, psync.ErrOverRelease, context.DeadlineExceeded)
		view.At[atomic.Uint32](o.Bytes(), 0).Store(math.MaxUint32)
		wantValue(t, s, math.MaxInt32)
		WantError(t, "Release", s.Release(), psync.ErrOverRelease)
		WantNil(t, "TryAcquire", s.TryAcquire())
	})
}

// hostile writes random values at the given offsets while it calls all methods. Each call must end,
// and fail only with one of the known errors.
func hostile(t *testing.T, o object.Object, offsets []int, values []uint32, s permits, known ...error) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	ctx := Within(t)
	done := Async(func() error {
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
				func() error { return Second(s.Value()) },
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
	WantNil(t, "calls", Await(t, done, fmt.Sprintf("call on nonsense, seed %d", seed)))
	for _, off := range offsets {
		view.At[atomic.Uint32](o.Bytes(), off).Store(0)
	}
}

// The children's tasks. Cell 0 counts the children that are ready, or that hold a permit. Cell 1 is
// set when they may go on.

var usePermitsTask = task("use permits", func(ctx context.Context, p job) error {
	errs := make(chan error)
	for range 2 {
		go func() { errs <- usePermits(ctx, p.permits(), p.Cells.At(0), 2, p.N) }()
	}
	return errors.Join(<-errs, <-errs)
})

// holdPermitTask takes N permits and gives them back when cell 1 is set.
var holdPermitTask = task("hold permit", func(ctx context.Context, p job) error {
	for range p.N {
		if err := p.permits().Acquire(ctx); err != nil {
			return err
		}
	}
	p.Cells.Add(0)
	if err := p.Cells.Until(ctx, 1, 1); err != nil {
		return err
	}
	for range p.N {
		if err := p.permits().Release(); err != nil {
			return err
		}
	}
	return nil
})

// A leaver is the argument of a child that leaves semaphores behind.
type leaver struct {
	Segment *shm.Segment
	Name    string
	Cells   *Cells
}

// leaveSemaphoreTask makes a named semaphore in a segment of its own and another one in its
// parent's segment. It takes a permit of each, and waits until it is killed.
var leaveSemaphoreTask = task("leave semaphore", func(ctx context.Context, in leaver) error {
	own, err := shm.Anonymous(1<<16, nil)
	if err != nil {
		return err
	}
	for _, seg := range []*shm.Segment{own, in.Segment} {
		s, err := psync.NewSemaphore(seg, in.Name, 2)
		if err == nil {
			err = s.Acquire(ctx)
		}
		if err != nil {
			return err
		}
	}
	in.Cells.Add(0)
	return in.Cells.Until(ctx, 1, 1)
})

func TestSemaphoreProcesses(t *testing.T) {
	for _, k := range []semaphoreKind{plainSemaphores, boundedSemaphores} {
		t.Run(k.name+"/L15_hammer", func(t *testing.T) {
			seg := Anonymous(t, room)
			s, c := newPermits(t, k, seg, 2), NewCells(t, seg, 3)
			var procs []*proc.Call[int]
			for range 2 {
				procs = append(procs, Start(t, usePermitsTask, job{N: 1000, Cells: c}.with(s)))
			}
			ctx := Within(t)
			All(t, "users of the semaphore", 2, func(int) error { return usePermits(ctx, s, c.At(0), 2, 1000) })
			for _, p := range procs {
				Result(t, p)
			}
			wantValue(t, s, 2)
		})
		t.Run(k.name+"/L15_handed_over", func(t *testing.T) {
			seg := Anonymous(t, room)
			s, c := newPermits(t, k, seg, 2), NewCells(t, seg, 3)
			p := Start(t, holdPermitTask, job{N: 2, Cells: c}.with(s))
			c.Await(t, 0, 1)
			WantError(t, "TryAcquire", s.TryAcquire(), psync.ErrNoPermit)
			errs := asleep(t, 2, s.Acquire)
			c.Add(1)
			for range 2 {
				WantNil(t, "Acquire", Await(t, errs, "waiter"))
			}
			Result(t, p)
			WantNil(t, "Release", errors.Join(s.Release(), s.Release()))
			wantValue(t, s, 2)
		})
		t.Run(k.name+"/killed", func(t *testing.T) { testPermitHolderKilled(t, k) })
	}
	t.Run("L14_nothing_left", func(t *testing.T) {
		seg := Anonymous(t, room)
		name := fmt.Sprintf("left-%d-%x", os.Getpid(), rand.Uint32())
		c := NewCells(t, seg, 2)
		p := Start(t, leaveSemaphoreTask, leaver{seg, name, c})
		c.Await(t, 0, 1)
		Kill(t, p)
		for _, f := range Must(os.ReadDir("/dev/shm"))(t) {
			if strings.Contains(f.Name(), name) {
				t.Errorf("/dev/shm/%s is left", f.Name())
			}
		}
		// In a segment that others use, the semaphore is as the dead process left it.
		wantValue(t, Closing(t, Must(psync.OpenSemaphore(seg, name))(t)), 1)
	})
}

// The permits that a killed process has taken of a plain semaphore are lost. Those of a bounded one
// become free, and waiters get them.
func testPermitHolderKilled(t *testing.T, k semaphoreKind) {
	var worst time.Duration
	for range 5 {
		seg := Anonymous(t, room)
		s, c := newPermits(t, k, seg, 2), NewCells(t, seg, 3)
		p := Start(t, holdPermitTask, job{N: 2, Cells: c}.with(s))
		c.Await(t, 0, 1)
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error)
		for range 2 {
			go func() { errs <- s.Acquire(ctx) }()
		}
		AwaitAsleep(t, os.Getpid(), 2)
		begin := time.Now()
		WantNil(t, "Kill", p.Kill())
		if k.name == "plain" {
			Await(t, p.Done(), "end of the holder")
			wantValue(t, s, 0)
			cancel()
			for range 2 {
				WantError(t, "Acquire", Await(t, errs, "waiter"), context.Canceled)
			}
			WantNil(t, "Close", seg.Close())
			continue
		}
		for range 2 {
			WantNil(t, "Acquire", Await(t, errs, "waiter of a dead holder"))
			worst = max(worst, time.Since(begin))
		}
		cancel()
		wantValue(t, s, 0)
		WantNil(t, "Release", errors.Join(s.Release(), s.Release()))
		wantValue(t, s, 2)
		WantNil(t, "Close", seg.Close())
	}
	t.Logf("SIGKILL to Acquire: worst %v", worst)
	if worst > prompt {
		t.Errorf("permits came back after %v", worst)
	}
}

func BenchmarkSemaphoreUncontended(b *testing.B) {
	for _, k := range []semaphoreKind{plainSemaphores, boundedSemaphores} {
		b.Run(k.name, func(b *testing.B) {
			s := newPermits(b, k, Anonymous(b, 1<<16), 2)
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
