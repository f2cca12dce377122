package ring

import (
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/tear"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// A subscriberCore is the part of a Subscriber that its Close does not end. See broadcastWords for
// the protocol.
//
// Close frees the subscriber's line, and another subscriber may take the line at once. So a Receive
// that is still running must not move the cursor after that [LEAVE]. Receive and Close do as the
// sides of a gate, with the fence in Close:
//
//	Receive: 1  inside = 1                Close: 1  closed = 1
//	         2  closed is set: go to 4           2  fence
//	         3  receive                          3  inside is not set: free the line
//	         4  inside = 0
//	         5  closed is set: free the line
type subscriberCore[T any] struct {
	broadcastCore[T]
	line *subscriberLine // nil: lossy

	// What the goroutine that receives uses.
	seq     uint64 // the next message
	start   uint64 // messages before it do not count as lost: they were published before Subscribe
	resumed uint64 // the message to which the subscriber skipped when it was last overtaken
	margin  uint64 // how many of the messages that are still there it skipped then
	pacer   pacer
	getSpin wait.Spinner
	inside  atomic.Uint32
	closed  atomic.Uint32
	left    atomic.Bool // the line is free

	position atomic.Uint64 // seq, for other goroutines
	lost     atomic.Uint64
}

// newSubscriberCore makes a subscriber of the broadcast that o is a use of. It closes o if it
// fails.
func newSubscriberCore[T any](o object.Object, opts *SubscribeOptions) (*subscriberCore[T], error) {
	c := new(subscriberCore[T])
	err := o.UnlessClosed(c.Use(o))
	if err == nil {
		c.getSpin.Count(o.Counters())
		err = c.Done(c.subscribe(opts))
	}
	if err != nil {
		o.Close()
		return nil, err
	}
	return c, nil
}

// subscribe makes this process a subscriber.
func (c *subscriberCore[T]) subscribe(o *SubscribeOptions) error {
	if !c.lossy && (o == nil || !o.Lossy) {
		if c.line = c.takeLine(); c.line == nil {
			return ErrTooManySubscribers
		}
		if crash.Enabled {
			crash.At(crash.SubscriberJoined)
		}
	}
	c.start = c.end()
	seq := c.start
	if o != nil && o.Oldest {
		seq -= c.mask + 1
	}
	c.resumed = seq - c.mask - 1 // the first time it skips no more than is overwritten
	c.moveTo(seq)
	if crash.Enabled && c.line != nil {
		crash.At(crash.SubscriberPlaced)
	}
	return nil
}

// takeLine takes a free line. It returns nil if there is none.
func (c *subscriberCore[T]) takeLine() *subscriberLine {
	for i := range c.lines {
		l := &c.lines[i]
		id := l.owner.Load()
		if id != 0 && !c.Table().Dead(party.ID(id)) {
			continue
		}
		if !l.owner.CompareAndSwap(id, uint32(c.me)) { // [JOIN] before the search of the end
			continue // another subscriber has taken it
		}
		for u := c.w.used.Load(); u <= uint32(i) && !c.w.used.CompareAndSwap(u, uint32(i+1)); {
			u = c.w.used.Load()
		}
		return l
	}
	return nil
}

// moveTo makes seq the next message.
func (c *subscriberCore[T]) moveTo(seq uint64) {
	c.seq = seq
	fence.Publish64(&c.position, seq)
	if c.line != nil {
		fence.Publish64(&c.line.next, seq)
		if crash.Enabled {
			crash.At(crash.SubscriberMoved)
		}
		c.w.space.Notify()
		c.notifyStorers()
	}
}

// enter begins a receive. It reports whether the subscriber is open.
func (c *subscriberCore[T]) enter() bool {
	fence.Publish32(&c.inside, 1)
	return c.closed.Load() == 0 // [LEAVE]
}

// exit ends what enter began, whatever enter has returned.
func (c *subscriberCore[T]) exit() {
	fence.Publish32(&c.inside, 0)
	if c.closed.Load() != 0 { // [LEAVE]
		c.leave()
	}
}

// close makes the subscriber leave, now or when the receive that is running ends.
func (c *subscriberCore[T]) close() {
	c.closed.Store(1)
	if fence.Heavy(); c.inside.Load() == 0 { // [LEAVE]
		c.leave()
	}
}

// leave frees the line, once. If the segment is closed it does nothing: the line's owner counts as
// dead then.
func (c *subscriberCore[T]) leave() {
	if c.line == nil || !c.left.CompareAndSwap(false, true) || c.Closed.Load() {
		return
	}
	c.line.owner.CompareAndSwap(uint32(c.me), 0)
	if crash.Enabled {
		crash.At(crash.SubscriberLeft)
	}
	c.w.space.NotifyAll()
	c.notifyStorers()
}

// receive receives the next message into *v. It fails with ErrEmpty, ErrBusy, ErrShutdown,
// ErrClosed or a *LostError.
func (c *subscriberCore[T]) receive(v *T) error {
	for range c.mostSteps {
		word, s, err := c.find()
		if err != nil {
			return err
		}
		tear.Load(v, c.slots.message(word))
		if state(word.Load()) == s {
			c.received(c.seq)
			return c.Done(nil)
		}
	}
	return c.Done(ErrBusy)
}

// find goes on to the next message that is there. It returns the state word of its slot, and what
// the word was. It fails as receive does.
func (c *subscriberCore[T]) find() (*atomic.Uint64, state, error) {
	for range c.mostSteps {
		seq := c.seq
		word := c.slotOf(seq)
		lap := c.lapOf(seq)
		s := state(word.Load())
		switch b := s.behind(lap); {
		case c.coding != nil && c.evicted(seq):
			if n := c.skip(); n > 0 {
				return nil, 0, c.Done(&LostError{n})
			}
		case b == 0 && s.is() == ready:
			return word, s, nil
		case b == -1 && s.is() == free: // given up
			c.moveTo(seq + 1)
		case b < 0 || int64(c.w.tail.Load()-seq) > int64(c.mask+1): // overwritten, maybe by more than half of all laps
			if n := c.skip(); n > 0 {
				return nil, 0, c.Done(&LostError{n})
			}
		case b == 0 && s.is() == writing:
			if c.Table().Dead(s.owner()) {
				c.giveUp(word, s)
				continue
			}
			c.watch()
			busy := c.readyBeyond(seq)
			if state(word.Load()) != s {
				continue // meanwhile what was beyond it may have been overwritten
			}
			if busy {
				return nil, 0, c.Done(ErrBusy)
			}
			return nil, 0, c.Done(ErrEmpty)
		case c.w.shut.Load() == 0:
			return nil, 0, c.Done(ErrEmpty)
		case state(word.Load()) == s: // still not claimed, after the shutdown
			return nil, 0, c.Done(ErrShutdown)
		}
	}
	return nil, 0, c.Done(ErrBusy)
}

// received moves on from message seq, which has been copied out.
func (c *subscriberCore[T]) received(seq uint64) {
	if crash.Enabled {
		crash.At(crash.SubscriberCopied)
	}
	c.moveTo(seq + 1)
}

// skip skips the messages that have been overwritten and returns how many count as lost. If the
// subscriber is overtaken again and again, it skips more each time, up to half of those that are
// still there, so that it does not race with publishers that write the very next slot.
func (c *subscriberCore[T]) skip() uint64 {
	count := c.mask + 1
	if c.seq-c.resumed >= count {
		c.margin = 0
	} else {
		c.margin = min(max(2*c.margin, 1), count/2)
	}
	end := c.end()
	to := end - count + c.margin
	if c.coding != nil {
		if old := c.w.oldest.Load(); int64(old-to) > 0 && int64(old-end) <= 0 {
			to = old
		}
	}
	if int64(to-c.seq) <= 0 {
		to = c.seq + 1
	}
	from := c.seq
	if int64(c.start-from) > 0 {
		from = c.start
	}
	c.resumed = to
	c.moveTo(to)
	if int64(to-from) <= 0 {
		return 0
	}
	c.lost.Add(to - from)
	return to - from
}

// readyBeyond reports whether a message after seq is there.
func (c *subscriberCore[T]) readyBeyond(seq uint64) bool {
	for range c.mask {
		seq++
		s := state(c.slotOf(seq).Load())
		switch b := s.behind(c.lapOf(seq)); {
		case b == 0 && s.is() == ready:
			return true
		case b > 0, b == 0 && s.is() == free:
			return false
		}
	}
	return false
}

// receiveRetrying is receive that retries for a moment while it fails with ErrBusy.
func (c *subscriberCore[T]) receiveRetrying(v *T) error {
	err := c.receive(v)
	for i := 0; err == ErrBusy && i < busySpins; i++ {
		cpu.Pause()
		err = c.receive(v)
	}
	return err
}

// receiveSpinning calls try for a moment, if that may pay, while there is no message.
func (c *subscriberCore[T]) receiveSpinning(try func() error) error {
	n := c.Room().Glances(&c.getSpin)
	if n > 0 {
		c.pacer.backOff(c.seq, streamRun)
	}
	for range n {
		cpu.Pause()
		if s := state(c.slotOf(c.seq).Load()); s == freeAt(c.lapOf(c.seq)) || s.behind(c.lapOf(c.seq)) > 0 {
			continue // no publisher has claimed it
		}
		if err := try(); err != ErrEmpty && err != ErrBusy {
			return err
		}
	}
	return ErrEmpty
}
