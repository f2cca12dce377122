package ring

import (
	"context"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// A Receiver has the receiving side of a pipe's end for itself, from
// Conn.Receiver until Close, and reads messages where they lie in the ring. It is
// the fastest way to receive, since it does once what Receive does for each message.
//
// Other goroutines and processes that receive from that end wait until Close. If the process
// dies, the side is free, and the end's next receiver receives the message that this one had in hand.
//
// A Receiver is for one goroutine at a time. A Receiver that is not closed blocks that
// side until the process ends. After Close its methods return ErrClosed.
type Receiver struct {
	ring   unsafe.Pointer
	places uint64
	size   uint64
	next   uint64 // where the next message is, after the one in hand
	header uint64 // of the last message: the next one is expected to be as long
	n      int    // length of such a message
	need   uint64 // and what its record takes
	epoch  *atomic.Uint32
	seen   uint64 // the epoch at which the Conn was open, or never
	pacer  pacer
	how    stay
	w      *streamWords
	k      *connCore
	c      *Conn // is not forgotten meanwhile
}

const never = 1 << 32 // not an epoch

// Receiver takes the receiving side. It blocks while another goroutine or process has it. It fails with ctx's error
// when ctx is done, or with ErrClosed.
func (c *Conn) Receiver(ctx context.Context) (*Receiver, error) {
	k := c.core.Load()
	if k == nil {
		return nil, connClosed("Receiver")
	}
	how, err := k.in.rx.enterSlow(ctx)
	if err != nil {
		return nil, k.fails.of("Receiver", err)
	}
	if crash.Enabled {
		crash.At(crash.PipeReceiveEntered)
	}
	x := &Receiver{
		ring: k.in.ring, places: k.in.places, size: k.in.size, next: k.in.w.head.Load(),
		epoch: k.epoch, seen: never, how: how, w: k.in.w, k: k, c: c,
	}
	x.pacer.caught.Store(x.next)
	return x, nil
}

// Receive gives back the message in hand, which counts as received from then on, and
// returns the next one. That is valid until the next call of Receive, Release or Close,
// and must not be written. Receive blocks while there is none. It fails with ctx's
// error when ctx is done (it tries once even if ctx is done already), with io.EOF at
// the end of the messages, or with ErrClosed.
func (x *Receiver) Receive(ctx context.Context) ([]byte, error) {
	if uint64(x.epoch.Load()) != x.seen {
		return x.receiveSlow(ctx)
	}
	w := x.w // what follows is release, which is too large to be inlined
	if crash.Enabled && w.head.Load() != x.next {
		crash.At(crash.PipeReceiveCopied) // the message stays for the next receiver
	}
	fence.Put64(&w.head, x.next)
	if crash.Enabled {
		crash.At(crash.PipeReceiveMoved)
	}
	w.writable.Notify()
	// Where the message after this one begins does not depend on what is loaded
	// here: so the processor goes on to that before it has this one.
	at := x.next & x.places
	if h := word(x.ring, at).Load(); h != x.header && !x.expect(h) || x.need > x.size-at {
		return x.receiveSlow(ctx)
	}
	x.next += x.need
	return unsafe.Slice((*byte)(unsafe.Add(x.ring, at+recordHead)), x.n), nil
}

// expect makes h the header that is expected, if it is that of a message.
func (x *Receiver) expect(h uint64) bool {
	n := h >> lengthShift
	if h&kindMask != kindRecord || n > x.size {
		return false
	}
	x.header, x.n, x.need = h, int(n), recordSize(int(n))
	return true
}

func (x *Receiver) receiveSlow(ctx context.Context) ([]byte, error) {
	k := x.k
	if x.how == left {
		return nil, k.fails.of("Receiver.Receive", ErrClosed)
	}
	x.release()
	if k.in.empty() && k.room.Glances(&k.recvSpin) > 0 {
		x.pacer.backOff(x.next, streamRun*x.need)
	}
	seen := x.epoch.Load()
	var at uint64
	var n int
	attempt := func() (err error) {
		if k.closed.Load() {
			return ErrClosed
		}
		at, n, err = k.in.front()
		return err
	}
	err := attempt()
	if err == ErrEmpty && k.glance() {
		err = attempt()
	}
	if err == ErrEmpty {
		err = x.c.receiveSlow(ctx, k, attempt)
	}
	x.next = k.in.w.head.Load() // also if there is none: a filler may have been passed
	if err != nil {
		return nil, k.fails.of("Receiver.Receive", k.unlessClosed(err))
	}
	x.expect(recordHeader(n))
	x.next += x.need
	x.seen = never
	if fence.Ready() {
		x.seen = uint64(seen)
	}
	return k.in.message(at, n), k.fails.of("Receiver.Receive", k.unlessClosed(nil))
}

// Release gives back the message in hand, which counts as received from then on. Without one in hand it does nothing.
// It fails with ErrClosed.
func (x *Receiver) Release() error {
	if x.how == left {
		return x.k.fails.of("Receiver.Release", ErrClosed)
	}
	x.release()
	return x.k.fails.of("Receiver.Release", x.k.unlessClosed(nil))
}

// release gives back the message in hand, if there is one.
func (x *Receiver) release() {
	w := x.w
	if crash.Enabled && w.head.Load() != x.next {
		crash.At(crash.PipeReceiveCopied) // the message stays for the next receiver
	}
	fence.Publish64(&w.head, x.next)
	if crash.Enabled {
		crash.At(crash.PipeReceiveMoved)
	}
	w.writable.Notify()
}

// Close lets others receive. A message in hand stays for them. Close may be called more than once.
func (x *Receiver) Close() error {
	if x.how == left {
		return nil
	}
	x.k.in.rx.leaveAs(x.how)
	x.how, x.seen = left, never
	if crash.Enabled {
		crash.At(crash.PipeReceiveLeft)
	}
	runtime.KeepAlive(x.c)
	return nil
}
