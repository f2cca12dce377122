package poll_test

import (
	"fmt"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/poll"
	"github.com/seed-2e7ecdea/mp/ring"
)

// BenchmarkSelect measures a Select of which one case is ready.
func BenchmarkSelect(b *testing.B) {
	for _, n := range []int{1, 2, 8, 125} {
		b.Run(fmt.Sprint("cases=", n), func(b *testing.B) {
			seg, ctx := Anonymous(b, segmentSize), b.Context()
			var v uint64
			queues := make([]*ring.Queue[uint64], n)
			var list []poll.Waitable
			for i := range queues {
				queues[i] = newQueue[uint64](b, seg, 1)
				list = append(list, queues[i].GetCase(&v))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := queues[i%n].TryPut(1); err != nil {
					b.Fatal(err)
				}
				if _, err := poll.Select(ctx, list...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A Select with cases that were made before does not allocate if one of them is ready.
func TestReadySelectDoesNotAllocate(t *testing.T) {
	seg, ctx := Anonymous(t, segmentSize), t.Context()
	var v uint64
	q, event := newQueue[uint64](t, seg, 1), newEvent(t, seg).Case()
	get := q.GetCase(&v)
	n := testing.AllocsPerRun(100, func() {
		if err := q.TryPut(1); err != nil {
			t.Fatal(err)
		}
		if _, err := poll.Select(ctx, event, get); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
