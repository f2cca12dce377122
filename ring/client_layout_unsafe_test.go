package ring

import (
	"math/bits"
	"testing"
	"unsafe"

	"github.com/seed-2e7ecdea/mp/internal/clientlayout"
)

// TestClientLayout shows that the clients in other languages know the layout of a pipe.
func TestClientLayout(t *testing.T) {
	var p pipeWords
	var s streamWords
	clientlayout.Check(t, "ring", map[string]uint64{
		"PIPE_SIZE":           uint64(unsafe.Offsetof(p.size)),
		"PIPE_FINGERPRINT":    pipePrint,
		"STREAM_A_TO_B":       pipeHead - 2*streamHead,
		"STREAM_B_TO_A":       pipeHead - streamHead,
		"PIPE_RINGS":          pipeHead,
		"STREAM_TX":           uint64(unsafe.Offsetof(s.tx)),
		"STREAM_TAIL":         uint64(unsafe.Offsetof(s.tail)),
		"STREAM_RX":           uint64(unsafe.Offsetof(s.rx)),
		"STREAM_HEAD":         uint64(unsafe.Offsetof(s.head)),
		"STREAM_READABLE":     uint64(unsafe.Offsetof(s.readable)),
		"STREAM_WRITABLE":     uint64(unsafe.Offsetof(s.writable)),
		"SIDE_BIAS":           uint64(unsafe.Offsetof(s.tx.bias)),
		"SIDE_INSIDE":         uint64(unsafe.Offsetof(s.tx.inside)),
		"SIDE_LOCK":           uint64(unsafe.Offsetof(s.tx.lock)),
		"SIDE_REVOKED":        revoked,
		"RECORD_HEAD":         recordHead,
		"RECORD_MESSAGE":      kindRecord,
		"RECORD_FILLER":       kindFiller,
		"RECORD_PIECE":        kindPiece,
		"RECORD_MASK":         kindMask,
		"RECORD_SHIFT":        lengthShift,
		"PART_FIRST":          partFirst,
		"PART_NEXT":           partNext,
		"PART_LAST":           partLast,
		"PART_SHIFT":          partShift,
		"PART_MASK":           partMask,
		"PIECE_SHIFT":         pieceLengthShift,
		"PIECE_AGAIN":         againHeader,
		"PIECE_ABORTED":       abortedHeader,
		"PIECE_CLAIMED_SHIFT": uint64(bits.TrailingZeros64(claimed)),
		"LONG_HEAD":           longHead,
		"MIN_PIECE":           minPiece,
		"MAX_PIECE":           piece,
		"PIECES_IN_RING":      piecesInRing,
		"SIMPLEX_FINGERPRINT": simplexPrint,
		"MIN_RING":            minRing,
		"END_A":               uint64(A),
		"END_B":               uint64(B),
	})
}
