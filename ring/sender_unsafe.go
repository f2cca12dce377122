package ring

import (
	"context"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// A Sender has the sending side of a pipe's end for itself, from Conn.Sender
// until Close, and writes messages where they lie in the ring. It is the fastest
// way to send, since it does once what Send does for each message. Reserve and
// Commit send a message as soon as it is written. Next does both in one call, for a goroutine that writes one message
// after the other.
//
// Other goroutines and processes that send through that end wait until Close. If the process dies,
// the side is free, and the messages that were committed are received.
//
// A Sender is for one goroutine at a time. A Sender that is not closed blocks that side
// until the process ends. After Close its methods return ErrClosed.
type Sender struct {
	ring   unsafe.Pointer
	places uint64
	tail   uint64 // where the next record goes
	edge   uint64 // how far records may go from there without a thought
	reach  uint64 // and without a look at the receiver, or round the end
	n      int    // length of the message that is reserved, -1 if none is
	epoch  *atomic.Uint32
	seen   uint32 // the epoch at which the Conn was open and somebody held the other end
	how    stay
	w      *streamWords
	k      *connCore
	c      *Conn // is not forgotten meanwhile
}

// Sender takes the sending side. It blocks while another goroutine or process has it. It fails with ctx's error when
// ctx is done, with ErrBrokenPipe, or with ErrClosed.
func (c *Conn) Sender(ctx context.Context) (*Sender, error) {
	k := c.core.Load()
	if k == nil {
		return nil, connClosed("Sender")
	}
	if k.gone() {
		return nil, k.fails.of("Sender", k.unlessClosed(ErrBrokenPipe))
	}
	how, err := k.out.tx.enterSlow(ctx)
	if err != nil {
		return nil, k.fails.of("Sender", err)
	}
	if crash.Enabled {
		crash.At(crash.PipeSendEntered)
	}
	// Nothing is known of the ring yet: the first Reserve finds it out.
	return &Sender{
		ring: k.out.ring, places: k.out.places, n: -1,
		epoch: k.epoch, how: how, w: k.out.w, k: k, c: c,
	}, nil
}

// Reserve returns the memory for a message of n bytes. What it holds at first
// is not defined. It is valid until Commit, Next or Close; another Reserve gives it
// back unsent. Reserve blocks while the pipe is full. It fails with ctx's error when ctx is done (it tries
// once even if ctx is done already), with ErrTooLarge, ErrBrokenPipe
// or ErrClosed.
func (x *Sender) Reserve(ctx context.Context, n int) ([]byte, error) {
	need := recordSize(n)
	if n < 0 || need > x.edge-x.tail || x.epoch.Load() != x.seen {
		return x.reserveSlow(ctx, n)
	}
	return x.reserve(n, need), nil
}

// reserve reserves a message before the edge.
func (x *Sender) reserve(n int, need uint64) []byte {
	at := unsafe.Add(x.ring, x.tail&x.places)
	fence.Put64((*atomic.Uint64)(unsafe.Add(at, need)), 0)
	x.n = n
	return unsafe.Slice((*byte)(unsafe.Add(at, recordHead)), n)
}

func (x *Sender) reserveSlow(ctx context.Context, n int) ([]byte, error) {
	if x.how == left {
		return nil, x.k.fails.of("Sender.Reserve", ErrClosed)
	}
	x.n, x.edge = -1, x.tail
	need := recordSize(n)
	if n < 0 || need > x.reach-x.tail || x.epoch.Load() != x.seen {
		msg, err := x.reserveAnew(ctx, n)
		if err != nil {
			return nil, err
		}
		if need > x.reach-x.tail { // there is no short way after this one
			x.edge, x.reach = x.tail+need, x.tail+need
			return msg, nil
		}
	}
	// The short way goes on for a bit. What comes after that is fetched
	// meanwhile, to be written: it lies where the receiver has read it.
	x.edge = x.tail + min(need+ahead, x.reach-x.tail)
	if x.reach-x.edge >= ahead {
		cpu.Fetch((*byte)(unsafe.Add(x.ring, x.edge&x.places)), ahead)
	}
	return x.reserve(n, need), nil
}

// ahead is how many bytes of the ring a Sender fetches at a time.
const ahead = 1024

// reserveAnew reserves a message after a look at the receiver's cursor, the holders of the other end, and Close.
func (x *Sender) reserveAnew(ctx context.Context, n int) ([]byte, error) {
	k := x.k
	x.reach = x.tail
	var at uint64
	attempt := func() (err error) {
		if err := k.done(); err != nil {
			return err
		}
		if k.gone() {
			return k.unlessClosed(ErrBrokenPipe)
		}
		at, err = k.out.reserve(n)
		return err
	}
	err := attempt()
	if err == ErrFull && k.glanceOut(n) {
		err = attempt()
	}
	if err == ErrFull {
		err = x.c.sendSlow(ctx, k, attempt)
	}
	seen := k.seen.Load() // before the look at what Close does before it moves the epoch
	if err == nil {
		err = k.done()
	}
	if err != nil {
		return nil, k.fails.of("Sender.Reserve", k.unlessClosed(err))
	}
	x.tail, x.seen, x.n = x.w.tail.Load(), seen, n
	x.reach = x.tail
	if fence.Ready() {
		// As far as the receiver has read, but before the record whose successor
		// is at the ring's front, and before a message that may be too long. What
		// others may have written to the cursors bounds nothing.
		size := k.out.size
		free := x.w.seen.Load() + size - x.tail
		x.reach += max(min(free, size-x.tail&(size-1), recordSize(k.out.limit)+recordHead), recordHead) - recordHead
	}
	return k.out.message(at, n), nil
}

// Next commits the message that is reserved, if there is one, and then reserves memory for a
// message of n bytes. If it fails, nothing is reserved, and the earlier message has been sent. If
// the error is ErrClosed, the earlier message may or may not have been sent.
func (x *Sender) Next(ctx context.Context, n int) ([]byte, error) {
	need, next := recordSize(n), x.tail+recordSize(x.n)
	if x.n < 0 || n < 0 || need > x.edge-next {
		return x.nextSlow(ctx, n)
	}
	w := x.w // the rest is Commit, which is too large to be inlined
	if crash.Enabled {
		crash.At(crash.PipeSendCopied)
	}
	fence.Put64(word(x.ring, x.tail&x.places), recordHeader(x.n))
	if crash.Enabled {
		crash.At(crash.PipeSendPublished)
	}
	fence.Put64(&w.tail, next)
	if crash.Enabled {
		crash.At(crash.PipeSendMoved)
	}
	w.readable.Notify()
	x.tail, x.n = next, -1
	if x.epoch.Load() != x.seen {
		return x.reserveSlow(ctx, n)
	}
	return x.reserve(n, need), nil
}

func (x *Sender) nextSlow(ctx context.Context, n int) ([]byte, error) {
	if x.n >= 0 {
		if err := x.Commit(); err != nil {
			return nil, err
		}
	}
	return x.Reserve(ctx, n)
}

// Commit sends the message that was reserved. It fails with ErrNothingReserved, or with ErrClosed, which leaves open
// whether the message was sent.
func (x *Sender) Commit() error {
	n, w := x.n, x.w
	if n < 0 || !fence.Ready() {
		return x.commitSlow()
	}
	at := x.tail & x.places
	x.n = -1
	x.tail += recordSize(n)
	if crash.Enabled {
		crash.At(crash.PipeSendCopied)
	}
	fence.Put64(word(x.ring, at), recordHeader(n))
	if crash.Enabled {
		crash.At(crash.PipeSendPublished)
	}
	fence.Put64(&w.tail, x.tail)
	if crash.Enabled {
		crash.At(crash.PipeSendMoved)
	}
	w.readable.Notify()
	if x.epoch.Load() != x.seen {
		return x.committed()
	}
	return nil
}

// committed says whether this process has closed the end or its segment.
func (x *Sender) committed() error { return x.k.fails.of("Sender.Commit", x.k.done()) }

func (x *Sender) commitSlow() error {
	switch {
	case x.how == left:
		return x.k.fails.of("Sender.Commit", ErrClosed)
	case x.n < 0:
		return x.k.fails.of("Sender.Commit", ErrNothingReserved)
	}
	x.k.out.publish(x.tail&x.places, x.n)
	x.tail, x.n = x.tail+recordSize(x.n), -1
	x.w.readable.Notify()
	return x.committed()
}

// Close lets others send. A message that is reserved and not committed is given back unsent.
// Close may be called more than once.
func (x *Sender) Close() error {
	if x.how == left {
		return nil
	}
	x.k.out.tx.leaveAs(x.how)
	x.how, x.n, x.edge, x.reach = left, -1, x.tail, x.tail
	if crash.Enabled {
		crash.At(crash.PipeSendLeft)
	}
	runtime.KeepAlive(x.c)
	return nil
}
