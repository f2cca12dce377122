package bench

// A number tells messages apart:
//
//	 63      62     61  60                   8 7        0
//	+-------+------+---+----------------------+----------+
//	| first | last | 0 | sequence, from 1     | producer |
//	+-------+------+---+----------------------+----------+
//
// first marks a producer's last message of the warm-up: those after it are
// measured. last marks its last message.
type number = uint64

const (
	markFirst number = 1 << 63
	markLast  number = 1 << 62
	marks            = markFirst | markLast
	next      number = 1 << 8 // from a message to the next of its producer
)

// numbered returns the number of the i-th producer's message seq.
func numbered(i int, seq uint64) number { return seq*next | number(i) }

// sumOf returns the sum of the numbers of the i-th producer's first n
// messages, modulo 2^64.
func sumOf(i int, n uint64) uint64 {
	a, b := n, n+1
	if a%2 == 0 {
		a /= 2
	} else {
		b /= 2
	}
	return a*b*next + n*uint64(i)
}
