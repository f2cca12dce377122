package ring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// A connCore is an open end of a pipe, as long as a method is inside.
type connCore struct {
	o      object.Object
	room   *wait.Room
	table  *party.Table
	end    End
	epoch  *atomic.Uint32
	closed atomic.Bool
	fails  failures

	out, in  stream
	seen     atomic.Uint32 // epoch at which somebody held the other end
	sendSpin wait.Spinner
	recvSpin wait.Spinner
}

func newConn(o object.Object, end End) (*Conn, error) {
	k, err := newConnCore(o, end)
	if err = o.UnlessClosed(err); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	c := new(Conn)
	c.use(k)
	return c, nil
}

func newConnCore(o object.Object, end End) (*connCore, error) {
	mem := o.Bytes()
	if len(mem) < pipeHead+2*minRing {
		return nil, fmt.Errorf("ring: pipe of %d bytes: %w", len(mem), ErrCorrupt)
	}
	size := view.At[pipeWords](mem, 0).size.Load()
	if size < minRing || size > maxRing || size&(size-1) != 0 || size > uint64(len(mem)-pipeHead)/2 {
		return nil, fmt.Errorf("ring: pipe with rings of %d bytes: %w", size, ErrCorrupt)
	}
	k := &connCore{o: o, room: o.Room(), table: o.Table(), end: end, epoch: o.Table().Epoch()}
	ringA, ringB := mem[pipeHead:pipeHead+size], mem[pipeHead+size:pipeHead+2*size]
	toB, toA := &k.out, &k.in
	if end == B {
		toB, toA = toA, toB
	}
	open := func() bool { return !k.closed.Load() }
	toB.init(o, 128, ringA, open)
	toA.init(o, 128+streamHead, ringB, open)
	k.fails.o, k.fails.limit, k.fails.a, k.fails.b = o, "its ring holds %d bytes, and a message at most %d", int(size), int(size)/2-16
	k.seen.Store(k.epoch.Load() - 1)
	o.Hold(int(end))
	return k, nil
}

// peer returns ErrBrokenPipe if no process holds the other end, as far as deaths have been announced. The set of holders
// changes only when the epoch moves. Whenever it has moved, the present holders are watched, so that a process
// that never blocks learns of their deaths, too.
//
// When an end is handed to another process, the new holder registers, then the epoch moves, and only then the old
// holder may drop the end. A scan that misses both holders sees that the epoch has moved, and is repeated.
func (k *connCore) peer() error {
	for {
		epoch := k.epoch.Load()
		if epoch == k.seen.Load() {
			return nil
		}
		k.table.Watch(epoch)
		if k.o.Held(int(k.end.other())) {
			k.seen.Store(epoch)
			return nil
		}
		if k.epoch.Load() == epoch {
			return ErrBrokenPipe
		}
	}
}

// gone reports whether nobody holds the other end, as far as is announced.
func (k *connCore) gone() bool { return k.epoch.Load() != k.seen.Load() && k.peer() != nil }

// A stay is how a seat was taken, and so how it is left.
type stay uint8

const (
	brief  stay = iota // by begin or take: left by end or done
	seated             // by enterSlow, for itself: left by leaveAs
	locked             // by enterSlow, under the lock: left by leaveAs
	left               // it has been left
)

// A visit is a stay in a seat, with a message of the ring in hand.
type visit struct {
	at  uint64 // of the record in the ring
	n   int    // length of the message in bytes
	how stay
}

// reserve enters the sending seat and finds room. If it fails nobody is in the
// seat.
func (k *connCore) reserve(ctx context.Context, n int) (visit, error) {
	if k.gone() {
		return visit{}, k.unlessClosed(ErrBrokenPipe)
	}
	if at, ok := k.out.begin(n); ok {
		return visit{at, n, brief}, nil
	}
	return k.reserveSlow(ctx, n)
}

func (k *connCore) reserveSlow(ctx context.Context, n int) (visit, error) {
	how, err := k.out.tx.enterSlow(ctx)
	if err != nil {
		return visit{}, err
	}
	if crash.Enabled {
		crash.At(crash.PipeSendEntered)
	}
	at, err := k.out.reserve(n)
	if err != nil {
		return visit{}, k.leaveWith(&k.out.tx, how, err)
	}
	return visit{at, n, how}, nil
}

// commit publishes the message, leaves the seat and wakes a receiver.
func (k *connCore) commit(v visit) error {
	if v.how == brief {
		k.out.end(v.at, v.n)
	} else {
		k.commitSlow(v)
	}
	return k.done()
}

func (k *connCore) commitSlow(v visit) {
	k.out.publish(v.at, v.n)
	k.out.tx.leaveAs(v.how)
	if crash.Enabled {
		crash.At(crash.PipeSendLeft)
	}
	k.out.w.readable.Notify()
}

// done is nil if what was done to the memory was done to the shared one, and
// by a holder of the end.
func (k *connCore) done() error {
	if k.room.Closed() || k.closed.Load() { // [CLOSE]
		return ErrClosed
	}
	return nil
}

// leaveWith leaves a seat with nothing done.
func (k *connCore) leaveWith(s *seat, how stay, err error) error {
	s.leaveAs(how)
	return k.unlessClosed(err)
}

// unlessClosed is the error of what was seen in the pipe: after the segment's
// Close it was not the shared one.
func (k *connCore) unlessClosed(err error) error {
	if k.room.Closed() {
		return ErrClosed
	}
	return err
}

// send copies msg into the ring.
func (k *connCore) send(ctx context.Context, msg []byte) error {
	v, err := k.reserve(ctx, len(msg))
	if err != nil {
		return err
	}
	move(k.out.message(v.at, v.n), msg)
	return k.commit(v)
}

// front enters the receiving seat and finds the oldest message. If it fails
// nobody is in the seat.
func (k *connCore) front(ctx context.Context) (visit, error) {
	if at, n, ok := k.in.take(); ok {
		return visit{at, n, brief}, nil
	}
	return k.frontSlow(ctx)
}

func (k *connCore) frontSlow(ctx context.Context) (visit, error) {
	how, err := k.in.rx.enterSlow(ctx)
	if err != nil {
		return visit{}, err
	}
	if crash.Enabled {
		crash.At(crash.PipeReceiveEntered)
	}
	at, n, err := k.in.front()
	if err != nil {
		return visit{}, k.leaveWith(&k.in.rx, how, err)
	}
	return visit{at, n, how}, nil
}

// release gives the message's space back, leaves the seat and wakes a sender.
func (k *connCore) release(v visit) error {
	if v.how == brief {
		k.in.done(v.n)
	} else {
		k.releaseSlow(v)
	}
	return k.unlessClosed(nil)
}

func (k *connCore) releaseSlow(v visit) {
	k.in.free(v.n)
	k.in.rx.leaveAs(v.how)
	if crash.Enabled {
		crash.At(crash.PipeReceiveLeft)
	}
	k.in.w.writable.Notify()
}

// receive copies the oldest message into buf, or says that buf is too small
// and leaves the message where it is.
func (k *connCore) receive(ctx context.Context, buf []byte) (int, error) {
	v, err := k.front(ctx)
	if err != nil {
		return 0, err
	}
	if v.n > len(buf) {
		return v.n, k.leaveWith(&k.in.rx, v.how, io.ErrShortBuffer)
	}
	move(buf, k.in.message(v.at, v.n))
	return v.n, k.release(v)
}

// receiveNew copies the oldest message into new memory.
func (k *connCore) receiveNew(ctx context.Context) ([]byte, error) {
	v, err := k.front(ctx)
	if err != nil {
		return nil, err
	}
	msg := make([]byte, v.n)
	move(msg, k.in.message(v.at, v.n))
	return msg, k.release(v)
}

// move copies src to dst, which is at least as long. From 1 MiB on Go copies
// past the caches, which is twice as slow where the other side reads at once what
// was written: so it is done in pieces.
func move(dst, src []byte) {
	for len(src) > piece {
		copy(dst[:piece], src[:piece])
		dst, src = dst[piece:], src[piece:]
	}
	copy(dst, src)
}

const piece = 256 << 10

// glance spins for a moment, if that may pay, until a message is there.
func (k *connCore) glance() bool {
	for range k.room.Glances(&k.recvSpin) {
		cpu.Pause()
		if k.in.some() {
			return true
		}
	}
	return false
}

// glanceOut spins for a moment, if that may pay, until there is room for a
// good deal: a sender that goes on as soon as its one message fits would look at
// the receiver's line for each message, and slow it down.
func (k *connCore) glanceOut(n int) bool {
	for range k.room.Glances(&k.sendSpin) {
		for range fullPauses {
			cpu.Pause()
		}
		if k.out.roomy() {
			return true
		}
	}
	return k.out.fits(n)
}

const fullPauses = 8

// atEnd makes io.EOF of ErrEmpty if nobody holds the other end. Messages sent
// before the last holder went are seen first: the look at the ring comes after
// the look at the holders.
func (k *connCore) atEnd(err error) error {
	if err != ErrEmpty {
		return err
	}
	k.table.Watch(k.epoch.Load()) // also who never waits learns of deaths
	if k.peer() != nil && k.in.empty() {
		return k.unlessClosed(io.EOF)
	}
	return err
}

// closeOnce gives the end up for this Conn.
func (k *connCore) closeOnce() error {
	if !k.closed.CompareAndSwap(false, true) {
		return nil
	}
	// A sender loads closed, or the epoch, after it has published a message. With a
	// fence here either it sees closed, or its message is there before the end is
	// given up and the other end looks whether all is received. [CLOSE]
	k.table.Wake()
	if !fence.Heavy() {
		time.Sleep(noFence)
	}
	k.o.Drop(int(k.end))
	k.table.Wake() // the other end's waiters look at the holders, ours at their Conn
	return k.o.Close()
}

// A connWaiter waits until one direction of a pipe can go on.
type connWaiter struct {
	c       *Conn
	k       *connCore
	in      bool         // it waits for a message, not for room
	attempt func() error // nil, ErrFull or ErrEmpty: not yet, or what ends the wait
}

func (w *connWaiter) gate() *wait.Gate {
	if w.in {
		return &w.k.in.w.readable
	}
	return &w.k.out.w.writable
}

func (w *connWaiter) Try() (bool, error) {
	if w.c.core.Load() != w.k {
		return false, ErrClosed
	}
	err := w.attempt()
	if w.in {
		err = w.k.atEnd(err)
	}
	if err == ErrFull || err == ErrEmpty {
		return false, nil
	}
	return err == nil, err
}

func (w *connWaiter) Arm() (wait.Armed, bool) { return w.gate().Arm(), true }

func (w *connWaiter) Pass(woken, done bool) {
	if woken && (!done || !w.in || w.k.in.some()) {
		w.gate().Pass()
	}
}
