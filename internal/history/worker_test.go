//go:build linux

package history_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

// An assignment is what a worker is given: its place and the object.
type assignment struct {
	Subject   string
	Place     int
	Hands     int
	Seed      uint64
	Board     *board
	Lock      *psync.Lock
	Semaphore *psync.Semaphore
	Bounded   *psync.BoundedSemaphore
	Event     *psync.Event
	Queue     *ring.Queue[message]
	Word      *value.Value[uint32]
	Wide      *value.Value[wide]
}

// worker works in each round that it is told to work in.
var worker = proc.Register("history worker", func(ctx context.Context, in assignment) (int, error) {
	place := &in.Board.places[in.Place]
	place.party.Store(uint32(in.Board.object.Me()))
	round := uint32(0)
	for {
		next, err := until(ctx, &place.begin, func(v uint32) bool { return v != round })
		if err != nil || next == stopped {
			return 0, err
		}
		round = next
		ends := make(chan error, in.Hands)
		for i := range in.Hands {
			go func() { ends <- subjects[in.Subject].work(newHand(&in, i, round), &in) }()
		}
		for range in.Hands {
			err = errors.Join(err, <-ends)
		}
		if err != nil {
			return 0, err
		}
		tell(&place.done, round)
	}
})

// A hand is a goroutine of a process in a round, and its log.
type hand struct {
	board  *board
	log    []record
	used   int
	rand   *rand.Rand
	place  int
	number int
	round  uint32
	alone  bool // the only one of its process
}

func newHand(in *assignment, number int, round uint32) *hand {
	return &hand{
		board: in.Board, log: in.Board.log(in.Place, number), round: round,
		rand:  rand.New(rand.NewPCG(in.Seed, uint64(round)<<16|uint64(in.Place)<<8|uint64(number))),
		place: in.Place, number: number, alone: in.Hands == 1,
	}
}

// room tells whether so many more operations can be recorded.
func (h *hand) room(n int) bool { return h.used+n <= len(h.log) }

// begin records a call.
func (h *hand) begin(k kind, arg uint32) *record {
	r := &h.log[h.used]
	h.used++
	h.board.begin(r, k, arg)
	return r
}

// end records the return, with an error that must be one of those with a
// meaning.
func (h *hand) end(r *record, err error, value uint32) (result, error) {
	res, ok := resultOf(err)
	if !ok {
		return res, fmt.Errorf("%v: %w", kind(r.kind.Load()), err)
	}
	h.board.end(r, res, value)
	return res, nil
}

// do records a call of f.
func (h *hand) do(k kind, arg uint32, f func() error) (result, error) {
	r := h.begin(k, arg)
	return h.end(r, f(), 0)
}

// wait records a call of f with a context that ends soon.
func (h *hand) wait(k kind, arg uint32, f func(ctx context.Context) error) (result, error) {
	ctx, cancel := h.soon()
	defer cancel()
	r := h.begin(k, arg)
	begin := time.Now()
	err := f(ctx)
	h.noteWait(r, begin)
	return h.end(r, err, 0)
}

// hasWaited is less than how long an acquirer waits until it claims to be the
// heir of a lock.
const hasWaited = 900 * time.Microsecond

func (h *hand) noteWait(r *record, begin time.Time) {
	if time.Since(begin) > hasWaited {
		r.waited.Store(1)
	}
}

// chance is true once in n times.
func (h *hand) chance(n int) bool { return h.rand.IntN(n) == 0 }

// soon returns a context that has ended, or ends soon.
func (h *hand) soon() (context.Context, context.CancelFunc) {
	if h.chance(6) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return ctx, cancel
	}
	limit := 200 * time.Microsecond
	if h.chance(3) {
		limit = 3 * time.Millisecond
	}
	return context.WithTimeout(context.Background(), time.Duration(h.rand.Int64N(int64(limit))))
}

// nap sleeps a little.
func (h *hand) nap() { time.Sleep(time.Duration(h.rand.IntN(200)) * time.Microsecond) }

// linger passes some time, so that others come in between.
func (h *hand) linger() {
	switch n := h.rand.IntN(200); {
	case n < 100:
	case n < 150:
		runtime.Gosched()
	case n < 185:
		for end := time.Now().Add(time.Duration(h.rand.IntN(10)) * time.Microsecond); time.Now().Before(end); {
		}
	case n < 198:
		h.nap()
	default:
		time.Sleep(1500 * time.Microsecond)
	}
}
