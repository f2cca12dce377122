//go:build linux

package ring_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestQueueWrap shows that a queue works when its laps wrap around. They are counted modulo 2^31
// and compared by the shorter way round.
func TestQueueWrap(t *testing.T) {
	for _, lap := range []uint32{1<<29 - 2, 1<<30 - 3, 1<<30 - 1} {
		for _, capacity := range []int{1, 2, 3, 16, 17, 33} {
			t.Run(fmt.Sprintf("lap=%#x/capacity=%d", lap, capacity), func(t *testing.T) {
				onBoth(t, func(t *testing.T, seg *shm.Segment) { testQueueWrap(t, seg, capacity, lap) })
			})
		}
	}
	t.Run("processes", testQueueWrapProcesses)
}

func testQueueWrap(t *testing.T, seg *shm.Segment, capacity int, lap uint32) {
	q := Closing(t, Must(ring.NewQueueAt[message](seg, "q", capacity, lap))(t))
	// late knows only the first position.
	late := Closing(t, Must(ring.OpenQueue[message](Attach(t, seg), "q"))(t))
	if _, err := q.TryGet(); !errors.Is(err, ring.ErrEmpty) || q.Len() != 0 {
		t.Fatalf("new queue: Len %d, TryGet: %v", q.Len(), err)
	}
	n := uint32(0)
	for range 8 { // laps
		for i := range uint32(capacity) {
			WantNil(t, "TryPut", q.TryPut(message{Seq: n + i}))
			if q.Len() != int(i)+1 {
				t.Fatalf("Len is %d after %d", q.Len(), i+1)
			}
		}
		WantError(t, "TryPut", q.TryPut(message{}), ring.ErrFull)
		for range capacity {
			if v, err := q.TryGet(); err != nil || v.Seq != n {
				t.Fatalf("got %v, %v, want %d", v, err, n)
			}
			n++
		}
		WantError(t, "TryGet", Second(q.TryGet()), ring.ErrEmpty)
	}
	WantError(t, "TryGet of the late queue", Second(late.TryGet()), ring.ErrEmpty)
	WantNil(t, "TryPut of the late queue", late.TryPut(message{Seq: n}))
	WantError(t, "TryPut of the late queue", fillUp(late), ring.ErrFull)
	if v, err := late.TryGet(); err != nil || v.Seq != n {
		t.Fatalf("the late queue returned %v, %v, want %d", v, err, n)
	}
	WantNil(t, "Shutdown", q.Shutdown())
	for range capacity - 1 {
		WantNil(t, "TryGet", Second(q.TryGet()))
	}
	WantError(t, "TryGet", Second(late.TryGet()), ring.ErrShutdown)
}

func fillUp(q *ring.Queue[message]) error {
	for {
		if err := q.TryPut(message{}); err != nil {
			return err
		}
	}
}

// TestQueueIdleForLaps shows that a Queue that was idle while others went through half of all laps,
// or nearly all, finds the current position.
func TestQueueIdleForLaps(t *testing.T) {
	for _, went := range []uint32{1, 1<<29 - 1, 1 << 29, 1<<29 + 1, 1<<30 - 2} {
		for _, capacity := range []int{1, 3} {
			const lap = 5
			seg := Heap(t, room)
			q := Closing(t, Must(ring.NewQueueAt[message](seg, "q", capacity, lap))(t))
			other := Closing(t, Must(ring.OpenQueue[message](seg, "q"))(t))
			at := (lap + went) % (1 << 31)
			for i := range uint32(capacity) {
				q.SetSlot(i, at, ring.Free, 0)
			}
			q.SetCursors(at)
			WantNil(t, "TryPut", q.TryPut(message{1, 1}))
			if v, err := other.TryGet(); err != nil || v != (message{1, 1}) {
				t.Fatalf("after %#x laps: got %v, %v", went, v, err)
			}
			WantError(t, "TryGet", Second(q.TryGet()), ring.ErrEmpty)
			WantError(t, "TryPut", fillUp(other), ring.ErrFull)
			if q.Len() != capacity {
				t.Errorf("after %#x laps: Len is %d", went, q.Len())
			}
		}
	}
}

func testQueueWrapProcesses(t *testing.T) {
	const putters, getters, each = 2, 2, 3000
	seg := Anonymous(t, room)
	q := Closing(t, Must(ring.NewQueueAt[message](seg, "q", 5, 1<<30-200))(t))
	c := NewCells(t, seg, 1+putters*each)
	var got, put []*proc.Call[int]
	for range getters {
		got = append(got, Start(t, getTask, job{N: each, Queue: q, Cells: c}))
	}
	for i := range putters {
		put = append(put, Start(t, putTask, job{N: each, From: uint32(i), Queue: q, Cells: c}))
	}
	for _, p := range put {
		Result(t, p)
	}
	WantNil(t, "Shutdown", q.Shutdown())
	n := 0
	for _, p := range got {
		n += Result(t, p)
	}
	if n != putters*each {
		t.Errorf("got %d messages, want %d", n, putters*each)
	}
	wantOnce(t, c, 1)
}

// TestPipeWrap shows that a pipe works when its counts of bytes wrap around 2^64.
func TestPipeWrap(t *testing.T) {
	for _, before := range []uint64{8, 16, 800, 4096, 4104, 100_000} {
		for _, start := range []uint64{-before, 1<<32 - before, 1<<63 - before} {
			t.Run(fmt.Sprintf("%#x", start), func(t *testing.T) {
				onBoth(t, func(t *testing.T, seg *shm.Segment) {
					a, b := newPipe(t, seg, 4096)
					a.StartAt(start)
					testPipeFull(t, a, b)
					testPipeFull(t, b, a)
					ctx := Within(t)
					const n = 800
					All(t, "both ways", 4, func(i int) error {
						switch i {
						case 0:
							return sendNumbered(ctx, a, 0, n)
						case 1:
							return receiveNumbered(ctx, b, 1, n)
						case 2:
							return sendNumbered(ctx, b, 0, n)
						default:
							return receiveNumbered(ctx, a, 1, n)
						}
					})
					WantNil(t, "Close", a.Close())
					if _, err := b.TryReceive(); err == nil {
						t.Error("received more than was sent")
					}
					a, b = newPipe(t, seg, 4096)
					a.StartAt(start)
					testTurnLimit(t, a, b)
					testTurnStream(t, a, b)
				})
			})
		}
	}
}

// TestEpochWrap shows that deaths are noticed when the epoch wraps around 2^32.
func TestEpochWrap(t *testing.T) {
	for _, epoch := range []uint32{math.MaxUint32 - 1, math.MaxUint32, 0} {
		seg := Heap(t, room)
		first, _ := newPipe(t, seg, 0)
		party := Must(object.Attach(seg))(t)
		q := Closing(t, Must(ring.NewQueue[message](seg, "q", 2, nil))(t))
		a, b := newPipe(t, seg, 0)
		first.Epoch().Store(epoch - 1)
		far := Must(ring.OpenQueue[message](party, "q"))(t)
		WantNil(t, "TryPut", far.TryPut(message{1, 1}))
		// The other party dies inside Get.
		far.SetSlot(0, 0, ring.Reading, far.Party())
		WantError(t, "TryGet", Second(q.TryGet()), ring.ErrEmpty)
		Dies(t, seg, party)
		if e := a.Epoch().Load(); e != epoch {
			t.Fatalf("the epoch is %d, want %d", e, epoch)
		}
		fresh := Closing(t, Must(ring.OpenQueue[message](seg, "q"))(t))
		if v, err := fresh.TryGet(); err != nil || v != (message{1, 1}) {
			t.Errorf("epoch %d: the dead getter's message: %v, %v", epoch, v, err)
		}
		WantNil(t, "TrySend", a.TrySend([]byte("x")))
		WantNil(t, "Close", a.Close())
		receive(t, b, []byte("x"))
		if _, err := b.TryReceive(); err == nil || errors.Is(err, ring.ErrEmpty) {
			t.Errorf("epoch %d: end of the pipe: %v", epoch, err)
		}
	}
}
