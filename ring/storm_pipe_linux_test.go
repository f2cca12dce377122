package ring_test

import (
	"context"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

// stormRing is the capacity of the pipe of a storm. The longest of variableWords goes through it in
// pieces.
const stormRing = 16 << 10

// pipeStorm is a storm of several processes at both ends of a pipe. A killed receiver may have taken
// one message, which is lost. Nothing comes late.
var pipeStorm = register("pipe storm", &storm[[]byte]{
	words: variableWords,
	set: func(t *testing.T, seg *shm.Segment) (produce, consume stormJob[[]byte]) {
		a, b := newPipe(t, seg, stormRing)
		return stormJob[[]byte]{Conn: a}, stormJob[[]byte]{Conn: b}
	},
	put: func(ctx context.Context, j stormJob[[]byte], ms [][]byte) error { return j.Conn.Send(ctx, ms[0]) },
	take: func(ctx context.Context, j stormJob[[]byte], note func([]byte) error) error {
		for {
			m, err := j.Conn.Receive(ctx)
			if err == nil {
				err = note(m)
			}
			if err != nil {
				return err
			}
		}
	},
	end: func(j stormJob[[]byte]) error { return j.Conn.Close() },
	check: func(t *testing.T, j stormJob[[]byte]) {
		Want(t, "bytes in the pipe at the end", Must(j.Conn.Stats())(t).Depth, 0)
	},
	account: stormBook.account,
	allowed: stormLimits{missing: 1, extra: 1},
})

// TestPipeStorm is a storm of messages of any length.
func TestPipeStorm(t *testing.T) { pipeStorm.run(t) }
