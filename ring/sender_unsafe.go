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

// A Sender owns the sending side of a pipe's end, from Conn.Sender until Close, and writes messages
// in place. It is the fastest way to send, because it acquires the side once and not for each
// message. Reserve and Commit send a message as soon as it is written. Next does both in one call,
// for a goroutine that writes one message after the other.
//
// Other goroutines and processes that send through that end wait until Close. If the process dies,
// the side is free, and the messages that were committed are received.
//
// A Sender is for one goroutine at a time. A Sender that is not closed blocks that side until the
// process ends. After Close its methods return ErrClosed.
type Sender struct {
	ring      unsafe.Pointer
	mask      uint64
	tail      uint64 // count at which the next record begins
	fastEnd   uint64 // records that end before this count take the fast way
	freeEnd   uint64 // up to this count the ring is known to be free and does not wrap around
	n         int    // length of the reserved message, or -1
	epoch     *atomic.Uint32
	openEpoch uint32 // the epoch at which the Conn was open and a process held the other end
	own       ownership
	w         *streamWords
	k         *connCore
	c         *Conn // keeps the Conn from being garbage collected
}

// Sender acquires the sending side. It blocks while another goroutine or process owns it. It fails
// with ctx's error when ctx is done, with ErrBrokenPipe, or with ErrClosed.
func (c *Conn) Sender(ctx context.Context) (*Sender, error) {
	k := c.core.Load()
	if k == nil {
		return nil, connClosed("Sender")
	}
	if k.peerGone() {
		return nil, k.fails.of("Sender", k.unlessClosed(ErrBrokenPipe))
	}
	own, err := k.out.tx.acquire(ctx)
	if err != nil {
		return nil, k.fails.of("Sender", err)
	}
	if crash.Enabled {
		crash.At(crash.PipeSendEntered)
	}
	// tail, fastEnd and freeEnd are 0, so the first Reserve looks at the ring.
	return &Sender{
		ring: k.out.ring, mask: k.out.mask, n: -1,
		epoch: k.epoch, own: own, w: k.out.w, k: k, c: c,
	}, nil
}

// Reserve returns the memory for a message of n bytes. Its contents are undefined at first. The
// slice is valid until Commit, Next or Close. Another Reserve gives the memory back and sends
// nothing. Reserve blocks while the pipe is full. It fails with ctx's error when ctx is done (it
// tries once even if ctx is done already), with ErrTooLarge, ErrBrokenPipe or ErrClosed.
func (x *Sender) Reserve(ctx context.Context, n int) ([]byte, error) {
	need := recordSize(n)
	if n < 0 || need > x.fastEnd-x.tail || x.epoch.Load() != x.openEpoch {
		return x.reserveSlow(ctx, n)
	}
	return x.reserve(n, need), nil
}

// reserve reserves a message that ends before fastEnd.
func (x *Sender) reserve(n int, need uint64) []byte {
	at := unsafe.Add(x.ring, x.tail&x.mask)
	fence.Put64((*atomic.Uint64)(unsafe.Add(at, need)), 0)
	x.n = n
	return unsafe.Slice((*byte)(unsafe.Add(at, recordHead)), n)
}

// reserveSlow is Reserve without the fast way. It moves fastEnd on.
func (x *Sender) reserveSlow(ctx context.Context, n int) ([]byte, error) {
	if x.own == released {
		return nil, x.k.fails.of("Sender.Reserve", ErrClosed)
	}
	x.n, x.fastEnd = -1, x.tail
	need := recordSize(n)
	if n < 0 || need > x.freeEnd-x.tail || x.epoch.Load() != x.openEpoch {
		msg, err := x.reserveChecked(ctx, n)
		if err != nil {
			return nil, err
		}
		if need > x.freeEnd-x.tail { // no fast way after this record
			x.fastEnd, x.freeEnd = x.tail+need, x.tail+need
			return msg, nil
		}
	}
	// The next records take the fast way up to the new fastEnd. Meanwhile the processor fetches the
	// cache lines after it for writing: the receiver has read them last.
	x.fastEnd = x.tail + min(need+ahead, x.freeEnd-x.tail)
	if x.freeEnd-x.fastEnd >= ahead {
		cpu.Fetch((*byte)(unsafe.Add(x.ring, x.fastEnd&x.mask)), ahead)
	}
	return x.reserve(n, need), nil
}

// ahead is how many bytes of the ring a Sender fetches at a time.
const ahead = 1024

// reserveChecked reserves a message after it has checked the receiver's cursor, the holders of the
// other end, and whether this process has closed the end.
func (x *Sender) reserveChecked(ctx context.Context, n int) ([]byte, error) {
	k := x.k
	x.freeEnd = x.tail
	var at uint64
	attempt := func() (err error) {
		if err := k.checkOpen(); err != nil {
			return err
		}
		if k.peerGone() {
			return k.unlessClosed(ErrBrokenPipe)
		}
		at, err = k.out.reserve(n)
		return err
	}
	err := attempt()
	if err == ErrFull {
		x.Wake() // the receiver may sleep since CommitQuiet
		if k.spinForSpace(n) {
			err = attempt()
		}
	}
	if err == ErrFull {
		err = x.c.awaitSpace(ctx, k, attempt)
	}
	seen := k.peerEpoch.Load() // before checkOpen: Close sets closed before it moves the epoch
	if err == nil {
		err = k.checkOpen()
	}
	if err != nil {
		return nil, k.fails.of("Sender.Reserve", k.unlessClosed(err))
	}
	x.tail, x.openEpoch, x.n = x.w.tail.Load(), seen, n
	x.freeEnd = x.tail
	if fence.Ready() {
		// The space ends at the receiver's cursor, at the end of the ring, or after the longest
		// message, whichever comes first. It leaves 8 bytes for the header after the last record.
		// The second and third limit hold even if another process has written nonsense to the
		// cursors.
		size := k.out.size
		free := x.w.seenHead.Load() + size - x.tail
		x.freeEnd += max(min(free, size-x.tail&(size-1), recordSize(k.out.limit)+recordHead), recordHead) - recordHead
	}
	return k.out.message(at, n), nil
}

// Next commits the reserved message, if there is one, and then reserves memory for a message of n
// bytes. If it fails, nothing is reserved, and the earlier message has been sent. If the error is
// ErrClosed, the earlier message may or may not have been sent.
func (x *Sender) Next(ctx context.Context, n int) ([]byte, error) {
	need, next := recordSize(n), x.tail+recordSize(x.n)
	if x.n < 0 || n < 0 || need > x.fastEnd-next {
		return x.nextSlow(ctx, n)
	}
	w := x.w // the code down to Notify is Commit, which is too large to be inlined
	if crash.Enabled {
		crash.At(crash.PipeSendCopied)
	}
	fence.Put64(word(x.ring, x.tail&x.mask), recordHeader(x.n))
	if crash.Enabled {
		crash.At(crash.PipeSendPublished)
	}
	fence.Put64(&w.tail, next)
	if crash.Enabled {
		crash.At(crash.PipeSendMoved)
	}
	w.readable.Notify()
	x.tail, x.n = next, -1
	if x.epoch.Load() != x.openEpoch {
		return x.reserveSlow(ctx, n)
	}
	return x.reserve(n, need), nil
}

// nextSlow is Next without the fast way.
func (x *Sender) nextSlow(ctx context.Context, n int) ([]byte, error) {
	if x.n >= 0 {
		if err := x.Commit(); err != nil {
			return nil, err
		}
	}
	return x.Reserve(ctx, n)
}

// Commit sends the reserved message. It fails with ErrNothingReserved if there is none. If it fails
// with ErrClosed, the message may or may not have been sent.
func (x *Sender) Commit() error {
	if x.n < 0 || !fence.Ready() {
		return x.commitSlow(true)
	}
	x.publish()
	x.w.readable.Notify()
	if x.epoch.Load() != x.openEpoch {
		return x.checkCommitted()
	}
	return nil
}

// CommitQuiet sends the reserved message as Commit does, and fails as Commit does, but wakes no
// receiver. A receiver that is awake receives the message at once. One that sleeps wakes up at Wake,
// at the next Commit, Next or Close, and when the Sender waits for space. A goroutine that sends
// several messages in a row wakes the receiver once, after the last of them.
func (x *Sender) CommitQuiet() error {
	if x.n < 0 || !fence.Ready() {
		return x.commitSlow(false)
	}
	x.publish()
	if x.epoch.Load() != x.openEpoch {
		return x.checkCommitted()
	}
	return nil
}

// publish makes the reserved message one that the receiver finds.
func (x *Sender) publish() {
	n, at := x.n, x.tail&x.mask
	x.n = -1
	x.tail += recordSize(n)
	if crash.Enabled {
		crash.At(crash.PipeSendCopied)
	}
	fence.Put64(word(x.ring, at), recordHeader(n))
	if crash.Enabled {
		crash.At(crash.PipeSendPublished)
	}
	fence.Put64(&x.w.tail, x.tail)
	if crash.Enabled {
		crash.At(crash.PipeSendMoved)
	}
}

// Wake wakes a receiver that sleeps, after CommitQuiet.
func (x *Sender) Wake() { x.w.readable.Notify() }

// Asleep reports whether a receiver may be asleep: it has been, and nothing that wakes it was called since. It
// costs less than Wake. It may overlook a receiver that falls asleep just then, so the last of several messages
// needs a Commit or a Wake in any case.
func (x *Sender) Asleep() bool { return x.w.readable.Asleep() }

// checkCommitted returns the error of Commit if this process has closed the end or its segment.
func (x *Sender) checkCommitted() error { return x.k.fails.of("Sender.Commit", x.k.checkOpen()) }

// commitSlow is Commit, or CommitQuiet, without the fast way.
func (x *Sender) commitSlow(wake bool) error {
	switch {
	case x.own == released:
		return x.k.fails.of("Sender.Commit", ErrClosed)
	case x.n < 0:
		return x.k.fails.of("Sender.Commit", ErrNothingReserved)
	}
	x.k.out.publish(x.tail&x.mask, x.n)
	x.tail, x.n = x.tail+recordSize(x.n), -1
	if wake {
		x.Wake()
	}
	return x.checkCommitted()
}

// Close releases the sending side. A message that is reserved and not committed is not sent. Close
// may be called more than once.
func (x *Sender) Close() error {
	if x.own == released {
		return nil
	}
	x.k.out.tx.release(x.own)
	x.own, x.n, x.fastEnd, x.freeEnd = released, -1, x.tail, x.tail
	if crash.Enabled {
		crash.At(crash.PipeSendLeft)
	}
	x.Wake() // after CommitQuiet
	runtime.KeepAlive(x.c)
	return nil
}
