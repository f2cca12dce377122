//go:build linux

package ring_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// The tests in this file use segments on the heap, so that the race detector sees tfresh accesses.

// TestHeapQueueHammer shows that each message is got once, and in the order of its putter, if
// several parties with several goroutines each put and get.
func TestHeapQueueHammer(t *testing.T) {
	const parties, goroutines, each = 3, 2, 1000
	for _, capacity := range []int{1, 4, 50} {
		seg := Heap(t, room)
		Must(ring.NewQueue[message](seg, "q", capacity, nil))(t)
		counts := make([]atomic.Uint32, parties*goroutines*each)
		ctx := Within(t)
		var queues [parties]*ring.Queue[message]
		for i := range queues {
			queues[i] = Closing(t, Must(ring.OpenQueue[message](Attach(t, seg), "q"))(t))
		}
		got := Async(func() error {
			All(t, "getters", parties*goroutines, func(i int) error {
				var last [parties * goroutines]int64
				for i := range last {
					last[i] = -1
				}
				var wrong error
				err := getAll(ctx, queues[i%parties], func(m message) {
					counts[m.From*each+m.Seq].Add(1)
					if int64(m.Seq) <= last[m.From] {
						wrong = fmt.Errorf("message %d of %d after %d", m.Seq, m.From, last[m.From])
					}
					last[m.From] = int64(m.Seq)
				})
				if wrong != nil {
					return wrong
				}
				return err
			})
			return nil
		})
		All(t, "putters", parties*goroutines, func(i int) error { return putAll(ctx, queues[i%parties], uint32(i), each) })
		WantNil(t, "Shutdown", queues[0].Shutdown())
		Await(t, got, "getters")
		for i := range counts {
			if n := counts[i].Load(); n != 1 {
				t.Fatalf("capacity %d: message %d was got %d times", capacity, i, n)
			}
		}
	}
}

// TestHeapQueueComeAndGo shows that parties may attach, close and die while others put and get.
func TestHeapQueueComeAndGo(t *testing.T) {
	const n = 3000
	seg := Heap(t, room)
	q := Closing(t, Must(ring.NewQueue[message](seg, "q", 4, nil))(t))
	var stop atomic.Bool
	gone := Async(func() error {
		for !stop.Load() {
			party, err := object.Attach(seg)
			if err != nil {
				return err
			}
			far, err := ring.OpenQueue[message](party, "q")
			if err != nil {
				return err
			}
			if far.Len() > far.Cap() {
				return fmt.Errorf("Len is %d", far.Len())
			}
			if rand.IntN(2) == 0 {
				err = party.Close()
			} else {
				var id uint32
				if id, err = object.Drop(party); err == nil {
					err = object.Announce(seg, id)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	ctx := Within(t)
	done := Async(func() error { return putAll(ctx, q, 0, n) })
	for i := range uint32(n) {
		if v, err := q.Get(ctx); err != nil || v.Seq != i {
			t.Fatalf("got %v, %v, want %d", v, err, i)
		}
	}
	stop.Store(true)
	WantNil(t, "putter", Await(t, done, "putter"))
	WantNil(t, "others", Await(t, gone, "others"))
}

// TestHeapPipeHammer shows that each message is received once if several parties hold each end of a
// pipe.
func TestHeapPipeHammer(t *testing.T) {
	const parties, each = 3, 400
	seg := Heap(t, room)
	_, _, err := ring.NewPipe(seg, "p", &ring.PipeOptions{Capacity: 1})
	WantNil(t, "NewPipe", err)
	ctx := Within(t)
	ends := func(end ring.End) (list []*ring.Conn) {
		for range parties {
			list = append(list, Closing(t, Must(ring.OpenPipe(Attach(t, seg), "p", end))(t)))
		}
		return list
	}
	as, bs := ends(ring.A), ends(ring.B)
	counts := make([]atomic.Uint32, 2*2*parties*each)
	var left atomic.Int32
	left.Store(int32(len(counts)))
	stop, cancel := context.WithCancel(ctx)
	received := Async(func() error {
		All(t, "receivers", 4*parties, func(i int) error {
			c, direction := bs[i%parties], 0
			if i >= 2*parties {
				c, direction = as[i%parties], 1
			}
			for {
				msg, err := c.Receive(stop)
				if err != nil && stop.Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				from, seq, err := numbered(msg)
				if err != nil {
					return err
				}
				counts[(direction*2*parties+int(from))*each+int(seq)].Add(1)
				if left.Add(-1) == 0 {
					cancel()
				}
			}
		})
		return nil
	})
	All(t, "senders", 4*parties, func(i int) error {
		if i < 2*parties {
			return sendNumbered(ctx, as[i%parties], uint32(i), each)
		}
		return sendNumbered(ctx, bs[i%parties], uint32(i-2*parties), each)
	})
	Await(t, received, "receivers")
	cancel()
	for i := range counts {
		if n := counts[i].Load(); n != 1 {
			t.Fatalf("message %d was received %d times", i, n)
		}
	}
}

// TestHeapInPlaceHammer shows that messages received in place are whole and in the order of tfresh
// sender.
func TestHeapInPlaceHammer(t *testing.T) {
	const senders, each = 3, 400
	seg := Heap(t, room)
	a, b := newPipe(t, seg, 1)
	ctx := Within(t)
	var next [senders]uint32
	done := Async(func() error {
		for range senders * each {
			m, err := b.ReceiveInPlace(ctx)
			if err != nil {
				return err
			}
			from, seq, err := numbered(m.Bytes())
			if err != nil {
				return err
			}
			if seq != next[from] {
				return fmt.Errorf("message %d of %d after %v", seq, from, next)
			}
			next[from]++
			if err := m.Release(); err != nil {
				return err
			}
		}
		return nil
	})
	All(t, "senders", senders, func(i int) error { return sendNumbered(ctx, a, uint32(i), each) })
	WantNil(t, "receiver", Await(t, done, "receiver"))
}

// TestQueueDeadParty tests each state in which a party that died can leave a slot.
func TestQueueDeadParty(t *testing.T) {
	type scene struct {
		q, far  *ring.Queue[message]
		seg     *shm.Segment
		partner *shm.Segment
	}
	scenes := func(t *testing.T, capacity int) scene {
		seg := Heap(t, room)
		q := Closing(t, Must(ring.NewQueue[message](seg, "q", capacity, nil))(t))
		partner := Must(object.Attach(seg))(t)
		return scene{q, Must(ring.OpenQueue[message](partner, "q"))(t), seg, partner}
	}
	get := func(t *testing.T, q *ring.Queue[message], want ...uint32) {
		t.Helper()
		for _, w := range want {
			if v, err := q.TryGet(); err != nil || v.Seq != w {
				t.Fatalf("TryGet: %v, %v, want %d", v, err, w)
			}
		}
		WantError(t, "TryGet", Second(q.TryGet()), ring.ErrEmpty)
	}
	t.Run("Q14_messages_stay", func(t *testing.T) {
		s := scenes(t, 3)
		fill(t, s.far)
		Dies(t, s.seg, s.partner)
		get(t, s.q, 0, 1, 2)
	})
	t.Run("Q14_writing", func(t *testing.T) {
		s := scenes(t, 3)
		s.q.TryPut(message{Seq: 0})
		s.q.SetSlot(1, 0, ring.Writing, s.far.Party())
		s.q.TryPut(message{Seq: 2})
		WantError(t, "TryPut", s.q.TryPut(message{}), ring.ErrFull)
		if v, err := s.q.TryGet(); err != nil || v.Seq != 0 {
			t.Fatal(v, err)
		}
		WantError(t, "TryGet", Second(s.q.TryGet()), ring.ErrBusy)
		WantError(t, "Get, expired", Second(s.q.Get(Expired)), context.Canceled)
		waiter := Async(func() uint32 { v, _ := s.q.Get(context.Background()); return v.Seq })
		AwaitAsleep(t, os.Getpid(), 1)
		Dies(t, s.seg, s.partner)
		if v := Await(t, waiter, "getter behind a dead putter"); v != 2 {
			t.Errorf("got %d", v)
		}
		get(t, s.q)
		for i := range uint32(3) {
			WantNil(t, "TryPut", s.q.TryPut(message{Seq: i}))
		}
		WantError(t, "TryPut", s.q.TryPut(message{}), ring.ErrFull)
		get(t, s.q, 0, 1, 2)
	})
	t.Run("Q14_writing_all", func(t *testing.T) {
		s := scenes(t, 3)
		for i := range uint32(3) {
			s.q.SetSlot(i, 0, ring.Writing, s.far.Party())
		}
		WantError(t, "TryPut", s.q.TryPut(message{}), ring.ErrFull)
		waiter := Async(func() error { return s.q.Put(context.Background(), message{Seq: 7}) })
		AwaitAsleep(t, os.Getpid(), 1)
		Dies(t, s.seg, s.partner)
		WantNil(t, "Put", Await(t, waiter, "putter behind dead ones"))
		if s.q.Len() != 1 {
			t.Errorf("Len is %d", s.q.Len())
		}
		get(t, s.q, 7)
	})
	t.Run("Q13_reading", func(t *testing.T) {
		s := scenes(t, 3)
		fill(t, s.q)
		s.q.SetSlot(0, 0, ring.Reading, s.far.Party())
		if s.q.Len() != 2 {
			t.Errorf("Len is %d while another party gets a message", s.q.Len())
		}
		if v, err := s.q.TryGet(); err != nil || v.Seq != 1 {
			t.Fatal(v, err)
		}
		Dies(t, s.seg, s.partner)
		if s.q.Len() != 2 {
			t.Errorf("Len is %d after the getter's death", s.q.Len())
		}
		get(t, s.q, 2, 0) // the message of the dead getter comes late
	})
	t.Run("Q13_reading_when_shut_down", func(t *testing.T) {
		s := scenes(t, 2)
		fill(t, s.q)
		s.q.SetSlot(0, 0, ring.Reading, s.far.Party())
		WantNil(t, "Shutdown", s.q.Shutdown())
		if v, err := s.q.Get(Expired); err != nil || v.Seq != 1 {
			t.Fatal(v, err)
		}
		WantError(t, "TryGet while another reads", Second(s.q.TryGet()), ring.ErrEmpty)
		waiter := Async(func() error {
			v, err := s.q.Get(context.Background())
			if err == nil && v.Seq != 0 {
				err = fmt.Errorf("got %d", v.Seq)
			}
			return err
		})
		AwaitAsleep(t, os.Getpid(), 1)
		Dies(t, s.seg, s.partner)
		WantNil(t, "Get", Await(t, waiter, "getter of a dead getter's message"))
		WantError(t, "Get", Second(s.q.Get(t.Context())), ring.ErrShutdown)
	})
	t.Run("writing_when_shut_down", func(t *testing.T) {
		s := scenes(t, 2)
		s.q.SetSlot(0, 0, ring.Writing, s.far.Party())
		WantNil(t, "Shutdown", s.q.Shutdown())
		WantError(t, "TryGet while another writes", Second(s.q.TryGet()), ring.ErrEmpty)
		waiter := Async(func() error { return Second(s.q.Get(context.Background())) })
		AwaitAsleep(t, os.Getpid(), 1)
		Dies(t, s.seg, s.partner)
		WantError(t, "Get", Await(t, waiter, "getter behind a dead putter"), ring.ErrShutdown)
	})
}

// TestQueueBusyBehindGivenUp shows (Q12) that a position that was given up does not hide a message
// behind it.
func TestQueueBusyBehindGivenUp(t *testing.T) {
	seg := Heap(t, room)
	q := newQueue[message](t, seg, 4)
	q.SetSlot(0, 0, ring.Writing, q.Party())
	q.SetSlot(1, 1, ring.Free, 0)
	WantNil(t, "TryPut", q.TryPut(message{Seq: 2}))
	WantError(t, "TryGet", Second(q.TryGet()), ring.ErrBusy)
}

// TestQueueMore shows that a getter that was woken wakes the next one if there may be another
// message, even if other getters took the messages right after its own.
func TestQueueMore(t *testing.T) {
	seg := Heap(t, room)
	q := Closing(t, Must(ring.NewQueue[message](seg, "q", 4, nil))(t))
	far := Closing(t, Must(ring.OpenQueue[message](Attach(t, seg), "q"))(t))
	for range 5 {
		for range 3 {
			WantNil(t, "TryPut", q.TryPut(message{}))
		}
		WantNil(t, "TryGet", Second(q.TryGet()))
		WantNil(t, "TryGet", Second(far.TryGet()))
		if !q.MayHaveMore() {
			t.Fatal("one message is left, and no getter would be woken for it")
		}
		WantNil(t, "TryGet", Second(far.TryGet()))
		if q.MayHaveMore() {
			t.Fatal("no message is left, and a getter would be woken")
		}
		WantError(t, "TryGet", Second(q.TryGet()), ring.ErrEmpty)
	}
}

// TestPipeDeadParty tests a pipe whose end had one holder, which died.
func TestPipeDeadParty(t *testing.T) {
	for _, revoke := range []bool{false, true} {
		t.Run(fmt.Sprintf("revoked=%v", revoke), func(t *testing.T) {
			seg := Heap(t, room)
			party := Must(object.Attach(seg))(t)
			b, far, err := ring.NewPipe(party, "p", &ring.PipeOptions{Capacity: 1})
			WantNil(t, "NewPipe", err)
			WantNil(t, "Close", b.Close())
			a := Closing(t, Must(ring.OpenPipe(seg, "p", ring.A))(t))
			WantNil(t, "TrySend", far.TrySend([]byte("1")))
			if revoke {
				Await(t, Async(func() error { return far.TrySend([]byte("2")) }), "second sender")
			}
			// The party dies while it writes a message.
			r := Must(far.Reserve(t.Context(), 10))(t)
			copy(r.Bytes(), "unfinished")
			receive(t, a, []byte("1"))
			if revoke {
				receive(t, a, []byte("2"))
			}
			waiter := Async(func() error { return Second(a.Receive(context.Background())) })
			AwaitAsleep(t, os.Getpid(), 1)
			Dies(t, seg, party)
			WantError(t, "Receive", Await(t, waiter, "end of a dead party"), io.EOF)
			WantError(t, "TrySend", a.TrySend(nil), ring.ErrBrokenPipe)

			// A new holder of the end goes on.
			fresh := Closing(t, Must(ring.OpenPipe(Attach(t, seg), "p", ring.B))(t))
			for i := range 300 {
				msg := pattern(make([]byte, i), i)
				WantNil(t, "TrySend", fresh.TrySend(msg))
				receive(t, a, msg)
				WantNil(t, "TrySend", a.TrySend(msg))
				receive(t, fresh, msg)
			}
		})
	}
	// A message that a dead receiver had in hand is received again.
	seg := Heap(t, room)
	party := Must(object.Attach(seg))(t)
	a, b, err := ring.NewPipe(seg, "p", nil)
	WantNil(t, "NewPipe", err)
	Closing(t, a)
	Closing(t, b)
	far := Must(ring.OpenPipe(party, "p", ring.B))(t)
	WantNil(t, "TrySend", a.TrySend([]byte("again")))
	m := Must(far.ReceiveInPlace(t.Context()))(t)
	WantError(t, "TryReceive", Second(b.TryReceive()), ring.ErrBusy)
	waiter := Async(func() error {
		msg, err := b.Receive(context.Background())
		if err == nil && string(msg) != "again" {
			err = fmt.Errorf("received %q", msg)
		}
		return err
	})
	time.Sleep(time.Millisecond)
	if string(m.Bytes()) != "again" {
		t.Errorf("the message is %q", m.Bytes())
	}
	Dies(t, seg, party)
	WantNil(t, "Receive", Await(t, waiter, "receiver behind a dead one"))
}

// TestHeapBroadcastHammer shows that lossless subscribers receive everything in one order, and that
// lossy ones receive whole values and know how many they have lost, if several parties publish and
// receive.
func TestHeapBroadcastHammer(t *testing.T) {
	hammerBroadcast(t, 1500, nil, wideOf, wide.tag)
}

// TestHeapBroadcastHammerEncoded does the same with values that lie in storage, which is too small
// for all of them.
func TestHeapBroadcastHammerEncoded(t *testing.T) {
	hammerBroadcast(t, 800, &ring.BroadcastOptions{Storage: 9 << 10}, func(tag uint64) string {
		return textOf(tag, tag%3 == 0)
	}, textTag)
}

func hammerBroadcast[T any](t *testing.T, each uint64, o *ring.BroadcastOptions, valueOf func(tag uint64) T, tagOf func(T) (uint64, error)) {
	const parties = 2
	for _, capacity := range []int{1, 4, 64} {
		seg := Heap(t, room)
		Must(ring.NewBroadcast[T](seg, "b", capacity, o))(t)
		ctx := Within(t)
		var all [parties]*ring.Broadcast[T]
		var lossless, slow [parties]*ring.Subscriber[T]
		for i := range all {
			all[i] = Closing(t, Must(ring.OpenBroadcast[T](Attach(t, seg), "b"))(t))
			lossless[i] = subscribe(t, all[i], nil)
			slow[i] = subscribe(t, all[i], lossy)
		}
		done := Async(func() error {
			All(t, "publishers", parties, func(i int) error {
				for n := range each {
					if err := all[i].Publish(ctx, valueOf(uint64(i)*hammerParty+n)); err != nil {
						return err
					}
				}
				return nil
			})
			return all[0].Shutdown()
		})
		var orders [parties][]uint64
		All(t, "subscribers", 2*parties, func(i int) error {
			s := lossless[i%parties]
			if i >= parties {
				s = slow[i%parties]
			}
			var order []uint64
			for v, err := range s.All(ctx) {
				if errors.Is(err, ring.ErrLost) && i >= parties {
					continue
				}
				if err != nil {
					return err
				}
				tag, err := tagOf(v)
				if err != nil {
					return err
				}
				order = append(order, tag)
			}
			// With a storage, positions that publishers gave up count as lost, too.
			if n := uint64(len(order)) + s.Lost(); n < parties*each || n > parties*each && (o == nil || i < parties) {
				return fmt.Errorf("subscriber %d received %d and lost %d", i, len(order), s.Lost())
			}
			if i < parties {
				orders[i] = order
			}
			return nil
		})
		WantNil(t, "publishers", Await(t, done, "publishers"))
		if !slices.Equal(orders[0], orders[1]) {
			t.Error("the subscribers received the values in different orders")
		}
		var next [parties]uint64
		for _, tag := range orders[0] {
			party := tag / hammerParty
			Want(t, "number", tag%hammerParty, next[party])
			next[party]++
		}
	}
}

// hammerParty is how far the tags of two parties' values are apart.
const hammerParty = 1 << 20

// TestHeapBroadcastComeAndGo shows that subscribers may join, leave and die while others publish and
// receive, and that each that joined receives all that follow.
func TestHeapBroadcastComeAndGo(t *testing.T) {
	const n = 2000
	seg := Heap(t, room)
	b := Closing(t, Must(ring.NewBroadcast[message](seg, "b", 4, nil))(t))
	s := subscribe(t, b, nil)
	var stop atomic.Bool
	gone := Async(func() error {
		for !stop.Load() {
			party, err := object.Attach(seg)
			if err != nil {
				return err
			}
			far, err := ring.OpenBroadcast[message](party, "b")
			if err != nil {
				return err
			}
			guest, err := far.Subscribe(nil)
			if err != nil {
				return err
			}
			first, err := guest.TryReceive()
			for next := first.Seq + 1; err == nil; next++ {
				var m message
				if m, err = guest.TryReceive(); err == nil && m.Seq != next {
					return fmt.Errorf("received %d, want %d", m.Seq, next)
				}
			}
			if err := unexpected(err); err != nil || guest.Lost() != 0 {
				return fmt.Errorf("lost %d: %w", guest.Lost(), err)
			}
			if rand.IntN(2) == 0 {
				err = party.Close()
			} else {
				var id uint32
				if id, err = object.Drop(party); err == nil {
					err = object.Announce(seg, id)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	ctx := Within(t)
	done := Async(func() error {
		for i := range uint32(n) {
			if err := b.Publish(ctx, message{Seq: i}); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range uint32(n) {
		if v, err := s.Receive(ctx); err != nil || v.Seq != i {
			t.Fatalf("received %v, %v, want %d", v, err, i)
		}
	}
	stop.Store(true)
	WantNil(t, "publisher", Await(t, done, "publisher"))
	WantNil(t, "others", Await(t, gone, "others"))
}
