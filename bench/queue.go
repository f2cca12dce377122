package bench

import (
	"errors"
	"fmt"
	"io"

	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A payload is a message of a fixed size.
type payload interface {
	[1]uint64 | [8]uint64 | [128]uint64 | [8192]uint64 | [131072]uint64
}

// layQueue and openQueue are the two that follow for a message's size.
func layQueue(seg *shm.Segment, s Scenario) (*medium, error) {
	switch s.Size {
	case 8:
		return layQueueOf[[1]uint64](seg, s)
	case 64:
		return layQueueOf[[8]uint64](seg, s)
	case 1024:
		return layQueueOf[[128]uint64](seg, s)
	case 65536:
		return layQueueOf[[8192]uint64](seg, s)
	case 1048576:
		return layQueueOf[[131072]uint64](seg, s)
	}
	return nil, fmt.Errorf("%w: no queue of %d bytes", ErrScenario, s.Size)
}

func openQueue(seg *shm.Segment, s Scenario, p part) (port, error) {
	switch s.Size {
	case 8:
		return openQueueOf[[1]uint64](seg, p)
	case 64:
		return openQueueOf[[8]uint64](seg, p)
	case 1024:
		return openQueueOf[[128]uint64](seg, p)
	case 65536:
		return openQueueOf[[8192]uint64](seg, p)
	case 1048576:
		return openQueueOf[[131072]uint64](seg, p)
	}
	return nil, fmt.Errorf("%w: no queue of %d bytes", ErrScenario, s.Size)
}

// The queues: that of messages, and for round trips that of answers.
const (
	queueName  = "queue"
	answerName = "answers"
)

// queueCapacity is the number of slots of a queue.
func queueCapacity(s Scenario) int { return s.room() }

func queueMemory(s Scenario) int { return 2 * (queueCapacity(s)*(s.Size+8) + 4096) }

func layQueueOf[T payload](seg *shm.Segment, s Scenario) (*medium, error) {
	q, err := ring.NewQueue[T](seg, queueName, queueCapacity(s), nil)
	if err != nil {
		return nil, err
	}
	m := &medium{shutdown: q.Shutdown}
	if s.Measure == Latency {
		answers, err := ring.NewQueue[T](seg, answerName, queueCapacity(s), nil)
		if err != nil {
			return nil, err
		}
		m.ends = append(m.ends, answers)
	}
	return m, nil
}

// A queuePort puts messages into a queue and gets them from a queue. What it
// copies from and to lies here, since the largest has no place on a stack.
type queuePort[T payload] struct {
	puts, gets *ring.Queue[T]
	v          T
}

func openQueueOf[T payload](seg *shm.Segment, p part) (port, error) {
	q, err := ring.OpenQueue[T](seg, queueName)
	if err != nil {
		return nil, err
	}
	port := &queuePort[T]{puts: q, gets: q}
	if p == producer || p == consumer {
		return port, nil
	}
	answers, err := ring.OpenQueue[T](seg, answerName)
	if err != nil {
		return nil, errors.Join(err, q.Close())
	}
	if p == caller {
		port.gets = answers
	} else {
		port.puts = answers
	}
	return port, nil
}

func (p *queuePort[T]) send(w number, n uint64) error {
	for range n {
		p.v[0], p.v[len(p.v)-1] = w, w
		if err := p.puts.PutFrom(forever, &p.v); err != nil {
			return err
		}
		w += next
	}
	return nil
}

func (p *queuePort[T]) receive(t *tally, n uint64) (uint64, error) {
	for i := range n {
		if err := p.gets.GetInto(forever, &p.v); errors.Is(err, ring.ErrShutdown) {
			return i, io.EOF
		} else if err != nil {
			return i, err
		}
		w := p.v[0]
		if p.v[len(p.v)-1] != w {
			return i, errDamaged(0, 0, w)
		}
		if !t.add(w) {
			if err := t.addOdd(w); err != nil {
				return i, err
			}
		}
	}
	return n, nil
}

func (p *queuePort[T]) close() error { return errors.Join(p.puts.Close(), p.gets.Close()) }
