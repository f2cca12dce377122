package proc

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A fifo has the elements that a slice would have, and keeps none that was removed.
func TestFifo(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var f fifo[*int]
		var want []*int
		for range 2000 {
			v := new(int)
			switch rnd.IntN(8) {
			case 0, 1, 2:
				f.push(v)
				want = append(want, v)
			case 3:
				f.pushFront(v)
				want = slices.Insert(want, 0, v)
			case 4:
				if i := rnd.IntN(len(want) + 1); i < len(want) {
					f.list = slices.Delete(f.list, i, i+1)
					want = slices.Delete(want, i, i+1)
				}
			default:
				if len(want) == 0 {
					continue
				}
				if got := f.pop(); got != want[0] {
					t.Fatal("pop returned another element than the first")
				}
				want = want[1:]
			}
			if !slices.Equal(f.list, want) {
				t.Fatalf("%d elements, want %d, or others", len(f.list), len(want))
			}
			if kept := count(f.all[:cap(f.all)]); kept != len(want) {
				t.Fatalf("%d elements are kept, want %d", kept, len(want))
			}
		}
	}
	var f fifo[*int]
	v := new(int)
	for range 100 {
		f.push(v)
	}
	if n := testing.AllocsPerRun(10_000, func() { f.push(f.pop()) }); n != 0 {
		t.Errorf("%v allocations when one element goes and another comes", n)
	}
}

func count(all []*int) (n int) {
	for _, v := range all {
		if v != nil {
			n++
		}
	}
	return n
}
