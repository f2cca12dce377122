//go:build linux

package ring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/poll"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// newStored makes a queue with so many bytes of storage.
func newStored[T any](t testing.TB, seg *shm.Segment, capacity, storage int) *ring.Queue[T] {
	t.Helper()
	return Closing(t, Must(ring.NewQueue(seg, "", capacity, &ring.QueueOptions[T]{Storage: storage}))(t))
}

// wantUnused checks that all blocks of q's storage are free or stale.
func wantUnused[T any](t testing.TB, q *ring.Queue[T]) {
	t.Helper()
	if n := q.BlocksInUse(); n != 0 {
		t.Errorf("%d blocks of the storage are in use, want 0", n)
	}
}

// A person has parts of every kind.
type person struct {
	Name  string
	Ages  []int
	Tags  map[string]any
	Child *person
}

func TestEncodedTypes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		travel(t, seg, "Q1 string", "", "a", strings.Repeat("b", 104), strings.Repeat("c", 105), strings.Repeat("d", 30000))
		travel(t, seg, "Q1 bytes", []byte{}, []byte("a"), pattern(make([]byte, 104), 1), pattern(make([]byte, 1008), 2),
			pattern(make([]byte, 1009), 3), pattern(make([]byte, 200000), 4))
		travel(t, seg, "Q1 int", -1, 1<<31-1)
		travel(t, seg, "Q1 struct", person{}, person{"ann", []int{3, 1}, map[string]any{"a": 1, "b": []any{"x", 2.5}},
			&person{Name: strings.Repeat("bob", 1000)}})
		travel(t, seg, "Q1 map", nil, map[string]any{}, map[string]any{"k": map[string]any{"n": nil}})
		travel(t, seg, "Q1 any", any(nil), any("s"), any(4))
		travel(t, seg, "Q1 nothing", struct{}{})
		five := 5
		travel(t, seg, "Q1 pointer", nil, &five)
	})
}

// travel checks that values come out of a queue as they were put, by each of the methods.
func travel[T any](t *testing.T, seg *shm.Segment, what string, values ...T) {
	t.Helper()
	ctx := context.Background()
	q := newStored[T](t, seg, len(values), 256<<10)
	defer q.Close()
	check := func(by string, i int, v T, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(v, values[i]) {
			t.Errorf("%s by %s: value %d is %.100v, %v, want %.100v", what, by, i, v, err, values[i])
		}
	}
	for round := range 3 {
		n, err := q.PutMany(ctx, values)
		if n != len(values) || err != nil || q.Len() != n || q.Cap() != n {
			t.Fatalf("%s: PutMany: %d, %v; Len %d, Cap %d", what, n, err, q.Len(), q.Cap())
		}
		WantError(t, what+": full", q.TryPut(values[0]), ring.ErrFull)
		switch round {
		case 0:
			for i := range values {
				v, err := q.Get(ctx)
				check("Get", i, v, err)
			}
		case 1:
			for i := range values {
				l, err := q.Lease(ctx)
				if err != nil {
					t.Fatal(err)
				}
				check("Lease", i, l.Value(), nil)
				WantNil(t, "Return", l.Return())
				l = Must(q.TryLease())(t)
				check("second Lease", i, *l.Pointer(), nil)
				WantNil(t, "Done", l.Done())
				WantError(t, "Done", l.Done(), ring.ErrLeaseEnded)
			}
		case 2:
			vs := make([]T, len(values)+1)
			n, err := q.GetMany(ctx, vs)
			if n != len(values) {
				t.Fatalf("%s: GetMany: %d, %v", what, n, err)
			}
			for i := range values {
				check("GetMany", i, vs[i], err)
			}
		}
		WantError(t, what+": empty", Second(q.TryGet()), ring.ErrEmpty)
		wantUnused(t, q)
	}
	var v T
	WantNil(t, "PutFrom", q.PutFrom(ctx, &values[0]))
	check("GetInto", 0, v, q.GetInto(ctx, &v))
	for range 3 {
		_, err := poll.Select(ctx, q.PutCase(&values[0]))
		WantNil(t, "PutCase", err)
		_, err = poll.TrySelect(q.GetCase(&v))
		check("GetCase", 0, v, err)
		var l *ring.Lease[T]
		WantNil(t, "TryPutFrom", q.TryPutFrom(&values[0]))
		_, err = poll.Select(ctx, q.LeaseCase(&l))
		WantNil(t, "LeaseCase", err)
		check("LeaseCase", 0, l.Value(), err)
		WantNil(t, "Done", l.Done())
	}
	WantError(t, "Reserve", Second(q.TryReserve()), shm.ErrType)
	WantNil(t, "Shutdown", q.Shutdown())
	WantError(t, "Put", q.Put(ctx, v), ring.ErrShutdown)
	WantError(t, "Get", Second(q.Get(ctx)), ring.ErrShutdown)
	wantUnused(t, q)
	WantNil(t, "Close", q.Close())
	WantError(t, "Put", q.Put(ctx, v), ring.ErrClosed)
	WantError(t, "Get", Second(q.Get(ctx)), ring.ErrClosed)
	WantError(t, "Lease", Second(q.Lease(ctx)), ring.ErrClosed)
	WantError(t, "Shutdown", q.Shutdown(), ring.ErrClosed)
	WantError(t, "TaskDone", q.TaskDone(), ring.ErrClosed)
	WantError(t, "GetMany", Second(q.GetMany(ctx, make([]T, 1))), ring.ErrClosed)
	WantError(t, "Select", Second(poll.Select(ctx, q.PutCase(&v))), ring.ErrClosed)
}

func TestEncodedStorage(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		ctx := context.Background()
		q := newStored[[]byte](t, seg, 8, 100<<10)
		half, small := make([]byte, 50*1008), make([]byte, 50)
		WantError(t, "Q10 larger than the storage", q.Put(ctx, make([]byte, 100*1008+1)), ring.ErrTooLarge)
		WantNil(t, "as large as the storage", q.Put(ctx, make([]byte, 100*1008)))
		if v, err := q.TryGet(); len(v) != 100*1008 {
			t.Fatalf("got %d bytes, %v", len(v), err)
		}
		for range 30 { // more often than there are slots, also for those that fail
			WantNil(t, "half", q.TryPut(half))
			WantNil(t, "small", q.TryPut(small))
			WantNil(t, "half", q.TryPut(half))
			WantError(t, "full", q.TryPut(half), ring.ErrFull)
			WantError(t, "full", q.TryPut(make([]byte, 105)), ring.ErrFull)
			WantNil(t, "small", q.TryPut(small))
			if n := q.BlocksInUse(); n != 100 {
				t.Fatalf("%d blocks are in use, want 100", n)
			}
			big := Async(func() error { return q.Put(ctx, half) })
			little := Async(func() error { return q.Put(ctx, make([]byte, 105)) })
			for _, n := range []int{len(half), 50, len(half), 50} {
				if v, err := q.Get(ctx); len(v) != n {
					t.Fatalf("got %d bytes, %v, want %d", len(v), err, n)
				}
			}
			WantNil(t, "big", Await(t, big, "a Put that waits for storage"))
			WantNil(t, "little", Await(t, little, "a Put that waits for storage"))
			Must(q.Get(ctx))(t)
			Must(q.Get(ctx))(t)
			wantUnused(t, q)
		}
		WantNil(t, "whole", q.Put(ctx, make([]byte, 100*1008)))
		waits := Async(func() error { return q.Put(ctx, half) })
		WantNil(t, "Shutdown", q.Shutdown())
		WantError(t, "a Put that waits for storage", Await(t, waits, "a Put that waits for storage"), ring.ErrShutdown)
	})
}

// A shy value can't be encoded, or decoded, if it says so.
type shy string

func (s shy) MarshalText() ([]byte, error) {
	if s == "mute" {
		return nil, errShy
	}
	return []byte(s), nil
}

func (s *shy) UnmarshalText(b []byte) error {
	if bytes.HasPrefix(b, []byte("deaf")) {
		return errShy
	}
	*s = shy(b)
	return nil
}

var errShy = errors.New("shy")

func TestEncodedErrors(t *testing.T) {
	ctx := context.Background()
	seg := Heap(t, room)
	q := newStored[shy](t, seg, 3, 10<<10)
	WantError(t, "Q10 Put", q.Put(ctx, "mute"), errShy)
	if q.Len() != 0 {
		t.Errorf("a value that can't be encoded uses a slot")
	}
	long := shy("deaf" + strings.Repeat("x", 1000))
	WantNil(t, "Put", q.Put(ctx, long))
	WantNil(t, "Put", q.Put(ctx, "hello"))
	err := Second(q.Get(ctx))
	WantError(t, "Q10 Get", err, errShy)
	WantError(t, "Q10 Get", err, ring.ErrDecode)
	if v, err := q.Get(ctx); v != "hello" {
		t.Errorf("got %q, %v", v, err)
	}
	WantNil(t, "Put", q.Put(ctx, long))
	WantError(t, "Lease", Second(q.Lease(ctx)), errShy)
	WantError(t, "Lease", Second(q.TryLease()), ring.ErrEmpty)
	vs := make([]shy, 3)
	Must(q.PutMany(ctx, []shy{"a", long, "b"}))(t)
	n, err := q.GetMany(ctx, vs)
	WantError(t, "GetMany", err, errShy)
	if n != 1 || vs[0] != "a" {
		t.Errorf("GetMany: %d values: %q", n, vs)
	}
	var v shy
	_, err = poll.Select(ctx, q.GetCase(&v))
	if err != nil || v != "b" {
		t.Errorf("GetCase: %q, %v", v, err)
	}
	WantNil(t, "Put", q.Put(ctx, long))
	WantError(t, "GetCase", Second(poll.Select(ctx, q.GetCase(&v))), errShy)
	v = "mute"
	WantError(t, "PutCase", Second(poll.Select(ctx, q.PutCase(&v))), errShy)
	wantUnused(t, q)
}

func TestEncodedJoin(t *testing.T) {
	ctx := context.Background()
	seg := Heap(t, room)
	q := Closing(t, Must(ring.NewQueue(seg, "", 4, &ring.QueueOptions[string]{Joinable: true}))(t))
	long := strings.Repeat("long", 1000)
	for _, v := range []string{"a", long, "b"} {
		WantNil(t, "Q7 Put", q.Put(ctx, v))
	}
	for _, want := range []string{"a", long, "b"} {
		if v, err := q.Get(ctx); v != want {
			t.Errorf("got %.20q, %v", v, err)
		}
	}
	joined := Async(func() error { return q.Join(ctx) })
	for range 3 {
		WantNil(t, "Q7 TaskDone", q.TaskDone())
	}
	WantError(t, "TaskDone", q.TaskDone(), ring.ErrTooManyDone)
	WantNil(t, "Q7 Join", Await(t, joined, "Join"))
	wantUnused(t, q)

	// What was not done comes back when its Queue is closed.
	WantNil(t, "Put", q.Put(ctx, long))
	other := new(ring.Queue[string])
	WantNil(t, "UnmarshalText", other.UnmarshalText([]byte(q.Handle().String())))
	Must(other.Get(ctx))(t)
	WantNil(t, "Close", other.Close())
	if v, err := q.TryGet(); v != long {
		t.Errorf("got %.20q, %v", v, err)
	}
	WantNil(t, "TaskDone", q.TaskDone())
	wantUnused(t, q)
}

func TestEncodedMismatch(t *testing.T) {
	seg := Heap(t, room)
	q := Closing(t, Must(ring.NewQueue[map[string]int](seg, "q", 1, nil))(t))
	WantError(t, "string", Second(ring.OpenQueue[string](seg, "q")), shm.ErrMismatch)
	WantError(t, "fixed layout", Second(ring.OpenQueue[uint64](seg, "q")), shm.ErrMismatch)
	WantError(t, "other map", new(ring.Queue[map[string]bool]).UnmarshalText([]byte(q.Handle().String())), shm.ErrMismatch)
	WantNil(t, "the same", Closing(t, Must(ring.OpenQueue[map[string]int](seg, "q"))(t)).Put(context.Background(), map[string]int{"a": 1}))
	if v, err := q.TryGet(); !maps.Equal(v, map[string]int{"a": 1}) {
		t.Errorf("got %v, %v", v, err)
	}
	for _, size := range []int{-1, math.MaxInt} {
		WantError(t, fmt.Sprint("storage of ", size), Second(ring.NewQueue(seg, "", 1, &ring.QueueOptions[string]{Storage: size})), shm.ErrSize)
	}
}

// TestEncodedStats shows that the statistics of a queue do not take its storage for slots.
func TestEncodedStats(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		q := newStored[string](t, seg, 5, 1<<20)
		for _, v := range []string{"a", strings.Repeat("b", 1000), "c"} {
			WantNil(t, "Put", q.TryPut(v))
		}
		Must(q.TryGet())(t)
		s := Must(q.Stats())(t)
		Want(t, "figures", [4]uint64{s.Sent, s.Received, s.Depth, s.Capacity}, [4]uint64{3, 1, 2, 5})
	})
}
