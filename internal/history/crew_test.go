//go:build linux

package history_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A subject is a kind of object whose histories are recorded.
type subject struct {
	// make makes the object.
	make func(seg *shm.Segment, in *assignment) error
	// work is what a goroutine of a worker does in a round: it fills its log,
	// and has nothing of the object's at the end.
	work func(h *hand, in *assignment) error
	// rest is what the test does when all the others rest. It returns how the
	// next round begins.
	rest func(h *hand, in *assignment) (begin int, err error)
	// model is the sequential object.
	model func(begin int) porcupine.Model
	// steps are the moments of the model at which each operation happens.
	steps func(h *history) []step
	begin int           // how the first round begins
	kills bool          // whether workers are killed
	dieAt []crash.Point // in binaries with crash points
}

// A history is what happened in a round.
type history struct {
	begin  int
	ops    []op
	deaths []death
}

// A death is that of the process at a place, at a moment between from and
// known, at which everyone knew it.
type death struct {
	place       int
	from, known uint64
}

// A crew is the processes that work on an object.
type crew struct {
	t       *testing.T
	ctx     context.Context
	seg     *shm.Segment
	board   *board
	subject *subject
	in      assignment
	rand    *rand.Rand
	members [maxPlaces]*member
	round   uint32
	next    int // how the next round begins

	rounds, ops, killed int
}

// A member is the process at a place.
type member struct {
	*proc.Call[int]
	words  *placeWords
	killed uint64 // tick; 0: the test has not killed it

	over  chan struct{} // closed when it has ended and the rest is known
	ended uint64        // tick after its end
	known uint64        // tick after everyone knew
	err   error
}

const (
	crewSize  = 5 // some of which wait to take the place of the dead
	roundSize = 3 // who begin a round, at least
)

func newCrew(t *testing.T, name string) *crew {
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	seg := closing(t, must(shm.Anonymous(1<<20, nil))(t))
	c := &crew{
		t: t, ctx: within(t), seg: seg, board: must(newBoard(seg))(t),
		subject: subjects[name], rand: rand.New(rand.NewPCG(seed, 0)),
	}
	c.in = assignment{Subject: name, Board: c.board, Hands: 1}
	c.next = c.subject.begin
	wantNil(t, "make "+name, c.subject.make(seg, &c.in))
	for place := 1; place <= crewSize; place++ {
		c.start(place)
	}
	t.Cleanup(c.stop)
	return c
}

// start starts a process at a place.
func (c *crew) start(place int) {
	in := c.in
	in.Place, in.Hands, in.Seed = place, 1+c.rand.IntN(maxHands), c.rand.Uint64()
	m := &member{words: &c.board.places[place], over: make(chan struct{})}
	m.words.begin.Store(0)
	m.words.done.Store(0)
	m.words.party.Store(0)
	var o proc.Options
	if crash.Enabled && c.subject.kills && c.rand.IntN(3) > 0 {
		point := c.subject.dieAt[c.rand.IntN(len(c.subject.dieAt))]
		o.Env = []string{fmt.Sprintf("%s=%v:%d", crash.Env, point, 1+c.rand.IntN(1<<c.rand.IntN(9)))}
	}
	m.Call = must(worker.New(in, &o))(c.t)
	wantNil(c.t, "Start", m.Start(c.ctx))
	c.members[place] = m
	go func() {
		<-m.Done()
		m.ended = c.board.tick()
		m.err = c.announce(m)
		m.known = c.board.tick()
		close(m.over)
		tell(&m.words.done, gone)
	}()
}

// announce sees to it that everyone knows that a process has ended.
func (c *crew) announce(m *member) error {
	id := party.ID(m.words.party.Load())
	table := c.board.object.Table()
	for begin := time.Now(); !table.Dead(id); { // another announcer may be in the midst of it
		if _, err := c.seg.Parties(); err != nil {
			return err
		}
		if time.Since(begin) > patience {
			return errors.New("the death is not announced")
		}
	}
	table.Wake() // the announcer may be dead
	return nil
}

// stop ends the crew.
func (c *crew) stop() {
	for _, m := range c.members {
		if m == nil {
			continue
		}
		if c.t.Failed() {
			m.Kill()
		}
		tell(&m.words.begin, stopped)
		select {
		case <-m.over:
		case <-time.After(patience):
			c.t.Errorf("%s does not end", m.Name())
			continue
		}
		if err := errors.Join(m.Join(context.Background()), m.err); err != nil && !c.t.Failed() {
			c.t.Errorf("%s: %v", m.Name(), err)
		}
	}
}

// work is one round.
func (c *crew) work() *history {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.ctx = ctx
	c.round++
	c.board.clear()
	h := &history{begin: c.next}
	crowd := c.rand.Perm(crewSize)
	n := roundSize + c.rand.IntN(2)
	called, spare := crowd[:n:n], crowd[n:]
	for _, i := range called {
		tell(&c.member(i).words.begin, c.round)
	}
	if c.subject.kills {
		for range c.rand.IntN(3) {
			if c.kill(called) && len(spare) > 0 {
				tell(&c.member(spare[0]).words.begin, c.round)
				called, spare = append(called, spare[0]), spare[1:]
			}
		}
	}
	for _, i := range called {
		c.finish(h, i+1)
	}
	c.rest(h)
	c.rounds++
	c.ops += len(h.ops)
	c.killed += len(h.deaths)
	return h
}

func (c *crew) member(i int) *member { return c.members[i+1] }

// ticksOfRound is about how many ticks a round takes.
const ticksOfRound = 2 * logLength * 5

// kill kills one of those who work, at a random moment of the round, unless
// it has been killed before.
func (c *crew) kill(called []int) bool {
	at := c.board.clock.Load() + uint64(c.rand.IntN(ticksOfRound))
	working := func(i int) bool {
		done := c.member(i).words.done.Load()
		return done != c.round && done != gone
	}
	for c.board.clock.Load() < at && slices.ContainsFunc(called, working) && c.ctx.Err() == nil {
		time.Sleep(20 * time.Microsecond)
	}
	m := c.member(called[c.rand.IntN(len(called))])
	if m.killed != 0 {
		return false
	}
	m.killed = c.board.tick()
	wantNil(c.t, "Kill", m.Kill())
	return true
}

// finish waits until a place is done with the round, or dead: then a new
// process gets the place for the next one.
func (c *crew) finish(h *history, place int) {
	c.t.Helper()
	m := c.members[place]
	done, err := until(c.ctx, &m.words.done, func(v uint32) bool {
		return v == gone || v == c.round && m.killed == 0
	})
	wantNil(c.t, fmt.Sprintf("end of round %d at place %d", c.round, place), err)
	ops, last := c.board.ops(place)
	if done == gone {
		<-m.over
		c.mustBeKilled(m)
		if !crash.Enabled { // else it may have died before it was killed
			last = max(last, m.killed)
		}
		h.deaths = append(h.deaths, death{place, last, m.known})
		for i := range ops {
			if ops[i].pending {
				ops[i].returned = m.ended
			}
		}
		c.start(place)
	}
	h.ops = append(h.ops, ops...)
}

// mustBeKilled fails the test if a process has ended otherwise.
func (c *crew) mustBeKilled(m *member) {
	c.t.Helper()
	var exit *proc.ExitError
	wantNil(c.t, m.Name(), m.err)
	err := m.Join(c.ctx)
	if !errors.As(err, &exit) || exit.Code != -9 || m.killed == 0 && !crash.Enabled {
		c.t.Fatalf("%s ended in round %d: %v", m.Name(), c.round, err)
	}
}

// rest brings the object to where the next round begins.
func (c *crew) rest(h *history) {
	c.t.Helper()
	var err error
	c.next, err = c.subject.rest(newHand(&c.in, 0, c.round), &c.in)
	wantNil(c.t, "rest", err)
	ops, _ := c.board.ops(0)
	h.ops = append(h.ops, ops...)
}
