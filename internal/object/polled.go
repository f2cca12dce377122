package object

import "sync/atomic"

// A Polled is the error of a method that callers try again and again. It is made once for each object, so that a
// poll does not allocate. The zero Polled is ready. It is safe for concurrent use.
type Polled struct {
	made atomic.Pointer[error]
}

// Fail returns the error of the method op on b's object, which wraps err. Each call has the same op and err.
func (p *Polled) Fail(b *Base, op string, err error) error {
	if made := p.made.Load(); made != nil {
		return *made
	}
	made := b.failure(op, err)
	p.made.Store(&made)
	return made
}
