package ring

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Queue is a first-in, first-out queue of values of type T with a fixed capacity, for any number
// of processes and goroutines.
//
// T may be any type whose values mean something in another process. If T has a fixed size and holds
// no pointers, values are copied in and out. Values of other types, such as strings, slices, maps
// and structs that hold them, are encoded: see DefaultCodec and RegisterCodec. Put encodes a value
// before it takes a slot, and Get decodes it after it has given the slot back, so that code of the
// program can fail or take long there. If encoding fails, Put returns its error and puts nothing.
// If decoding fails, Get returns its error, which wraps ErrDecode for the default codec, and the
// value is gone.
//
// An encoded value of up to 104 bytes lies in its slot. Longer ones lie in the queue's storage: see
// QueueOptions.Storage. While the storage has no space for a value the queue counts as full for it.
// A value that is larger than the storage fails with ErrTooLarge. Put fails with shm.ErrNoSpace if
// the system has no memory for the storage.
//
// A Put that returned nil synchronizes before the Get that returns its value. The values that one
// goroutine puts are got in the order of its calls.
//
// A process may be killed at any instruction, and no other process then waits for it. A value whose
// Put returned nil is got exactly once, with these exceptions:
//
//   - Each process killed inside Get may lose one value: the one that Get was about to return.
//   - Each process killed inside Put may have put its value, although Put did not return.
//   - A value that a process had taken when it was killed inside Get is got out of order, later.
//
// A Queue must not be copied. The zero Queue is closed. All methods may be called from several
// goroutines at once. After Close, methods that return an error return ErrClosed, and Len and Cap
// panic.
type Queue[T any] struct {
	core atomic.Pointer[queueCore[T]] // nil if the queue is closed, or if its values are encoded
	enc  atomic.Pointer[encoded[T]]   // nil unless the values are encoded
}

var (
	_ encoding.TextMarshaler     = (*Queue[byte])(nil)
	_ encoding.TextUnmarshaler   = (*Queue[byte])(nil)
	_ encoding.BinaryMarshaler   = (*Queue[byte])(nil)
	_ encoding.BinaryUnmarshaler = (*Queue[byte])(nil)
)

// QueueOptions are options for NewQueue. A nil *QueueOptions means the defaults.
type QueueOptions[T any] struct {
	// Joinable makes a value that Get, GetMany or All has taken an unfinished task until TaskDone:
	// it keeps its slot, and comes back if the process dies. See Queue.TaskDone and Queue.Join.
	Joinable bool
	// Storage is the size in bytes of the space for encoded values that are longer than 104 bytes. Its
	// addresses are reserved in the segment when the queue is made. It gets memory only when values
	// need it, and keeps that memory. A value takes whole blocks of 1 KiB. The default is a quarter of
	// the segment's size, or 1 GiB if that is less. If the queue's values are not encoded, Storage is
	// ignored.
	Storage int
}

// NewQueue makes an empty queue for capacity values in seg, with an optional name. The queue takes
// 640 bytes, and for each value 8 bytes and T's size rounded up to 8. If values are encoded, it
// takes 128 bytes for each value, and the storage. NewQueue fails with shm.ErrType if T can't be
// shared (the error names the part of T), with shm.ErrSize if the capacity is less than 1 or too
// large or the storage is, or as every New function does: see package shm.
func NewQueue[T any](seg *shm.Segment, name string, capacity int, o *QueueOptions[T]) (*Queue[T], error) {
	return newQueueAt(seg, name, capacity, 0, o)
}

// newQueueAt is NewQueue for a queue whose first value is in the given lap. Tests use it.
func newQueueAt[T any](seg *shm.Segment, name string, capacity int, lap uint32, opts *QueueOptions[T]) (*Queue[T], error) {
	if opts == nil {
		opts = new(QueueOptions[T])
	}
	form, err := formOf[T]()
	if err != nil {
		return nil, fmt.Errorf("ring: new queue %q: %w", name, err)
	}
	var o object.Object
	if form.coding == nil {
		o, err = makeQueue[T](seg, name, capacity, lap, opts.Joinable, form.print, 0)
	} else {
		size := opts.Storage
		if size == 0 {
			size = defaultStorage(seg)
		}
		if size < 0 || size > maxObject {
			return nil, fmt.Errorf("ring: new queue %q: %w: a storage of %d bytes", name, shm.ErrSize, size)
		}
		o, err = makeQueue[envelope](seg, name, capacity, lap, opts.Joinable, form.print, storageHead+size/blockSize*blockSize)
	}
	if err != nil {
		return nil, err
	}
	return useQueue(o, form)
}

// makeQueue makes a queue of messages of type T with so many bytes of storage.
func makeQueue[T any](seg *shm.Segment, name string, capacity int, lap uint32, joinable bool, print uint64, storage int) (object.Object, error) {
	stride := strideOf[T]()
	if capacity < 1 || capacity > maxSlots || uint64(capacity)*uint64(stride) > uint64(maxObject-queueHead-storage) {
		return nil, fmt.Errorf("ring: new queue %q: %w: capacity %d, storage of %d bytes", name, shm.ErrSize, capacity, storage)
	}
	spec := object.Spec{Kind: shm.KindQueue, Name: name, Size: queueHead + capacity*stride, Fingerprint: print}
	if storage > 0 {
		at := storageAt(capacity)
		spec.Size, spec.Reserved = at+storage, at+storageHead
	}
	spec.Init = func(mem []byte) error {
		w := view.At[queueWords](mem, 0)
		w.count.Store(uint32(capacity))
		if joinable {
			w.mode.Store(queueJoinable)
			w.front.Store(leasesInUse)
		}
		if storage > 0 {
			w.mode.Or(queueEncoded)
			view.At[storageWords](mem, storageAt(capacity)).units.Store(uint32((storage - storageHead) / blockSize))
		}
		if lap == 0 {
			return nil // a slot of zeros is free in lap 0
		}
		var s slots[T]
		s.set(mem[queueHead:], uint32(capacity))
		for i := range s.count {
			s.slotWord(i).Store(uint64(freeAt(lap)))
		}
		w.tail.Store(uint64(positionAt(lap, 0)))
		w.head.Store(uint64(positionAt(lap, 0)))
		return nil
	}
	return object.New(seg, spec)
}

// maxObject is the largest size of an object. It fits into an int of 32 bits.
const maxObject = 1<<31 - 1<<20

// OpenQueue opens the queue of that name. It fails with shm.ErrMismatch if its values are not of
// type T, or as every Open function does: see package shm.
func OpenQueue[T any](seg *shm.Segment, name string) (*Queue[T], error) {
	form, err := formOf[T]()
	if err != nil {
		return nil, fmt.Errorf("ring: open queue %q: %w", name, err)
	}
	o, err := object.Open(seg, shm.KindQueue, name, form.print)
	if err != nil {
		return nil, err
	}
	return useQueue(o, form)
}

func useQueue[T any](o object.Object, f form[T]) (*Queue[T], error) {
	q := new(Queue[T])
	if err := q.use(o, f); err != nil {
		return nil, err
	}
	return q, nil
}

func (q *Queue[T]) use(o object.Object, f form[T]) error {
	var k *queueCore[T]
	var e *encoded[T]
	var err error
	if f.coding == nil {
		k, err = newQueueCore[T](o)
	} else {
		e, err = newEncoded(o, f.coding)
	}
	if err = o.UnlessClosed(err); err != nil {
		return errors.Join(err, o.Close())
	}
	q.core.Store(k)
	q.enc.Store(e)
	return nil
}

// TryPut appends v if there is space. It never blocks. It fails with ErrFull, ErrShutdown or
// ErrClosed. A slot from which another Get is copying its value still counts as full.
func (q *Queue[T]) TryPut(v T) error {
	k := q.core.Load()
	if k == nil {
		return q.enc.Load().put(tryOnce, "TryPut", copied(v))
	}
	err := k.put(&v)
	if err != nil {
		err = k.fails.of("TryPut", err)
	}
	runtime.KeepAlive(k)
	return err
}

// TryPutFrom is TryPut of *v, for values that are too large to be passed around. It copies *v once,
// into the queue, or encodes it.
func (q *Queue[T]) TryPutFrom(v *T) error {
	_ = *v // panics before a slot is claimed
	k := q.core.Load()
	if k == nil {
		return q.enc.Load().put(tryOnce, "TryPutFrom", v)
	}
	err := k.put(v)
	if err != nil {
		err = k.fails.of("TryPutFrom", err)
	}
	runtime.KeepAlive(k)
	return err
}

// Put appends v. It blocks while the queue is full. It fails with ctx's error when ctx is done (it
// tries once even if ctx is done already), with ErrShutdown, or with ErrClosed when this process
// closes the queue. An error means that v was not put. The exception is ErrClosed if Close was
// called during Put: then v may or may not have been put.
func (q *Queue[T]) Put(ctx context.Context, v T) error {
	k := q.core.Load()
	if k == nil {
		return q.enc.Load().put(ctx, "Put", copied(v))
	}
	word, pos, err := k.claimFree()
	if err == nil {
		*k.slots.message(word) = v
		err = k.publish(word, pos)
	} else if err == ErrFull {
		err = q.putWait(ctx, k, v)
	}
	if err != nil {
		err = k.fails.of("Put", err)
	}
	runtime.KeepAlive(k)
	return err
}

// putWait is Put after a try that failed with ErrFull. It is a function of its own so that v
// escapes to the heap here and not in Put.
func (q *Queue[T]) putWait(ctx context.Context, k *queueCore[T], v T) error {
	return q.awaitPut(ctx, k, func() error { return k.put(&v) })
}

// PutFrom is Put of *v, for values that are too large to be passed around. It copies *v once, into
// the queue, or encodes it.
func (q *Queue[T]) PutFrom(ctx context.Context, v *T) error {
	_ = *v // panics before a slot is claimed
	k := q.core.Load()
	if k == nil {
		return q.enc.Load().put(ctx, "PutFrom", v)
	}
	err := k.put(v)
	if err == ErrFull {
		err = q.awaitPut(ctx, k, func() error { return k.put(v) })
	}
	if err != nil {
		err = k.fails.of("PutFrom", err)
	}
	runtime.KeepAlive(k)
	return err
}

// awaitPut waits after try has failed with ErrFull, until it does not.
func (q *Queue[T]) awaitPut(ctx context.Context, k *queueCore[T], try func() error) error {
	err := k.putSpinning(try)
	if err == ErrFull {
		err = k.room.Await(ctx, &k.putSpin, &putter[T]{k, q.isOpen(k), try})
	}
	return err
}

// isOpen returns a function that reports whether q is open as k.
func (q *Queue[T]) isOpen(k *queueCore[T]) func() bool {
	return func() bool { return q.core.Load() == k }
}

// TryGet takes the oldest value. It never blocks. It fails with ErrEmpty, with ErrClosed, with
// ErrShutdown if the queue was shut down and is empty, or with ErrBusy if a Put that began earlier
// has not finished, although the value of a later Put is in the queue.
func (q *Queue[T]) TryGet() (T, error) {
	var v T
	k := q.core.Load()
	if k == nil {
		return q.getEncoded(tryOnce, "TryGet")
	}
	if err := k.getRetrying(&v); err != nil {
		var zero T
		return zero, k.fails.of("TryGet", err)
	}
	runtime.KeepAlive(k)
	return v, nil
}

// TryGetInto is TryGet into *v, for values that are too large to be passed around. It copies the
// value once, out of the queue, or decodes it into *v. If it fails, the contents of *v are
// undefined. A []byte uses the memory of *v: see GetInto.
func (q *Queue[T]) TryGetInto(v *T) error {
	_ = *v // panics before a slot is claimed
	k := q.core.Load()
	if k == nil {
		return q.enc.Load().get(tryOnce, "TryGetInto", v)
	}
	err := k.getRetrying(v)
	if err != nil {
		err = k.fails.of("TryGetInto", err)
	}
	runtime.KeepAlive(k)
	return err
}

// Get takes the oldest value. It blocks while the queue is empty. It fails with ctx's error when
// ctx is done (it tries once even if ctx is done already), with ErrShutdown when the queue was shut
// down and is empty, or with ErrClosed when this process closes the queue. An error means that
// nothing was taken, with two exceptions. If Get fails with ErrClosed because Close was called
// during Get, one value may be lost, as if the process had been killed inside Get. If an encoded
// value can't be decoded, it is gone.
func (q *Queue[T]) Get(ctx context.Context) (v T, err error) {
	k := q.core.Load()
	if k == nil {
		return q.getEncoded(ctx, "Get")
	}
	word, lap, err := k.claimReady(k.takes)
	if err != nil {
		return q.getWait(ctx, k, err)
	}
	v = *k.slots.message(word)
	if err = k.release(word, lap); err != nil {
		var zero T
		v, err = zero, k.fails.of("Get", err)
	}
	runtime.KeepAlive(k)
	return v, err
}

// getWait is Get after a try that failed with err.
func (q *Queue[T]) getWait(ctx context.Context, k *queueCore[T], err error) (v T, _ error) {
	if err == ErrEmpty || err == ErrBusy {
		err = q.awaitGet(ctx, k, func() error { return k.get(&v) })
	}
	if err != nil {
		var zero T
		return zero, k.fails.of("Get", err)
	}
	return v, nil
}

// GetInto is Get into *v, for values that are too large to be passed around. It copies the value
// once, out of the queue, or decodes it into *v. If it fails, the contents of *v are undefined.
//
// If T is a []byte and the value fits into the capacity of *v, GetInto copies it there and allocates
// nothing. A program that keeps the value must not pass the same memory again.
func (q *Queue[T]) GetInto(ctx context.Context, v *T) error {
	_ = *v // panics before a slot is claimed
	k := q.core.Load()
	if k == nil {
		return q.enc.Load().get(ctx, "GetInto", v)
	}
	err := k.get(v)
	if err == ErrEmpty || err == ErrBusy {
		err = q.awaitGet(ctx, k, func() error { return k.get(v) })
	}
	if err != nil {
		err = k.fails.of("GetInto", err)
	}
	runtime.KeepAlive(k)
	return err
}

// awaitGet waits after try has failed with ErrEmpty or ErrBusy, until it does not.
func (q *Queue[T]) awaitGet(ctx context.Context, k *queueCore[T], try func() error) error {
	err := k.getSpinning(try)
	if err == ErrEmpty {
		err = k.room.Await(ctx, &k.getSpin, &getter[T]{k, q.isOpen(k), try})
	}
	runtime.KeepAlive(k)
	return err
}

// getEncoded is Get, or TryGet if ctx is tryOnce, of a queue whose values are encoded.
func (q *Queue[T]) getEncoded(ctx context.Context, op string) (v T, err error) {
	if err = q.enc.Load().get(ctx, op, &v); err != nil {
		var zero T
		return zero, err
	}
	return v, nil
}

// failures makes the errors of q's methods. It is nil if q is closed.
func (q *Queue[T]) failures() *failures {
	if k := q.core.Load(); k != nil {
		return &k.fails
	}
	if k := q.enc.Load().open(); k != nil {
		return &k.fails
	}
	return nil
}

// copied returns a copy of v. A method that uses it instead of the address of its own variable keeps
// that on its stack.
func copied[T any](v T) *T { return &v }

// All returns an iterator over the values that it takes from the queue, with one Get for each
// iteration. The loop ends when the queue is shut down and empty. If Get fails for another reason,
// because ctx is done or this process has closed the queue, the last pair has Get's error. If
// several loops, in any processes, take from one queue, each value goes to one of them.
func (q *Queue[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := q.Get(ctx)
			if err != nil {
				if !errors.Is(err, ErrShutdown) {
					yield(v, err)
				}
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// Len returns the number of values in the queue. If other goroutines put and get during the call,
// the result is approximate, because Len reads each slot at a different moment. Otherwise it is
// exact. Len panics if the queue is closed.
func (q *Queue[T]) Len() int {
	k := q.core.Load()
	if k == nil {
		if e := q.enc.Load(); e.open() != nil {
			return e.inner.Len()
		}
		panic(closed("Len"))
	}
	n := k.length()
	if k.room.Closed() {
		panic(closed("Len"))
	}
	runtime.KeepAlive(k)
	return n
}

// Cap returns the capacity of the queue. It panics if the queue is closed.
func (q *Queue[T]) Cap() int {
	k := q.core.Load()
	if k == nil {
		if e := q.enc.Load(); e.open() != nil {
			return e.inner.Cap()
		}
		panic(closed("Cap"))
	}
	return int(k.slots.count)
}

// Shutdown shuts the queue down for all processes. From then on Put fails with ErrShutdown, and Get
// fails with ErrShutdown once the queue is empty. Shutdown may be called more than once. It fails
// with ErrClosed.
func (q *Queue[T]) Shutdown() error {
	k := q.core.Load()
	if k == nil {
		return q.enc.Load().shutdown()
	}
	k.w.flags.Or(queueShut)
	k.w.items.NotifyAll()
	k.w.space.NotifyAll()
	wasClosed := k.room.Closed()
	runtime.KeepAlive(k)
	if wasClosed {
		return closed("Shutdown")
	}
	return nil
}

func closed(op string) error { return object.Closed("ring: "+op, shm.KindQueue) }

// Handle returns the queue's handle, or the zero Handle if the queue is closed.
func (q *Queue[T]) Handle() shm.Handle {
	k := q.core.Load()
	if k == nil {
		if e := q.enc.Load(); e != nil {
			return e.inner.Handle()
		}
		return shm.Handle{}
	}
	return k.o.Handle(0)
}

// Stats returns the statistics of the queue by all processes: see shm.Stats. It does not block, and
// fails with ErrClosed.
func (q *Queue[T]) Stats() (shm.Stats, error) {
	f := q.failures()
	if f == nil {
		return shm.Stats{}, closed("Stats")
	}
	s, err := object.Stats(f.o)
	return s, f.of("Stats", err)
}

// MarshalText encodes the queue's handle.
func (q *Queue[T]) MarshalText() ([]byte, error) { return q.Handle().MarshalText() }

// UnmarshalText decodes a handle and opens its queue.
func (q *Queue[T]) UnmarshalText(text []byte) error {
	var h shm.Handle
	if err := h.UnmarshalText(text); err != nil {
		return err
	}
	form, err := formOf[T]()
	if err != nil {
		return fmt.Errorf("ring: open queue: %w", err)
	}
	o, err := object.OpenHandle(h, shm.KindQueue, form.print)
	if err != nil {
		return err
	}
	return q.use(o, form)
}

// MarshalBinary is MarshalText.
func (q *Queue[T]) MarshalBinary() ([]byte, error) { return q.MarshalText() }

// UnmarshalBinary is UnmarshalText.
func (q *Queue[T]) UnmarshalBinary(data []byte) error { return q.UnmarshalText(data) }

// Close closes q. Calls that wait through q return ErrClosed. Other Queues that are open on the
// same queue, in this and in other processes, are not affected. Close may be called more than once.
func (q *Queue[T]) Close() error {
	if e := q.enc.Swap(nil); e != nil {
		return e.inner.Close()
	}
	k := q.core.Swap(nil)
	if k == nil {
		return nil
	}
	k.giveUpTasks()
	k.table.Wake()
	return k.o.Close()
}
