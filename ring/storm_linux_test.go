package ring_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

var stormTime = flag.Duration("storm", 3*time.Second, "how long each storm lasts, in rounds of at most ten seconds")

const (
	stormProducers = 4
	stormConsumers = 4
	stormSeats     = stormProducers + stormConsumers
	stormTick      = 20 * time.Millisecond
	stormRound     = 10 * time.Second
)

// A stormJob is the argument of a process of a storm: the object, and the seat of the process. Seats
// below stormProducers are those of producers.
type stormJob[M any] struct {
	Segment   *shm.Segment
	Queue     *ring.Queue[M]
	Conn      *ring.Conn
	Broadcast *ring.Broadcast[M]
	Seat      int
}

// A storm kills, or stops for a while, one of four producers and four consumers of an object every 20
// ms under load, and accounts for every message. A killed process is replaced.
type storm[M any] struct {
	words[M]

	// set makes the object, and returns the jobs of producers and consumers.
	set func(t *testing.T, seg *shm.Segment) (produce, consume stormJob[M])
	// put puts batch messages, or as many as are left of a life.
	put   func(ctx context.Context, j stormJob[M], ms []M) error
	batch int
	// take takes messages one after the other, and calls note with each, until it fails.
	take func(ctx context.Context, j stormJob[M], note func(M) error) error
	// end makes take fail with ErrShutdown or io.EOF when all messages are taken. All producers have ended.
	end func(j stormJob[M]) error
	// check checks that all that the object's messages used is unused again.
	check func(t *testing.T, j stormJob[M])
	// account compares what was put and what was got.
	account func(b stormBook, c *stormCount)
	// allowed is how many messages may be missing for each killed consumer, and so on.
	allowed stormLimits

	producer, consumer *proc.Task[stormJob[M], int]
}

// A stormLimits says what one killed process may do: at most a batch each.
type stormLimits struct {
	missing  int // messages that no consumer has got whose Put has returned, for each killed consumer
	extra    int // messages that were got whose Put had not returned, for each killed producer
	twice    int // messages that were got twice, for each killed consumer
	disorder int // messages that were got after a later one of the producer, for each killed consumer
}

// register registers the tasks of a storm.
func register[M any](name string, s *storm[M]) *storm[M] {
	s.batch = max(s.batch, 1)
	s.producer = Task(name+" producer", s.produce)
	s.consumer = Task(name+" consumer", s.consume)
	return s
}

// produce puts the messages of one life after the other. When the storm runs out of lives it stays
// until the end, so that it can be killed and stopped.
func (s *storm[M]) produce(ctx context.Context, j stormJob[M]) (n int, err error) {
	book, err := openStormBook(j.Segment)
	if err != nil {
		return 0, err
	}
	ms := make([]M, 0, s.batch)
	for book.stop.Load() == 0 {
		life := book.lives.Add(1) - 1
		if life >= stormLives {
			if err := futex.Wait(ctx, book.stop, 0); err != nil {
				return n, err
			}
			continue
		}
		for i := uint32(0); i < stormMessages && book.stop.Load() == 0; {
			for ms = ms[:0]; len(ms) < s.batch && i < stormMessages; i++ {
				ms = append(ms, s.message(life, i))
			}
			if err := s.put(ctx, j, ms); err != nil {
				return n, err
			}
			book.put[life].Store(i)
			book.seats[j.Seat].done.Add(uint32(len(ms)))
			n += len(ms)
		}
	}
	return n, nil
}

// consume takes messages until the storm has ended.
func (s *storm[M]) consume(ctx context.Context, j stormJob[M]) (n int, err error) {
	book, err := openStormBook(j.Segment)
	if err != nil {
		return 0, err
	}
	next := book.next[j.Seat-stormProducers]
	err = s.take(ctx, j, func(m M) error {
		life, number := s.read(m)
		if life >= stormLives || number >= stormMessages || !s.equal(m, s.message(life, number)) {
			return fmt.Errorf("torn message %d of life %d: %.200v", number, life, m)
		}
		book.got[life*stormMessages+number].Add(1)
		if number < next[life].Load() {
			book.disorder.Add(1)
		}
		next[life].Store(number + 1)
		book.seats[j.Seat].done.Add(1)
		n++
		return nil
	})
	if errors.Is(err, ring.ErrShutdown) || errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// run is the test.
func (s *storm[M]) run(t *testing.T) {
	t.Helper()
	var sum stormCount
	begin := time.Now()
	for n := 1; !t.Failed(); n++ {
		left := *stormTime - time.Since(begin)
		if left <= 0 {
			break
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) { sum.add(s.round(t, min(left, stormRound))) })
	}
	t.Logf("in %.0f s: %v", time.Since(begin).Seconds(), &sum)
}

// round is one round of a storm, with a segment and an object of its own.
func (s *storm[M]) round(t *testing.T, lasts time.Duration) (c stormCount) {
	t.Helper()
	seg := Anonymous(t, stormBookSize+8<<20)
	book := newStormBook(Closing(t, Must(object.New(seg, object.Spec{Kind: stormKind, Name: "book", Size: stormBookSize, Fingerprint: 1}))(t)).Bytes())
	produce, consume := s.set(t, seg)
	gauge := newStormGauge(book)
	var procs [stormSeats]*proc.Call[int]
	start := func(i int) {
		book.clear(i)
		j, task := produce, s.producer
		if i >= stormProducers {
			j, task = consume, s.consumer
		}
		j.Segment, j.Seat = seg, i
		procs[i] = Start(t, task, j)
		gauge.started(i, procs[i].PID())
	}
	for i := range procs {
		start(stormSeats - 1 - i) // consumers first
	}
	defer gauge.close()
	ticks := time.NewTicker(stormTick)
	defer ticks.Stop()
	for end := time.Now().Add(lasts); time.Now().Before(end) && book.lives.Load() < stormLives; {
		<-ticks.C
		i := rand.IntN(stormSeats)
		if rand.IntN(2) == 0 {
			gauge.stops(i)
			Stop(t, procs[i])
			<-ticks.C
			Continue(t, procs[i])
			gauge.started(i, procs[i].PID())
			c.stopped++
			continue
		}
		gauge.dies(i)
		killed := time.Now()
		Kill(t, procs[i])
		gauge.death(killed)
		if i < stormProducers {
			c.producers++
		} else {
			c.consumers++
		}
		start(i)
	}
	if book.lives.Load() < stormLives {
		Eventually(t, "all processes go on after the last death", gauge.settled)
	}
	gauge.close()
	book.stop.Store(1)
	futex.Wake(book.stop, futex.All)
	for _, p := range procs[:stormProducers] {
		Result(t, p)
	}
	WantNil(t, "end", s.end(produce))
	for _, p := range procs[stormProducers:] {
		Result(t, p)
	}
	s.check(t, consume)

	c.standstill, c.delay = gauge.standstill, gauge.delay
	s.account(book, &c)
	if c.missing > s.allowed.missing*c.consumers || c.extra > s.allowed.extra*c.producers ||
		c.twice > s.allowed.twice*c.consumers || c.disorder > s.allowed.disorder*c.consumers {
		t.Errorf("more than %+v for each killed process: %v", s.allowed, &c)
	}
	if c.standstill > stormStandstill {
		t.Errorf("all processes have slept for %v, want at most %v", c.standstill, stormStandstill)
	}
	return c
}
