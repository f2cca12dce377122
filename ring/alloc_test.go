//go:build linux && !race

package ring_test

import (
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestAllocations shows that the way of a value through a queue, broadcast or pipe allocates the memory of
// the value, and nothing else. The race detector has sync.Pool forget some of what it keeps.
func TestAllocations(t *testing.T) {
	seg := Closing(t, Must(shm.Anonymous(room, nil))(t))
	long := make([]byte, 1000) // does not fit into a slot
	testAllocations(t, seg, "[64]byte", [64]byte{}, 0, 0, 0)
	testAllocations(t, seg, "string", text64, 1, 1, 2) // short strings of a batch share memory
	testAllocations(t, seg, "long string", string(long), 1, 1, 3)
	testAllocations(t, seg, "[]byte", []byte(text64), 1, 0, 2)
	testAllocations(t, seg, "long []byte", long, 1, 0, 3)
	testAllocations(t, seg, "struct", someTags, 2, 2, 6) // its strings, and its slice of them
}

// testAllocations shows that Get allocates made times, GetInto again times, and a GetMany of three values many
// times.
func testAllocations[T any](t *testing.T, seg *shm.Segment, name string, v T, made, again, many int) {
	t.Helper()
	ctx := t.Context()
	q := newStored[T](t, seg, 8, 64<<10)
	bc := newBroadcast[T](t, seg, 8, &ring.BroadcastOptions{Storage: 64 << 10})
	sub := subscribe(t, bc, nil)
	a, b, err := ring.NewPipe(seg, "", nil)
	WantNil(t, "NewPipe", err)
	defer a.Close()
	defer b.Close()
	var into T
	wantAllocations := func(op string, want int, f func()) {
		t.Helper()
		Want(t, name+": allocations of "+op, int(testing.AllocsPerRun(1000, f)), want)
	}
	wantAllocations("Put and Get", made, func() {
		_ = q.Put(ctx, v)
		Must(q.Get(ctx))(t)
	})
	wantAllocations("TryPut and TryGet", made, func() {
		_ = q.TryPut(v)
		Must(q.TryGet())(t)
	})
	wantAllocations("PutFrom and GetInto", again, func() {
		_ = q.PutFrom(ctx, &v)
		_ = q.GetInto(ctx, &into)
	})
	wantAllocations("TryPutFrom and TryGetInto", again, func() {
		_ = q.TryPutFrom(&v)
		_ = q.TryGetInto(&into)
	})
	vs := []T{v, v, v}
	got := make([]T, len(vs))
	wantAllocations("PutMany and GetMany", many, func() {
		_ = Second(q.PutMany(ctx, vs))
		_ = Second(q.GetMany(ctx, got))
	})
	wantAllocations("Publish and Receive", made, func() {
		_ = bc.Publish(ctx, v)
		Must(sub.Receive(ctx))(t)
	})
	wantAllocations("PublishFrom and ReceiveInto", again, func() {
		_ = bc.PublishFrom(ctx, &v)
		_ = sub.ReceiveInto(ctx, &into)
	})
	wantAllocations("Send and Receive", made, func() {
		_ = ring.Send(ctx, a, v)
		Must(ring.Receive[T](ctx, b))(t)
	})
}
