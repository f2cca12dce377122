package ring

import (
	"context"
	"errors"
)

// ToChan takes values from q and sends them to c, so that a program can receive them in a
// select statement together with what its own channels deliver. It blocks until the queue is shut
// down and empty, and then returns nil. It fails with ctx's error when ctx is done, or with
// ErrClosed when this process closes the queue; but as long as it waits for c to accept a value,
// only ctx ends it. It does not close c:
//
//	c := make(chan job)
//	go func() {
//		defer close(c)
//		err = ring.ToChan(ctx, jobs, c)
//	}()
//
// No value is lost. ToChan takes each value under a Lease, which it ends when c has accepted the
// value. If ctx ends before that, or the process is killed, the value goes back to the front of the
// queue. So a value may be got twice if the process is killed, or its segment closed, just after c
// has accepted it. A value in the buffer of c counts as accepted: where that matters, c has no
// buffer. ToChan holds at most one value at a time.
//
// A Put that returned nil synchronizes before the receive from c that returns its value.
func ToChan[T any](ctx context.Context, q *Queue[T], c chan<- T) error {
	for {
		l, err := q.Lease(ctx)
		if err != nil {
			if errors.Is(err, ErrShutdown) {
				err = nil
			}
			return err
		}
		v := l.Value()
		if l.from.domain().Closed() {
			return l.from.failures().of("ToChan", ErrClosed) // v may not come from the queue; the value is another's now
		}
		select {
		case c <- v:
			err = l.Done()
		case <-ctx.Done():
			l.Return() // if that fails, the value comes back all the same
			err = l.from.failures().of("ToChan", ctx.Err())
		}
		if err != nil {
			return err
		}
	}
}

// FromChan receives values from c and puts them into q. It blocks until c is closed, and
// then returns nil. It fails with ctx's error when ctx is done, with ErrShutdown, or with ErrClosed
// when this process closes the queue.
//
// No value is lost: if FromChan fails while it holds a value that it has received from c and not
// put, it returns that as left. Otherwise left is nil. FromChan holds at most one value at a time,
// and none while it waits for the next one.
func FromChan[T any](ctx context.Context, c <-chan T, q *Queue[T]) (left *T, err error) {
	fails := q.failures()
	if fails == nil {
		return nil, closed("FromChan")
	}
	for {
		var v T
		var ok bool
		select {
		case v, ok = <-c:
		case <-ctx.Done():
			return nil, fails.of("FromChan", ctx.Err())
		}
		if !ok {
			return nil, nil
		}
		if err := q.PutFrom(ctx, &v); err != nil {
			return &v, err
		}
	}
}
