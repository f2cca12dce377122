package ring

import (
	"context"
	"fmt"
	"io"
)

// A sink is where a message goes.
type sink uint8

const (
	intoBuffer sink = iota // the caller's
	intoNew                // new memory
	nowhere                // the message is thrown away
)

// awaitFront acquires the receiving side and finds the oldest message. It blocks until there is
// one. If it fails, the caller does not own the side. A caller that takes the message need not wake
// another receiver if there is no other message.
func (c *Conn) awaitFront(ctx context.Context, k *connCore, takes bool) (heldRecord, error) {
	v, err := k.front(ctx)
	if err == ErrEmpty && k.spinForMessage() {
		v, err = k.front(ctx)
	}
	if err == ErrEmpty {
		return c.sleepForFront(ctx, k, takes)
	}
	return v, err
}

// sleepForFront is awaitFront after a try that failed with ErrEmpty.
func (c *Conn) sleepForFront(ctx context.Context, k *connCore, takes bool) (heldRecord, error) {
	var v heldRecord
	var front *heldRecord
	if takes {
		front = &v
	}
	err := c.awaitFrontMessage(ctx, k, func() (err error) {
		v, err = k.front(ctx)
		return err
	}, front)
	return v, err
}

// receive receives the oldest message and returns its length. It returns the message if to is
// intoNew. If buf is too small or the message is longer than the limit, the message stays.
func (c *Conn) receive(ctx context.Context, k *connCore, to sink, buf []byte) ([]byte, int, error) {
	for {
		v, err := c.awaitFront(ctx, k, true)
		if err != nil {
			return nil, 0, err
		}
		if err := k.accept(v, to, len(buf)); err != nil {
			err = k.releaseWith(&k.in.rx, v.own, err)
			k.in.w.readable.Pass() // awaitFront may have consumed a wake for the message, which stays
			return nil, int(min(v.length(), maxLength)), err
		}
		if !v.long() {
			return k.deliver(v, to, buf)
		}
		l := longReceive{c: c, k: k, to: to, buf: buf}
		n, err := l.receive(ctx, v)
		k.in.rx.release(v.own)
		if err != errDropped {
			return l.buf, n, k.unlessClosed(err)
		}
	}
}

// tryReceive is receive that does not block. It fails with ErrTooLarge for a long message, because
// to receive that is to wait for its sender.
func (k *connCore) tryReceive(to sink, buf []byte) ([]byte, int, error) {
	v, err := k.front(tryOnce)
	if err != nil {
		return nil, 0, err
	}
	if err = k.accept(v, to, len(buf)); err == nil && v.long() {
		err = tooLong(v.total)
	}
	if err != nil {
		return nil, int(min(v.length(), maxLength)), k.releaseWith(&k.in.rx, v.own, err)
	}
	return k.deliver(v, to, buf)
}

// accept returns an error if a message may not be received.
func (k *connCore) accept(v heldRecord, to sink, space int) error {
	n := v.length()
	switch to {
	case intoBuffer:
		if n > uint64(space) {
			return io.ErrShortBuffer
		}
	case intoNew:
		if limit := uint64(k.maxMessage.Load()); n > limit {
			return fmt.Errorf("%w: %d bytes, the limit of this end is %d", ErrTooLarge, n, limit)
		}
	}
	return nil
}

// deliver copies the message of a record and releases the record.
func (k *connCore) deliver(v heldRecord, to sink, buf []byte) ([]byte, int, error) {
	if to == intoNew {
		buf = make([]byte, v.n)
	}
	if to != nowhere {
		move(buf, k.in.message(v.at, v.n))
	}
	return buf, v.n, k.release(v)
}

// polled returns the error of Poll or TryPoll after front has returned v and err.
func (k *connCore) polled(op string, v heldRecord, err error) error {
	if err == nil {
		err = k.releaseWith(&k.in.rx, v.own, nil)
	}
	if err == io.EOF {
		return nil
	}
	return k.fails.of(op, err)
}
