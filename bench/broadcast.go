package bench

import (
	"errors"
	"io"

	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// createBroadcast calls createBroadcastOf with the type of a message of s.Size bytes; openBroadcast does the same for
// openBroadcastOf.
func createBroadcast(seg *shm.Segment, s Scenario) (*link, error) {
	switch s.Size {
	case 8:
		return createBroadcastOf[[1]uint64](seg, s)
	case 64:
		return createBroadcastOf[[8]uint64](seg, s)
	case 1024:
		return createBroadcastOf[[128]uint64](seg, s)
	case 65536:
		return createBroadcastOf[[8192]uint64](seg, s)
	}
	return createBroadcastOf[[131072]uint64](seg, s)
}

func openBroadcast(seg *shm.Segment, s Scenario, r role) (port, error) {
	switch s.Size {
	case 8:
		return openBroadcastOf[[1]uint64](seg, r)
	case 64:
		return openBroadcastOf[[8]uint64](seg, r)
	case 1024:
		return openBroadcastOf[[128]uint64](seg, r)
	case 65536:
		return openBroadcastOf[[8192]uint64](seg, r)
	}
	return openBroadcastOf[[131072]uint64](seg, r)
}

func createBroadcastOf[T payload](seg *shm.Segment, s Scenario) (*link, error) {
	b, err := ring.NewBroadcast[T](seg, queueName, s.slots(), nil)
	if err != nil {
		return nil, err
	}
	l := &link{shutdown: b.Shutdown}
	if s.Measure == Latency {
		answers, err := ring.NewBroadcast[T](seg, answerName, s.slots(), nil)
		if err != nil {
			return nil, err
		}
		l.ends = append(l.ends, answers)
	}
	return l, nil
}

// A broadcastPort publishes messages, and receives those of a subscriber. Either may be nil. v is the memory that it
// copies from and to.
type broadcastPort[T payload] struct {
	to   *ring.Broadcast[T]
	from *ring.Subscriber[T]
	v    T
}

func openBroadcastOf[T payload](seg *shm.Segment, r role) (port, error) {
	puts, gets := queueName, answerName
	if !r.first() {
		puts, gets = answerName, queueName
	}
	p := &broadcastPort[T]{}
	if r != consumer {
		b, err := ring.OpenBroadcast[T](seg, puts)
		if err != nil {
			return nil, err
		}
		p.to = b
	}
	if r != producer {
		b, err := ring.OpenBroadcast[T](seg, gets)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		if p.from, err = b.Subscribe(nil); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	return p, nil
}

func (p *broadcastPort[T]) send(w number, n uint64) error {
	for range n {
		p.v[0], p.v[len(p.v)-1] = w, w
		if err := p.to.PublishFrom(background, &p.v); err != nil {
			return err
		}
		w += next
	}
	return nil
}

func (p *broadcastPort[T]) receive(t *tally, n uint64) (uint64, error) {
	for i := range n {
		if err := p.from.ReceiveInto(background, &p.v); err != nil {
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

func (p *broadcastPort[T]) close() error {
	var err error
	if p.to != nil {
		err = p.to.Close()
	}
	if p.from != nil {
		err = errors.Join(err, p.from.Close())
	}
	return err
}
