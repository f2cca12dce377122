package bench

import (
	"errors"
	"io"
	"testing"

	"github.com/seed-2e7ecdea/mp/shm"
	"github.com/seed-2e7ecdea/mp/value"
)

// TestLatest loads a value that is whole or torn, new or old: what a value may not do is found.
func TestLatest(t *testing.T) {
	whole := func(seq uint64) [8]uint64 { w := numbered(0, seq); return [8]uint64{0: w, 7: w} }
	last := numbered(0, 9) | markLast
	for _, c := range []struct {
		name          string
		before, after [8]uint64 // what one receive sees, and the next one
		err           error     // of the next one
	}{
		{"missed", whole(2), whole(7), nil},
		{"last", whole(2), [8]uint64{0: last, 7: last}, nil},
		{"back", whole(2), whole(1), ErrVerify},
		{"torn", whole(2), [8]uint64{0: numbered(0, 3), 7: numbered(0, 2)}, ErrVerify},
	} {
		t.Run(c.name, func(t *testing.T) {
			seg, err := shm.Heap(1 << 20)
			if err != nil {
				t.Fatal(err)
			}
			v, err := value.New(seg, batonName(0), c.before, nil)
			if err != nil {
				t.Fatal(err)
			}
			p := &latestPort[[8]uint64]{value: v}
			var y tally
			if n, err := p.receive(&y, 1); n != 1 || err != nil {
				t.Fatalf("%d messages, %v", n, err)
			}
			v.Store(c.after)
			n, err := p.receive(&y, 1)
			if !errors.Is(err, c.err) || (n == 1) != (err == nil) || y.loads != 2 {
				t.Errorf("%d messages by %d loads, %v, want %v", n, y.loads, err, c.err)
			}
			if y.end != 0 {
				if n, err := p.receive(&y, 1); n != 0 || err != io.EOF {
					t.Errorf("after the last message: %d, %v, want EOF", n, err)
				}
			}
			if err := errors.Join(p.close(), seg.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLatestOf wants the last message to have arrived.
func TestLatestOf(t *testing.T) {
	s := Scenario{Transport: "value", Measure: Throughput, Size: 64}.withDefaults()
	for _, c := range []struct {
		last, got uint64
		err       error
	}{{5000, 4000, nil}, {4999, 4000, ErrVerify}, {5000, 5001, ErrVerify}} {
		_, err := throughputOf(s, []summary{{Count: 5000, Begin: 1}, {Count: c.got, Last: numbered(0, c.last), End: 2, Loads: 9000}})
		if !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%d of 5000, of which the last was %d: %v, want %v", c.got, c.last, err, c.err)
		}
	}
}
