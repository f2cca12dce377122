package bench

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/seed-2e7ecdea/mp/shm"
	"github.com/seed-2e7ecdea/mp/value"
)

// createValue calls createValueOf with the type of a message of s.Size bytes; openValue does the same for openValueOf.
func createValue(seg *shm.Segment, s Scenario) (*link, error) {
	switch s.Size {
	case 8:
		return createValueOf[[1]uint64](seg)
	case 64:
		return createValueOf[[8]uint64](seg)
	case 1024:
		return createValueOf[[128]uint64](seg)
	}
	return createValueOf[[8192]uint64](seg)
}

func openValue(seg *shm.Segment, s Scenario, r role) (port, error) {
	switch s.Size {
	case 8:
		return openValueOf[[1]uint64](seg, s, r)
	case 64:
		return openValueOf[[8]uint64](seg, s, r)
	case 1024:
		return openValueOf[[128]uint64](seg, s, r)
	}
	return openValueOf[[8192]uint64](seg, s, r)
}

func createValueOf[T payload](seg *shm.Segment) (*link, error) {
	l := &link{}
	for i := range 2 { // the second one is for latency
		var zero T
		v, err := value.New(seg, batonName(i), zero, nil)
		if err != nil {
			return nil, errors.Join(err, l.release())
		}
		l.ends = append(l.ends, v)
	}
	return l, nil
}

// A valuePort stores messages in a value, and watches another one.
type valuePort[T payload] struct {
	out, in *value.Value[T]
	v       T
	next    func() (T, error, bool) // the next value of in
	stop    func()
}

func openValueOf[T payload](seg *shm.Segment, s Scenario, r role) (port, error) {
	if s.Measure == Throughput {
		v, err := value.Open[T](seg, batonName(0))
		return &latestPort[T]{value: v}, err
	}
	out, in := batonName(0), batonName(1)
	if !r.first() {
		out, in = in, out
	}
	p := &valuePort[T]{}
	var err error
	if p.out, err = value.Open[T](seg, out); err != nil {
		return nil, err
	}
	if p.in, err = value.Open[T](seg, in); err != nil {
		return nil, errors.Join(err, p.out.Close())
	}
	p.next, p.stop = iter.Pull2(p.in.Watch(background))
	if _, err, _ := p.next(); err != nil { // the value that is there from the beginning
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *valuePort[T]) send(w number, n uint64) error {
	storeMessages(p.out, &p.v, w, n)
	return nil
}

// storeMessages stores n messages from w on in a value. v is the memory for a message.
func storeMessages[T payload](to *value.Value[T], v *T, w number, n uint64) {
	for range n {
		(*v)[0], (*v)[len(*v)-1] = w, w
		to.Store(*v)
		w += next
	}
}

func (p *valuePort[T]) receive(t *tally, n uint64) (uint64, error) {
	for i := range n {
		v, err, _ := p.next()
		if err != nil {
			return i, err
		}
		if err := t.enterEnds(v[0], v[len(v)-1]); err != nil {
			return i, err
		}
	}
	return n, nil
}

func (p *valuePort[T]) close() error {
	p.stop()
	return errors.Join(p.out.Close(), p.in.Close())
}

// A latestPort stores messages in a value as fast as it can, or loads the value as fast as it can. A message that is
// replaced before it is loaded is not received.
type latestPort[T payload] struct {
	value *value.Value[T]
	v     T
}

func (p *latestPort[T]) send(w number, n uint64) error {
	storeMessages(p.value, &p.v, w, n)
	return nil
}

// receive returns io.EOF after the last message of the only producer.
func (p *latestPort[T]) receive(t *tally, n uint64) (uint64, error) {
	seen := number(0) // what the last load has returned; 0: nothing has been stored
	for i := uint64(0); i < n; {
		if t.end != 0 {
			return i, io.EOF
		}
		t.loads++
		v := p.value.Load()
		w := v[0]
		if v[len(v)-1] != w {
			return i, damaged(0, 0, w)
		}
		if w == seen {
			pause(int(t.loads))
			continue
		}
		if seen = w; w == 0 {
			return i, fmt.Errorf("%w: the value at the beginning came back", ErrVerify)
		}
		if err := t.enter(w); err != nil {
			return i, err
		}
		i++
	}
	return n, nil
}

func (p *latestPort[T]) close() error { return p.value.Close() }
