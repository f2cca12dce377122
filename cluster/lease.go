package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/seed-2e7ecdea/mp/ring"
)

// A Lease holds a value that was taken from a queue, and that is not lost if its holder fails. The
// holder calls Done when it has dealt with the value, or Return to give the value back. If its
// process dies, closes the Queue, or is cut off from the server for longer than QueueOptions.Lease,
// the value comes back. While the process lives and has a connection, it renews the lease, however
// long that takes.
//
// All methods may be called by any number of goroutines at once.
type Lease[T any] struct {
	q     *Queue[T]
	held  *held
	value T
}

// newLeases returns the leases of messages. Messages that can't be decoded are gone: if there is no
// other, newLeases returns the error of the codec.
func (q *Queue[T]) newLeases(msgs []jetstream.Msg) (ls []*Lease[T], err error) {
	for _, msg := range msgs {
		l := &Lease[T]{q: q, held: &held{msg: msg}}
		if e := q.codec.Decode(msg.Data(), &l.value); e != nil {
			err = e
			_ = msg.Term() // if the server does not hear of it, the next getter does the same
			continue
		}
		q.keeper.add(l.held)
		ls = append(ls, l)
	}
	if len(ls) > 0 {
		err = nil
	}
	return ls, err
}

// Value returns the value.
func (l *Lease[T]) Value() T { return l.value }

// Done ends the lease: the value is dealt with. It blocks until the server has noted it. It fails
// with ErrLeaseEnded if Done or Return was called before, with ErrClosed, or with ctx's error; then
// the value may come back. If the lease has expired, because the server did not hear of this process
// for too long, Done succeeds, but another process may have the value.
func (l *Lease[T]) Done(ctx context.Context) error {
	if err := l.q.keeper.done(ctx, l.q.c, l.held); err != nil {
		return l.q.fail("Lease.Done", err)
	}
	return nil
}

// Return ends the lease and gives the value back: another Get takes it soon. It does not wait for
// the server: if there is no connection, the value comes back when the lease expires. It fails with
// ErrLeaseEnded if Done or Return was called before.
func (l *Lease[T]) Return() error {
	if !l.q.keeper.release(l.held) {
		return l.q.fail("Lease.Return", ring.ErrLeaseEnded)
	}
	_ = l.held.msg.Nak()
	return nil
}

// A held is a message that this process has and that the server may not give to others.
type held struct{ msg jetstream.Msg }

// A keeper renews the leases of messages: all in one pass, three times in the time that a lease
// lasts. The client sends them to the server in few writes.
type keeper struct {
	lease chan time.Duration // a new one
	stop  chan struct{}
	gone  chan struct{} // closed when run has returned

	mu     sync.Mutex
	held   map[*held]bool
	closed bool
}

func newKeeper(lease time.Duration) *keeper {
	k := &keeper{lease: make(chan time.Duration), stop: make(chan struct{}), gone: make(chan struct{}), held: make(map[*held]bool)}
	go k.run(lease)
	return k
}

// last sets how long a lease lasts from now on, and renews all.
func (k *keeper) last(lease time.Duration) {
	select {
	case k.lease <- lease:
	case <-k.gone:
	}
}

func (k *keeper) run(lease time.Duration) {
	defer close(k.gone)
	tick := time.NewTicker(lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-k.stop:
			return
		case now := <-k.lease:
			if now == lease {
				continue
			}
			lease = now
			tick.Reset(lease / 3)
		case <-tick.C:
		}
		k.mu.Lock()
		for h := range k.held {
			_ = h.msg.InProgress() // without a connection the lease expires
		}
		k.mu.Unlock()
	}
}

// add takes over a message.
func (k *keeper) add(h *held) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		_ = h.msg.Nak()
		return
	}
	k.held[h] = true
}

// release stops the renewal of the lease. It reports whether this call ended the lease.
func (k *keeper) release(h *held) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	had := k.held[h]
	delete(k.held, h)
	return had
}

// done ends the lease, and waits until the server has noted that the message is dealt with.
func (k *keeper) done(ctx context.Context, c *Cluster, h *held) error {
	if !k.release(h) {
		if k.isClosed() {
			return ring.ErrClosed
		}
		return ring.ErrLeaseEnded
	}
	return c.insist(ctx, func(ctx context.Context) error { return acked(h.msg.DoubleAck(ctx)) })
}

func (k *keeper) isClosed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closed
}

// close gives all messages back and ends the renewals.
func (k *keeper) close() {
	k.mu.Lock()
	k.closed = true
	for h := range k.held {
		_ = h.msg.Nak()
	}
	clear(k.held)
	k.mu.Unlock()
	close(k.stop)
	<-k.gone
}
