package bench

import (
	"errors"
	"fmt"
	"io"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

// A baton passes the right to use an array from one process to the other and back.
type baton interface {
	give() error // lets the other process have it
	take() error // blocks until this process has it
}

// createHandover makes the array that lock, semaphore, condition and event hand over, and the objects by which they do it.
func createHandover(seg *shm.Segment, s Scenario) (*link, error) {
	a, err := array.New[uint64](seg, arrayName, s.Size/8, nil)
	if err != nil {
		return nil, err
	}
	l := &link{ends: []io.Closer{a}}
	for i := range 3 {
		var made []io.Closer
		switch s.Transport {
		case "lock":
			made, err = opened(psync.NewLock(seg, batonName(i), nil))
		case "semaphore":
			made, err = opened(psync.NewSemaphore(seg, batonName(i), 0))
		case "event":
			made, err = opened(psync.NewEvent(seg, batonName(i)))
		case "condition":
			if i == 0 {
				made, err = newCondition(seg)
			}
		}
		l.ends = append(l.ends, made...)
		if err != nil {
			return nil, errors.Join(err, l.release())
		}
	}
	return l, nil
}

// The names of the array, the objects that hand it over, and the word that says whose turn it is.
const (
	arrayName = "array"
	turnName  = "turn"
)

func batonName(i int) string { return fmt.Sprint("baton ", i) }

func opened(c io.Closer, err error) ([]io.Closer, error) {
	if err != nil {
		return nil, err
	}
	return []io.Closer{c}, nil
}

// newCondition makes a condition, its lock, and the turn that it waits for.
func newCondition(seg *shm.Segment) ([]io.Closer, error) {
	lock, err := psync.NewLock(seg, batonName(0), nil)
	if err != nil {
		return nil, err
	}
	c, err := psync.NewCondition(seg, batonName(1), lock, nil)
	if err != nil {
		return []io.Closer{lock}, err
	}
	turn, err := value.NewUint64(seg, turnName, uint64(caller), nil)
	if err != nil {
		return []io.Closer{lock, c}, err
	}
	return []io.Closer{lock, c, turn}, nil
}

// A handoverPort writes messages into an array, and hands that over.
type handoverPort struct {
	baton baton
	array *array.Array[uint64]
	buf   []uint64 // as large as a message
}

func openHandover(seg *shm.Segment, s Scenario, r role) (port, error) {
	a, err := array.Open[uint64](seg, arrayName)
	if err != nil {
		return nil, err
	}
	p := &handoverPort{array: a, buf: make([]uint64, s.Size/8)}
	switch s.Transport {
	case "lock":
		p.baton, err = openLocks(seg, r)
	case "semaphore":
		p.baton, err = openSemaphores(seg, r)
	case "event":
		p.baton, err = openEvents(seg, r)
	default:
		p.baton, err = openTurn(seg, r)
	}
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return p, nil
}

func (p *handoverPort) send(w number, n uint64) error {
	for range n {
		p.buf[0], p.buf[len(p.buf)-1] = w, w
		p.array.CopyFrom(p.buf)
		if err := p.baton.give(); err != nil {
			return err
		}
		w += next
	}
	return nil
}

func (p *handoverPort) receive(t *tally, n uint64) (uint64, error) {
	for i := range n {
		if err := p.baton.take(); err != nil {
			return i, err
		}
		p.array.CopyTo(p.buf)
		if err := t.enterEnds(p.buf[0], p.buf[len(p.buf)-1]); err != nil {
			return i, err
		}
	}
	return n, nil
}

// close leaves the objects open: the process still holds some of the locks, until it ends.
func (p *handoverPort) close() error { return nil }

// locks are three locks by which two processes take turns. Each process always holds at least one, and waits for one
// that the other holds:
//
//	the caller holds 0 and 1, the responder holds 2 and waits for 1
//	the caller releases 1 and waits for 2
//	the responder gets 1, releases 2 and waits for 0
//	the caller gets 2, releases 0 and waits for 1
//
// and so on: both go down by one, modulo 3.
type locks struct {
	list       [3]*psync.Lock
	gives, has int // the next to release, and the next to acquire
}

func openLocks(seg *shm.Segment, r role) (baton, error) {
	l := &locks{gives: 1, has: 2}
	held := []int{0, 1}
	if !r.first() {
		l.gives, l.has = 2, 1
		held = []int{2}
	}
	for i := range l.list {
		var err error
		if l.list[i], err = psync.OpenLock(seg, batonName(i)); err != nil {
			return nil, err
		}
	}
	for _, i := range held {
		if err := l.list[i].Acquire(background); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *locks) give() error {
	i := l.gives
	l.gives = (i + 2) % 3
	return l.list[i].Release()
}

func (l *locks) take() error {
	i := l.has
	l.has = (i + 2) % 3
	return l.list[i].Acquire(background)
}

// semaphores are one for each process, which the other process releases.
type semaphores struct{ own, other *psync.Semaphore }

func openSemaphores(seg *shm.Segment, r role) (baton, error) {
	own, other := batonName(0), batonName(1)
	if !r.first() {
		own, other = other, own
	}
	b := &semaphores{}
	var err error
	if b.own, err = psync.OpenSemaphore(seg, own); err != nil {
		return nil, err
	}
	b.other, err = psync.OpenSemaphore(seg, other)
	return b, err
}

func (b *semaphores) give() error { return b.other.Release() }
func (b *semaphores) take() error { return b.own.Acquire(background) }

// events are one for each process, which the other process sets.
type events struct{ own, other *psync.Event }

func openEvents(seg *shm.Segment, r role) (baton, error) {
	own, other := batonName(0), batonName(1)
	if !r.first() {
		own, other = other, own
	}
	b := &events{}
	var err error
	if b.own, err = psync.OpenEvent(seg, own); err != nil {
		return nil, err
	}
	b.other, err = psync.OpenEvent(seg, other)
	return b, err
}

func (b *events) give() error { return b.other.Set() }

func (b *events) take() error {
	if err := b.own.Wait(background); err != nil {
		return err
	}
	return b.own.Clear()
}

// A turn is a word that says whose turn it is, with a condition.
type turn struct {
	condition  *psync.Condition
	word       *value.Uint64
	own, other uint64
}

func openTurn(seg *shm.Segment, r role) (baton, error) {
	b := &turn{own: uint64(caller), other: uint64(responder)}
	if !r.first() {
		b.own, b.other = b.other, b.own
	}
	var err error
	if b.condition, err = psync.OpenCondition(seg, batonName(1)); err != nil {
		return nil, err
	}
	b.word, err = value.OpenUint64(seg, turnName)
	return b, err
}

func (b *turn) give() error {
	return b.condition.L().With(background, func() error {
		b.word.Word().Store(b.other)
		return b.condition.NotifyAll()
	})
}

func (b *turn) take() error {
	return b.condition.L().With(background, func() error {
		return b.condition.WaitFor(background, func() bool { return b.word.Load() == b.own })
	})
}
