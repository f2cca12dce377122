package ring_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/poll"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// ToChan delivers the values in order until the queue is shut down and empty, and FromChan puts all
// values until the channel is closed.
func TestChannels(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		const n = 100
		q, ctx := newQueue[uint64](t, seg, 4), Within(t)
		from, to := make(chan uint64), make(chan uint64)
		put := Async(func() error { left, err := ring.FromChan(ctx, from, q); Want(t, "left", left, nil); return err })
		got := Async(func() error { defer close(to); return ring.ToChan(ctx, q, to) })
		go func() {
			for i := range uint64(n) {
				from <- i
			}
			close(from)
		}()
		for i := range uint64(n) {
			Want(t, "value", Await(t, to, "value"), i)
		}
		WantNil(t, "FromChan", Await(t, put, "FromChan"))
		WantNil(t, "Shutdown", q.Shutdown())
		WantNil(t, "ToChan", Await(t, got, "ToChan"))
		_, open := <-to
		Want(t, "the channel is open", open, false)
	})
}

// A value that nobody has received from the channel when the context ends goes back to the front of
// the queue, and one that is received from a channel and not put is returned.
func TestChannelsLoseNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		q := newQueue[uint64](t, seg, 2)
		putEach(t, q, 1, 2)
		ctx, cancel := context.WithCancel(Within(t))
		c := make(chan uint64)
		done := Async(func() error { return ring.ToChan(ctx, q, c) })
		Eventually(t, "a lease", func() bool { return q.Len() < 2 })
		cancel()
		WantError(t, "ToChan", Await(t, done, "ToChan"), context.Canceled)
		WantFailure(t, "ToChan", "queue", ring.ToChan(Expired, q, c), context.Canceled)

		ctx, cancel = context.WithCancel(Within(t))
		type result struct {
			left *uint64
			err  error
		}
		from := Async(func() result { left, err := ring.FromChan(ctx, c, q); return result{left, err} })
		c <- 3
		cancel()
		r := Await(t, from, "FromChan")
		WantError(t, "FromChan", r.err, context.Canceled)
		if r.left == nil || *r.left != 3 {
			t.Errorf("left is %v, want 3", r.left)
		}
		left, err := ring.FromChan(Expired, c, q)
		WantFailure(t, "FromChan", "queue", err, context.Canceled)
		Want(t, "left", left, nil)
		wantGot(t, q, 1, 2)

		WantNil(t, "Shutdown", q.Shutdown())
		WantNil(t, "ToChan of a queue that is shut down", ring.ToChan(Within(t), q, c))
		WantNil(t, "Close", q.Close())
		WantFailure(t, "Lease", "queue", ring.ToChan(Within(t), q, c), ring.ErrClosed)
		_, err = ring.FromChan(Within(t), c, q)
		WantFailure(t, "FromChan", "queue", err, ring.ErrClosed)
	})
}

// The contexts of several bridges end at random moments. Each value arrives exactly once.
func TestChannelsHammer(t *testing.T) {
	const values, capacity, bridges = 3000, 3, 2
	q := newQueue[uint64](t, Anonymous(t, room), capacity)
	ctx := Within(t)
	out, in := make(chan uint64), make(chan uint64)
	short := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, time.Duration(rand.IntN(300))*time.Microsecond)
	}
	ended := make(chan error, 2*bridges)
	for range bridges {
		go func() {
			for {
				turn, cancel := short()
				left, err := ring.FromChan(turn, in, q)
				cancel()
				for ; left != nil; left = nil {
					err = errors.Join(err, q.Put(ctx, *left))
				}
				if err == nil || !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
					ended <- err
					return
				}
			}
		}()
		go func() {
			for {
				turn, cancel := short()
				err := ring.ToChan(turn, q, out)
				cancel()
				if err == nil || !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
					ended <- err
					return
				}
			}
		}()
	}
	go func() {
		defer close(in)
		for i := range uint64(values) {
			select {
			case in <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	seen := make([]int, values)
	for range values {
		seen[Await(t, out, "value")]++
	}
	for i, n := range seen {
		if n != 1 {
			t.Errorf("value %d arrived %d times", i, n)
		}
	}
	WantNil(t, "Shutdown", q.Shutdown())
	for range 2 * bridges {
		WantNil(t, "bridge", Await(t, ended, "end of a bridge"))
	}
}

// channeler sends the values of the queue to a channel that nobody receives from.
var channeler = Task("channeler", func(ctx context.Context, j job) (int, error) {
	return 0, ring.ToChan(ctx, j.Queue, make(chan message))
})

// The value that a killed process had taken for its channel comes back.
func TestChannelDies(t *testing.T) {
	q := newQueue[message](t, Anonymous(t, room), 2)
	for i := range uint32(2) {
		WantNil(t, "Put", q.Put(Within(t), message{1, i}))
	}
	child := Start(t, channeler, job{Queue: q})
	Eventually(t, "a lease", func() bool { return q.Len() < 2 })
	Kill(t, child)
	for i := range uint32(2) {
		m, err := q.Get(Within(t))
		WantNil(t, "Get", err)
		Want(t, "message", m, message{1, i})
	}
}

// A case of Select takes a value under a lease.
func TestLeaseCase(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		q := newQueue[uint64](t, seg, 2)
		var l *ring.Lease[uint64]
		c := q.LeaseCase(&l)
		for _, end := range []func() error{func() error { return l.Return() }, func() error { return l.Done() }} {
			if q.Len() == 0 {
				done := Async(func() error { return Second(poll.Select(Within(t), c)) })
				putEach(t, q, 7)
				WantNil(t, "Select", Await(t, done, "Select"))
			} else {
				WantNil(t, "Select", Second(poll.Select(Within(t), c)))
			}
			Want(t, "value", l.Value(), 7)
			WantNil(t, "end of the lease", end())
		}
		wantGot(t, q)
		WantNil(t, "Close", q.Close())
		for _, closed := range []poll.Case{c, q.LeaseCase(&l)} {
			WantFailure(t, "Lease", "queue", Second(poll.Select(Within(t), closed)), ring.ErrClosed)
			if l != nil {
				t.Error("a Select that failed returns a lease")
			}
		}
	})
}
