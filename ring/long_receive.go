package ring

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/party"
)

// Errors between the functions of long messages.
var (
	errAgain   = errors.New("the receiver wants the message from the start")
	errDropped = errors.New("the sender has given the message up")
)

// tooLong returns the error of a method that receives only messages that lie in the ring at once.
func tooLong(n uint64) error {
	return fmt.Errorf("%w: %d bytes, which come in pieces: call Receive", ErrTooLarge, n)
}

// A longReceive receives a long message. Its goroutine owns the receiving side: see piece.go.
type longReceive struct {
	c     *Conn
	k     *connCore
	to    sink
	buf   []byte // if to is intoNew, it grows as pieces arrive
	got   uint64 // bytes so far
	total uint64
	from  party.ID
}

// receive receives the long message whose first piece is v, and returns its length. It fails with
// errDropped if the message was not sent. If it fails otherwise, the message stays.
func (l *longReceive) receive(ctx context.Context, v heldRecord) (int, error) {
	s := &l.k.in
	first, err := s.claim(v)
	if err != nil {
		return 0, err
	}
	l.total, l.from = first.total, first.from
	n := int(min(l.total, maxLength))
	if err := l.k.accept(first, l.to, len(l.buf)); err != nil {
		return n, err
	}
	if err := l.take(s.message(first.at, first.n)[longHead:], false, recordSize(first.n)); err != nil {
		return 0, err
	}
	return n, l.rest(ctx)
}

// rest receives all pieces but the first.
func (l *longReceive) rest(ctx context.Context) error {
	for l.got < l.total {
		err := l.piece()
		if err == ErrEmpty && l.k.spinForMessage() {
			err = l.piece()
		}
		if err == ErrEmpty {
			err = l.c.awaitMessage(ctx, l.k, l.piece)
		}
		switch err {
		case nil:
		case errDropped, ErrCorrupt:
			return err
		default:
			return l.giveBack(err)
		}
	}
	return nil
}

// piece takes the next piece, or passes a filler. It fails with ErrEmpty, ErrCorrupt or errDropped.
func (l *longReceive) piece() error {
	s := &l.k.in
	head := s.w.head.Load() &^ (recordAlign - 1)
	at := head & s.mask
	h := word(s.ring, at).Load()
	if isNothing(h) {
		if l.k.table.Dead(l.from) && isNothing(word(s.ring, at).Load()) {
			return errDropped
		}
		return ErrEmpty
	}
	size, err := s.extent(at, h)
	if err != nil {
		return err
	}
	switch {
	case h&kindMask == kindFiller:
		return s.pass(head, size)
	case h&kindMask == kindPiece && (partOf(h) == partNext || partOf(h) == partLast):
		if s.beyondTail(head) {
			return ErrCorrupt
		}
		return l.take(s.message(at, int(pieceLength(h))), partOf(h) == partLast, size)
	default:
		return errDropped
	}
}

// take copies the bytes of a piece out and frees its space of size bytes.
func (l *longReceive) take(bytes []byte, last bool, size uint64) error {
	if n := l.total - l.got; uint64(len(bytes)) > n || last != (uint64(len(bytes)) == n) {
		return ErrCorrupt
	}
	if l.to == intoNew {
		l.grow(len(bytes))
	}
	if l.to != nowhere {
		copy(l.buf[l.got:], bytes)
	}
	if crash.Enabled {
		crash.At(crash.PipePieceTaken)
	}
	w := l.k.in.w
	l.got += uint64(len(bytes))
	fence.Publish64(&w.head, w.head.Load()+size)
	if crash.Enabled {
		crash.At(crash.PipePieceFreed)
	}
	w.writable.Notify()
	return nil
}

// grow makes buf n bytes longer. It doubles the memory as bytes arrive, up to the length of the
// message: a length alone makes it allocate no more than firstBuffer.
func (l *longReceive) grow(n int) {
	const firstBuffer = 1 << 20
	if need := len(l.buf) + n; need > cap(l.buf) {
		room := min(l.total, uint64(max(firstBuffer, 2*cap(l.buf), need)))
		l.buf = append(make([]byte, 0, room), l.buf...)
	}
	l.buf = l.buf[:len(l.buf)+n]
}

// giveBack asks the sender to start the message over, for another receiver, and returns err. If
// there is another piece by now, it goes on with that. If that completes the message, it returns
// nil.
func (l *longReceive) giveBack(err error) error {
	s := &l.k.in
	for range giveBackTries {
		if s.askAgain(s.w.head.Load() & s.mask) {
			return err
		}
		for l.got < l.total {
			if err := l.piece(); err == ErrEmpty {
				break
			} else if err != nil {
				return err
			}
		}
		if l.got == l.total {
			return nil
		}
	}
	return ErrCorrupt // each time there was a piece, and then there was none
}

// giveBackTries bounds giveBack in case that another process writes nonsense. Each try takes all
// pieces that are there.
const giveBackTries = 1 << 10

// maxLength is the longest message that fits into memory.
const maxLength = math.MaxInt
