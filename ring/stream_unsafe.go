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

// streamWords is one direction of a pipe in shared memory: a ring of records,
// written by one side and read by the other. The ring's bytes follow elsewhere.
//
//	0     tx seat   who sends
//	128   tail      where the next record goes; written by who sends
//	136   seen      head as the sender last read it
//	256   rx seat   who receives
//	384   head      where the next record is; written by who receives
//	512   readable  gate of receivers
//	640   writable  gate of senders
//
// tail and head count bytes for ever; a place in the ring is the count modulo its
// size. A record is a header of 8 bytes and its bytes, padded to 8:
//
//	 63                              2 1  0
//	+---------------------------------+----+
//	| length in bytes                 | K  |   K: 0 nothing yet, 1 record, 2 filler
//	+---------------------------------+----+
//
// The header publishes the record. A receiver does not look at tail at all: a
// header of 0 where it stands means empty, so that a message costs the transfer
// of its own cache lines and of no others.
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
// A record does not wrap. Where it does not fit before the end, a filler is sent
// that takes the rest, and then the record at the front.
//
// A sender killed before 3 leaves nothing: the next one writes over it. Killed
// between 3 and 4 it leaves tail behind, and the next one walks on to the first
// header of 0. A receiver killed before 2 leaves the message for the next receiver:
// its Receive did not return. Sleepers left by a death between a publication and
// the wake are woken by the death.
//
// Cached cursors are from Lamport's ring as rigtorp's SPSCQueue has it, records
// with headers that publish from Agrona's ring buffers.
type streamWords struct {
	_        structs.HostLayout
	tx       seatWords
	_        [104]byte
	tail     atomic.Uint64
	seen     atomic.Uint64
	_        [112]byte // senders above, receivers below
	rx       seatWords
	_        [104]byte
	head     atomic.Uint64
	_        [120]byte
	readable wait.Gate
	_        [120]byte
	writable wait.Gate
	_        [120]byte
}

const (
	streamHead   = 768
	recordHead   = 8
	kindRecord   = 1
	kindFiller   = 2
	kindMask     = 3
	lengthShift  = 2
	minRing      = 4096
	maxRing      = 1 << 40
	recordPlaces = 8 // records lie at multiples of
)

var _ [streamHead]byte = [unsafe.Sizeof(streamWords{})]byte{}

// A stream is this process's view of one direction.
type stream struct {
	w      *streamWords
	ring   unsafe.Pointer
	data   []byte
	size   uint64 // of the ring, a power of two
	places uint64 // mask: the place of a count of bytes
	brief  int    // the longest message for send and receive
	limit  int    // the longest message: it fits into an empty ring, wherever that stands
	tx, rx seat
}

func (s *stream) init(o object.Object, words int, data []byte, open func() bool) {
	s.w = view.At[streamWords](o.Bytes(), words)
	s.data, s.ring, s.size = data, base(data), uint64(len(data))
	s.places = s.size - recordPlaces
	s.limit = len(data)/2 - 2*recordHead
	s.brief = min(s.limit, piece)
	s.tx.init(&s.w.tx, o, open)
	s.rx.init(&s.w.rx, o, open)
}

func recordSize(n int) uint64 { return recordHead + (uint64(n)+recordPlaces-1)&^(recordPlaces-1) }

func recordHeader(n int) uint64 { return uint64(n)<<lengthShift | kindRecord }

// message returns the bytes of the record at at.
func (s *stream) message(at uint64, n int) []byte {
	at += recordHead
	return s.data[at : at+uint64(n) : at+uint64(n)]
}

// begin enters the sending seat the short way and finds room for n bytes. If
// it does not succeed, nothing has happened, and the long way may. It is written
// in one piece for speed.
func (s *stream) begin(n int) (at uint64, ok bool) {
	if s.tx.goroutine.Load() != cpu.Self() || s.w.tx.inside.Load() != 0 || !fence.Ready() {
		return 0, false
	}
	w := s.w
	fence.Put32(&w.tx.inside, 1)
	if w.tx.bias.Load() == s.tx.mine { // [SEAT]
		if crash.Enabled {
			crash.At(crash.PipeSendEntered)
		}
		tail := w.tail.Load()
		need := recordSize(n)
		at = tail & s.places
		if uint(n) <= uint(s.limit) && at+need <= s.size && tail-w.seen.Load() <= s.size-recordHead-need &&
			word(s.ring, at).Load() == 0 {
			fence.Put64(word(s.ring, (at+need)&s.places), 0)
			return at, true
		}
	}
	s.tx.leave()
	return 0, false
}

// end publishes the record that begin made room for, leaves the seat and wakes
// a receiver.
func (s *stream) end(at uint64, n int) {
	w := s.w
	if crash.Enabled {
		crash.At(crash.PipeSendCopied) // nothing is there for anybody
	}
	fence.Put64(word(s.ring, at), recordHeader(n))
	if crash.Enabled {
		crash.At(crash.PipeSendPublished) // sent; the next sender walks on
	}
	fence.Put64(&w.tail, w.tail.Load()+recordSize(n))
	if crash.Enabled {
		crash.At(crash.PipeSendMoved)
	}
	fence.Put32(&w.tx.inside, 0)
	if w.tx.bias.Load() != s.tx.mine { // [SEAT]
		s.tx.vacated()
	}
	if crash.Enabled {
		crash.At(crash.PipeSendLeft)
	}
	w.readable.Notify()
}

// send is begin, the copy and end in one piece, for speed. If it does not
// succeed, nothing has happened, and the long way may.
func (s *stream) send(msg []byte) bool {
	if s.tx.goroutine.Load() != cpu.Self() || s.w.tx.inside.Load() != 0 || !fence.Ready() {
		return false
	}
	w := s.w
	fence.Put32(&w.tx.inside, 1)
	if w.tx.bias.Load() != s.tx.mine { // [SEAT]
		s.tx.ousted()
		return false
	}
	if crash.Enabled {
		crash.At(crash.PipeSendEntered)
	}
	n := len(msg)
	tail, need := w.tail.Load(), recordSize(n)
	at := tail & s.places
	if n > s.brief || at+need > s.size || tail-w.seen.Load() > s.size-recordHead-need || word(s.ring, at).Load() != 0 {
		s.tx.leave()
		return false
	}
	fence.Put64(word(s.ring, (at+need)&s.places), 0)
	copy(s.message(at, n), msg)
	if crash.Enabled {
		crash.At(crash.PipeSendCopied)
	}
	// Read again what was read before: cheaper than to keep it over the copy.
	w = s.w
	tail = w.tail.Load()
	fence.Put64(word(s.ring, tail&s.places), recordHeader(n))
	if crash.Enabled {
		crash.At(crash.PipeSendPublished)
	}
	fence.Put64(&w.tail, tail+recordSize(n))
	if crash.Enabled {
		crash.At(crash.PipeSendMoved)
	}
	fence.Put32(&w.tx.inside, 0)
	if w.tx.bias.Load() != s.tx.mine { // [SEAT]
		s.tx.vacated()
	}
	if crash.Enabled {
		crash.At(crash.PipeSendLeft)
	}
	w.readable.Notify()
	return true
}

// receive is take, the copy and done in one piece.
func (s *stream) receive(buf []byte) (int, bool) {
	if s.rx.goroutine.Load() != cpu.Self() || s.w.rx.inside.Load() != 0 || !fence.Ready() {
		return 0, false
	}
	w := s.w
	fence.Put32(&w.rx.inside, 1)
	if w.rx.bias.Load() != s.rx.mine { // [SEAT]
		s.rx.ousted()
		return 0, false
	}
	if crash.Enabled {
		crash.At(crash.PipeReceiveEntered)
	}
	head := w.head.Load()
	at := head & s.places
	h := word(s.ring, at).Load()
	n := h >> lengthShift
	if h&kindMask != kindRecord || n > uint64(s.brief) || n > uint64(len(buf)) || n > s.size-at-recordHead {
		s.rx.leave()
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
	if w.rx.bias.Load() != s.rx.mine { // [SEAT]
		s.rx.vacated()
	}
	if crash.Enabled {
		crash.At(crash.PipeReceiveLeft)
	}
	w.writable.Notify()
	return int(n), true
}

// reserve finds room for n bytes. It fails with ErrFull, ErrTooLarge, or
// ErrCorrupt. The caller sits in the sending seat.
func (s *stream) reserve(n int) (at uint64, err error) {
	if n < 0 || n > s.limit {
		return 0, fmt.Errorf("%w: %d bytes, the most is %d", ErrTooLarge, n, s.limit)
	}
	need := recordSize(n)
	for {
		tail, err := s.walk()
		if err != nil {
			return 0, err
		}
		at := tail & s.places
		if at+need <= s.size {
			if err := s.room(tail, need); err != nil {
				return 0, err
			}
			fence.Publish64(word(s.ring, (at+need)&s.places), 0)
			return at, nil
		}
		rest := s.size - at
		if err := s.room(tail, rest); err != nil {
			return 0, err
		}
		fence.Publish64(word(s.ring, 0), 0)
		fence.Publish64(word(s.ring, at), rest<<lengthShift|kindFiller)
		fence.Publish64(&s.w.tail, tail+rest)
	}
}

// publish makes the record appear that reserve made room for.
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

// room makes sure that need bytes from tail on are free, and the header after
// them.
func (s *stream) room(tail, need uint64) error {
	head := s.w.head.Load()
	used := tail - head
	if used > s.size {
		return ErrCorrupt
	}
	fence.Publish64(&s.w.seen, head)
	if need+recordHead > s.size-used {
		return ErrFull
	}
	return nil
}

// walk returns tail, moved on to the first header of 0 if a sender was killed
// before it moved it.
func (s *stream) walk() (uint64, error) {
	first := s.w.tail.Load() &^ (recordPlaces - 1)
	for tail := first; tail-first <= s.size; {
		at := tail & s.places
		h := word(s.ring, at).Load()
		if h == 0 {
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

// extent returns how many bytes of the ring a record or filler at at takes,
// after checking that it may be there.
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
	}
	return 0, ErrCorrupt
}

// take enters the receiving seat the short way and finds the oldest message.
// If it does not succeed, nothing has happened, and the long way may.
func (s *stream) take() (at uint64, n int, ok bool) {
	if s.rx.goroutine.Load() != cpu.Self() || s.w.rx.inside.Load() != 0 || !fence.Ready() {
		return 0, 0, false
	}
	w := s.w
	fence.Put32(&w.rx.inside, 1)
	if w.rx.bias.Load() == s.rx.mine { // [SEAT]
		if crash.Enabled {
			crash.At(crash.PipeReceiveEntered)
		}
		at = w.head.Load() & s.places
		h := word(s.ring, at).Load()
		if n := h >> lengthShift; h&kindMask == kindRecord && n <= s.size-at-recordHead {
			return at, int(n), true
		}
	}
	s.rx.leave()
	return 0, 0, false
}

// done gives the space of the message that take found back, leaves the seat
// and wakes a sender.
func (s *stream) done(n int) {
	w := s.w
	if crash.Enabled {
		crash.At(crash.PipeReceiveCopied) // the message stays for the next receiver
	}
	fence.Put64(&w.head, w.head.Load()+recordSize(n))
	if crash.Enabled {
		crash.At(crash.PipeReceiveMoved) // received, though Receive does not return
	}
	fence.Put32(&w.rx.inside, 0)
	if w.rx.bias.Load() != s.rx.mine { // [SEAT]
		s.rx.vacated()
	}
	if crash.Enabled {
		crash.At(crash.PipeReceiveLeft)
	}
	w.writable.Notify()
}

// front finds the oldest message. It fails with ErrEmpty or ErrCorrupt. The
// caller sits in the receiving seat.
func (s *stream) front() (at uint64, n int, err error) {
	for range 2 { // a filler, then the record at the front
		head := s.w.head.Load() &^ (recordPlaces - 1)
		at := head & s.places
		h := word(s.ring, at).Load()
		if h == 0 {
			return 0, 0, ErrEmpty
		}
		size, err := s.extent(at, h)
		if err != nil {
			return 0, 0, err
		}
		if h&kindMask == kindRecord {
			return at, int(h >> lengthShift), nil
		}
		fence.Publish64(&s.w.head, head+size)
	}
	return 0, 0, ErrCorrupt
}

// free gives the space of the message that front found back.
func (s *stream) free(n int) {
	if crash.Enabled {
		crash.At(crash.PipeReceiveCopied)
	}
	fence.Publish64(&s.w.head, s.w.head.Load()+recordSize(n))
	if crash.Enabled {
		crash.At(crash.PipeReceiveMoved)
	}
}

// some reports whether something may be there to be received, from the outside.
// Where several receive, head can move on while this one looks, and its place
// become the middle of a message that is being written: there the cursors say it.
func (s *stream) some() bool {
	if s.w.rx.bias.Load()&revoked != 0 {
		return s.w.tail.Load() != s.w.head.Load()
	}
	return !s.empty()
}

// empty reports whether nothing is to be received, from the outside, when nobody
// sends any more.
func (s *stream) empty() bool {
	return word(s.ring, s.w.head.Load()&s.places).Load() == 0
}

// roomy reports whether a good part of the ring is free, from the outside.
func (s *stream) roomy() bool { return s.w.tail.Load()-s.w.head.Load() <= s.size-s.size/8 }

// fits reports whether a message of n bytes may fit, from the outside.
func (s *stream) fits(n int) bool {
	return s.w.tail.Load()-s.w.head.Load() <= s.size-recordHead-recordSize(n)
}
