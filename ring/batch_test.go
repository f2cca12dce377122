//go:build linux

package ring_test

import (
	"context"
	"slices"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestBatch(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"sizes", testBatchSizes},
		{"partly", testBatchPartly},
		{"mixed", testBatchMixed},
		{"with_leases", testBatchLeases},
		{"misuse", testBatchMisuse},
		{"stream", testBatchStream},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

// count returns n values from first on.
func count(first uint64, n int) []uint64 {
	vs := make([]uint64, n)
	for i := range vs {
		vs[i] = first + uint64(i)
	}
	return vs
}

// testBatchSizes puts and gets batches of all sizes around the ring, over the end of the laps.
func testBatchSizes(t *testing.T, seg *shm.Segment) {
	for _, capacity := range []int{1, 2, 3, 64, 65, 200} {
		q := Closing(t, Must(ring.NewQueueAt[uint64](seg, "", capacity, 1<<30-3))(t))
		next := uint64(0)
		for n := range capacity + 1 {
			vs := count(next, n)
			Want(t, "values put", Must(q.PutMany(Within(t), vs))(t), n)
			Want(t, "Len", q.Len(), n)
			next += uint64(n)
			got := make([]uint64, n+3)
			if n == 0 {
				WantError(t, "TryGetMany", Second(q.TryGetMany(got)), ring.ErrEmpty)
				continue
			}
			Want(t, "values got", Must(q.GetMany(Within(t), got))(t), n)
			if !slices.Equal(got[:n], vs) {
				t.Fatalf("got %v, want %v", got[:n], vs)
			}
		}
	}
}

func testBatchPartly(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 5)
	n, err := q.TryPutMany(count(0, 7))
	Want(t, "values put", n, 5)
	WantError(t, "TryPutMany", err, ring.ErrFull)
	n, err = q.PutMany(Expired, count(5, 2))
	Want(t, "values put", n, 0)
	WantError(t, "PutMany", err, context.Canceled)
	got := make([]uint64, 3)
	Want(t, "values got", Must(q.TryGetMany(got))(t), 3)
	n, err = q.PutMany(Expired, count(5, 4))
	Want(t, "values put", n, 3)
	WantError(t, "PutMany", err, context.Canceled)
	wantGot(t, q, 3, 4, 5, 6, 7)
	n, err = q.GetMany(Expired, got)
	Want(t, "values got", n, 0)
	WantError(t, "GetMany", err, context.Canceled)
	putEach(t, q, 9)
	WantNil(t, "Shutdown", q.Shutdown())
	n, err = q.PutMany(Within(t), got)
	Want(t, "values put", n, 0)
	WantError(t, "PutMany", err, ring.ErrShutdown)
	Want(t, "values got", Must(q.GetMany(Within(t), got))(t), 1)
	WantError(t, "GetMany", Second(q.GetMany(Within(t), got)), ring.ErrShutdown)
}

// testBatchMixed mixes batches with single operations.
func testBatchMixed(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 13)
	next, want := uint64(0), uint64(0)
	for i := range 1000 {
		n, err := q.TryPutMany(count(next, i%11))
		WantNilOr(t, "TryPutMany", err, ring.ErrFull)
		next += uint64(n)
		if q.TryPut(next) == nil {
			next++
		}
		got := make([]uint64, 1+i%7)
		n, err = q.TryGetMany(got)
		WantNil(t, "TryGetMany", err)
		for _, v := range got[:n] {
			Want(t, "the value", v, want)
			want++
		}
		if v, err := q.TryGet(); err == nil {
			Want(t, "the value", v, want)
			want++
		}
	}
}

// testBatchLeases shows that batches pass leases by, and take what comes back first.
func testBatchLeases(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 8)
	putEach(t, q, 100, 101, 102)
	a, b, c := lease(t, q, 100), lease(t, q, 101), lease(t, q, 102)
	got := make([]uint64, 8)
	for i := range uint64(20) {
		vs := count(10*i, 5)
		Want(t, "values put", Must(q.PutMany(Within(t), vs))(t), 5)
		Want(t, "values got", Must(q.GetMany(Within(t), got))(t), 5)
		if !slices.Equal(got[:5], vs) {
			t.Fatalf("got %v, want %v", got[:5], vs)
		}
	}
	Must(q.PutMany(Within(t), count(0, 3)))(t)
	WantNil(t, "Return", b.Return())
	WantNil(t, "Return", a.Return())
	Want(t, "values got", Must(q.GetMany(Within(t), got))(t), 5)
	slices.Sort(got[:2])
	if want := []uint64{100, 101, 0, 1, 2}; !slices.Equal(got[:5], want) {
		t.Errorf("got %v, want %v", got[:5], want)
	}
	WantNil(t, "Done", c.Done())
	wantGot(t, q)
}

func testBatchMisuse(t *testing.T, seg *shm.Segment) {
	q := newQueue[uint64](t, seg, 8)
	for _, f := range []func() (int, error){
		func() (int, error) { return q.PutMany(Expired, nil) },
		func() (int, error) { return q.GetMany(Expired, nil) },
		func() (int, error) { return q.TryPutMany(nil) },
		func() (int, error) { return q.TryGetMany(nil) },
	} {
		n, err := f()
		WantNil(t, "a batch of nothing", err)
		Want(t, "values", n, 0)
	}
	WantNil(t, "Close", q.Close())
	vs := make([]uint64, 1)
	WantError(t, "PutMany", Second(q.PutMany(t.Context(), vs)), ring.ErrClosed)
	WantError(t, "GetMany", Second(q.GetMany(t.Context(), vs)), ring.ErrClosed)
	WantError(t, "TryPutMany", Second(q.TryPutMany(vs)), ring.ErrClosed)
	WantError(t, "TryGetMany", Second(q.TryGetMany(vs)), ring.ErrClosed)
}

// testBatchStream lets several putters and getters move batches. Each value arrives once, and those
// of a putter in order.
func testBatchStream(t *testing.T, seg *shm.Segment) {
	const putters, getters, each = 3, 2, 3000
	q := newQueue[message](t, seg, 50)
	c := NewCells(t, seg, putters*each)
	ctx := Within(t)
	puts := Async(func() error {
		All(t, "putters", putters, func(from int) error {
			vs := make([]message, 0, 90)
			for i := 0; i < each; i += len(vs) {
				vs = vs[:min(1+i%90, each-i)]
				for j := range vs {
					vs[j] = message{uint32(from), uint32(i + j)}
				}
				if _, err := q.PutMany(ctx, vs); err != nil {
					return err
				}
			}
			return nil
		})
		return q.Shutdown()
	})
	All(t, "getters", getters, func(i int) error {
		var next [putters]uint32
		vs := make([]message, 70)
		for {
			n, err := q.GetMany(ctx, vs[:1+next[0]%70])
			if err != nil {
				WantError(t, "GetMany", err, ring.ErrShutdown)
				return nil
			}
			for _, m := range vs[:n] {
				if m.Seq < next[m.From] {
					t.Errorf("value %d of putter %d after value %d", m.Seq, m.From, next[m.From]-1)
				}
				next[m.From] = m.Seq + 1
				c.Add(int(m.From)*each + int(m.Seq))
			}
		}
	})
	WantNil(t, "Shutdown", Await(t, puts, "putters"))
	wantOnce(t, c, 0)
}
