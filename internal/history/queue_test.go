//go:build linux

package history_test

import (
	"context"
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A message is the same number over and over, so that half a message is seen.
type message [16]uint32

func messageOf(n uint32) (m message) {
	for i := range m {
		m[i] = n
	}
	return m
}

// A queue is a ring.Queue, or a broken one.
type queue interface {
	TryPut(v message) error
	Put(ctx context.Context, v message) error
	TryGet() (message, error)
	Get(ctx context.Context) (message, error)
}

// queues is the subject of a queue, which wrap breaks.
func queues(capacity int, wrap func(h *hand, q queue) queue) *subject {
	s := &subject{
		make: func(seg *shm.Segment, in *assignment) (err error) {
			in.Queue, err = ring.NewQueue[message](seg, "", capacity, nil)
			return err
		},
		work:  func(h *hand, in *assignment) error { return useQueue(h, wrap(h, in.Queue)) },
		rest:  func(h *hand, in *assignment) (int, error) { return 0, drainQueue(h, in.Queue) },
		model: func(int) porcupine.Model { return queueModel(capacity) },
		steps: queueSteps,
		kills: true,
	}
	for p := range crash.Points(crash.QueuePutClaimed, crash.QueueGetWaiting) {
		s.dieAt = append(s.dieAt, p)
	}
	return s
}

func useQueue(h *hand, q queue) error {
	for h.room(1) {
		n := h.round<<12 | uint32(h.place)<<8 | uint32(h.number)<<7 | uint32(h.used) // used once
		var err error
		switch h.rand.IntN(4) {
		case 0:
			_, err = h.do(tryPut, n, func() error { return q.TryPut(messageOf(n)) })
		case 1:
			_, err = h.wait(put, n, func(ctx context.Context) error { return q.Put(ctx, messageOf(n)) })
		case 2:
			_, err = h.get(tryGet, func(context.Context) (message, error) { return q.TryGet() })
		case 3:
			_, err = h.get(get, q.Get)
		}
		if err != nil {
			return err
		}
		h.linger()
	}
	return nil
}

// get records a call of f, which gets a message.
func (h *hand) get(k kind, f func(ctx context.Context) (message, error)) (result, error) {
	ctx, cancel := h.soon()
	defer cancel()
	r := h.begin(k, 0)
	m, err := f(ctx)
	if err == nil && m != messageOf(m[0]) {
		return 0, fmt.Errorf("half a message: %x", m)
	}
	return h.end(r, err, m[0])
}

// drainQueue gets what is there.
func drainQueue(h *hand, q *ring.Queue[message]) error {
	for {
		res, err := h.get(tryGet, func(context.Context) (message, error) { return q.TryGet() })
		if err != nil || res == empty {
			return err
		}
	}
}

// queueSteps: a Put takes a place, and then its message is there. A Get takes
// a message, and then its place is free. Of one killed in between, the place is
// given up, or the message delivered again.
func queueSteps(h *history) (list []step) {
	deaths := make(map[int]death)
	for _, d := range h.deaths {
		deaths[d.place] = d
	}
	for i, o := range h.ops {
		at := o.step(i)
		list = append(list, at)
		if !o.pending && o.result != ok {
			continue
		}
		second, third := publish, giveUp
		if o.kind == tryGet || o.kind == get {
			second, third = giveBack, redeliver
		}
		list = append(list, at.part(second))
		if o.pending {
			end := at.part(third)
			end.maybe = false
			end.from, end.to = deaths[o.place].from, deaths[o.place].known
			list = append(list, end)
		}
	}
	return list
}

// A queueState is the places from the oldest that is taken on.
type queueState struct {
	n      int8
	places [maxCapacity]queuePlace
	dead   uint16
}

const maxCapacity = 5

type queuePlace struct {
	state   placeState
	op      int16 // the Get that takes the message
	message uint32
}

type placeState uint8

const (
	free    placeState = iota
	written            // is being written
	there              // the message is there
	taken_             // by op, and its place not free
	late               // taken by op, whose process is dead: to be delivered again
)

// with returns s after place i has changed.
func (s queueState) with(i int, p queuePlace) []queueState {
	s.places[i] = p
	for s.n > 0 && s.places[0].state == free {
		copy(s.places[:], s.places[1:])
		s.places[maxCapacity-1] = queuePlace{}
		s.n--
	}
	return []queueState{s}
}

// find returns the place for which f holds, -1 if there is none.
func (s queueState) find(f func(p queuePlace) bool) int {
	for i, p := range s.places[:s.n] {
		if f(p) {
			return i
		}
	}
	return -1
}

func (s queueState) has(state placeState) bool {
	return s.find(func(p queuePlace) bool { return p.state == state }) >= 0
}

// queueModel is the queue as package ring describes it.
func queueModel(capacity int) porcupine.Model {
	return modelOf(queueState{}, func(s queueState, at step) []queueState {
		same := []queueState{s}
		end := at.kind == giveUp || at.kind == redeliver
		if s.dead>>at.place&1 != 0 && !end {
			return nil
		}
		mine := func(state placeState) int {
			return s.find(func(p queuePlace) bool {
				return p.state == state && (p.message == at.arg && state == written || p.op == int16(at.op) && state == taken_)
			})
		}
		switch at.kind {
		case tryPut, put:
			switch isFull := int(s.n) == capacity; {
			case (at.maybe || at.result == ok) && !isFull:
				s.n++
				return s.with(int(s.n)-1, queuePlace{written, 0, at.arg})
			case at.result == full && isFull && at.kind == tryPut,
				at.result == ended && isFull && at.kind == put:
				return same
			}
		case publish:
			if i := mine(written); i >= 0 {
				return s.with(i, queuePlace{there, 0, at.arg})
			}
		case giveUp:
			s.dead |= 1 << at.place
			if i := mine(written); i >= 0 {
				return s.with(i, queuePlace{})
			}
			return []queueState{s}
		case tryGet, get:
			nothing := !s.has(there) && !s.has(late)
			switch {
			case at.maybe || at.result == ok:
				return s.take(at)
			case at.result == empty && nothing && at.kind == tryGet,
				at.result == busy && s.has(written) && at.kind == tryGet,
				at.result == ended && (nothing || s.has(written)) && at.kind == get:
				return same
			}
		case giveBack:
			if i := mine(taken_); i >= 0 {
				return s.with(i, queuePlace{})
			}
		case redeliver:
			s.dead |= 1 << at.place
			if i := mine(taken_); i >= 0 {
				return s.with(i, queuePlace{late, 0, s.places[i].message})
			}
			return []queueState{s}
		}
		return nil
	})
}

// take lets a Get have the oldest message, or one that is late: whichever it
// may have been of one that was killed.
func (s queueState) take(at step) (list []queueState) {
	first := s.find(func(p queuePlace) bool { return p.state == written || p.state == there })
	for i, p := range s.places[:s.n] {
		if (i == first && p.state == there || p.state == late) && (at.maybe || p.message == at.value) {
			list = append(list, s.with(i, queuePlace{taken_, int16(at.op), p.message})...)
		}
	}
	return list
}
