package bench

import (
	"errors"
	"io"

	"github.com/seed-2e7ecdea/mp/ring"
)

// A batchPort puts many messages into a queue by one call, and gets as many as are there.
type batchPort[T payload] struct {
	puts, gets *ring.Queue[T]
	vs         []T // a batch
}

func (p *batchPort[T]) send(w number, n uint64) error {
	for n > 0 {
		vs := p.vs[:min(n, uint64(len(p.vs)))]
		for i := range vs {
			vs[i][0], vs[i][len(vs[i])-1] = w, w
			w += next
		}
		n -= uint64(len(vs))
		for len(vs) > 0 {
			k, err := p.puts.PutMany(background, vs)
			if err != nil {
				return err
			}
			vs = vs[k:]
		}
	}
	return nil
}

func (p *batchPort[T]) receive(t *tally, n uint64) (uint64, error) {
	for i := uint64(0); i < n; {
		k, err := p.gets.GetMany(background, p.vs[:min(n-i, uint64(len(p.vs)))])
		if errors.Is(err, ring.ErrShutdown) {
			err = io.EOF
		}
		if err != nil {
			return i, err
		}
		for j := range p.vs[:k] {
			if err := t.enterEnds(p.vs[j][0], p.vs[j][len(p.vs[j])-1]); err != nil {
				return i, err
			}
			i++
		}
	}
	return n, nil
}

func (p *batchPort[T]) close() error { return errors.Join(p.puts.Close(), p.gets.Close()) }
