// Package probe makes the compiler generate the code of mp's generic types. TestCode looks at it.
package probe

import (
	"context"
	"errors"

	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/value"
)

type message [4]uint64

// Queue uses a queue.
func Queue(q *ring.Queue[message]) error {
	v, err := q.Get(context.Background())
	if err != nil {
		return err
	}
	return q.Put(context.Background(), v)
}

// Broadcast uses a broadcast.
func Broadcast(b *ring.Broadcast[message]) error {
	s, err := b.Subscribe(nil)
	if err != nil {
		return err
	}
	v, err := s.Receive(context.Background())
	if err != nil {
		return err
	}
	if err := b.Publish(context.Background(), v); err != nil {
		return err
	}
	if err := b.PublishFrom(context.Background(), &v); err != nil {
		return err
	}
	return errors.Join(s.Close(), b.Shutdown())
}

// Value uses a value with copies.
func Value(x *value.Value[message]) {
	x.Store(x.Load())
}
