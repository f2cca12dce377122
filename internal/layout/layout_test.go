package layout_test

import (
	"errors"
	"strings"
	"structs"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/layout"
)

type inner struct {
	A int32
	B [2]struct{ P *int }
}

func check[T any](t *testing.T, path string) {
	t.Helper()
	l, err := layout.Of[T]()
	if path == "" {
		if err != nil || l.Size == 0 || l.Fingerprint == 0 {
			t.Errorf("%T: layout %+v, error %v; want it accepted", *new(T), l, err)
		}
		return
	}
	if !errors.Is(err, layout.ErrType) || !strings.Contains(err.Error(), path) {
		t.Errorf("%T: error %v, want ErrType naming %q", *new(T), err, path)
	}
}

func TestAccepted(t *testing.T) {
	check[bool](t, "")
	check[[64]byte](t, "")
	check[complex128](t, "")
	check[atomic.Int64](t, "")
	check[struct {
		_ structs.HostLayout
		A int32
	}](t, "")
	check[struct {
		X, Y float64
		_    [3]int8
		Z    [2]struct{ A uint16 }
	}](t, "")
}

func TestV10_RefusedByPath(t *testing.T) {
	check[int](t, "int")
	check[uint](t, "uint")
	check[uintptr](t, "uintptr")
	check[string](t, "string")
	check[[]byte](t, "slice")
	check[map[int8]int8](t, "map")
	check[func()](t, "func")
	check[chan int8](t, "chan")
	check[any](t, "interface")
	check[struct{}](t, "no size")
	check[[0]int8](t, "no size")
	check[inner](t, "inner.B[].P")
	check[struct {
		A int32
		Z struct{}
	}](t, ".Z")
	check[[2]struct {
		A int32
		Z [0]int64
	}](t, "[].Z")
	check[struct{ M sync.Mutex }](t, ".M")
	check[struct{ W sync.WaitGroup }](t, ".W")
}

func TestFingerprintTellsLayoutsApart(t *testing.T) {
	seen := map[uint64]string{}
	add := func(name string, l layout.Layout, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if old, ok := seen[l.Fingerprint]; ok {
			t.Errorf("%s and %s have one fingerprint", name, old)
		}
		seen[l.Fingerprint] = name
	}
	l, err := layout.Of[int32]()
	add("int32", l, err)
	l, err = layout.Of[uint32]()
	add("uint32", l, err)
	l, err = layout.Of[float32]()
	add("float32", l, err)
	l, err = layout.Of[[4]byte]()
	add("[4]byte", l, err)
	l, err = layout.Of[struct{ A, B int16 }]()
	add("two int16", l, err)
	l, err = layout.Of[[2]int16]()
	add("[2]int16", l, err)
	l, err = layout.Of[struct {
		A int8
		B int16
	}]()
	add("int8, int16", l, err)

	// The same on all processors, where the layout is.
	for _, test := range []struct {
		name string
		of   func() (layout.Layout, error)
		want uint64
	}{
		{"int64", layout.Of[int64], 0x7061933a05413ecf},
		{"atomic.Int64", layout.Of[atomic.Int64], 0xc999758ccebb57a1},
		{"two int64", layout.Of[struct{ A, B int64 }], 0xa3ec865bea584e1},
		{"int32 and float64 at 8", layout.Of[struct {
			A, _ int32
			B    float64
		}], 0x1c29731e0aaaa867},
	} {
		if l, err := test.of(); err != nil || l.Fingerprint != test.want {
			t.Errorf("%s: fingerprint %#x, want %#x; %v", test.name, l.Fingerprint, test.want, err)
		}
	}

	a, _ := layout.Of[struct{ X int32 }]()
	b, _ := layout.Of[struct{ Y int32 }]()
	if a != b {
		t.Error("names of fields must not matter")
	}
}
