package party

// An ID names one attachment of a process to a segment: a line of the party table and the line's
// generation.
//
//	 31  30                      10   9         0
//	+---+---------------------------+-------------+
//	| 0 |        generation         |    line     |
//	+---+---------------------------+-------------+
//
// No ID is used twice: a line whose generations are used up is retired. So a word that names a dead
// party names it for ever, and need not be cleared before the line is used again. The zero ID names
// no party.
type ID uint32

const (
	lineBits = 10
	maxGen   = 1<<(31-lineBits) - 1

	// MaxLines is the greatest number of parties of a segment. Line 0 is not used.
	MaxLines = 1<<lineBits - 1
)

func newID(line int, gen uint32) ID { return ID(gen<<lineBits | uint32(line)) }

// Line returns the number of id's line in the party table.
func (id ID) Line() int { return int(id & MaxLines) }

func (id ID) gen() uint32 { return uint32(id) >> lineBits }
