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

// An assignment is the argument of a worker: its number, and the object under test.
type assignment struct {
	Subject   string
	Process   int
	Clients   int
	Seed      uint64
	Journal   *journal
	Lock      *psync.Lock
	Semaphore *psync.Semaphore
	Bounded   *psync.BoundedSemaphore
	Event     *psync.Event
	Queue     *ring.Queue[message]
	Texts     *ring.Queue[string]
	Word      *value.Value[uint32]
	Wide      *value.Value[wide]
}

// worker is the task of the processes. A worker executes a round each time the test tells it to.
var worker = proc.Register("history worker", func(ctx context.Context, in assignment) (int, error) {
	process := &in.Journal.processes[in.Process]
	process.party.Store(uint32(in.Journal.object.Me()))
	round := uint32(0)
	for {
		next, err := until(ctx, &process.begin, func(v uint32) bool { return v != round })
		if err != nil || next == stopped {
			return 0, err
		}
		round = next
		ends := make(chan error, in.Clients)
		for i := range in.Clients {
			go func() { ends <- subjects[in.Subject].work(newClient(&in, i, round), &in) }()
		}
		for range in.Clients {
			err = errors.Join(err, <-ends)
		}
		if err != nil {
			return 0, err
		}
		tell(&process.done, round)
	}
})

// A client is a goroutine of a process that executes a round and records its operations.
type client struct {
	journal *journal
	log     []record
	used    int
	rand    *rand.Rand
	process int
	number  int
	round   uint32
	alone   bool // it is the only client of its process
}

func newClient(in *assignment, number int, round uint32) *client {
	return &client{
		journal: in.Journal, log: in.Journal.log(in.Process, number), round: round,
		rand:    rand.New(rand.NewPCG(in.Seed, uint64(round)<<16|uint64(in.Process)<<8|uint64(number))),
		process: in.Process, number: number, alone: in.Clients == 1,
	}
}

// canRecord reports whether the log has space for n more operations.
func (c *client) canRecord(n int) bool { return c.used+n <= len(c.log) }

// begin records the call of an operation.
func (c *client) begin(k kind, arg uint32) *record {
	r := &c.log[c.used]
	c.used++
	c.journal.begin(r, k, arg)
	return r
}

// end records the return of an operation. It fails if err is not among results.
func (c *client) end(r *record, err error, value uint32) (result, error) {
	res, ok := resultOf(err)
	if !ok {
		return res, fmt.Errorf("%v: %w", kind(r.kind.Load()), err)
	}
	c.journal.end(r, res, value)
	return res, nil
}

// do calls f and records the operation.
func (c *client) do(k kind, arg uint32, f func() error) (result, error) {
	r := c.begin(k, arg)
	return c.end(r, f(), 0)
}

// wait calls f with a context that ends soon, and records the operation.
func (c *client) wait(k kind, arg uint32, f func(ctx context.Context) error) (result, error) {
	ctx, cancel := c.shortContext()
	defer cancel()
	r := c.begin(k, arg)
	begin := time.Now()
	err := f(ctx)
	c.noteWait(r, begin)
	return c.end(r, err, 0)
}

// hasWaited is shorter than the time after which a waiter of a lock claims to be the heir, to which the owner hands
// the lock over.
const hasWaited = 900 * time.Microsecond

func (c *client) noteWait(r *record, begin time.Time) {
	if time.Since(begin) > hasWaited {
		r.waited.Store(1)
	}
}

// chance returns true once in n times, at random.
func (c *client) chance(n int) bool { return c.rand.IntN(n) == 0 }

// shortContext returns a context that has ended or will end soon.
func (c *client) shortContext() (context.Context, context.CancelFunc) {
	if c.chance(6) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return ctx, cancel
	}
	limit := 200 * time.Microsecond
	if c.chance(3) {
		limit = 3 * time.Millisecond
	}
	return context.WithTimeout(context.Background(), time.Duration(c.rand.Int64N(int64(limit))))
}

// nap sleeps for up to 200 µs.
func (c *client) nap() { time.Sleep(time.Duration(c.rand.IntN(200)) * time.Microsecond) }

// pause yields, spins, sleeps or does nothing, so that operations of other clients come in between.
func (c *client) pause() {
	switch n := c.rand.IntN(200); {
	case n < 100:
	case n < 150:
		runtime.Gosched()
	case n < 185:
		for end := time.Now().Add(time.Duration(c.rand.IntN(10)) * time.Microsecond); time.Now().Before(end); {
		}
	case n < 198:
		c.nap()
	default:
		time.Sleep(1500 * time.Microsecond)
	}
}
