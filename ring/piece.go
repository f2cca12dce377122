package ring

import (
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/party"
)

// A long message is one that is longer than stream.limit. It goes through the ring in pieces. The
// header of a piece is
//
//	 63 62                    4 3   2 1  0
//	+--+-----------------------+-----+----+
//	|C | length in bytes       | P   | 3  |   P: 0 first, 1 next, 2 last, 3 mark
//	+--+-----------------------+-----+----+
//
// C is for the first piece only: a receiver has claimed the message. The first piece begins with
// the length of the whole message and the party ID of its sender, 8 bytes each. A mark is no piece. There are two: "aborted" is a record of the sender, without
// bytes. "again" is written by a receiver where the next piece would be, and means "nothing yet" to
// all but the sender of the message.
//
//	send:    1  own the sending side up to the end
//	         2  for each piece: wait for space; the header after the piece becomes 0; the bytes are
//	            copied in; the header is written, by a CAS of 0 unless the piece is the first
//	         3  the last piece is there          sent: it will be received
//	receive: 1  own the receiving side up to the end
//	         2  the first piece is claimed, by a CAS of its header
//	         3  for each piece: wait for it; the bytes are copied out; head moves
//	         4  the last piece is taken          received
//
// Sending may end before step 3:
//
//   - The sender gives up, because its context is done or an end was closed. If no receiver has
//     claimed the message, it takes the message back: it moves tail back, and then makes the header
//     of the first piece 0 by a CAS. If the CAS fails, it restores tail. If it is killed in between,
//     the next sender walks on from there, as after a sender that has died before it moved tail.
//   - If a receiver has claimed it, the sender writes "aborted" by a CAS of 0. It always has space
//     for that: each piece leaves 16 bytes free and not 8.
//   - The sender is killed. Whatever the next sender sends is not the next piece.
//
// The receiver then throws away what it has and waits for the next message. It does the same when
// it sees that the sender has died. The message was not sent.
//
// Receiving may end before step 4:
//
//   - The receiver gives up, because its context is done or its end was closed. It has taken all
//     pieces, for otherwise it would not wait. It writes "again" by a CAS of the 0 at head. If the
//     CAS fails, there is another piece, and the receiver goes on with that. The sender finds
//     "again" where its next piece should go, because its CAS fails, and starts over with the first
//     piece. So the message is not lost: the end's next receiver receives it.
//   - The receiver is killed. The next receiver finds a next or last piece at head. It passes what
//     is there. If that ends with a last piece, the message is lost: it is the message that the
//     killed receiver may have been about to return. Otherwise the receiver writes "again".
//
// Both sides decide by a CAS of one word: the header of the first piece, or that of the next one.
// So a message is completed, started over or given up, whatever is killed or stopped at whatever
// instruction. An "again" that
// no sender answers, because it has died or given up, is overwritten by the next record.
const (
	partFirst = 0
	partNext  = 1
	partLast  = 2
	partMark  = 3

	partShift        = 2
	partMask         = 3
	pieceLengthShift = 4

	againHeader   = 1<<pieceLengthShift | partMark<<partShift | kindPiece
	abortedHeader = partMark<<partShift | kindPiece

	claimed = 1 << 63 // C

	longHead = 16 // length and sender, at the beginning of the first piece

	minPiece = 64 // where less is left before the end of the ring, a filler takes it
)

func pieceHeader(n int, part uint64) uint64 {
	return uint64(n)<<pieceLengthShift | part<<partShift | kindPiece
}

func pieceLength(header uint64) uint64 { return header &^ claimed >> pieceLengthShift }
func partOf(header uint64) uint64      { return header >> partShift & partMask }

// piecesInRing is how many pieces a ring holds, so that sender and receiver work side by side.
const piecesInRing = 8

// isNothing reports whether a header says that there is no record.
func isNothing(header uint64) bool { return header == 0 || header == againHeader }

// longFront returns the long message whose first piece is at offset at.
func (s *stream) longFront(at, header uint64) (heldRecord, error) {
	if pieceLength(header) < longHead {
		return heldRecord{}, ErrCorrupt
	}
	return heldRecord{
		at:     at,
		n:      int(pieceLength(header)),
		header: header,
		total:  word(s.ring, at+recordHead).Load(),
		from:   party.ID(word(s.ring, at+recordHead+8).Load()),
	}, nil
}

// claim claims a long message that front returned, so that its sender does not take it back. It
// fails with errDropped if the sender has done that.
func (s *stream) claim(v heldRecord) (heldRecord, error) {
	h := v.header | claimed
	if v.header != h && !word(s.ring, v.at).CompareAndSwap(v.header, h) { // [CLAIM]
		return v, errDropped
	}
	if crash.Enabled {
		crash.At(crash.PipeClaimed)
	}
	return s.longFront(v.at, h) // it may be another message, at the same position
}

// hasDeadSender reports whether the sender of a long message is dead. If the message is not claimed, v.from
// may be anything.
func (s *stream) hasDeadSender(v heldRecord) bool {
	s.rx.table.Watch(s.rx.table.Epoch().Load()) // a process that only polls learns of deaths, too
	return s.rx.table.Dead(v.from)
}

// isAbandoned reports whether the last piece of the long message whose first piece is at head was not sent.
// The message is claimed, and its sender is dead.
func (s *stream) isAbandoned(head uint64) bool {
	for from := head; head-from <= s.size; {
		at := head & s.mask
		h := word(s.ring, at).Load()
		size, err := s.extent(at, h)
		switch {
		case isNothing(h):
			return true
		case err != nil:
			return false // front finds the same
		case h&kindMask == kindFiller:
		case h&kindMask != kindPiece || partOf(h) == partMark || partOf(h) == partFirst && head != from:
			return true
		case partOf(h) == partLast:
			return false
		}
		head += size
	}
	return false
}

// beyondTail reports whether no record can be at head. The count of a record is less than tail. It is tail
// if its sender has not moved tail yet, and exceeds it by less than a ring while a sender tries to take a
// message back. The check ends a walk through a ring that another process has filled with nonsense.
func (s *stream) beyondTail(head uint64) bool { return int64(s.w.tail.Load()+s.size-head) < 0 }

// pass frees the size bytes at head, which are of no use to this receiver, and wakes a sender.
func (s *stream) pass(head, size uint64) error {
	if s.beyondTail(head) {
		return ErrCorrupt
	}
	fence.Publish64(&s.w.head, head+size)
	s.w.writable.Notify()
	return nil
}

// askAgain asks the sender of a long message to start it over, unless there is a record at offset
// at, where the next piece would be. It reports whether there is none.
func (s *stream) askAgain(at uint64) bool {
	w := word(s.ring, at)
	if !w.CompareAndSwap(0, againHeader) && w.Load() != againHeader { // [AGAIN]
		return false
	}
	if crash.Enabled {
		crash.At(crash.PipeAgain)
	}
	return true
}

// pieceSpace finds space for the next piece of a message of which rest bytes are left. It returns
// the offset of the piece and its length. It fails with ErrFull, ErrCorrupt, or errAgain. The
// caller owns the sending side, and has repaired tail.
//
// It leaves space for an "aborted" after the piece.
func (s *stream) pieceSpace(rest uint64, first bool) (at uint64, n int, err error) {
	tail := s.w.tail.Load() &^ (recordAlign - 1)
	at = tail & s.mask
	if !first && word(s.ring, at).Load() == againHeader { // [AGAIN]
		return 0, 0, errAgain
	}
	want := rest
	if first {
		want += longHead
	}
	want = min(want, s.pieceLimit)
	if toEnd := s.size - at; recordHead+want > toEnd {
		if toEnd < recordHead+minPiece {
			return at, -1, s.checkSpace(tail, toEnd+recordHead)
		}
		want = toEnd - recordHead
	}
	if err := s.checkSpace(tail, recordSize(int(want))+recordHead); err != nil {
		return 0, 0, err
	}
	return at, int(want), nil
}

// publishPiece writes the header of the record that takes the size bytes at offset at. Unless the
// record is the first of its message, it fails with errAgain or ErrCorrupt if a header is there.
func (s *stream) publishPiece(at, size, header uint64, first bool) error {
	w := word(s.ring, at)
	if crash.Enabled {
		crash.At(crash.PipePieceCopied)
	}
	if first {
		fence.Publish64(w, header)
	} else if !w.CompareAndSwap(0, header) { // [AGAIN]
		if w.Load() == againHeader {
			return errAgain
		}
		return ErrCorrupt
	}
	if crash.Enabled {
		crash.At(crash.PipePiecePublished)
	}
	fence.Publish64(&s.w.tail, s.w.tail.Load()+size)
	if crash.Enabled {
		crash.At(crash.PipePieceMoved)
	}
	s.w.readable.Notify()
	return nil
}

// takeBack takes a long message back whose first piece, with that header, begins at count start. It
// reports whether it did: not if a receiver has claimed the message.
//
// If the pieces have gone around the ring, the first one was received, and its header was written
// over by the bytes of another piece, which may be anything.
func (s *stream) takeBack(start, header uint64) bool {
	tail, first := s.w.tail.Load(), word(s.ring, start&s.mask)
	if tail-start > s.size-2*recordHead || first.Load() != header {
		return false
	}
	s.w.tail.Store(start) // before the CAS: a kill in between would leave tail beyond a header of 0, where no receiver comes
	if crash.Enabled {
		crash.At(crash.PipeTailBack)
	}
	if !first.CompareAndSwap(header, 0) { // [CLAIM]
		s.w.tail.Store(tail)
		return false
	}
	if crash.Enabled {
		crash.At(crash.PipeTakenBack)
	}
	return true
}

// clearAfter makes the header after a record 0. It lies in free space.
func (s *stream) clearAfter(at, size uint64) { fence.Publish64(word(s.ring, (at+size)&s.mask), 0) }
