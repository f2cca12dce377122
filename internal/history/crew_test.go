//go:build linux

package history_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/party"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A subject is an object under test: how to use it, and how its operations must behave.
type subject struct {
	// make makes the object.
	make func(seg *shm.Segment, in *assignment) error
	// work executes a round in a client: it fills the client's log with operations. When it returns, the client holds
	// nothing of the object.
	work func(c *client, in *assignment) error
	// settle brings the object into the state in which a round begins, and returns that state. The test calls it between
	// rounds, when all clients have returned.
	settle func(c *client, in *assignment) (begin int, err error)
	// model returns the sequential model of the object.
	model func(begin int) porcupine.Model
	// steps returns the steps of the model that the operations and deaths of a history consist of.
	steps func(h *history) []step
	begin int           // state in which the first round begins
	alone bool          // whether each process has one client: the check would take too long with two
	kills bool          // whether the test kills workers
	dieAt []crash.Point // where workers may die, in binaries with crash points
}

// A history records a round.
type history struct {
	begin  int // state in which the round begins
	ops    []op
	deaths []death
}

// A death is the death of a process at a moment between from and known. At known, all parties of the segment know of
// the death.
type death struct {
	process     int
	from, known uint64
}

// A crew is the processes that use an object.
type crew struct {
	t       *testing.T
	ctx     context.Context
	seg     *shm.Segment
	journal *journal
	subject *subject
	in      assignment
	rand    *rand.Rand
	members [maxProcesses]*member
	round   uint32
	next    int // state in which the next round begins

	rounds, ops, killed, stopped int
}

// A member is a process of a crew.
type member struct {
	*proc.Call[int]
	words  *processWords
	killed uint64 // tick at which the test killed it; 0: it did not

	over  chan struct{} // closed when the process has ended and the following fields are set
	ended uint64        // tick after its end
	known uint64        // tick after all parties knew of its end
	err   error
}

const (
	crewSize  = 5 // processes; those that do not begin a round replace processes that are killed
	roundSize = 3 // processes that begin a round, at least
)

func newCrew(t *testing.T, name string) *crew {
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	seg := closing(t, must(shm.Anonymous(1<<20, nil))(t))
	c := &crew{
		t: t, ctx: within(t), seg: seg, journal: must(newJournal(seg))(t),
		subject: subjects[name], rand: rand.New(rand.NewPCG(seed, 0)),
	}
	c.in = assignment{Subject: name, Journal: c.journal, Clients: 1}
	c.next = c.subject.begin
	wantNil(t, "make "+name, c.subject.make(seg, &c.in))
	for process := 1; process <= crewSize; process++ {
		c.start(process)
	}
	t.Cleanup(c.stop)
	return c
}

// start starts a process with a number.
func (c *crew) start(process int) {
	in := c.in
	in.Process, in.Clients, in.Seed = process, 1+c.rand.IntN(maxClients), c.rand.Uint64()
	if c.subject.alone {
		in.Clients = 1
	}
	m := &member{words: &c.journal.processes[process], over: make(chan struct{})}
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
	c.members[process] = m
	go func() {
		<-m.Done()
		m.ended = c.journal.tick()
		m.err = c.announce(m)
		m.known = c.journal.tick()
		close(m.over)
		tell(&m.words.done, gone)
	}()
}

// announce makes sure that all parties of the segment know that a process has ended.
func (c *crew) announce(m *member) error {
	id := party.ID(m.words.party.Load())
	table := c.journal.object.Table()
	for begin := time.Now(); !table.Dead(id); { // another party may be announcing the death at this moment
		if _, err := c.seg.Parties(); err != nil {
			return err
		}
		if time.Since(begin) > patience {
			return errors.New("the death is not announced")
		}
	}
	table.Wake() // a party that announced the death may have died before it woke the waiters
	return nil
}

// stop ends all processes.
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

// work executes a round and returns its history.
func (c *crew) work() *history {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.ctx = ctx
	c.round++
	c.journal.clear()
	h := &history{begin: c.next}
	crowd := c.rand.Perm(crewSize)
	n := roundSize + c.rand.IntN(2)
	called, spare := crowd[:n:n], crowd[n:]
	for _, i := range called {
		tell(&c.member(i).words.begin, c.round)
	}
	if c.rand.IntN(3) == 0 {
		c.stopForAMoment(called)
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
	c.settle(h)
	c.rounds++
	c.ops += len(h.ops)
	c.killed += len(h.deaths)
	return h
}

func (c *crew) member(i int) *member { return c.members[i+1] }

// ticksOfRound is the approximate number of ticks that a round takes.
const ticksOfRound = 2 * logLength * 5

// kill kills one of the processes that execute the round, at a random moment. It returns false if that process
// has been killed before.
func (c *crew) kill(called []int) bool {
	c.awaitTicks(called, ticksOfRound)
	m := c.member(called[c.rand.IntN(len(called))])
	if m.killed != 0 {
		return false
	}
	m.killed = c.journal.tick()
	wantNil(c.t, "Kill", m.Kill())
	return true
}

// awaitTicks waits for fewer than most ticks of the processes that execute the round, or until they have
// done so.
func (c *crew) awaitTicks(called []int, most int) {
	at := c.journal.clock.Load() + uint64(c.rand.IntN(most))
	working := func(i int) bool {
		done := c.member(i).words.done.Load()
		return done != c.round && done != gone
	}
	for c.journal.clock.Load() < at && slices.ContainsFunc(called, working) && c.ctx.Err() == nil {
		time.Sleep(20 * time.Microsecond)
	}
}

// longestStop is how long a process is stopped at most: the others may have to wait for it.
const longestStop = 5 * time.Millisecond

// stopForAMoment stops one of the processes that execute the round, at a random moment, and lets it go
// on when the others have done something, or after a while.
func (c *crew) stopForAMoment(called []int) {
	c.t.Helper()
	c.awaitTicks(called, ticksOfRound/2)
	m := c.member(called[c.rand.IntN(len(called))])
	if syscall.Kill(m.PID(), syscall.SIGSTOP) != nil { // it has died at a crash point
		return
	}
	c.stopped++
	clock := c.journal.clock.Load()
	ticks := uint64(c.rand.IntN(ticksOfRound / 4))
	for begin := time.Now(); time.Since(begin) < longestStop && c.journal.clock.Load() < clock+ticks; {
		time.Sleep(20 * time.Microsecond)
	}
	if err := syscall.Kill(m.PID(), syscall.SIGCONT); err != nil && !errors.Is(err, syscall.ESRCH) {
		c.t.Fatalf("SIGCONT: %v", err)
	}
}

// finish waits until a process has finished the round or is dead. In place of a dead process, it starts a new one with the
// same number for the next round.
func (c *crew) finish(h *history, process int) {
	c.t.Helper()
	m := c.members[process]
	done, err := until(c.ctx, &m.words.done, func(v uint32) bool {
		return v == gone || v == c.round && m.killed == 0
	})
	wantNil(c.t, fmt.Sprintf("end of round %d at process %d", c.round, process), err)
	ops, last := c.journal.ops(process)
	if done == gone {
		<-m.over
		c.mustBeKilled(m)
		if !crash.Enabled { // with crash points, the process may have died before it was killed
			last = max(last, m.killed)
		}
		h.deaths = append(h.deaths, death{process, last, m.known})
		for i := range ops {
			if ops[i].pending {
				ops[i].returned = m.ended
			}
		}
		c.start(process)
	}
	h.ops = append(h.ops, ops...)
}

// mustBeKilled fails the test if a process has ended otherwise than by SIGKILL.
func (c *crew) mustBeKilled(m *member) {
	c.t.Helper()
	var exit *proc.ExitError
	wantNil(c.t, m.Name(), m.err)
	err := m.Join(c.ctx)
	if !errors.As(err, &exit) || exit.Code != -9 || m.killed == 0 && !crash.Enabled {
		c.t.Fatalf("%s ended in round %d: %v", m.Name(), c.round, err)
	}
}

// settle brings the object into the state in which the next round begins.
func (c *crew) settle(h *history) {
	c.t.Helper()
	var err error
	c.next, err = c.subject.settle(newClient(&c.in, 0, c.round), &c.in)
	wantNil(c.t, "rest", err)
	ops, _ := c.journal.ops(0)
	h.ops = append(h.ops, ops...)
}
