package array_test

import (
	"flag"
	"slices"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

func BenchmarkAt(b *testing.B) {
	a := newArray[int64](b, Anonymous(b, room), 64)
	i := 0
	for b.Loop() {
		a.Set(i&63, a.At(i&63)+1)
		i++
	}
}

var (
	rounds = flag.Int("rounds", 0, "rounds of TestSpeed; 0: none")
	passes = flag.Int("passes", 2000, "passes over the elements in each round of TestSpeed")
	sink   int64
)

// TestSpeed compares the speed of an array with that of a slice:
//
//	go test ./array -run TestSpeed -v -rounds=11
func TestSpeed(t *testing.T) {
	if *rounds == 0 {
		t.Skip("needs -rounds")
	}
	const n = 4096
	a := newArray[int64](t, Anonymous(t, room), n)
	plain := make([]int64, n)
	sum := func(s []int64) (sum int64) {
		for _, x := range s {
			sum += x
		}
		return sum
	}
	for _, test := range []struct {
		what         string
		array, slice func() int64
	}{
		{"Slice, summed", func() int64 { return sum(a.Slice()) }, func() int64 { return sum(plain) }},
		{"At, summed", func() (sum int64) {
			for i := range n {
				sum += a.At(i)
			}
			return sum
		}, func() (sum int64) {
			s := plain
			for i := range n {
				sum += s[i]
			}
			return sum
		}},
		{"Set", func() int64 {
			for i := range n {
				a.Set(i, 1)
			}
			return 0
		}, func() int64 {
			s := plain
			for i := range n {
				s[i] = 1
			}
			return 0
		}},
	} {
		each := func(f func() int64) float64 {
			begin := time.Now()
			for range *passes {
				sink += f()
			}
			return float64(time.Since(begin)) / float64(*passes*n)
		}
		var ofArray, ofSlice []float64
		for range *rounds {
			ofArray = append(ofArray, each(test.array))
			ofSlice = append(ofSlice, each(test.slice))
		}
		slices.Sort(ofArray)
		slices.Sort(ofSlice)
		m := *rounds / 2
		t.Logf("%s: median %.3f ns an element, slice %.3f, ratio %.2f; best %.3f, slice %.3f, ratio %.2f", test.what,
			ofArray[m], ofSlice[m], ofArray[m]/ofSlice[m], ofArray[0], ofSlice[0], ofArray[0]/ofSlice[0])
	}
}
