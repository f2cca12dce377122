//go:build linux

package ring_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestQueue(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"Q01_full", testFull},
		{"Q02_empty", testEmpty},
		{"Q03_order", testOrder},
		{"Q04_len", testLen},
		{"Q06_expired_context", testExpired},
		{"Q07_closed", testClosed},
		{"Q07_shutdown_drains", testShutdownDrains},
		{"Q07_shutdown_often", testShutdownOften},
		{"all", testAll},
		{"Q08_close_twice", testCloseTwice},
		{"cancelled", testCancelled},
		{"close_while_blocked", testCloseWhileBlocked},
		{"segment_closed_while_blocked", testSegmentClosedWhileBlocked},
		{"cancel_hammer", testCancelHammer},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

// fill puts messages until the empty queue is full.
func fill(t testing.TB, q *ring.Queue[message]) {
	t.Helper()
	for i := range q.Cap() {
		WantNil(t, "TryPut", q.TryPut(message{Seq: uint32(i)}))
	}
}

func testFull(t *testing.T, seg *shm.Segment) {
	for _, capacity := range []int{1, 2, 6, 17, 100} {
		q := newQueue[message](t, seg, capacity)
		if q.Cap() != capacity {
			t.Errorf("Cap is %d, want %d", q.Cap(), capacity)
		}
		for lap := range 3 {
			fill(t, q)
			for range 3 {
				if err := q.TryPut(message{}); !errors.Is(err, ring.ErrFull) {
					t.Fatalf("put %d of %d: %v, want ErrFull", capacity+1, capacity, err)
				}
			}
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			WantError(t, "Put into a full queue", q.Put(ctx, message{}), context.DeadlineExceeded)
			if d := time.Since(begin); d < 5*time.Millisecond {
				t.Errorf("Put gave up after %v", d)
			}
			cancel()
			if n := q.Len(); n != capacity {
				t.Errorf("Len is %d, want %d", n, capacity)
			}
			// After one Get exactly one message fits.
			if v, err := q.TryGet(); err != nil || v.Seq != 0 {
				t.Fatalf("TryGet: %v, %v", v, err)
			}
			WantNil(t, "TryPut", q.TryPut(message{Seq: uint32(capacity)}))
			WantError(t, "TryPut", q.TryPut(message{}), ring.ErrFull)
			for i := range capacity {
				if v, err := q.TryGet(); err != nil || v.Seq != uint32(i+1) {
					t.Fatalf("lap %d: got %v, %v, want %d", lap, v, err, i+1)
				}
			}
		}
	}
}

func testEmpty(t *testing.T, seg *shm.Segment) {
	q := newQueue[message](t, seg, 6)
	for range 20 {
		if v, err := q.TryGet(); !errors.Is(err, ring.ErrEmpty) || v != (message{}) {
			t.Fatalf("TryGet: %v, %v, want ErrEmpty", v, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if v, err := q.Get(ctx); !errors.Is(err, context.DeadlineExceeded) || v != (message{}) {
			t.Fatalf("Get: %v, %v, want the deadline", v, err)
		}
		cancel()
		WantNil(t, "Put", q.Put(t.Context(), message{1, 2}))
		if v, err := q.Get(t.Context()); err != nil || v != (message{1, 2}) {
			t.Fatalf("Get: %v, %v", v, err)
		}
	}
}

func testOrder(t *testing.T, seg *shm.Segment) {
	const n = 5000
	for _, capacity := range []int{1, 2, 7, 64} {
		q := newQueue[message](t, seg, capacity)
		ctx := Within(t)
		done := Async(func() error {
			for i := range uint32(n) {
				if err := q.Put(ctx, message{Seq: i}); err != nil {
					return err
				}
			}
			return nil
		})
		for i := range uint32(n) {
			if v, err := q.Get(ctx); err != nil || v.Seq != i {
				t.Fatalf("capacity %d: got %v, %v, want %d", capacity, v, err, i)
			}
		}
		WantNil(t, "Put", Await(t, done, "putter"))
	}
}

func testLen(t *testing.T, seg *shm.Segment) {
	q := newQueue[message](t, seg, 2)
	want := func(n int) {
		t.Helper()
		if got := q.Len(); got != n {
			t.Errorf("Len is %d, want %d", got, n)
		}
	}
	for range 5 {
		want(0)
		q.TryPut(message{})
		want(1)
		q.TryPut(message{})
		want(2)
		q.TryPut(message{})
		want(2)
		q.TryGet()
		want(1)
		q.TryGet()
		want(0)
		q.TryGet()
		want(0)
	}
}

// With an expired context, Put and Get try once.
func testExpired(t *testing.T, seg *shm.Segment) {
	q := newQueue[message](t, seg, 2)
	for range 5 {
		for i := range uint32(2) {
			WantNil(t, "Put with space", q.Put(Expired, message{Seq: i}))
		}
		WantError(t, "Put without space", q.Put(Expired, message{}), context.Canceled)
		for i := range uint32(2) {
			if v, err := q.Get(Expired); err != nil || v.Seq != i {
				t.Fatalf("Get: %v, %v, want %d", v, err, i)
			}
		}
		_, err := q.Get(Expired)
		WantError(t, "Get of nothing", err, context.Canceled)
	}
}

// allFail checks that every method of a closed queue returns ErrClosed.
func allFail(t *testing.T, q *ring.Queue[message]) {
	t.Helper()
	for range 5 {
		_, err := q.TryGet()
		WantError(t, "TryGet", err, ring.ErrClosed)
		_, err = q.Get(t.Context())
		WantError(t, "Get", err, ring.ErrClosed)
		_, err = q.Get(Expired)
		WantError(t, "Get, expired", err, ring.ErrClosed)
		WantError(t, "TryPut", q.TryPut(message{}), ring.ErrClosed)
		WantError(t, "Put", q.Put(t.Context(), message{}), ring.ErrClosed)
		WantError(t, "Put, expired", q.Put(Expired, message{}), ring.ErrClosed)
	}
	WantError(t, "Shutdown", q.Shutdown(), ring.ErrClosed)
}

// Close affects one Queue only. The messages stay for the others that are open.
func testClosed(t *testing.T, seg *shm.Segment) {
	q := Must(ring.NewQueue[message](seg, "q", 6, nil))(t)
	other := Closing(t, Must(ring.OpenQueue[message](seg, "q"))(t))
	q.TryPut(message{1, 1})
	q.TryPut(message{1, 2})
	WantNil(t, "Close", q.Close())
	allFail(t, q)
	for name, f := range map[string]func(){"Len": func() { q.Len() }, "Cap": func() { q.Cap() }} {
		if err, ok := PanicOf(f).(error); !ok || !errors.Is(err, ring.ErrClosed) {
			t.Errorf("%s of a closed queue: panic %v, want ErrClosed", name, err)
		}
	}
	if q.Handle() != (shm.Handle{}) {
		t.Errorf("a closed queue has the handle %v", q.Handle())
	}
	for i := range uint32(2) {
		if v, err := other.TryGet(); err != nil || v != (message{1, i + 1}) {
			t.Errorf("got %v, %v", v, err)
		}
	}
	WantNil(t, "TryPut through the other", other.TryPut(message{}))

	var zero ring.Queue[message]
	allFail(t, &zero)

	// The segment's Close closes every Queue of this attachment.
	party := Attach(t, seg)
	far := Must(ring.OpenQueue[message](party, "q"))(t)
	WantNil(t, "Close", party.Close())
	allFail(t, far)
	if _, err := other.TryGet(); err != nil {
		t.Errorf("TryGet of the other party: %v", err)
	}
}

func testShutdownDrains(t *testing.T, seg *shm.Segment) {
	q := newQueue[message](t, seg, 6)
	for i := range uint32(4) {
		q.TryPut(message{Seq: i})
	}
	for range 2 {
		WantNil(t, "Shutdown", q.Shutdown())
		WantError(t, "TryPut", q.TryPut(message{}), ring.ErrShutdown)
		WantError(t, "Put", q.Put(t.Context(), message{}), ring.ErrShutdown)
	}
	for i := range uint32(4) {
		if q.Len() != int(4-i) {
			t.Errorf("Len is %d after the shutdown and %d messages", q.Len(), i)
		}
		if v, err := q.Get(t.Context()); err != nil || v.Seq != i {
			t.Fatalf("Get: %v, %v, want %d", v, err, i)
		}
	}
	for range 2 {
		_, err := q.Get(t.Context())
		WantError(t, "Get", err, ring.ErrShutdown)
		_, err = q.TryGet()
		WantError(t, "TryGet", err, ring.ErrShutdown)
	}
}

// Puts that fail after the shutdown do not use up positions.
func testShutdownOften(t *testing.T, seg *shm.Segment) {
	for _, capacity := range []int{1, 3} {
		q := newQueue[message](t, seg, capacity)
		WantNil(t, "TryPut", q.TryPut(message{7, 7}))
		if capacity == 1 {
			q.TryGet()
		}
		WantNil(t, "Shutdown", q.Shutdown())
		for i := range 3000 {
			if err := q.TryPut(message{}); !errors.Is(err, ring.ErrShutdown) {
				t.Fatalf("capacity %d: TryPut %d after the shutdown: %v", capacity, i, err)
			}
		}
		if capacity == 3 {
			if v, err := q.TryGet(); err != nil || v != (message{7, 7}) {
				t.Errorf("TryGet: %v, %v", v, err)
			}
		}
		if _, err := q.TryGet(); !errors.Is(err, ring.ErrShutdown) {
			t.Errorf("capacity %d: TryGet: %v, want ErrShutdown", capacity, err)
		}
	}
}

func testAll(t *testing.T, seg *shm.Segment) {
	q := newQueue[message](t, seg, 5)
	fill(t, q)
	WantNil(t, "Shutdown", q.Shutdown())
	next := uint32(0)
	for m, err := range q.All(t.Context()) {
		if err != nil || m.Seq != next {
			t.Fatalf("All yields %d, %v, want %d", m.Seq, err, next)
		}
		if next++; next == 3 {
			break // the loop must not take a value that it does not yield
		}
	}
	if n := q.Len(); n != 2 {
		t.Errorf("after a loop of 3 values Len is %d, want 2", n)
	}
	for range q.All(t.Context()) {
		next++
	}
	if next != 5 {
		t.Errorf("loops over 5 values had %d turns", next)
	}

	q = newQueue[message](t, seg, 5)
	fill(t, q)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var errs []error
	for _, err := range q.All(ctx) {
		if errs = append(errs, err); len(errs) == 5 {
			cancel()
		}
	}
	WantError(t, "the last pair of All", errs[len(errs)-1], context.Canceled)
	if len(errs) != 6 {
		t.Errorf("a loop over 5 values until its context was done had %d turns, want 6", len(errs))
	}
	WantNil(t, "Close", q.Close())
	for _, err := range q.All(t.Context()) {
		WantError(t, "All of a closed queue", err, ring.ErrClosed)
	}
}

func testCloseTwice(t *testing.T, seg *shm.Segment) {
	q := Must(ring.NewQueue[message](seg, "", 1, nil))(t)
	for range 3 {
		WantNil(t, "Close", q.Close())
	}
	var zero ring.Queue[message]
	WantNil(t, "Close of the zero Queue", zero.Close())
}

// prompt bounds calls that need not wait for another process. It is far longer than they take, and
// far shorter than Patience.
const prompt = 5 * time.Second

// A cancelled wait returns at once and changes nothing.
func testCancelled(t *testing.T, seg *shm.Segment) {
	q := newQueue[message](t, seg, 1)
	for _, what := range []string{"Get", "Put"} {
		ctx, cancel := context.WithCancel(t.Context())
		done := Async(func() error {
			if what == "Put" {
				return q.Put(ctx, message{9, 9})
			}
			_, err := q.Get(ctx)
			return err
		})
		AwaitAsleep(t, os.Getpid(), 1)
		begin := time.Now()
		cancel()
		WantError(t, what, Await(t, done, "cancelled "+what), context.Canceled)
		if d := time.Since(begin); d > prompt {
			t.Errorf("%s returned %v after it was cancelled", what, d)
		}
		if what == "Get" {
			WantNil(t, "TryPut", q.TryPut(message{1, 1}))
		}
	}
	if v, err := q.TryGet(); err != nil || v != (message{1, 1}) || q.Len() != 0 {
		t.Errorf("TryGet: %v, %v, and %d are left", v, err, q.Len())
	}
}

// blockedBoth starts goroutines that Put into a full queue and Get from an
// empty one, and waits until they sleep.
func blockedBoth(t *testing.T, empty, full *ring.Queue[message]) (errs chan error, n int) {
	errs = make(chan error, 4)
	fill(t, full)
	for range 2 {
		go func() {
			_, err := empty.Get(context.Background())
			errs <- err
		}()
		go func() { errs <- full.Put(context.Background(), message{}) }()
	}
	AwaitAsleep(t, os.Getpid(), cap(errs))
	return errs, cap(errs)
}

func testCloseWhileBlocked(t *testing.T, seg *shm.Segment) {
	empty, full := newQueue[message](t, seg, 2), newQueue[message](t, seg, 2)
	errs, n := blockedBoth(t, empty, full)
	WantNil(t, "Close", empty.Close())
	WantNil(t, "Close", full.Close())
	for range n {
		WantError(t, "blocked call", Await(t, errs, "calls of a closed queue"), ring.ErrClosed)
	}
}

func testSegmentClosedWhileBlocked(t *testing.T, seg *shm.Segment) {
	empty, full := newQueue[message](t, seg, 2), newQueue[message](t, seg, 2)
	errs, n := blockedBoth(t, empty, full)
	WantNil(t, "Close", seg.Close())
	for range n {
		WantError(t, "blocked call", Await(t, errs, "calls of a closed segment"), ring.ErrClosed)
	}
}

// shortly returns a context that ends soon or has ended already.
func shortly(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, time.Duration(rand.IntN(400)-20)*time.Microsecond)
}

// putAll puts messages 0 to n-1 of sender from. It retries each Put that is cancelled.
func putAll(ctx context.Context, q *ring.Queue[message], from, n uint32) error {
	for i := uint32(0); i < n; {
		short, cancel := shortly(ctx)
		err := q.Put(short, message{from, i})
		cancel()
		if err == nil {
			i++
		} else if short.Err() == nil || ctx.Err() != nil {
			return fmt.Errorf("put %d: %w", i, err)
		}
	}
	return nil
}

// getAll gets until the shutdown and calls tally for each message. It retries each Get that is
// cancelled.
func getAll(ctx context.Context, q *ring.Queue[message], tally func(m message)) error {
	for {
		short, cancel := shortly(ctx)
		m, err := q.Get(short)
		cancel()
		switch {
		case err == nil:
			tally(m)
		case errors.Is(err, ring.ErrShutdown):
			return nil
		case short.Err() == nil || ctx.Err() != nil:
			return fmt.Errorf("get: %w", err)
		}
	}
}

// Each message is got once, however often waits are cancelled.
func testCancelHammer(t *testing.T, seg *shm.Segment) {
	const putters, getters, each = 3, 8, 1500
	ctx := Within(t)
	for _, capacity := range []int{1, 5, 64} {
		q := newQueue[message](t, seg, capacity)
		counts := make([]atomic.Uint32, putters*each)
		got := Async(func() error {
			All(t, "getters", getters, func(int) error {
				return getAll(ctx, q, func(m message) { counts[m.From*each+m.Seq].Add(1) })
			})
			return nil
		})
		All(t, "putters", putters, func(i int) error { return putAll(ctx, q, uint32(i), each) })
		WantNil(t, "Shutdown", q.Shutdown())
		Await(t, got, "getters")
		for i := range counts {
			if n := counts[i].Load(); n != 1 {
				t.Fatalf("capacity %d: message %d was got %d times", capacity, i, n)
			}
		}
	}
}

func TestQueueTypes(t *testing.T) {
	seg := Heap(t, room)
	for what, err := range map[string]error{
		"channel":  Second(ring.NewQueue[chan int](seg, "", 1, nil)),
		"function": Second(ring.NewQueue[[]func()](seg, "", 1, nil)),
		"nested":   Second(ring.NewQueue[struct{ A [2]struct{ B *sync.Mutex } }](seg, "", 1, nil)),
		"opened":   Second(ring.OpenQueue[chan int](seg, "x")),
		"decoded":  new(ring.Queue[func()]).UnmarshalText([]byte(newQueue[message](t, seg, 1).Handle().String())),
	} {
		WantError(t, "Q10 queue of "+what, err, shm.ErrType)
	}

	q := Closing(t, Must(ring.NewQueue[message](seg, "q", 1, nil))(t))
	a, _ := newPipe(t, seg, 0)
	WantError(t, "name that is taken", Second(ring.NewQueue[message](seg, "q", 1, nil)), fs.ErrExist)
	WantError(t, "name of nothing", Second(ring.OpenQueue[message](seg, "p")), fs.ErrNotExist)
	WantError(t, "queue of another type", Second(ring.OpenQueue[[8]byte](seg, "q")), shm.ErrMismatch)
	WantError(t, "queue of strings", Second(ring.OpenQueue[string](seg, "q")), shm.ErrMismatch)
	WantError(t, "queue opened as a pipe", Second(ring.OpenPipe(seg, "q", ring.A)), shm.ErrMismatch)
	WantError(t, "handle of another type", new(ring.Queue[[8]byte]).UnmarshalText([]byte(q.Handle().String())), shm.ErrMismatch)
	WantError(t, "handle of a pipe", new(ring.Queue[message]).UnmarshalText([]byte(a.Handle().String())), shm.ErrMismatch)
	WantError(t, "no handle", new(ring.Queue[message]).UnmarshalText([]byte("mp")), shm.ErrHandle)
	if err := new(ring.Queue[message]).UnmarshalText([]byte(shm.Handle{}.String())); err == nil {
		t.Error("the zero handle opened a queue")
	}
	for _, capacity := range []int{0, -1, math.MinInt, math.MaxInt, 1<<30 + 1, 1 << 28} {
		WantError(t, fmt.Sprint("capacity ", capacity), Second(ring.NewQueue[message](seg, "", capacity, nil)), shm.ErrSize)
	}
	WantError(t, "more than the segment has", Second(ring.NewQueue[message](seg, "", 1<<20, nil)), shm.ErrNoSpace)

	// Types that differ only in names have the same layout.
	same := Must(ring.OpenQueue[struct{ A, B uint32 }](seg, "q"))(t)
	WantNil(t, "TryPut", same.TryPut(struct{ A, B uint32 }{3, 4}))
	if v, err := q.TryGet(); err != nil || v != (message{3, 4}) {
		t.Errorf("got %v, %v", v, err)
	}
	WantNil(t, "Close", same.Close())
}

func TestQueueSizes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		t.Run("1", sizeTest(seg, func(n int) (v [1]byte) { pattern(v[:], n); return v }))
		t.Run("3", sizeTest(seg, func(n int) (v [3]byte) { pattern(v[:], n); return v }))
		t.Run("12", sizeTest(seg, func(n int) (v [12]byte) { pattern(v[:], n); return v }))
		t.Run("64", sizeTest(seg, func(n int) (v [64]byte) { pattern(v[:], n); return v }))
		t.Run("4096", sizeTest(seg, func(n int) (v [4096]byte) { pattern(v[:], n); return v }))
		t.Run("odd struct", sizeTest(seg, func(n int) (v struct {
			A uint8
			B float64
			C [3]uint16
			D bool
		}) {
			v.A, v.B, v.C[2], v.D = uint8(n), float64(n)/3, uint16(n), n%2 == 1
			return v
		}))
	})
}

func sizeTest[T comparable](seg *shm.Segment, value func(n int) T) func(*testing.T) {
	return func(t *testing.T) {
		for _, capacity := range []int{1, 2, 5} {
			q := newQueue[T](t, seg, capacity)
			next, put := 0, 0
			for round := range 50 {
				for range round%capacity + 1 {
					WantNil(t, "TryPut", q.TryPut(value(put)))
					put++
				}
				for next < put {
					if v, err := q.TryGet(); err != nil || v != value(next) {
						t.Fatalf("capacity %d: got %v, %v, want number %d: %v", capacity, v, err, next, value(next))
					}
					next++
				}
			}
		}
	}
}

// TestQueueHandle opens a queue by a handle that was sent as a message and encoded as text.
func TestQueueHandle(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		q, mail := newQueue[message](t, seg, 2), newQueue[shm.Handle](t, seg, 2)
		WantNil(t, "TryPut", mail.TryPut(q.Handle()))
		h := Must(mail.TryGet())(t)
		var same ring.Queue[message]
		WantNil(t, "UnmarshalText", same.UnmarshalText([]byte(h.String())))
		WantNil(t, "TryPut", q.TryPut(message{1, 2}))
		if v, err := same.TryGet(); err != nil || v != (message{1, 2}) {
			t.Errorf("got %v, %v", v, err)
		}
		WantNil(t, "Close", same.Close())
		if _, err := q.TryGet(); !errors.Is(err, ring.ErrEmpty) {
			t.Errorf("after Close of the other: %v", err)
		}
	})
}

// TestQueueSegmentClosedWhileBusy shows that methods fail, and do not fault, if the segment is
// closed while they run.
func TestQueueSegmentClosedWhileBusy(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	for round := range rounds {
		seg := Anonymous(t, room)
		q := Must(ring.NewQueue[[64]byte](seg, "", 1+round%7, nil))(t)
		ops := []func() error{
			func() error { return q.TryPut([64]byte{1}) },
			func() error { return Second(q.TryGet()) },
			func() error { return q.Put(t.Context(), [64]byte{1}) },
			func() error { return Second(q.Get(t.Context())) },
			func() error { q.Len(); return q.TryPut([64]byte{}) },
		}
		closeWhileBusy(t, seg, ops)
		if t.Failed() {
			return
		}
	}
}

// TestOpenUnderClose shows that Open returns ErrClosed, and no other error, if the segment is
// closed concurrently.
func TestOpenUnderClose(t *testing.T) {
	seg := Anonymous(t, room)
	Closing(t, Must(ring.NewQueue[message](seg, "q", 3, nil))(t))
	a, b, err := ring.NewPipe(seg, "p", nil)
	WantNil(t, "NewPipe", err)
	Closing(t, a)
	Closing(t, b)
	opened := 0
	for range 50 {
		party := Must(object.Attach(seg))(t)
		closeWhileBusy(t, party, []func() error{
			func() error { return Second(ring.OpenQueue[message](party, "q")) },
			func() error {
				c, err := ring.OpenPipe(party, "p", ring.A)
				if err != nil {
					return err
				}
				opened++
				return c.Close()
			},
		})
		if t.Failed() {
			return
		}
	}
	if opened == 0 {
		t.Error("no pipe was opened")
	}
}

// The tasks of the children follow. Cell 0 counts the children that are ready.

var putTask = Task("put", func(ctx context.Context, j job) (int, error) {
	j.Cells.Add(0)
	for i := range uint32(j.N) {
		if err := j.Queue.Put(ctx, message{j.From, i}); err != nil {
			return int(i), err
		}
	}
	return j.N, nil
})

// getTask gets until the shutdown. It counts message i of putter p in cell 1+p*N+i, and returns the
// number of messages that it got.
var getTask = Task("get", func(ctx context.Context, j job) (int, error) {
	j.Cells.Add(0)
	n := 0
	err := getAll(ctx, j.Queue, func(m message) {
		j.Cells.At(1 + int(m.From)*j.N + int(m.Seq)).Add(1)
		n++
	})
	return n, err
})

// TestQueueProcesses tests a queue between processes. Q11: a putter may exit at once, and its
// messages stay.
func TestQueueProcesses(t *testing.T) {
	t.Run("Q11_putter_exits", func(t *testing.T) {
		seg := Anonymous(t, room)
		q := newQueue[message](t, seg, 100)
		Result(t, Start(t, putTask, job{N: 100, From: 5, Queue: q, Cells: NewCells(t, seg, 1)}))
		if q.Len() != 100 {
			t.Errorf("Len is %d", q.Len())
		}
		for i := range uint32(100) {
			if v, err := q.TryGet(); err != nil || v != (message{5, i}) {
				t.Fatalf("got %v, %v, want %d", v, err, i)
			}
		}
	})
	t.Run("Q03_order", testOrderOfProcesses)
	t.Run("Q12_put_is_seen", testPutIsSeen)
	t.Run("cancel_hammer", testCancelProcesses)
	t.Run("shutdown_of_the_blocked", testShutdownOfBlocked)
	t.Run("all_served", testAllServed)
}

// The messages of each of several putters are got in the order in which it put them.
func testOrderOfProcesses(t *testing.T) {
	const putters, each = 3, 4000
	seg := Anonymous(t, room)
	q, c := newQueue[message](t, seg, 16), NewCells(t, seg, 1)
	var children []*proc.Call[int]
	for i := range putters {
		children = append(children, Start(t, putTask, job{N: each, From: uint32(i), Queue: q, Cells: c}))
	}
	var next [putters]uint32
	ctx := Within(t)
	for range putters * each {
		v, err := q.Get(ctx)
		if err != nil || v.From >= putters || v.Seq != next[v.From] {
			t.Fatalf("got %v, %v, want the next of %v", v, err, next)
		}
		next[v.From]++
	}
	for _, p := range children {
		Result(t, p)
	}
	if _, err := q.TryGet(); !errors.Is(err, ring.ErrEmpty) {
		t.Errorf("TryGet after all messages: %v, want ErrEmpty", err)
	}
}

// countedPutTask counts the Puts that have returned in cell 1.
var countedPutTask = Task("counted put", func(ctx context.Context, j job) (int, error) {
	for i := range uint32(j.N) {
		if err := j.Queue.Put(ctx, message{j.From, i}); err != nil {
			return int(i), err
		}
		j.Cells.At(1).Add(1)
	}
	return j.N, nil
})

// Q12: TryGet returns a message that was put before the call, if no other goroutine gets.
func testPutIsSeen(t *testing.T) {
	const putters, each = 3, 10000
	for _, capacity := range []int{1, 4, 64} {
		seg := Anonymous(t, room)
		q, c := newQueue[message](t, seg, capacity), NewCells(t, seg, 2)
		for i := range putters {
			Start(t, countedPutTask, job{N: each, From: uint32(i), Queue: q, Cells: c})
		}
		deadline := time.Now().Add(Patience)
		for got := uint32(0); got < putters*each; {
			put := c.At(1).Load()
			switch _, err := q.TryGet(); {
			case err == nil:
				got++
			case errors.Is(err, ring.ErrEmpty) && put > got:
				t.Fatalf("capacity %d: %d were put, %d got, and TryGet returns ErrEmpty", capacity, put, got)
			case !errors.Is(err, ring.ErrEmpty) && !errors.Is(err, ring.ErrBusy):
				t.Fatal(err)
			case time.Now().After(deadline):
				Stuck(t, fmt.Sprintf("got %d of %d", got, putters*each))
			default:
				runtime.Gosched()
			}
		}
	}
}

// testCancelProcesses is testCancelHammer between processes.
func testCancelProcesses(t *testing.T) {
	const each, putters, getters = 5000, 2, 3
	seg := Anonymous(t, room)
	q, c := newQueue[message](t, seg, 8), NewCells(t, seg, 1+putters*each)
	var children []*proc.Call[int]
	for range getters {
		children = append(children, Start(t, getTask, job{N: each, Queue: q, Cells: c}))
	}
	got := Async(func() error {
		return getAll(Within(t), q, func(m message) { c.At(1 + int(m.From)*each + int(m.Seq)).Add(1) })
	})
	c.Await(t, 0, getters)
	ctx := Within(t)
	All(t, "putters", putters, func(i int) error { return putAll(ctx, q, uint32(i), each) })
	WantNil(t, "Shutdown", q.Shutdown())
	for _, p := range children {
		Result(t, p)
	}
	WantNil(t, "getter of this process", Await(t, got, "getter"))
	wantOnce(t, c, 1)
}

// blockedPutTask and blockedGetTask block in Put and in Get until the shutdown.
var blockedPutTask = Task("blocked put", func(ctx context.Context, j job) (int, error) {
	j.Cells.Add(0)
	err := j.Queue.Put(ctx, message{})
	if !errors.Is(err, ring.ErrShutdown) {
		return 0, fmt.Errorf("Put: %w, want ErrShutdown", err)
	}
	return 0, nil
})

var blockedGetTask = Task("blocked get", func(ctx context.Context, j job) (int, error) {
	j.Cells.Add(0)
	if _, err := j.Queue.Get(ctx); !errors.Is(err, ring.ErrShutdown) {
		return 0, fmt.Errorf("Get: %w, want ErrShutdown", err)
	}
	return 0, nil
})

func testShutdownOfBlocked(t *testing.T) {
	seg := Anonymous(t, room)
	full, empty, c := newQueue[message](t, seg, 3), newQueue[message](t, seg, 3), NewCells(t, seg, 1)
	fill(t, full)
	var children []*proc.Call[int]
	for range 2 {
		children = append(children,
			Start(t, blockedPutTask, job{Queue: full, Cells: c}),
			Start(t, blockedGetTask, job{Queue: empty, Cells: c}))
	}
	ctx := Within(t)
	here := Async(func() error { return full.Put(ctx, message{}) })
	for _, p := range children {
		AwaitAsleep(t, p.PID(), 1)
	}
	AwaitAsleep(t, os.Getpid(), 1)
	WantNil(t, "Shutdown", full.Shutdown())
	WantNil(t, "Shutdown", empty.Shutdown())
	for _, p := range children {
		Result(t, p)
	}
	WantError(t, "Put", Await(t, here, "blocked Put"), ring.ErrShutdown)
	for i := range uint32(3) {
		if v, err := full.Get(ctx); err != nil || v.Seq != i {
			t.Errorf("drained %v, %v, want %d", v, err, i)
		}
	}
	_, err := full.Get(ctx)
	WantError(t, "Get of the drained queue", err, ring.ErrShutdown)
}

// getOneTask gets one message in each of N rounds with each of two goroutines. A round begins when
// cell 1 has its number. Cell 2 counts the messages.
var getOneTask = Task("get one", func(ctx context.Context, j job) (int, error) {
	errs := make(chan error)
	const goroutines = 2
	for range goroutines {
		go func() {
			for round := range uint32(j.N) {
				if err := j.Cells.Until(ctx, 1, round+1); err != nil {
					errs <- err
					return
				}
				if _, err := j.Queue.Get(ctx); err != nil {
					errs <- fmt.Errorf("round %d: %w", round, err)
					return
				}
				j.Cells.Add(2)
			}
			errs <- nil
		}()
	}
	return 0, errors.Join(<-errs, <-errs)
})

// If several getters want one message each, and as many messages are put, every getter gets one.
func testAllServed(t *testing.T) {
	const rounds, children, here = 300, 2, 2
	seg := Anonymous(t, room)
	q, c := newQueue[message](t, seg, 3), NewCells(t, seg, 3)
	ctx := Within(t)
	var procs []*proc.Call[int]
	for range children {
		procs = append(procs, Start(t, getOneTask, job{N: rounds, Queue: q, Cells: c}))
	}
	const getters = 2*children + here
	for round := range uint32(rounds) {
		c.Add(1)
		served := make(chan error, here)
		for range here {
			go func() { served <- Second(q.Get(ctx)) }()
		}
		if rand.IntN(2) == 0 {
			time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond) // some sleep by then, some spin
		}
		for range getters {
			WantNil(t, "Put", q.Put(ctx, message{}))
		}
		for range here {
			WantNil(t, "Get", Await(t, served, fmt.Sprintf("round %d: Get, with %d messages in the queue", round, q.Len())))
		}
		if err := c.Until(ctx, 2, 2*children*(round+1)); err != nil {
			Stuck(t, fmt.Sprintf("round %d: %d messages are left: %v", round, q.Len(), err))
		}
	}
	for _, p := range procs {
		Result(t, p)
	}
}
