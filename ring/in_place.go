package ring

import (
	"context"
	"runtime"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Reservation is space in a pipe for a message that is written in place.
// From Reserve to Commit or Abort its goroutine has the sending side of the end
// for itself. Other goroutines and processes wait for their turn, and so would this goroutine in a call of Send.
//
// A Reservation that is neither committed nor aborted blocks that side until the process ends.
type Reservation struct {
	c     *Conn // is not forgotten meanwhile
	k     *connCore
	bytes []byte
	at    uint64
	how   stay
}

// Reserve finds space for a message of n bytes. It blocks and fails as Send
// does.
func (c *Conn) Reserve(ctx context.Context, n int) (Reservation, error) {
	if k := c.core.Load(); k != nil && k.epoch.Load() == k.seen.Load() {
		if at, ok := k.out.begin(n); ok {
			return Reservation{c, k, k.out.message(at, n), at, brief}, nil
		}
	}
	return c.reserveAll(ctx, n)
}

// reserveAll is Reserve in all cases.
func (c *Conn) reserveAll(ctx context.Context, n int) (Reservation, error) {
	k := c.core.Load()
	if k == nil {
		return Reservation{}, connClosed("Reserve")
	}
	v, err := k.reserve(ctx, n)
	if err == ErrFull && k.glanceOut(n) {
		v, err = k.reserve(ctx, n)
	}
	if err == ErrFull {
		err = c.sendSlow(ctx, k, func() (err error) {
			v, err = k.reserve(ctx, n)
			return err
		})
	}
	if err != nil {
		return Reservation{}, k.fails.of("Reserve", err)
	}
	return Reservation{c, k, k.out.message(v.at, n), v.at, v.how}, nil
}

// Bytes returns the message's memory. What it holds at first is not defined.
// It is valid until Commit or Abort, or until the segment is closed.
func (r *Reservation) Bytes() []byte { return r.bytes }

// Commit sends the message. It fails with ErrNothingReserved if Commit or Abort was called before.
// It fails with ErrClosed if this process has closed the end or its segment: the message may or may
// not have been sent.
func (r *Reservation) Commit() error {
	k := r.k
	if r.how == brief && k != nil {
		k.out.end(r.at, len(r.bytes))
		r.how, r.bytes = left, nil
		err := k.done()
		runtime.KeepAlive(r.c)
		return err
	}
	return r.commitSlow()
}

func (r *Reservation) commitSlow() error {
	k, how := r.k, r.how
	if k == nil || how == left {
		return &object.Error{Op: "ring: Commit", Kind: shm.KindPipe, Err: ErrNothingReserved}
	}
	r.how = left
	k.commitSlow(visit{r.at, len(r.bytes), how})
	r.bytes = nil
	err := k.done()
	runtime.KeepAlive(r.c)
	return err
}

// Abort gives the space back, and sends nothing. After Commit or Abort it does nothing.
func (r *Reservation) Abort() {
	if k, how := r.k, r.how; k != nil && how != left {
		r.how, r.bytes = left, nil
		k.leaveWith(&k.out.tx, how, nil)
		runtime.KeepAlive(r.c)
	}
}

// A Message is a message in a pipe, read in place. Until Release its
// goroutine has the receiving side of the end for itself. Other goroutines and processes wait for their
// turn. If the process dies before Release, the end's next receiver receives the message.
type Message struct {
	c     *Conn // is not forgotten meanwhile
	k     *connCore
	bytes []byte
	how   stay
}

// ReceiveInPlace returns the oldest message without copying it. It blocks and
// fails as Receive does.
func (c *Conn) ReceiveInPlace(ctx context.Context) (Message, error) {
	if k := c.core.Load(); k != nil {
		if at, n, ok := k.in.take(); ok {
			return Message{c, k, k.in.message(at, n), brief}, nil
		}
	}
	return c.receiveInPlaceAll(ctx)
}

// receiveInPlaceAll is ReceiveInPlace in all cases.
func (c *Conn) receiveInPlaceAll(ctx context.Context) (Message, error) {
	k := c.core.Load()
	if k == nil {
		return Message{}, connClosed("ReceiveInPlace")
	}
	v, err := k.front(ctx)
	if err == ErrEmpty && k.glance() {
		v, err = k.front(ctx)
	}
	if err == ErrEmpty {
		err = c.receiveSlow(ctx, k, func() (err error) {
			v, err = k.front(ctx)
			return err
		})
	}
	if err != nil {
		return Message{}, k.fails.of("ReceiveInPlace", err)
	}
	return Message{c, k, k.in.message(v.at, v.n), v.how}, nil
}

// Bytes returns the message. It is valid until Release, or until the segment
// is closed, and must not be written.
func (m *Message) Bytes() []byte { return m.bytes }

// Release gives the message's space back. It may be called more than once. It fails with ErrClosed
// if this process has closed the segment: then the next receiver may receive the message again.
func (m *Message) Release() error {
	k := m.k
	if m.how == brief && k != nil {
		k.in.done(len(m.bytes))
		m.how, m.bytes = left, nil
		err := k.unlessClosed(nil)
		runtime.KeepAlive(m.c)
		return err
	}
	return m.releaseSlow()
}

func (m *Message) releaseSlow() error {
	k, how := m.k, m.how
	if k == nil || how == left {
		return nil
	}
	m.how = left
	k.releaseSlow(visit{0, len(m.bytes), how})
	m.bytes = nil
	err := k.unlessClosed(nil)
	runtime.KeepAlive(m.c)
	return err
}
