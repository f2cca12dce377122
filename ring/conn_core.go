package ring

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// A connCore is an open end of a pipe. A method keeps using it after Close until the method
// returns.
type connCore struct {
	o      object.Object
	room   *wait.Room
	table  *party.Table
	end    End
	epoch  *atomic.Uint32
	closed atomic.Bool
	fails  failures

	out, in   stream        // a simplex has only one of them: see ReadEnd and WriteEnd
	peerEpoch atomic.Uint32 // the last epoch at which a process held the other end
	sendSpin  wait.Spinner
	recvSpin  wait.Spinner

	maxMessage atomic.Uint64 // the longest message that Receive accepts
}

// newConnCore opens an end of the pipe o, which has that shape. It does not close o if it fails.
func newConnCore(o object.Object, end End, shape pipeShape) (*connCore, error) {
	mem := o.Bytes()
	if len(mem) < pipeHead+shape.rings*minRing {
		return nil, fmt.Errorf("ring: pipe of %d bytes: %w", len(mem), ErrCorrupt)
	}
	size := view.At[pipeWords](mem, 0).size.Load()
	if size < minRing || size > maxRing || size&(size-1) != 0 || size > uint64(len(mem)-pipeHead)/uint64(shape.rings) {
		return nil, fmt.Errorf("ring: pipe with rings of %d bytes: %w", size, ErrCorrupt)
	}
	k := &connCore{o: o, room: o.Room(), table: o.Table(), end: end, epoch: o.Table().Epoch()}
	toB, toA := &k.out, &k.in
	if end == B {
		toB, toA = toA, toB
	}
	open := func() bool { return !k.closed.Load() }
	toB.init(o, 128, mem[pipeHead:pipeHead+size], open)
	if shape == duplex {
		toA.init(o, 128+streamHead, mem[pipeHead+size:pipeHead+2*size], open)
	}
	k.fails.o, k.fails.limit, k.fails.a, k.fails.b = o, "its ring holds %d bytes, and a message in one piece at most %d", int(size), int(size)/2-16
	k.sendSpin.Count(o.Counters())
	k.recvSpin.Count(o.Counters())
	k.peerEpoch.Store(k.epoch.Load() - 1)
	k.maxMessage.Store(maxLength)
	o.Hold(int(end))
	return k, nil
}

// checkPeer returns ErrBrokenPipe if no process holds the other end, as far as deaths have been
// announced. The set of holders changes only when the epoch moves. Whenever the epoch has moved,
// checkPeer starts to watch the present holders, so that a process that never blocks learns of
// their deaths, too.
//
// When an end is handed over to another process, the new holder registers, then the epoch moves,
// and only then may the old holder drop the end. A scan that misses both holders sees that the
// epoch has moved, and is repeated.
func (k *connCore) checkPeer() error {
	for {
		epoch := k.epoch.Load()
		if epoch == k.peerEpoch.Load() {
			return nil
		}
		k.table.Watch(epoch)
		if k.o.Held(int(k.end.other())) {
			k.peerEpoch.Store(epoch)
			return nil
		}
		if k.epoch.Load() == epoch {
			return ErrBrokenPipe
		}
	}
}

// peerGone reports whether no process holds the other end, as far as deaths have been announced.
func (k *connCore) peerGone() bool {
	return k.epoch.Load() != k.peerEpoch.Load() && k.checkPeer() != nil
}

// A heldRecord is a record in the ring whose side the caller owns.
type heldRecord struct {
	at  uint64 // offset of the record in the ring
	n   int    // length of the record's bytes
	own ownership

	header uint64   // of the first piece of a long message; 0 for other messages
	total  uint64   // length of the long message
	from   party.ID // its sender
}

func (v heldRecord) long() bool { return v.header != 0 }

// length returns the length of the message in bytes.
func (v heldRecord) length() uint64 {
	if v.long() {
		return v.total
	}
	return uint64(v.n)
}

// reserve acquires the sending side and finds space for a message of n bytes. If it fails, the
// caller does not own the side.
func (k *connCore) reserve(ctx context.Context, n int) (heldRecord, error) {
	if k.peerGone() {
		return heldRecord{}, k.unlessClosed(ErrBrokenPipe)
	}
	if at, ok := k.out.reserveInline(n); ok {
		return heldRecord{at: at, n: n, own: inline}, nil
	}
	return k.reserveSlow(ctx, n)
}

// reserveSlow is reserve without the fast way.
func (k *connCore) reserveSlow(ctx context.Context, n int) (heldRecord, error) {
	own, err := k.out.tx.acquire(ctx)
	if err != nil {
		return heldRecord{}, err
	}
	if crash.Enabled {
		crash.At(crash.PipeSendEntered)
	}
	at, err := k.out.reserve(n)
	if err != nil {
		return heldRecord{}, k.releaseWith(&k.out.tx, own, err)
	}
	return heldRecord{at: at, n: n, own: own}, nil
}

// commit publishes the message, releases the side and wakes a receiver.
func (k *connCore) commit(v heldRecord) error {
	if v.own == inline {
		k.out.commitInline(v.at, v.n)
	} else {
		k.commitSlow(v)
	}
	return k.checkOpen()
}

// commitSlow is commit of a record that reserveSlow returned.
func (k *connCore) commitSlow(v heldRecord) {
	k.out.publish(v.at, v.n)
	k.out.tx.release(v.own)
	if crash.Enabled {
		crash.At(crash.PipeSendLeft)
	}
	k.out.w.readable.Notify()
}

// checkOpen returns ErrClosed if this process has closed the end or its segment. A caller that has
// published a message calls it to learn whether the message went into shared memory, and while this
// process held the end.
func (k *connCore) checkOpen() error {
	if k.room.Closed() || k.closed.Load() { // [CLOSE]
		return ErrClosed
	}
	return nil
}

// releaseWith releases l, under which nothing was done, and returns unlessClosed(err).
func (k *connCore) releaseWith(l *biasedLock, own ownership, err error) error {
	l.release(own)
	return k.unlessClosed(err)
}

// unlessClosed returns err, or ErrClosed if this process has closed the segment: then err may come
// from memory that is not the shared memory any more.
func (k *connCore) unlessClosed(err error) error {
	if k.room.Closed() {
		return ErrClosed
	}
	return err
}

// send sends a copy of msg. It waits for the side but not for space.
func (k *connCore) send(ctx context.Context, msg []byte) error {
	v, err := k.reserve(ctx, len(msg))
	if err != nil {
		return err
	}
	move(k.out.message(v.at, v.n), msg)
	return k.commit(v)
}

// front acquires the receiving side and finds the oldest message. If it fails, the caller does not
// own the side.
func (k *connCore) front(ctx context.Context) (heldRecord, error) {
	if at, n, ok := k.in.frontInline(); ok {
		return heldRecord{at: at, n: n, own: inline}, nil
	}
	return k.frontSlow(ctx)
}

// frontSlow is front without the fast way.
func (k *connCore) frontSlow(ctx context.Context) (heldRecord, error) {
	own, err := k.in.rx.acquire(ctx)
	if err != nil {
		return heldRecord{}, err
	}
	if crash.Enabled {
		crash.At(crash.PipeReceiveEntered)
	}
	v, err := k.in.front()
	if err != nil {
		return heldRecord{}, k.releaseWith(&k.in.rx, own, err)
	}
	v.own = own
	return v, nil
}

// release frees the message's space, releases the side and wakes a sender.
func (k *connCore) release(v heldRecord) error {
	if v.own == inline {
		k.in.releaseInline(v.n)
	} else {
		k.releaseSlow(v)
	}
	return k.unlessClosed(nil)
}

// releaseSlow is release of a record that frontSlow returned.
func (k *connCore) releaseSlow(v heldRecord) {
	k.in.release(v.n)
	k.in.rx.release(v.own)
	if crash.Enabled {
		crash.At(crash.PipeReceiveLeft)
	}
	k.in.w.writable.Notify()
}

// move copies src to dst, which is at least as long. It copies in pieces because Go copies 1 MiB
// and more past the caches, which is twice as slow if the other side reads the message at once.
func move(dst, src []byte) {
	for len(src) > piece {
		copy(dst[:piece], src[:piece])
		dst, src = dst[piece:], src[piece:]
	}
	copy(dst, src)
}

const piece = 256 << 10

// orEOF returns err, or io.EOF if err is ErrEmpty and no process holds the other end. It looks at
// the holders first and at the ring afterwards, so that it does not miss a message that the last
// holder sent before it dropped the end.
func (k *connCore) orEOF(err error) error {
	if err != ErrEmpty {
		return err
	}
	k.table.Watch(k.epoch.Load()) // a process that only polls learns of deaths, too
	if k.checkPeer() != nil && k.in.isEmpty() {
		return k.unlessClosed(io.EOF)
	}
	return err
}

// closeOnce gives the end up for this Conn. All calls but the first do nothing.
func (k *connCore) closeOnce() error {
	if !k.closed.CompareAndSwap(false, true) {
		return nil
	}
	// A sender loads closed, or the epoch, after it has published a message. With a fence here,
	// either the sender sees that the end is closed, or its message is visible before the end is
	// dropped and the other end looks for the last message. [CLOSE]
	k.table.Wake()
	if !fence.Heavy() {
		time.Sleep(noFence)
	}
	k.o.Drop(int(k.end))
	k.table.Wake() // the other end's waiters check the holders, and ours their Conn
	return k.o.Close()
}
