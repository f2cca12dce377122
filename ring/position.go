package ring

import "github.com/seed-2e7ecdea/mp/internal/party"

// A position counts the messages of a queue. It names a slot and a lap around the ring.
//
//	 63 62 61                 32 31                     0
//	+-----+---------------------+------------------------+
//	|  0  |         lap         |          slot          |
//	+-----+---------------------+------------------------+
//
// Laps are counted modulo 2^30 and compared by the shorter way round.
type position uint64

// positionAt returns the position of slot in lap.
func positionAt(lap, slot uint32) position { return position(uint64(lap)<<32 | uint64(slot)) }

func (p position) slot() uint32 { return uint32(p) }
func (p position) lap() uint32  { return uint32(p >> 32) }

func (p position) next(slots uint32) position {
	if p.slot()+1 >= slots {
		return positionAt((p.lap()+1)&lapMask, 0)
	}
	return p + 1
}

// plus returns the position n after p. n is at most slots.
func (p position) plus(n, slots uint32) position {
	if n < slots-p.slot() {
		return p + position(n)
	}
	return positionAt((p.lap()+1)&lapMask, n-(slots-p.slot()))
}

// valid reports whether p is a position of a ring of that many slots.
func (p position) valid(slots uint32) bool { return p.slot() < slots && p>>62 == 0 }

// after reports whether p comes after q.
func (p position) after(q position) bool { return int64(p-q)<<2 > 0 }

// A state is the word of a slot.
//
//	 63                34 33                  3 2     0
//	+--------------------+---------------------+-------+
//	|        lap         |  party ID of owner  | state |
//	+--------------------+---------------------+-------+
//
//	free        the slot waits for the message of lap; no owner
//	writing     its owner is writing the message of lap
//	writingSpan its owner is writing the messages of the span that begins here: see span.go
//	ready       the message of lap is there; the owner put it and has nothing more to do
//	reading     its owner is copying the message of lap out
//	readingSpan its owner is copying the messages of the span that begins here out
//	leased      its owner has the message under a lease, since lap or an earlier one
//	returned    the message came back from a lease, or from a span of a dead owner; no owner
//
// While a slot is leased or returned, putters do not wait for it: they move its lap on.
type state uint64

const (
	free state = iota
	writing
	writingSpan
	ready
	reading
	readingSpan
	leased
	returned
	stateMask state = 7

	ownerShift = 3
	lapShift   = 34
	lapMask    = 1<<30 - 1
)

func freeAt(lap uint32) state { return state(lap&lapMask) << lapShift }

func ownedAt(lap uint32, s state, id party.ID) state { return freeAt(lap) | state(id)<<ownerShift | s }

func (s state) is() state       { return s & stateMask }
func (s state) lap() uint32     { return uint32(s >> lapShift) }
func (s state) owner() party.ID { return party.ID(s>>ownerShift) & (1<<31 - 1) }

// begun reports whether a putter has claimed the slot, or a span that begins with it, and has not
// published its message.
func (s state) begun() bool { return s.is() == writing || s.is() == writingSpan }

// spans reports whether a span that is claimed begins with the slot.
func (s state) spans() bool { return s.is() == writingSpan || s.is() == readingSpan }

// kept reports whether the slot keeps a message out of the order: leased or returned.
func (s state) kept() bool { return s.is() >= leased }

// taken reports whether a getter has claimed the message of the slot's lap.
func (s state) taken() bool { return s.is() >= reading }

// inLap returns s in another lap.
func (s state) inLap(lap uint32) state { return s&(1<<lapShift-1) | freeAt(lap) }

// disowned returns s without its owner.
func (s state) disowned() state { return s &^ ((1<<31 - 1) << ownerShift) }

// behind returns by how many laps the slot is behind lap. The result is negative if the slot is
// ahead.
func (s state) behind(lap uint32) int32 { return int32((lap-s.lap())<<2) >> 2 }
