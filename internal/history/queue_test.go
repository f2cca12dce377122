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

// A message repeats one number, so that a message that is only partly written is detected.
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

// queues returns the subject of a queue. wrap returns the object that a client uses: the queue itself, or a broken one.
func queues(capacity int, wrap func(c *client, q queue) queue) *subject {
	s := &subject{
		make: func(seg *shm.Segment, in *assignment) (err error) {
			in.Queue, err = ring.NewQueue[message](seg, "", capacity, nil)
			return err
		},
		work:   func(c *client, in *assignment) error { return useQueue(c, wrap(c, in.Queue)) },
		settle: func(c *client, in *assignment) (int, error) { return 0, drainQueue(c, in.Queue) },
		model:  func(int) porcupine.Model { return queueModel(capacity) },
		steps:  queueSteps,
		kills:  true,
	}
	for p := range crash.Points(crash.QueuePutClaimed, crash.QueueGetWaiting) {
		s.dieAt = append(s.dieAt, p)
	}
	return s
}

func useQueue(c *client, q queue) error {
	for c.canRecord(1) {
		n := c.unique()
		var err error
		switch c.rand.IntN(4) {
		case 0:
			_, err = c.do(tryPut, n, func() error { return q.TryPut(messageOf(n)) })
		case 1:
			_, err = c.wait(put, n, func(ctx context.Context) error { return q.Put(ctx, messageOf(n)) })
		case 2:
			_, err = c.get(tryGet, func(context.Context) (message, error) { return q.TryGet() })
		case 3:
			_, err = c.get(get, q.Get)
		}
		if err != nil {
			return err
		}
		c.pause()
	}
	return nil
}

// unique returns a number for the message of the next operation, unique in the test.
func (c *client) unique() uint32 {
	return c.round<<12 | uint32(c.process)<<8 | uint32(c.number)<<7 | uint32(c.used)
}

// get calls f, which gets a message, and records the operation.
func (c *client) get(k kind, f func(ctx context.Context) (message, error)) (result, error) {
	ctx, cancel := c.shortContext()
	defer cancel()
	r := c.begin(k, 0)
	m, err := f(ctx)
	if err == nil && m != messageOf(m[0]) {
		return 0, fmt.Errorf("half a message: %x", m)
	}
	return c.end(r, err, m[0])
}

// drainQueue gets all messages.
func drainQueue(c *client, q queue) error {
	for {
		res, err := c.get(tryGet, func(context.Context) (message, error) { return q.TryGet() })
		if err != nil || res == empty {
			return err
		}
	}
}

// queueSteps returns the steps of a history of a queue:
//
//   - A Put takes a slot (its own step), then publishes the message.
//   - A Get takes a message (its own step), then gives the slot back.
//   - When a process dies in a Put between the two, the slot is given up. When it dies in a Get, the message is
//     delivered again.
func queueSteps(h *history) (list []step) {
	deaths := make(map[int]death)
	for _, d := range h.deaths {
		deaths[d.process] = d
	}
	for i, o := range h.ops {
		list = append(list, opSteps(i, o, deaths)...)
	}
	return list
}

// opSteps returns the steps of a Put or a Get, the operation with index i.
func opSteps(i int, o op, deaths map[int]death) []step {
	at := o.step(i)
	if o.result == notTried {
		return nil
	}
	if !o.pending && o.result != ok {
		return []step{at}
	}
	second, third := publish, giveUp
	if o.kind == tryGet || o.kind == get {
		second, third = giveBack, redeliver
	}
	list := []step{at, at.part(second)}
	if o.pending {
		end := at.part(third)
		end.maybe = false
		end.from, end.to = deaths[o.process].from, deaths[o.process].known
		list = append(list, end)
	}
	return list
}

// A queueState holds the slots of a queue, from the oldest that is not free.
type queueState struct {
	n     int8
	slots [maxCapacity]queueSlot
	dead  uint16
}

const maxCapacity = 5

type queueSlot struct {
	state   slotState
	op      int16 // the Get that takes the message
	message uint32
}

type slotState uint8

const (
	free    slotState = iota
	written           // a Put writes the message
	there             // the message can be got
	taken_            // op has got the message; the slot is not free yet
	late              // the message came back: it can be got again
	leased            // op has leased the message
	back              // the message was leased and returned, and is taken before all others
)

// with returns s after slot i has become p.
func (s queueState) with(i int, p queueSlot) []queueState {
	s.slots[i] = p
	for s.n > 0 && s.slots[0].state == free {
		copy(s.slots[:], s.slots[1:])
		s.slots[maxCapacity-1] = queueSlot{}
		s.n--
	}
	return []queueState{s}
}

// find returns the first slot for which f returns true, or -1.
func (s queueState) find(f func(p queueSlot) bool) int {
	for i, p := range s.slots[:s.n] {
		if f(p) {
			return i
		}
	}
	return -1
}

func (s queueState) has(state slotState) bool {
	return s.find(func(p queueSlot) bool { return p.state == state }) >= 0
}

// queueModel is a model of a queue as package ring specifies it.
func queueModel(capacity int) porcupine.Model { return modelOf(queueState{}, queueNext(capacity)) }

// queueNext returns the function that returns the states that can follow one by a step.
func queueNext(capacity int) func(s queueState, at step) []queueState {
	return func(s queueState, at step) []queueState {
		same := []queueState{s}
		end := at.kind == giveUp || at.kind == redeliver
		if s.dead>>at.process&1 != 0 && !end {
			return nil
		}
		mine := func(state slotState) int {
			return s.find(func(p queueSlot) bool {
				return p.state == state && (p.message == at.arg && state == written || p.op == int16(at.op) && state == taken_)
			})
		}
		switch at.kind {
		case tryPut, put:
			switch isFull := int(s.n) == capacity; {
			case (at.maybe || at.result == ok) && !isFull:
				s.n++
				return s.with(int(s.n)-1, queueSlot{written, 0, at.arg})
			case at.result == full && isFull && at.kind == tryPut,
				at.result == ended && isFull && at.kind == put:
				return same
			}
		case publish:
			if i := mine(written); i >= 0 {
				return s.with(i, queueSlot{there, 0, at.arg})
			}
		case giveUp:
			s.dead |= 1 << at.process
			if i := mine(written); i >= 0 {
				return s.with(i, queueSlot{})
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
				return s.with(i, queueSlot{})
			}
		case redeliver:
			s.dead |= 1 << at.process
			if i := mine(taken_); i >= 0 {
				return s.with(i, queueSlot{late, 0, s.slots[i].message})
			}
			return []queueState{s}
		}
		return nil
	}
}

// take returns the states that can follow a Get: it takes the oldest message, or one that is late. If the process was killed
// in the Get, it may have been any of these.
func (s queueState) take(at step) (list []queueState) {
	first := s.find(func(p queueSlot) bool { return p.state == written || p.state == there })
	for i, p := range s.slots[:s.n] {
		if (i == first && p.state == there || p.state == late) && (at.maybe || p.message == at.value) {
			list = append(list, s.with(i, queueSlot{taken_, int16(at.op), p.message})...)
		}
	}
	return list
}
