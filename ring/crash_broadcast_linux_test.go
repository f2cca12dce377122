package ring_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
)

// A broadcastJob is the argument of a process that publishes or receives. It acknowledges each
// value by Acks once the call has returned.
type broadcastJob struct {
	Broadcast *ring.Broadcast[uint64]
	Acks      *ring.Queue[uint64]
	Count     uint64
	Options   ring.SubscribeOptions
}

var publishTask = Task("broadcast publisher", func(ctx context.Context, j broadcastJob) (int, error) {
	for n := range j.Count {
		if err := j.Broadcast.Publish(ctx, n); err != nil {
			return int(n), err
		}
		if err := j.Acks.Put(ctx, n); err != nil {
			return int(n), err
		}
	}
	return int(j.Count), nil
})

// subscribed is what a subscriber acknowledges when it has subscribed.
const subscribed = 1 << 40

var subscribeTask = Task("broadcast subscriber", func(ctx context.Context, j broadcastJob) (int, error) {
	s, err := j.Broadcast.Subscribe(&j.Options)
	if err != nil {
		return 0, err
	}
	if err := j.Acks.Put(ctx, subscribed); err != nil {
		return 0, err
	}
	for n := range j.Count {
		v, err := s.Receive(ctx)
		if err != nil {
			return int(n), err
		}
		if err := j.Acks.Put(ctx, v); err != nil {
			return int(n), err
		}
	}
	return int(j.Count), s.Close()
})

// drained returns the values that are in the queue.
func drained(t testing.TB, q *ring.Queue[uint64]) (all []uint64) {
	t.Helper()
	for {
		v, err := q.TryGet()
		if errors.Is(err, ring.ErrEmpty) {
			return all
		}
		WantNil(t, "TryGet", err)
		all = append(all, v)
	}
}

// TestPublisherDies kills a publisher at each step of its first and of later publishes. Two
// subscribers receive what it has published, and what another process publishes after it.
func TestPublisherDies(t *testing.T) {
	NeedCrashPoints(t)
	for point := range crash.Points(crash.BroadcastClaimed, crash.BroadcastPublishWaiting) {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%v/%d", point, n), func(t *testing.T) {
				waits := point == crash.BroadcastPublishWaiting
				if waits && n > 1 {
					t.Skip("how often it waits is up to the scheduler; its first wait is tested")
				}
				seg := Blocking(t, 1<<20)
				ctx := Within(t)
				b := newBroadcast[uint64](t, seg, 4, nil)
				acks := newQueue[uint64](t, seg, 128)
				dead := make(chan struct{})
				var got [2]<-chan []uint64
				for i := range got {
					s := subscribe(t, b, nil)
					got[i] = Async(func() (all []uint64) {
						if waits {
							<-dead // so that the publisher has to wait
						}
						for v, err := range s.All(ctx) {
							if err != nil {
								t.Errorf("Receive hangs on a dead publisher: %v after %v", err, all)
								break
							}
							all = append(all, v)
						}
						return all
					})
				}
				Killed(t, StartToDie(t, publishTask, broadcastJob{Broadcast: b, Acks: acks, Count: 100}, point, n))
				close(dead)
				for i := range uint64(10) {
					WantNil(t, "Publish after the death", b.Publish(ctx, 7777+i))
				}
				WantNil(t, "Shutdown", b.Shutdown())
				acked := drained(t, acks)
				first, second := Await(t, got[0], "subscriber"), Await(t, got[1], "subscriber")
				if !slices.Equal(first, second) {
					t.Errorf("the subscribers received %v and %v", first, second)
				}
				extra := len(first) - len(acked) - 10
				if extra < 0 || extra > 1 || extra == 1 && point != crash.BroadcastReady {
					t.Fatalf("acknowledged %v, received %v", acked, first)
				}
				for i, v := range first {
					want := uint64(i)
					if i >= len(acked)+extra {
						want = 7777 + uint64(i-len(acked)-extra)
					}
					Want(t, "value", v, want)
				}
			})
		}
	}
}

// longPublisher publishes values of three blocks until it is killed.
var longPublisher = Task("publisher of long values", func(ctx context.Context, b *ring.Broadcast[string]) (int, error) {
	for i := 0; ; i++ {
		if err := b.Publish(ctx, longCrashValue(i)); err != nil {
			return i, err
		}
	}
})

// TestPublisherOfLongDies kills a publisher at each step of a publish of a value that lies in storage,
// which holds fewer values than there are slots. Two subscribers receive what it has published, one of
// which may miss some, and no block is lost.
func TestPublisherOfLongDies(t *testing.T) {
	NeedCrashPoints(t)
	const blocks = 12
	for _, point := range []crash.Point{
		crash.QueueStorageReserved, crash.BroadcastClaimed, crash.BroadcastHelped, crash.QueueStorageTaken,
		crash.BroadcastCopied, crash.BroadcastReady, crash.BroadcastEvicted, crash.QueueStorageGiven,
	} {
		for _, n := range []int{1, 2, 7} {
			t.Run(fmt.Sprintf("%v/%d", point, n), func(t *testing.T) {
				if point == crash.QueueStorageReserved && n > 1 {
					t.Skip("the first time is for all of them")
				}
				seg := Blocking(t, 1<<20)
				ctx := Within(t)
				b := newBroadcast[string](t, seg, 8, stored(blocks))
				var got [2]<-chan []string
				for i := range got {
					s := subscribe(t, b, &ring.SubscribeOptions{Lossy: i == 1})
					got[i] = Async(func() (all []string) {
						for v, err := range s.All(ctx) {
							if errors.Is(err, ring.ErrLost) && i == 1 {
								continue
							}
							if err != nil {
								t.Errorf("Receive hangs on a dead publisher: %v after %d values", err, len(all))
								break
							}
							all = append(all, v)
						}
						return all
					})
				}
				Killed(t, StartToDie(t, longPublisher, b, point, n))
				whole := strings.Repeat("w", blocks*1008)
				for range 10 {
					WantNil(t, "Publish of all blocks after the death", b.Publish(ctx, whole))
				}
				Want(t, "blocks that are in use for no value", b.BlocksAstray(), 0)
				WantNil(t, "Shutdown", b.Shutdown())
				all, some := Await(t, got[0], "subscriber"), Await(t, got[1], "lossy subscriber")
				if len(all) < 10 {
					t.Fatalf("received %d values", len(all))
				}
				for i, v := range all {
					want := whole
					if i < len(all)-10 {
						want = longCrashValue(i)
					}
					if v != want {
						t.Fatalf("value %d of %d has %d bytes: %.20q", i, len(all), len(v), v)
					}
				}
				for _, v := range some { // each is one of the others, in their order
					i := slices.Index(all, v)
					if i < 0 {
						t.Fatalf("the lossy subscriber received %d bytes: %.20q", len(v), v)
					}
					all = all[i+1:]
				}
			})
		}
	}
}

// TestSubscriberDies kills a lossless subscriber at each step of Subscribe, Receive and Close. It
// holds back neither the publisher nor, with its line, another subscriber.
func TestSubscriberDies(t *testing.T) {
	NeedCrashPoints(t)
	for point := range crash.Points(crash.SubscriberJoined, crash.SubscriberLeft) {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%v/%d", point, n), func(t *testing.T) {
				once := point == crash.SubscriberJoined || point == crash.SubscriberPlaced || point == crash.SubscriberLeft
				if n > 1 && (once || point == crash.SubscriberWaiting) {
					t.Skip("it comes there once")
				}
				seg := Blocking(t, 1<<20)
				ctx := Within(t)
				b := newBroadcast[uint64](t, seg, 4, &ring.BroadcastOptions{Subscribers: 2})
				acks := newQueue[uint64](t, seg, 128)
				watch := subscribe(t, b, nil)
				for range 4 {
					WantNil(t, "Publish", b.Publish(ctx, 0))
					WantNil(t, "Receive", Second(watch.Receive(ctx)))
				}
				const count = 20
				victim := StartToDie(t, subscribeTask, broadcastJob{Broadcast: b, Acks: acks, Count: count}, point, n)
				inSubscribe := once && point != crash.SubscriberLeft || point == crash.SubscriberMoved && n == 1
				if inSubscribe || point == crash.SubscriberWaiting {
					Killed(t, victim)
				} else {
					v, err := acks.Get(ctx)
					WantNil(t, "Get", err)
					Want(t, "the first acknowledgement", v, subscribed)
				}
				done := Async(func() error {
					for i := range uint64(count) {
						if err := b.Publish(ctx, i); err != nil {
							return err
						}
					}
					return nil
				})
				for i := range uint64(count) {
					v, err := watch.Receive(ctx)
					WantNil(t, "Receive beside a dead subscriber", err)
					Want(t, "value", v, i)
				}
				WantNil(t, "Publish beside a dead subscriber", Await(t, done, "publisher"))
				if !inSubscribe && point != crash.SubscriberWaiting {
					Killed(t, victim)
				}
				for i, v := range without(drained(t, acks), subscribed) {
					Want(t, "received by the victim", v, uint64(i))
				}
				// Its line is free: there may be two.
				Eventually(t, "the line of the dead subscriber is free", func() bool {
					s, err := b.Subscribe(nil)
					if err == nil {
						WantNil(t, "Close", s.Close())
						return true
					}
					WantError(t, "Subscribe", err, ring.ErrTooManySubscribers)
					soon, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
					defer cancel()
					WantError(t, "Receive", Second(watch.Receive(soon)), context.DeadlineExceeded) // it announces deaths
					return false
				})
			})
		}
	}
}

// TestCrashStopsPublisher stops a publisher at each step of a publish. It holds subscribers back, whose
// contexts still end, and publishers one lap later, and all go on when it goes on.
func TestCrashStopsPublisher(t *testing.T) {
	NeedCrashPoints(t)
	for point := range crash.Points(crash.BroadcastClaimed, crash.BroadcastReady) {
		t.Run(point.String(), func(t *testing.T) {
			seg := Blocking(t, 1<<20)
			b := newBroadcast[uint64](t, seg, 4, nil)
			acks := newQueue[uint64](t, seg, 128)
			s := subscribe(t, b, nil)
			p := StartToStop(t, publishTask, broadcastJob{Broadcast: b, Acks: acks, Count: 2}, point, 1)
			AwaitStopped(t, p)
			if point == crash.BroadcastReady {
				wantNumbers(t, s, 0, 0)
				Continue(t, p)
			} else {
				WantError(t, "TryReceive", Second(s.TryReceive()), ring.ErrEmpty)
				WantNil(t, "TryPublish", b.TryPublish(7))
				WantError(t, "TryReceive of a later value", Second(s.TryReceive()), ring.ErrBusy)
				soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				WantError(t, "Receive", Second(s.Receive(soon)), context.DeadlineExceeded)
				// Without a lossless subscriber, publishers come around to the slot.
				WantNil(t, "Close", s.Close())
				publishUpTo(t, b, 8, 9)
				WantError(t, "TryPublish", b.TryPublish(10), ring.ErrBusy)
				put := Async(func() error { return b.Publish(Within(t), 10) })
				Continue(t, p)
				WantNil(t, "Publish", Await(t, put, "Publish"))
			}
			Result(t, p)
		})
	}
}

// TestSubscriberStops stops a subscriber. A lossless one holds publishers back until it goes on, and
// receives everything. A lossy one is overtaken and told so.
func TestSubscriberStops(t *testing.T) {
	seg := Blocking(t, 1<<20)
	b := newBroadcast[uint64](t, seg, 4, nil)
	acks := newQueue[uint64](t, seg, 128)
	const count = 12
	start := func(o ring.SubscribeOptions) func() {
		p := Start(t, subscribeTask, broadcastJob{Broadcast: b, Acks: acks, Count: count, Options: o})
		v, err := acks.Get(Within(t))
		WantNil(t, "Get", err)
		Want(t, "acknowledged", v, subscribed)
		Stop(t, p)
		return func() {
			Continue(t, p)
			if !o.Lossy {
				Result(t, p)
				return
			}
			_, err := p.Result(Within(t))
			if err == nil || !errors.Is(err, ring.ErrLost) {
				t.Errorf("an overtaken subscriber: %v", err)
			}
		}
	}
	goOn := start(ring.SubscribeOptions{Lossy: true})
	publishUpTo(t, b, 0, count)
	goOn()
	drained(t, acks)

	goOn = start(ring.SubscribeOptions{})
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	publishUpTo(t, b, 0, 3)
	WantError(t, "Publish", b.Publish(soon, 4), context.DeadlineExceeded)
	put := Async(func() error {
		for n := uint64(4); n < count; n++ {
			if err := b.Publish(Within(t), n); err != nil {
				return err
			}
		}
		return nil
	})
	goOn()
	WantNil(t, "Publish", Await(t, put, "Publish"))
	if got := drained(t, acks); !slices.Equal(got, tags(0, count-1)) {
		t.Errorf("received %v", got)
	}
}
