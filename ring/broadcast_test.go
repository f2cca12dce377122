//go:build linux

package ring_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

func newBroadcast[T any](t testing.TB, seg *shm.Segment, capacity int, o *ring.BroadcastOptions) *ring.Broadcast[T] {
	t.Helper()
	return Closing(t, Must(ring.NewBroadcast[T](seg, "", capacity, o))(t))
}

func subscribe[T any](t testing.TB, b *ring.Broadcast[T], o *ring.SubscribeOptions) *ring.Subscriber[T] {
	t.Helper()
	return Closing(t, Must(b.Subscribe(o))(t))
}

// publishUpTo publishes the numbers from first to last.
func publishUpTo(t testing.TB, b *ring.Broadcast[uint64], first, last uint64) {
	t.Helper()
	for n := first; n <= last; n++ {
		WantNil(t, "TryPublish", b.TryPublish(n))
	}
}

// wantNumbers receives the numbers from first to last.
func wantNumbers(t testing.TB, s *ring.Subscriber[uint64], first, last uint64) {
	t.Helper()
	for n := first; n <= last; n++ {
		if v, err := s.TryReceive(); err != nil || v != n {
			t.Fatalf("received %d, %v, want %d", v, err, n)
		}
	}
}

var lossy = &ring.SubscribeOptions{Lossy: true}

// TestBroadcast shows that each subscriber receives each value that was published after it
// subscribed, in order, for several laps.
func TestBroadcast(t *testing.T) {
	for _, capacity := range []int{1, 2, 3, 16, 17} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			onBoth(t, func(t *testing.T, seg *shm.Segment) {
				b := newBroadcast[uint64](t, seg, capacity, nil)
				publishUpTo(t, b, 1, 5*uint64(capacity)) // nobody is there
				one, two := subscribe(t, b, nil), subscribe(t, b, nil)
				n := uint64(b.Cap())
				WantError(t, "TryReceive", Second(one.TryReceive()), ring.ErrEmpty)
				for lap := range uint64(5) {
					first := 1000 + lap*n
					publishUpTo(t, b, first, first+n-1)
					WantError(t, "TryPublish of one too many", b.TryPublish(0), ring.ErrFull)
					Want(t, "Lag", one.Lag(), n)
					wantNumbers(t, one, first, first+n-1)
					WantError(t, "TryReceive", Second(one.TryReceive()), ring.ErrEmpty)
					Want(t, "Lag", one.Lag(), 0)
					WantError(t, "TryPublish of one too many", b.TryPublish(0), ring.ErrFull)
					wantNumbers(t, two, first, first+n-1)
				}
				publishUpTo(t, b, 1, n)
				WantNil(t, "Shutdown", b.Shutdown())
				WantError(t, "Publish", b.Publish(t.Context(), 1), ring.ErrShutdown)
				wantNumbers(t, one, 1, n)
				WantError(t, "Receive after Shutdown", Second(one.Receive(t.Context())), ring.ErrShutdown)
				Want(t, "Lost", one.Lost()+two.Lost(), 0)
			})
		})
	}
}

// TestBroadcastLossy shows that a lossy subscriber holds nobody back, and that what it received and
// what it lost is all that was published.
func TestBroadcastLossy(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		for name, b := range map[string]*ring.Broadcast[uint64]{
			"subscriber": newBroadcast[uint64](t, seg, 8, nil),
			"broadcast":  newBroadcast[uint64](t, seg, 8, &ring.BroadcastOptions{Lossy: true}),
		} {
			s := subscribe(t, b, lossy)
			publishUpTo(t, b, 1, 11)
			var lost *ring.LostError
			_, err := s.Receive(t.Context())
			if !errors.As(err, &lost) || !errors.Is(err, ring.ErrLost) || s.Lost() != lost.Count {
				t.Fatalf("%s: %v, lost %d", name, err, s.Lost())
			}
			if lost.Count != 3 {
				t.Errorf("%s: %d lost", name, lost.Count)
			}
			wantNumbers(t, s, lost.Count+1, 11)
			WantError(t, "TryReceive", Second(s.TryReceive()), ring.ErrEmpty)
			publishUpTo(t, b, 12, 19)
			wantNumbers(t, s, 12, 19)
		}
	})
}

// TestBroadcastOldest shows where subscribers begin that come late.
func TestBroadcastOldest(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		b := newBroadcast[uint64](t, seg, 8, nil)
		publishUpTo(t, b, 1, 3)
		oldest := func(lossy bool) *ring.Subscriber[uint64] {
			return subscribe(t, b, &ring.SubscribeOptions{Oldest: true, Lossy: lossy})
		}
		wantNumbers(t, oldest(true), 1, 3)
		s := oldest(false)
		wantNumbers(t, s, 1, 3)
		WantNil(t, "Close", s.Close())
		publishUpTo(t, b, 4, 20)
		wantNumbers(t, oldest(true), 13, 20)
		wantNumbers(t, oldest(false), 13, 20)
		late := subscribe(t, b, nil)
		WantError(t, "TryReceive", Second(late.TryReceive()), ring.ErrEmpty)

		// What is overwritten before it is received is not lost if it was published before Subscribe.
		s = oldest(true)
		publishUpTo(t, b, 21, 24)
		wantNumbers(t, s, 17, 24)
		Want(t, "Lost", s.Lost(), 0)
	})
}

// TestBroadcastLines shows that the lines of subscribers are used again, and that there are no more
// lossless subscribers than lines.
func TestBroadcastLines(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		b := newBroadcast[uint64](t, seg, 4, &ring.BroadcastOptions{Subscribers: 2})
		slow := subscribe(t, b, nil)
		for n := range uint64(20) {
			s := subscribe(t, b, nil)
			WantError(t, "Subscribe", Second(b.Subscribe(nil)), ring.ErrTooManySubscribers)
			WantNil(t, "TryPublish", b.TryPublish(n))
			wantNumbers(t, s, n, n)
			wantNumbers(t, slow, n, n)
			WantNil(t, "Close", s.Close())
			WantNil(t, "Close", s.Close())
			WantError(t, "Receive", Second(s.Receive(t.Context())), ring.ErrClosed)
		}
		publishUpTo(t, b, 1, 4)
		WantError(t, "TryPublish", b.TryPublish(5), ring.ErrFull)
		WantNil(t, "Close", slow.Close())
		publishUpTo(t, b, 5, 9)
	})
}

// TestBroadcastWaits shows that a subscriber that waits is woken by a value, and a publisher that
// waits by the slowest subscriber, by its Close, and by Shutdown.
func TestBroadcastWaits(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		ctx := Within(t)
		b := newBroadcast[uint64](t, seg, 2, nil)
		one, two := subscribe(t, b, nil), subscribe(t, b, nil)
		got := Async(func() error {
			for n := range uint64(3) {
				if v, err := one.Receive(ctx); err != nil || v != n {
					return fmt.Errorf("received %d, %w", v, err)
				}
			}
			return nil
		})
		publishUpTo(t, b, 0, 1)
		put := Async(func() error { return b.Publish(ctx, 2) })
		wantNumbers(t, two, 0, 0)
		WantNil(t, "Publish", Await(t, put, "Publish"))
		WantNil(t, "Receive", Await(t, got, "Receive"))
		put = Async(func() error { return b.Publish(ctx, 3) })
		WantNil(t, "Close", two.Close())
		WantNil(t, "Publish", Await(t, put, "Publish"))
		publishUpTo(t, b, 4, 4)
		WantError(t, "Publish", b.Publish(Expired, 5), context.Canceled)
		put = Async(func() error { return b.Publish(ctx, 5) })
		WantNil(t, "Shutdown", b.Shutdown())
		WantError(t, "Publish", Await(t, put, "Publish"), ring.ErrShutdown)
		wantNumbers(t, one, 3, 4)
		WantError(t, "Receive", Second(one.Receive(ctx)), ring.ErrShutdown)
	})
}

// TestBroadcastWrap shows that a broadcast works when its laps wrap around. They are counted modulo
// 2^30 in the slots' words and compared by the shorter way round.
func TestBroadcastWrap(t *testing.T) {
	for _, lap := range []uint64{1<<29 - 2, 1<<30 - 2, 1<<30 - 1, 1<<32 - 1, 1<<45 - 1} {
		for _, capacity := range []int{1, 2, 16} {
			t.Run(fmt.Sprintf("lap=%#x/capacity=%d", lap, capacity), func(t *testing.T) {
				seg := Heap(t, room)
				b := Closing(t, Must(ring.NewBroadcastAt[uint64](seg, "b", capacity, lap, nil))(t))
				late := Closing(t, Must(ring.OpenBroadcast[uint64](Attach(t, seg), "b"))(t)) // knows only the first position
				n := uint64(capacity)
				s, slow := subscribe(t, b, nil), subscribe(t, b, lossy)
				oldest := subscribe(t, b, &ring.SubscribeOptions{Oldest: true})
				WantError(t, "TryReceive", Second(oldest.TryReceive()), ring.ErrEmpty)
				for lap := range uint64(4) {
					publishUpTo(t, b, lap*n, lap*n+n-1)
					WantError(t, "TryPublish", b.TryPublish(0), ring.ErrFull)
					wantNumbers(t, s, lap*n, lap*n+n-1)
					wantNumbers(t, oldest, lap*n, lap*n+n-1)
				}
				publishUpTo(t, late, 4*n, 5*n-1)
				WantError(t, "TryPublish", late.TryPublish(0), ring.ErrFull)
				wantNumbers(t, s, 4*n, 5*n-1)
				WantError(t, "TryReceive of a slow subscriber", Second(slow.TryReceive()), ring.ErrLost)
				Want(t, "Lost", slow.Lost(), 4*n)
				wantNumbers(t, slow, 4*n, 5*n-1)
			})
		}
	}
}

// TestBroadcastIdleForLaps shows that a subscriber and a publisher that were idle while others went
// through more than half of all laps find the present position.
func TestBroadcastIdleForLaps(t *testing.T) {
	for _, went := range []uint64{1, 1<<29 - 1, 1 << 29, 1<<29 + 1, 1<<30 - 2, 1<<30 + 5} {
		const capacity, lap = 4, 5
		b := Closing(t, Must(ring.NewBroadcastAt[uint64](Heap(t, room), "", capacity, lap, nil))(t))
		s := subscribe(t, b, lossy)
		b.GoThrough(went * capacity)
		if _, err := s.TryReceive(); went > 1 {
			WantError(t, "TryReceive", err, ring.ErrLost)
		}
		WantNil(t, "TryPublish", b.TryPublish(7))
		var v uint64
		err := ring.ErrLost
		for errors.Is(err, ring.ErrLost) || err == nil && v == 0 { // a value of the laps that were gone through
			v, err = s.TryReceive()
		}
		if err != nil || v != 7 {
			t.Errorf("after %#x laps: received %d, %v; lost %d", went, v, err, s.Lost())
		}
	}
}

// TestBroadcastCollected shows that a subscriber that is garbage collected holds nobody back.
func TestBroadcastCollected(t *testing.T) {
	b := newBroadcast[uint64](t, Anonymous(t, room), 2, nil)
	func() {
		Must(b.Subscribe(nil))(t)
	}()
	publishUpTo(t, b, 1, 2)
	put := Async(func() error { return b.Publish(Within(t), 3) })
	Eventually(t, "the publisher goes on", func() bool { runtime.GC(); return len(put) == 1 })
	WantNil(t, "Publish", <-put)
}

// TestBroadcastClose shows that Close of a subscriber ends its Receive, and that the next owner of
// its line is not overtaken, at whatever moment Close comes.
func TestBroadcastClose(t *testing.T) {
	ctx := Within(t)
	b := newBroadcast[uint64](t, Anonymous(t, room), 4, &ring.BroadcastOptions{Subscribers: 2})
	watch := subscribe(t, b, nil)
	var stop atomic.Bool
	put := Async(func() error {
		for n := uint64(0); !stop.Load(); n++ {
			if err := b.Publish(ctx, n); err != nil {
				return err
			}
		}
		return b.Shutdown()
	})
	watched := Async(func() error {
		next := uint64(0)
		for v, err := range watch.All(ctx) {
			if err != nil || v != next {
				return fmt.Errorf("received %d, %w, want %d", v, err, next)
			}
			next++
		}
		return nil
	})
	for range 100 {
		s := Must(b.Subscribe(nil))(t)
		got := Async(func() error {
			first := true
			var last uint64
			for v, err := range s.All(ctx) {
				if err != nil {
					return err
				}
				if !first && v != last+1 {
					return fmt.Errorf("received %d after %d", v, last)
				}
				first, last = false, v
			}
			return nil
		})
		for range rand.IntN(50) {
			runtime.Gosched()
		}
		WantNil(t, "Close", s.Close())
		WantError(t, "Receive", Await(t, got, "Receive"), ring.ErrClosed)
	}
	stop.Store(true)
	WantNil(t, "Publish", Await(t, put, "publisher"))
	WantNil(t, "Receive", Await(t, watched, "the other subscriber"))
}
