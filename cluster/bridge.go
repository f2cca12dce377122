package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// BridgeOptions are options for NewBridge. A nil *BridgeOptions means the defaults.
type BridgeOptions struct {
	// Outstanding bounds the values that the bridge has taken from the queue and that are not done
	// yet. The default is 256. It should be some times the number of workers; the values that no worker
	// has begun are not there for other machines.
	Outstanding int

	// Storage is the size in bytes of the shared memory for values that are encoded: see
	// ring.QueueOptions.Storage. The default is 1 GiB, and 128 MiB on 32-bit systems. Memory is taken only
	// when values need it.
	//
	// A value that is larger than Storage is refused: see Refused.
	Storage int

	// Refused, if it is not nil, is called each time that the bridge refuses a value, with an error that
	// wraps ring.ErrTooLarge or ring.ErrEncode. The bridge takes no value while Refused runs. Calls do
	// not overlap.
	//
	// A value that is refused stays in the queue, for Get and Lease of a Queue, or for a bridge with
	// more Storage. It comes again, perhaps to this bridge, after 1 s, then after 2 s, and so on up to
	// QueueOptions.Lease.
	Refused func(err error)
}

// A Bridge takes values from a Queue for all worker processes of one machine, and passes them on
// through shared memory. The workers use its Local, and need no connection to the server. The bridge
// takes many values with one request, and confirms many with one.
//
// Each value is dealt with at least once:
//
//   - If a worker dies, its values go to another worker of the machine at once.
//   - If the bridge's process dies, or is cut off from the server for longer than QueueOptions.Lease,
//     its values go to other machines, or to the next bridge. Those that workers hold at that time are
//     dealt with twice.
//   - While the server is away, workers go on with the values that they have. The bridge confirms them
//     when the server is back. If the server gives it a value again that is still outstanding here,
//     the bridge does not pass it on a second time.
//   - While a worker is stopped (SIGSTOP), it keeps its values, and the bridge renews their leases.
//   - A value that does not fit into shared memory stays in the queue: see BridgeOptions.Refused. The
//     others pass.
//
// All methods may be called by any number of goroutines at once.
type Bridge[T any] struct {
	q         *Queue[T]
	seg       *shm.Segment
	local     *Local[T]
	limit     int             // BridgeOptions.Outstanding
	onRefused func(err error) // BridgeOptions.Refused, or nil
	refused   map[origin]bool // since the queue was shut down; only feed uses it

	ctx       context.Context // done when the bridge is to end
	cancel    context.CancelFunc
	feeding   context.Context // done when no more values are to be taken
	stopFeed  context.CancelFunc
	fed       chan struct{} // closed when feed has returned
	tasks     sync.WaitGroup
	ended     chan struct{}
	closeOnce sync.Once

	mu       sync.Mutex
	changed  sync.Cond // something below has changed, or a context is done
	last     uint64    // id of the last value
	open     map[uint64]*crossing
	byOrigin map[origin]*crossing
	finished []*crossing     // by workers, and not confirmed yet
	late     map[origin]bool // confirmed since feed's request: the server may have given them again before
	err      error           // why the bridge ends
}

// A crossing is a value that is outstanding: it was taken from the queue and is not done.
type crossing struct {
	id       uint64
	origin   origin
	held     *held // the message as it came last
	finished bool  // by a worker
}

// An origin tells a value from all others of a queue, also from those of a queue that had the name
// before. It stays the same if the server gives the value again.
type origin struct {
	sequence uint64
	stored   int64 // ns
}

const defaultOutstanding = 256

// NewBridge makes a bridge from q to workers of this machine, and begins to take values. It fails with
// ErrClosed, with shm.ErrType if T can't be in shared memory (a codec of QueueOptions is used for the
// way to the server only), or with shm.ErrNoSpace. The caller closes q after the bridge.
func NewBridge[T any](q *Queue[T], o *BridgeOptions) (*Bridge[T], error) {
	b, err := newBridge(q, o)
	if err != nil {
		return nil, q.fail("NewBridge", err)
	}
	return b, nil
}

func newBridge[T any](q *Queue[T], o *BridgeOptions) (_ *Bridge[T], err error) {
	b := &Bridge[T]{
		q: q, limit: defaultOutstanding, fed: make(chan struct{}), ended: make(chan struct{}),
		open: make(map[uint64]*crossing), byOrigin: make(map[origin]*crossing), late: make(map[origin]bool),
		refused: make(map[origin]bool),
	}
	b.changed.L = &b.mu
	storage := 0
	if o != nil {
		if o.Outstanding != 0 {
			b.limit = o.Outstanding
		}
		storage, b.onRefused = o.Storage, o.Refused
	}
	if b.limit < 1 || storage < 0 {
		return nil, fmt.Errorf("BridgeOptions has Outstanding %d and Storage %d: neither may be negative", b.limit, storage)
	}
	if q.isClosed() {
		return nil, ring.ErrClosed
	}
	if b.seg, err = shm.Anonymous(0, nil); err != nil {
		return nil, err
	}
	attached.Lock()
	attached.locals[b.seg]++ // so that no Local closes it
	attached.Unlock()
	if b.local, err = newLocal[T](b.seg, q.name, b.limit, storage); err != nil {
		return nil, errors.Join(err, b.closeSegment())
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.feeding, b.stopFeed = context.WithCancel(b.ctx)
	b.tasks.Go(b.feed)
	b.tasks.Go(b.collect)
	b.tasks.Go(b.confirm)
	go b.run()
	return b, nil
}

// Local returns the workers' end of the bridge. It travels as an argument to tasks of package proc,
// and may be used by goroutines of this process, too. Close closes it.
func (b *Bridge[T]) Local() *Local[T] { return b.local }

// Outstanding returns how many values the bridge has taken from the queue that are not done yet, and
// how many of them workers have finished and the server has not noted yet.
func (b *Bridge[T]) Outstanding() (all, finished int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.open {
		if c.finished {
			finished++
		}
	}
	return len(b.open), finished
}

// Wait blocks until the bridge has ended. It returns nil if the queue was shut down and all its values
// are done, or after Drain. Otherwise it fails with ErrClosed after Close of the bridge, the queue or
// the cluster, with fs.ErrNotExist if the queue was deleted, with shm.ErrNoSpace if there is no memory for
// a value, or with ctx's error if the bridge has not ended. It fails with ring.ErrTooLarge or
// ring.ErrEncode if the queue was shut down, and what is left are values that this bridge has refused:
// see BridgeOptions.Refused. They are still in the queue then.
func (b *Bridge[T]) Wait(ctx context.Context) error {
	select {
	case <-b.ended:
	case <-ctx.Done():
		return b.q.fail("Bridge.Wait", ctx.Err())
	}
	if b.err != nil { // it does not change any more
		return b.q.fail("Bridge.Wait", b.err)
	}
	return nil
}

// Drain ends the bridge in good order. It takes no more values, gives those back that no worker has
// begun, and blocks until the workers have finished the others and the server has noted it. Then
// Local.Lease fails with ErrShutdown. If ctx is done before, Drain gives everything back, as Close does,
// and returns ctx's error.
func (b *Bridge[T]) Drain(ctx context.Context) error {
	b.stopFeed()
	b.broadcast()
	<-b.fed
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, b.broadcast)()
	var back sync.WaitGroup
	back.Go(func() { b.takeBack(ctx) })
	b.mu.Lock()
	for len(b.open) > 0 && b.err == nil && ctx.Err() == nil {
		b.changed.Wait()
	}
	var err error
	if len(b.open) > 0 {
		err = ctx.Err()
	}
	b.mu.Unlock()
	b.fail(err)
	cancel()
	back.Wait()
	return b.Wait(context.Background())
}

// takeBack takes values that no worker has, and gives them back to the queue, until ctx is done.
func (b *Bridge[T]) takeBack(ctx context.Context) {
	for {
		l, err := b.local.items.Lease(ctx)
		if err != nil {
			return
		}
		b.mu.Lock()
		if c := b.open[l.Pointer().ID]; c != nil && !c.finished {
			b.remove(c)
			_ = c.held.msg.Nak() // if the server does not hear of it, the value comes back when its lease expires
		}
		b.mu.Unlock()
		_ = l.Done() // fails if the bridge is closed
	}
}

// Close ends the bridge at once. The values that are not done go back to the queue, also those that
// workers hold: so another worker may deal with them again. Close may be called more than once.
func (b *Bridge[T]) Close() error {
	b.fail(ring.ErrClosed)
	<-b.ended
	var err error
	b.closeOnce.Do(func() { err = b.closeSegment() })
	return err
}

func (b *Bridge[T]) closeSegment() error {
	attached.Lock()
	defer attached.Unlock()
	delete(attached.locals, b.seg)
	return b.seg.Close()
}

// fail ends the bridge. The first call says why.
func (b *Bridge[T]) fail(err error) {
	b.mu.Lock()
	if b.ctx.Err() == nil {
		b.err = err
		b.cancel()
	}
	b.changed.Broadcast()
	b.mu.Unlock()
}

func (b *Bridge[T]) broadcast() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changed.Broadcast()
}

// run ends the bridge after its goroutines.
func (b *Bridge[T]) run() {
	<-b.ctx.Done()
	b.local.end()
	b.tasks.Wait()
	ids := make([]uint64, b.local.finished.Cap())
	n, _ := b.local.finished.TryGetMany(ids)
	b.note(ids[:n])
	b.mu.Lock()
	for _, c := range b.open {
		b.remove(c)
		if c.finished {
			_ = b.q.c.conn.Publish(c.held.msg.Reply(), ack) // if the server does not hear of it, the value comes back
		} else {
			_ = c.held.msg.Nak()
		}
	}
	b.mu.Unlock()
	close(b.ended)
}

// remove forgets a value that is not outstanding any more. The caller holds mu.
func (b *Bridge[T]) remove(c *crossing) {
	delete(b.open, c.id)
	delete(b.byOrigin, c.origin)
	b.q.keeper.release(c.held)
	b.changed.Broadcast()
}

// feed takes values from the queue and puts them into shared memory.
func (b *Bridge[T]) feed() {
	defer close(b.fed)
	for {
		n := b.space()
		if b.feeding.Err() != nil {
			return
		}
		leases, err := b.q.lease(b.feeding, n)
		for i, l := range leases {
			if err = b.pass(l); err != nil {
				for _, l := range leases[i+1:] {
					_ = l.Return() // fails if the queue is closed
				}
				break
			}
		}
		switch {
		case b.feeding.Err() != nil:
			return
		case errors.Is(err, ring.ErrShutdown): // and all values are done
			b.fail(nil)
			return
		case err != nil:
			b.fail(err)
			return
		}
	}
}

// space waits until a quarter of the outstanding values are done, so that a request is for several. It
// returns how many values may be taken.
func (b *Bridge[T]) space() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		n := b.limit - len(b.open)
		if n > b.limit/4 || b.feeding.Err() != nil {
			clear(b.late)
			return n
		}
		b.changed.Wait()
	}
}

// pass puts a value into shared memory, unless it is there already, or done: then the server gave it
// again.
func (b *Bridge[T]) pass(l *Lease[T]) error {
	meta, err := l.held.msg.Metadata()
	if err != nil {
		return err
	}
	from := origin{meta.Sequence.Stream, meta.Timestamp.UnixNano()}
	b.mu.Lock()
	if b.late[from] {
		b.q.keeper.release(l.held)
		_ = b.q.c.conn.Publish(l.held.msg.Reply(), ack) // the server has noted it before
		b.mu.Unlock()
		return nil
	}
	if c := b.byOrigin[from]; c != nil {
		b.q.keeper.release(c.held)
		c.held = l.held
		b.mu.Unlock()
		return nil
	}
	b.last++
	c := &crossing{id: b.last, origin: from, held: l.held}
	b.open[c.id], b.byOrigin[from] = c, c
	b.mu.Unlock()
	err = b.local.items.PutFrom(b.feeding, &item[T]{c.id, l.value})
	if err == nil {
		return nil
	}
	refused := errors.Is(err, ring.ErrTooLarge) || errors.Is(err, ring.ErrEncode)
	var pause time.Duration
	if refused {
		pause = b.refusalPause(meta.NumDelivered)
	}
	b.mu.Lock()
	b.remove(c)
	_ = c.held.msg.NakWithDelay(pause) // if the server does not hear of it, the value comes back when its lease expires
	b.mu.Unlock()
	if refused {
		return b.refuse(from, err)
	}
	return err
}

// refusalPause returns after which time the server gives a value again that the bridge refuses. It grows
// with the number of deliveries: the value may be one that no bridge can pass on.
func (b *Bridge[T]) refusalPause(deliveries uint64) time.Duration {
	lease := b.q.consumer.CachedInfo().Config.AckWait
	return min(time.Duration(min(deliveries, 3600))*time.Second, lease)
}

// refuse reports a value that was given back since it can't be put into shared memory. It returns an error
// if the bridge is to end: the queue was shut down, and has only values that the bridge has refused since.
// For that, each value is refused once more after the shutdown.
func (b *Bridge[T]) refuse(from origin, err error) error {
	err = fmt.Errorf("value %d can't be put into shared memory; it stays in the queue, for Queue.Get or a bridge with more Storage: %w",
		from.sequence, err)
	if b.onRefused != nil {
		b.onRefused(err)
	}
	info, failed := b.q.info(b.feeding)
	if failed != nil {
		return failed
	}
	if !b.q.isShutdown() {
		return nil
	}
	b.refused[from] = true
	if open, _ := b.Outstanding(); open == 0 && info.State.Msgs <= uint64(len(b.refused)) {
		return err
	}
	return nil
}

// collect notes what workers have finished. It does not wait for the server, so that they don't either.
func (b *Bridge[T]) collect() {
	ids := make([]uint64, 256)
	for {
		n, err := b.local.finished.GetMany(b.ctx, ids)
		if err != nil {
			if b.ctx.Err() == nil {
				b.fail(err)
			}
			return
		}
		b.note(ids[:n])
	}
}

// note notes that workers have finished values. A value may be finished twice: its first worker may have
// died before it ended the lease.
func (b *Bridge[T]) note(ids []uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		if c := b.open[id]; c != nil && !c.finished {
			c.finished = true
			b.finished = append(b.finished, c)
		}
	}
	b.changed.Broadcast()
}

// confirm acknowledges what workers have finished, as many values as there are with one request.
func (b *Bridge[T]) confirm() {
	for {
		list := b.toConfirm()
		if list == nil {
			return
		}
		err := b.q.c.insist(b.ctx, func(ctx context.Context) error { return b.acknowledge(ctx, list) })
		if err != nil {
			if b.ctx.Err() == nil {
				b.fail(err)
			}
			return
		}
		b.mu.Lock()
		for _, c := range list {
			b.late[c.origin] = true
			b.remove(c)
		}
		b.mu.Unlock()
	}
}

// toConfirm waits until workers have finished values, and returns these. It returns nil if the bridge
// ends.
func (b *Bridge[T]) toConfirm() []*crossing {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.finished) == 0 && b.ctx.Err() == nil {
		b.changed.Wait()
	}
	list := b.finished
	if b.finished = nil; b.ctx.Err() != nil {
		return nil
	}
	return list
}

// acknowledge sends the acknowledgements of list, all of them each time that it is called, and waits
// for the server's answer to the last one. The server reads the others before.
func (b *Bridge[T]) acknowledge(ctx context.Context, list []*crossing) error {
	replies := make([]string, 0, len(list))
	b.mu.Lock()
	for _, c := range list {
		replies = append(replies, c.held.msg.Reply())
	}
	b.mu.Unlock()
	conn, last := b.q.c.conn, len(replies)-1
	for _, reply := range replies[:last] {
		if err := conn.Publish(reply, ack); err != nil {
			return err
		}
	}
	_, err := conn.RequestWithContext(ctx, replies[last], ack)
	return err
}

var ack = []byte("+ACK")

// newLocal makes the objects of a Local in seg.
func newLocal[T any](seg *shm.Segment, name string, limit, storage int) (l *Local[T], err error) {
	l = &Local[T]{name: name}
	if l.items, err = ring.NewQueue(seg, "", limit, &ring.QueueOptions[item[T]]{Storage: storage}); err != nil {
		return nil, err
	}
	if l.finished, err = ring.NewQueue[uint64](seg, "", 2*limit, nil); err != nil {
		return nil, err
	}
	if l.bridge, err = psync.NewWaitGroup(seg, ""); err != nil {
		return nil, err
	}
	return l, l.bridge.Add(1)
}
