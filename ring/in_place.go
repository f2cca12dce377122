package ring

import (
	"context"
	"runtime"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Reservation is space in a pipe for a message that is written in place. From Reserve to Commit
// or Abort, its goroutine owns the sending side of the end. Other goroutines and processes that
// send wait for their turn, and so would this goroutine in a call of Send.
//
// A Reservation that is neither committed nor aborted blocks that side until the process ends.
type Reservation struct {
	c     *Conn // keeps the Conn from being garbage collected
	k     *connCore
	bytes []byte
	at    uint64
	own   ownership
}

// Reserve finds space for a message of n bytes. It blocks and fails as Send does. It also fails
// with ErrTooLarge if a message of n bytes does not fit into the ring at once.
func (c *Conn) Reserve(ctx context.Context, n int) (Reservation, error) {
	if k := c.core.Load(); k != nil && k.epoch.Load() == k.peerEpoch.Load() {
		if at, ok := k.out.reserveInline(n); ok {
			return Reservation{c, k, k.out.message(at, n), at, inline}, nil
		}
	}
	return c.reserveSlow(ctx, n)
}

// reserveSlow is Reserve without the fast way.
func (c *Conn) reserveSlow(ctx context.Context, n int) (Reservation, error) {
	k := c.core.Load()
	if k == nil {
		return Reservation{}, connClosed("Reserve")
	}
	v, err := k.reserve(ctx, n)
	if err == ErrFull && k.spinForSpace(n) {
		v, err = k.reserve(ctx, n)
	}
	if err == ErrFull {
		err = c.awaitSpace(ctx, k, func() (err error) {
			v, err = k.reserve(ctx, n)
			return err
		})
	}
	if err != nil {
		return Reservation{}, k.fails.of("Reserve", err)
	}
	return Reservation{c, k, k.out.message(v.at, n), v.at, v.own}, nil
}

// Bytes returns the memory for the message. Its contents are undefined at first. The slice is valid
// until Commit or Abort, or until the segment is closed.
func (r *Reservation) Bytes() []byte { return r.bytes }

// Commit sends the message. It fails with ErrNothingReserved if Commit or Abort was called before.
// It fails with ErrClosed if this process has closed the end or its segment. Then the message may
// or may not have been sent.
func (r *Reservation) Commit() error {
	k := r.k
	if r.own == inline && k != nil {
		k.out.commitInline(r.at, len(r.bytes))
		r.own, r.bytes = released, nil
		err := k.checkOpen()
		runtime.KeepAlive(r.c)
		return err
	}
	return r.commitSlow()
}

func (r *Reservation) commitSlow() error {
	k, own := r.k, r.own
	if k == nil || own == released {
		return &object.Error{Op: "ring: Commit", Kind: shm.KindPipe, Err: ErrNothingReserved}
	}
	r.own = released
	k.commitSlow(heldRecord{at: r.at, n: len(r.bytes), own: own})
	r.bytes = nil
	err := k.checkOpen()
	runtime.KeepAlive(r.c)
	return err
}

// Abort gives the space back and sends nothing. After Commit or Abort it does nothing.
func (r *Reservation) Abort() {
	if k, own := r.k, r.own; k != nil && own != released {
		r.own, r.bytes = released, nil
		k.releaseWith(&k.out.tx, own, nil)
		runtime.KeepAlive(r.c)
	}
}

// A Message is a message in a pipe that is read in place. Until Release, its goroutine owns the
// receiving side of the end. Other goroutines and processes that receive wait for their turn. If
// the process dies before Release, the end's next receiver receives the message.
type Message struct {
	c     *Conn // keeps the Conn from being garbage collected
	k     *connCore
	bytes []byte
	own   ownership
}

// ReceiveInPlace returns the oldest message without copying it. It blocks and fails as Receive
// does. It also fails with ErrTooLarge if the message was too long for the ring and comes in
// pieces. Then the message stays, and Receive can receive it.
func (c *Conn) ReceiveInPlace(ctx context.Context) (Message, error) {
	if k := c.core.Load(); k != nil {
		if at, n, ok := k.in.frontInline(); ok {
			return Message{c, k, k.in.message(at, n), inline}, nil
		}
	}
	return c.receiveInPlaceSlow(ctx)
}

// receiveInPlaceSlow is ReceiveInPlace without the fast way.
func (c *Conn) receiveInPlaceSlow(ctx context.Context) (Message, error) {
	k := c.core.Load()
	if k == nil {
		return Message{}, connClosed("ReceiveInPlace")
	}
	v, err := c.awaitFront(ctx, k, false)
	if err == nil && v.long() {
		err = k.releaseWith(&k.in.rx, v.own, tooLong(v.total))
	}
	if err != nil {
		return Message{}, k.fails.of("ReceiveInPlace", err)
	}
	return Message{c, k, k.in.message(v.at, v.n), v.own}, nil
}

// Bytes returns the message. The slice is valid until Release, or until the segment is closed. It
// must not be modified.
func (m *Message) Bytes() []byte { return m.bytes }

// Release gives the message's space back. It may be called more than once. It fails with ErrClosed
// if this process has closed the segment. Then the next receiver may receive the message again.
func (m *Message) Release() error {
	k := m.k
	if m.own == inline && k != nil {
		k.in.releaseInline(len(m.bytes))
		m.own, m.bytes = released, nil
		err := k.unlessClosed(nil)
		runtime.KeepAlive(m.c)
		return err
	}
	return m.releaseSlow()
}

func (m *Message) releaseSlow() error {
	k, own := m.k, m.own
	if k == nil || own == released {
		return nil
	}
	m.own = released
	k.releaseSlow(heldRecord{n: len(m.bytes), own: own})
	m.bytes = nil
	err := k.unlessClosed(nil)
	runtime.KeepAlive(m.c)
	return err
}
