package ring

import (
	"context"
	"runtime"
)

// A Reservation is room in a pipe for a message that is written in place.
// From Reserve to Commit or Abort its goroutine has the sending side of the end
// for itself: others wait for their turn, and so would it itself in another
// Send.
//
// A Reservation that is forgotten blocks that side until the process ends.
type Reservation struct {
	k *connCore
	v visit
}

// Reserve finds room for a message of n bytes. It blocks and fails as Send
// does.
func (c *Conn) Reserve(ctx context.Context, n int) (Reservation, error) {
	k := c.core.Load()
	if k == nil {
		return Reservation{}, ErrClosed
	}
	v, err := k.reserve(ctx, n)
	if err != nil {
		return c.reserveSlow(ctx, k, n, err)
	}
	return Reservation{k, v}, nil
}

func (c *Conn) reserveSlow(ctx context.Context, k *connCore, n int, err error) (Reservation, error) {
	r := Reservation{k: k}
	if err == ErrFull && k.glanceOut(n) {
		r.v, err = k.reserve(ctx, n)
	}
	if err == ErrFull {
		err = c.sendSlow(ctx, k, func() (err error) {
			r.v, err = k.reserve(ctx, n)
			return err
		})
	}
	if err != nil {
		return Reservation{}, err
	}
	return r, nil
}

// Bytes returns the message's memory. What it holds at first is not defined.
// It is valid until Commit or Abort, or until the segment is closed.
func (r *Reservation) Bytes() []byte {
	if r.k == nil {
		return nil
	}
	return r.k.out.message(r.v.at, r.v.n)
}

// Commit sends the message. It fails with ErrClosed: as if the process had
// died in it.
func (r *Reservation) Commit() error {
	k := r.k
	if k == nil {
		return ErrClosed
	}
	r.k = nil
	err := k.commit(r.v)
	runtime.KeepAlive(k)
	return err
}

// Abort gives the room back; nothing is sent. After Commit it does nothing.
func (r *Reservation) Abort() {
	if k := r.k; k != nil {
		r.k = nil
		k.leaveWith(&k.out.tx, r.v.how, nil)
		runtime.KeepAlive(k)
	}
}

// A Message is a message in a pipe, read in place. Until Release its
// goroutine has the receiving side of the end for itself: others wait for their
// turn. If the process dies before, the message is received by the end's next
// receiver.
type Message struct {
	k *connCore
	v visit
}

// ReceiveInPlace returns the oldest message without copying it. It blocks and
// fails as Receive does.
func (c *Conn) ReceiveInPlace(ctx context.Context) (Message, error) {
	k := c.core.Load()
	if k == nil {
		return Message{}, ErrClosed
	}
	v, err := k.front(ctx)
	if err != nil {
		return c.receiveInPlaceSlow(ctx, k, err)
	}
	return Message{k, v}, nil
}

func (c *Conn) receiveInPlaceSlow(ctx context.Context, k *connCore, err error) (Message, error) {
	m := Message{k: k}
	if err == ErrEmpty && k.glance() {
		m.v, err = k.front(ctx)
	}
	if err == ErrEmpty {
		err = c.receiveSlow(ctx, k, func() (err error) {
			m.v, err = k.front(ctx)
			return err
		})
	}
	if err != nil {
		return Message{}, err
	}
	return m, nil
}

// Bytes returns the message. It is valid until Release, or until the segment
// is closed, and must not be written.
func (m *Message) Bytes() []byte {
	if m.k == nil {
		return nil
	}
	return m.k.in.message(m.v.at, m.v.n)
}

// Release gives the message's room back. It fails with ErrClosed: as if the
// process had died before it.
func (m *Message) Release() error {
	k := m.k
	if k == nil {
		return ErrClosed
	}
	m.k = nil
	err := k.release(m.v)
	runtime.KeepAlive(k)
	return err
}
