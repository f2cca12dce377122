package bench

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/proc"
)

// goroutines is the task of the one process of a run in which all roles are goroutines. It returns their summaries; the
// first has the usage of all.
var goroutines = proc.Register("mp/bench/channel", func(_ context.Context, s Scenario) ([]summary, error) { return runChannel(s) })

// runChannel runs a scenario in this process, over channels.
func runChannel(s Scenario) ([]summary, error) {
	if len(s.Pin) > 0 {
		if err := sys.Pin(s.Pin...); err != nil {
			return nil, err
		}
	}
	there, back := newChannel(s), newChannel(s)
	roles, base := s.roles(), new(atomic.Uint64)
	summaries, failed := make([]summary, len(roles)), make(chan error, len(roles))
	before, err := sys.UsageSoFar(false)
	if err != nil {
		return nil, err
	}
	var producing sync.WaitGroup
	for i, r := range roles {
		j := job{Scenario: s, Role: r, Index: i, base: base}
		p := &channelPort{out: there, in: there, size: s.Size}
		switch r {
		case producer:
			producing.Add(1)
		case consumer:
			j.Index -= s.Producers
		case caller:
			p.in = back
		case responder:
			p.out = back
		}
		go func() {
			var err error
			summaries[i], err = j.perform(p)
			if err != nil {
				err = fmt.Errorf("%s %d: %w", r, j.Index, err)
			} else if r == producer {
				producing.Done()
			}
			failed <- err
		}()
	}
	go func() {
		producing.Wait()
		if s.Measure != Latency {
			close(there.filled)
		}
	}()
	for range roles {
		if err := <-failed; err != nil {
			return nil, err // the process ends, and the other goroutines with it
		}
	}
	after, err := sys.UsageSoFar(false)
	if err != nil {
		return nil, err
	}
	summaries[0].Usage = after.Minus(before)
	return summaries, nil
}

// A channel moves buffers with messages, and takes them back when they have been read.
type channel struct{ filled, free chan []byte }

func newChannel(s Scenario) channel {
	n := s.slots()
	c := channel{filled: make(chan []byte, n), free: make(chan []byte, n)}
	for range n {
		c.free <- make([]byte, s.Size)
	}
	return c
}

// A channelPort writes and reads messages in the buffers that a channel moves: like an inPlacePort, it copies nothing.
type channelPort struct {
	in, out channel
	size    int
}

func (p *channelPort) send(w number, n uint64) error {
	for range n {
		b := <-p.out.free
		fill(b, w)
		p.out.filled <- b
		w += next
	}
	return nil
}

func (p *channelPort) receive(t *tally, n uint64) (uint64, error) {
	for i := range n {
		b, ok := <-p.in.filled
		if !ok {
			return i, io.EOF
		}
		w, intact := filled(b)
		if !intact {
			return i, damaged(len(b), p.size, w)
		}
		p.in.free <- b
		if err := t.enter(w); err != nil {
			return i, err
		}
	}
	return n, nil
}

func (p *channelPort) close() error { return nil }
