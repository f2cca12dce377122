package ring

import "github.com/seed-2e7ecdea/mp/internal/party"

// A position counts the messages of a queue. It names a slot and a lap around the ring.
//
//	 63 62                    32 31                     0
//	+--+------------------------+------------------------+
//	|0 |          lap           |          slot          |
//	+--+------------------------+------------------------+
//
// Laps are counted modulo 2^31 and compared by the shorter way round.
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

// after reports whether p comes after q.
func (p position) after(q position) bool { return int64(p-q)<<1 > 0 }

// A state is the word of a slot.
//
//	 63                33 32                  2 1     0
//	+--------------------+---------------------+-------+
//	|        lap         |  party ID of owner  | state |
//	+--------------------+---------------------+-------+
//
//	free    the slot waits for the message of lap; no owner
//	writing its owner is copying the message of lap in
//	ready   the message of lap is there; the owner put it and has nothing more to do
//	reading its owner is copying the message of lap out
type state uint64

const (
	free state = iota
	writing
	ready
	reading
	stateMask state = 3

	lapShift = 33
	lapMask  = 1<<31 - 1
)

func freeAt(lap uint32) state { return state(lap&lapMask) << lapShift }

func ownedAt(lap uint32, s state, id party.ID) state { return freeAt(lap) | state(id)<<2 | s }

func (s state) is() state       { return s & stateMask }
func (s state) lap() uint32     { return uint32(s >> lapShift) }
func (s state) owner() party.ID { return party.ID(s>>2) & (1<<31 - 1) }

// behind returns by how many laps the slot is behind lap. The result is negative if the slot is
// ahead.
func (s state) behind(lap uint32) int32 { return int32((lap-s.lap())<<1) >> 1 }
