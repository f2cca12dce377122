package party

// An ID names one attachment of a process to a segment, for ever: a line of
// the party table and the line's generation.
//
//	 31  30                      10   9         0
//	+---+---------------------------+-------------+
//	| 0 |        generation         |    line     |
//	+---+---------------------------+-------------+
//
// No ID is used twice: a line whose generations are used up is retired. So a
// word that names a dead party names it for ever, and nothing needs to be swept
// of it before its line is used again. The zero ID is nobody.
type ID uint32

const (
	lineBits = 10
	maxGen   = 1<<(31-lineBits) - 1

	// MaxLines is the greatest number of parties of a segment; line 0 is not
	// used.
	MaxLines = 1<<lineBits - 1
)

func newID(line int, gen uint32) ID { return ID(gen<<lineBits | uint32(line)) }

// Line returns the line of the table that id names.
func (id ID) Line() int { return int(id & MaxLines) }

func (id ID) gen() uint32 { return uint32(id) >> lineBits }
