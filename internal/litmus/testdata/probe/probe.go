// Package probe makes the compiler generate the code of mp's generic types. TestCode looks at it.
package probe

import (
	"context"

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

// Value uses a value with copies.
func Value(x *value.Value[message]) {
	x.Store(x.Load())
}
