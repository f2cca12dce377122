//go:build linux

package history_test

import (
	"context"
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/ring"
)

// A lessor is a ring.Queue from which messages are leased, or a broken one.
type lessor interface {
	queue
	TryLease() (loan, error)
	Lease(ctx context.Context) (loan, error)
}

// A loan is a ring.Lease, or a broken one.
type loan interface {
	Value() message
	Done() error
	Return() error
}

// A leasing is a queue as a lessor.
type leasing struct{ *ring.Queue[message] }

func (l leasing) TryLease() (loan, error)                 { return leaseOf(l.Queue.TryLease()) }
func (l leasing) Lease(ctx context.Context) (loan, error) { return leaseOf(l.Queue.Lease(ctx)) }

func leaseOf(l *ring.Lease[message], err error) (loan, error) {
	if err != nil {
		return nil, err
	}
	return l, nil
}

// leases returns the subject of a queue whose messages are also taken under leases.
func leases(capacity int, wrap func(c *client, l lessor) lessor) *subject {
	s := queues(capacity, unwrapped[queue])
	s.work = func(c *client, in *assignment) error { return useLeases(c, wrap(c, leasing{in.Queue})) }
	s.model = func(int) porcupine.Model { return leaseModel(capacity) }
	s.steps = leaseSteps
	s.dieAt = append(s.dieAt, crash.QueuePutSkipped, crash.QueueGetAdopted, crash.QueueLeaseDone,
		crash.QueueLeaseReturned, crash.QueueLeaseTold)
	return s
}

func useLeases(c *client, l lessor) error {
	var mine loan
	for c.canRecord(2) {
		var err error
		switch n := c.rand.IntN(8); {
		case mine != nil && n < 5:
			err = c.endLease(mine, c.chance(3))
			mine = nil
		case n < 2:
			n := c.unique()
			_, err = c.do(tryPut, n, func() error { return l.TryPut(messageOf(n)) })
		case n < 4:
			n := c.unique()
			_, err = c.wait(put, n, func(ctx context.Context) error { return l.Put(ctx, messageOf(n)) })
		case n < 5:
			_, err = c.get(tryGet, func(context.Context) (message, error) { return l.TryGet() })
		case mine != nil:
			_, err = c.get(get, l.Get)
		case n < 7:
			mine, err = c.lease(tryLease, func(context.Context) (loan, error) { return l.TryLease() })
		default:
			mine, err = c.lease(lease, l.Lease)
		}
		if err != nil {
			return err
		}
		c.pause()
	}
	if mine != nil {
		return c.endLease(mine, false)
	}
	return nil
}

// lease calls f, which leases a message, and records the operation. The lease is nil if there is none.
func (c *client) lease(k kind, f func(ctx context.Context) (loan, error)) (loan, error) {
	var l loan
	_, err := c.get(k, func(ctx context.Context) (m message, err error) {
		if l, err = f(ctx); err == nil {
			m = l.Value()
		} else {
			l = nil
		}
		return m, err
	})
	return l, err
}

// endLease gives the message of a lease back, or says that it is done, and records the operation.
func (c *client) endLease(l loan, back bool) error {
	m := l.Value()
	if m != messageOf(m[0]) {
		return fmt.Errorf("half a message: %x", m)
	}
	var err error
	if back {
		_, err = c.do(return_, m[0], l.Return)
	} else {
		_, err = c.do(done, m[0], l.Done)
	}
	return err
}

// leaseSteps returns the steps of a history of a queue with leases. A Get or Put has those of
// queueSteps. A Lease takes a message, which is its holder's until its Done or Return. If the holder's
// process dies before, the message is delivered again: it comes back.
func leaseSteps(h *history) (list []step) {
	deaths := make(map[int]death)
	for _, d := range h.deaths {
		deaths[d.process] = d
	}
	open := make(map[[2]int]step) // the lease of each client that has not ended
	for i, o := range h.ops {
		switch client := [2]int{o.process, o.client}; o.kind {
		case tryLease, lease:
			at := o.step(i)
			list = append(list, at)
			if o.pending || o.result == ok {
				open[client] = at
			}
		case done, return_:
			at := o.step(open[client].op)
			list = append(list, at)
			if o.kind == return_ {
				list = append(list, insistence(h, at))
			}
			if !o.pending {
				delete(open, client)
			}
		default:
			list = append(list, opSteps(i, o, deaths)...)
		}
	}
	for _, at := range open {
		if d, died := deaths[at.process]; died {
			end := at.part(redeliver)
			end.maybe = false
			end.from, end.to = d.from, d.known
			list = append(list, end)
		}
	}
	return list
}

// insistence returns the second step of a Return: a Get or Lease that was called before the Return
// returned may have looked for returned messages before it, and take another message after it.
func insistence(h *history, at step) step {
	s := at.part(insist)
	s.maybe = false
	for _, o := range h.ops {
		switch o.kind {
		case tryGet, get, tryLease, lease:
			if o.called < at.to {
				s.to = max(s.to, o.returned)
			}
		}
	}
	return s
}

// leaseModel is a model of a queue with leases. Its slots are only those in use, in the order in which
// they were taken by putters: which free slot a putter may use, after putters have skipped slots that
// are leased, is not modelled. So it allows ErrFull whenever a slot is in use. A message that was
// returned is taken before all others; so may be one whose holder or getter has died.
func leaseModel(capacity int) porcupine.Model {
	return modelOf(queueState{}, func(s queueState, at step) []queueState {
		same := []queueState{s}
		if s.dead>>at.process&1 != 0 && at.kind != giveUp && at.kind != redeliver && at.kind != insist {
			return nil
		}
		mine := func(states ...slotState) int {
			return s.find(func(p queueSlot) bool {
				for _, state := range states {
					if p.state == state && (state == written && p.message == at.arg || state != written && p.op == int16(at.op)) {
						return true
					}
				}
				return false
			})
		}
		drop := func(i int) []queueState { return []queueState{s.without(i)} }
		switch at.kind {
		case tryPut, put:
			switch {
			case (at.maybe || at.result == ok) && int(s.n) < capacity:
				s.n++
				return s.with(int(s.n)-1, queueSlot{written, 0, at.arg})
			case at.result == full && s.n > 0 && at.kind == tryPut,
				at.result == ended && s.n > 0 && at.kind == put:
				return same
			}
		case publish:
			if i := mine(written); i >= 0 {
				return s.with(i, queueSlot{there, 0, at.arg})
			}
		case giveUp:
			s.dead |= 1 << at.process
			if i := mine(written); i >= 0 {
				return drop(i)
			}
			return []queueState{s}
		case tryGet, get, tryLease, lease:
			nothing := !s.has(there) && !s.has(late) && !s.has(back)
			switch tries := at.kind == tryGet || at.kind == tryLease; {
			case at.maybe || at.result == ok:
				as := taken_
				if at.kind == tryLease || at.kind == lease {
					as = leased
				}
				return s.takeAs(at, as)
			case at.result == empty && nothing && tries,
				at.result == busy && s.has(written) && tries,
				at.result == ended && (nothing || s.has(written)) && !tries:
				return same
			}
		case giveBack:
			if i := mine(taken_); i >= 0 {
				return drop(i)
			}
		case done, return_:
			i := mine(leased)
			switch {
			case i < 0 || s.slots[i].message != at.arg:
			case at.kind == done:
				return drop(i)
			default:
				return s.with(i, queueSlot{late, 0, at.arg})
			}
		case insist:
			if mine(leased) >= 0 {
				return nil // the Return comes first
			}
			if i := s.find(func(p queueSlot) bool { return p.state == late && p.message == at.arg }); i >= 0 {
				return s.with(i, queueSlot{back, 0, at.arg})
			}
			return same
		case redeliver:
			s.dead |= 1 << at.process
			if i := mine(taken_, leased); i >= 0 {
				return s.with(i, queueSlot{late, 0, s.slots[i].message})
			}
			return []queueState{s}
		}
		return nil
	})
}

// without returns s without slot i.
func (s queueState) without(i int) queueState {
	copy(s.slots[i:], s.slots[i+1:])
	s.slots[maxCapacity-1] = queueSlot{}
	s.n--
	return s
}

// takeAs returns the states that can follow a Get or Lease: it takes a message that was returned, if
// there is one, or that came back by a death, or else the oldest.
func (s queueState) takeAs(at step, as slotState) (list []queueState) {
	first := s.find(func(p queueSlot) bool { return p.state == written || p.state == there })
	returned := s.has(back)
	for i, p := range s.slots[:s.n] {
		if (p.state == back || p.state == late || i == first && p.state == there && !returned) && (at.maybe || p.message == at.value) {
			list = append(list, s.with(i, queueSlot{as, int16(at.op), p.message})...)
		}
	}
	return list
}
