package bench

import (
	"io"

	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

const pipeName = "pipe"

// pipeCapacity returns the size of a pipe's ring in one direction, in bytes.
func pipeCapacity(s Scenario) int { return min(max(s.slots()*s.Size, 1<<19), memory) }

func createPipe(seg *shm.Segment, s Scenario) (*link, error) {
	a, b, err := ring.NewPipe(seg, pipeName, &ring.PipeOptions{Capacity: pipeCapacity(s)})
	if err != nil {
		return nil, err
	}
	return &link{ends: []io.Closer{a, b}}, nil
}

func openConn(seg *shm.Segment, r role) (*ring.Conn, error) {
	if r.first() {
		return ring.OpenPipe(seg, pipeName, ring.A)
	}
	return ring.OpenPipe(seg, pipeName, ring.B)
}

// A pipePort copies messages into a pipe and out of it.
type pipePort struct {
	conn *ring.Conn
	buf  []byte // as large as a message
}

func openPipe(seg *shm.Segment, s Scenario, r role) (port, error) {
	c, err := openConn(seg, r)
	if err != nil {
		return nil, err
	}
	return &pipePort{conn: c, buf: make([]byte, s.Size)}, nil
}

func (p *pipePort) send(w number, n uint64) error {
	for range n {
		stamp(p.buf, w)
		if err := p.conn.Send(background, p.buf); err != nil {
			return err
		}
		w += next
	}
	return nil
}

func (p *pipePort) receive(t *tally, n uint64) (uint64, error) {
	for i := range n {
		k, err := p.conn.ReceiveInto(background, p.buf)
		if err != nil {
			return i, err
		}
		w, intact := stamped(p.buf)
		if !intact || k != len(p.buf) {
			return i, damaged(k, len(p.buf), w)
		}
		if err := t.enter(w); err != nil {
			return i, err
		}
	}
	return n, nil
}

func (p *pipePort) close() error { return p.conn.Close() }
