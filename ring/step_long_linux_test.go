package ring_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/seed-2e7ecdea/mp/internal/step"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
)

// Lengths of long messages, for a ring of 4,096 bytes: one whose pieces fit into the ring all at
// once, and one whose pieces do not.
const (
	longSize   = 2040
	longerSize = 4400
)

// long returns a message of n bytes that consists of the tag.
func long(tag uint64, n int) []byte {
	return bytes.Repeat(binary.LittleEndian.AppendUint64(nil, tag), n/8)
}

func sendChildLong(ctx context.Context, j stepJob) error {
	return j.Conn.Send(ctx, long(childTag, longSize))
}

// receiveVainly receives with a context that is done.
func receiveVainly(_ context.Context, j stepJob) (uint64, error) {
	msg, err := j.Conn.Receive(Expired)
	if errors.Is(err, context.Canceled) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return tagOf(msg)
}

var longReceived <-chan error // of receiveLonger in the present round

// receiveLonger begins to receive the child's message of longerSize bytes, the first time.
func receiveLonger(s *stepScene) {
	if s.Job.Cells.At(1).CompareAndSwap(0, 1) {
		ctx := Within(s)
		longReceived = Async(func() error {
			msg, err := pipe.ours.Receive(ctx)
			if err == nil && !bytes.Equal(msg, long(childTag, longerSize)) {
				err = fmt.Errorf("a torn message of %d bytes", len(msg))
			}
			return err
		})
	}
}

// beginLonger begins to send a message of longerSize bytes to the child, and waits until it waits
// for space.
func beginLonger(s *stepScene) {
	s.Begin(1, func(ctx context.Context) error { return pipe.ours.Send(ctx, long(1, longerSize)) })
}

// giveUp ends the context of a Send of a row.
var giveUp context.CancelFunc

// noParty is a tag that is no party's ID.
const noParty = 1<<40 - 1

// replaceLonger makes the sender of a longer message give up, and sends noParty.
func replaceLonger(s *stepScene) error {
	giveUp()
	if err := s.Results()[0]; !errors.Is(err, context.Canceled) {
		return fmt.Errorf("a Send whose context has ended: %w", err)
	}
	return pipe.ours.Send(Within(s), tagged(noParty))
}

var longSteps = []stepRow{
	{
		Name:    "Conn.Send in pieces",
		Promise: "A message in pieces is sent once, whole, or not at all.",
		Set:     stepPipe(0, 0, false),
		Before:  sendBefore(2),
		Do:      step.Does(sendChildLong),
		Other:   otherReceives,
		Check:   func(s *stepScene, o step.Outcome) { checkSent(s, o, tags(1, 2)) },
	}, {
		Name:    "Conn.Send in pieces beside a second sender",
		Promise: "The same if another process sends by the same end.",
		Set:     stepPipe(0, 0, false),
		Before:  sendBefore(1),
		Do:      step.Does(sendChildLong),
		Other:   otherSendsToo,
		Check:   func(s *stepScene, o step.Outcome) { checkSent(s, o, tags(1, 1)) },
	}, {
		Name:    "Conn.Send in pieces full",
		Promise: "The same if the sender waits for space in the middle of the message.",
		Set:     stepPipe(0, 0, false),
		Before:  func(context.Context, stepJob) error { return nil },
		Do: step.Does(func(ctx context.Context, j stepJob) error {
			return j.Conn.Send(ctx, long(childTag, longerSize))
		}),
		Asleep: receiveLonger,
		Other:  otherReceives, // it gives the message back
		Check: func(s *stepScene, o step.Outcome) {
			receiveLonger(s)
			WantNil(s, "Close", pipe.given.Close())
			err := Await(s, longReceived, "the receiver")
			if o.OK() && o.OtherValue != childTag {
				WantNil(s, "the receiver", err)
			}
			WantNilOr(s, "the receiver", err, io.EOF)
			WantError(s, "Receive", Second(pipe.ours.Receive(Within(s))), io.EOF)
		},
	}, {
		Name:    "Conn.Send in pieces given up",
		Promise: "A sender that gives up has sent nothing.",
		Set:     stepPipe(0, 0, false),
		Before:  sendBefore(1),
		Do: step.Does(func(_ context.Context, j stepJob) error {
			if err := j.Conn.Send(Expired, long(childTag, longerSize)); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("send with an expired context: %w", err)
			}
			return nil
		}),
		Other: otherReceives,
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "TrySend", pipe.given.TrySend(tagged(2)))
			WantNil(s, "Close", pipe.given.Close())
			if left, want := receiveRest(s, pipe.ours), without(tags(1, 2), o.OtherValue); !slices.Equal(left, want) {
				s.Errorf("left are %v, want %v: %+v", left, want, o)
			}
		},
	}, {
		Name:    "Conn.Receive in pieces",
		Promise: "A message in pieces is received once, whole, or stays. A receiver that dies loses at most one.",
		Set: func(s *stepScene) {
			stepPipe(1, 0, false)(s)
			WantNil(s, "Send", pipe.ours.Send(Within(s), long(2, longSize)))
			WantNil(s, "Send", pipe.ours.Send(Within(s), tagged(3)))
		},
		Before: func(ctx context.Context, j stepJob) error { return Second(j.Conn.Receive(ctx)) },
		Do:     receiveTag,
		Other:  otherReceivesToo,
		Check:  func(s *stepScene, o step.Outcome) { checkReceived(s, o, tags(2, 3)) },
	}, {
		Name:    "Conn.Receive in pieces given up",
		Promise: "A message whose receiver gives up is received by the next one. A receiver that dies loses at most one.",
		Set:     stepPipe(0, 0, false),
		Before:  func(context.Context, stepJob) error { return nil },
		Ready:   beginLonger,
		Do:      receiveVainly,
		Other: func(*stepScene) (uint64, error) {
			msg, err := pipe.given.Receive(Expired)
			if errors.Is(err, context.Canceled) {
				return 0, nil
			}
			if err != nil {
				return 0, err
			}
			return tagOf(msg)
		},
		Check: func(s *stepScene, o step.Outcome) {
			rest := Async(func() []uint64 { return receiveRest(s, pipe.given) })
			WantNil(s, "Send", s.Results()[0])
			WantNil(s, "Close", pipe.ours.Close())
			left, want := Await(s, rest, "the next receiver"), tags(1, 1)
			WantNil(s, "the other's operation", o.OtherErr)
			want = without(without(want, o.OtherValue), o.Value)
			if !slices.Equal(left, want) && (o.OK() || len(left) > 0) {
				s.Errorf("left are %v, want %v: %+v", left, want, o)
			}
		},
	}, {
		Name:    "Conn.TryPoll while a long message is taken back",
		Promise: "What is sent in the place of a message that its sender has given up is received.",
		Set:     stepPipe(0, 0, false),
		Before:  func(context.Context, stepJob) error { return nil },
		Ready: func(s *stepScene) {
			s.Begin(1, func(ctx context.Context) error {
				brief, cancel := context.WithCancel(ctx)
				giveUp = cancel
				return pipe.ours.Send(brief, long(1, longerSize))
			})
		},
		Do: step.Does(func(_ context.Context, j stepJob) error {
			if err := j.Conn.TryPoll(); err != nil && !errors.Is(err, ring.ErrEmpty) {
				return err
			}
			return nil
		}),
		Other: func(s *stepScene) (uint64, error) { return 0, replaceLonger(s) },
		Check: func(s *stepScene, o step.Outcome) {
			if !o.Between {
				o.OtherErr = replaceLonger(s)
			}
			WantNil(s, "the sender that gives up, and the next one", o.OtherErr)
			WantNil(s, "Close", pipe.ours.Close())
			if left := receiveRest(s, pipe.given); !slices.Equal(left, []uint64{noParty}) || o.Err != "" {
				s.Errorf("left are %x, want %x: %+v", left, []uint64{noParty}, o)
			}
		},
	}, {
		Name:    "Conn.Poll",
		Promise: "Poll receives nothing.",
		Set:     stepPipe(3, 0, false),
		Before:  func(ctx context.Context, j stepJob) error { return Second(j.Conn.Receive(ctx)) },
		Do:      step.Does(func(ctx context.Context, j stepJob) error { return j.Conn.Poll(ctx) }),
		Other:   otherReceivesToo,
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "Close", pipe.ours.Close())
			left, want := receiveRest(s, pipe.given), without(tags(2, 3), o.OtherValue)
			if o.OtherErr != nil || o.Err != "" || !slices.Equal(left, want) {
				s.Errorf("left are %v, want %v: %+v", left, want, o)
			}
		},
	},
}
