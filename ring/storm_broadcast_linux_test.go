package ring_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// stormLossless is the number of lossless subscribers. The last consumer is lossy.
const stormLossless = stormConsumers - 1

var (
	broadcastStorm        = register("broadcast storm", newBroadcastStorm(fixedWords))
	encodedBroadcastStorm = register("encoded broadcast storm", newBroadcastStorm(variableWords))
)

// newBroadcastStorm returns a storm of a broadcast. Each lossless subscriber that lives on receives
// each value whose Publish has returned since it subscribed, in the order of its publisher.
func newBroadcastStorm[M any](w words[M]) *storm[M] {
	return &storm[M]{
		words: w,
		set: func(t *testing.T, seg *shm.Segment) (produce, consume stormJob[M]) {
			// The storage can't hold as many values as there are slots.
			j := stormJob[M]{Broadcast: newBroadcast[M](t, seg, 16, &ring.BroadcastOptions{Subscribers: stormLossless + 1, Storage: 30 << 10})}
			return j, j
		},
		put: func(ctx context.Context, j stormJob[M], ms []M) error { return j.Broadcast.Publish(ctx, ms[0]) },
		take: func(ctx context.Context, j stormJob[M], note func(M) error) error {
			return receiveStorm(ctx, w, j, note)
		},
		end: func(j stormJob[M]) error { return j.Broadcast.Shutdown() },
		check: func(t *testing.T, j stormJob[M]) {
			Want(t, "blocks that are in use for no value", j.Broadcast.BlocksAstray(), 0)
		},
		account: stormBook.accountAll,
		allowed: stormLimits{extra: 1},
	}
}

// receiveStorm subscribes and receives. It fails if a value is missing between two others.
func receiveStorm[M any](ctx context.Context, w words[M], j stormJob[M], note func(M) error) error {
	book, err := openStormBook(j.Segment)
	if err != nil {
		return err
	}
	lossless := j.Seat < stormProducers+stormLossless
	s, err := j.Broadcast.Subscribe(&ring.SubscribeOptions{Lossy: !lossless})
	if err != nil {
		return err
	}
	since := book.lives.Load()
	book.seats[j.Seat].since.Store(1 + since)
	next := make([]uint32, stormLives)
	for m, err := range s.All(ctx) {
		if !lossless && errors.Is(err, ring.ErrLost) {
			clear(next) // a value of any publisher may be missing
			continue
		}
		if err != nil {
			return err
		}
		if life, number := w.read(m); life < stormLives {
			if number != next[life] && (next[life] != 0 || lossless && life >= since) {
				return fmt.Errorf("value %d of life %d, want %d", number, life, next[life])
			}
			next[life] = number + 1
		}
		if err := note(m); err != nil {
			return err
		}
	}
	return nil
}

// TestBroadcastStorm is a storm of values of a fixed layout.
func TestBroadcastStorm(t *testing.T) { broadcastStorm.run(t) }

// TestBroadcastEncodedStorm is a storm of values in storage, of which no block is lost.
func TestBroadcastEncodedStorm(t *testing.T) { encodedBroadcastStorm.run(t) }
