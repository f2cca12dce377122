package bench

import (
	"errors"

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

func (p *inPlacePort) send(w number, n uint64) error {
	for range n {
		r, err := p.conn.Reserve(forever, p.size)
		if err != nil {
			return err
		}
		fill(r.Bytes(), w)
		if err := r.Commit(); err != nil {
			return err
		}
		w += next
	}
	return nil
}

func (p *inPlacePort) receive(t *tally, n uint64) (uint64, error) {
	for i := range n {
		m, err := p.conn.ReceiveInPlace(forever)
		if err != nil {
			return i, err
		}
		b := m.Bytes()
		if len(b) != p.size {
			return i, errors.Join(errDamaged(len(b), p.size, 0), m.Release())
		}
		w, whole := filled(b)
		if err := m.Release(); err != nil {
			return i, err
		}
		if !whole {
			return i, errDamaged(p.size, p.size, w)
		}
		if !t.add(w) {
			if err := t.addOdd(w); err != nil {
				return i, err
			}
		}
	}
	return n, nil
}

func (p *inPlacePort) close() error { return p.conn.Close() }
