package bench

import (
	"errors"
	"slices"
	"testing"
)

func TestSumOf(t *testing.T) {
	for _, i := range []int{0, 1, MaxSide - 1} {
		sum := uint64(0)
		for n := range uint64(100) {
			if got := sumOf(i, n); got != sum {
				t.Fatalf("sumOf(%d, %d) = %d, want %d", i, n, got, sum)
			}
			sum += numbered(i, n+1)
		}
	}
}

func TestTally(t *testing.T) {
	a := func(seq uint64) number { return numbered(0, seq) }
	b := func(seq uint64) number { return numbered(5, seq) }
	for _, c := range []struct {
		name    string
		numbers []number
		bad     bool // whether the last one is wrong
	}{
		{"in order", []number{a(1), a(2), b(1), a(3), b(2)}, false},
		{"with gaps", []number{a(7), b(3), a(8), b(1 << 50)}, false},
		{"marked", []number{a(1), a(2) | markFirst, b(1), a(3), b(2) | markFirst, a(4) | markLast, b(3) | markLast}, false},
		{"twice", []number{a(1), b(1), a(1)}, true},
		{"back", []number{a(2), b(1), a(1)}, true},
		{"zero", []number{0}, true},
		{"marked twice", []number{a(1), a(1) | markFirst}, true},
		{"marked back", []number{a(2), b(1), a(1) | markLast}, true},
		{"after a mark", []number{a(2) | markFirst, a(2)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var y tally
			var err error
			for i, w := range c.numbers {
				if err != nil {
					t.Fatalf("message %d: %v", i-1, err)
				}
				if !y.add(w) {
					err = y.addMarked(w)
				}
			}
			if c.bad != errors.Is(err, ErrVerify) || !c.bad && err != nil {
				t.Errorf("error %v, want ErrVerify: %t", err, c.bad)
			}
			var sum uint64
			for _, w := range c.numbers {
				sum += w &^ marks
			}
			if !c.bad && y.sum != sum {
				t.Errorf("sum %d, want %d", y.sum, sum)
			}
			if marked := slices.ContainsFunc(c.numbers, func(w number) bool { return w&markLast != 0 }); !c.bad && marked != (y.end != 0) {
				t.Errorf("end %d, want 0: %t", y.end, !marked)
			}
		})
	}
}

func TestContent(t *testing.T) {
	for _, size := range Sizes() {
		b := make([]byte, size)
		w := numbered(3, 1<<40) | markFirst
		stamp(b, w)
		if got, intact := stamped(b); got != w || !intact {
			t.Errorf("%d bytes: stamped() = %x, %t, want %x", size, got, intact, w)
		}
		fill(b, w)
		if got, intact := filled(b); got != w || !intact {
			t.Errorf("%d bytes: filled() = %x, %t, want %x", size, got, intact, w)
		}
		if size == 8 {
			continue // any 8 bytes are a valid message
		}
		for at := 0; at < size; at += max(size/64, 1) {
			b[at] ^= 0x10
			if _, intact := filled(b); intact {
				t.Errorf("%d bytes: filled() does not see damage at %d", size, at)
			}
			b[at] ^= 0x10
		}
		b[size-1]++
		if _, intact := stamped(b); intact {
			t.Errorf("%d bytes: stamped() does not see damage at the end", size)
		}
	}
}

func TestThroughputOf(t *testing.T) {
	s := Scenario{Transport: "queue", Measure: Throughput, Size: 64, Messages: 1}.withDefaults()
	n := s.warmUp() + 10
	sent := summary{Count: n}
	good := summary{Count: n, Sum: sumOf(0, n), Begin: 1e9, End: 3e9}
	r, err := throughputOf(s, []summary{sent, good})
	if err != nil || r.Messages != 10 || r.Seconds != 2 || r.MsgsPerSec != 5 || r.BytesPerSec != 320 || !r.Verified {
		t.Errorf("throughputOf() = %+v, %v", r, err)
	}
	lost, other, endless := good, good, good
	lost.Count--
	lost.Sum -= numbered(0, 7)
	other.Sum++
	endless.End = 0
	for _, bad := range []summary{lost, other, endless} {
		if r, err := throughputOf(s, []summary{sent, bad}); !errors.Is(err, ErrVerify) {
			t.Errorf("throughputOf() = %+v, %v, want ErrVerify", r, err)
		}
	}
}
