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

// createQueue calls createQueueOf with the type of a message of s.Size bytes; openQueue does the same for openQueueOf.
func createQueue(seg *shm.Segment, s Scenario) (*link, error) {
	switch s.Content {
	case ContentString:
		return createEncoded[string](seg, s)
	case ContentStruct:
		return createEncoded[entry](seg, s)
	}
	switch s.Size {
	case 8:
		return createQueueOf[[1]uint64](seg, s)
	case 64:
		return createQueueOf[[8]uint64](seg, s)
	case 1024:
		return createQueueOf[[128]uint64](seg, s)
	case 65536:
		return createQueueOf[[8192]uint64](seg, s)
	case 1048576:
		return createQueueOf[[131072]uint64](seg, s)
	}
	return nil, fmt.Errorf("%w: no queue of %d bytes", ErrScenario, s.Size)
}

func openQueue(seg *shm.Segment, s Scenario, r role) (port, error) {
	switch s.Content {
	case ContentString:
		return openEncoded(seg, s, r, textEncoding)
	case ContentStruct:
		return openEncoded(seg, s, r, entryEncoding)
	}
	switch s.Size {
	case 8:
		return openQueueOf[[1]uint64](seg, s, r)
	case 64:
		return openQueueOf[[8]uint64](seg, s, r)
	case 1024:
		return openQueueOf[[128]uint64](seg, s, r)
	case 65536:
		return openQueueOf[[8192]uint64](seg, s, r)
	case 1048576:
		return openQueueOf[[131072]uint64](seg, s, r)
	}
	return nil, fmt.Errorf("%w: no queue of %d bytes", ErrScenario, s.Size)
}

// The names of the queue of messages and, for latency, of the queue of answers.
const (
	queueName  = "queue"
	answerName = "answers"
)

func createQueueOf[T payload](seg *shm.Segment, s Scenario) (*link, error) {
	q, err := ring.NewQueue[T](seg, queueName, s.slots(), nil)
	if err != nil {
		return nil, err
	}
	l := &link{shutdown: q.Shutdown}
	if s.Measure == Latency {
		answers, err := ring.NewQueue[T](seg, answerName, s.slots(), nil)
		if err != nil {
			return nil, err
		}
		l.ends = append(l.ends, answers)
	}
	return l, nil
}

// A queuePort puts messages into a queue and gets messages from a queue. v is the memory that it
// copies from and to: the largest message is too large for a stack.
type queuePort[T payload] struct {
	puts, gets *ring.Queue[T]
	v          T
}

func openQueueOf[T payload](seg *shm.Segment, s Scenario, r role) (port, error) {
	puts, gets, err := openQueues[T](seg, r)
	if err != nil {
		return nil, err
	}
	if s.Batch > 1 {
		return &batchPort[T]{puts: puts, gets: gets, vs: make([]T, s.Batch)}, nil
	}
	return &queuePort[T]{puts: puts, gets: gets}, nil
}

// openQueues opens the queues that a role puts into and gets from, which may be the same.
func openQueues[T any](seg *shm.Segment, r role) (puts, gets *ring.Queue[T], err error) {
	q, err := ring.OpenQueue[T](seg, queueName)
	if err != nil {
		return nil, nil, err
	}
	if r == producer || r == consumer {
		return q, q, nil
	}
	answers, err := ring.OpenQueue[T](seg, answerName)
	if err != nil {
		return nil, nil, errors.Join(err, q.Close())
	}
	if r == caller {
		return q, answers, nil
	}
	return answers, q, nil
}

func (p *queuePort[T]) send(w number, n uint64) error {
	for range n {
		p.v[0], p.v[len(p.v)-1] = w, w
		if err := p.puts.PutFrom(background, &p.v); err != nil {
			return err
		}
		w += next
	}
	return nil
}

func (p *queuePort[T]) receive(t *tally, n uint64) (uint64, error) {
	for i := range n {
		if err := p.gets.GetInto(background, &p.v); err != nil {
			if errors.Is(err, ring.ErrShutdown) {
				err = io.EOF
			}
			return i, err
		}
		if err := t.enterEnds(p.v[0], p.v[len(p.v)-1]); err != nil {
			return i, err
		}
	}
	return n, nil
}

func (p *queuePort[T]) close() error { return errors.Join(p.puts.Close(), p.gets.Close()) }
