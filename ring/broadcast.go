package ring

import (
	"context"
	"encoding"
	"fmt"
	"math/bits"
	"runtime"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/tear"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Broadcast delivers values of type T from any number of publishers to any number of subscribers,
// in any processes. Each subscriber receives each value, and all receive them in the same order.
//
// T may be any type whose values mean something in another process. If T has a fixed size and holds
// no pointers, values are copied in and out. Values of other types, such as strings, slices, maps
// and structs that hold them, are encoded: see DefaultCodec and RegisterCodec. Publish encodes a
// value before it takes a slot, and each subscriber decodes it after it has copied it out. If
// encoding fails, Publish returns its error and publishes nothing. If decoding fails, Receive
// returns its error, and goes on with the next value at the next call.
//
// An encoded value of up to 112 bytes lies in its slot. Longer ones lie in the broadcast's storage:
// see BroadcastOptions.Storage. A value keeps its place in the storage until its slot is used again.
// If the storage has no space for a new value, the oldest values that all lossless subscribers have
// received give way. If that is not enough, the broadcast counts as full for the new value. A value
// that is larger than the storage fails with ErrTooLarge. Publish fails with shm.ErrNoSpace if the
// system has no memory for the storage.
//
// A subscriber is lossless or lossy. A lossless Subscriber receives every value whose Publish began
// after Subscribe had returned. To that end it holds publishers back: Publish blocks while the
// oldest of the values that the broadcast has space for has not been received by each lossless
// subscriber. A lossy Subscriber holds nobody back. If it is too slow, values are overwritten before
// it has received them, and it is told how many: see LostError.
//
// A Publish that returned nil synchronizes before each Receive that returns its value. The values
// that one goroutine publishes are received in the order of its calls.
//
// A process may be killed at any instruction, and no other process then waits for it. A process
// that is killed inside Publish has published its value for all subscribers or for none. A killed
// subscriber holds nobody back.
//
// A process that is stopped (SIGSTOP, a debugger) is alive. A stopped lossless subscriber holds
// publishers back, once the broadcast is full, until it goes on. A publisher that is stopped while
// it copies its value into the broadcast holds back all subscribers at this value, and all
// publishers once they have gone around the ring. A context ends the wait of its own call.
//
// A Broadcast must not be copied. The zero Broadcast is closed. All methods may be called from
// several goroutines at once. After Close, methods that return an error return ErrClosed, and Cap
// panics.
type Broadcast[T any] struct {
	ref object.Ref[broadcastCore[T], *broadcastCore[T]]
}

var (
	_ encoding.TextMarshaler     = (*Broadcast[byte])(nil)
	_ encoding.TextUnmarshaler   = (*Broadcast[byte])(nil)
	_ encoding.BinaryMarshaler   = (*Broadcast[byte])(nil)
	_ encoding.BinaryUnmarshaler = (*Broadcast[byte])(nil)
)

// BroadcastOptions are options for NewBroadcast. A nil *BroadcastOptions means the defaults.
type BroadcastOptions struct {
	// Subscribers is the greatest number of lossless subscribers at one time. Each takes 128 bytes.
	// The default is 64, the greatest value 65,536. The number of lossy subscribers has no limit.
	Subscribers int
	// Lossy makes every subscriber lossy, so that none can hold publishers back.
	Lossy bool
	// Storage is the size in bytes of the space for encoded values that are longer than 112 bytes. Its
	// addresses are reserved in the segment when the broadcast is made. It gets memory only when
	// values need it, and keeps that memory. A value takes whole blocks of 1 KiB. The default is a
	// quarter of the segment's size, or 1 GiB if that is less. If the broadcast's values are not
	// encoded, Storage is ignored.
	Storage int
}

const defaultSubscribers = 64

func (o *BroadcastOptions) lines() (int, error) {
	switch {
	case o == nil || o.Subscribers == 0 && !o.Lossy:
		return defaultSubscribers, nil
	case o.Lossy:
		return 0, nil
	case o.Subscribers < 0 || o.Subscribers > maxSubscribers:
		return 0, fmt.Errorf("%w: %d subscribers", shm.ErrSize, o.Subscribers)
	}
	return o.Subscribers, nil
}

// NewBroadcast makes a broadcast in seg, with an optional name. It has space for capacity values,
// rounded up to a power of two. It takes 384 bytes, 128 for each lossless subscriber that is
// possible, and for each value 8 bytes and T's size rounded up to 8. If values are encoded, it takes
// 120 bytes for each value, and the storage. NewBroadcast fails with shm.ErrType if T can't be
// shared (the error names the part of T), with shm.ErrSize if capacity is less than 1 or too large
// or the storage is, or as every New function does: see package shm.
func NewBroadcast[T any](seg *shm.Segment, name string, capacity int, o *BroadcastOptions) (*Broadcast[T], error) {
	return newBroadcastAt[T](seg, name, capacity, 0, o)
}

// newBroadcastAt is NewBroadcast for a broadcast whose first message is the first one of the given
// lap. Tests use it.
func newBroadcastAt[T any](seg *shm.Segment, name string, capacity int, lap uint64, o *BroadcastOptions) (*Broadcast[T], error) {
	fail := func(err error) (*Broadcast[T], error) {
		return nil, object.NewFailed(shm.KindBroadcast, name, err)
	}
	form, err := formOf[T]()
	if err != nil {
		return fail(err)
	}
	lines, err := o.lines()
	if err != nil {
		return fail(err)
	}
	if capacity < 1 || capacity > maxSlots {
		return fail(fmt.Errorf("%w: capacity %d", shm.ErrSize, capacity))
	}
	count := uint32(1) << bits.Len32(uint32(capacity-1))
	storage := 0
	if form.coding != nil {
		if storage, err = o.storage(seg); err != nil {
			return fail(err)
		}
	}
	head := broadcastHead + lines*subscriberLineSize
	stride := form.broadcastStride()
	size := uint64(head) + uint64(count)*uint64(stride)
	if size+storageHead+uint64(storage) > maxObject {
		return fail(fmt.Errorf("%w: capacity %d, storage of %d bytes", shm.ErrSize, capacity, storage))
	}
	spec := object.Spec{Kind: shm.KindBroadcast, Name: name, Size: int(size), Fingerprint: form.print}
	storageAt := alignStorage(int(size))
	if form.coding != nil {
		spec.Size, spec.Reserved = storageAt+storageHead+storage, storageAt+storageHead
	}
	spec.Init = func(mem []byte) error {
		w := view.At[broadcastWords](mem, 0)
		w.count.Store(count)
		w.lines.Store(uint32(lines))
		if o != nil && o.Lossy {
			w.lossy.Store(1)
		}
		if form.coding != nil {
			view.At[storageWords](mem, storageAt).units.Store(uint32(storage / blockSize))
		}
		if lap == 0 {
			return nil // a slot of zeros is free in lap 0
		}
		var s slots[T]
		s.setStride(mem[head:], count, stride)
		for i := range count {
			s.slotWord(i).Store(uint64(freeAt(uint32(lap) & lapMask)))
		}
		w.tail.Store(lap * uint64(count))
		w.oldest.Store(lap * uint64(count))
		return nil
	}
	made, err := object.New(seg, spec)
	if err != nil {
		return nil, err
	}
	b := new(Broadcast[T])
	if err := b.ref.Use(made); err != nil {
		return nil, err
	}
	return b, nil
}

// OpenBroadcast opens the broadcast of that name. It fails with shm.ErrMismatch if its values are
// not of type T, or as every Open function does: see package shm.
func OpenBroadcast[T any](seg *shm.Segment, name string) (*Broadcast[T], error) {
	b := new(Broadcast[T])
	if err := b.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return b, nil
}

// TryPublish publishes v if no lossless subscriber holds publishers back. It never blocks. It fails
// with ErrFull, ErrShutdown or ErrClosed, or with ErrBusy if the slot that comes next is still
// being written by a publisher that began one lap earlier. While a lossless subscriber joins,
// TryPublish may fail with ErrFull for a moment.
func (b *Broadcast[T]) TryPublish(v T) error {
	c := b.ref.Load()
	if c == nil {
		return broadcastClosed("TryPublish")
	}
	if c.coding != nil {
		return b.publishEncoded(tryOnce, c, "TryPublish", copied(v))
	}
	err := c.put(&v)
	if err != nil {
		err = c.fails.of("TryPublish", err)
	}
	return err
}

// TryPublishFrom is TryPublish of *v, for values that are too large to be passed around. It copies
// *v once, into the broadcast, or encodes it.
func (b *Broadcast[T]) TryPublishFrom(v *T) error {
	_ = *v // panics before a slot is claimed
	c := b.ref.Load()
	if c == nil {
		return broadcastClosed("TryPublishFrom")
	}
	if c.coding != nil {
		return b.publishEncoded(tryOnce, c, "TryPublishFrom", v)
	}
	err := c.put(v)
	if err != nil {
		err = c.fails.of("TryPublishFrom", err)
	}
	return err
}

// Publish publishes v to all subscribers. It blocks while a lossless subscriber has not received the
// oldest of the values that the broadcast has space for, or while the storage has no space for v. It
// does not wait for subscribers to receive
// v. It fails with ctx's error when ctx is done (it tries once even if ctx is done already), with
// ErrShutdown, or with ErrClosed when this process closes the broadcast. An error means that v was
// not published. The exception is ErrClosed if Close was called during Publish: then v may or may
// not have been published.
func (b *Broadcast[T]) Publish(ctx context.Context, v T) error {
	c := b.ref.Load()
	if c == nil {
		return broadcastClosed("Publish")
	}
	if c.coding != nil {
		return b.publishEncoded(ctx, c, "Publish", copied(v))
	}
	word, seq, err := c.claim()
	if err == nil {
		tear.Store(c.slots.message(word), &v)
		err = c.publish(word, seq)
	} else if err == ErrFull || err == ErrBusy {
		err = b.publishWait(ctx, c, v)
	}
	if err != nil {
		err = c.fails.of("Publish", err)
	}
	return err
}

// publishWait is Publish after a try that failed with ErrFull or ErrBusy. It is a function of its
// own so that v escapes to the heap here and not in Publish.
func (b *Broadcast[T]) publishWait(ctx context.Context, c *broadcastCore[T], v T) error {
	return b.awaitPublish(ctx, c, func() error { return c.put(&v) })
}

// PublishFrom is Publish of *v, for values that are too large to be passed around. It copies *v
// once, into the broadcast, or encodes it.
func (b *Broadcast[T]) PublishFrom(ctx context.Context, v *T) error {
	_ = *v // panics before a slot is claimed
	c := b.ref.Load()
	if c == nil {
		return broadcastClosed("PublishFrom")
	}
	if c.coding != nil {
		return b.publishEncoded(ctx, c, "PublishFrom", v)
	}
	err := c.put(v)
	if err == ErrFull || err == ErrBusy {
		err = b.awaitPublish(ctx, c, func() error { return c.put(v) })
	}
	if err != nil {
		err = c.fails.of("PublishFrom", err)
	}
	return err
}

// awaitPublish waits after try has failed with ErrFull or ErrBusy, until it does not.
func (b *Broadcast[T]) awaitPublish(ctx context.Context, c *broadcastCore[T], try func() error) error {
	err := c.putSpinning(try)
	if err == ErrFull {
		err = c.Room().Await(ctx, &c.spin, &publisher[T]{c, b.ref.Wanted(c), try})
	}
	return err
}

// Cap returns the number of values that the broadcast has space for. It panics if the broadcast is
// closed.
func (b *Broadcast[T]) Cap() int { return int(b.ref.Must("ring: Cap of broadcast").slots.count) }

// Shutdown shuts the broadcast down for all processes. From then on Publish fails with ErrShutdown,
// and Receive fails with ErrShutdown once its subscriber has received all values. Shutdown may be
// called more than once. It fails with ErrClosed.
func (b *Broadcast[T]) Shutdown() error {
	c := b.ref.Load()
	if c == nil {
		return broadcastClosed("Shutdown")
	}
	c.w.shut.Store(1)
	c.w.items.NotifyAll()
	c.w.space.NotifyAll()
	c.notifyStorers()
	err := c.Done(nil)
	runtime.KeepAlive(c)
	return c.Fail("ring: Shutdown", err)
}

func broadcastClosed(op string) error { return object.Closed("ring: "+op, shm.KindBroadcast) }

// Handle returns the broadcast's handle, or the zero Handle if the broadcast is closed.
func (b *Broadcast[T]) Handle() shm.Handle { return b.ref.Handle() }

// Stats returns the statistics of the broadcast by all processes: see shm.Stats. It does not block,
// and fails with ErrClosed.
func (b *Broadcast[T]) Stats() (shm.Stats, error) { return b.ref.Stats("ring: Stats") }

// MarshalText encodes the broadcast's handle.
func (b *Broadcast[T]) MarshalText() ([]byte, error) { return b.ref.MarshalText("ring: MarshalText") }

// UnmarshalText decodes a handle and opens its broadcast.
func (b *Broadcast[T]) UnmarshalText(text []byte) error { return b.ref.UnmarshalText(text) }

// MarshalBinary is MarshalText.
func (b *Broadcast[T]) MarshalBinary() ([]byte, error) { return b.MarshalText() }

// UnmarshalBinary is UnmarshalText.
func (b *Broadcast[T]) UnmarshalBinary(data []byte) error { return b.UnmarshalText(data) }

// Close closes b. Calls that wait through b return ErrClosed. Subscribers that b made, and other
// Broadcasts that are open on the same broadcast, in this and in other processes, are not affected.
// Close may be called more than once.
func (b *Broadcast[T]) Close() error { return b.ref.Close() }
