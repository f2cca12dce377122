package ring

import (
	"io"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/poll"
)

// GetCase returns a case of poll.Select that takes the oldest value into *v, as Get does, and fails
// as Get does. If it fails, the contents of *v are undefined.
func (q *Queue[T]) GetCase(v *T) poll.Case {
	_ = *v // panics before a slot is claimed
	k := q.core.Load()
	if k == nil {
		return q.enc.Load().getCase(v)
	}
	return newCase(&wait.Case{
		Room: k.room, Counters: k.o.Counters(),
		Waiter: &getter[T]{k, q.isOpen(k), func() error { return k.get(v) }},
		Result: func(err error) error { return k.fails.of("Get", err) },
	})
}

// LeaseCase returns a case of poll.Select that takes the oldest value under a lease, as Lease does,
// and fails as Lease does. It stores the lease in *l.
func (q *Queue[T]) LeaseCase(l **Lease[T]) poll.Case {
	_ = *l // panics before a slot is claimed
	k := q.core.Load()
	if k == nil {
		return q.leaseEncodedCase(l)
	}
	var word *atomic.Uint64
	claim := func() (err error) {
		word, err = k.claimLease()
		return err
	}
	return newCase(&wait.Case{
		Room: k.room, Counters: k.o.Counters(),
		Waiter: &getter[T]{k, q.isOpen(k), claim},
		Result: func(err error) error {
			*l, err = q.newLease("Lease", k, word, err)
			return err
		},
	})
}

// PutCase returns a case of poll.Select that appends *v, as Put does, and fails as Put does. The
// value is the one that *v has when there is space for it. If the queue's values are encoded, Select
// encodes *v each time that it looks for space.
func (q *Queue[T]) PutCase(v *T) poll.Case {
	_ = *v // panics before a slot is claimed
	k := q.core.Load()
	if k == nil {
		return q.enc.Load().putCase(v)
	}
	return newCase(&wait.Case{
		Room: k.room, Counters: k.o.Counters(),
		Waiter: &putter[T]{k, q.isOpen(k), func() error { return k.put(v) }},
		Result: func(err error) error { return k.fails.of("Put", err) },
	})
}

// getCase is Queue.GetCase.
func (e *encoded[T]) getCase(v *T) poll.Case {
	k := e.open()
	if k == nil {
		return newCase(wait.FailedCase(closed("Get")))
	}
	t := new(taken)
	return newCase(&wait.Case{
		Room: k.room, Counters: k.o.Counters(),
		Waiter: &getter[envelope]{k, e.inner.isOpen(k), func() error { return e.take(k, k.takes != reading, t) }},
		Result: func(err error) error {
			err = k.fails.of("Get", e.deliver(k, t, v, err))
			t.end()
			*t = taken{}
			return err
		},
	})
}

// leaseEncodedCase is LeaseCase if the queue's values are encoded.
func (q *Queue[T]) leaseEncodedCase(l **Lease[T]) poll.Case {
	e := q.enc.Load()
	k := e.open()
	if k == nil {
		return newCase(wait.FailedCase(closed("Lease")))
	}
	t := new(taken)
	return newCase(&wait.Case{
		Room: k.room, Counters: k.o.Counters(),
		Waiter: &getter[envelope]{k, e.inner.isOpen(k), func() error { return e.takeLease(k, t) }},
		Result: func(err error) error {
			*l, err = q.newEncodedLease("Lease", e, k, t, err)
			t.end()
			*t = taken{}
			return err
		},
	})
}

// putCase is Queue.PutCase.
func (e *encoded[T]) putCase(v *T) poll.Case {
	k := e.open()
	if k == nil {
		return newCase(wait.FailedCase(closed("Put")))
	}
	put := func() error {
		buf := buffers.Get().(*[]byte)
		defer putBuffer(buf)
		msg, err := e.encode(buf, v)
		if err == nil {
			err = e.putBytes(k, msg)
		}
		return err
	}
	return newCase(&wait.Case{
		Room: k.room, Counters: k.o.Counters(),
		Waiter: e.storer(k, 1, put),
		Result: func(err error) error { return k.fails.of("Put", err) },
	})
}

// Case returns a case of poll.Select that is ready when there is a message, or when the messages
// have ended: when Receive would not block. It receives nothing. If several goroutines or processes
// receive at this end, the message may be gone when Select returns. The case fails with ErrClosed.
func (c *Conn) Case() poll.Case {
	k := c.core.Load()
	if k == nil {
		return newCase(wait.FailedCase(connClosed("Select")))
	}
	// Like Receive, look goes by the message and not by the cursor, which a sender that died may not have moved. If
	// other goroutines receive at the same time, look may read bytes inside a message: then it is true too often.
	look := func() error {
		if k.in.isEmpty() {
			return ErrEmpty
		}
		return nil
	}
	return newCase(&wait.Case{
		Room: k.room, Counters: k.o.Counters(),
		Waiter: &connWaiter{c: c, k: k, in: true, attempt: look},
		Result: func(err error) error {
			if err == io.EOF {
				err = nil // Receive will return it
			}
			return k.fails.of("Select", k.unlessClosed(err))
		},
	})
}

func newCase(c *wait.Case) poll.Case { return wait.Public(c).(poll.Case) }
