package bench

import (
	"errors"
	"fmt"
	"io"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// slots are an array with places for messages, and semaphores that count those that are free and those that are filled. One
// process fills them, the other one empties them, each in turn.
type slots struct {
	array        *array.Array[uint64]
	free, filled *psync.Semaphore
	at           int // of the next message, in elements
}

// slotsNames are the names of the array and the semaphores for one direction.
func slotsNames(way int) (array, free, filled string) {
	return fmt.Sprint("slots ", way), fmt.Sprint("free ", way), fmt.Sprint("filled ", way)
}

// createSlots makes the slots of transport array: from the first process to the second, and, for latency, back.
func createSlots(seg *shm.Segment, s Scenario) (*link, error) {
	l := &link{}
	ways := 1
	if s.Measure == Latency {
		ways = 2
	}
	for way := range ways {
		name, free, filled := slotsNames(way)
		for _, make := range []func() ([]io.Closer, error){
			func() ([]io.Closer, error) { return opened(array.New[uint64](seg, name, s.slots()*s.Size/8, nil)) },
			func() ([]io.Closer, error) { return opened(psync.NewSemaphore(seg, free, s.slots())) },
			func() ([]io.Closer, error) { return opened(psync.NewSemaphore(seg, filled, 0)) },
		} {
			made, err := make()
			l.ends = append(l.ends, made...)
			if err != nil {
				return nil, errors.Join(err, l.release())
			}
		}
	}
	return l, nil
}

func openSlotsOf(seg *shm.Segment, way int) (*slots, error) {
	name, free, filled := slotsNames(way)
	a, err := array.Open[uint64](seg, name)
	if err != nil {
		return nil, err
	}
	f, err := psync.OpenSemaphore(seg, free)
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	g, err := psync.OpenSemaphore(seg, filled)
	if err != nil {
		return nil, errors.Join(err, a.Close(), f.Close())
	}
	return &slots{array: a, free: f, filled: g}, nil
}

// next returns the place of the next message of n elements.
func (s *slots) next(n int) []uint64 {
	all := s.array.Slice()
	place := all[s.at : s.at+n]
	if s.at += n; s.at == len(all) {
		s.at = 0
	}
	return place
}

func (s *slots) close() error {
	return errors.Join(s.array.Close(), s.free.Close(), s.filled.Close())
}

// A slotsPort copies messages into slots and out of slots.
type slotsPort struct {
	out, in *slots   // nil for a producer or a consumer, which has one of them
	buf     []uint64 // as large as a message
}

func openSlots(seg *shm.Segment, s Scenario, r role) (port, error) {
	p := &slotsPort{buf: make([]uint64, s.Size/8)}
	there, back := &p.out, &p.in
	if !r.first() {
		there, back = back, there
	}
	var err error
	if *there, err = openSlotsOf(seg, 0); err != nil {
		return nil, err
	}
	if s.Measure == Latency {
		if *back, err = openSlotsOf(seg, 1); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	return p, nil
}

func (p *slotsPort) send(w number, n uint64) error {
	for range n {
		p.buf[0], p.buf[len(p.buf)-1] = w, w
		if err := p.out.free.Acquire(background); err != nil {
			return err
		}
		copy(p.out.next(len(p.buf)), p.buf)
		if err := p.out.filled.Release(); err != nil {
			return err
		}
		w += next
	}
	return nil
}

// receive returns io.EOF after the last message of the only producer, since an array has no end of file.
func (p *slotsPort) receive(t *tally, n uint64) (uint64, error) {
	for i := range n {
		if t.end != 0 {
			return i, io.EOF
		}
		if err := p.in.filled.Acquire(background); err != nil {
			return i, err
		}
		copy(p.buf, p.in.next(len(p.buf)))
		if err := p.in.free.Release(); err != nil {
			return i, err
		}
		if err := t.enterEnds(p.buf[0], p.buf[len(p.buf)-1]); err != nil {
			return i, err
		}
	}
	return n, nil
}

func (p *slotsPort) close() error {
	var err error
	for _, s := range []*slots{p.out, p.in} {
		if s != nil {
			err = errors.Join(err, s.close())
		}
	}
	return err
}
