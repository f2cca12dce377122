package value_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

func TestValue(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"V01_types", testTypes},
		{"V02_locks", testLocks},
		{"V02_shared_lock_whose_owner_died", testOwnerDied},
		{"V02_lock_that_can_not_be_shared", testForeignLocks},
		{"V03_update", testUpdate},
		{"V03_numbers", testNumbers},
		{"V09_copies_are_independent", testIndependent},
		{"compare_and_swap", testCompareAndSwap},
		{"closed", testClosed},
		{"close_while_waiting", testCloseWhileWaiting},
		{"watch", testWatch},
		{"hammer", testHammer},
		{"open", testOpen},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

// roundTrip writes and reads values of one type by each method, through two parties.
func roundTrip[T comparable](t *testing.T, seg, party *shm.Segment, a, b T) {
	t.Helper()
	name := fmt.Sprintf("%T", a)
	v := Closing(t, Must(value.New(seg, name, a, nil))(t))
	far := Closing(t, Must(value.Open[T](party, name))(t))
	Want(t, name+" at first", far.Load(), a)
	v.Store(b)
	Want(t, name+" stored", far.Load(), b)
	Want(t, name+" swapped", far.Swap(a), b)
	Want(t, name+" after Swap", v.Load(), a)
	WantNil(t, "Update", far.Update(t.Context(), func(x *T) {
		Want(t, name+" in Update", *x, a)
		*x = b
	}))
	Want(t, name+" updated", v.Load(), b)
	Want(t, name+" CompareAndSwap", value.CompareAndSwap(v, a, a), false)
	Want(t, name+" CompareAndSwap", value.CompareAndSwap(v, b, a), true)
	Want(t, name+" after CompareAndSwap", far.Load(), a)
	for range 9 { // more values than there are copies
		v.Store(b)
		Want(t, name, far.Load(), b)
		far.Store(a)
		Want(t, name, v.Load(), a)
	}
	raw := Closing(t, Must(value.NewRaw(seg, name+" raw", a))(t))
	WantNil(t, "Update", raw.Update(t.Context(), func(x *T) { *x = b }))
	Want(t, name+" raw", Closing(t, Must(value.Open[T](party, name+" raw"))(t)).Load(), b)
	WantNil(t, "Remove", seg.Remove(name))
	WantNil(t, "Remove", seg.Remove(name+" raw"))
}

func testTypes(t *testing.T, seg *shm.Segment) {
	party := Attach(t, seg)
	roundTrip[int8](t, seg, party, -1, math.MinInt8)
	roundTrip[uint8](t, seg, party, 1, math.MaxUint8)
	roundTrip[int16](t, seg, party, -1, math.MinInt16)
	roundTrip[uint16](t, seg, party, 1, math.MaxUint16)
	roundTrip[int32](t, seg, party, -1, math.MinInt32)
	roundTrip[uint32](t, seg, party, 1, math.MaxUint32)
	roundTrip[int64](t, seg, party, -1, math.MinInt64)
	roundTrip[uint64](t, seg, party, 1, math.MaxUint64)
	roundTrip[float32](t, seg, party, 0.1, -math.MaxFloat32)
	roundTrip[float64](t, seg, party, 0.1, math.Inf(-1))
	roundTrip[complex64](t, seg, party, 1+2i, 3)
	roundTrip[complex128](t, seg, party, 1+2i, 3)
	roundTrip(t, seg, party, false, true)
	roundTrip(t, seg, party, [3]byte{1, 2, 3}, [3]byte{4, 5, 6})
	roundTrip(t, seg, party, [5]byte{1, 2, 3, 4, 5}, [5]byte{6})
	roundTrip(t, seg, party, [7]byte{1, 2, 3, 4, 5, 6, 7}, [7]byte{8})
	roundTrip(t, seg, party, [9]byte{1, 8: 9}, [9]byte{9, 8: 1})
	roundTrip(t, seg, party, [127]byte{1, 126: 9}, [127]byte{9, 126: 1})
	roundTrip(t, seg, party, [129]byte{1, 128: 9}, [129]byte{9, 128: 1})
	roundTrip(t, seg, party, [65]uint16{1, 64: 9}, [65]uint16{9, 64: 1})
	roundTrip(t, seg, party, struct {
		A int8
		B int16
	}{1, 2}, struct {
		A int8
		B int16
	}{3, 4})
	roundTrip(t, seg, party, pair{1, 2}, pair{3, 4})
	roundTrip(t, seg, party, odd{A: 1, B: 2, C: [3]uint8{3, 4, 5}, D: 6, E: [7]uint8{6: 7}}, odd{E: [7]uint8{8}})
	roundTrip(t, seg, party, newBig(1), newBig(2))
	roundTrip(t, seg, party, [9000]uint32{1, 8999: 2}, [9000]uint32{3, 8999: 4})
}

// A codes has a value of each of some kinds.
type codes struct {
	I *value.Value[int32]
	D *value.Value[float64]
	H *value.Value[int16]
	Q *value.Value[int64]
	C *value.Value[byte]
	W *value.Value[big]
}

var setTask = Task("set values", func(_ context.Context, c codes) (int, error) {
	if c.I.Load() != 4343 || c.D.Load() != 3.625 || c.H.Load() != -232 || c.Q.Load() != 1<<33 || c.C.Load() != 'c' || c.W.Load() != newBig(1) {
		return 0, errors.New("a value is not as it was made")
	}
	c.I.Store(24234)
	c.D.Store(-4.25)
	c.H.Store(234)
	c.Q.Store(1 << 34)
	c.C.Store('x')
	c.W.Store(newBig(2))
	return 0, nil
})

// A child sees the values that its parent made, and the parent sees those that the child sets.
func TestV01_ChildSets(t *testing.T) {
	seg := Anonymous(t, room)
	for _, o := range []*value.Options{nil, {NoLock: true}} {
		c := codes{
			Closing(t, Must(value.New(seg, "", int32(4343), o))(t)), Closing(t, Must(value.New(seg, "", 3.625, o))(t)),
			Closing(t, Must(value.New(seg, "", int16(-232), o))(t)), Closing(t, Must(value.New(seg, "", int64(1<<33), o))(t)),
			Closing(t, Must(value.New(seg, "", byte('c'), o))(t)), Closing(t, Must(value.New(seg, "", newBig(1), o))(t)),
		}
		Want(t, "value has no lock", c.I.Lock() == nil, o != nil)
		Result(t, Start(t, setTask, c))
		Want(t, "int32", c.I.Load(), 24234)
		Want(t, "float64", c.D.Load(), -4.25)
		Want(t, "int16", c.H.Load(), 234)
		Want(t, "int64", c.Q.Load(), 1<<34)
		Want(t, "byte", c.C.Load(), 'x')
		Want(t, "4 KiB", c.W.Load(), newBig(2))
	}
}

func testLocks(t *testing.T, seg *shm.Segment) {
	ctx := Within(t)
	shared := Closing(t, Must(psync.NewLock(seg, "lock", nil))(t))
	a := Closing(t, Must(value.New(seg, "a", int64(1), &value.Options{Lock: shared}))(t))
	b := Closing(t, Must(value.New(seg, "b", newBig(1), &value.Options{Lock: shared}))(t))
	own := newValue(t, seg, int64(1))
	raw := Closing(t, Must(value.NewRaw(seg, "", newBig(1)))(t))
	if raw.Lock() != nil {
		t.Error("a raw value has a lock")
	}
	far := Closing(t, Must(value.Open[big](Attach(t, seg), "b"))(t))

	// While the lock is held, Update blocks, but Load and Store do not.
	WantNil(t, "Acquire", a.Lock().Acquire(ctx))
	WantError(t, "TryAcquire of the same lock", b.Lock().TryAcquire(), psync.ErrHeld)
	WantError(t, "TryAcquire of the same lock", far.Lock().TryAcquire(), psync.ErrHeld)
	WantError(t, "TryAcquire of the same lock", shared.TryAcquire(), psync.ErrHeld)
	WantError(t, "Update of a", a.Update(Expired, func(*int64) { t.Error("f was called") }), context.Canceled)
	WantError(t, "Update of b", b.Update(Expired, func(*big) { t.Error("f was called") }), context.Canceled)
	WantError(t, "Update of b", far.Update(Expired, func(*big) { t.Error("f was called") }), context.Canceled)
	a.Store(a.Load() + 1)
	far.Store(newBig(b.Load()[0] + 1))
	WantNil(t, "Update of another", own.Update(Expired, func(x *int64) { *x = 2 }))
	WantNil(t, "Update of a raw value", raw.Update(Expired, func(x *big) { *x = newBig(2) }))
	WantNil(t, "Release", b.Lock().Release())
	WantNil(t, "Update, expired", a.Update(Expired, func(x *int64) { *x++ }))
	Want(t, "a", a.Load(), 3)
	Want(t, "b", b.Load(), newBig(2))

	// Update waits for the lock.
	WantNil(t, "Acquire", own.Lock().Acquire(ctx))
	waiter := Async(func() error { return own.Update(ctx, func(x *int64) { *x++ }) })
	AwaitAsleep(t, os.Getpid(), 1)
	WantNil(t, "Release", own.Lock().Release())
	WantNil(t, "Update", Await(t, waiter, "Update"))
	Want(t, "own", own.Load(), 3)

	// A panic frees the lock and changes nothing.
	Want(t, "panic of f", PanicOf(func() { b.Update(ctx, func(x *big) { *x = big{}; panic("oh") }) }), any("oh"))
	Want(t, "b", b.Load(), newBig(2))
	WantNil(t, "TryAcquire", b.Lock().TryAcquire())
	WantNil(t, "Release", b.Lock().Release())
}

func testOwnerDied(t *testing.T, seg *shm.Segment) {
	ctx := Within(t)
	shared := Closing(t, Must(psync.NewLock(seg, "lock", nil))(t))
	v := Closing(t, Must(value.New(seg, "v", newBig(1), &value.Options{Lock: shared}))(t))
	own := Closing(t, Must(value.New(seg, "own", newBig(1), nil))(t))
	party := Must(object.Attach(seg))(t)
	WantNil(t, "TryAcquire", Must(value.Open[big](party, "v"))(t).Lock().TryAcquire())
	WantNil(t, "TryAcquire", Must(value.Open[big](party, "own"))(t).Lock().TryAcquire())
	Dies(t, seg, party)
	called := func(*big) { t.Error("f was called") }
	for range 3 {
		WantError(t, "Update", v.Update(ctx, called), psync.ErrOwnerDied)
		WantError(t, "Update, expired", v.Update(Expired, called), psync.ErrOwnerDied)
	}
	v.Store(newBig(2)) // does not need the lock
	Want(t, "v", v.Load(), newBig(2))
	WantNil(t, "Recover", v.Lock().Recover(ctx, func() error { return nil }))
	WantNil(t, "Update", v.Update(ctx, func(x *big) { *x = newBig(3) }))
	WantNil(t, "Update with an own lock", own.Update(ctx, func(x *big) { *x = newBig(3) }))
	Want(t, "v", v.Load(), newBig(3))
	Want(t, "own", own.Load(), newBig(3))
}

func testForeignLocks(t *testing.T, seg *shm.Segment) {
	other := Closing(t, Must(psync.NewLock(Heap(t, room), "", nil))(t))
	WantError(t, "lock of another segment", Second(value.New(seg, "x", 1.0, &value.Options{Lock: other})), shm.ErrMismatch)
	v := newValue(t, seg, 1.0)
	WantError(t, "lock of another value", Second(value.New(seg, "x", 1.0, &value.Options{Lock: v.Lock()})), shm.ErrMismatch)
	WantError(t, "closed lock", Second(value.New(seg, "x", 1.0, &value.Options{Lock: new(psync.Lock)})), value.ErrClosed)
	// A value that uses a removed lock goes on using it, but can't be opened any more.
	lock := Closing(t, Must(psync.NewLock(seg, "lock", nil))(t))
	w := Closing(t, Must(value.New(seg, "w", 1.0, &value.Options{Lock: lock}))(t))
	WantNil(t, "Remove", seg.Remove("lock"))
	WantNil(t, "Update", w.Update(t.Context(), func(x *float64) { *x = 2 }))
	WantError(t, "Open of a value whose lock was removed", Second(value.Open[float64](seg, "w")), fs.ErrNotExist)
	// No new value can use a removed lock.
	WantError(t, "lock that was removed", Second(value.New(seg, "x", 1.0, &value.Options{Lock: lock})), fs.ErrNotExist)
	WantError(t, "Remove of a value that New did not make", seg.Remove("x"), fs.ErrNotExist)
}

// Update calls f again if a Store comes between.
func testUpdate(t *testing.T, seg *shm.Segment) {
	ctx := Within(t)
	check := func(v *value.Value[big], w *value.Value[int64]) {
		calls := 0
		WantNil(t, "Update", v.Update(ctx, func(x *big) {
			if calls++; calls == 1 {
				v.Store(newBig(10))
			}
			*x = newBig(x[0] + 1)
		}))
		Want(t, "v", v.Load(), newBig(11))
		WantNil(t, "Update", w.Update(ctx, func(x *int64) {
			if calls++; calls == 3 {
				w.Store(10)
			}
			*x++
		}))
		Want(t, "w", w.Load(), 11)
		Want(t, "calls", calls, 4)
		short, cancel := context.WithCancel(ctx)
		WantError(t, "Update cancelled in f", w.Update(short, func(x *int64) {
			cancel()
			w.Store(*x + 1)
		}), context.Canceled)
	}
	check(newValue(t, seg, newBig(1)), newValue(t, seg, int64(1)))
	check(Closing(t, Must(value.NewRaw(seg, "", newBig(1)))(t)), Closing(t, Must(value.NewRaw(seg, "", int64(1)))(t)))
}

func testNumbers(t *testing.T, seg *shm.Segment) {
	i := Closing(t, Must(value.NewInt64(seg, "i", 5, nil))(t))
	u := Closing(t, Must(value.NewUint64(seg, "u", math.MaxUint64, nil))(t))
	f := Closing(t, Must(value.NewFloat64(seg, "f", 0.5, nil))(t))
	Want(t, "Add", i.Add(-7), -2)
	Want(t, "Add that wraps", u.Add(2), 1)
	Want(t, "Add", f.Add(0.25), 0.75)
	Want(t, "And", u.And(0), 1)
	Want(t, "Or", u.Or(6), 0)
	Want(t, "Word", u.Word().Load(), 6)
	u.Word().Store(6)
	Want(t, "And", u.And(^uint64(2)), 6)
	Want(t, "Load", u.Load(), 4)
	Want(t, "CompareAndSwap", i.CompareAndSwap(-2, 9), true)
	Want(t, "CompareAndSwap", i.CompareAndSwap(-2, 9), false)
	Want(t, "CompareAndSwap", f.CompareAndSwap(0.75, 1), true)
	party := Attach(t, seg)
	Want(t, "Load", Closing(t, Must(value.OpenInt64(party, "i"))(t)).Load(), 9)
	Want(t, "Load", Closing(t, Must(value.OpenUint64(party, "u"))(t)).Load(), 4)
	Want(t, "Load", Closing(t, Must(value.OpenFloat64(party, "f"))(t)).Load(), 1)
	Want(t, "Load as a Value", Closing(t, Must(value.Open[int64](party, "i"))(t)).Load(), 9)
	WantError(t, "Open as another type", Second(value.OpenUint64(party, "i")), shm.ErrMismatch)
}

func testIndependent(t *testing.T, seg *shm.Segment) {
	v := newValue(t, seg, odd{B: 1})
	x := v.Load()
	x.B = 2
	Want(t, "the value after its copy was changed", v.Load().B, 1)
	v.Store(odd{B: 3})
	Want(t, "the copy after the value was changed", x.B, 2)
}

func testCompareAndSwap(t *testing.T, seg *shm.Segment) {
	nan := newValue(t, seg, math.NaN())
	Want(t, "CompareAndSwap of NaN", value.CompareAndSwap(nan, math.NaN(), 1), false)
	zero := newValue(t, seg, 0.0)
	Want(t, "CompareAndSwap of 0 for -0", value.CompareAndSwap(zero, math.Copysign(0, -1), 1), true)
	// Of several concurrent calls, one succeeds.
	v := newValue(t, seg, newBig(0))
	var won atomic.Int32
	All(t, "CompareAndSwap", 8, func(i int) error {
		if value.CompareAndSwap(v, newBig(0), newBig(uint64(i)+1)) {
			won.Add(1)
		}
		return nil
	})
	Want(t, "winners", won.Load(), 1)
}

// wantClosed checks that f panics with an error that wraps ErrClosed.
func wantClosed(t *testing.T, what string, f func()) {
	t.Helper()
	err, _ := PanicOf(f).(error)
	WantError(t, "panic of "+what, err, value.ErrClosed)
}

func allFail[T comparable](t *testing.T, v *value.Value[T]) {
	t.Helper()
	var x T
	for range 3 {
		wantClosed(t, "Load", func() { v.Load() })
		wantClosed(t, "Store", func() { v.Store(x) })
		wantClosed(t, "Swap", func() { v.Swap(x) })
		wantClosed(t, "CompareAndSwap", func() { value.CompareAndSwap(v, x, x) })
		WantError(t, "Update", v.Update(t.Context(), func(*T) { t.Error("f was called") }), value.ErrClosed)
		WantError(t, "Update, expired", v.Update(Expired, func(*T) { t.Error("f was called") }), value.ErrClosed)
		n := 0
		for _, err := range v.Watch(t.Context()) {
			WantError(t, "Watch", err, value.ErrClosed)
			n++
		}
		Want(t, "turns of Watch", n, 1)
	}
}

func testClosed(t *testing.T, seg *shm.Segment) {
	v := Must(value.New(seg, "v", newBig(1), nil))(t)
	other := Closing(t, Must(value.Open[big](seg, "v"))(t))
	lock := v.Lock()
	for range 3 {
		WantNil(t, "Close", v.Close())
	}
	allFail(t, v)
	wantClosed(t, "Lock", func() { v.Lock() })
	WantNil(t, "TryAcquire of the lock that was returned before Close", lock.TryAcquire())
	WantNil(t, "Release", lock.Release())
	Want(t, "Handle", v.Handle(), shm.Handle{})
	WantError(t, "MarshalText", Second(v.MarshalText()), value.ErrClosed)
	wantClosed(t, "Offset", func() { v.Offset() })
	Want(t, "the other", other.Load(), newBig(1))
	allFail(t, new(value.Value[int8]))
	allFail(t, new(value.Value[big]))
	var i value.Int64
	var f value.Float64
	for what, call := range map[string]func(){
		"Add": func() { i.Add(1) }, "Word": func() { i.Word() }, "And": func() { i.And(1) }, "Or": func() { i.Or(1) }, "Load": func() { i.Load() },
		"Float64.Add": func() { f.Add(1) }, "Float64.Load": func() { f.Load() },
	} {
		wantClosed(t, what, call)
	}

	party := Must(object.Attach(seg))(t)
	far := Must(value.Open[big](party, "v"))(t)
	word := Must(value.NewInt64(party, "i", 1, nil))(t)
	WantNil(t, "Close of the segment", party.Close())
	allFail(t, far)
	allFail(t, &word.Value)
	wantClosed(t, "Offset", func() { far.Offset() })
	wantClosed(t, "Lock", func() { far.Lock() })
	Want(t, "Handle", far.Handle(), shm.Handle{})
	WantError(t, "MarshalText", Second(far.MarshalText()), value.ErrClosed)
	wantClosed(t, "Word", func() { word.Word() })
	wantClosed(t, "Add", func() { word.Add(1) })
	wantClosed(t, "Load", func() { word.Load() })
}

func testCloseWhileWaiting(t *testing.T, seg *shm.Segment) {
	for _, closer := range []string{"value", "segment"} {
		party := Must(object.Attach(seg))(t)
		name := "v of " + closer
		v := Closing(t, Must(value.New(seg, name, newBig(1), nil))(t))
		far := Must(value.Open[big](party, name))(t)
		WantNil(t, "Acquire", v.Lock().Acquire(t.Context()))
		update := Async(func() error { return far.Update(context.Background(), func(*big) {}) })
		watch := Async(func() (err error) {
			for _, err = range far.Watch(context.Background()) {
			}
			return err
		})
		AwaitAsleep(t, os.Getpid(), 2)
		if closer == "value" {
			WantNil(t, "Close", far.Close())
		} else {
			WantNil(t, "Close", party.Close())
		}
		WantError(t, "Update", Await(t, update, "Update of a closed "+closer), value.ErrClosed)
		WantError(t, "Watch", Await(t, watch, "Watch of a closed "+closer), value.ErrClosed)
		WantNil(t, "Release", v.Lock().Release())
		party.Close()
	}
}

// An Update in whose f the value is closed releases the lock.
func TestCloseInUpdate(t *testing.T) {
	seg := Anonymous(t, room)
	v := Must(value.New(seg, "v", newBig(1), nil))(t)
	other := Closing(t, Must(value.Open[big](seg, "v"))(t))
	v.Update(t.Context(), func(x *big) {
		v.Lock().Close()
		v.Close()
		*x = newBig(2)
	})
	WantNil(t, "TryAcquire", other.Lock().TryAcquire())
	WantNil(t, "Release", other.Lock().Release())
	// If the segment is closed in f, Update fails and the value is unchanged.
	party := Must(object.Attach(seg))(t)
	far := Must(value.Open[big](party, "v"))(t)
	WantError(t, "Update", far.Update(t.Context(), func(x *big) {
		party.Close()
		*x = newBig(3)
	}), value.ErrClosed)
	WantNil(t, "TryAcquire", other.Lock().TryAcquire())
	Want(t, "value", other.Load(), newBig(2))
}

// If the segment is closed concurrently, Open succeeds or returns ErrClosed.
func TestOpenUnderClose(t *testing.T) {
	seg := Anonymous(t, room)
	Closing(t, Must(value.New(seg, "v", newBig(7), nil))(t))
	opened := 0
	for range 100 {
		party := Must(object.Attach(seg))(t)
		CloseWhileBusy(t, party, nil, func() error {
			v, err := value.Open[big](party, "v")
			if err == nil {
				opened++
				err = v.Lock().TryAcquire()
			}
			if err == nil {
				err = v.Lock().Release()
			}
			return err
		})
	}
	wantSome(t, "opened", opened)
}

// If the segment is closed concurrently, methods fail with ErrClosed: none faults, and none returns
// a value that was never stored.
func TestCloseUnderUse(t *testing.T) {
	for range 20 {
		seg := Must(shm.Anonymous(room, nil))(t)
		b := Must(value.New(seg, "b", newBig(7), nil))(t)
		i := Must(value.NewInt64(seg, "i", 7, nil))(t)
		CloseWhileBusy(t, seg, nil,
			func() error {
				x := b.Load()
				if x[0] == 0 {
					return errors.New("Load returned zeros")
				}
				return x.check()
			},
			func() error { b.Store(newBig(8)); return nil },
			func() error {
				if i.Load() == 0 {
					return errors.New("Load returned 0")
				}
				return nil
			},
			func() error { i.Store(9); return nil },
			func() error {
				return b.Update(context.Background(), func(x *big) {
					if x[0] == 0 {
						panic(errors.New("f got zeros"))
					}
				})
			},
		)
	}
}

func testWatch(t *testing.T, seg *shm.Segment) {
	party := Attach(t, seg)
	v := Closing(t, Must(value.New(seg, "v", newBig(0), nil))(t))
	w := Closing(t, Must(value.NewInt64(seg, "w", 0, nil))(t))
	farV := Closing(t, Must(value.Open[big](party, "v"))(t))
	farW := Closing(t, Must(value.OpenInt64(party, "w"))(t))

	// A sleeping watcher sees a change by each method, and the last of many changes.
	const last = 1000
	ctx := Within(t)
	seen := make(chan uint64)
	follow := func(watch func(yield func(uint64, error) bool)) <-chan error {
		return Async(func() error {
			for x, err := range watch {
				if err != nil {
					return err
				}
				select {
				case seen <- x:
				case <-ctx.Done():
					return ctx.Err()
				}
				if x == last {
					return nil
				}
			}
			return errors.New("Watch ended without an error")
		})
	}
	for _, test := range []struct {
		name  string
		watch func(yield func(uint64, error) bool)
		steps []func()
		last  func(x uint64)
	}{
		{"large", func(yield func(uint64, error) bool) {
			for x, err := range farV.Watch(ctx) {
				if err == nil {
					err = x.check()
				}
				if !yield(x[0], err) {
					return
				}
			}
		}, []func(){
			func() { v.Store(newBig(1)) },
			func() { v.Swap(newBig(2)) },
			func() { value.CompareAndSwap(v, newBig(2), newBig(3)) },
			func() { v.Update(ctx, func(x *big) { *x = newBig(4) }) },
		}, func(x uint64) { v.Store(newBig(x)) }},
		{"word", func(yield func(uint64, error) bool) {
			for x, err := range farW.Watch(ctx) {
				if !yield(uint64(x), err) {
					return
				}
			}
		}, []func(){
			func() { w.Store(1) },
			func() { w.Swap(2) },
			func() { w.CompareAndSwap(2, 3) },
			func() { w.Update(ctx, func(x *int64) { *x = 4 }) },
			func() { w.Add(1) },
			func() { w.Or(2) },
			func() { w.And(0) },
		}, func(x uint64) { w.Store(int64(x)) }},
	} {
		done := follow(test.watch)
		want := []uint64{0, 1, 2, 3, 4, 5, 7, 0}
		Want(t, test.name+" at first", Await(t, seen, "first value"), want[0])
		for i, step := range test.steps {
			AwaitAsleep(t, os.Getpid(), 1)
			step()
			Want(t, test.name+" changed", Await(t, seen, "change"), want[i+1])
		}
		go func() {
			for x := uint64(10); x <= last; x++ {
				test.last(x)
			}
		}()
		for x := uint64(0); x != last; {
			next := Await(t, seen, "last change")
			if next <= x {
				t.Errorf("%s: %d after %d", test.name, next, x)
			}
			x = next
		}
		WantNil(t, "Watch", Await(t, done, "end of Watch"))
	}

	// Contexts.
	var got []error
	for x, err := range v.Watch(Expired) {
		if err == nil {
			Want(t, "value with an expired context", x[0], last)
		}
		got = append(got, err)
	}
	if len(got) != 2 || got[0] != nil || !errors.Is(got[1], context.Canceled) {
		t.Errorf("Watch with an expired context: %v, want nil and Canceled", got)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	var end error
	for _, end = range w.Watch(short) {
	}
	WantError(t, "Watch", end, context.DeadlineExceeded)
	for range w.Watch(ctx) {
		break
	}
}

// Several parties read and write one value. On the heap segment the race detector checks them.
func testHammer(t *testing.T, seg *shm.Segment) {
	const parties, each = 3, 300
	must := Closing(t, Must(value.New(seg, "v", newBig(0), nil))(t))
	Closing(t, Must(value.New(seg, "odd", odd{}, nil))(t))
	var vs [parties]*value.Value[big]
	var odds [parties]*value.Value[odd]
	for i := range vs {
		party := Attach(t, seg)
		vs[i] = Must(value.Open[big](party, "v"))(t)
		odds[i] = Must(value.Open[odd](party, "odd"))(t)
	}
	ctx := Within(t)
	All(t, "users of the value", 2*parties, func(i int) error {
		v, o := vs[i%parties], odds[i%parties]
		for range each {
			x := v.Load()
			if err := x.check(); err != nil {
				return err
			}
			if err := v.Update(ctx, func(x *big) { *x = newBig(x[0] + 1) }); err != nil {
				return err
			}
			for {
				x := o.Load()
				if x.A != uint8(x.D) || x.E[6] != x.A {
					return fmt.Errorf("torn: %+v", x)
				}
				y := x
				y.D++
				y.A, y.E[6] = uint8(y.D), uint8(y.D)
				if value.CompareAndSwap(o, x, y) {
					break
				}
			}
		}
		return nil
	})
	Want(t, "updates", must.Load()[0], 2*parties*each)
	Want(t, "swaps", odds[0].Load().D, 2*parties*each)
}

func testOpen(t *testing.T, seg *shm.Segment) {
	v := Closing(t, Must(value.New(seg, "v", newBig(1), nil))(t))
	var same value.Value[big]
	WantNil(t, "UnmarshalText", same.UnmarshalText(Must(v.MarshalText())(t)))
	same.Store(newBig(2))
	Want(t, "value", v.Load(), newBig(2))
	WantNil(t, "Close", same.Close())
	WantError(t, "name that is taken", Second(value.New(seg, "v", 1.0, nil)), fs.ErrExist)
	WantError(t, "name of nothing", Second(value.Open[big](seg, "x")), fs.ErrNotExist)
	WantError(t, "another T", Second(value.Open[[513]uint64](seg, "v")), shm.ErrMismatch)
	WantError(t, "another T", Second(value.Open[[512]int64](seg, "v")), shm.ErrMismatch)
	WantError(t, "lock of that name", Second(psync.OpenLock(seg, "v")), shm.ErrMismatch)
	var other value.Value[int64]
	WantError(t, "handle of another T", other.UnmarshalText(Must(v.MarshalText())(t)), shm.ErrMismatch)
	WantError(t, "too large", Second(value.New(seg, "x", [room / 4]byte{}, nil)), shm.ErrNoSpace)
}

func refused[T any](t *testing.T, seg *shm.Segment, path string) {
	t.Helper()
	var x T
	for _, err := range []error{
		Second(value.New(seg, "x", x, nil)), Second(value.NewRaw(seg, "x", x)), Second(value.Open[T](seg, "x")),
		new(value.Value[T]).UnmarshalText([]byte(seg.Handle().String())),
	} {
		WantError(t, path, err, shm.ErrType)
		if err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("error %q does not name %s", err, path)
		}
	}
}

func TestV10_Refused(t *testing.T) {
	seg := Heap(t, 1<<16)
	refused[string](t, seg, "string")
	refused[[]byte](t, seg, "slice")
	refused[map[int8]int8](t, seg, "map")
	refused[*int8](t, seg, "ptr")
	refused[any](t, seg, "interface")
	refused[error](t, seg, "interface")
	refused[func()](t, seg, "func")
	refused[chan int8](t, seg, "chan")
	refused[int](t, seg, "int")
	refused[uint](t, seg, "uint")
	refused[uintptr](t, seg, "uintptr")
	refused[struct{}](t, seg, "no size")
	refused[[0]int64](t, seg, "no size")
	refused[struct{ A []struct{} }](t, seg, ".A")
	refused[struct{ A [2]struct{ B string } }](t, seg, ".A[].B")
	refused[struct{ M sync.Mutex }](t, seg, ".M")
	refused[sync.RWMutex](t, seg, "sync.RWMutex")
	refused[struct{ W sync.WaitGroup }](t, seg, ".W")
	refused[struct{ O sync.Once }](t, seg, ".O")
	refused[struct{ T time.Time }](t, seg, ".T.loc")
	refused[struct{ V atomic.Value }](t, seg, ".V")
	refused[struct{ P atomic.Pointer[int8] }](t, seg, ".P")
	refused[struct{ L *psync.Lock }](t, seg, ".L")
}
