package cluster

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Objects returns how many large messages of a pool the server has.
func Objects(ctx context.Context, c *Cluster, pool string) (int, error) {
	ch, err := newChannel(c, pool)
	if err != nil {
		return 0, err
	}
	store, err := ch.objects(ctx)
	if err != nil {
		return 0, err
	}
	list, err := store.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return 0, nil
	}
	return len(list), err
}

// StoreLarge stores data, which are too large for a message, as a message of a pool with that id. It returns the number of
// the message that the server has of that id.
func StoreLarge(ctx context.Context, c *Cluster, pool, id, object string, data []byte) (sequence uint64, err error) {
	ch, err := newChannel(c, pool)
	if err != nil {
		return 0, err
	}
	ack, err := ch.publish(ctx, nats.NewMsg(ch.subject+"replies.nobody"), id, object, data)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// DropUnlessNamed deletes an object of a pool unless the message with that number names it.
func DropUnlessNamed(ctx context.Context, c *Cluster, pool, object string, sequence uint64) error {
	ch, err := newChannel(c, pool)
	if err == nil {
		ch.dropUnlessNamed(ctx, object, sequence)
	}
	return err
}

// A Complaint is a server's logger that keeps the first error.
type Complaint = complaint

// First returns that error.
func (c *complaint) First() string { return c.first() }

// Messages returns how many calls, replies and tries of a pool the server has.
func Messages(ctx context.Context, c *Cluster, pool string) (int, error) {
	ch, err := newChannel(c, pool)
	if err != nil {
		return 0, err
	}
	stream, err := c.js.Stream(ctx, ch.stream)
	if err != nil {
		return 0, err
	}
	return int(stream.CachedInfo().State.Msgs), nil
}
