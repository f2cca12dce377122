package ring_test

import (
	"context"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

const stormCapacity = 64

var (
	fixedStorm    = register("storm", newQueueStorm(fixedWords))
	variableStorm = register("variable storm", newQueueStorm(variableWords))
	leaseStorm    = register("lease storm", leased(newQueueStorm(fixedWords)))
	batchStorm    = register("batch storm", batched(newQueueStorm(fixedWords)))
)

// newQueueStorm returns a storm of Put and Get. A killed consumer may have taken one message, which is
// lost or comes late. A producer may be killed between Put and its note of it.
func newQueueStorm[M any](w words[M]) *storm[M] {
	return &storm[M]{
		words: w,
		set: func(t *testing.T, seg *shm.Segment) (produce, consume stormJob[M]) {
			j := stormJob[M]{Queue: newStored[M](t, seg, stormCapacity, 100<<10)} // often full before the slots are
			return j, j
		},
		put: func(ctx context.Context, j stormJob[M], ms []M) error { return j.Queue.Put(ctx, ms[0]) },
		take: func(ctx context.Context, j stormJob[M], note func(M) error) error {
			for {
				m, err := j.Queue.Get(ctx)
				if err == nil {
					err = note(m)
				}
				if err != nil {
					return err
				}
			}
		},
		end: func(j stormJob[M]) error { return j.Queue.Shutdown() },
		check: func(t *testing.T, j stormJob[M]) {
			Want(t, "Len at the end", j.Queue.Len(), 0)
			wantUnused(t, j.Queue)
		},
		account: stormBook.account,
		allowed: stormLimits{missing: 1, extra: 1, disorder: 1},
	}
}

// leased lets the consumers of s take leases. A consumer may be killed between its note of a message
// and Done. Then the message comes back, late. None is lost.
func leased[M any](s *storm[M]) *storm[M] {
	s.take = func(ctx context.Context, j stormJob[M], note func(M) error) error {
		for {
			l, err := j.Queue.Lease(ctx)
			if err != nil {
				return err
			}
			if err := note(l.Value()); err != nil {
				return err
			}
			if err := l.Done(); err != nil {
				return err
			}
		}
	}
	s.allowed = stormLimits{extra: 1, twice: 1, disorder: 1}
	return s
}

// stormBatch is how many messages the batches of a storm have, at most. With stormCapacity there are spans
// of all lengths.
const stormBatch = 39

// batched lets the processes of s put and take batches. A killed consumer may have taken one, whose messages
// are lost or come late. A producer may be killed between PutMany and its note.
func batched[M any](s *storm[M]) *storm[M] {
	s.batch = stormBatch
	s.put = func(ctx context.Context, j stormJob[M], ms []M) error { return Second(j.Queue.PutMany(ctx, ms)) }
	s.take = func(ctx context.Context, j stormJob[M], note func(M) error) error {
		ms := make([]M, stormBatch)
		for {
			n, err := j.Queue.GetMany(ctx, ms)
			for i := 0; i < n && err == nil; i++ {
				err = note(ms[i])
			}
			if err != nil {
				return err
			}
		}
	}
	s.allowed = stormLimits{missing: stormBatch, extra: stormBatch, disorder: stormBatch}
	return s
}

// TestQueueStorm is a storm of values of a fixed layout.
func TestQueueStorm(t *testing.T) { fixedStorm.run(t) }

// TestEncodedStorm is a storm of values in the queue's storage, of which no block is in use at the end.
func TestEncodedStorm(t *testing.T) { variableStorm.run(t) }

// TestBatchStorm is a storm of batches.
func TestBatchStorm(t *testing.T) { batchStorm.run(t) }

// TestLeaseStorm is a storm of leases.
func TestLeaseStorm(t *testing.T) { leaseStorm.run(t) }
