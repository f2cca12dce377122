package ring

import (
	"context"

	"github.com/seed-2e7ecdea/mp/internal/crash"
)

// A longSend sends a long message. Its goroutine owns the sending side: see piece.go.
type longSend struct {
	c    *Conn
	k    *connCore
	msg  []byte
	done int // bytes of the message that lie in pieces; 0: the next piece is the first

	start, header uint64 // count at which the first piece begins, and its header
}

// sendLong sends a copy of msg in pieces. It blocks until the last piece is in the ring.
func (c *Conn) sendLong(ctx context.Context, k *connCore, msg []byte) error {
	if k.peerGone() {
		return k.unlessClosed(ErrBrokenPipe)
	}
	own, err := k.out.tx.acquire(ctx)
	if err != nil {
		return err
	}
	if crash.Enabled {
		crash.At(crash.PipeSendEntered)
	}
	l := longSend{c: c, k: k, msg: msg}
	err = l.send(ctx)
	k.out.tx.release(own)
	if err == nil {
		err = k.checkOpen()
	}
	return k.unlessClosed(err)
}

// send sends all pieces. If it fails, the message is not sent, and the receiver has been told.
func (l *longSend) send(ctx context.Context) error {
	if _, err := l.k.out.repairTail(); err != nil {
		return err
	}
	for l.done < len(l.msg) {
		err := l.piece()
		if err == ErrFull && l.k.spinForSpace(int(l.k.out.pieceLimit)) {
			err = l.piece()
		}
		if err == ErrFull {
			err = l.c.awaitSpace(ctx, l.k, l.piece)
		}
		if err != nil {
			l.abort()
			return err
		}
	}
	return nil
}

// piece sends the next piece, or a filler, or starts over if the receiver wants that. It fails with
// ErrFull, ErrBrokenPipe, ErrClosed or ErrCorrupt.
func (l *longSend) piece() error {
	if err := l.k.checkOpen(); err != nil {
		return err
	}
	if l.k.peerGone() {
		return ErrBrokenPipe
	}
	err := l.put()
	if err == errAgain {
		l.done = 0
		return nil
	}
	return err
}

// put is piece without the checks.
func (l *longSend) put() error {
	s, first := &l.k.out, l.done == 0
	at, n, err := s.pieceSpace(uint64(len(l.msg)-l.done), first)
	if err != nil {
		return err
	}
	if n < 0 {
		size := s.size - at
		s.clearAfter(at, size)
		return s.publishPiece(at, size, size<<lengthShift|kindFiller, first)
	}
	s.clearAfter(at, recordSize(n))
	body, part := s.message(at, n), uint64(partNext)
	if first {
		word(s.ring, at+recordHead).Store(uint64(len(l.msg)))
		word(s.ring, at+recordHead+8).Store(uint64(l.k.o.Me()))
		body, part = body[longHead:], partFirst
	} else if len(body) == len(l.msg)-l.done {
		part = partLast
	}
	copy(body, l.msg[l.done:])
	if first {
		l.start, l.header = s.w.tail.Load(), pieceHeader(n, part)
	}
	if err := s.publishPiece(at, recordSize(n), pieceHeader(n, part), first); err != nil {
		return err
	}
	l.done += len(body)
	return nil
}

// abort takes the message back, or tells the receiver that no other piece follows, unless it does
// not want one.
func (l *longSend) abort() {
	s := &l.k.out
	if l.done == 0 || s.takeBack(l.start, l.header) {
		return
	}
	tail := s.w.tail.Load() &^ (recordAlign - 1)
	at := tail & s.mask
	s.clearAfter(at, recordHead)
	if !word(s.ring, at).CompareAndSwap(0, abortedHeader) { // [AGAIN]
		return
	}
	if crash.Enabled {
		crash.At(crash.PipeAborted)
	}
	s.w.tail.Store(tail + recordHead)
	s.w.readable.Notify()
}
