package array_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/internal/layout"
	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

func TestArray(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"V02_locks", testLocks},
		{"V04_elements", testElements},
		{"V04_types", testTypes},
		{"V05_zero_again", testZeroAgain},
		{"V06_bounds", testBounds},
		{"V06_sizes", testSizes},
		{"V07_bytes", testBytes},
		{"V09_copies_are_independent", testIndependent},
		{"M15_records", testRecords},
		{"M15_trailing_zeros_stay", testTrailing},
		{"closed", testClosed},
		{"open", testOpen},
		{"atomic_elements", testAtomic},
		{"hammer", testHammer},
		{"layout", testLayout},
		{"version_and_size", testVersion},
		{"hostile_bytes", testHostile},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

func testElements(t *testing.T, seg *shm.Segment) {
	a := Closing(t, Must(array.New[int32](seg, "a", 10, nil))(t))
	far := Closing(t, Must(array.Open[int32](Attach(t, seg), "a"))(t))
	Want(t, "Len", a.Len(), 10)
	for i := range 10 {
		Want(t, "At", a.At(i), 0)
		a.Set(i, int32(i*i))
	}
	Want(t, "At", far.At(3), 9)
	for i, x := range far.All() {
		Want(t, "All", x, int32(i*i))
	}
	for i := range far.All() {
		if i == 2 {
			break
		}
	}
	s := far.Slice()
	Want(t, "Slice", len(s), 10)
	Want(t, "capacity of Slice", cap(s), 10)
	s[4] = -1
	Want(t, "At", a.At(4), -1)
	slices.Sort(a.Slice())
	Want(t, "sorted", far.At(0), -1)
	dst := make([]int32, 12)
	Want(t, "CopyTo", a.CopyTo(dst), 10)
	Want(t, "CopyTo a part", a.CopyTo(dst[10:]), 2)
	if want := []int32{-1, 0, 1, 4, 9, 25, 36, 49, 64, 81, -1, 0}; !slices.Equal(dst, want) {
		t.Errorf("copied out: %v, want %v", dst, want)
	}
	Want(t, "CopyFrom", far.CopyFrom([]int32{7, 8}), 2)
	Want(t, "CopyFrom too much", far.CopyFrom(dst[:12]), 10)
	Want(t, "At", a.At(9), 81)
	a.Fill(5)
	Want(t, "filled", far.At(0)+far.At(9), 10)
	from := Closing(t, Must(array.NewFrom(seg, "from", []int32{1, 2, 3}, nil))(t))
	Want(t, "Len", from.Len(), 3)
	Want(t, "At", from.At(2), 3)
	raw := Closing(t, Must(array.NewRaw[int32](seg, "raw", 2))(t))
	if raw.Lock() != nil {
		t.Error("a raw array has a lock")
	}
	raw.Set(1, 2)
	Want(t, "raw", Closing(t, Must(array.Open[int32](seg, "raw"))(t)).At(1), 2)

	empty := newArray[int32](t, seg, 0)
	Want(t, "Len", empty.Len(), 0)
	Want(t, "Slice", len(empty.Slice()), 0)
	Want(t, "CopyTo", empty.CopyTo(dst), 0)
	Want(t, "CopyFrom", empty.CopyFrom(dst), 0)
	empty.Fill(1)
	for range empty.All() {
		t.Error("an empty array has an element")
	}
	WantNil(t, "TryAcquire", empty.Lock().TryAcquire())
	WantNil(t, "Release", empty.Lock().Release())
}

// elements writes and reads an array of one type.
func elements[T comparable](t *testing.T, seg, party *shm.Segment, x T) {
	t.Helper()
	name := fmt.Sprintf("%T", x)
	for _, n := range []int{0, 1, 2, 17} {
		a := Must(array.New[T](seg, name, n, nil))(t)
		far := Must(array.Open[T](party, name))(t)
		for i := range n {
			a.Set(i, x)
			Want(t, name, far.At(i), x)
			far.Slice()[i] = *new(T)
			Want(t, name, a.At(i), *new(T))
		}
		WantNil(t, "Close", a.Close())
		WantNil(t, "Close", far.Close())
		WantNil(t, "Remove", seg.Remove(name))
	}
}

func testTypes(t *testing.T, seg *shm.Segment) {
	party := Attach(t, seg)
	elements[int8](t, seg, party, -1)
	elements[uint8](t, seg, party, 1)
	elements[int16](t, seg, party, -1)
	elements[uint16](t, seg, party, 1)
	elements[int32](t, seg, party, -1)
	elements[uint32](t, seg, party, 1)
	elements[int64](t, seg, party, -1)
	elements[uint64](t, seg, party, 1)
	elements[float32](t, seg, party, 0.1)
	elements[float64](t, seg, party, 0.1)
	elements[complex128](t, seg, party, 1i)
	elements(t, seg, party, true)
	elements(t, seg, party, [3]byte{1, 2, 3})
	elements(t, seg, party, struct {
		A uint8
		B uint64
		C [3]uint16
	}{1, 2, [3]uint16{3, 4, 5}})
	elements(t, seg, party, [1000]int64{1, 999: 2})
}

func testLocks(t *testing.T, seg *shm.Segment) {
	ctx := Within(t)
	shared := Closing(t, Must(psync.NewLock(seg, "", nil))(t))
	o := &array.Options{Lock: shared}
	a := Closing(t, Must(array.New[int8](seg, "a", 1, o))(t))
	b := Closing(t, Must(array.NewBytes(seg, "b", 1, o))(t))
	party := Must(object.Attach(seg))(t)
	farB := Must(array.OpenBytes(party, "b"))(t)
	WantNil(t, "TryAcquire", a.Lock().TryAcquire())
	WantError(t, "TryAcquire of the same lock", b.Lock().TryAcquire(), psync.ErrHeld)
	WantError(t, "TryAcquire of the same lock", farB.Lock().TryAcquire(), psync.ErrHeld)
	WantError(t, "TryAcquire of the same lock", shared.TryAcquire(), psync.ErrHeld)
	WantNil(t, "Release", b.Lock().Release())
	own := newArray[int8](t, seg, 1)
	WantNil(t, "TryAcquire", own.Lock().TryAcquire())
	WantNil(t, "TryAcquire of another", a.Lock().TryAcquire())
	WantNil(t, "Release", a.Lock().Release())
	WantNil(t, "Release", own.Lock().Release())

	// Deaths.
	Closing(t, Must(array.New[int8](seg, "strict", 1, nil))(t))
	Closing(t, Must(array.New[int8](seg, "ignoring", 1, &array.Options{IgnoreDeaths: true}))(t))
	for _, name := range []string{"a", "strict", "ignoring"} {
		WantNil(t, "TryAcquire", Must(array.Open[int8](party, name))(t).Lock().TryAcquire())
	}
	Dies(t, seg, party)
	strict := Closing(t, Must(array.Open[int8](seg, "strict"))(t))
	WantError(t, "TryAcquire", strict.Lock().TryAcquire(), psync.ErrOwnerDied)
	WantError(t, "TryAcquire", b.Lock().TryAcquire(), psync.ErrOwnerDied)
	WantNil(t, "Recover", strict.Lock().Recover(ctx, func() error { strict.Fill(0); return nil }))
	WantNil(t, "TryAcquire", strict.Lock().TryAcquire())
	WantNil(t, "TryAcquire", Closing(t, Must(array.Open[int8](seg, "ignoring"))(t)).Lock().TryAcquire())

	other := Closing(t, Must(psync.NewLock(Heap(t, room), "", nil))(t))
	for what, lock := range map[string]*psync.Lock{"another segment's": other, "another array's": own.Lock()} {
		o := &array.Options{Lock: lock}
		WantError(t, what+" lock", Second(array.New[int8](seg, "x", 1, o)), shm.ErrMismatch)
		WantError(t, what+" lock", Second(array.NewBytes(seg, "x", 1, o)), shm.ErrMismatch)
	}
	WantError(t, "closed lock", Second(array.New[int8](seg, "x", 1, &array.Options{Lock: new(psync.Lock)})), array.ErrClosed)
}

// The memory of a new array is zero, also if another array used it before.
func testZeroAgain(t *testing.T, seg *shm.Segment) {
	for _, n := range []int{1, 100, 1000, 70_000, 200_000} {
		for round := range 3 {
			a := Must(array.New[uint32](seg, "a", n, nil))(t)
			for i, x := range a.Slice() {
				if x != 0 {
					t.Fatalf("round %d: element %d of %d is %#x", round, i, n, x)
				}
			}
			a.Fill(math.MaxUint32)
			WantNil(t, "TryAcquire", a.Lock().TryAcquire())
			WantNil(t, "Close", a.Close())
			WantNil(t, "Remove", seg.Remove("a"))
			if b := Must(array.NewBytes(seg, "a", 4*n, nil))(t); b.Len() != 0 {
				t.Fatalf("a new byte string is %q", b.String())
			} else {
				WantNil(t, "Set", b.Set(strings.Repeat("x", 4*n)))
				WantNil(t, "TryAcquire", b.Lock().TryAcquire())
				WantNil(t, "Close", b.Close())
			}
			WantNil(t, "Remove", seg.Remove("a"))
		}
	}
}

func testBounds(t *testing.T, seg *shm.Segment) {
	a := newArray[int32](t, seg, 3)
	for _, i := range []int{3, 4, math.MaxInt, -1, math.MinInt} {
		for what, f := range map[string]func(){"At": func() { a.At(i) }, "Set": func() { a.Set(i, 1) }} {
			want := PanicOf(func() { _ = make([]int32, 3)[i] })
			got, ok := PanicOf(f).(runtime.Error)
			if !ok || got.Error() != want.(error).Error() {
				t.Errorf("%s(%d) of 3: panic %v, want %v", what, i, got, want)
			}
		}
	}
	for i := range 3 {
		Want(t, "At", a.At(i), 0)
	}
}

func testSizes(t *testing.T, seg *shm.Segment) {
	for _, n := range []int{-1, math.MinInt, math.MaxInt, math.MaxInt/8 + 1, math.MaxInt / 8, math.MaxInt/8 - 15} {
		WantError(t, fmt.Sprint(n), Second(array.New[uint64](seg, "x", n, nil)), shm.ErrSize)
		WantError(t, fmt.Sprint(n), Second(array.NewRaw[uint64](seg, "x", n)), shm.ErrSize)
	}
	for _, n := range []int{-1, math.MaxInt, math.MaxInt - 127} {
		WantError(t, fmt.Sprint(n), Second(array.NewBytes(seg, "x", n, nil)), shm.ErrSize)
	}
	WantError(t, "too large", Second(array.New[uint64](seg, "x", room/8, nil)), shm.ErrNoSpace)
	WantError(t, "too large", Second(array.New[[1 << 18]uint64](seg, "x", 1, nil)), shm.ErrNoSpace)
	WantError(t, "too large", Second(array.New[[1 << 20]uint64](seg, "x", math.MaxInt>>22, nil)), shm.ErrSize)
}

func testBytes(t *testing.T, seg *shm.Segment) {
	b := Closing(t, Must(array.NewBytes(seg, "b", 5, nil))(t))
	far := Closing(t, Must(array.OpenBytes(Attach(t, seg), "b"))(t))
	check := func(text, raw string) {
		t.Helper()
		Want(t, "String", far.String(), text)
		Want(t, "Len", far.Len(), len(text))
		Want(t, "Raw", string(far.Raw()), raw)
		Want(t, "Cap", far.Cap(), 5)
	}
	check("", "\x00\x00\x00\x00\x00")
	WantNil(t, "Set", b.Set("hello"))
	check("hello", "hello")
	for _, s := range []string{"hello!", "\x00\x00\x00\x00\x00\x00", strings.Repeat("x", 1000)} {
		WantError(t, "Set of a text that is too large", b.Set(s), array.ErrTooLarge)
		check("hello", "hello")
	}
	WantNil(t, "Set", b.Set("go"))
	check("go", "go\x00\x00\x00")
	WantNil(t, "Set", b.Set("a\x00b"))
	check("a", "a\x00b\x00\x00")
	copy(b.Raw(), "abcde")
	check("abcde", "abcde")
	WantNil(t, "Set", b.Set(""))
	check("", "\x00\x00\x00\x00\x00")
	from := Closing(t, Must(array.NewBytesFrom(seg, "from", "hello world", nil))(t))
	Want(t, "String", from.String(), "hello world")
	Want(t, "Cap", from.Cap(), 11)
	empty := Closing(t, Must(array.NewBytes(seg, "", 0, nil))(t))
	WantNil(t, "Set", empty.Set(""))
	WantError(t, "Set", empty.Set("x"), array.ErrTooLarge)
	Want(t, "String", empty.String(), "")
	WantError(t, "Open as an array", Second(array.Open[byte](seg, "b")), shm.ErrMismatch)
}

func testIndependent(t *testing.T, seg *shm.Segment) {
	type point struct{ X, Y float64 }
	a := newArray[point](t, seg, 2)
	a.Set(0, point{1, 2})
	p := a.At(0)
	p.X = 3
	Want(t, "the element after its copy was changed", a.At(0), point{1, 2})
	a.Slice()[0].Y = 5
	Want(t, "the copy after the element was changed", p, point{3, 2})
}

// testRecords does with an array what Python's ShareableList does.
func testRecords(t *testing.T, seg *shm.Segment) {
	type record struct {
		Name  [8]byte
		Count int64
	}
	a := newArray[record](t, seg, 3)
	var far array.Array[record]
	WantNil(t, "UnmarshalText", far.UnmarshalText(Must(a.MarshalText())(t)))
	Closing(t, &far)
	named := func(name string, count int64) (r record) {
		copy(r.Name[:], name)
		r.Count = count
		return r
	}
	// Set changes one record and not its neighbours.
	long := named("12345678", -1)
	a.Set(1, long)
	Want(t, "record before", far.At(0), record{})
	Want(t, "record that was set", far.At(1), long)
	Want(t, "record after", far.At(2), record{})
	// Finding, counting and copying are done by package slices.
	far.Set(2, long)
	s := a.Slice()
	Want(t, "Index", slices.Index(s, long), 1)
	Want(t, "Index of a record that is not there", slices.Index(s, named("x", 0)), -1)
	count := 0
	for _, r := range a.All() {
		if r == long {
			count++
		}
	}
	Want(t, "count", count, 2)
	independent := slices.Clone(s)
	independent[1] = named("copy", 1)
	Want(t, "record that was copied", a.At(1), long)
	for _, i := range []int{-1, 3} {
		for what, f := range map[string]func(){"At": func() { a.At(i) }, "Set": func() { a.Set(i, long) }} {
			if PanicOf(f) == nil {
				t.Errorf("%s(%d) of 3 did not panic", what, i)
			}
		}
	}
	// Set of a text that is too large changes nothing, in this byte string or in the next.
	b := Closing(t, Must(array.NewBytesFrom(seg, "", "abc", nil))(t))
	beside := Closing(t, Must(array.NewBytesFrom(seg, "", "def", nil))(t))
	WantError(t, "Set", b.Set("too long"), array.ErrTooLarge)
	Want(t, "text", b.String(), "abc")
	Want(t, "text of the next byte string", beside.String(), "def")
	none := newArray[record](t, seg, 0)
	Want(t, "Len of an empty one", none.Len(), 0)
	for range none.All() {
		t.Error("an empty array has elements")
	}
}

// Zeros at the end of a record are kept, unlike in Python's ShareableList.
func testTrailing(t *testing.T, seg *shm.Segment) {
	a := newArray[[8]byte](t, seg, 3)
	for i, text := range []string{"abc\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x00\x00\x00\x00", "abcdefg\x00"} {
		a.Set(i, [8]byte([]byte(text)))
	}
	x := a.At(0)
	Want(t, "record", string(x[:]), "abc\x00\x00\x00\x00\x00")
	x = a.At(2)
	Want(t, "record after a full one", string(x[:]), "abcdefg\x00")
	b := Closing(t, Must(array.NewBytesFrom(seg, "", "ab\x00\x00", nil))(t))
	Want(t, "Raw", string(b.Raw()), "ab\x00\x00")
}

func wantClosed(t *testing.T, what string, f func()) {
	t.Helper()
	err, _ := PanicOf(f).(error)
	WantError(t, "panic of "+what, err, array.ErrClosed)
}

func testClosed(t *testing.T, seg *shm.Segment) {
	a := Must(array.New[int32](seg, "a", 3, nil))(t)
	b := Must(array.NewBytes(seg, "b", 3, nil))(t)
	other := Closing(t, Must(array.Open[int32](seg, "a"))(t))
	allFail := func(a *array.Array[int32], b *array.Bytes) {
		t.Helper()
		for what, f := range map[string]func(){
			"At": func() { a.At(0) }, "Set": func() { a.Set(0, 1) }, "Slice": func() { a.Slice() },
			"Fill": func() { a.Fill(1) }, "CopyTo": func() { a.CopyTo(make([]int32, 1)) },
			"CopyFrom": func() { a.CopyFrom(make([]int32, 1)) },
			"Lock":     func() { a.Lock() }, "Bytes.Lock": func() { b.Lock() },
			"Len": func() { a.Len() }, "Offset": func() { a.Offset() }, "Cap": func() { b.Cap() }, "Bytes.Offset": func() { b.Offset() },
			"String": func() { _ = b.String() }, "Bytes.Len": func() { b.Len() }, "Raw": func() { b.Raw() },
		} {
			wantClosed(t, what, f)
		}
		WantError(t, "Set", b.Set("x"), array.ErrClosed)
		WantError(t, "Set of a text that is too large", b.Set("xxxx"), array.ErrClosed)
		for range a.All() {
			t.Error("a closed array has an element")
		}
		Want(t, "Handle", a.Handle(), shm.Handle{})
		WantError(t, "MarshalText", Second(b.MarshalText()), array.ErrClosed)
	}
	for range 3 {
		WantNil(t, "Close", a.Close())
		WantNil(t, "Close", b.Close())
	}
	allFail(a, b)
	allFail(new(array.Array[int32]), new(array.Bytes))
	other.Set(0, 7)
	Want(t, "the other", other.At(0), 7)

	party := Must(object.Attach(seg))(t)
	far, farB := Must(array.Open[int32](party, "a"))(t), Must(array.OpenBytes(party, "b"))(t)
	turns := 0
	for range far.All() {
		turns++
		WantNil(t, "Close of the segment", party.Close())
	}
	Want(t, "turns of All before Close of the segment", turns, 1)
	allFail(far, farB)
}

// If the segment is closed concurrently, methods fail with ErrClosed, and none faults.
func TestCloseUnderUse(t *testing.T) {
	for range 20 {
		seg := Must(shm.Anonymous(room, nil))(t)
		a := Must(array.New[int64](seg, "", 1000, nil))(t)
		b := Must(array.NewBytes(seg, "", 1000, nil))(t)
		a.Fill(1)
		WantNil(t, "Set", b.Set("text"))
		CloseWhileBusy(t, seg, nil,
			func() error {
				if a.At(5) == 0 {
					return errors.New("At returned 0")
				}
				return nil
			},
			func() error { a.Set(7, 2); return nil },
			func() error { a.Fill(3); return nil },
			func() error {
				if b.String() == "" {
					return errors.New("String returned nothing")
				}
				return nil
			},
			func() error { return b.Set("text") },
		)
	}
}

func testOpen(t *testing.T, seg *shm.Segment) {
	a := Closing(t, Must(array.New[int32](seg, "a", 3, nil))(t))
	var same array.Array[int32]
	WantNil(t, "UnmarshalText", same.UnmarshalText(Must(a.MarshalText())(t)))
	same.Set(1, 2)
	Want(t, "At", a.At(1), 2)
	WantNil(t, "Close", same.Close())
	WantError(t, "name that is taken", Second(array.New[int32](seg, "a", 3, nil)), fs.ErrExist)
	WantError(t, "name of nothing", Second(array.Open[int32](seg, "x")), fs.ErrNotExist)
	WantError(t, "another T", Second(array.Open[uint32](seg, "a")), shm.ErrMismatch)
	WantError(t, "byte string", Second(array.OpenBytes(seg, "a")), shm.ErrMismatch)
}

func testAtomic(t *testing.T, seg *shm.Segment) {
	const users, each = 4, 1000
	Closing(t, Must(array.New[atomic.Int64](seg, "a", 3, nil))(t))
	All(t, "users", users, func(int) error {
		party, err := object.Attach(seg)
		if err != nil {
			return err
		}
		defer party.Close()
		a, err := array.Open[atomic.Int64](party, "a")
		if err != nil {
			return err
		}
		s := a.Slice()
		for range each {
			s[1].Add(1)
		}
		runtime.KeepAlive(a)
		return nil
	})
	a := Closing(t, Must(array.Open[atomic.Int64](seg, "a"))(t))
	Want(t, "count", a.Slice()[1].Load(), users*each)
}

// Several parties change one array under its lock. On the heap segment the race detector checks
// them.
func testHammer(t *testing.T, seg *shm.Segment) {
	const users, each = 4, 300
	a := Closing(t, Must(array.New[int32](seg, "a", 64, nil))(t))
	ctx := Within(t)
	var as [users]*array.Array[int32]
	for i := range as {
		as[i] = Closing(t, Must(array.Open[int32](Attach(t, seg), "a"))(t))
	}
	All(t, "users of the array", users, func(i int) error {
		for range each {
			if err := as[i].Lock().Acquire(ctx); err != nil {
				return err
			}
			for k := range as[i].Len() {
				as[i].Set(k, as[i].At(k)+1)
			}
			if err := as[i].Lock().Release(); err != nil {
				return err
			}
		}
		return nil
	})
	WantNil(t, "Acquire", a.Lock().Acquire(ctx))
	for _, x := range a.All() {
		Want(t, "element", x, users*each)
	}
	WantNil(t, "Release", a.Lock().Release())
}

// An array has the layout that docs/design/values.md describes for programs in other languages.
func testLayout(t *testing.T, seg *shm.Segment) {
	a := Closing(t, Must(array.NewFrom(seg, "a", []uint16{1, 2, 3}, nil))(t))
	o := Must(object.Open(seg, shm.KindArray, "a", Must(layout.Of[uint16]())(t).Fingerprint))(t)
	mem := o.Bytes()
	Want(t, "Offset", a.Offset(), o.Offset()+128)
	Want(t, "format", binary.NativeEndian.Uint32(mem), 1)
	Want(t, "size", binary.NativeEndian.Uint64(mem[8:]), 2)
	Want(t, "length", binary.NativeEndian.Uint64(mem[16:]), 3)
	for i := range 3 {
		Want(t, "element", binary.NativeEndian.Uint16(mem[128+2*i:]), uint16(i+1))
	}
	Want(t, "bytes", len(mem), 134)
}

func testVersion(t *testing.T, seg *shm.Segment) {
	Closing(t, Must(array.New[uint16](seg, "a", 3, nil))(t))
	print := Must(layout.Of[uint16]())(t).Fingerprint
	mem := Must(object.Open(seg, shm.KindArray, "a", print))(t).Bytes()
	open := func() error { return Second(array.Open[uint16](seg, "a")) }
	for _, test := range []struct {
		what string
		at   int
		to   uint32
		want error
	}{
		{"another version", 0, 2, shm.ErrVersion},
		{"another size", 8, 4, shm.ErrCorrupt},
		{"another size", 12, 4, shm.ErrCorrupt},
		{"too long", 16, 4, shm.ErrCorrupt},
		{"much too long", 20, 1 << 31, shm.ErrCorrupt},
		{"no such lock", 32, 4, shm.ErrCorrupt},
		{"a lock that is nowhere", 32, 3, shm.ErrMismatch},
	} {
		old := binary.NativeEndian.Uint32(mem[test.at:])
		binary.NativeEndian.PutUint32(mem[test.at:], test.to)
		WantError(t, test.what, open(), test.want)
		binary.NativeEndian.PutUint32(mem[test.at:], old)
	}
	WantNil(t, "Open", open())
	for _, size := range []int{1, 127, 128, 133} {
		must := Must(object.New(seg, object.Spec{Kind: shm.KindArray, Name: "short", Size: size, Fingerprint: print,
			Init: func(b []byte) error { copy(b, mem); return nil }}))(t)
		WantError(t, fmt.Sprintf("%d bytes", size), Second(array.Open[uint16](seg, "short")), shm.ErrCorrupt)
		WantNil(t, "Remove", seg.Remove("short"))
		must.Close()
	}
}

// Whatever an array's header contains, Open fails, or it returns an array whose elements can all be
// accessed.
func testHostile(t *testing.T, seg *shm.Segment) {
	Closing(t, Must(array.New[[3]uint64](seg, "a", 20, nil))(t))
	mem := Must(object.Open(seg, shm.KindArray, "a", Must(layout.Of[[3]uint64]())(t).Fingerprint))(t).Bytes()
	good := slices.Clone(mem)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	opened := 0
	for range 3000 {
		for range 1 + r.IntN(3) {
			if r.IntN(2) == 0 {
				mem[r.IntN(128)] ^= 1 << r.IntN(8)
			} else {
				binary.NativeEndian.PutUint32(mem[4*r.IntN(16):], r.Uint32()>>r.IntN(32))
			}
		}
		a, err := array.Open[[3]uint64](seg, "a")
		if err == nil {
			opened++
			a.Fill([3]uint64{r.Uint64()})
			for range a.All() {
			}
			if l := a.Lock(); l != nil {
				if err := l.TryAcquire(); err == nil {
					l.Release()
				}
			}
			a.Close()
		} else if !errors.Is(err, shm.ErrCorrupt) && !errors.Is(err, shm.ErrVersion) && !errors.Is(err, shm.ErrMismatch) &&
			!errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("Open: %v, seed %d", err, seed)
		}
		copy(mem, good)
	}
	t.Logf("opened %d of 3000", opened)
}

func refused[T any](t *testing.T, seg *shm.Segment, path string) {
	t.Helper()
	for _, err := range []error{
		Second(array.New[T](seg, "x", 1, nil)), Second(array.New[T](seg, "x", 0, nil)), Second(array.NewRaw[T](seg, "x", 1)),
		Second(array.NewFrom(seg, "x", make([]T, 1), nil)), Second(array.Open[T](seg, "x")),
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
	refused[int](t, seg, "int")
	refused[struct{}](t, seg, "no size")
	refused[struct{ A [2]struct{ B *int8 } }](t, seg, ".A[].B")
	refused[struct{ M sync.Mutex }](t, seg, ".M")
}

// sumTask replaces the elements by their prefix sums, and the text by upper case.
var sumTask = task("sum", func(ctx context.Context, j job) (int, error) {
	if l := j.Array.Lock(); l != nil {
		if err := l.Acquire(ctx); err != nil {
			return 0, err
		}
		defer l.Release()
	}
	s := j.Array.Slice()
	for i := 1; i < len(s); i++ {
		s[i] += s[i-1]
	}
	return len(s), j.Text.Set(strings.ToUpper(j.Text.String()))
})

// dieTask acquires the array's lock, changes half of the elements, and waits to be killed.
var dieTask = task("die", func(ctx context.Context, j job) (int, error) {
	if err := j.Array.Lock().Acquire(ctx); err != nil {
		return 0, err
	}
	for i := range j.Array.Len() / 2 {
		j.Array.Set(i, 9)
	}
	j.Cells.Add(0)
	return 0, j.Cells.Until(ctx, 1, 1)
})

func TestProcesses(t *testing.T) {
	t.Run("V04_child_computes", func(t *testing.T) {
		seg := Anonymous(t, room)
		for _, o := range []*array.Options{nil, {NoLock: true}} {
			j := job{
				Array: Closing(t, Must(array.NewFrom(seg, "", []int32{680, 626, 934, 821, 150, 233, 548, 982, 714, 831}, o))(t)),
				Text:  Closing(t, Must(array.NewBytesFrom(seg, "", "hello", o))(t)),
			}
			Want(t, "array has no lock", j.Array.Lock() == nil, o != nil)
			Want(t, "text has no lock", j.Text.Lock() == nil, o != nil)
			Want(t, "elements", Result(t, Start(t, sumTask, j)), 10)
			if want := []int32{680, 1306, 2240, 3061, 3211, 3444, 3992, 4974, 5688, 6519}; !slices.Equal(j.Array.Slice(), want) {
				t.Errorf("prefix sums: %v, want %v", j.Array.Slice(), want)
			}
			Want(t, "text", j.Text.String(), "HELLO")
			runtime.KeepAlive(j)
		}
	})
	t.Run("killed_half_way", func(t *testing.T) {
		seg := Anonymous(t, room)
		j := job{Array: newArray[int32](t, seg, 10), Text: Closing(t, Must(array.NewBytes(seg, "", 1, nil))(t)), Cells: NewCells(t, seg, 2)}
		child := Start(t, dieTask, j)
		j.Cells.Await(t, 0, 1)
		ctx := Within(t)
		waiter := Async(func() error { return j.Array.Lock().Acquire(ctx) })
		AwaitAsleep(t, os.Getpid(), 1)
		Kill(t, child)
		WantError(t, "Acquire", Await(t, waiter, "waiter of a dead owner"), psync.ErrOwnerDied)
		Want(t, "an element that was changed", j.Array.At(0), 9)
		WantNil(t, "Recover", j.Array.Lock().Recover(ctx, func() error { j.Array.Fill(1); return nil }))
		WantNil(t, "Acquire", j.Array.Lock().Acquire(ctx))
		Want(t, "element", j.Array.At(0), 1)
		WantNil(t, "Release", j.Array.Lock().Release())
	})
}
