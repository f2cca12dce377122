//go:build linux

package ring_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestLease(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"done", testLeaseDone},
		{"return", testLeaseReturn},
		{"in_place", testLeaseInPlace},
		{"misuse", testLeaseMisuse},
		{"passed_by", testLeasePassedBy},
		{"all_leased", testAllLeased},
		{"free_in_the_next_lap", testLeaseFreeLater},
		{"around_the_laps", testLeaseLaps},
		{"for_many_laps", testLeaseForLaps},
		{"wakes_putter", testLeaseWakesPutter},
		{"wakes_getter", testLeaseWakesGetter},
		{"shutdown", testLeaseShutdown},
		{"death", testLeaseDeath},
		{"after_close", testLeaseAfterClose},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

func putEach(t testing.TB, q *ring.Queue[uint64], values ...uint64) {
	t.Helper()
	for _, v := range values {
		WantNil(t, "TryPut", q.TryPut(v))
	}
}

func lease(t testing.TB, q *ring.Queue[uint64], want uint64) *ring.Lease[uint64] {
	t.Helper()
	l := Must(q.TryLease())(t)
	Want(t, "the value leased", l.Value(), want)
	return l
}

// wantGot gets values until the queue is empty.
func wantGot(t testing.TB, q *ring.Queue[uint64], want ...uint64) {
	t.Helper()
	var got []uint64
	for {
		v, err := q.TryGet()
		if err != nil {
			WantError(t, "TryGet", err, ring.ErrEmpty)
			break
		}
		got = append(got, v)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func testLeaseDone(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 4)
	WantError(t, "TryLease", Second(q.TryLease()), ring.ErrEmpty)
	WantError(t, "Lease", Second(q.Lease(Expired)), context.Canceled)
	for i := range uint64(20) {
		putEach(t, q, i)
		l := lease(t, q, i)
		Want(t, "Len during the lease", q.Len(), 0)
		WantNil(t, "Done", l.Done())
	}
	wantGot(t, q)
}

func testLeaseReturn(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 4)
	putEach(t, q, 1, 2, 3)
	a, b := lease(t, q, 1), lease(t, q, 2)
	WantNil(t, "Return", b.Return())
	Want(t, "Len", q.Len(), 2)
	lease(t, q, 2)
	WantNil(t, "Return", a.Return())
	wantGot(t, q, 1, 3)
}

func testLeaseInPlace(t *testing.T, seg *shm.Segment) {
	q := newQueue[[1 << 16]byte](t, seg, 2)
	v := new([1 << 16]byte)
	pattern(v[:], 7)
	WantNil(t, "TryPutFrom", q.TryPutFrom(v))
	l := Must(q.Lease(Within(t)))(t)
	if *l.Pointer() != *v {
		t.Error("the value is not as it was put")
	}
	l.Pointer()[0]++
	WantNil(t, "Return", l.Return())
	v[0]++
	got := new([1 << 16]byte)
	WantNil(t, "TryGetInto", q.TryGetInto(got))
	if *got != *v {
		t.Error("the value is not as its holder left it")
	}
}

func testLeaseMisuse(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 4)
	putEach(t, q, 1, 2)
	a, b := lease(t, q, 1), lease(t, q, 2)
	WantNil(t, "Done", a.Done())
	WantNil(t, "Return", b.Return())
	for _, l := range []*ring.Lease[uint64]{a, b, {}} {
		WantError(t, "Done", l.Done(), ring.ErrLeaseEnded)
		WantError(t, "Return", l.Return(), ring.ErrLeaseEnded)
		if l.Pointer() != nil {
			t.Error("an ended lease has a pointer")
		}
		if PanicOf(func() { l.Value() }) == nil {
			t.Error("Value of an ended lease does not panic")
		}
	}
	wantGot(t, q, 2)
	WantNil(t, "Close", q.Close())
	WantError(t, "Lease", Second(q.Lease(t.Context())), ring.ErrClosed)
	WantError(t, "TryLease", Second(q.TryLease()), ring.ErrClosed)
}

// testLeasePassedBy shows that a lease takes up one slot, and does not hold up the queue.
func testLeasePassedBy(t *testing.T, seg *shm.Segment) {
	for _, capacity := range []int{2, 3, 4, 17} {
		q := newQueue[uint64](t, seg, capacity)
		putEach(t, q, 1)
		l := lease(t, q, 1)
		for i := range uint64(5 * capacity) {
			for j := range uint64(capacity - 1) {
				putEach(t, q, 100*i+j)
			}
			WantError(t, "TryPut", q.TryPut(0), ring.ErrFull)
			Want(t, "Len", q.Len(), capacity-1)
			for j := range uint64(capacity - 1) {
				Want(t, "the value", Must(q.TryGet())(t), 100*i+j)
			}
			WantError(t, "TryGet", Second(q.TryGet()), ring.ErrEmpty)
		}
		WantNil(t, "Return", l.Return())
		wantGot(t, q, 1)
		// The slot is used again, at the latest when the putters have gone around once.
		for range capacity {
			putEach(t, q, 5)
			wantGot(t, q, 5)
		}
		for i := range uint64(capacity) {
			putEach(t, q, i)
		}
	}
}

// testLeaseFreeLater shows that a slot that was passed by is used again from the next lap on.
func testLeaseFreeLater(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 4)
	putEach(t, q, 1, 2, 3, 4)
	l := lease(t, q, 1)
	Want(t, "the value", Must(q.TryGet())(t), 2)
	putEach(t, q, 5) // passes by the slot of 1
	WantNil(t, "Done", l.Done())
	WantError(t, "Put of a fourth value", q.TryPut(6), ring.ErrFull)
	Want(t, "the value", Must(q.TryGet())(t), 3)
	putEach(t, q, 6)
	Want(t, "the value", Must(q.TryGet())(t), 4)
	putEach(t, q, 7, 8)
	wantGot(t, q, 5, 6, 7, 8)
}

// testAllLeased shows that polling a queue of which all slots are leased changes nothing.
func testAllLeased(t *testing.T, seg *shm.Segment) {
	for _, capacity := range []int{1, 2, 5} {
		q := newQueue[uint64](t, seg, capacity)
		var held []*ring.Lease[uint64]
		for i := range uint64(capacity) {
			putEach(t, q, i)
			held = append(held, lease(t, q, i))
		}
		before := q.Words()
		for range 3 * capacity {
			WantError(t, "TryPut", q.TryPut(9), ring.ErrFull)
			WantError(t, "TryLease", Second(q.TryLease()), ring.ErrEmpty)
		}
		if !slices.Equal(before, q.Words()) {
			t.Errorf("the slots were %#x and are %#x", before, q.Words())
		}
		for i, l := range slices.Backward(held) {
			WantNil(t, "Done", l.Done())
			putEach(t, q, uint64(100+i))
			wantGot(t, q, uint64(100+i))
		}
	}
}

// testLeaseForLaps holds a lease while the others go around the ring many times.
func testLeaseForLaps(t *testing.T, seg *shm.Segment) {
	q := Closing(t, Must(ring.NewQueue[uint64](seg, "q", 3, nil))(t))
	putEach(t, q, 0)
	l := lease(t, q, 0)
	for i := uint64(1); i < 10_000; i += 2 {
		putEach(t, q, i, i+1)
		WantError(t, "TryPut of a third value", q.TryPut(0), ring.ErrFull)
		wantGot(t, q, i, i+1)
	}
	late := Must(ring.OpenQueue[uint64](seg, "q"))(t)
	WantError(t, "TryGet", Second(late.TryGet()), ring.ErrEmpty)
	putEach(t, late, 1)
	WantNil(t, "Return", l.Return())
	wantGot(t, q, 0, 1)
	WantNil(t, "Close", late.Close())
}

// testLeaseLaps lets leases begin and end in all orders while the laps go around.
func testLeaseLaps(t *testing.T, seg *shm.Segment) {
	q := Closing(t, Must(ring.NewQueueAt[uint64](seg, "", 5, 1<<30-20))(t))
	var held []*ring.Lease[uint64]
	next, seen := uint64(0), map[uint64]int{}
	for i := range 2000 {
		switch {
		case i%7 < 4 && q.TryPut(next) == nil:
			next++
		case i%3 > 0 && len(held) < 4:
			l, err := q.TryLease()
			if err != nil {
				WantError(t, "TryLease", err, ring.ErrEmpty)
				continue
			}
			held = append(held, l)
		case len(held) > 0:
			n := (i * 31) % len(held)
			l := held[n]
			held = slices.Delete(held, n, n+1)
			if i%5 == 0 {
				WantNil(t, "Return", l.Return())
			} else {
				seen[l.Value()]++
				WantNil(t, "Done", l.Done())
			}
		}
	}
	for _, l := range held {
		WantNil(t, "Return", l.Return())
	}
	for {
		v, err := q.TryGet()
		if err != nil {
			WantError(t, "TryGet", err, ring.ErrEmpty)
			break
		}
		seen[v]++
	}
	if next < 300 {
		t.Errorf("only %d values were put", next)
	}
	for v := range next {
		Want(t, "how often a value was done", seen[v], 1)
	}
}

func testLeaseWakesPutter(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 1)
	for range 20 {
		putEach(t, q, 1)
		l := lease(t, q, 1)
		put := Async(func() error { return q.Put(Within(t), 2) })
		WantNil(t, "Done", l.Done())
		WantNil(t, "Put", Await(t, put, "Put"))
		wantGot(t, q, 2)
	}
}

func testLeaseWakesGetter(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 2)
	for i := range uint64(20) {
		putEach(t, q, i)
		l := lease(t, q, i)
		got := Async(func() uint64 { return Must(q.Get(Within(t)))(t) })
		WantNil(t, "Return", l.Return())
		Want(t, "the value", Await(t, got, "Get"), i)
	}
}

func testLeaseShutdown(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 2)
	putEach(t, q, 1, 2)
	a, b := lease(t, q, 1), lease(t, q, 2)
	WantNil(t, "Shutdown", q.Shutdown())
	WantError(t, "TryGet", Second(q.TryGet()), ring.ErrEmpty)
	got := Async(func() (all []uint64) {
		for v, err := range q.All(Within(t)) {
			WantNil(t, "All", err)
			all = append(all, v)
		}
		return all
	})
	WantNil(t, "Return", a.Return())
	WantNil(t, "Done", b.Done())
	if all := Await(t, got, "All"); !slices.Equal(all, []uint64{1}) {
		t.Errorf("All got %v", all)
	}
}

// testLeaseDeath shows that the value of a holder that dies is the next one, at once.
func testLeaseDeath(t *testing.T, seg *shm.Segment) {
	q := Closing(t, Must(ring.NewQueue[uint64](seg, "q", 4, nil))(t))
	for range 3 {
		far := Attach(t, seg)
		other := Closing(t, Must(ring.OpenQueue[uint64](far, "q"))(t))
		putEach(t, q, 1, 2, 3)
		lease(t, other, 1)
		lease(t, other, 2)
		putEach(t, q, 4)
		Want(t, "Len", q.Len(), 2)
		Dies(t, seg, far)
		Want(t, "Len", q.Len(), 4)
		wantGot(t, q, 1, 2, 3, 4)
	}
	// A getter that waits is woken.
	far := Attach(t, seg)
	other := Closing(t, Must(ring.OpenQueue[uint64](far, "q"))(t))
	putEach(t, q, 5)
	lease(t, other, 5)
	got := Async(func() uint64 { return Must(q.Lease(Within(t)))(t).Value() })
	Dies(t, seg, far)
	Want(t, "the value", Await(t, got, "Lease"), 5)
}

func testLeaseAfterClose(t *testing.T, seg *shm.Segment) {
	q := Must(ring.NewQueue[uint64](seg, "q", 4, nil))(t)
	again := Closing(t, Must(ring.OpenQueue[uint64](seg, "q"))(t))
	putEach(t, q, 1, 2)
	a, b := lease(t, q, 1), lease(t, q, 2)
	WantNil(t, "Close", q.Close())
	WantNil(t, "Done", a.Done())
	WantNil(t, "Return", b.Return())
	wantGot(t, again, 2)

	unnamed := Must(ring.NewQueue[uint64](seg, "", 4, nil))(t)
	putEach(t, unnamed, 1)
	c := lease(t, unnamed, 1)
	WantNil(t, "Close", unnamed.Close())
	WantNilOr(t, "Done", c.Done(), ring.ErrClosed)

	putEach(t, again, 3)
	d := lease(t, again, 3)
	WantNil(t, "Close", seg.Close())
	err := d.Done()
	if !errors.Is(err, ring.ErrClosed) {
		t.Errorf("Done after Close of the segment: %v", err)
	}
}
