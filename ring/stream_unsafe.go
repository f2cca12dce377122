package ring

import (
	"fmt"
	"structs"
	"sync/atomic"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// streamWords is one direction of a pipe in shared memory: a ring of records, written by one side
// and read by the other. The ring itself is elsewhere in the pipe: see pipeWords.
//
//	0     tx        lock of the sending side
//	128   tail      where the next record goes; written by the sender
//	136   seenHead  head as the sender last read it
//	256   rx        lock of the receiving side
//	384   head      where the next record is; written by the receiver
//	512   readable  gate of receivers
//	640   writable  gate of senders
//
// tail and head count bytes, modulo 2^64. A count modulo the size of the ring is an offset in
// the ring. A record is a header of 8 bytes and the bytes of the message, padded to 8:
//
//	 63                              2 1  0
//	+---------------------------------+----+
//	| length in bytes                 | K  |   K: 0 nothing yet, 1 record, 2 filler,
//	+---------------------------------+----+      3 piece of a long message: see piece.go
//
// The header publishes the record. A receiver does not read tail at all: a header of 0 at its head
// means that the ring is empty. So a message costs the transfer of its own cache lines and of no
// others.
//
//	send:    1  the header after this record becomes 0 (it lies in free space)
//	         2  the bytes are copied in
//	         3  the header is written          sent: it will be received
//	         4  tail moves
//	         5  wake a receiver
//	receive: 1  the bytes are copied out
//	         2  head moves                     received: the space is free
//	         3  wake a sender
//
// A record does not wrap around. If it does not fit before the end of the ring, the sender sends a
// filler that takes the rest, and then the record at the front.
//
// A sender killed before 3 leaves nothing: the next sender writes over its bytes. A sender killed
// between 3 and 4 leaves tail behind, and the next sender walks on to the first header of 0. A
// receiver killed before 2 leaves the message for the next receiver, since its Receive did not
// return. If a process dies between a publication and the wake that should follow it, its death
// wakes the sleepers.
//
// The cached cursor is that of Lamport's ring as in rigtorp's SPSCQueue. Records whose headers
// publish them are from Agrona's ring buffers.
type streamWords struct {
	_        structs.HostLayout
	tx       biasedLockWords
	_        [104]byte
	tail     atomic.Uint64
	seenHead atomic.Uint64
	_        [112]byte // above: written by senders; below: by receivers
	rx       biasedLockWords
	_        [104]byte
	head     atomic.Uint64
	_        [120]byte
	readable wait.Gate
	_        [120]byte
	writable wait.Gate
	_        [120]byte
}

const (
	streamHead  = 768
	recordHead  = 8
	kindRecord  = 1
	kindFiller  = 2
	kindPiece   = 3
	kindMask    = 3
	lengthShift = 2
	minRing     = 4096
	maxRing     = 1 << 40
	recordAlign = 8 // records begin at multiples of it
)

var _ [streamHead]byte = [unsafe.Sizeof(streamWords{})]byte{}

// A stream is this process's view of one direction.
type stream struct {
	w           *streamWords
	ring        unsafe.Pointer
	data        []byte
	size        uint64 // of the ring, a power of two
	mask        uint64 // a count & mask is the offset of its record
	inlineLimit int    // the longest message that sendInline and receiveInline copy
	limit       int    // the longest record: one that fits into an empty ring at any tail
	pieceLimit  uint64 // the longest piece of a long message
	tx, rx      biasedLock
}

func (s *stream) init(o object.Object, words int, data []byte, open func() bool) {
	s.w = view.At[streamWords](o.Bytes(), words)
	s.data, s.ring, s.size = data, base(data), uint64(len(data))
	s.mask = s.size - recordAlign
	s.limit = len(data)/2 - 2*recordHead
	s.inlineLimit = min(s.limit, piece)
	s.pieceLimit = min(s.size/piecesInRing-2*recordHead, piece)
	s.tx.init(&s.w.tx, o, open)
	s.rx.init(&s.w.rx, o, open)
}

func recordSize(n int) uint64 { return recordHead + (uint64(n)+recordAlign-1)&^(recordAlign-1) }

func recordHeader(n int) uint64 { return uint64(n)<<lengthShift | kindRecord }

// message returns the bytes of the record at offset at.
func (s *stream) message(at uint64, n int) []byte {
	at += recordHead
	return s.data[at : at+uint64(n) : at+uint64(n)]
}

// The methods whose names end in Inline are the fast way to send and receive. They acquire and
// release the side by its bias, with the code of biasedLock written out for speed, since functions
// of that size are not inlined. If such a method returns false, nothing has happened, and the
// caller goes the slow way: biasedLock.acquire, then reserve or front.

// reserveInline acquires the sending side and finds space for a message of n bytes.
func (s *stream) reserveInline(n int) (at uint64, ok bool) {
	if s.tx.goroutine.Load() != cpu.Self() || s.w.tx.inside.Load() != 0 || !fence.Ready() {
		return 0, false
	}
	w := s.w
	fence.Put32(&w.tx.inside, 1)
	if w.tx.bias.Load() == s.tx.mine { // [BIAS]
		if crash.Enabled {
			crash.At(crash.PipeSendEntered)
		}
		tail := w.tail.Load()
		need := recordSize(n)
		at = tail & s.mask
		if uint(n) <= uint(s.limit) && at+need <= s.size && tail-w.seenHead.Load() <= s.size-recordHead-need &&
			word(s.ring, at).Load() == 0 {
			fence.Put64(word(s.ring, (at+need)&s.mask), 0)
			return at, true
		}
	}
	s.tx.releaseBiased()
	return 0, false
}

// commitInline publishes the record of reserveInline, releases the side and wakes a receiver.
func (s *stream) commitInline(at uint64, n int) {
	w := s.w
	if crash.Enabled {
		crash.At(crash.PipeSendCopied) // no message
	}
	fence.Put64(word(s.ring, at), recordHeader(n))
	if crash.Enabled {
		crash.At(crash.PipeSendPublished) // sent; the next sender repairs tail
	}
	fence.Put64(&w.tail, w.tail.Load()+recordSize(n))
	if crash.Enabled {
		crash.At(crash.PipeSendMoved)
	}
	fence.Put32(&w.tx.inside, 0)
	if w.tx.bias.Load() != s.tx.mine { // [BIAS]
		s.tx.wakeRevoker()
	}
	if crash.Enabled {
		crash.At(crash.PipeSendLeft)
	}
	w.readable.Notify()
}

// sendInline is reserveInline, the copy and commitInline in one. It reports whether it sent msg.
func (s *stream) sendInline(msg []byte) bool {
	if s.tx.goroutine.Load() != cpu.Self() || s.w.tx.inside.Load() != 0 || !fence.Ready() {
		return false
	}
	w := s.w
	fence.Put32(&w.tx.inside, 1)
	if w.tx.bias.Load() != s.tx.mine { // [BIAS]
		s.tx.backOut()
		return false
	}
	if crash.Enabled {
		crash.At(crash.PipeSendEntered)
	}
	n := len(msg)
	tail, need := w.tail.Load(), recordSize(n)
	at := tail & s.mask
	if n > s.inlineLimit || at+need > s.size || tail-w.seenHead.Load() > s.size-recordHead-need || word(s.ring, at).Load() != 0 {
		s.tx.releaseBiased()
		return false
	}
	fence.Put64(word(s.ring, (at+need)&s.mask), 0)
	copy(s.message(at, n), msg)
	if crash.Enabled {
		crash.At(crash.PipeSendCopied)
	}
	// To load these again is cheaper than to keep them across the copy.
	w = s.w
	tail = w.tail.Load()
	fence.Put64(word(s.ring, tail&s.mask), recordHeader(n))
	if crash.Enabled {
		crash.At(crash.PipeSendPublished)
	}
	fence.Put64(&w.tail, tail+recordSize(n))
	if crash.Enabled {
		crash.At(crash.PipeSendMoved)
	}
	fence.Put32(&w.tx.inside, 0)
	if w.tx.bias.Load() != s.tx.mine { // [BIAS]
		s.tx.wakeRevoker()
	}
	if crash.Enabled {
		crash.At(crash.PipeSendLeft)
	}
	w.readable.Notify()
	return true
}

// receiveInline is frontInline, the copy and releaseInline in one. It reports whether it received.
func (s *stream) receiveInline(buf []byte) (int, bool) {
	if s.rx.goroutine.Load() != cpu.Self() || s.w.rx.inside.Load() != 0 || !fence.Ready() {
		return 0, false
	}
	w := s.w
	fence.Put32(&w.rx.inside, 1)
	if w.rx.bias.Load() != s.rx.mine { // [BIAS]
		s.rx.backOut()
		return 0, false
	}
	if crash.Enabled {
		crash.At(crash.PipeReceiveEntered)
	}
	head := w.head.Load()
	at := head & s.mask
	h := word(s.ring, at).Load()
	n := h >> lengthShift
	if h&kindMask != kindRecord || n > uint64(s.inlineLimit) || n > uint64(len(buf)) || n > s.size-at-recordHead {
		s.rx.releaseBiased()
		return 0, false
	}
	copy(buf, s.message(at, int(n)))
	if crash.Enabled {
		crash.At(crash.PipeReceiveCopied)
	}
	fence.Put64(&w.head, head+recordSize(int(n)))
	if crash.Enabled {
		crash.At(crash.PipeReceiveMoved)
	}
	fence.Put32(&w.rx.inside, 0)
	if w.rx.bias.Load() != s.rx.mine { // [BIAS]
		s.rx.wakeRevoker()
	}
	if crash.Enabled {
		crash.At(crash.PipeReceiveLeft)
	}
	w.writable.Notify()
	return int(n), true
}

// reserve finds space for a message of n bytes. It fails with ErrFull, ErrTooLarge or ErrCorrupt.
// The caller owns the sending side.
func (s *stream) reserve(n int) (at uint64, err error) {
	if n < 0 || n > s.limit {
		return 0, fmt.Errorf("%w: %d bytes, and the ring has space for %d at once", ErrTooLarge, n, s.limit)
	}
	need := recordSize(n)
	for {
		tail, err := s.repairTail()
		if err != nil {
			return 0, err
		}
		at := tail & s.mask
		if at+need <= s.size {
			if err := s.checkSpace(tail, need); err != nil {
				return 0, err
			}
			fence.Publish64(word(s.ring, (at+need)&s.mask), 0)
			return at, nil
		}
		rest := s.size - at
		if err := s.checkSpace(tail, rest); err != nil {
			return 0, err
		}
		fence.Publish64(word(s.ring, 0), 0)
		fence.Publish64(word(s.ring, at), rest<<lengthShift|kindFiller)
		fence.Publish64(&s.w.tail, tail+rest)
	}
}

// publish publishes the record that reserve found space for: steps 3 and 4 of send.
//
// It is the reference for these steps. commitInline, sendInline, Sender.Next and Sender.Commit
// repeat them with fence.Put64, because publish is too large to be inlined.
func (s *stream) publish(at uint64, n int) {
	if crash.Enabled {
		crash.At(crash.PipeSendCopied)
	}
	fence.Publish64(word(s.ring, at), recordHeader(n))
	if crash.Enabled {
		crash.At(crash.PipeSendPublished)
	}
	fence.Publish64(&s.w.tail, s.w.tail.Load()+recordSize(n))
	if crash.Enabled {
		crash.At(crash.PipeSendMoved)
	}
}

// checkSpace returns nil if need bytes from tail on are free, and the header after them. It fails
// with ErrFull or ErrCorrupt.
func (s *stream) checkSpace(tail, need uint64) error {
	head := s.w.head.Load()
	used := tail - head
	if used > s.size {
		return ErrCorrupt
	}
	fence.Publish64(&s.w.seenHead, head)
	if need+recordHead > s.size-used {
		return ErrFull
	}
	return nil
}

// repairTail returns tail. If a sender was killed between steps 3 and 4, or while it took a long message
// back, it first moves tail on to the first header that says "nothing yet".
func (s *stream) repairTail() (uint64, error) {
	first := s.w.tail.Load() &^ (recordAlign - 1)
	for tail := first; tail-first <= s.size; {
		at := tail & s.mask
		h := word(s.ring, at).Load()
		if isNothing(h) {
			if tail != first {
				fence.Publish64(&s.w.tail, tail)
			}
			return tail, nil
		}
		n, err := s.extent(at, h)
		if err != nil {
			return 0, err
		}
		tail += n
	}
	return 0, ErrCorrupt
}

// extent returns how many bytes of the ring the record or filler at offset at takes. It fails with
// ErrCorrupt if no such record can be there.
func (s *stream) extent(at, header uint64) (uint64, error) {
	n, rest := header>>lengthShift, s.size-at
	switch header & kindMask {
	case kindRecord:
		if n <= rest-recordHead {
			return recordSize(int(n)), nil
		}
	case kindFiller:
		if n == rest {
			return n, nil
		}
	case kindPiece:
		if n = pieceLength(header); n <= rest-recordHead {
			return recordSize(int(n)), nil
		}
	}
	return 0, ErrCorrupt
}

// frontInline acquires the receiving side and finds the oldest message.
func (s *stream) frontInline() (at uint64, n int, ok bool) {
	if s.rx.goroutine.Load() != cpu.Self() || s.w.rx.inside.Load() != 0 || !fence.Ready() {
		return 0, 0, false
	}
	w := s.w
	fence.Put32(&w.rx.inside, 1)
	if w.rx.bias.Load() == s.rx.mine { // [BIAS]
		if crash.Enabled {
			crash.At(crash.PipeReceiveEntered)
		}
		at = w.head.Load() & s.mask
		h := word(s.ring, at).Load()
		if n := h >> lengthShift; h&kindMask == kindRecord && n <= s.size-at-recordHead {
			return at, int(n), true
		}
	}
	s.rx.releaseBiased()
	return 0, 0, false
}

// releaseInline frees the space of the message of frontInline, releases the side and wakes a
// sender.
func (s *stream) releaseInline(n int) {
	w := s.w
	if crash.Enabled {
		crash.At(crash.PipeReceiveCopied) // the message stays for the next receiver
	}
	fence.Put64(&w.head, w.head.Load()+recordSize(n))
	if crash.Enabled {
		crash.At(crash.PipeReceiveMoved) // received, though Receive does not return
	}
	fence.Put32(&w.rx.inside, 0)
	if w.rx.bias.Load() != s.rx.mine { // [BIAS]
		s.rx.wakeRevoker()
	}
	if crash.Enabled {
		crash.At(crash.PipeReceiveLeft)
	}
	w.writable.Notify()
}

// front finds the oldest message. It fails with ErrEmpty or ErrCorrupt. The caller owns the
// receiving side.
//
// front passes fillers, and the pieces of a long message whose beginning is gone. If their sender
// may still be sending, front asks it to start the message over.
func (s *stream) front() (heldRecord, error) {
	orphans := false // the last piece that was passed is not the end of its message
	for {
		head := s.w.head.Load() &^ (recordAlign - 1)
		at := head & s.mask
		h := word(s.ring, at).Load()
		if isNothing(h) {
			if orphans && !s.askAgain(at) {
				continue // there is another piece
			}
			return heldRecord{}, ErrEmpty
		}
		size, err := s.extent(at, h)
		if err != nil {
			return heldRecord{}, err
		}
		switch h & kindMask {
		case kindRecord:
			return heldRecord{at: at, n: int(h >> lengthShift)}, nil
		case kindPiece:
			if partOf(h) == partFirst {
				v, err := s.longFront(at, h)
				if err != nil || !s.hasDeadSender(v) {
					return v, err
				}
				if h&claimed == 0 {
					// Until it is claimed its sender may take it back, and others may send there: then what was
					// read is of two messages.
					_, _ = s.claim(v) // if it fails, there is something else at head now
					continue
				}
				if !s.isAbandoned(head) {
					return v, nil
				}
			}
			orphans = partOf(h) == partNext
		}
		if err := s.pass(head, size); err != nil {
			return heldRecord{}, err
		}
	}
}

// release frees the space of the message that front found: step 2 of receive. It is the reference
// for this step. releaseInline and receiveInline repeat it with fence.Put64, and a Receiver, which
// knows the next head, does not load head again.
func (s *stream) release(n int) {
	if crash.Enabled {
		crash.At(crash.PipeReceiveCopied)
	}
	fence.Publish64(&s.w.head, s.w.head.Load()+recordSize(n))
	if crash.Enabled {
		crash.At(crash.PipeReceiveMoved)
	}
}

// The methods below may be called without owning a side. Their results may be out of date.

// hasMessage reports whether there may be a message to receive: not if it is a long one that its sender
// tries to take back. If several goroutines receive, head may move on during the call, and the word at
// the old head may become the middle of a message that is being written. So hasMessage compares the
// cursors if the bias was revoked.
func (s *stream) hasMessage() bool {
	if s.w.rx.bias.Load()&revoked != 0 {
		return s.w.tail.Load() != s.w.head.Load()
	}
	return !s.isEmpty()
}

// hasMessageAfter reports whether there may be a message behind v. The caller owns the receiving side.
func (s *stream) hasMessageAfter(v heldRecord) bool {
	return !isNothing(word(s.ring, (v.at+recordSize(v.n))&s.mask).Load())
}

// isEmpty reports whether there is no message to receive. It is exact once no process sends any
// more.
func (s *stream) isEmpty() bool {
	return isNothing(word(s.ring, s.w.head.Load()&s.mask).Load())
}

// mostlyFree reports whether at least an eighth of the ring is free.
func (s *stream) mostlyFree() bool { return s.w.tail.Load()-s.w.head.Load() <= s.size-s.size/8 }

// mayFit reports whether a message of n bytes may fit.
func (s *stream) mayFit(n int) bool {
	return s.w.tail.Load()-s.w.head.Load() <= s.size-recordHead-recordSize(n)
}
