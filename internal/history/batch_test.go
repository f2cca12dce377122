//go:build linux

package history_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A batchQueue is a ring.Queue that is used in batches, or a broken one.
type batchQueue interface {
	TryPutMany(vs []message) (int, error)
	PutMany(ctx context.Context, vs []message) (int, error)
	TryGetMany(vs []message) (int, error)
	GetMany(ctx context.Context, vs []message) (int, error)
}

// batchSize is how many messages a batch has.
const batchSize = 2

// batches returns the subject of a queue that is used in batches. Each message of a batch is an
// operation of its own in the history. All of them are called, and return, together, but they must
// have happened in their order.
func batches(capacity int, wrap func(c *client, q batchQueue) batchQueue) *subject {
	s := queues(capacity, unwrapped[queue])
	s.alone = true
	s.work = func(c *client, in *assignment) error { return useBatches(c, wrap(c, in.Queue)) }
	s.steps = batchSteps
	s.model = func(int) porcupine.Model { return batchModel(capacity) }
	s.dieAt = []crash.Point{
		crash.QueuePutClaimed, crash.QueuePutCopied, crash.QueuePutReady, crash.QueuePutWaiting,
		crash.QueueGetClaimed, crash.QueueGetCopied, crash.QueueGetFreed, crash.QueueGetWaiting,
	}
	return s
}

// maxBatches is no less than the number of batches in a history.
const maxBatches = 128

// batchSteps are queueSteps that say to which batch they belong. Operations of one client that overlap are those of
// a batch.
func batchSteps(h *history) []step {
	numbers := make([]int, len(h.ops)) // of the batches
	last := 0
	for i := 1; i < len(h.ops); i++ {
		if a, b := h.ops[i-1], h.ops[i]; a.process == b.process && a.client == b.client && b.called < a.returned {
			last++
			numbers[i-1], numbers[i] = last, last
		}
	}
	if last > maxBatches {
		panic("more batches than the model can count")
	}
	list := queueSteps(h)
	for i := range list {
		at := &list[i]
		at.batch = numbers[at.op]
		at.second = at.batch > 0 && at.op > 0 && numbers[at.op-1] == at.batch
	}
	return list
}

// A batchState is a queue, and the batches whose first message was put or got.
type batchState struct {
	queueState
	begun [maxBatches / 64]uint64
}

// batchModel is a queueModel in which the second message of a batch is put or got after the first.
func batchModel(capacity int) porcupine.Model {
	next := queueNext(capacity)
	return modelOf(batchState{}, func(s batchState, at step) (list []batchState) {
		moves := slices.Contains([]kind{tryPut, put, tryGet, get}, at.kind) && (at.maybe || at.result == ok)
		begun := s.begun
		if moves && at.batch > 0 {
			word, bit := &begun[(at.batch-1)/64], uint64(1)<<((at.batch-1)%64)
			if at.second && *word&bit == 0 {
				return nil
			}
			*word |= bit
		}
		for _, q := range next(s.queueState, at) {
			list = append(list, batchState{q, begun})
		}
		return list
	})
}

func useBatches(c *client, q batchQueue) error {
	// All operations of a batch overlap, and porcupine tries many orders of those that do. A history with
	// half as many as others have takes it milliseconds, not seconds.
	for half := len(c.log) / 2; c.used+batchSize <= half; {
		var err error
		switch c.rand.IntN(4) {
		case 0:
			err = c.putMany(tryPut, func(_ context.Context, vs []message) (int, error) { return q.TryPutMany(vs) })
		case 1:
			err = c.putMany(put, q.PutMany)
		case 2:
			err = c.getMany(tryGet, func(_ context.Context, vs []message) (int, error) { return q.TryGetMany(vs) })
		case 3:
			err = c.getMany(get, q.GetMany)
		}
		if err != nil {
			return err
		}
		c.pause()
	}
	return nil
}

// putMany calls f, which puts a batch, and records an operation for each message. Those that were not
// put return f's error.
func (c *client) putMany(k kind, f func(ctx context.Context, vs []message) (int, error)) error {
	ctx, cancel := c.shortContext()
	defer cancel()
	var records [batchSize]*record
	var vs [batchSize]message
	for i := range vs {
		n := c.unique()
		records[i], vs[i] = c.begin(k, n), messageOf(n)
	}
	put, err := f(ctx, vs[:])
	if put == batchSize && err != nil {
		return fmt.Errorf("%v of a batch put all: %w", k, err)
	}
	for i, r := range records {
		var why error
		if i >= put {
			why = err
		}
		if _, err := c.end(r, why, 0); err != nil {
			return err
		}
	}
	return nil
}

// getMany calls f, which gets a batch, and records an operation for each message that it may get.
// Those that got none after the first count as not called.
func (c *client) getMany(k kind, f func(ctx context.Context, vs []message) (int, error)) error {
	ctx, cancel := c.shortContext()
	defer cancel()
	var records [batchSize]*record
	for i := range records {
		records[i] = c.begin(k, 0)
	}
	var vs [batchSize]message
	n, err := f(ctx, vs[:])
	for i, r := range records {
		m := vs[i]
		if m != messageOf(m[0]) {
			return fmt.Errorf("half a message: %x", m)
		}
		if i > 0 && i >= n {
			c.journal.end(r, notTried, 0)
			continue
		}
		if _, err := c.end(r, err, m[0]); err != nil {
			return err
		}
	}
	return nil
}

// texts returns the subject of a queue whose messages are encoded, and too long for their slots.
func texts(capacity int, wrap func(c *client, q queue) queue) *subject {
	s := queues(capacity, wrap)
	s.make = func(seg *shm.Segment, in *assignment) (err error) {
		// More storage than the messages need: blocks of a putter that was killed come back late.
		in.Texts, err = ring.NewQueue[string](seg, "", capacity, &ring.QueueOptions[string]{Storage: 256 << 10})
		return err
	}
	s.work = func(c *client, in *assignment) error { return useQueue(c, wrap(c, textQueue{in.Texts})) }
	s.settle = func(c *client, in *assignment) (int, error) { return 0, drainQueue(c, textQueue{in.Texts}) }
	s.model = func(int) porcupine.Model { return queueModel(capacity) }
	s.dieAt = append(s.dieAt, crash.QueueStorageReserved, crash.QueueStorageTaken, crash.QueueStorageGiven)
	return s
}

// A textQueue is a queue of messages in one of long strings.
type textQueue struct{ q *ring.Queue[string] }

// textLength is longer than two blocks of storage.
const textLength = 2500

func textOf(m message) string { return fmt.Sprintf("%*x", textLength, m[0]) }

func messageIn(text string, err error) (message, error) {
	if err != nil {
		return message{}, err
	}
	var n uint32
	if _, err := fmt.Sscanf(text, "%x", &n); err != nil || text != textOf(messageOf(n)) {
		return message{}, fmt.Errorf("half a message: %q", text)
	}
	return messageOf(n), nil
}

func (t textQueue) TryPut(m message) error                   { return t.q.TryPut(textOf(m)) }
func (t textQueue) Put(ctx context.Context, m message) error { return t.q.Put(ctx, textOf(m)) }
func (t textQueue) TryGet() (message, error)                 { return messageIn(t.q.TryGet()) }
func (t textQueue) Get(ctx context.Context) (message, error) { return messageIn(t.q.Get(ctx)) }
