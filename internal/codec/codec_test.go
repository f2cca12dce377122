package codec_test

import (
	"fmt"
	"io/fs"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-2e7ecdea/mp/internal/codec"
	"github.com/seed-2e7ecdea/mp/internal/known"
)

type job struct {
	ID   int
	Name string
	Tags []string
}

type inner struct {
	a int8
	b int64
	c bool
	d [3]bool
}

type everything struct {
	B     bool
	I     int
	U     uint
	P     uintptr
	I8    int8
	U16   uint16
	F32   float32
	F64   float64
	C64   complex64
	C128  complex128
	S     string
	Bytes []byte
	Ints  []int
	U16s  []uint16
	U32s  []uint32
	Bools []bool
	Strs  []string
	Inner inner
	Inns  []inner
	Arr   [2]string
	Pts   [][2]float32
	Ptr   *inner
	PP    **string
	M     map[string]string
	MI    map[string]int
	MA    map[string]any
	MK    map[inner]*string
	MM    map[string]map[int]bool
	_     int32
	E     struct{}
	Es    []struct{}
	T     time.Time
	D     time.Duration
	Any   any
	Err   error
	Str   fmt.Stringer
	IP    netip.Addr
	Big   *big.Int
	Flt   big.Float
	Tree  *tree
}

type tree struct {
	Left, Right *tree
	Kids        []tree
	Named       map[string]tree
	Value       int
}

func full() everything {
	s := "pointed to"
	ps := &s
	return everything{
		B: true, I: -1, U: math.MaxUint32, P: 7, I8: -8, U16: 65535, F32: 1.5, F64: math.Inf(1), C64: 1 + 2i, C128: 3 + 4i,
		S: strings.Repeat("long ", 100), Bytes: []byte{1, 2, 3}, Ints: []int{1, -2, 3}, U16s: []uint16{1, 2, 3},
		U32s: []uint32{}, Bools: []bool{true, false, true}, Strs: []string{"", "short", strings.Repeat("x", 200)},
		Inner: inner{1, 2, true, [3]bool{true, false, true}}, Inns: []inner{{a: 1}, {b: 2}, {c: true}},
		Arr: [2]string{"a", "b"}, Pts: [][2]float32{{1, 2}, {3, 4}}, Ptr: &inner{b: 9}, PP: &ps,
		M: map[string]string{"k": "v", "": ""}, MI: map[string]int{"one": 1, "minus": -1},
		MA: map[string]any{
			"nil": nil, "int": 1, "s": "s", "list": []any{1, "two", 3.0, nil, true, []byte("b"), []any{}, []any(nil)},
			"map": map[string]any{"deep": map[string]any(nil)}, "i64": int64(1), "bytes": []byte(nil),
		},
		MK: map[inner]*string{{a: 1}: &s, {a: 2}: nil},
		MM: map[string]map[int]bool{"x": {1: true}, "nil": nil, "empty": {}},
		Es: make([]struct{}, 5), T: time.Now().Round(0), D: time.Second, Any: []map[string]any{{"x": int8(1)}, nil},
		Err: fmt.Errorf("open x: %w", fs.ErrNotExist), Str: time.Minute,
		IP: netip.MustParseAddr("10.0.0.1"), Big: big.NewInt(12345), Flt: *big.NewFloat(1.25).SetPrec(100),
		Tree: &tree{Left: &tree{Value: 1}, Kids: []tree{{Value: 2}, {Value: 3, Kids: []tree{{}}}}, Named: map[string]tree{"n": {Value: 4}}},
	}
}

func init() { known.Register(fs.ErrNotExist) }

func of[T any](t testing.TB) *codec.Codec[T] {
	t.Helper()
	c, err := codec.Of[T]()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// there returns v after it was encoded and decoded.
func there[T any](t testing.TB, v T) T {
	t.Helper()
	c := of[T](t)
	b, err := c.Append([]byte("before"), &v)
	if err != nil || string(b[:6]) != "before" {
		t.Fatalf("Append of %T: %.6q, %v", v, b, err)
	}
	var got T
	if err := c.Decode(b[6:], &got); err != nil {
		t.Fatalf("Decode of %T: %v", v, err)
	}
	for i := range b {
		b[i] = 0xff // the result must not refer to it
	}
	return got
}

var compare = cmp.Options{
	cmp.Exporter(func(reflect.Type) bool { return true }),
	cmp.Comparer(func(a, b error) bool { return a == b || a != nil && b != nil && a.Error() == b.Error() }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b big.Float) bool { return a.Cmp(&b) == 0 && a.Prec() == b.Prec() }),
	cmp.Comparer(func(a, b *big.Int) bool { return a == b || a != nil && b != nil && a.Cmp(b) == 0 }),
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
}

func same[T any](t *testing.T, v T) {
	t.Helper()
	if diff := cmp.Diff(v, there(t, v), compare); diff != "" {
		t.Errorf("%T changed on the way (- sent, + received):\n%s", v, diff)
	}
}

func TestEverythingTravels(t *testing.T) {
	same(t, full())
	same(t, everything{})
	same(t, []everything{full(), {}, full()})
	same(t, job{1, "name", []string{"a", "", "c"}})
	same(t, "")
	same(t, "text")
	same(t, []byte{})
	same(t, []byte("bytes"))
	same(t, 7)
	same(t, struct{}{})
	same(t, [3]string{"a"})
	same(t, map[string]any{"a": 1, "b": []any{nil}})
	same(t, map[struct{}]int{{}: 1})
	same(t, map[any]any{1: "x", "a": 2.5, true: nil})
	same[any](t, map[string]any{"a": time.Second})
	same[error](t, nil)
	same(t, map[float64]int{math.Inf(1): 1})
	var n, m atomic.Int64
	n.Store(5)
	c := of[atomic.Int64](t)
	if b, err := c.Append(nil, &n); err != nil || c.Decode(b, &m) != nil || m.Load() != 5 {
		t.Errorf("an atomic.Int64 of 5 arrives as %d, %v", m.Load(), err)
	}
	if got := there(t, map[float64]int{math.NaN(): 1, math.Copysign(math.NaN(), -1): 2}); len(got) != 2 {
		t.Errorf("a map with two NaNs arrives as %v", got)
	}
}
