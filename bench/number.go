package bench

// A number identifies a message of a run:
//
//	 63      62     61  60                   8 7        0
//	+-------+------+---+----------------------+----------+
//	| first | last | 0 | sequence, from 1     | producer |
//	+-------+------+---+----------------------+----------+
//
// The bit first marks the last message of a producer's warm-up: the messages after it are
// measured. The bit last marks the last message of a producer.
type number = uint64

const (
	markFirst number = 1 << 63
	markLast  number = 1 << 62
	marks            = markFirst | markLast
	next      number = 1 << 8 // what a producer adds to go from a message to the next
)

// numbered returns the number of message seq of producer i.
func numbered(i int, seq uint64) number { return seq*next | number(i) }

// sumOf returns the sum of the numbers of the first n messages of producer i, modulo 2^64.
func sumOf(i int, n uint64) uint64 {
	a, b := n, n+1
	if a%2 == 0 {
		a /= 2
	} else {
		b /= 2
	}
	return a*b*next + n*uint64(i)
}
