package cluster_test

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/cluster"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// newBridge makes a bridge that is closed after the test.
func newBridge[T any](t testing.TB, q *cluster.Queue[T], o *cluster.BridgeOptions) *cluster.Bridge[T] {
	t.Helper()
	return Closing(t, Must(cluster.NewBridge(q, o))(t))
}

// putAll puts 0 to n-1.
func putAll(ctx context.Context, q *cluster.Queue[int], n int) error {
	for i := range n {
		if err := q.Put(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// work takes values and calls f with each, until the bridge ends.
func work(ctx context.Context, l *cluster.Local[int], f func(v int)) error {
	for {
		lease, err := l.Lease(ctx)
		if errors.Is(err, ring.ErrShutdown) {
			return nil
		}
		if err == nil {
			f(lease.Value())
			err = lease.Done(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// A tally counts how often each value was dealt with.
type tally struct {
	mu   sync.Mutex
	seen map[int]int
}

func newTally() *tally { return &tally{seen: make(map[int]int)} }

func (c *tally) add(v int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[v]++
}

// check wants each of 0 to n-1 at least once, and returns how many were seen again.
func (c *tally) check(t *testing.T, n int) (again int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range n {
		if c.seen[i] == 0 {
			t.Errorf("value %d was lost", i)
		}
		again += max(0, c.seen[i]-1)
	}
	Want(t, "distinct values", len(c.seen), n)
	return again
}

// TestBridge passes values to several workers, until the queue is shut down: each once.
func TestBridge(t *testing.T) {
	const n = 500
	ctx, c := Within(t), open(t, nil)
	q := newQueue[int](t, c, 1000, nil)
	b := newBridge(t, q, &cluster.BridgeOptions{Outstanding: 20})
	seen := newTally()
	var ends []<-chan error
	for range 4 {
		ends = append(ends, Async(func() error { return work(ctx, b.Local(), seen.add) }))
	}
	WantNil(t, "Put", putAll(ctx, q, n))
	WantNil(t, "Shutdown", q.Shutdown(ctx))
	for _, end := range ends {
		WantNil(t, "worker", Await(t, end, "a worker"))
	}
	WantNil(t, "Wait", b.Wait(ctx))
	Want(t, "values seen again", seen.check(t, n), 0)
	Want(t, "Len", Must(q.Len(ctx))(t), 0)
}

// TestBridgeOutstanding checks that a bridge takes no more than it may, and what becomes of its values
// at Return, Done, Drain and Close.
func TestBridgeOutstanding(t *testing.T) {
	ctx, c := Within(t), open(t, nil)
	q := newQueue[int](t, c, 100, nil)
	WantNil(t, "Put", putAll(ctx, q, 50))
	b := newBridge(t, q, &cluster.BridgeOptions{Outstanding: 8})
	Eventually(t, "8 values are outstanding", func() bool {
		all, _ := b.Outstanding()
		return all == 8
	})
	l := Must(b.Local().Lease(ctx))(t)
	WantNil(t, "Return", l.Return())
	WantError(t, "Return", l.Return(), ring.ErrLeaseEnded)
	WantError(t, "Done", l.Done(ctx), ring.ErrLeaseEnded)
	l = Must(b.Local().Lease(ctx))(t)
	Want(t, "value that was given back", l.Value(), 0)
	WantNil(t, "Done", l.Done(ctx))
	WantError(t, "Done", l.Done(ctx), ring.ErrLeaseEnded)
	Eventually(t, "the server has noted it", func() bool { return Must(q.Len(ctx))(t) == 49 })
	Eventually(t, "the bridge has no others until a quarter is done", func() bool {
		all, _ := b.Outstanding()
		return all == 7
	})

	l = Must(b.Local().Lease(ctx))(t)
	other := Must(b.Local().Lease(ctx))(t)
	drained := Async(func() error { return b.Drain(ctx) })
	Eventually(t, "the others are given back", func() bool {
		all, _ := b.Outstanding()
		return all == 2
	})
	WantNil(t, "Return", other.Return())
	WantNil(t, "Done", l.Done(ctx))
	WantNil(t, "Drain", Await(t, drained, "Drain"))
	WantError(t, "Lease", Second(b.Local().Lease(ctx)), ring.ErrShutdown)
	WantNil(t, "Wait", b.Wait(ctx))
	Want(t, "Len", Must(q.Len(ctx))(t), 48)

	b = newBridge(t, q, nil)
	l = Must(b.Local().Lease(ctx))(t)
	WantError(t, "Drain", b.Drain(Expired), context.Canceled)
	WantError(t, "Done", l.Done(ctx), ring.ErrShutdown)
	WantNil(t, "Close", b.Close())
	WantNil(t, "Close", b.Close())
	WantError(t, "Lease", Second(b.Local().Lease(ctx)), ring.ErrClosed)
	seen := newTally()
	for range 48 {
		seen.add(Must(q.Get(ctx))(t))
	}
	Want(t, "distinct values", len(seen.seen), 48)
	WantNil(t, "Join", q.Join(ctx))
}

// TestBridgeErrors checks the errors of bridges whose queue ends, and of values that do not fit.
func TestBridgeErrors(t *testing.T) {
	ctx, c := Within(t), open(t, nil)
	q := newQueue[string](t, c, 10, nil)
	for _, o := range []cluster.BridgeOptions{{Outstanding: -1}, {Storage: -1}} {
		if _, err := cluster.NewBridge(q, &o); err == nil {
			t.Errorf("NewBridge with %+v: no error", o)
		}
	}
	var closed cluster.Local[string]
	WantError(t, "Lease of a Local that is not open", Second(closed.Lease(ctx)), ring.ErrClosed)
	if err := closed.UnmarshalText([]byte("x")); err == nil {
		t.Error("UnmarshalText of a wrong text: no error")
	}

	b := newBridge(t, q, &cluster.BridgeOptions{Storage: 4 << 10})
	text := Must(b.Local().MarshalText())(t)
	WantError(t, "UnmarshalText", new(cluster.Local[float64]).UnmarshalText(text), shm.ErrMismatch)
	WantError(t, "Wait", b.Wait(Expired), context.Canceled)
	WantNil(t, "Close", b.Close())

	b = newBridge(t, q, nil)
	wait := Async(func() error { return Second(b.Local().Lease(ctx)) })
	WantNil(t, "Delete", Must(cluster.OpenQueue[string](ctx, c, "q", nil))(t).Delete(ctx))
	WantError(t, "Wait of a bridge whose queue is deleted", b.Wait(ctx), fs.ErrNotExist)
	WantError(t, "Lease", Await(t, wait, "Lease"), ring.ErrShutdown)

	q = newQueue[string](t, c, 10, nil)
	b = newBridge(t, q, nil)
	WantNil(t, "Close", q.Close())
	WantError(t, "Wait of a bridge whose queue is closed", b.Wait(ctx), ring.ErrClosed)
	WantError(t, "NewBridge", Second(cluster.NewBridge(q, nil)), ring.ErrClosed)
}

// TestBridgeRefuses puts values that are larger than the shared memory among others. The others pass. A
// getter that needs no shared memory takes a large one; the bridge reports the one that nobody takes, when
// the queue is shut down.
func TestBridgeRefuses(t *testing.T) {
	const n, large = 20, 10 << 10
	ctx, c := Within(t), open(t, nil)
	q := newQueue(t, c, 100, &cluster.QueueOptions[string]{Lease: time.Second})
	refused := make(chan error, 1000)
	b := newBridge(t, q, &cluster.BridgeOptions{Storage: 4 << 10, Refused: func(err error) { refused <- err }})
	put := func() {
		WantNil(t, "Put of a large value", q.Put(ctx, strings.Repeat("x", large)))
		for i := range n {
			WantNil(t, "Put", q.Put(ctx, strconv.Itoa(i)))
		}
	}
	take := func() {
		for i := range n {
			l := Must(b.Local().Lease(ctx))(t)
			Want(t, "value", l.Value(), strconv.Itoa(i))
			WantNil(t, "Done", l.Done(ctx))
		}
	}
	put()
	err := Await(t, refused, "the refusal")
	WantError(t, "Refused", err, ring.ErrTooLarge)
	t.Log(err)
	take()
	got := make(chan string, 1)
	getter := Async(func() error {
		v, err := q.Get(ctx)
		got <- v
		return err
	})
	WantNil(t, "Get", Await(t, getter, "a getter that needs no shared memory"))
	Want(t, "length of what it got", len(<-got), large)
	WantNil(t, "Join", q.Join(ctx))

	put()
	WantNil(t, "Shutdown", q.Shutdown(ctx))
	take()
	err = b.Wait(ctx)
	WantError(t, "Wait, when only a large value is left", err, ring.ErrTooLarge)
	WantError(t, "Lease", Second(b.Local().Lease(ctx)), ring.ErrShutdown)
	Want(t, "Len", Must(q.Len(ctx))(t), 1)
	next := newBridge(t, q, nil)
	l := Must(next.Local().Lease(ctx))(t)
	Want(t, "length of the value that the next bridge passes", len(l.Value()), large)
	WantNil(t, "Done", l.Done(ctx))
	WantNil(t, "Wait", next.Wait(ctx))
}

// TestBridgeServerAway ends the server while workers have values, for longer than the leases last, and
// starts it again. The workers finish what they have meanwhile, and each value is dealt with once: the
// bridge knows what the server gives it again.
func TestBridgeServerAway(t *testing.T) {
	const n = 60
	ctx := Within(t)
	o := cluster.Options{Listen: freeAddress(t), Dir: t.TempDir(), Token: "t"}
	server := open(t, &o)
	q := newQueue(t, open(t, &cluster.Options{URL: server.URL()}), 100, &cluster.QueueOptions[int]{Lease: time.Second})
	WantNil(t, "Put", putAll(ctx, q, n))
	b := newBridge(t, q, &cluster.BridgeOptions{Outstanding: 20})
	Eventually(t, "20 values are outstanding", func() bool {
		all, _ := b.Outstanding()
		return all == 20
	})
	WantNil(t, "Close", server.Close())
	seen := newTally()
	for range 10 {
		l := Must(b.Local().Lease(ctx))(t)
		seen.add(l.Value())
		WantNil(t, "Done without a server", l.Done(ctx))
	}
	Eventually(t, "the bridge has noted what is finished", func() bool {
		_, finished := b.Outstanding()
		return finished == 10
	})
	time.Sleep(1500 * time.Millisecond) // longer than the leases: the server is to give the values again
	open(t, &o)
	back := time.Now()
	Eventually(t, "the server has noted what is finished", func() bool {
		_, finished := b.Outstanding()
		return finished == 0
	})
	t.Logf("the acknowledgements arrived %v after the server was back", time.Since(back).Round(time.Millisecond))
	worker := Async(func() error { return work(ctx, b.Local(), seen.add) })
	WantNil(t, "Shutdown", q.Shutdown(ctx))
	WantNil(t, "worker", Await(t, worker, "the worker"))
	Want(t, "values seen again", seen.check(t, n), 0)
	WantNil(t, "Wait", b.Wait(ctx))
}
