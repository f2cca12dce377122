//go:build linux

package ring_test

import (
	"context"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestSlot(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"commit_and_abort", testSlotCommitAbort},
		{"order", testSlotOrder},
		{"misuse", testSlotMisuse},
		{"abort_wakes", testSlotAbortWakes},
		{"shutdown", testSlotShutdown},
		{"death", testSlotDeath},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

func testSlotCommitAbort(t *testing.T, seg *shm.Segment) {
	q := newQueue[[1 << 16]byte](t, seg, 3)
	got := new([1 << 16]byte)
	for i := range 20 {
		s := Must(q.Reserve(Within(t)))(t)
		pattern(s.Pointer()[:], i)
		WantError(t, "TryGetInto", q.TryGetInto(got), ring.ErrEmpty)
		if i%3 == 0 {
			s.Abort()
			WantError(t, "TryGetInto", q.TryGetInto(got), ring.ErrEmpty)
			continue
		}
		WantNil(t, "Commit", s.Commit())
		l := Must(q.TryLease())(t) // read in place, too
		want := new([1 << 16]byte)
		pattern(want[:], i)
		if *l.Pointer() != *want {
			t.Fatalf("value %d is not as it was written", i)
		}
		WantNil(t, "Done", l.Done())
	}
}

func reserveValue(t testing.TB, q *ring.Queue[uint64], v uint64) ring.Slot[uint64] {
	t.Helper()
	s := Must(q.TryReserve())(t)
	*s.Pointer() = v
	return s
}

// testSlotOrder shows that values are got in the order of Reserve.
func testSlotOrder(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 4)
	for range 5 {
		a, b := reserveValue(t, q, 1), reserveValue(t, q, 2)
		putEach(t, q, 3)
		c := reserveValue(t, q, 4)
		WantError(t, "TryReserve", Second(q.TryReserve()), ring.ErrFull)
		WantError(t, "Reserve", Second(q.Reserve(Expired)), context.Canceled)
		WantNil(t, "Commit", c.Commit())
		WantNil(t, "Commit", b.Commit())
		WantError(t, "TryGet", Second(q.TryGet()), ring.ErrBusy)
		WantNil(t, "Commit", a.Commit())
		wantGot(t, q, 1, 2, 3, 4)
	}
}

func testSlotMisuse(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 2)
	s := reserveValue(t, q, 1)
	again := s
	WantNil(t, "Commit", s.Commit())
	WantError(t, "second Commit", s.Commit(), ring.ErrNothingReserved)
	WantError(t, "Commit of a copy", again.Commit(), ring.ErrNothingReserved)
	s.Abort()
	again.Abort()
	wantGot(t, q, 1)
	s = reserveValue(t, q, 2)
	s.Abort()
	WantError(t, "Commit after Abort", s.Commit(), ring.ErrNothingReserved)
	var zero ring.Slot[uint64]
	WantError(t, "Commit of nothing", zero.Commit(), ring.ErrNothingReserved)
	zero.Abort()
	wantGot(t, q)
	WantNil(t, "Close", q.Close())
	WantError(t, "Reserve", Second(q.Reserve(t.Context())), ring.ErrClosed)
	WantError(t, "TryReserve", Second(q.TryReserve()), ring.ErrClosed)
}

// testSlotAbortWakes shows that Abort wakes the getters that wait behind the slot, and putters.
func testSlotAbortWakes(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 3)
	for range 20 {
		s := reserveValue(t, q, 1)
		putEach(t, q, 2, 3)
		put := Async(func() error { return q.Put(Within(t), 4) })
		a := Async(func() uint64 { return Must(q.Get(Within(t)))(t) })
		b := Async(func() uint64 { return Must(q.Get(Within(t)))(t) })
		s.Abort()
		Want(t, "the sum of the values", Await(t, a, "Get")+Await(t, b, "Get"), 5)
		WantNil(t, "Put", Await(t, put, "Put"))
		wantGot(t, q, 4)
	}
}

func testSlotShutdown(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 3)
	a, b := reserveValue(t, q, 1), reserveValue(t, q, 2)
	WantNil(t, "Shutdown", q.Shutdown())
	WantError(t, "TryReserve", Second(q.TryReserve()), ring.ErrShutdown)
	WantNil(t, "Commit", a.Commit())
	wantGot(t, q, 1)
	got := Async(func() error { return Second(q.Get(Within(t))) })
	b.Abort()
	WantError(t, "Get", Await(t, got, "Get"), ring.ErrShutdown)
}

func testSlotDeath(t *testing.T, seg *shm.Segment) {
	q := Closing(t, Must(ring.NewQueue[uint64](seg, "q", 3, nil))(t))
	for range 3 {
		far := Attach(t, seg)
		other := Closing(t, Must(ring.OpenQueue[uint64](far, "q"))(t))
		reserveValue(t, other, 1)
		putEach(t, q, 2)
		got := Async(func() uint64 { return Must(q.Get(Within(t)))(t) })
		Dies(t, seg, far)
		Want(t, "the value", Await(t, got, "Get"), 2)
	}
}
