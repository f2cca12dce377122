package cluster

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/poll"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A Local is the end of a Bridge that workers use: a queue in shared memory, on the same machine. It
// travels as an argument to tasks of package proc; the worker gets a Local of its own, and closes it.
//
// All methods may be called by any number of goroutines at once.
type Local[T any] struct {
	name     string // of the queue
	items    *ring.Queue[item[T]]
	finished *ring.Queue[uint64] // ids of items
	bridge   *psync.WaitGroup    // the bridge's process has its only count until the bridge ends
	seg      *shm.Segment        // that Close releases; nil: it is the bridge's
	closed   sync.Once
}

// attached counts, for each segment of a bridge, the Locals of this process that were decoded and not
// closed. The last one closes the segment, unless the bridge is in this process.
var attached = struct {
	sync.Mutex
	locals map[*shm.Segment]int
}{locals: make(map[*shm.Segment]int)}

// An item is a value on its way to a worker.
type item[T any] struct {
	ID    uint64
	Value T
}

// Lease takes the oldest value under a lease. It blocks while there is none. It fails with ctx's error
// when ctx is done, with ErrShutdown when the bridge has ended (see Bridge.Wait), with ErrBridgeDied when
// the bridge's process has died, or with ErrClosed. An error means that nothing was taken, except that
// a value that can't be decoded is gone for this machine until the bridge ends.
func (l *Local[T]) Lease(ctx context.Context) (*LocalLease[T], error) {
	lease, err := l.lease(ctx)
	if err != nil {
		return nil, l.fail("Lease", err)
	}
	return lease, nil
}

func (l *Local[T]) lease(ctx context.Context) (*LocalLease[T], error) {
	if l.items == nil {
		return nil, ring.ErrClosed
	}
	// Values of a bridge that has ended are with the server again.
	if _, err := poll.TrySelect(l.bridge.Case()); !errors.Is(err, poll.ErrNotReady) {
		return nil, bridgeError(err)
	}
	var lease *ring.Lease[item[T]]
	i, err := poll.Select(ctx, l.items.LeaseCase(&lease), l.bridge.Case())
	if i == 1 {
		err = bridgeError(err)
	}
	if err != nil {
		return nil, err
	}
	return &LocalLease[T]{from: l, lease: lease, item: lease.Value()}, nil
}

// bridgeError returns what the end of the wait for the bridge's end means.
func bridgeError(err error) error {
	switch {
	case err == nil:
		return ring.ErrShutdown
	case errors.Is(err, psync.ErrOwnerDied):
		return ErrBridgeDied
	}
	return err
}

// Close ends the use of the bridge by this Local. Calls that wait return ErrClosed. When all Locals of a
// bridge that a process got are closed, the values that it has under leases go to other workers. Close
// may be called more than once.
func (l *Local[T]) Close() (err error) {
	if l.items == nil {
		return nil
	}
	l.closed.Do(func() {
		err = errors.Join(l.items.Close(), l.finished.Close(), l.bridge.Close())
		if l.seg == nil {
			return
		}
		attached.Lock()
		defer attached.Unlock()
		if n, ok := attached.locals[l.seg]; n > 1 {
			attached.locals[l.seg] = n - 1
		} else if ok { // else the bridge was in this process, and is closed
			delete(attached.locals, l.seg)
			err = errors.Join(err, l.seg.Close())
		}
	})
	return err
}

// end tells the workers that the bridge has ended.
func (l *Local[T]) end() { _ = l.bridge.Done() } // it has a count

func (l *Local[T]) fail(op string, err error) error { return failed("Local."+op, "queue", l.name, err) }

// MarshalText encodes what another process needs to open l. It fails with ErrClosed.
func (l *Local[T]) MarshalText() ([]byte, error) {
	if l.items == nil {
		return nil, l.fail("MarshalText", ring.ErrClosed)
	}
	texts := []string{l.name}
	for _, m := range []interface{ MarshalText() ([]byte, error) }{l.items, l.finished, l.bridge} {
		text, err := m.MarshalText()
		if err != nil {
			return nil, err
		}
		texts = append(texts, string(text))
	}
	return []byte(strings.Join(texts, " ")), nil
}

// UnmarshalText decodes into a zero Local what MarshalText has encoded, and opens it. It fails with shm.ErrMismatch if the
// values are of another type.
func (l *Local[T]) UnmarshalText(text []byte) error {
	texts := strings.Split(string(text), " ")
	if len(texts) != 4 {
		return l.fail("UnmarshalText", errors.New("the text is not that of a Local"))
	}
	var h shm.Handle
	if err := h.UnmarshalText([]byte(texts[1])); err != nil {
		return err
	}
	attached.Lock()
	seg, err := shm.Reach(h)
	if err == nil {
		attached.locals[seg]++
	}
	attached.Unlock()
	if err != nil {
		return err
	}
	l.name, l.items, l.finished, l.bridge, l.seg = texts[0], new(ring.Queue[item[T]]), new(ring.Queue[uint64]), new(psync.WaitGroup), seg
	for i, u := range []interface{ UnmarshalText([]byte) error }{l.items, l.finished, l.bridge} {
		if err := u.UnmarshalText([]byte(texts[i+1])); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	return nil
}

// MarshalBinary is MarshalText.
func (l *Local[T]) MarshalBinary() ([]byte, error) { return l.MarshalText() }

// UnmarshalBinary is UnmarshalText.
func (l *Local[T]) UnmarshalBinary(data []byte) error { return l.UnmarshalText(data) }

// A LocalLease holds a value that a worker has taken through a Bridge. The worker calls Done when it has
// dealt with the value, or Return to give it back. If its process dies, the value goes to another
// worker of the machine at once. While the process lives, the lease lasts until Done or Return, however
// long that takes.
//
// All methods may be called by any number of goroutines at once.
type LocalLease[T any] struct {
	from  *Local[T]
	lease *ring.Lease[item[T]]
	item  item[T] // a copy, which stays when the Local is closed
	ended atomic.Bool
}

// Value returns the value.
func (l *LocalLease[T]) Value() T { return l.item.Value }

// Done ends the lease: the value is dealt with. It tells the bridge so, and does not wait for the
// server: the value comes back if the bridge's process dies before the server has noted it. Done blocks
// only while the bridge's process is stopped. It fails with ErrLeaseEnded if Done or Return was called
// before, with ctx's error, with ErrShutdown or ErrBridgeDied if the bridge has ended, or with ErrClosed;
// in all cases but the first, the value comes back.
func (l *LocalLease[T]) Done(ctx context.Context) error {
	if err := l.done(ctx); err != nil {
		return l.from.fail("Lease.Done", err)
	}
	return nil
}

// done tells the bridge first: if the process dies in between, the value comes back.
func (l *LocalLease[T]) done(ctx context.Context) error {
	if !l.ended.CompareAndSwap(false, true) {
		return ring.ErrLeaseEnded
	}
	if err := l.tell(ctx); err != nil {
		l.ended.Store(false)
		return err
	}
	return l.lease.Done()
}

// tell tells the bridge that the value is dealt with.
func (l *LocalLease[T]) tell(ctx context.Context) error {
	id := l.item.ID
	if _, err := poll.TrySelect(l.from.bridge.Case()); !errors.Is(err, poll.ErrNotReady) {
		return bridgeError(err)
	}
	err := l.from.finished.TryPut(id)
	if !errors.Is(err, ring.ErrFull) {
		return err
	}
	i, err := poll.Select(ctx, l.from.finished.PutCase(&id), l.from.bridge.Case())
	if i == 1 {
		err = bridgeError(err)
	}
	return err
}

// Return ends the lease and gives the value back: the next Lease of any worker of this machine takes it.
// It does not block. It fails with ErrLeaseEnded if Done or Return was called before, or with ErrClosed.
func (l *LocalLease[T]) Return() error {
	err := ring.ErrLeaseEnded
	if l.ended.CompareAndSwap(false, true) {
		err = l.lease.Return()
	}
	if err != nil {
		return l.from.fail("Lease.Return", err)
	}
	return nil
}
