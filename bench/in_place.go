package bench

import (
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// An inPlacePort writes and reads messages in the memory of a pipe, without a copy.
type inPlacePort struct {
	conn *ring.Conn
	size int // of a message, in bytes
}

func openInPlace(seg *shm.Segment, s Scenario, r role) (port, error) {
	c, err := openConn(seg, r)
	if err != nil {
		return nil, err
	}
	return &inPlacePort{conn: c, size: s.Size}, nil
}

// inPlaceBatch is how many messages an inPlacePort sends or receives before it gives up its end of the
// pipe, so that another process can take it.
const inPlaceBatch = 256

func (p *inPlacePort) send(w number, n uint64) error {
	for n > 0 {
		k := min(n, inPlaceBatch)
		if err := p.sendBatch(w, k); err != nil {
			return err
		}
		w += number(k) * next
		n -= k
	}
	return nil
}

func (p *inPlacePort) sendBatch(w number, n uint64) error {
	s, err := p.conn.Sender(background)
	if err != nil {
		return err
	}
	defer s.Close()
	for range n {
		b, err := s.Next(background, p.size)
		if err != nil {
			return err
		}
		fill(b, w)
		w += next
	}
	return s.Commit()
}

func (p *inPlacePort) receive(t *tally, n uint64) (uint64, error) {
	for i := uint64(0); i < n; {
		k, err := p.receiveBatch(t, min(n-i, inPlaceBatch))
		i += k
		if err != nil {
			return i, err
		}
	}
	return n, nil
}

func (p *inPlacePort) receiveBatch(t *tally, n uint64) (uint64, error) {
	r, err := p.conn.Receiver(background)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for i := range n {
		b, err := r.Receive(background)
		if err != nil {
			return i, err
		}
		if len(b) != p.size {
			return i, damaged(len(b), p.size, 0)
		}
		w, intact := filled(b)
		if !intact {
			return i, damaged(p.size, p.size, w)
		}
		if err := t.enter(w); err != nil {
			return i, err
		}
	}
	return n, r.Release()
}

func (p *inPlacePort) close() error { return p.conn.Close() }
