package litmus

import (
	"strings"
	"testing"
)

// TestAtomics shows that Go's atomic operations are sequentially consistent among themselves, as they
// are compiled: each of these programs has the outcomes of an interleaving and no others. W is an
// operation that writes, R one that reads.
func TestAtomics(t *testing.T) {
	writers := []func(loc string, v int) op{
		opStore, opSwap, opAdd,
		func(loc string, v int) op { return opCAS(loc, 0, v) },
	}
	readers := []func(loc, reg string) op{
		opLoad,
		func(loc, reg string) op { return opAdd(loc, 0).to(reg) },
		func(loc, reg string) op { return opCAS(loc, 9, 9).to(reg) }, // it fails
	}
	for _, shape := range []struct {
		name, threads string
		mixed         bool // each access is of each kind, not all of one
	}{
		{"SB", "Wx1 Rya | Wy1 Rxb", true},
		{"MP", "Wx1 Wy1 | Rya Rxb", true},
		{"LB", "Rxa Wy1 | Ryb Wx1", true},
		{"2+2W", "Wx1 Wy2 | Wy1 Wx2", true},
		{"R", "Wx1 Wy1 | Wy2 Rxa", true},
		{"S", "Wx2 Wy1 | Rya Wx1", true},
		{"WRC", "Wx1 | Rxa Wy1 | Ryb Rxc", false},
		{"RWC", "Wx1 | Rxa Ryb | Wy1 Rxc", false},
		{"IRIW", "Wx1 | Wy1 | Rxa Ryb | Ryc Rxd", false},
		{"ISA2", "Wx1 Wy1 | Rya Wz1 | Rzb Rxc", false},
		{"3.SB", "Wx1 Rya | Wy1 Rzb | Wz1 Rxc", false},
	} {
		t.Run(shape.name, func(t *testing.T) {
			kinds := len(writers) * len(readers)
			variants := kinds
			accesses := len(strings.Fields(shape.threads)) - strings.Count(shape.threads, "|")
			if shape.mixed {
				for range accesses - 1 {
					variants *= kinds
				}
			}
			programs := make(map[string]bool)
			for v := range variants {
				var p program
				var text strings.Builder
				for _, th := range strings.Split(shape.threads, " | ") {
					var ops []op
					for _, a := range strings.Fields(th) {
						loc := a[1:2]
						if w, r := v%len(writers), v/len(writers)%len(readers); a[0] == 'W' {
							ops = append(ops, writers[w](loc, int(a[2]-'0')))
							text.WriteByte(byte('0' + w))
						} else {
							ops = append(ops, readers[r](loc, a[2:]))
							text.WriteByte(byte('0' + r))
						}
						if shape.mixed {
							v /= kinds
						}
					}
					p.threads = append(p.threads, ops)
				}
				if programs[text.String()] {
					continue
				}
				programs[text.String()] = true
				want := sc.outcomes(p)
				for _, m := range machines {
					for o := range m.outcomes(p) {
						if !want[o] {
							t.Errorf("%s allows %s of %s, variant %s", m.name, o, shape.threads, &text)
						}
					}
				}
			}
			t.Logf("%d programs", len(programs))
		})
	}
}
