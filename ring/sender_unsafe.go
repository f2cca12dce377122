package ring

import (
	"context"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// A Sender has the sending side of a pipe's end for itself, from Conn.Sender
// until Close, and writes messages where they lie in the ring. It is the fastest
// way to send: what the other ways do for each message, it does once.
//
// Others who want to send through that end wait until Close. If the process dies,
// the side is free, and what was committed is received.
//
// A Sender is for one goroutine at a time. One that is forgotten blocks that side
// until the process ends.
type Sender struct {
	ring   unsafe.Pointer
	places uint64
	limit  uint64
	tail   uint64 // where the next record goes
	edge   uint64 // how far tail may go without a look at the receiver, or round the end
	n      int    // length of the message that is reserved, -1 if none is
	epoch  *atomic.Uint32
	seen   uint32 // the epoch at which somebody held the other end
	light  bool   // stores may be plain
	how    stay
	w      *streamWords
	k      *connCore
	c      *Conn // is not forgotten meanwhile
}

// Sender takes the sending side for itself. It blocks while another has it,
// until ctx ends. It fails with ErrBrokenPipe or ErrClosed.
func (c *Conn) Sender(ctx context.Context) (*Sender, error) {
	k := c.core.Load()
	if k == nil {
		return nil, ErrClosed
	}
	if k.gone() {
		return nil, k.unlessClosed(ErrBrokenPipe)
	}
	how, err := k.out.tx.enterSlow(ctx)
	if err != nil {
		return nil, err
	}
	if crash.Enabled {
		crash.At(crash.PipeSendEntered)
	}
	// Nothing is known of the ring yet: the first Reserve takes the long way.
	return &Sender{
		ring: k.out.ring, places: k.out.places, limit: uint64(k.out.limit), n: -1,
		epoch: k.epoch, how: how, w: k.out.w, k: k, c: c,
	}, nil
}

// Reserve returns the memory for a message of n bytes. What it holds at first
// is not defined; it is valid until Commit or the next Reserve, which gives it
// back. It blocks while the pipe is full, until ctx ends (ctx's error; it tries
// once even if ctx has ended already). It fails with ErrTooLarge, ErrBrokenPipe
// or ErrClosed.
func (x *Sender) Reserve(ctx context.Context, n int) ([]byte, error) {
	next := x.tail + recordSize(n)
	if uint64(n) > x.limit || next > x.edge || x.epoch.Load() != x.seen {
		return x.reserveSlow(ctx, n)
	}
	fence.Put64(word(x.ring, next&x.places), 0)
	x.n = n
	return unsafe.Slice((*byte)(unsafe.Add(x.ring, x.tail&x.places+recordHead)), n), nil
}

func (x *Sender) reserveSlow(ctx context.Context, n int) ([]byte, error) {
	if x.how == left {
		return nil, ErrClosed
	}
	k := x.k
	x.n, x.edge = -1, 0
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
	if err == nil {
		err = k.done()
	}
	if err != nil {
		return nil, k.unlessClosed(err)
	}
	size := k.out.size
	x.tail, x.n = x.w.tail.Load(), n
	x.seen, x.light = k.seen.Load(), fence.Ready()
	if x.light {
		x.edge = min(x.w.seen.Load()+size-recordHead, x.tail&^(size-1)+size)
	}
	return k.out.message(at, n), nil
}

// Commit sends the message that was reserved. It fails with ErrClosed: then
// it may have been sent; or with ErrNothingReserved.
func (x *Sender) Commit() error {
	n, w := x.n, x.w
	if n < 0 {
		return x.nothing()
	}
	x.n = -1
	at := x.tail & x.places
	x.tail += recordSize(n)
	if !x.light {
		x.k.out.publish(at, n)
	} else {
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
	}
	w.readable.Notify()
	return x.k.done()
}

func (x *Sender) nothing() error {
	if x.how == left {
		return ErrClosed
	}
	return ErrNothingReserved
}

// Close lets others send. What is reserved and not committed is given back.
// Closing twice is fine.
func (x *Sender) Close() error {
	if x.how == left {
		return nil
	}
	x.k.out.tx.leaveAs(x.how)
	x.how, x.n, x.edge = left, -1, 0
	if crash.Enabled {
		crash.At(crash.PipeSendLeft)
	}
	runtime.KeepAlive(x.c)
	return nil
}
