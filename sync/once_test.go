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

func newOnce(t testing.TB, seg *shm.Segment) *psync.Once {
	t.Helper()
	return Closing(t, Must(psync.NewOnce(seg, ""))(t))
}

func nothing() error { return nil }

// never is a function that must not be called.
func never(t testing.TB) func() error {
	return func() error {
		t.Error("the function was called")
		return nil
	}
}

func wantDone(t testing.TB, o *psync.Once, want bool) {
	t.Helper()
	if o.Done() != want {
		t.Errorf("done is %v, want %v", !want, want)
	}
}

func TestOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"once", testOnce},
		{"fails", testOnceFails},
		{"waits", testOnceWaits},
		{"L04_expired_context", testOnceExpired},
		{"nested", testOnceNested},
		{"closed", testOnceClosed},
		{"close_while_waiting", testOnceCloseWhileWaiting},
		{"closed_inside", testOnceClosedInside},
		{"hammer", testOnceHammer},
		{"handle", testOnceHandle},
		{"no_allocation", testOnceAllocs},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

func testOnce(t *testing.T, seg *shm.Segment) {
	o := newOnce(t, seg)
	wantDone(t, o, false)
	called := 0
	for range 3 {
		WantNil(t, "Do", o.Do(t.Context(), func() error {
			called++
			wantDone(t, o, false)
			return nil
		}))
		wantDone(t, o, true)
	}
	WantNil(t, "Do, expired", o.Do(Expired, never(t)))
	if called != 1 {
		t.Errorf("called %d times", called)
	}
}

// A function that fails, panics or calls runtime.Goexit has not succeeded.
func testOnceFails(t *testing.T, seg *shm.Segment) {
	o := newOnce(t, seg)
	broken := errors.New("broken")
	for range 3 {
		WantError(t, "Do that fails", o.Do(t.Context(), func() error { return broken }), broken)
		wantDone(t, o, false)
		if v := PanicOf(func() { o.Do(t.Context(), func() error { panic("oh") }) }); v != "oh" {
			t.Errorf("panic %v", v)
		}
		wantDone(t, o, false)
		gone := make(chan bool)
		go func() {
			defer close(gone)
			o.Do(context.Background(), func() error { runtime.Goexit(); return nil })
		}()
		Await(t, gone, "Goexit")
		wantDone(t, o, false)
	}
	// A Do that waits meanwhile calls its function.
	var next <-chan error
	WantError(t, "Do that fails", o.Do(t.Context(), func() error {
		next = Async(func() error { return o.Do(context.Background(), nothing) })
		AwaitAsleep(t, os.Getpid(), 1)
		return broken
	}), broken)
	WantNil(t, "Do that waited", Await(t, next, "Do that waited"))
	wantDone(t, o, true)
}

func testOnceWaits(t *testing.T, seg *shm.Segment) {
	o := Must(psync.NewOnce(seg, "o"))(t)
	far := Must(psync.OpenOnce(Attach(t, seg), "o"))(t)
	const n = 4
	errs := make(chan error, n)
	var ended atomic.Bool
	WantNil(t, "Do", o.Do(t.Context(), func() error {
		for i := range n {
			go func() {
				err := []*psync.Once{o, far}[i%2].Do(context.Background(), never(t))
				if err == nil && !ended.Load() {
					err = errors.New("back before the function")
				}
				errs <- err
			}()
		}
		AwaitAsleep(t, os.Getpid(), n)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		WantError(t, "Do with a timeout", far.Do(ctx, never(t)), context.DeadlineExceeded)
		wantDone(t, far, false)
		ended.Store(true)
		return nil
	}))
	for range n {
		WantNil(t, "Do", Await(t, errs, "waiter"))
	}
	wantDone(t, far, true)
}

func testOnceExpired(t *testing.T, seg *shm.Segment) {
	o := newOnce(t, seg)
	broken := errors.New("broken")
	for range 3 {
		WantError(t, "Do, expired", o.Do(Expired, func() error {
			WantError(t, "Do beside it, expired", o.Do(Expired, never(t)), context.Canceled)
			return broken
		}), broken)
	}
	WantNil(t, "Do, expired", o.Do(Expired, nothing))
}

// A Do of the same once inside the function waits for itself, until its context is done.
func testOnceNested(t *testing.T, seg *shm.Segment) {
	o := newOnce(t, seg)
	WantNil(t, "Do", o.Do(t.Context(), func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		WantError(t, "Do inside", o.Do(ctx, never(t)), context.DeadlineExceeded)
		return nil
	}))
	wantDone(t, o, true)
}

func onceFails(t *testing.T, o *psync.Once) {
	t.Helper()
	for range 2 {
		WantError(t, "Do", o.Do(t.Context(), never(t)), psync.ErrClosed)
		WantError(t, "Do, expired", o.Do(Expired, never(t)), psync.ErrClosed)
		wantClosed(t, "Done", o.Done)
	}
}

func testOnceClosed(t *testing.T, seg *shm.Segment) {
	o := Must(psync.NewOnce(seg, "o"))(t)
	other := Closing(t, Must(psync.OpenOnce(seg, "o"))(t))
	for range 2 {
		WantNil(t, "Close", o.Close())
	}
	onceFails(t, o)
	var zero psync.Once
	onceFails(t, &zero)
	WantNil(t, "Close of the zero Once", zero.Close())
	for range 2 {
		party := Must(object.Attach(seg))(t)
		far := Must(psync.OpenOnce(party, "o"))(t)
		WantNil(t, "Close", party.Close())
		onceFails(t, far)
		WantNil(t, "Do", other.Do(t.Context(), nothing))
	}
}

func testOnceCloseWhileWaiting(t *testing.T, seg *shm.Segment) {
	o := Must(psync.NewOnce(seg, "o"))(t)
	other := Must(psync.OpenOnce(seg, "o"))(t)
	party := Must(object.Attach(seg))(t)
	far := Must(psync.OpenOnce(party, "o"))(t)
	WantNil(t, "Do", o.Do(t.Context(), func() error {
		errs := make(chan error, 4)
		for range 2 {
			go func() { errs <- other.Do(context.Background(), never(t)) }()
			go func() { errs <- far.Do(context.Background(), never(t)) }()
		}
		AwaitAsleep(t, os.Getpid(), cap(errs))
		WantNil(t, "Close", other.Close())
		WantNil(t, "Close", party.Close())
		for range cap(errs) {
			WantError(t, "waiter", Await(t, errs, "waiter of a closed once"), psync.ErrClosed)
		}
		return nil
	}))
}

// If the function closes the once, it is not affected. If it closes the segment, that is like a
// death in the function.
func testOnceClosedInside(t *testing.T, seg *shm.Segment) {
	o := Must(psync.NewOnce(seg, "o"))(t)
	other := Closing(t, Must(psync.OpenOnce(seg, "o"))(t))
	WantNil(t, "Do", o.Do(t.Context(), func() error { return o.Close() }))
	wantDone(t, other, true)

	// Not on the heap, whose memory can't be taken away from a running function.
	mapped := Anonymous(t, room)
	o = Closing(t, Must(psync.NewOnce(mapped, "o"))(t))
	party := Must(object.Attach(mapped))(t)
	far := Must(psync.OpenOnce(party, "o"))(t)
	WantError(t, "Do", far.Do(t.Context(), party.Close), psync.ErrClosed)
	wantDone(t, o, false)
	WantNil(t, "Do", o.Do(t.Context(), nothing))
}

// One of many calls of Do performs the action, although functions fail. All callers see what the
// function wrote.
func testOnceHammer(t *testing.T, seg *shm.Segment) {
	const parties, goroutines, rounds = 3, 3, 60
	broken := errors.New("broken")
	c := NewCells(t, seg, 1)
	parts := []*shm.Segment{seg}
	for range parties - 1 {
		parts = append(parts, Attach(t, seg))
	}
	for round := range rounds {
		name := fmt.Sprint("o", round)
		Closing(t, Must(psync.NewOnce(seg, name))(t))
		*c.Plain(0) = 0
		var inside, done atomic.Int32
		ctx := Within(t)
		All(t, "users of the once", parties*goroutines, func(i int) error {
			o, err := psync.OpenOnce(parts[i%parties], name)
			if err != nil {
				return err
			}
			defer o.Close()
			for {
				err := o.Do(ctx, func() error {
					if inside.Add(1) != 1 {
						t.Error("two run at once")
					}
					defer inside.Add(-1)
					runtime.Gosched()
					*c.Plain(0)++
					if rand.IntN(3) > 0 {
						return broken
					}
					done.Add(1)
					return nil
				})
				if err == nil {
					if *c.Plain(0) == 0 || !o.Done() {
						return fmt.Errorf("Do is back, the value is %d, done is %v", *c.Plain(0), o.Done())
					}
					return nil
				}
				if err != broken {
					return err
				}
			}
		})
		if n := done.Load(); n != 1 {
			t.Fatalf("done %d times", n)
		}
		WantNil(t, "Remove", seg.Remove(name))
	}
}

func testOnceHandle(t *testing.T, seg *shm.Segment) {
	o := Closing(t, Must(psync.NewOnce(seg, "o"))(t))
	var same psync.Once
	WantNil(t, "UnmarshalText", same.UnmarshalText(Must(o.MarshalText())(t)))
	WantNil(t, "Do", o.Do(t.Context(), nothing))
	WantNil(t, "Do of the same", same.Do(t.Context(), never(t)))
	WantNil(t, "Close", same.Close())
	wantDone(t, o, true)
	WantError(t, "name that is taken", Second(psync.NewOnce(seg, "o")), fs.ErrExist)
	WantError(t, "name of nothing", Second(psync.OpenOnce(seg, "x")), fs.ErrNotExist)
	WantError(t, "lock of that name", Second(psync.OpenLock(seg, "o")), shm.ErrMismatch)
}

func testOnceAllocs(t *testing.T, seg *shm.Segment) {
	o := newOnce(t, seg)
	ctx := t.Context()
	WantNil(t, "Do", o.Do(ctx, nothing))
	var err error
	f := never(t)
	wantNoAllocs(t, "Do and Done", func() { err = errors.Join(err, o.Do(ctx, f)); o.Done() })
	WantNil(t, "Do", err)
}

// Deaths are simulated, so that the race detector can observe what follows.
func TestOnceDeadParty(t *testing.T) {
	seg := Heap(t, room)
	party := Must(object.Attach(seg))(t)
	o := Closing(t, Must(psync.NewOnce(seg, "o"))(t))
	far := Must(psync.OpenOnce(party, "o"))(t)
	inside, end := make(chan struct{}), make(chan struct{})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		far.Do(context.Background(), func() error {
			close(inside)
			<-end
			runtime.Goexit() // Do never returns
			return nil
		})
	}()
	Await(t, inside, "function")
	var called atomic.Int32
	errs := make(chan error, 3)
	for range cap(errs) {
		go func() {
			errs <- o.Do(context.Background(), func() error { called.Add(1); return nil })
		}()
	}
	AwaitAsleep(t, os.Getpid(), cap(errs))
	Dies(t, seg, party)
	for range cap(errs) {
		WantNil(t, "Do", Await(t, errs, "waiter of a dead runner"))
	}
	if n := called.Load(); n != 1 {
		t.Errorf("called %d times", n)
	}
	close(end)
	Await(t, gone, "goroutine of the dead")
	wantDone(t, o, true)
}

func TestOnceHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		o := Closing(t, Must(psync.NewOnce(seg, "o"))(t))
		obj := Must(object.Open(seg, shm.KindOnce, "o", 1))(t)
		ctx := Within(t)
		done := Async(func() error {
			for range 2000 {
				view.At[atomic.Uint32](obj.Bytes(), 0).Store(rand.Uint32())
				view.At[atomic.Uint32](obj.Bytes(), 16).Store(rand.Uint32() * rand.Uint32N(2))
				o.Done()
				short, cancel := context.WithTimeout(ctx, 100*time.Microsecond)
				err := o.Do(short, nothing)
				cancel()
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					return err
				}
			}
			return nil
		})
		WantNil(t, "calls", Await(t, done, "call on nonsense"))
		runtime.KeepAlive(obj)
	})
}

// onceTask calls Do at the same time as others. Cell 0 counts the children that are ready, cell 1
// is set when they may go on, and cell 2 counts calls of the function.
var onceTask = task("once", func(ctx context.Context, p job) error {
	p.Cells.Add(0)
	if err := p.Cells.Until(ctx, 1, 1); err != nil {
		return err
	}
	p.Cells.Add(0) // from here on, only Do can wait
	return p.Once.Do(ctx, func() error { p.Cells.Add(2); return nil })
})

// stuckOnceTask stays in the function until it is killed.
var stuckOnceTask = task("stuck once", func(ctx context.Context, p job) error {
	return p.Once.Do(ctx, func() error {
		p.Cells.Add(0)
		return p.Cells.Until(ctx, 1, 1)
	})
})

func TestOnceProcesses(t *testing.T) {
	t.Run("L15_one_of_all", func(t *testing.T) {
		seg := Anonymous(t, room)
		o, c := newOnce(t, seg), NewCells(t, seg, 3)
		var procs []*proc.Call[int]
		for range 4 {
			procs = append(procs, Start(t, onceTask, job{Once: o, Cells: c}))
		}
		c.Await(t, 0, 4)
		c.Add(1)
		for _, p := range procs {
			Result(t, p)
		}
		wantDone(t, o, true)
		if n := c.At(2).Load(); n != 1 {
			t.Errorf("called %d times", n)
		}
	})
	t.Run("runner_killed", func(t *testing.T) {
		var worst time.Duration
		for range 5 {
			seg := Anonymous(t, room)
			o, c := newOnce(t, seg), NewCells(t, seg, 3)
			p := Start(t, stuckOnceTask, job{Once: o, Cells: c})
			c.Await(t, 0, 1)
			var called atomic.Int32
			errs := make(chan error, 3)
			for range cap(errs) {
				go func() {
					errs <- o.Do(context.Background(), func() error { called.Add(1); return nil })
				}()
			}
			AwaitAsleep(t, os.Getpid(), cap(errs))
			begin := time.Now()
			WantNil(t, "Kill", p.Kill())
			for range cap(errs) {
				WantNil(t, "Do", Await(t, errs, "waiter of a dead runner"))
			}
			worst = max(worst, time.Since(begin))
			if n := called.Load(); n != 1 || !o.Done() {
				t.Errorf("called %d times, done is %v", n, o.Done())
			}
			WantNil(t, "Close", seg.Close())
		}
		t.Logf("SIGKILL to Do of all: worst %v", worst)
		if worst > prompt {
			t.Errorf("waiters got through after %v", worst)
		}
	})
}
