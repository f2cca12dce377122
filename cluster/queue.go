package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/seed-2e7ecdea/mp/ring"
)

// QueueOptions are options for NewQueue and OpenQueue. A nil *QueueOptions means the defaults.
type QueueOptions[T any] struct {
	// Codec encodes the values. All processes must use the same. The default is ring.DefaultCodec.
	// Its encoding is for programs with the same version of mp.
	Codec ring.Codec[T]

	// Joinable makes a value that Get, GetMany or All has taken through this Queue an unfinished task
	// until TaskDone. It comes back if the process dies.
	Joinable bool

	// The other options are for NewQueue. OpenQueue takes over what the queue was made with.

	// Lease is the time after which a value comes back if its holder is not heard of: it has died or
	// is cut off. While the holder's process lives and has a connection, it renews its leases. The
	// default is 30 s; the least is 1 s.
	Lease time.Duration

	// Window is how long the server knows the values that were put, so that a value that Put sends
	// again after a lost connection is not put twice. The default is 2 minutes. It costs the server
	// some 100 bytes for each value that was put in that time.
	Window time.Duration

	// MaxBytes bounds the bytes of all values, encoded. The default 0 means no bound.
	MaxBytes int64
}

// A Queue is a first-in, first-out queue of values of type T with a fixed capacity, for any number
// of processes on any number of machines. It is a stream of the server with work-queue retention.
//
// A value whose Put returned nil is got at least once. It is got more than once if the process that
// took it dies, or is cut off from the server for longer than QueueOptions.Lease, before the server
// has noted that the value is dealt with. If the server keeps the messages in memory, a restart of
// the server loses them.
//
// A value that comes back is got before or soon after those that were not taken yet; otherwise the
// values that one goroutine puts are taken in the order of its calls.
//
// All methods may be called by any number of goroutines at once. Those that return an error fail
// with ErrClosed after Close of the Queue or of its Cluster.
type Queue[T any] struct {
	c        *Cluster
	name     string
	codec    ring.Codec[T]
	joinable bool
	capacity int
	subject  string
	stream   string
	consumer jetstream.Consumer
	keeper   *keeper
	notices  []*nats.Subscription
	shutdown chan struct{} // closed when the queue was shut down
	closed   chan struct{}
	over     sync.Once // guards the close of shutdown
	ended    sync.Once // guards the close of closed
	prefix   string    // of the ids of this Queue's values
	last     atomic.Uint64

	mu    sync.Mutex
	taken []*held // by Get and not marked done, oldest first, if the queue is joinable
}

// Keys of a stream's metadata.
const (
	metaPrint    = "mp-type"
	metaMaker    = "mp-maker" // of the Queue that has made it, so that the server knows a request that is repeated
	metaShutdown = "mp-shutdown"
)

const (
	defaultLease  = 30 * time.Second
	defaultWindow = 2 * time.Minute
	workers       = "workers" // name of the only consumer of a queue's stream
)

// NewQueue makes an empty queue for capacity values. It fails with fs.ErrExist if a queue of that
// name exists, with ErrName, with shm.ErrType if T can't be encoded, or with ctx's error. It blocks
// until the server answers.
func NewQueue[T any](ctx context.Context, c *Cluster, name string, capacity int, o *QueueOptions[T]) (*Queue[T], error) {
	q, err := newQueue(ctx, c, name, capacity, o)
	if err != nil {
		return nil, failed("NewQueue", "queue", name, err)
	}
	return q, nil
}

func newQueue[T any](ctx context.Context, c *Cluster, name string, capacity int, o *QueueOptions[T]) (*Queue[T], error) {
	if capacity < 1 {
		return nil, fmt.Errorf("the capacity is %d: it must be 1 or more", capacity)
	}
	q, print, err := prepare(c, name, o)
	if err != nil {
		return nil, err
	}
	lease, window, bytes := defaultLease, defaultWindow, int64(-1)
	if o != nil {
		if o.Lease != 0 {
			lease = max(o.Lease, time.Second)
		}
		if o.Window != 0 {
			window = o.Window
		}
		if o.MaxBytes > 0 {
			bytes = o.MaxBytes
		}
	}
	err = c.insist(ctx, func(ctx context.Context) error {
		stream, err := c.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: q.stream, Subjects: []string{q.subject}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew,
			MaxMsgs: int64(capacity), MaxBytes: bytes, Duplicates: window, Storage: c.storage(), Replicas: c.options.Replicas,
			Metadata: map[string]string{metaPrint: print, metaMaker: q.prefix},
		})
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return fmt.Errorf("%w: open it by OpenQueue, or use another name", fs.ErrExist)
		}
		if err != nil {
			return err
		}
		q.consumer, err = stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
			Durable: workers, AckPolicy: jetstream.AckExplicitPolicy, AckWait: lease, MaxAckPending: -1, MaxWaiting: 100_000,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return q, q.start(capacity, lease)
}

// OpenQueue opens the queue of that name. It fails with fs.ErrNotExist if there is none, with
// ErrVersion if its values are of another type, with ErrName, or with ctx's error. It blocks until
// the server answers.
func OpenQueue[T any](ctx context.Context, c *Cluster, name string, o *QueueOptions[T]) (*Queue[T], error) {
	q, err := openQueue(ctx, c, name, o)
	if err != nil {
		return nil, failed("OpenQueue", "queue", name, err)
	}
	return q, nil
}

func openQueue[T any](ctx context.Context, c *Cluster, name string, o *QueueOptions[T]) (*Queue[T], error) {
	q, print, err := prepare(c, name, o)
	if err != nil {
		return nil, err
	}
	var capacity int
	var lease time.Duration
	err = c.insist(ctx, func(ctx context.Context) error {
		stream, err := c.js.Stream(ctx, q.stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return errAbsent
		}
		if err != nil {
			return err
		}
		config := stream.CachedInfo().Config
		if other := config.Metadata[metaPrint]; other != print {
			return fmt.Errorf("%w: the queue's values have the fingerprint %s, this program's type has %s", ErrVersion, other, print)
		}
		capacity = int(config.MaxMsgs)
		if q.consumer, err = stream.Consumer(ctx, workers); err != nil {
			return err
		}
		lease = q.consumer.CachedInfo().Config.AckWait
		if config.Metadata[metaShutdown] != "" {
			q.noteShutdown()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return q, q.start(capacity, lease)
}

var errAbsent = fmt.Errorf("%w: make it by NewQueue first", fs.ErrNotExist)

// prepare returns a Queue without a stream, and the fingerprint of its values.
func prepare[T any](c *Cluster, name string, o *QueueOptions[T]) (*Queue[T], string, error) {
	if err := checkName(name); err != nil {
		return nil, "", err
	}
	q := &Queue[T]{
		c: c, name: name, stream: c.options.Name + "_queue_" + name, subject: c.options.Name + ".queue." + name,
		prefix: nuid.Next() + "-", shutdown: make(chan struct{}), closed: make(chan struct{}),
	}
	if o != nil {
		q.codec, q.joinable = o.Codec, o.Joinable
	}
	if q.codec != nil {
		return q, fmt.Sprintf("codec %T", q.codec), nil
	}
	codec, print, err := defaultCodec[T]()
	q.codec = codec
	return q, print, err
}

// defaultCodec returns the default codec for T and the fingerprint of T.
func defaultCodec[T any]() (ring.Codec[T], string, error) {
	codec, err := ring.DefaultCodec[T]()
	if err != nil {
		return nil, "", err
	}
	return codec, strconv.FormatUint(codec.(interface{ Fingerprint() uint64 }).Fingerprint(), 16), nil
}

// start begins what runs in the background.
func (q *Queue[T]) start(capacity int, lease time.Duration) (err error) {
	q.capacity = capacity
	shutdown, err := q.c.conn.Subscribe(q.subject+".shutdown", func(*nats.Msg) { q.noteShutdown() })
	if err != nil {
		return err
	}
	election, err := q.c.ringAtElection(q.stream, workers)
	if err != nil {
		return err
	}
	q.notices = []*nats.Subscription{shutdown, election}
	q.keeper = newKeeper(lease)
	return nil
}

func (q *Queue[T]) noteShutdown() { q.over.Do(func() { close(q.shutdown) }) }

// fail returns the error of the method op.
func (q *Queue[T]) fail(op string, err error) error { return failed(op, "queue", q.name, err) }

// Name returns the queue's name.
func (q *Queue[T]) Name() string { return q.name }

// Cap returns the capacity of the queue.
func (q *Queue[T]) Cap() int { return q.capacity }

// Len asks the server for the number of values in the queue, those under leases included. It fails
// with ctx's error, or as OpenQueue does if the queue was deleted.
func (q *Queue[T]) Len(ctx context.Context) (int, error) {
	info, err := q.info(ctx)
	if err != nil {
		return 0, q.fail("Len", err)
	}
	return int(info.State.Msgs), nil
}

// info returns the state of the stream, and notes if the queue was shut down.
func (q *Queue[T]) info(ctx context.Context) (info *jetstream.StreamInfo, err error) {
	if q.isClosed() {
		return nil, ring.ErrClosed
	}
	err = q.c.insist(ctx, func(ctx context.Context) error {
		stream, err := q.c.js.Stream(ctx, q.stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return errAbsent
		}
		if err == nil {
			info = stream.CachedInfo()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if info.Config.Metadata[metaShutdown] != "" {
		q.noteShutdown()
	}
	return info, nil
}

func (q *Queue[T]) isShutdown() bool { return isDone(q.shutdown) }
func (q *Queue[T]) isClosed() bool   { return isDone(q.closed) }

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Put appends v. It blocks until the server has stored v: while the queue is full, and while there is
// no connection. It asks again at intervals of up to 100 ms whether there is space. It fails with
// ctx's error when ctx is done, with ErrShutdown, ErrClosed, ErrTooLarge, with fs.ErrNotExist if the
// queue was deleted, or with the error of the codec.
//
// An error means that v was not put, with one exception: if ctx is done while the server's answer is
// outstanding, v may have been put. If the connection breaks, Put sends v again with the same id. So
// v is not put twice unless the connection is away for longer than QueueOptions.Window.
func (q *Queue[T]) Put(ctx context.Context, v T) error {
	if err := q.put(ctx, &v, true); err != nil {
		return q.fail("Put", err)
	}
	return nil
}

// TryPut is Put that does not wait for space: it fails with ErrFull. It waits for the server.
func (q *Queue[T]) TryPut(ctx context.Context, v T) error {
	if err := q.put(ctx, &v, false); err != nil {
		return q.fail("TryPut", err)
	}
	return nil
}

func (q *Queue[T]) put(ctx context.Context, v *T, wait bool) error {
	data, err := q.codec.Append(nil, v)
	if err != nil {
		return err
	}
	id := q.prefix + strconv.FormatUint(q.last.Add(1), 36)
	patience := newPatience()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if q.isClosed() {
			return ring.ErrClosed
		}
		err := q.c.attempt(ctx, &patience, func(ctx context.Context) error {
			_, err := q.c.js.Publish(ctx, q.subject, data, jetstream.WithMsgID(id), jetstream.WithRetryAttempts(0))
			return err
		})
		if err == nil {
			return nil
		}
		verdict, err := judge(err)
		switch verdict {
		case fatal:
			return err
		case full:
			if !wait {
				return fmt.Errorf("%w: it holds %d values", ring.ErrFull, q.capacity)
			}
		case nobody: // the queue was shut down or deleted, or the server starts
			if _, err := q.info(ctx); err != nil {
				return err
			}
			if q.isShutdown() {
				return ring.ErrShutdown
			}
		}
		if err := q.c.pause(ctx, pause); err != nil {
			return err
		}
	}
}

// Shutdown shuts the queue down for all processes. From then on Put fails with ErrShutdown, and Get
// fails with ErrShutdown once nothing is left that it could take. Shutdown may be called more than
// once. It blocks until the server answers.
func (q *Queue[T]) Shutdown(ctx context.Context) error {
	info, err := q.info(ctx)
	if err == nil && !q.isShutdown() {
		// The stream does not take the subject any more, so that no value is stored after this.
		config := info.Config
		config.Subjects = []string{q.subject + ".closed"}
		config.Metadata[metaShutdown] = "yes"
		err = q.c.insist(ctx, func(ctx context.Context) error {
			_, err := q.c.js.UpdateStream(ctx, config)
			return err
		})
	}
	if err != nil {
		return q.fail("Shutdown", err)
	}
	q.noteShutdown()
	_ = q.c.conn.Publish(q.subject+".shutdown", nil) // getters that do not hear of it look soon
	return nil
}

// Delete deletes the queue and all its values, for all processes, and closes q.
func (q *Queue[T]) Delete(ctx context.Context) error {
	err := q.c.insist(ctx, func(ctx context.Context) error {
		err := q.c.js.DeleteStream(ctx, q.stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil // by this call, before a connection broke, or by another process
		}
		return err
	})
	q.Close()
	if err != nil {
		return q.fail("Delete", err)
	}
	return nil
}

// Close closes q. Calls that wait through q return ErrClosed. Leases of q are given back, and those
// values that were taken through q and not marked done. The queue itself and other Queues that are
// open on it are not affected. Close may be called more than once.
func (q *Queue[T]) Close() error {
	q.ended.Do(func() {
		close(q.closed)
		for _, s := range q.notices {
			_ = s.Unsubscribe() // fails if the connection is closed
		}
		q.keeper.close()
	})
	return nil
}

// Join blocks until every value that was put is done: got, or, if it was taken under a lease or
// through a Queue that is joinable, marked done. It asks the server at intervals of up to 100 ms. It
// fails with ctx's error or with ErrClosed.
func (q *Queue[T]) Join(ctx context.Context) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		info, err := q.info(ctx)
		if err == nil && info.State.Msgs == 0 {
			return nil
		}
		if err == nil {
			err = q.c.pause(ctx, pause)
		}
		if err != nil {
			return q.fail("Join", err)
		}
	}
}

// All returns an iterator over the values that it takes from the queue, with one Get for each
// iteration. The loop ends when the queue is shut down and nothing is left. If Get fails for another
// reason, the last pair has Get's error.
func (q *Queue[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := q.Get(ctx)
			if errors.Is(err, ring.ErrShutdown) || !yield(v, err) || err != nil {
				return
			}
		}
	}
}
