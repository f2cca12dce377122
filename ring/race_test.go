//go:build linux

package ring_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// What follows runs on segments on the heap, which the race detector sees.

// Several parties with several goroutines each put and get.
func TestHeapQueueHammer(t *testing.T) {
	const parties, goroutines, each = 3, 2, 1000
	for _, capacity := range []int{1, 4, 50} {
		seg := heap(t)
		must(ring.NewQueue[message](seg, "q", capacity, nil))(t)
		counts := make([]atomic.Uint32, parties*goroutines*each)
		ctx := within(t)
		var queues [parties]*ring.Queue[message]
		for i := range queues {
			queues[i] = closing(t, must(ring.OpenQueue[message](attach(t, seg), "q"))(t))
		}
		got := async(func() error {
			all(t, "getters", parties*goroutines, func(i int) error {
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
		all(t, "putters", parties*goroutines, func(i int) error { return putAll(ctx, queues[i%parties], uint32(i), each) })
		wantNil(t, "Shutdown", queues[0].Shutdown())
		await(t, got, "getters")
		for i := range counts {
			if n := counts[i].Load(); n != 1 {
				t.Fatalf("capacity %d: message %d was got %d times", capacity, i, n)
			}
		}
	}
}

// Parties come and go while others put and get.
func TestHeapQueueComeAndGo(t *testing.T) {
	const n = 3000
	seg := heap(t)
	q := closing(t, must(ring.NewQueue[message](seg, "q", 4, nil))(t))
	var stop atomic.Bool
	gone := async(func() error {
		for !stop.Load() {
			party, err := seg.Attach()
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
				if id, err = party.Drop(); err == nil {
					err = seg.Announce(id)
				}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	ctx := within(t)
	done := async(func() error { return putAll(ctx, q, 0, n) })
	for i := range uint32(n) {
		if v, err := q.Get(ctx); err != nil || v.Seq != i {
			t.Fatalf("got %v, %v, want %d", v, err, i)
		}
	}
	stop.Store(true)
	wantNil(t, "putter", await(t, done, "putter"))
	wantNil(t, "others", await(t, gone, "others"))
}

// Several parties hold each end of a pipe and take turns.
func TestHeapPipeHammer(t *testing.T) {
	const parties, each = 3, 400
	seg := heap(t)
	_, _, err := ring.NewPipe(seg, "p", &ring.PipeOptions{Capacity: 1})
	wantNil(t, "NewPipe", err)
	ctx := within(t)
	ends := func(end ring.End) (list []*ring.Conn) {
		for range parties {
			list = append(list, closing(t, must(ring.OpenPipe(attach(t, seg), "p", end))(t)))
		}
		return list
	}
	as, bs := ends(ring.A), ends(ring.B)
	counts := make([]atomic.Uint32, 2*2*parties*each)
	var left atomic.Int32
	left.Store(int32(len(counts)))
	stop, cancel := context.WithCancel(ctx)
	received := async(func() error {
		all(t, "receivers", 4*parties, func(i int) error {
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
	all(t, "senders", 4*parties, func(i int) error {
		if i < 2*parties {
			return sendNumbered(ctx, as[i%parties], uint32(i), each)
		}
		return sendNumbered(ctx, bs[i%parties], uint32(i-2*parties), each)
	})
	await(t, received, "receivers")
	cancel()
	for i := range counts {
		if n := counts[i].Load(); n != 1 {
			t.Fatalf("message %d was received %d times", i, n)
		}
	}
}

// In place, by turns.
func TestHeapInPlaceHammer(t *testing.T) {
	const senders, each = 3, 400
	seg := heap(t)
	a, b := newPipe(t, seg, 1)
	ctx := within(t)
	var next [senders]uint32
	done := async(func() error {
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
	all(t, "senders", senders, func(i int) error { return sendNumbered(ctx, a, uint32(i), each) })
	wantNil(t, "receiver", await(t, done, "receiver"))
}

// A dead drops the segment as a killed process does.
func dead(t testing.TB, seg, party *shm.Segment) {
	t.Helper()
	wantNil(t, "Announce", seg.Announce(must(party.Drop())(t)))
}

// What a dead party was in the midst of, in each state that it can leave.
func TestQueueDeadParty(t *testing.T) {
	type scene struct {
		q, far  *ring.Queue[message]
		seg     *shm.Segment
		partner *shm.Segment
	}
	scenes := func(t *testing.T, capacity int) scene {
		seg := heap(t)
		q := closing(t, must(ring.NewQueue[message](seg, "q", capacity, nil))(t))
		partner := must(seg.Attach())(t)
		return scene{q, must(ring.OpenQueue[message](partner, "q"))(t), seg, partner}
	}
	get := func(t *testing.T, q *ring.Queue[message], want ...uint32) {
		t.Helper()
		for _, w := range want {
			if v, err := q.TryGet(); err != nil || v.Seq != w {
				t.Fatalf("TryGet: %v, %v, want %d", v, err, w)
			}
		}
		wantError(t, "TryGet", second(q.TryGet()), ring.ErrEmpty)
	}
	t.Run("Q14_messages_stay", func(t *testing.T) {
		s := scenes(t, 3)
		fill(t, s.far)
		dead(t, s.seg, s.partner)
		get(t, s.q, 0, 1, 2)
	})
	t.Run("Q14_writing", func(t *testing.T) {
		s := scenes(t, 3)
		s.q.TryPut(message{Seq: 0})
		s.q.SetSlot(1, 0, ring.Writing, s.far.Party())
		s.q.TryPut(message{Seq: 2})
		wantError(t, "TryPut", s.q.TryPut(message{}), ring.ErrFull)
		if v, err := s.q.TryGet(); err != nil || v.Seq != 0 {
			t.Fatal(v, err)
		}
		wantError(t, "TryGet", second(s.q.TryGet()), ring.ErrBusy)
		wantError(t, "Get, expired", second(s.q.Get(expired)), context.Canceled)
		waiter := async(func() uint32 { v, _ := s.q.Get(context.Background()); return v.Seq })
		awaitAsleep(t, os.Getpid(), 1)
		dead(t, s.seg, s.partner)
		if v := await(t, waiter, "getter behind a dead putter"); v != 2 {
			t.Errorf("got %d", v)
		}
		get(t, s.q)
		for i := range uint32(3) {
			wantNil(t, "TryPut", s.q.TryPut(message{Seq: i}))
		}
		wantError(t, "TryPut", s.q.TryPut(message{}), ring.ErrFull)
		get(t, s.q, 0, 1, 2)
	})
	t.Run("Q14_writing_all", func(t *testing.T) {
		s := scenes(t, 3)
		for i := range uint32(3) {
			s.q.SetSlot(i, 0, ring.Writing, s.far.Party())
		}
		wantError(t, "TryPut", s.q.TryPut(message{}), ring.ErrFull)
		waiter := async(func() error { return s.q.Put(context.Background(), message{Seq: 7}) })
		awaitAsleep(t, os.Getpid(), 1)
		dead(t, s.seg, s.partner)
		wantNil(t, "Put", await(t, waiter, "putter behind dead ones"))
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
			t.Errorf("Len is %d while one is being got", s.q.Len())
		}
		if v, err := s.q.TryGet(); err != nil || v.Seq != 1 {
			t.Fatal(v, err)
		}
		dead(t, s.seg, s.partner)
		if s.q.Len() != 2 {
			t.Errorf("Len is %d after the getter's death", s.q.Len())
		}
		get(t, s.q, 2, 0) // what the dead had comes late, but comes
	})
	t.Run("Q13_reading_when_shut_down", func(t *testing.T) {
		s := scenes(t, 2)
		fill(t, s.q)
		s.q.SetSlot(0, 0, ring.Reading, s.far.Party())
		wantNil(t, "Shutdown", s.q.Shutdown())
		if v, err := s.q.Get(expired); err != nil || v.Seq != 1 {
			t.Fatal(v, err)
		}
		wantError(t, "TryGet while another reads", second(s.q.TryGet()), ring.ErrEmpty)
		waiter := async(func() error {
			v, err := s.q.Get(context.Background())
			if err == nil && v.Seq != 0 {
				err = fmt.Errorf("got %d", v.Seq)
			}
			return err
		})
		awaitAsleep(t, os.Getpid(), 1)
		dead(t, s.seg, s.partner)
		wantNil(t, "Get", await(t, waiter, "getter of a dead getter's message"))
		wantError(t, "Get", second(s.q.Get(t.Context())), ring.ErrShutdown)
	})
	t.Run("writing_when_shut_down", func(t *testing.T) {
		s := scenes(t, 2)
		s.q.SetSlot(0, 0, ring.Writing, s.far.Party())
		wantNil(t, "Shutdown", s.q.Shutdown())
		wantError(t, "TryGet while another writes", second(s.q.TryGet()), ring.ErrEmpty)
		waiter := async(func() error { return second(s.q.Get(context.Background())) })
		awaitAsleep(t, os.Getpid(), 1)
		dead(t, s.seg, s.partner)
		wantError(t, "Get", await(t, waiter, "getter behind a dead putter"), ring.ErrShutdown)
	})
}

// Q12: a position that was given up between one that is being written and one
// that is ready does not hide the ready one.
func TestQueueBusyBehindGivenUp(t *testing.T) {
	seg := heap(t)
	q := newQueue[message](t, seg, 4)
	q.SetSlot(0, 0, ring.Writing, q.Party())
	q.SetSlot(1, 1, ring.Free, 0)
	wantNil(t, "TryPut", q.TryPut(message{Seq: 2}))
	wantError(t, "TryGet", second(q.TryGet()), ring.ErrBusy)
}

// A getter that was woken wakes the next one if there is more, also when others
// took what came right after its message.
func TestQueueMore(t *testing.T) {
	seg := heap(t)
	q := closing(t, must(ring.NewQueue[message](seg, "q", 4, nil))(t))
	far := closing(t, must(ring.OpenQueue[message](attach(t, seg), "q"))(t))
	for range 5 {
		for range 3 {
			wantNil(t, "TryPut", q.TryPut(message{}))
		}
		wantNil(t, "TryGet", second(q.TryGet()))
		wantNil(t, "TryGet", second(far.TryGet()))
		if !q.More() {
			t.Fatal("one is left, and nobody would be woken for it")
		}
		wantNil(t, "TryGet", second(far.TryGet()))
		if q.More() {
			t.Fatal("nothing is left, and somebody would be woken")
		}
		wantError(t, "TryGet", second(q.TryGet()), ring.ErrEmpty)
	}
}

// The end of a pipe whose last holder died.
func TestPipeDeadParty(t *testing.T) {
	for _, revoke := range []bool{false, true} {
		t.Run(fmt.Sprintf("revoked=%v", revoke), func(t *testing.T) {
			seg := heap(t)
			party := must(seg.Attach())(t)
			b, far, err := ring.NewPipe(party, "p", &ring.PipeOptions{Capacity: 1})
			wantNil(t, "NewPipe", err)
			wantNil(t, "Close", b.Close())
			a := closing(t, must(ring.OpenPipe(seg, "p", ring.A))(t))
			wantNil(t, "TrySend", far.TrySend([]byte("1")))
			if revoke {
				await(t, async(func() error { return far.TrySend([]byte("2")) }), "second sender")
			}
			// It dies in the midst of a message.
			r := must(far.Reserve(t.Context(), 10))(t)
			copy(r.Bytes(), "unfinished")
			receive(t, a, []byte("1"))
			if revoke {
				receive(t, a, []byte("2"))
			}
			waiter := async(func() error { return second(a.Receive(context.Background())) })
			awaitAsleep(t, os.Getpid(), 1)
			dead(t, seg, party)
			wantError(t, "Receive", await(t, waiter, "end of a dead party"), io.EOF)
			wantError(t, "TrySend", a.TrySend(nil), ring.ErrBrokenPipe)

			// Who takes its place goes on.
			heir := closing(t, must(ring.OpenPipe(attach(t, seg), "p", ring.B))(t))
			for i := range 300 {
				msg := pattern(make([]byte, i), i)
				wantNil(t, "TrySend", heir.TrySend(msg))
				receive(t, a, msg)
				wantNil(t, "TrySend", a.TrySend(msg))
				receive(t, heir, msg)
			}
		})
	}
	// A message that the dead had in hand is received again.
	seg := heap(t)
	party := must(seg.Attach())(t)
	a, b, err := ring.NewPipe(seg, "p", nil)
	wantNil(t, "NewPipe", err)
	closing(t, a)
	closing(t, b)
	far := must(ring.OpenPipe(party, "p", ring.B))(t)
	wantNil(t, "TrySend", a.TrySend([]byte("again")))
	m := must(far.ReceiveInPlace(t.Context()))(t)
	wantError(t, "TryReceive", second(b.TryReceive()), ring.ErrBusy)
	waiter := async(func() error {
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
	dead(t, seg, party)
	wantNil(t, "Receive", await(t, waiter, "receiver behind a dead one"))
}
