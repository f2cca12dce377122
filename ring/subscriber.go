package ring

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/tear"
)

// A Subscriber receives the values of a Broadcast, each one once. It has a position of its own, and
// belongs to the process that called Subscribe.
//
// A Subscriber is for one goroutine at a time. Only Close, Lag and Lost may be called at any time.
// A Subscriber that is garbage collected is closed.
type Subscriber[T any] struct {
	core    atomic.Pointer[subscriberCore[T]]
	cleanup runtime.Cleanup // closes the core, and keeps it, and with it the broadcast's memory, until then
}

// SubscribeOptions are options for Subscribe. A nil *SubscribeOptions means the defaults.
type SubscribeOptions struct {
	// Lossy makes the subscriber lossy: it does not hold publishers back. It is always lossy if
	// BroadcastOptions.Lossy was set.
	Lossy bool
	// Oldest makes the subscriber start at the oldest value that the broadcast still has. By default
	// it starts at the next value that is published. Values that were published before Subscribe
	// may be overwritten before the subscriber receives them. They do not count as lost.
	Oldest bool
}

// Subscribe makes a subscriber, lossless if the options do not say otherwise. It does not block. It
// fails with ErrTooManySubscribers if there are as many lossless subscribers as
// BroadcastOptions.Subscribers allows, or with ErrClosed.
//
// The subscriber receives every value whose Publish is called after Subscribe has returned. Whether
// it receives values that are being published during Subscribe is open.
func (b *Broadcast[T]) Subscribe(o *SubscribeOptions) (*Subscriber[T], error) {
	c := b.ref.Load()
	if c == nil {
		return nil, broadcastClosed("Subscribe")
	}
	k, err := newSubscriberCore[T](object.Again(c.Object()), o)
	if err != nil {
		return nil, c.Fail("ring: Subscribe", err)
	}
	s := new(Subscriber[T])
	s.core.Store(k)
	s.cleanup = runtime.AddCleanup(s, func(k *subscriberCore[T]) { k.close(); k.Detach() }, k)
	return s, nil
}

// TryReceive receives the next value. It never blocks. It fails with ErrEmpty, with ErrClosed, with
// ErrShutdown if the broadcast was shut down and the subscriber has received all values, with a
// *LostError as Receive does, or with ErrBusy if a Publish that began earlier has not finished,
// although a later value has been published.
func (s *Subscriber[T]) TryReceive() (v T, err error) {
	c := s.core.Load()
	if c == nil {
		return v, broadcastClosed("TryReceive")
	}
	if c.coding != nil {
		return s.receiveEncoded(tryOnce, c, "TryReceive")
	}
	if c.enter() {
		err = c.receiveRetrying(&v)
	} else {
		err = ErrClosed
	}
	c.exit()
	runtime.KeepAlive(s)
	if err != nil {
		var zero T
		return zero, c.fails.of("TryReceive", err)
	}
	return v, nil
}

// TryReceiveInto is TryReceive into *v, for values that are too large to be passed around. It copies
// the value once, out of the broadcast, or decodes it into *v. If it fails, the contents of *v are undefined.
// A []byte uses the memory of *v: see ReceiveInto.
func (s *Subscriber[T]) TryReceiveInto(v *T) error {
	_ = *v // panics before anything is received
	c := s.core.Load()
	if c == nil {
		return broadcastClosed("TryReceiveInto")
	}
	if c.coding != nil {
		return s.receiveEncodedInto(tryOnce, c, "TryReceiveInto", v)
	}
	err := ErrClosed
	if c.enter() {
		err = c.receiveRetrying(v)
	}
	c.exit()
	runtime.KeepAlive(s)
	if err != nil {
		err = c.fails.of("TryReceiveInto", err)
	}
	return err
}

// Receive receives the next value. It blocks until there is one. It fails with ctx's error when ctx
// is done (it tries once even if ctx is done already), with ErrShutdown when the broadcast was shut
// down and the subscriber has received all values, or with ErrClosed when this process closes the
// subscriber or the segment.
//
// If values were overwritten before the subscriber received them, Receive fails once with a
// *LostError, which wraps ErrLost and says how many. The next Receive goes on with the oldest value
// that is left, or with a later one if the subscriber is overtaken again and again.
//
// An error means that nothing was received, with two exceptions: ErrClosed if Close was called during
// Receive, and the error of an encoded value that can't be decoded. The next Receive goes on after
// that value.
func (s *Subscriber[T]) Receive(ctx context.Context) (v T, err error) {
	c := s.core.Load()
	if c == nil {
		return v, broadcastClosed("Receive")
	}
	if c.coding != nil {
		return s.receiveEncoded(ctx, c, "Receive")
	}
	if c.enter() {
		seq := c.seq
		word := c.slotOf(seq)
		w := state(word.Load())
		if w.lap() == c.lapOf(seq) && w.is() == ready {
			tear.Load(&v, c.slots.message(word))
			if state(word.Load()) == w {
				c.received(seq)
				c.exit()
				if err = c.Done(nil); err == nil {
					runtime.KeepAlive(s)
					return v, nil
				}
				var zero T
				return zero, c.fails.of("Receive", err)
			}
		}
	}
	return s.receiveWait(ctx, c)
}

// receiveWait is Receive without the fast way, after enter.
func (s *Subscriber[T]) receiveWait(ctx context.Context, c *subscriberCore[T]) (v T, err error) {
	if err = s.await(ctx, c, func() error { return c.receive(&v) }); err != nil {
		var zero T
		return zero, c.fails.of("Receive", err)
	}
	return v, nil
}

// ReceiveInto is Receive into *v, for values that are too large to be passed around. It copies the
// value once, out of the broadcast, or decodes it into *v. If it fails, the contents of *v are undefined.
//
// If T is a []byte and the value fits into the capacity of *v, ReceiveInto copies it there and allocates
// nothing. A program that keeps the value must not pass the same memory again.
func (s *Subscriber[T]) ReceiveInto(ctx context.Context, v *T) error {
	_ = *v // panics before anything is received
	c := s.core.Load()
	if c == nil {
		return broadcastClosed("ReceiveInto")
	}
	if c.coding != nil {
		return s.receiveEncodedInto(ctx, c, "ReceiveInto", v)
	}
	err := ErrClosed
	if c.enter() {
		err = c.receive(v)
	}
	if err == ErrEmpty || err == ErrBusy {
		err = s.await(ctx, c, func() error { return c.receive(v) })
	} else {
		c.exit()
	}
	runtime.KeepAlive(s)
	if err != nil {
		err = c.fails.of("ReceiveInto", err)
	}
	return err
}

// await calls try, after enter, until it fails with neither ErrEmpty nor ErrBusy, and exits.
func (s *Subscriber[T]) await(ctx context.Context, c *subscriberCore[T], try func() error) error {
	defer c.exit()
	open := func() bool { return c.closed.Load() == 0 }
	if !open() {
		return ErrClosed
	}
	err := try()
	if err == ErrEmpty || err == ErrBusy {
		if err = c.receiveSpinning(try); err == ErrEmpty {
			err = c.Room().Await(ctx, &c.getSpin, &receiver[T]{c, open, try})
		}
	}
	runtime.KeepAlive(s)
	return err
}

// All returns an iterator over the values that the subscriber receives, with one Receive for each
// iteration. The loop ends when the broadcast is shut down and all values have been received. If
// values were lost, a pair with the *LostError comes before the next value. If Receive fails for
// another reason, because ctx is done or this process has closed the subscriber, the last pair has
// Receive's error.
func (s *Subscriber[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := s.Receive(ctx)
			if errors.Is(err, ErrShutdown) {
				return
			}
			if !yield(v, err) || err != nil && !errors.Is(err, ErrLost) {
				return
			}
		}
	}
}

// Lag returns how many values have been published that the subscriber has not received, those that
// are being published included. While publishers publish, it is approximate. It is 0 if the
// subscriber is closed.
func (s *Subscriber[T]) Lag() uint64 {
	c := s.core.Load()
	if c == nil {
		return 0
	}
	n := c.end() - c.position.Load()
	closed := c.Done(nil) != nil
	runtime.KeepAlive(s)
	if closed || int64(n) < 0 {
		return 0
	}
	return n
}

// Lost returns how many values were overwritten before the subscriber received them: the sum of
// the counts of all its LostErrors. It is 0 if the subscriber is closed.
func (s *Subscriber[T]) Lost() uint64 {
	c := s.core.Load()
	if c == nil {
		return 0
	}
	return c.lost.Load()
}

// Close closes s. A Receive that waits returns ErrClosed. A lossless subscriber holds publishers
// back no longer. Close may be called more than once.
func (s *Subscriber[T]) Close() error {
	c := s.core.Swap(nil)
	if c == nil {
		return nil
	}
	s.cleanup.Stop()
	c.close()
	c.Table().Wake()
	return c.Detach()
}
