package bench

import (
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// An inPlacePort writes and reads messages where they lie in a pipe.
type inPlacePort struct {
	conn *ring.Conn
	size int // of a message in bytes
}

func openInPlace(seg *shm.Segment, s Scenario, p part) (port, error) {
	c, err := openConn(seg, p)
	if err != nil {
		return nil, err
	}
	return &inPlacePort{conn: c, size: s.Size}, nil
}

// turn is how many messages an inPlacePort sends or receives before it lets
// another one have its turn.
const turn = 256

func (p *inPlacePort) send(w number, n uint64) error {
	for n > 0 {
		k := min(n, turn)
		if err := p.sendTurn(w, k); err != nil {
			return err
		}
		w += number(k) * next
		n -= k
	}
	return nil
}

func (p *inPlacePort) sendTurn(w number, n uint64) error {
	s, err := p.conn.Sender(forever)
	if err != nil {
		return err
	}
	defer s.Close()
	for range n {
		b, err := s.Next(forever, p.size)
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
		k, err := p.receiveTurn(t, min(n-i, turn))
		i += k
		if err != nil {
			return i, err
		}
	}
	return n, nil
}

func (p *inPlacePort) receiveTurn(t *tally, n uint64) (uint64, error) {
	r, err := p.conn.Receiver(forever)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for i := range n {
		b, err := r.Receive(forever)
		if err != nil {
			return i, err
		}
		if len(b) != p.size {
			return i, errDamaged(len(b), p.size, 0)
		}
		w, whole := filled(b)
		if !whole {
			return i, errDamaged(p.size, p.size, w)
		}
		if !t.add(w) {
			if err := t.addOdd(w); err != nil {
				return i, err
			}
		}
	}
	return n, r.Release()
}

func (p *inPlacePort) close() error { return p.conn.Close() }
