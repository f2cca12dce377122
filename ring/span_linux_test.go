package ring_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// spanScene returns a queue of two spans with n values, and another party of it.
func spanScene(t *testing.T, n int) (seg *shm.Segment, q *ring.Queue[uint64], party *shm.Segment, other uint32) {
	t.Helper()
	seg = Anonymous(t, 1<<20)
	q = Closing(t, Must(ring.NewQueue[uint64](seg, "q", 32, nil))(t))
	Want(t, "values put", Must(q.TryPutMany(count(0, n)))(t), n)
	party = Attach(t, seg)
	return seg, q, party, Must(ring.OpenQueue[uint64](party, "q"))(t).Party()
}

// TestSpanOfStopped looks at a queue of which a stopped process has claimed a span.
func TestSpanOfStopped(t *testing.T) {
	t.Run("putter", func(t *testing.T) {
		_, q, _, other := spanScene(t, 0)
		q.SetSlot(0, 0, ring.WritingSpan, other)
		q.SetSlot(1, 0, ring.Ready, other) // inside the span
		Want(t, "Len", q.Len(), 0)
		WantError(t, "TryGet", Second(q.TryGet()), ring.ErrEmpty)
		WantNil(t, "TryPut", q.TryPut(16))
		Want(t, "Len", q.Len(), 1)
		WantError(t, "TryGet", Second(q.TryGet()), ring.ErrBusy) // a value is behind the span
		q.SetSlot(16, 0, ring.WritingSpan, other)
		WantError(t, "TryGet behind two spans", Second(q.TryGet()), ring.ErrEmpty)
	})
	t.Run("getter", func(t *testing.T) {
		_, q, _, other := spanScene(t, 17)
		q.SetSlot(0, 0, ring.ReadingSpan, other)
		Want(t, "Len", q.Len(), 1)
		Want(t, "TryGet", Must(q.TryGet())(t), 16)
		WantError(t, "TryGet", Second(q.TryGet()), ring.ErrEmpty)
	})
}

// TestSpanComesBack lets a getter die with a span in a queue that never runs empty. The values are got
// nevertheless, soon.
func TestSpanComesBack(t *testing.T) {
	seg, q, party, other := spanScene(t, 32)
	q.SetSlot(0, 0, ring.ReadingSpan, other)
	Dies(t, seg, party)
	var back []uint64
	for i := range uint64(64) {
		if v := Must(q.TryGet())(t); v < 16 {
			back = append(back, v)
		}
		WantNilOr(t, "TryPut", q.TryPut(100+i), ring.ErrFull)
	}
	if slices.Sort(back); !slices.Equal(back, count(0, 16)) {
		t.Errorf("after 64 gets these have come back: %v", back)
	}
}

// TestSpanHostile lets a peer free and fill slots while they are claimed in batches. Nothing beyond the
// queue is written or read.
func TestSpanHostile(t *testing.T) {
	for _, capacity := range []uint32{1, 3, 17} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			seg := Anonymous(t, 1<<20)
			q := newQueue[uint64](t, seg, int(capacity))
			behind := newQueue[uint64](t, seg, 64)
			var stop atomic.Bool
			peer := Async(func() error {
				for i := uint32(0); !stop.Load(); i++ {
					q.SetSlot(i%capacity, i/capacity%8, []uint64{ring.Free, ring.Ready, ring.WritingSpan, ring.ReadingSpan}[i%5%4], q.Party())
				}
				return nil
			})
			vs := slices.Repeat([]uint64{1<<63 - 1}, 64)
			for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
				q.TryPutMany(vs)
				q.TryGetMany(slices.Clone(vs))
			}
			stop.Store(true)
			WantNil(t, "the peer", Await(t, peer, "the peer"))
			if behind := ring.CopyAround(capacity, vs); slices.Max(behind) != 0 {
				t.Errorf("behind a ring of %d slots: % x", capacity, behind[:64])
			}
			Want(t, "Len of the queue behind it", behind.Len(), 0)
			Want(t, "values put", Must(behind.TryPutMany(count(0, 64)))(t), 64)
		})
	}
}
