package ring

import (
	"context"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
)

// A Receiver owns the receiving side of a pipe's end, from Conn.Receiver until Close, and reads
// messages in place. It is the fastest way to receive, because it acquires the side once and not
// for each message.
//
// Other goroutines and processes that receive from that end wait until Close. If the process dies,
// the side is free, and the end's next receiver receives the message that this Receiver had in
// hand.
//
// A Receiver is for one goroutine at a time. A Receiver that is not closed blocks that side until
// the process ends. After Close its methods return ErrClosed.
type Receiver struct {
	ring      unsafe.Pointer
	mask      uint64
	size      uint64
	next      uint64 // count at which the record after the message in hand begins
	header    uint64 // header of the last message: the next one is expected to be as long
	n         int    // length of a message with that header
	need      uint64 // size of its record
	epoch     *atomic.Uint32
	openEpoch uint64 // the epoch at which the Conn was open; never: no fast way
	pacer     pacer
	own       ownership
	w         *streamWords
	k         *connCore
	c         *Conn // keeps the Conn from being garbage collected
}

const never = 1 << 32 // not an epoch: an epoch has 32 bits

// Receiver acquires the receiving side. It blocks while another goroutine or process owns it. It
// fails with ctx's error when ctx is done, or with ErrClosed.
func (c *Conn) Receiver(ctx context.Context) (*Receiver, error) {
	k := c.core.Load()
	if k == nil {
		return nil, connClosed("Receiver")
	}
	own, err := k.in.rx.acquire(ctx)
	if err != nil {
		return nil, k.fails.of("Receiver", err)
	}
	if crash.Enabled {
		crash.At(crash.PipeReceiveEntered)
	}
	x := &Receiver{
		ring: k.in.ring, mask: k.in.mask, size: k.in.size, next: k.in.w.head.Load(),
		epoch: k.epoch, openEpoch: never, own: own, w: k.in.w, k: k, c: c,
	}
	x.pacer.caught.Store(x.next)
	return x, nil
}

// Receive releases the message in hand, which counts as received from then on, and returns the next
// message. The slice is valid until the next call of Receive, Release or Close. It must not be
// modified. Receive blocks while there is no message. It fails with ctx's error when ctx is done
// (it tries once even if ctx is done already), with io.EOF at the end of the messages, or with
// ErrClosed. It fails with ErrTooLarge if the message was too long for the ring and comes in
// pieces. Then the message stays, and Conn.Receive can receive it once the Receiver is closed.
func (x *Receiver) Receive(ctx context.Context) ([]byte, error) {
	if uint64(x.epoch.Load()) != x.openEpoch {
		return x.receiveSlow(ctx)
	}
	w := x.w // the code down to Notify is release, which is too large to be inlined
	if crash.Enabled && w.head.Load() != x.next {
		crash.At(crash.PipeReceiveCopied) // the message stays for the next receiver
	}
	fence.Put64(&w.head, x.next)
	if crash.Enabled {
		crash.At(crash.PipeReceiveMoved)
	}
	w.writable.Notify()
	// If this message is as long as the last one, the position of the next message does not depend
	// on this load. So the processor can go on to the next message before it has this one.
	at := x.next & x.mask
	if h := word(x.ring, at).Load(); h != x.header && !x.expect(h) || x.need > x.size-at {
		return x.receiveSlow(ctx)
	}
	x.next += x.need
	return unsafe.Slice((*byte)(unsafe.Add(x.ring, at+recordHead)), x.n), nil
}

// Ready reports whether Receive is known to return a message at once. It may report false although
// there is a message. The message in hand stays valid. After Close, Ready reports false.
func (x *Receiver) Ready() bool {
	return uint64(x.epoch.Load()) == x.openEpoch && word(x.ring, x.next&x.mask).Load()&kindMask == kindRecord
}

// expect makes h the expected header. It reports whether h is the header of a message.
func (x *Receiver) expect(h uint64) bool {
	n := h >> lengthShift
	if h&kindMask != kindRecord || n > x.size {
		return false
	}
	x.header, x.n, x.need = h, int(n), recordSize(int(n))
	return true
}

// receiveSlow is Receive without the fast way.
func (x *Receiver) receiveSlow(ctx context.Context) ([]byte, error) {
	k := x.k
	if x.own == released {
		return nil, k.fails.of("Receiver.Receive", ErrClosed)
	}
	x.release()
	if k.in.isEmpty() && k.room.Glances(&k.recvSpin) > 0 {
		x.pacer.backOff(x.next, streamRun*x.need)
	}
	seen := x.epoch.Load()
	var v heldRecord
	attempt := func() (err error) {
		if k.closed.Load() {
			return ErrClosed
		}
		if v, err = k.in.front(); err == nil && v.long() {
			err = tooLong(v.total)
		}
		return err
	}
	err := attempt()
	if err == ErrEmpty && k.spinForMessage() {
		err = attempt()
	}
	if err == ErrEmpty {
		err = x.c.awaitMessage(ctx, k, attempt)
	}
	x.next = k.in.w.head.Load() // even if there is no message: front may have passed a filler
	if err != nil {
		return nil, k.fails.of("Receiver.Receive", k.unlessClosed(err))
	}
	x.expect(recordHeader(v.n))
	x.next += x.need
	x.openEpoch = never
	if fence.Ready() {
		x.openEpoch = uint64(seen)
	}
	return k.in.message(v.at, v.n), k.fails.of("Receiver.Receive", k.unlessClosed(nil))
}

// Release releases the message in hand, which counts as received from then on. If there is no
// message in hand, it does nothing. It fails with ErrClosed.
func (x *Receiver) Release() error {
	if x.own == released {
		return x.k.fails.of("Receiver.Release", ErrClosed)
	}
	x.release()
	return x.k.fails.of("Receiver.Release", x.k.unlessClosed(nil))
}

// release frees the space of the message in hand, if there is one.
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

// Close releases the receiving side. A message in hand stays in the pipe for the next receiver.
// Close may be called more than once.
func (x *Receiver) Close() error {
	if x.own == released {
		return nil
	}
	x.k.in.rx.release(x.own)
	x.own, x.openEpoch = released, never
	if crash.Enabled {
		crash.At(crash.PipeReceiveLeft)
	}
	runtime.KeepAlive(x.c)
	return nil
}
