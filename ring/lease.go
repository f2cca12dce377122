package ring

import (
	"context"
	"runtime"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/cpu"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Lease holds a value that was taken from a queue, and that is not lost if its holder fails. The
// holder calls Done when it has dealt with the value, or Return to give the value back. If its
// process dies before that, or closes the segment, the value comes back, too. A value that comes
// back is at the front: the next Get or Lease of any process takes it before all others.
//
// So a value is dealt with at least once. It is dealt with more than once if a process is killed
// after it has dealt with the value and before Done has ended the lease.
//
// The value stays in its slot of the queue during the lease, so it takes up capacity. Putters and
// getters skip the slot. While its process lives, a lease lasts until Done or Return, however long
// that takes. If the program drops a Lease without either, the lease lasts until the segment is
// closed.
//
// All methods may be called from several goroutines at once.
type Lease[T any] struct {
	from  lessor                        // nil: the zero Lease
	word  atomic.Pointer[atomic.Uint64] // nil: the lease has ended
	value *T                            // in the queue, or decoded
}

// A lessor is the queue from which a value was leased: a plainLessor or an encodedLessor.
type lessor interface {
	finish(word *atomic.Uint64) error   // ends a lease: its message is gone
	giveBack(word *atomic.Uint64) error // ends a lease: its message is the next one that is taken
	isOpen() bool                       // whether the Queue from which the value was taken is open
	failures() *failures
	domain() *wait.Room
}

type plainLessor[T any] struct {
	*queueCore[T]
	q *Queue[T]
}

func (p *plainLessor[T]) isOpen() bool        { return p.q.core.Load() == p.queueCore }
func (p *plainLessor[T]) failures() *failures { return &p.fails }
func (p *plainLessor[T]) domain() *wait.Room  { return p.room }

type encodedLessor[T any] struct {
	*queueCore[envelope]
	e *encoded[T]
}

func (n *encodedLessor[T]) finish(word *atomic.Uint64) error { return n.e.finish(n.queueCore, word) }
func (n *encodedLessor[T]) isOpen() bool                     { return n.e.open() == n.queueCore }
func (n *encodedLessor[T]) failures() *failures              { return &n.fails }
func (n *encodedLessor[T]) domain() *wait.Room               { return n.room }

// Lease takes the oldest value under a lease. It blocks and fails as Get does. A Put that returned
// nil synchronizes before the Lease that takes its value, and a Return before the Get or Lease that
// takes the value again.
func (q *Queue[T]) Lease(ctx context.Context) (*Lease[T], error) {
	k := q.core.Load()
	if k == nil {
		return q.leaseEncoded(ctx, "Lease")
	}
	word, err := k.claimLease()
	if err == ErrEmpty || err == ErrBusy {
		err = q.awaitGet(ctx, k, func() (err error) {
			word, err = k.claimLease()
			return err
		})
	}
	return q.newLease("Lease", k, word, err)
}

// TryLease takes the oldest value under a lease. It never blocks. It fails as TryGet does.
func (q *Queue[T]) TryLease() (*Lease[T], error) {
	k := q.core.Load()
	if k == nil {
		return q.leaseEncoded(tryOnce, "TryLease")
	}
	word, err := k.claimLease()
	for i := 0; err == ErrBusy && i < busySpins; i++ {
		cpu.Pause()
		word, err = k.claimLease()
	}
	return q.newLease("TryLease", k, word, err)
}

// newLease returns the lease of the slot with that state word, or the error of the method op.
func (q *Queue[T]) newLease(op string, k *queueCore[T], word *atomic.Uint64, err error) (*Lease[T], error) {
	if err == nil {
		err = k.unlessClosed(nil)
	}
	if err != nil {
		return nil, k.fails.of(op, err)
	}
	l := &struct { // one allocation
		Lease[T]
		plainLessor[T]
	}{plainLessor: plainLessor[T]{k, q}}
	l.from, l.value = &l.plainLessor, k.slots.message(word)
	l.word.Store(word)
	return &l.Lease, nil
}

// leaseEncoded is Lease, or TryLease if ctx is tryOnce, of a queue whose values are encoded.
func (q *Queue[T]) leaseEncoded(ctx context.Context, op string) (*Lease[T], error) {
	e := q.enc.Load()
	k := e.open()
	if k == nil {
		return nil, closed(op)
	}
	var t taken
	defer t.end()
	err := e.await(ctx, k, true, &t)
	return q.newEncodedLease(op, e, k, &t, err)
}

// newEncodedLease returns the lease of what was taken, or the error of the method op. A message that
// can't be decoded is gone.
func (q *Queue[T]) newEncodedLease(op string, e *encoded[T], k *queueCore[envelope], t *taken, err error) (*Lease[T], error) {
	l := &Lease[T]{from: &encodedLessor[T]{k, e}, value: new(T)}
	if err == nil {
		err = e.decodeLeased(k, t, l.value)
	}
	if err != nil {
		return nil, k.fails.of(op, err)
	}
	l.word.Store(t.word)
	return l, nil
}

// Value returns a copy of the value. It panics if the lease has ended.
func (l *Lease[T]) Value() T {
	v := *l.Pointer()
	runtime.KeepAlive(l)
	return v
}

// Pointer returns a pointer to the value in the queue, so that a large value is read without a
// copy. It returns nil if the lease has ended. The pointer is valid until Done or Return is called,
// or the segment is closed. The holder may modify the value; if the value comes back, the next
// holder sees what was modified.
//
// If the queue's values are encoded, the pointer is to the value that Lease has decoded, and Value
// returns it: what the holder modifies is not seen by the next one.
func (l *Lease[T]) Pointer() *T {
	if l.word.Load() == nil {
		return nil
	}
	return l.value
}

// Done ends the lease: the value is dealt with, and its slot is free. It fails with ErrLeaseEnded
// if Done or Return was called before, and with ErrClosed if this process has closed the segment:
// then the value comes back. A lease may be ended after Close of its Queue, unless the queue does
// not exist any more: then Done fails with ErrClosed, too.
func (l *Lease[T]) Done() error { return l.end("Lease.Done", lessor.finish) }

// Return ends the lease and gives the value back: the next Get or Lease of any process takes it
// before all others. It fails as Done does.
func (l *Lease[T]) Return() error { return l.end("Lease.Return", lessor.giveBack) }

// end ends the lease by f.
func (l *Lease[T]) end(op string, f func(from lessor, word *atomic.Uint64) error) error {
	if l.from == nil {
		return &object.Error{Op: "ring: " + op, Kind: shm.KindQueue, Err: ErrLeaseEnded}
	}
	err := ErrLeaseEnded
	if word := l.word.Swap(nil); word != nil {
		err = f(l.from, word)
	}
	if err == ErrCorrupt && !l.from.isOpen() {
		err = ErrClosed // the memory of a queue that does not exist any more
	}
	if err != nil {
		err = l.from.failures().of(op, err)
	}
	runtime.KeepAlive(l)
	return err
}
