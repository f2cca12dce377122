package codec_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/codec"
)

// These types are decoded from hostile bytes.
type (
	nested   [][][]map[string][]any
	wide     []struct{ A, B, C, D, E, F, G, H, I, J []string }
	mapTypes struct {
		A map[string][16]string
		B map[any]any
		C map[int8]map[int8]*[16]string
		D map[struct{}]struct{}
	}
	times struct {
		T []time.Time
		M []large
	}
)

// A large takes much more memory than bytes.
type large [1 << 12]byte

func (l *large) MarshalBinary() ([]byte, error) { return []byte{'L'}, nil }
func (l *large) UnmarshalBinary(b []byte) error {
	if len(b) != 1 || b[0] != 'L' {
		return errBad
	}
	l[0] = b[0]
	return nil
}

// A victim decodes bytes as one type.
type victim struct {
	name   string
	decode func(src []byte) error
	seeds  [][]byte
}

func newVictim[T any](t testing.TB, name string, values ...T) victim {
	c := of[T](t)
	v := victim{name: name, decode: func(src []byte) error {
		var v T
		err := c.Decode(src, &v)
		if err != nil && !errors.Is(err, codec.ErrDecode) {
			t.Errorf("Decode of %d bytes as %T: %v, want ErrDecode", len(src), v, err)
		}
		if err == nil { // what was accepted is a value
			b, err := c.Append(nil, &v)
			if err != nil {
				t.Errorf("Append of a decoded %T: %v", v, err)
			}
			if err := c.Decode(b, &v); err != nil {
				t.Errorf("second Decode of a %T: %v", v, err)
			}
		}
		return err
	}}
	for i := range values {
		b, err := c.Append(nil, &values[i])
		if err != nil {
			t.Fatal(err)
		}
		v.seeds = append(v.seeds, b)
	}
	return v
}

func victims(t testing.TB) []victim {
	return []victim{
		newVictim(t, "everything", full(), everything{}),
		newVictim(t, "job", sample()),
		newVictim(t, "nested", nested{{{{"x": {1, "a", []any{nil}}}}}}),
		newVictim(t, "wide", make(wide, 3)),
		newVictim(t, "maps", mapTypes{
			map[string][16]string{"a": {}}, map[any]any{"a": 1, 2: "b"}, map[int8]map[int8]*[16]string{1: {2: {}}}, nil,
		}),
		newVictim(t, "any", any(map[string]any{"x": []any{1, 2, errBad, time.Second, []string{"a"}}})),
		newVictim(t, "times", times{[]time.Time{time.Unix(1, 2)}, make([]large, 3)}),
		newVictim(t, "tree", *full().Tree),
	}
}

// TestHostileBytes decodes each prefix of valid bytes, valid bytes with one and with several
// changes, and random bytes.
func TestHostileBytes(t *testing.T) {
	for _, v := range victims(t) {
		t.Run(v.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			rejected := 0
			try := func(b []byte) {
				if v.decode(b) != nil {
					rejected++
				}
			}
			for _, seed := range v.seeds {
				for n := range seed {
					if v.decode(seed[:n:n]) == nil {
						t.Errorf("%d of %d bytes are a value", n, len(seed))
					}
				}
				if v.decode(append(bytes.Clone(seed), 0)) == nil {
					t.Error("a byte that follows the value is not noticed")
				}
				for range 500 {
					b := bytes.Clone(seed)
					for range 1 + r.IntN(3) {
						b[r.IntN(len(b))] = [...]byte{0, 1, 2, 0x7f, 0x80, 0xff, byte(r.Uint32())}[r.IntN(7)]
					}
					try(b)
				}
			}
			for range 500 {
				b := make([]byte, r.IntN(64))
				for i := range b {
					b[i] = byte(r.Uint32() >> r.IntN(9))
				}
				try(b)
			}
			t.Log(rejected, "rejected")
		})
	}
}

// TestBoundedAllocation gives Decode bytes that claim, or hold, as much as they can.
func TestBoundedAllocation(t *testing.T) {
	const n = 1 << 14
	repeated := func(b ...byte) []byte { return bytes.Repeat(b, n/len(b)) }
	counts := func(count int, b ...byte) []byte { // each count claims all bytes that follow
		var list []byte
		for left := n; left > 0; left -= 3 {
			list = append(list, byte(left)|0x80, byte(left>>7))
			list = append(list, b...)
		}
		return list
	}
	bound := func(name string, decode func([]byte) error, src []byte) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := decode(src)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 128*uint64(len(src))+1<<18 {
			t.Errorf("%s: %d bytes allocated for %d, %d for each; %v", name, got, len(src), got/uint64(len(src)), err)
		}
	}
	all := map[string]func([]byte) error{
		"strings": decoder[[]string](t), "any": decoder[any](t), "anys": decoder[[]any](t), "nested": decoder[nested](t), "wide": decoder[wide](t),
		"maps": decoder[mapTypes](t), "map of any": decoder[map[string]any](t), "tree": decoder[tree](t), "times": decoder[times](t),
		"map of maps": decoder[map[int8]map[int8]map[int8]bool](t), "slice of maps": decoder[[]map[string]string](t),
		"slice of large": decoder[[]large](t), "map of large": decoder[map[int8]large](t), "empties": decoder[[]struct{}](t),
		"everything": decoder[[]everything](t), "pointers": decoder[[]*[16]*int8](t),
	}
	inputs := [][]byte{
		repeated(0), repeated(1), repeated(2), repeated(3), repeated(8, 2), repeated(9, 2), repeated(9, 2, 0, 0), repeated(0xff),
		counts(n), counts(n, 8), counts(n, 9), counts(n, 8, 0), counts(n, 0, 9),
	}
	for name, decode := range all {
		for _, src := range inputs {
			bound(name, decode, src)
			head := append([]byte{0xff, 0x7e}, src...) // a slice of 16 thousand elements
			bound(name, decode, head)
			bound(name, decode, append([]byte{8, 0xff, 0x7e}, src...))
		}
	}
	// Large counts of what has no size are accepted: they need no memory.
	if got := there(t, make([]struct{}, 1<<30)); len(got) != 1<<30 {
		t.Errorf("%d elements", len(got))
	}
}

func decoder[T any](t *testing.T) func([]byte) error {
	c := of[T](t)
	return func(b []byte) error {
		var v T
		return c.Decode(b, &v)
	}
}

func TestHostileDetails(t *testing.T) {
	rejected := func(name string, err error, part string) {
		t.Helper()
		if !errors.Is(err, codec.ErrDecode) || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: error %v, want ErrDecode with %q", name, err, part)
		}
	}
	rejected("bool", decoder[bool](t)([]byte{2}), "a bool is neither 0 nor 1")
	rejected("bools", decoder[[]bool](t)([]byte{3, 1, 2}), "a bool is neither 0 nor 1")
	rejected("pointer", decoder[*int](t)([]byte{2}), "pointer")
	rejected("count", decoder[[]string](t)([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}), "count")
	rejected("length", decoder[[]string](t)([]byte{2, 5, 'a'}), "length")
	rejected("duplicate", decoder[map[string]string](t)([]byte{3, 0, 0, 0, 0}), "twice")
	rejected("duplicate", decoder[map[int8]bool](t)([]byte{3, 1, 0, 1, 0}), "twice")
	rejected("duplicate", decoder[map[struct{}]bool](t)([]byte{3, 1, 0}), "twice")
	rejected("key", decoder[map[any]bool](t)([]byte{2, 8, 1, 0}), "compared")
	rejected("tag", decoder[any](t)([]byte{250}), "unknown type")
	rejected("named", decoder[any](t)([]byte{255, 1, 'x', 0, 0, 0, 0}), `unknown type: "x"`)
	rejected("not an error", decoder[error](t)([]byte{1}), "does not implement")
	rejected("deep", decoder[any](t)(bytes.Repeat([]byte{8, 2}, 20_000)), "levels deep")
	rejected("deep", decoder[tree](t)(bytes.Repeat([]byte{1}, 20_000)), "levels deep")
	rejected("trailing", decoder[int8](t)([]byte{1, 2}), "follow")
	rejected("empty", decoder[job](t)(nil), "too early")
}

func FuzzDecode(f *testing.F) {
	list := victims(f)
	for i, v := range list {
		for _, seed := range v.seeds {
			f.Add(byte(i), seed)
		}
	}
	f.Fuzz(func(t *testing.T, which byte, src []byte) {
		if len(src) <= 4096 { // a large takes 4 KiB for two bytes
			_ = list[int(which)%len(list)].decode(src)
		}
	})
}
