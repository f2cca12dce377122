package mp

import (
	"context"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/ring"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

// The objects that processes share. All methods may be called from several goroutines at once,
// but for those of a Holder. Close ends the use of an object by this process.
type (
	// A Queue holds up to a fixed number of values of type T. Its methods are Put, Get, TryPut,
	// TryGet, All, PutMany, GetMany, Lease, Reserve, Join, Len, Shutdown.
	Queue[T any] = ring.Queue[T]
	// A Broadcast delivers each value of type T to every Subscriber. Its methods are Publish,
	// TryPublish, Subscribe, Shutdown.
	Broadcast[T any] = ring.Broadcast[T]
	// A Subscriber receives the values of a Broadcast: Receive, TryReceive, All, Lag, Lost.
	Subscriber[T any] = ring.Subscriber[T]
	// SubscribeOptions say where a Subscriber begins, and whether it holds publishers back. A nil
	// pointer means that it begins at the next value and does.
	SubscribeOptions = ring.SubscribeOptions
	// A Lease holds a value of a Queue that comes back if the holder dies: Value, Done, Return.
	Lease[T any] = ring.Lease[T]
	// A Conn is one end of a pipe of messages: Send, Receive, TrySend, TryReceive.
	Conn = ring.Conn
	// A ReadEnd is the receiving end of a simplex, a pipe of one direction: Receive, TryReceive.
	ReadEnd = ring.ReadEnd
	// A WriteEnd is the sending end of a simplex: Send, TrySend.
	WriteEnd = ring.WriteEnd

	// A Lock is a mutual exclusion lock: Acquire, TryAcquire, Release, With, Recover.
	Lock = psync.Lock
	// An RLock is a lock that its Holder may acquire several times.
	RLock = psync.RLock
	// A Holder is an owner of an RLock.
	Holder = psync.Holder
	// An RWLock is held by any number of readers or one writer.
	RWLock = psync.RWLock
	// A Semaphore is a number of permits: Acquire, TryAcquire, Release, Value.
	Semaphore = psync.Semaphore
	// A BoundedSemaphore is a Semaphore whose permits come back when their holder dies.
	BoundedSemaphore = psync.BoundedSemaphore
	// A Condition lets goroutines wait until data that a Lock guards has changed: Wait, WaitFor,
	// Notify, NotifyAll.
	Condition = psync.Condition
	// An Event is a flag that can be waited for: Set, Clear, IsSet, Wait.
	Event = psync.Event
	// A Barrier lets a number of parties go on together: Wait.
	Barrier = psync.Barrier
	// A WaitGroup waits for a number of tasks: Add, Done, Wait.
	WaitGroup = psync.WaitGroup
	// A Once runs one function once, whichever process comes first: Do.
	Once = psync.Once

	// A Value is a T that is read and written whole: Load, Store, Swap, Update, Watch.
	Value[T any] = value.Value[T]
	// An Int64 is a Value[int64] with Add.
	Int64 = value.Int64
	// A Uint64 is a Value[uint64] with Add, And and Or.
	Uint64 = value.Uint64
	// A Float64 is a Value[float64] with Add.
	Float64 = value.Float64
	// An Array is a fixed number of Ts: At, Set, Slice, All, Len, Lock.
	Array[T any] = array.Array[T]
	// Bytes is a byte string of at most a fixed length: Set, String, Raw, Lock.
	Bytes = array.Bytes
)

// Errors that programs ask for, with errors.Is.
var (
	// ErrOwnerDied means that the lock's owner died holding it: call Recover.
	ErrOwnerDied = psync.ErrOwnerDied
	// ErrHeld means that TryAcquire found the lock held.
	ErrHeld = psync.ErrHeld
	// ErrNotHeld means that this process does not hold the lock that it releases.
	ErrNotHeld = psync.ErrNotHeld
	// ErrFull means that TryPut, TryPublish or TrySend found no space.
	ErrFull = ring.ErrFull
	// ErrEmpty means that TryGet or TryReceive found nothing.
	ErrEmpty = ring.ErrEmpty
	// ErrShutdown means that the queue or broadcast was shut down, and for Get and Receive that
	// nothing is left.
	ErrShutdown = ring.ErrShutdown
	// ErrLost means that a lossy subscriber was overtaken: a *ring.LostError has the number.
	ErrLost = ring.ErrLost
	// ErrClosed means that this process has closed the object. It is os.ErrClosed.
	ErrClosed = ring.ErrClosed
)

// NewQueue makes a queue with space for capacity values of any type. It fails with shm.ErrType if a
// part of T, such as a channel, means nothing in another process. Long values share 1 GiB at most:
// see ring.QueueOptions.
func NewQueue[T any](capacity int) (*Queue[T], error) {
	return ring.NewQueue[T](nil, "", capacity, nil)
}

// NewBroadcast makes a broadcast with space for capacity values, rounded up to a power of two. It
// fails with shm.ErrType if a part of T, such as a channel, means nothing in another process. Long
// values share 1 GiB at most: see ring.BroadcastOptions.
func NewBroadcast[T any](capacity int) (*Broadcast[T], error) {
	return ring.NewBroadcast[T](nil, "", capacity, nil)
}

// NewJoinableQueue makes a queue in which a value that Get has taken is unfinished until TaskDone.
// Queue.Join waits until all are done. A value that is not done keeps its space, and comes back if
// its process dies. It fails as NewQueue does.
func NewJoinableQueue[T any](capacity int) (*Queue[T], error) {
	return ring.NewQueue(nil, "", capacity, &ring.QueueOptions[T]{Joinable: true})
}

// NewPipe makes a pipe and returns its two ends. Each sends to the other.
func NewPipe() (a, b *Conn, err error) { return ring.NewPipe(nil, "", nil) }

// Send sends a value of any type through c: see ring.Send. It blocks while the pipe is full.
func Send[T any](ctx context.Context, c *Conn, v T) error { return ring.Send(ctx, c, v) }

// Receive receives a value that Send sent to c: see ring.Receive. It blocks while there is none,
// and fails with io.EOF at the end.
func Receive[T any](ctx context.Context, c *Conn) (T, error) { return ring.Receive[T](ctx, c) }

// RegisterType lets values of type T travel in interfaces, such as any: see ring.RegisterType.
func RegisterType[T any]() { ring.RegisterType[T]() }

// NewSimplex makes a pipe of one direction and returns its two ends: w sends, r receives.
func NewSimplex() (r *ReadEnd, w *WriteEnd, err error) { return ring.NewSimplex(nil, "", nil) }

// NewLock makes a lock that is free.
func NewLock() (*Lock, error) { return psync.NewLock(nil, "", nil) }

// NewRLock makes a reentrant lock that is free.
func NewRLock() (*RLock, error) { return psync.NewRLock(nil, "", nil) }

// NewRWLock makes a readers-writer lock that is free.
func NewRWLock() (*RWLock, error) { return psync.NewRWLock(nil, "", nil) }

// NewSemaphore makes a semaphore with n permits.
func NewSemaphore(n int) (*Semaphore, error) { return psync.NewSemaphore(nil, "", n) }

// NewBoundedSemaphore makes a semaphore with n permits, and never more.
func NewBoundedSemaphore(n int) (*BoundedSemaphore, error) {
	return psync.NewBoundedSemaphore(nil, "", n)
}

// NewCondition makes a condition on l.
func NewCondition(l *Lock) (*Condition, error) { return psync.NewCondition(nil, "", l, nil) }

// NewEvent makes an event that is not set.
func NewEvent() (*Event, error) { return psync.NewEvent(nil, "") }

// NewBarrier makes a barrier for n parties.
func NewBarrier(n int) (*Barrier, error) { return psync.NewBarrier(nil, "", n, nil) }

// NewWaitGroup makes a wait group whose count is 0.
func NewWaitGroup() (*WaitGroup, error) { return psync.NewWaitGroup(nil, "") }

// NewOnce makes a Once whose function has not run.
func NewOnce() (*Once, error) { return psync.NewOnce(nil, "") }

// NewValue makes a value. It fails with shm.ErrType if a T holds pointers or has no fixed size.
func NewValue[T any](init T) (*Value[T], error) { return value.New(nil, "", init, nil) }

// NewInt64 makes an Int64 with the value init.
func NewInt64(init int64) (*Int64, error) { return value.NewInt64(nil, "", init, nil) }

// NewUint64 makes a Uint64 with the value init.
func NewUint64(init uint64) (*Uint64, error) { return value.NewUint64(nil, "", init, nil) }

// NewFloat64 makes a Float64 with the value init.
func NewFloat64(init float64) (*Float64, error) { return value.NewFloat64(nil, "", init, nil) }

// NewArray makes an array of n zero Ts. It fails with shm.ErrType if a T holds pointers or has no
// fixed size.
func NewArray[T any](n int) (*Array[T], error) { return array.New[T](nil, "", n, nil) }

// NewBytes makes an empty byte string with space for n bytes.
func NewBytes(n int) (*Bytes, error) { return array.NewBytes(nil, "", n, nil) }
