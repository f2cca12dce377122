package ring

import "github.com/seed-2e7ecdea/mp/shm"

// NewSimplex makes a pipe of one direction in seg, with an optional name, and returns its two ends.
// What is sent by w is received by r. This process holds both ends. A simplex takes half of the
// memory of a pipe of two directions. NewSimplex fails as NewPipe does.
func NewSimplex(seg *shm.Segment, name string, o *PipeOptions) (r *ReadEnd, w *WriteEnd, err error) {
	r, w = new(ReadEnd), new(WriteEnd)
	if err := newEnds(seg, name, simplex, o, &w.conn, &r.conn); err != nil {
		return nil, nil, err
	}
	return r, w, nil
}

// OpenReadEnd opens the receiving end of the simplex of that name. This process becomes one more
// holder of the end. OpenReadEnd fails as every Open function does: see package shm.
func OpenReadEnd(seg *shm.Segment, name string) (*ReadEnd, error) {
	r := new(ReadEnd)
	if err := r.conn.openNamed(seg, name, B, simplex); err != nil {
		return nil, err
	}
	return r, nil
}

// OpenWriteEnd opens the sending end of the simplex of that name. This process becomes one more
// holder of the end. OpenWriteEnd fails as every Open function does: see package shm.
func OpenWriteEnd(seg *shm.Segment, name string) (*WriteEnd, error) {
	w := new(WriteEnd)
	if err := w.conn.openNamed(seg, name, A, simplex); err != nil {
		return nil, err
	}
	return w, nil
}
