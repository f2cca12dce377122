//go:build linux

package ring_test

import (
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
)

// TestHeapQueueWalk shows that a walk over a queue does not fail because others claim positions as
// fast as it goes. The bound of its steps is what a walk beside idle parties needs, so that it is
// reached soon.
func TestHeapQueueWalk(t *testing.T) {
	const parties, each = 4, 5000
	seg := Heap(t, room)
	Must(ring.NewQueue[uint64](seg, "q", 2, nil))(t)
	ctx := Within(t)
	All(t, "parties", parties, func(int) error {
		q, err := ring.OpenQueue[uint64](Attach(t, seg), "q")
		if err != nil {
			return err
		}
		defer q.Close()
		q.SetMostSteps(12)
		for n := range uint64(each) {
			if err := q.Put(ctx, n); err != nil {
				return err
			}
			if _, err := q.Get(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}
