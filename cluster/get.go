package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/seed-2e7ecdea/mp/ring"
)

// pullTime is how long the server keeps a request for messages. The request is made again after it,
// so it also bounds how long a getter overlooks a shutdown whose notice was lost.
const pullTime = 5 * time.Second

// Get takes the oldest value. It blocks while the queue is empty and while there is no connection.
// It fails with ctx's error when ctx is done, with ErrShutdown when the queue was shut down and no
// process has a value that could come back, or with ErrClosed. An error means that nothing was
// taken, except that a value that the codec can't decode is gone.
//
// If the queue is not joinable, Get returns when the server has noted that the value is taken. If
// this process dies before, the value comes back. If ctx is done before, Get returns the value, and
// the value may come back, too.
func (q *Queue[T]) Get(ctx context.Context) (v T, err error) {
	vs := []T{v}
	if _, err = q.get(ctx, vs); err != nil {
		err = q.fail("Get", err)
	}
	return vs[0], err
}

// GetMany takes the oldest values into vs: at least one, and as many more as are there and fit. It
// costs much less than a Get for each. It returns how many values it took: they are vs[:n]. If n is
// 0 and vs is not empty, the error says why, as that of Get.
func (q *Queue[T]) GetMany(ctx context.Context, vs []T) (n int, err error) {
	if len(vs) == 0 {
		return 0, nil
	}
	if n, err = q.get(ctx, vs); err != nil {
		err = q.fail("GetMany", err)
	}
	return n, err
}

// TryGet is Get that does not wait for a value: it fails with ErrEmpty. It waits for the server.
func (q *Queue[T]) TryGet(ctx context.Context) (v T, err error) {
	l, err := q.tryLease(ctx)
	if err == nil {
		v = l.value
		err = q.finish(ctx, l.held)
	}
	if err != nil {
		err = q.fail("TryGet", err)
	}
	return v, err
}

// get takes at least one value into vs, and marks them as taken.
func (q *Queue[T]) get(ctx context.Context, vs []T) (n int, err error) {
	leases, err := q.lease(ctx, len(vs))
	if err != nil {
		return 0, err
	}
	for i, l := range leases {
		vs[i] = l.value
	}
	n = len(leases)
	if !q.joinable {
		for _, l := range leases[1:] { // the server reads these before the one that it confirms
			_ = l.held.msg.Ack()
			q.keeper.release(l.held)
		}
		leases = leases[:1]
	}
	for _, l := range leases {
		if err := q.finish(ctx, l.held); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// finish notes that Get took a value: until TaskDone, or for ever.
func (q *Queue[T]) finish(ctx context.Context, h *held) error {
	if q.joinable {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.taken = append(q.taken, h)
		return nil
	}
	if q.keeper.release(h) {
		err := q.c.insist(ctx, func(ctx context.Context) error { return acked(h.msg.DoubleAck(ctx)) })
		if err != nil && ctx.Err() == nil && !errors.Is(err, ring.ErrClosed) {
			return err
		}
	}
	return nil
}

// acked returns err, or nil if it says that the message was acknowledged before.
func acked(err error) error {
	if errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		return nil
	}
	return err
}

// TaskDone marks one value as done: of those that Get, GetMany or All has taken through q, the one
// that was taken first. The queue must have been opened with the option Joinable. It blocks until
// the server has noted it, and fails as Lease.Done does, or with ErrTooManyDone if all values are
// marked done.
func (q *Queue[T]) TaskDone(ctx context.Context) error {
	q.mu.Lock()
	var h *held
	if len(q.taken) > 0 {
		h, q.taken = q.taken[0], q.taken[1:]
	}
	q.mu.Unlock()
	err := ring.ErrTooManyDone
	if h != nil {
		err = q.keeper.done(ctx, q.c, h)
	}
	if err != nil {
		return q.fail("TaskDone", err)
	}
	return nil
}

// Lease takes the oldest value under a lease. It blocks and fails as Get does.
func (q *Queue[T]) Lease(ctx context.Context) (*Lease[T], error) {
	ls, err := q.lease(ctx, 1)
	if err != nil {
		return nil, q.fail("Lease", err)
	}
	return ls[0], nil
}

// TryLease is Lease that does not wait for a value: it fails with ErrEmpty. It waits for the server.
func (q *Queue[T]) TryLease(ctx context.Context) (*Lease[T], error) {
	l, err := q.tryLease(ctx)
	if err != nil {
		return nil, q.fail("TryLease", err)
	}
	return l, nil
}

func (q *Queue[T]) tryLease(ctx context.Context) (*Lease[T], error) {
	ls, err := q.waiting(ctx, 1)
	switch {
	case err != nil:
		return nil, err
	case len(ls) > 0:
		return ls[0], nil
	}
	over, err := q.isOver(ctx)
	switch {
	case err != nil:
		return nil, err
	case over:
		return nil, ring.ErrShutdown
	}
	return nil, ring.ErrEmpty
}

// waiting takes up to n values that wait in the queue. It takes none if there are none.
func (q *Queue[T]) waiting(ctx context.Context, n int) ([]*Lease[T], error) {
	for {
		if q.isClosed() {
			return nil, ring.ErrClosed
		}
		batch, err := q.consumer.FetchNoWait(n)
		if err == nil {
			var msgs []jetstream.Msg
			for msg := range batch.Messages() {
				msgs = append(msgs, msg)
			}
			if err = batch.Error(); len(msgs) > 0 || err == nil {
				return q.newLeases(msgs)
			}
		}
		if err := q.pauseAfter(ctx, err); err != nil {
			return nil, err
		}
	}
}

// lease takes up to n values under leases: at least one, and more if they are there.
func (q *Queue[T]) lease(ctx context.Context, n int) ([]*Lease[T], error) {
	if n > 1 {
		if ls, err := q.waiting(ctx, n); len(ls) > 0 || err != nil {
			return ls, err
		}
	}
	for {
		bell := q.c.bell()
		switch over, err := q.isOver(ctx); {
		case err != nil:
			return nil, err
		case over:
			return nil, ring.ErrShutdown
		}
		msg, err := q.next(ctx, bell)
		if err != nil {
			return nil, err
		}
		if msg != nil {
			return q.newLeases([]jetstream.Msg{msg})
		}
	}
}

// next takes one message. It returns nil if none came within pullTime, or if the request may be lost.
//
// After a shutdown it looks at intervals whether the queue is over. It keeps its request meanwhile:
// the request may have a message already, which would be got out of order if it were given back.
func (q *Queue[T]) next(ctx context.Context, bell <-chan struct{}) (jetstream.Msg, error) {
	batch, err := q.consumer.Fetch(1, jetstream.FetchMaxWait(pullTime))
	if err != nil {
		return nil, q.pauseAfter(ctx, err)
	}
	shutdown := q.shutdown
	var look <-chan time.Time
	for {
		select {
		case msg, ok := <-batch.Messages():
			if !ok && batch.Error() != nil {
				return nil, q.pauseAfter(ctx, batch.Error())
			}
			return msg, nil
		case <-ctx.Done():
			go giveBack(batch)
			return nil, ctx.Err()
		case <-q.closed:
			go giveBack(batch)
			return nil, ring.ErrClosed
		case <-bell: // the request was lost with a connection or a leader
			go giveBack(batch)
			return nil, nil
		case <-shutdown:
			shutdown = nil
		case <-look:
		}
		over, err := q.isOver(ctx)
		if over {
			err = ring.ErrShutdown
		}
		if err != nil {
			go giveBack(batch)
			return nil, err
		}
		look = time.After(lastPause) // what others have under leases may come back, or be done
	}
}

// giveBack gives back the messages of a request that nobody waits for any more.
func giveBack(batch jetstream.MessageBatch) {
	for msg := range batch.Messages() {
		_ = msg.Nak() // if the connection is broken, the lease of the message expires
	}
}

// isOver reports whether the queue was shut down and has no value that could come back.
func (q *Queue[T]) isOver(ctx context.Context) (bool, error) {
	if q.isClosed() {
		return false, ring.ErrClosed
	}
	if !q.isShutdown() {
		return false, nil
	}
	info, err := q.info(ctx)
	return err == nil && info.State.Msgs == 0, err
}

// pauseAfter waits before a request for messages that failed is made again. It returns an error if
// that is of no use.
func (q *Queue[T]) pauseAfter(ctx context.Context, err error) error {
	if q.isClosed() {
		return ring.ErrClosed
	}
	if verdict, err := judge(err); verdict == fatal {
		return err
	}
	if _, err := q.info(ctx); err != nil { // it waits for the server
		return err
	}
	return q.c.pause(ctx, firstPause)
}
