package ring

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A connCore is an open end of a pipe, as long as a method is inside.
type connCore struct {
	o      *shm.Object
	room   *wait.Room
	table  *party.Table
	end    End
	epoch  *atomic.Uint32
	closed atomic.Bool

	out, in  stream
	seen     atomic.Uint32 // epoch at which somebody held the other end
	sendSpin wait.Spinner
	recvSpin wait.Spinner
}

func newConn(o *shm.Object, end End) (*Conn, error) {
	k, err := newConnCore(o, end)
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	c := new(Conn)
	c.use(k)
	return c, nil
}

func newConnCore(o *shm.Object, end End) (*connCore, error) {
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
	toB.init(o, 128, ringA)
	toA.init(o, 128+streamHead, ringB)
	k.seen.Store(k.epoch.Load() - 1)
	o.Hold(int(end))
	return k, nil
}

// peer makes sure that somebody holds the other end, as far as is announced:
// holders go only when the epoch moves.
func (k *connCore) peer() error {
	epoch := k.epoch.Load()
	if epoch == k.seen.Load() {
		return nil
	}
	if !k.o.Held(int(k.end.other())) {
		return ErrBrokenPipe
	}
	k.seen.Store(epoch)
	return nil
}

// reserve enters the sending seat and finds room. If it fails nobody is in the
// seat. locked is for leaveTx.
func (k *connCore) reserve(ctx context.Context, n int) (p place, locked bool, err error) {
	if k.epoch.Load() != k.seen.Load() {
		if err := k.peer(); err != nil {
			return p, false, err
		}
	}
	if !k.out.tx.enter() {
		if locked, err = k.out.tx.enterSlow(ctx); err != nil {
			return p, false, err
		}
	}
	if crash.Enabled {
		crash.At(crash.PipeSendEntered)
	}
	if p, err = k.out.reserve(n); err != nil {
		k.leave(&k.out.tx, locked)
		if k.room.Closed() {
			err = ErrClosed
		}
	}
	return p, locked, err
}

func (k *connCore) leave(s *seat, locked bool) {
	if locked {
		s.leaveSlow()
	} else {
		s.leave()
	}
}

// commit publishes the message in p, leaves the seat and wakes a receiver.
func (k *connCore) commit(p *place, locked bool) error {
	k.out.publish(p)
	k.leave(&k.out.tx, locked)
	if crash.Enabled {
		crash.At(crash.PipeSendLeft)
	}
	k.out.w.readable.Notify()
	if k.room.Closed() {
		return ErrClosed
	}
	return nil
}

// send copies msg into the ring.
func (k *connCore) send(ctx context.Context, msg []byte) error {
	p, locked, err := k.reserve(ctx, len(msg))
	if err != nil {
		return err
	}
	copy(p.bytes, msg)
	return k.commit(&p, locked)
}

// front enters the receiving seat and finds the oldest message. If it fails
// nobody is in the seat.
func (k *connCore) front(ctx context.Context) (r record, locked bool, err error) {
	if !k.in.rx.enter() {
		if locked, err = k.in.rx.enterSlow(ctx); err != nil {
			return r, false, err
		}
	}
	if crash.Enabled {
		crash.At(crash.PipeReceiveEntered)
	}
	if r, err = k.in.front(); err != nil {
		k.leave(&k.in.rx, locked)
		if k.room.Closed() {
			err = ErrClosed
		}
	}
	return r, locked, err
}

// release gives the message's space back, leaves the seat and wakes a sender.
func (k *connCore) release(r *record, locked bool) error {
	k.in.free(r)
	k.leave(&k.in.rx, locked)
	if crash.Enabled {
		crash.At(crash.PipeReceiveLeft)
	}
	k.in.w.writable.Notify()
	if k.room.Closed() {
		return ErrClosed
	}
	return nil
}

// keep leaves the seat and the message where it is.
func (k *connCore) keep(locked bool) { k.leave(&k.in.rx, locked) }

// receive copies the oldest message into buf.
func (k *connCore) receive(ctx context.Context, buf []byte) (int, error) {
	r, locked, err := k.front(ctx)
	if err != nil {
		return 0, err
	}
	n, err := r.copyOut(buf)
	if err != nil {
		k.keep(locked)
		return n, err
	}
	return n, k.release(&r, locked)
}

// receiveNew copies the oldest message into new memory.
func (k *connCore) receiveNew(ctx context.Context) ([]byte, error) {
	r, locked, err := k.front(ctx)
	if err != nil {
		return nil, err
	}
	msg := make([]byte, len(r.bytes))
	copy(msg, r.bytes)
	return msg, k.release(&r, locked)
}

// atEnd makes io.EOF of ErrEmpty if nobody holds the other end. Messages sent
// before the last holder went are seen first: the look at the ring comes after
// the look at the holders.
func (k *connCore) atEnd(err error) error {
	if err == ErrEmpty && k.peer() != nil && k.in.empty() {
		return errEOF
	}
	return err
}

func (k *connCore) close() error {
	k.o.Drop(int(k.end))
	k.table.Wake() // the other end's waiters look at the holders, ours at their Conn
	return k.o.Close()
}

// A connWaiter waits until one direction of a pipe can go on.
type connWaiter struct {
	gate    *wait.Gate
	open    func() bool
	attempt func() error // nil, ErrFull or ErrEmpty: not yet, or what ends the wait
	more    func() bool  // may another go on, too
}

func (w *connWaiter) Try() (bool, error) {
	if !w.open() {
		return false, ErrClosed
	}
	switch err := w.attempt(); err {
	case ErrFull, ErrEmpty:
		return false, nil
	default:
		return err == nil, err
	}
}

func (w *connWaiter) Arm() (futex.Word, bool) { return w.gate.Arm(), true }

func (w *connWaiter) Pass(woken, done bool) {
	if woken && (!done || w.more()) {
		w.gate.Pass()
	}
}

func yes() bool { return true }
