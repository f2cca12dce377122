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
	"github.com/seed-2e7ecdea/mp/poll"
	"github.com/seed-2e7ecdea/mp/ring"
)

// messageSize is the length of the messages of these rows in bytes. With its head, it takes a 16th
// of the ring.
const messageSize = 248

// tagged returns a message that consists of the tag.
func tagged(tag uint64) []byte {
	return bytes.Repeat(binary.LittleEndian.AppendUint64(nil, tag), messageSize/8)
}

// tagOf returns the tag of which a message consists.
func tagOf(msg []byte) (uint64, error) {
	if !slices.Contains([]int{messageSize, longSize, longerSize}, len(msg)) {
		return 0, fmt.Errorf("a message of %d bytes, want %d", len(msg), messageSize)
	}
	tag := binary.LittleEndian.Uint64(msg)
	if !bytes.Equal(msg, bytes.Repeat(msg[:8], len(msg)/8)) {
		return 0, fmt.Errorf("torn message %x", msg)
	}
	return tag, nil
}

// ends are the two ends of a scene's pipe: ours is the test's, and given the one that the child
// gets. lap returns when the messages before those of a row have passed through the ring.
type ends struct {
	ours, given *ring.Conn
	lap         <-chan error
}

var pipe ends // of the present round

// stepPipe returns a Set that makes a pipe of the smallest capacity, of whose rings the first used
// bytes are used up, with the messages 1 to n on the way to the child's end. If second, the test's
// process has sent and received by that end, so that the child is the second.
func stepPipe(n uint64, used int, second bool) func(*stepScene) {
	return func(s *stepScene) {
		a, b := newPipe(s, s.Seg, 4096)
		pipe = ends{ours: a, given: b}
		s.Cleanup(func() { pipe = ends{} })
		s.Job = stepJob{Conn: b, Cells: NewCells(s, s.Seg, 2)}
		ctx := Within(s)
		if used > 0 || second {
			// One message takes 8 bytes more than its length.
			for _, msg := range [][]byte{make([]byte, max(used/2-8, 8)), make([]byte, max(used-used/2-8, 8))} {
				WantNil(s, "Send", a.Send(ctx, msg))
				if second {
					WantNil(s, "Receive", Second(b.Receive(ctx)))
				}
			}
		}
		for tag := range n {
			WantNil(s, "Send", a.Send(ctx, tagged(tag+1)))
		}
	}
}

func sendChildTag(ctx context.Context, j stepJob) error { return j.Conn.Send(ctx, tagged(childTag)) }

func receiveTag(ctx context.Context, j stepJob) (uint64, error) {
	msg, err := j.Conn.Receive(ctx)
	if err != nil {
		return 0, err
	}
	return tagOf(msg)
}

// sendBefore returns a Before that sends the messages 1 to n.
func sendBefore(n uint64) func(context.Context, stepJob) error {
	return func(ctx context.Context, j stepJob) error {
		for tag := range n {
			if err := j.Conn.Send(ctx, tagged(tag+1)); err != nil {
				return err
			}
		}
		return nil
	}
}

// receiveOne receives a message that the child has sent in its Before.
func receiveOne(s *stepScene) { WantNil(s, "Receive", Second(pipe.ours.Receive(Within(s)))) }

// otherReceives receives a message if it can, and returns its tag.
func otherReceives(*stepScene) (uint64, error) {
	msg, err := pipe.ours.TryReceive()
	if errors.Is(err, ring.ErrTooLarge) { // it takes the pieces that are there, and gives them back
		msg, err = pipe.ours.Receive(Expired)
	}
	if errors.Is(err, ring.ErrEmpty) || errors.Is(err, ring.ErrBusy) || errors.Is(err, context.Canceled) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return tagOf(msg)
}

// otherSendsToo sends a message by the child's end if it can, and returns its tag.
func otherSendsToo(*stepScene) (uint64, error) {
	err := pipe.given.TrySend(tagged(otherTag))
	if errors.Is(err, ring.ErrFull) || errors.Is(err, ring.ErrBusy) {
		return 0, nil
	}
	return otherTag, err
}

// otherSends sends a message to the child's end if it can, and returns its tag.
func otherSends(*stepScene) (uint64, error) {
	err := pipe.ours.TrySend(tagged(otherTag))
	if errors.Is(err, ring.ErrFull) || errors.Is(err, ring.ErrBusy) {
		return 0, nil
	}
	return otherTag, err
}

// otherReceivesToo receives a message by the child's end if it can, and returns its tag.
func otherReceivesToo(*stepScene) (uint64, error) {
	msg, err := pipe.given.TryReceive()
	if errors.Is(err, ring.ErrTooLarge) {
		msg, err = pipe.given.Receive(Expired)
	}
	if errors.Is(err, ring.ErrEmpty) || errors.Is(err, ring.ErrBusy) || errors.Is(err, context.Canceled) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return tagOf(msg)
}

// fillPipe sends messages 1, 2, ... until the ring is full. These must be fullCount.
func fillPipe(ctx context.Context, j stepJob) error {
	for tag := uint64(1); ; tag++ {
		switch err := j.Conn.TrySend(tagged(tag)); {
		case errors.Is(err, ring.ErrFull):
			if tag-1 != fullCount {
				return fmt.Errorf("full after %d messages", tag-1)
			}
			return step.Vainly(ctx, func(ctx context.Context) error { return sendChildTag(ctx, j) })
		case err != nil:
			return err
		}
	}
}

// fullCount is how many messages fill a ring of 4,096 bytes, of which 8 stay free.
const fullCount = (4096 - 8) / (messageSize + 8)

// lapCount is how many messages fill the ring once and begin again at its start.
const lapCount = fullCount + 3

// receiveMany receives n messages.
func receiveMany(ctx context.Context, c *ring.Conn, n int) error {
	for range n {
		if _, err := c.Receive(ctx); err != nil {
			return err
		}
	}
	return nil
}

func tags(from, to uint64) (all []uint64) {
	for tag := from; tag <= to; tag++ {
		all = append(all, tag)
	}
	return all
}

var sendSteps = []stepRow{
	{
		Name:    "Conn.Send first",
		Promise: "A message is sent once, whole, or not at all.",
		Set:     stepPipe(0, 0, false),
		Do:      step.Does(sendChildTag),
		Other:   otherReceives,
		Check:   func(s *stepScene, o step.Outcome) { checkSent(s, o, nil) },
	}, {
		Name:    "Conn.Send",
		Promise: "The same for a process that has sent before.",
		Set:     stepPipe(0, 0, false),
		Before:  sendBefore(2),
		Do:      step.Does(sendChildTag),
		Other:   otherReceives,
		Check:   func(s *stepScene, o step.Outcome) { checkSent(s, o, tags(1, 2)) },
	}, {
		Name:    "Conn.Send at the ring's end",
		Promise: "The same for a message that does not fit before the ring's end.",
		Set:     stepPipe(0, 0, false),
		Before: func(ctx context.Context, j stepJob) error {
			// One message takes 8 bytes more than its length. So 104 bytes are left.
			return errors.Join(j.Conn.Send(ctx, make([]byte, 1992)), j.Conn.Send(ctx, make([]byte, 1984)))
		},
		Ready: func(s *stepScene) { receiveOne(s); receiveOne(s) },
		Do:    step.Does(sendChildTag),
		Other: otherReceives,
		Check: func(s *stepScene, o step.Outcome) { checkSent(s, o, nil) },
	}, {
		Name:    "Conn.Send in the second lap",
		Promise: "The same where the ring holds what remains of older messages.",
		Set: func(s *stepScene) {
			stepPipe(0, 0, false)(s)
			pipe.lap = Async(func() error { return receiveMany(Within(s), pipe.ours, lapCount) })
		},
		Before: sendBefore(lapCount),
		Ready:  func(s *stepScene) { WantNil(s, "the first lap", Await(s, pipe.lap, "the first lap")) },
		Do:     step.Does(sendChildTag),
		Other:  otherReceives,
		Check:  func(s *stepScene, o step.Outcome) { checkSent(s, o, nil) },
	}, {
		Name:    "Conn.Send to a Select",
		Promise: "The same for a process whose goroutines receive by Select in turn. It gets the end of the messages, too.",
		Set: func(s *stepScene) {
			stepPipe(0, 0, false)(s)
			for range 2 {
				WantError(s, "TryReceive", <-Async(func() error { return Second(pipe.ours.TryReceive()) }), ring.ErrEmpty)
			}
		},
		Do: step.Does(sendChildTag),
		Other: func(s *stepScene) (uint64, error) {
			if err := Second(poll.TrySelect(pipe.ours)); errors.Is(err, poll.ErrNotReady) {
				return 0, nil
			} else if err != nil {
				return 0, err
			}
			return otherReceives(s)
		},
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "Close", pipe.given.Close())
			checkTags(s, o, selectRest(s, pipe.ours), afterOther(o, nil), true)
		},
	}, {
		Name:    "Conn.Send by a second sender",
		Promise: "The same if another process sends by the same end.",
		Set: func(s *stepScene) {
			stepPipe(0, 0, false)(s)
			WantNil(s, "Send", pipe.given.Send(Within(s), tagged(1)))
		},
		Do:    step.Does(sendChildTag),
		Other: otherSendsToo,
		Check: func(s *stepScene, o step.Outcome) { checkSent(s, o, tags(1, 1)) },
	}, {
		Name:    "Conn.Send beside a second sender",
		Promise: "The same if another process begins to send by the same end.",
		Set:     stepPipe(0, 0, false),
		Before:  sendBefore(1),
		Do:      step.Does(sendChildTag),
		Other:   otherSendsToo,
		Check:   func(s *stepScene, o step.Outcome) { checkSent(s, o, tags(1, 1)) },
	}, {
		Name:    "Conn.Send by a later turn of a second sender",
		Promise: "The same once both take turns by a lock.",
		Set: func(s *stepScene) {
			stepPipe(0, 0, false)(s)
			WantNil(s, "Send", pipe.given.Send(Within(s), tagged(1)))
		},
		Before: func(ctx context.Context, j stepJob) error { return j.Conn.Send(ctx, tagged(2)) },
		Do:     step.Does(sendChildTag),
		Other:  otherSendsToo,
		Check:  func(s *stepScene, o step.Outcome) { checkSent(s, o, tags(1, 2)) },
	}, {
		Name:    "Conn.Send to a waiting receiver",
		Promise: "The receiver gets the message, or the end of file when the last sender has died.",
		Set:     stepPipe(0, 0, false),
		Before:  sendBefore(1),
		Ready: func(s *stepScene) {
			receiveOne(s)
			s.Begin(1, func(ctx context.Context) error {
				msg, err := pipe.ours.Receive(ctx)
				if err != nil {
					return err
				}
				return Second(tagOf(msg))
			})
		},
		Do:    step.Does(sendChildTag),
		Other: step.Nothing[stepJob],
		Check: func(s *stepScene, o step.Outcome) {
			WantNil(s, "Close", pipe.given.Close())
			err := s.Results()[0]
			if o.OK() {
				WantNil(s, "the receiver", err)
			}
			WantNilOr(s, "the receiver", err, io.EOF)
			WantError(s, "Receive", Second(pipe.ours.Receive(Within(s))), io.EOF)
		},
	}, {
		Name:    "Conn.Send full",
		Promise: "A sender that dies waiting has sent nothing, or its message, and no wake is lost with it.",
		Set:     stepPipe(0, 0, false),
		Before:  fillPipe,
		Do:      step.Does(sendChildTag),
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
		Name:    "Conn.Reserve and Commit",
		Promise: "A message in place is sent by its Commit, once, whole, or not at all.",
		Set:     stepPipe(0, 0, false),
		Before:  sendBefore(1),
		Do: step.Does(func(ctx context.Context, j stepJob) error {
			r, err := j.Conn.Reserve(ctx, messageSize)
			if err != nil {
				return err
			}
			copy(r.Bytes(), tagged(childTag))
			return r.Commit()
		}),
		Other: otherReceives,
		Check: func(s *stepScene, o step.Outcome) { checkSent(s, o, tags(1, 1)) },
	}, {
		Name:    "Conn.Sender, Next, Commit and Close",
		Promise: "The same through a Sender.",
		Set:     stepPipe(0, 0, false),
		Before:  sendBefore(1),
		Do:      step.Does(sendByHolder),
		Other:   otherReceives,
		Check:   func(s *stepScene, o step.Outcome) { checkSent(s, o, tags(1, 1)) },
	},
}

// receiveFirst receives the first message of fillPipe, the first time.
func receiveFirst(s *stepScene) {
	if s.Job.Cells.At(1).CompareAndSwap(0, 1) {
		msg, err := pipe.ours.Receive(Within(s))
		WantNil(s, "Receive", err)
		tag, err := tagOf(msg)
		WantNil(s, "the first message", err)
		Want(s, "the first message", tag, 1)
	}
}

// checkSent checks what the child has sent. want are the tags of the other messages that are on the
// way.
func checkSent(s *stepScene, o step.Outcome, want []uint64) {
	s.Helper()
	WantNil(s, "Close", pipe.given.Close())
	checkTags(s, o, receiveRest(s, pipe.ours), afterOther(o, want), true)
}

// receiveRest receives all messages up to the end of file, and returns their tags.
func receiveRest(s *stepScene, c *ring.Conn) (tags []uint64) {
	s.Helper()
	for {
		msg, err := c.Receive(Within(s))
		if errors.Is(err, io.EOF) {
			return tags
		}
		WantNil(s, "Receive of what is left", err)
		tag, err := tagOf(msg)
		WantNil(s, "a message that is left", err)
		tags = append(tags, tag)
	}
}

// selectRest is receiveRest by Select and TryReceive.
func selectRest(s *stepScene, c *ring.Conn) (tags []uint64) {
	s.Helper()
	for {
		WantNil(s, "Select of what is left", Second(poll.Select(Within(s), c)))
		msg, err := c.TryReceive()
		switch {
		case err == nil:
			tag, err := tagOf(msg)
			WantNil(s, "a message that is left", err)
			tags = append(tags, tag)
		case errors.Is(err, io.EOF):
			return tags
		default:
			WantError(s, "TryReceive of what is left", err, ring.ErrEmpty)
		}
	}
}

var receiveSteps = []stepRow{
	{
		Name:    "Conn.Receive first",
		Promise: "A message is received once, whole, or stays. A receiver that dies loses at most one.",
		Set:     stepPipe(2, 0, false),
		Do:      receiveTag,
		Other:   otherSends,
		Check:   func(s *stepScene, o step.Outcome) { checkReceived(s, o, tags(1, 2)) },
	}, {
		Name:    "Conn.Receive",
		Promise: "The same for a process that has received before.",
		Set:     stepPipe(3, 0, false),
		Before:  func(ctx context.Context, j stepJob) error { return Second(j.Conn.Receive(ctx)) },
		Do:      receiveTag,
		Other:   otherSends,
		Check:   func(s *stepScene, o step.Outcome) { checkReceived(s, o, tags(2, 3)) },
	}, {
		Name:    "Conn.Receive at the ring's end",
		Promise: "The same for a message behind the gap at the ring's end.",
		Set:     func(s *stepScene) { stepPipe(0, 3992, true)(s); sendTagged(s, 2) },
		Before:  func(context.Context, stepJob) error { return nil },
		Do:      receiveTag,
		Other:   otherSends,
		Check:   func(s *stepScene, o step.Outcome) { checkReceived(s, o, tags(1, 2)) },
	}, {
		Name:    "Conn.Receive in the second lap",
		Promise: "The same where the ring holds what remains of older messages.",
		Set: func(s *stepScene) {
			stepPipe(0, 0, false)(s)
			pipe.lap = Async(func() error {
				for tag := range uint64(lapCount + 2) {
					if err := pipe.ours.Send(Within(s), tagged(tag+1)); err != nil {
						return err
					}
				}
				return nil
			})
		},
		Before: func(ctx context.Context, j stepJob) error { return receiveMany(ctx, j.Conn, lapCount) },
		Ready:  func(s *stepScene) { WantNil(s, "the first lap", Await(s, pipe.lap, "the first lap")) },
		Do:     receiveTag,
		Other:  otherSends,
		Check:  func(s *stepScene, o step.Outcome) { checkReceived(s, o, tags(lapCount+1, lapCount+2)) },
	}, {
		Name:    "Conn.Receive by a second receiver",
		Promise: "The same if another process receives by the same end.",
		Set: func(s *stepScene) {
			stepPipe(3, 0, false)(s)
			WantNil(s, "Receive", Second(pipe.given.Receive(Within(s))))
		},
		Do:    receiveTag,
		Other: otherReceivesToo,
		Check: func(s *stepScene, o step.Outcome) { checkReceived(s, o, tags(2, 3)) },
	}, {
		Name:    "Conn.Receive beside a second receiver",
		Promise: "The same if another process begins to receive from the same end.",
		Set:     stepPipe(4, 0, false),
		Before:  func(ctx context.Context, j stepJob) error { return Second(j.Conn.Receive(ctx)) },
		Do:      receiveTag,
		Other:   otherReceivesToo,
		Check:   func(s *stepScene, o step.Outcome) { checkReceived(s, o, tags(2, 4)) },
	}, {
		Name:    "Conn.Receive empty",
		Promise: "A receiver that dies waiting loses at most one message, and no wake is lost with it.",
		Set:     stepPipe(0, 0, false),
		Before: func(ctx context.Context, j stepJob) error {
			return step.Vainly(ctx, func(ctx context.Context) error { return Second(j.Conn.Receive(ctx)) })
		},
		Do:     receiveTag,
		Asleep: sendOnce,
		Other: func(s *stepScene) (uint64, error) {
			sendOnce(s)
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			sendOnce(s)
			checkReceived(s, o, tags(1, 1))
		},
	}, {
		Name:    "Conn.ReceiveInPlace and Release",
		Promise: "A message in place stays until its Release.",
		Set:     stepPipe(3, 0, false),
		Before:  func(ctx context.Context, j stepJob) error { return Second(j.Conn.Receive(ctx)) },
		Do: func(ctx context.Context, j stepJob) (uint64, error) {
			m, err := j.Conn.ReceiveInPlace(ctx)
			if err != nil {
				return 0, err
			}
			tag, err := tagOf(m.Bytes())
			return tag, errors.Join(err, m.Release())
		},
		Other: otherSends,
		Check: func(s *stepScene, o step.Outcome) { checkReceived(s, o, tags(2, 3)) },
	}, {
		Name:    "Conn.Receiver, Receive, Release and Close",
		Promise: "The same through a Receiver.",
		Set:     stepPipe(3, 0, false),
		Before:  func(ctx context.Context, j stepJob) error { return Second(j.Conn.Receive(ctx)) },
		Do:      receiveByHolder,
		Other:   otherSends,
		Check:   func(s *stepScene, o step.Outcome) { checkReceived(s, o, tags(2, 3)) },
	}, {
		Name:    "Conn.Receive at the end of file",
		Promise: "The end of file stays.",
		Set:     func(s *stepScene) { stepPipe(0, 0, false)(s); WantNil(s, "Close", pipe.ours.Close()) },
		Do: func(ctx context.Context, j stepJob) (uint64, error) {
			if _, err := j.Conn.Receive(ctx); !errors.Is(err, io.EOF) {
				return 0, fmt.Errorf("receive at the end of file: %w", err)
			}
			return 0, nil
		},
		Check: func(s *stepScene, o step.Outcome) {
			WantError(s, "Receive", Second(pipe.given.Receive(Within(s))), io.EOF)
		},
	},
}

// sendTagged sends the messages 1 to n to the child's end.
func sendTagged(s *stepScene, n uint64) {
	for tag := range n {
		WantNil(s, "Send", pipe.ours.Send(Within(s), tagged(tag+1)))
	}
}

// sendOnce sends the message 1, the first time.
func sendOnce(s *stepScene) {
	if s.Job.Cells.At(1).CompareAndSwap(0, 1) {
		sendTagged(s, 1)
	}
}

// checkReceived checks what the child has left. want are the tags of all messages on the way to it.
func checkReceived(s *stepScene, o step.Outcome, want []uint64) {
	s.Helper()
	WantNil(s, "Close", pipe.ours.Close())
	checkTags(s, o, receiveRest(s, pipe.given), afterOther(o, want), false)
}
