package ring_test

import (
	"context"
	"errors"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

// sendByHolder sends childTag by a Sender.
func sendByHolder(ctx context.Context, j stepJob) error {
	x, err := j.Conn.Sender(ctx)
	if err != nil {
		return err
	}
	msg, err := x.Next(ctx, messageSize)
	if err != nil {
		return errors.Join(err, x.Close())
	}
	copy(msg, tagged(childTag))
	return errors.Join(x.Commit(), x.Close())
}

// receiveByHolder receives a message by a Receiver, and returns its tag.
func receiveByHolder(ctx context.Context, j stepJob) (uint64, error) {
	x, err := j.Conn.Receiver(ctx)
	if err != nil {
		return 0, err
	}
	msg, err := x.Receive(ctx)
	if err != nil {
		return 0, errors.Join(err, x.Close())
	}
	tag, err := tagOf(msg)
	return tag, errors.Join(err, x.Release(), x.Close())
}

var holdSteps = []stepRow{
	{
		Name:    "Conn.Sender full",
		Promise: "A Sender that dies waiting has sent nothing, or its message, and no wake is lost with it.",
		Set:     stepPipe(0, 0, false),
		Before:  fillPipe,
		Do:      step.Does(sendByHolder),
		Asleep:  receiveFirst,
		Other: func(s *stepScene) (uint64, error) {
			receiveFirst(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			receiveFirst(s)
			checkSent(s, o, tags(2, fullCount))
		},
	}, {
		Name:    "Conn.Receiver empty",
		Promise: "A Receiver that dies waiting loses at most one message, and no wake is lost with it.",
		Set:     stepPipe(0, 0, false),
		Before: func(ctx context.Context, j stepJob) error {
			return step.Vainly(ctx, func(ctx context.Context) error { return Second(receiveByHolder(ctx, j)) })
		},
		Do:     receiveByHolder,
		Asleep: sendOnce,
		Other: func(s *stepScene) (uint64, error) {
			sendOnce(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			sendOnce(s)
			checkReceived(s, o, tags(1, 1))
		},
	},
}
