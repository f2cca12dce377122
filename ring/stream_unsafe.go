package ring

import (
	"fmt"
	"io"
	"structs"
	"sync/atomic"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/fence"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// streamWords is one direction of a pipe in shared memory: a ring of records,
// written by one side and read by the other. The ring's bytes follow elsewhere.
//
//	0     tx seat   who sends
//	16    tail      where the next record goes; written by who sends
//	24    seen      head as the sender last read it
//	128   rx seat   who receives
//	144   head      where the next record is; written by who receives
//	256   readable  gate of receivers
//	384   writable  gate of senders
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
// A record does not wrap. Where it does not fit before the end, a filler takes the
// rest and the record goes to the front; the record is written first and the filler
// published last, so that both appear at once.
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
	tail     atomic.Uint64
	seen     atomic.Uint64
	_        [96]byte // senders above, receivers below
	rx       seatWords
	head     atomic.Uint64
	_        [104]byte
	readable wait.Gate
	_        [124]byte
	writable wait.Gate
	_        [124]byte
}

const (
	streamHead   = 512
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
	tx, rx seat
}

func (s *stream) init(o *shm.Object, words int, data []byte) {
	s.w = view.At[streamWords](o.Bytes(), words)
	s.data, s.ring, s.size = data, base(data), uint64(len(data))
	s.tx.init(&s.w.tx, o)
	s.rx.init(&s.w.rx, o)
}

func recordSize(n int) uint64 { return recordHead + (uint64(n)+recordPlaces-1)&^(recordPlaces-1) }

// largest returns the length of the longest message that always fits in an
// empty ring, wherever that stands.
func (s *stream) largest() int { return int(s.size/2 - 2*recordHead) }

// A place is room for a record, found by reserve: nothing is written to it yet
// but the header after it.
type place struct {
	header *atomic.Uint64 // to be stored last
	value  uint64
	bytes  []byte
	next   uint64 // tail after it
	front  *atomic.Uint64
	inner  uint64 // header of a record at the front, behind a filler
}

// reserve finds room for a message of n bytes. It fails with ErrFull,
// ErrTooLarge, or ErrCorrupt. The caller sits in the tx seat.
func (s *stream) reserve(n int) (place, error) {
	if n > s.largest() {
		return place{}, fmt.Errorf("%w: %d bytes, the most is %d", ErrTooLarge, n, s.largest())
	}
	tail := s.w.tail.Load() &^ (recordPlaces - 1)
	at := tail & (s.size - 1)
	if word(s.ring, at).Load() != 0 {
		var err error
		if tail, err = s.walk(tail); err != nil {
			return place{}, err
		}
		at = tail & (s.size - 1)
	}
	need := recordSize(n)
	if at+need > s.size {
		return s.reserveFront(tail, n)
	}
	if err := s.room(tail, need); err != nil {
		return place{}, err
	}
	word(s.ring, (at+need)&(s.size-1)).Store(0)
	return place{
		header: word(s.ring, at), value: uint64(n)<<lengthShift | kindRecord,
		bytes: s.data[at+recordHead : at+recordHead+uint64(n)], next: tail + need,
	}, nil
}

// reserveFront is reserve where the record does not fit before the end.
func (s *stream) reserveFront(tail uint64, n int) (place, error) {
	at := tail & (s.size - 1)
	rest, need := s.size-at, recordSize(n)
	if err := s.room(tail, rest+need); err != nil {
		return place{}, err
	}
	word(s.ring, need&(s.size-1)).Store(0)
	return place{
		header: word(s.ring, at), value: rest<<lengthShift | kindFiller,
		bytes: s.data[recordHead : recordHead+uint64(n)], next: tail + rest + need,
		front: word(s.ring, 0), inner: uint64(n)<<lengthShift | kindRecord,
	}, nil
}

// room makes sure that need bytes from tail on are free, and the header after
// them.
func (s *stream) room(tail, need uint64) error {
	need += recordHead
	if used := tail - s.w.seen.Load(); used <= s.size && need <= s.size-used {
		return nil
	}
	head := s.w.head.Load()
	fence.Publish64(&s.w.seen, head)
	used := tail - head
	if used > s.size {
		return ErrCorrupt
	}
	if need > s.size-used {
		return ErrFull
	}
	return nil
}

// walk goes on from tail to the first header of 0: a sender was killed before
// it moved tail.
func (s *stream) walk(tail uint64) (uint64, error) {
	for range s.size / recordPlaces {
		at := tail & (s.size - 1)
		h := word(s.ring, at).Load()
		if h == 0 {
			fence.Publish64(&s.w.tail, tail)
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

// publish makes the record in p appear.
func (s *stream) publish(p *place) {
	if crash.Enabled {
		crash.At(crash.PipeSendCopied) // nothing is there for anybody
	}
	if p.front != nil {
		fence.Publish64(p.front, p.inner)
	}
	fence.Publish64(p.header, p.value)
	if crash.Enabled {
		crash.At(crash.PipeSendPublished) // sent; the next sender walks on
	}
	fence.Publish64(&s.w.tail, p.next)
	if crash.Enabled {
		crash.At(crash.PipeSendMoved)
	}
}

// A record is a message in the ring.
type record struct {
	bytes []byte
	next  uint64 // head after it
}

// front finds the oldest message, still in the ring. It fails with ErrEmpty or
// ErrCorrupt. The caller sits in the rx seat.
func (s *stream) front() (record, error) {
	head := s.w.head.Load() &^ (recordPlaces - 1)
	at := head & (s.size - 1)
	h := word(s.ring, at).Load()
	if h&kindMask == kindRecord {
		if n := h >> lengthShift; n <= s.size-at-recordHead {
			return record{bytes: s.data[at+recordHead : at+recordHead+n], next: head + recordSize(int(n))}, nil
		}
		return record{}, ErrCorrupt
	}
	if h == 0 {
		return record{}, ErrEmpty
	}
	rest, err := s.extent(at, h)
	if err != nil {
		return record{}, err
	}
	// A filler: the record is at the front, published before it.
	h = word(s.ring, 0).Load()
	n := h >> lengthShift
	if h&kindMask != kindRecord || n > s.size-recordHead {
		return record{}, ErrCorrupt
	}
	return record{bytes: s.data[recordHead : recordHead+n], next: head + rest + recordSize(int(n))}, nil
}

// free gives the space up to r's end back.
func (s *stream) free(r *record) {
	if crash.Enabled {
		crash.At(crash.PipeReceiveCopied) // the message stays for the next receiver
	}
	fence.Publish64(&s.w.head, r.next)
	if crash.Enabled {
		crash.At(crash.PipeReceiveMoved) // received, though Receive does not return
	}
}

// empty tells whether nothing is to be received, from the outside.
func (s *stream) empty() bool {
	at := s.w.head.Load() & (s.size - 1) &^ (recordPlaces - 1)
	return word(s.ring, at).Load() == 0
}

// copyOut moves the message to buf, or says that buf is too small.
func (r *record) copyOut(buf []byte) (int, error) {
	if len(r.bytes) > len(buf) {
		return len(r.bytes), io.ErrShortBuffer
	}
	return copy(buf, r.bytes), nil
}
