package ring_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestGetIntoReuses shows that GetInto and TryGetInto use the memory of a []byte that is long enough,
// and that Get and GetMany do not.
func TestGetIntoReuses(t *testing.T) {
	for _, joinable := range []bool{false, true} {
		for _, size := range []int{1, 64, 104, 105, 5000} {
			t.Run(fmt.Sprintf("joinable=%v,size=%d", joinable, size), func(t *testing.T) {
				onBoth(t, func(t *testing.T, seg *shm.Segment) {
					o := &ring.QueueOptions[[]byte]{Joinable: joinable, Storage: 1 << 20}
					testReuse(t, Closing(t, Must(ring.NewQueue(seg, "", 8, o))(t)), size)
				})
			})
		}
	}
}

func testReuse(t *testing.T, q *ring.Queue[[]byte], size int) {
	ctx := context.Background()
	put := func(n int) []byte {
		msg := pattern(make([]byte, size), n)
		WantNil(t, "Put", q.Put(ctx, msg))
		return msg
	}
	same := func(op string, got, memory, want []byte) {
		t.Helper()
		Want(t, op+": the value arrives", bytes.Equal(got, want), true)
		Want(t, op+": its memory is used", &got[:1][0] == &memory[:1][0], true)
	}
	memory := make([]byte, 3, size+8)
	v, want := memory, put(1)
	WantNil(t, "TryGetInto", q.TryGetInto(&v))
	same("TryGetInto", v, memory, want)
	Want(t, "the capacity", cap(v), size+8)

	want = put(2)
	WantNil(t, "GetInto", q.GetInto(ctx, &v))
	same("GetInto", v, memory, want)

	waits := Async(func() error { return q.GetInto(Within(t), &v) })
	want = put(3)
	WantNil(t, "GetInto", Await(t, waits, "GetInto"))
	same("GetInto that may have waited", v, memory, want)

	small := make([]byte, 0, size-1)
	v, want = small, put(4)
	WantNil(t, "GetInto", q.GetInto(ctx, &v))
	Want(t, "the value that does not fit arrives", bytes.Equal(v, want), true)
	Want(t, "the memory that is too small", bytes.Equal(small[:cap(small)], make([]byte, size-1)), true)

	first, second := put(5), put(6)
	many := make([][]byte, 1)
	Want(t, "GetMany", Must(q.GetMany(ctx, many))(t), 1)
	kept := many[0]
	Want(t, "GetMany", Must(q.GetMany(ctx, many))(t), 1)
	Want(t, "the value of the first batch", bytes.Equal(kept, first), true)
	Want(t, "the value of the second batch", bytes.Equal(many[0], second), true)

	WantNil(t, "Put", q.Put(ctx, []byte{}))
	v = memory
	WantNil(t, "GetInto", q.GetInto(ctx, &v))
	Want(t, "an empty value", v != nil && len(v) == 0, true)
}

// TestReceiveIntoReuses shows the same of ReceiveInto and TryReceiveInto, and of Receive.
func TestReceiveIntoReuses(t *testing.T) {
	for _, size := range []int{0, 1, 64, 112, 113, 5000} {
		t.Run(fmt.Sprint("size=", size), func(t *testing.T) {
			onBoth(t, func(t *testing.T, seg *shm.Segment) {
				b := newBroadcast[[]byte](t, seg, 8, &ring.BroadcastOptions{Storage: 1 << 20})
				testReceiveReuse(t, b, subscribe(t, b, nil), size)
			})
		})
	}
}

func testReceiveReuse(t *testing.T, b *ring.Broadcast[[]byte], s *ring.Subscriber[[]byte], size int) {
	n := 0
	publish := func() []byte {
		n++
		msg := pattern(make([]byte, size), n)
		WantNil(t, "Publish", b.Publish(t.Context(), msg))
		return msg
	}
	memory := make([]byte, 3, size+8)
	same := func(op string, got, want []byte) {
		t.Helper()
		Want(t, op+": the value arrives", bytes.Equal(got, want), true)
		Want(t, op+": its memory is used", &got[:1][0] == &memory[:1][0], true)
	}
	v, want := memory, publish()
	WantNil(t, "TryReceiveInto", s.TryReceiveInto(&v))
	same("TryReceiveInto", v, want)

	want = publish()
	WantNil(t, "ReceiveInto", s.ReceiveInto(t.Context(), &v))
	same("ReceiveInto", v, want)

	waits := Async(func() error { return s.ReceiveInto(Within(t), &v) })
	want = publish()
	WantNil(t, "ReceiveInto", Await(t, waits, "ReceiveInto"))
	same("ReceiveInto that may have waited", v, want)

	first, second := publish(), publish()
	kept := Must(s.Receive(t.Context()))(t)
	Want(t, "the second value", bytes.Equal(Must(s.Receive(t.Context()))(t), second), true)
	Want(t, "the first value, which was kept", bytes.Equal(kept, first), true)
}
