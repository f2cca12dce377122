package ring

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Conn is one end of a pipe. It sends messages of bytes to the other end and receives the
// messages sent there. Each direction keeps the order of its messages.
//
// A process holds an end while it has a Conn of that end that is not closed. A child that gets a
// Conn in its argument holds the end from the moment at which it is started. When the last holder
// of an end has closed it or died, the other end receives the messages that are still in the pipe,
// then io.EOF, and its sends fail with ErrBrokenPipe.
//
// A Send that returned nil synchronizes before the Receive that returns its message. Any process
// may be killed at any instruction. A message whose Send returned nil is received exactly once,
// with one exception: each process killed inside Receive may lose the message that it was about to
// return. A process killed inside Send may have sent its message.
//
// A message may be longer than the ring: see Send. If the context of a Receive ends while such a
// message is on its way, the sender starts it over for the next Receive, so it is not lost. A
// receiver whose contexts always end sooner than the whole message has passed never gets it: call
// Poll with such a context, and then Receive with a longer one.
//
// All methods may be called from several goroutines at once, and several processes may hold one
// end. They take turns. As long as only one goroutine uses a direction of an end, this costs
// nothing. From the first call by a second goroutine on, each call takes a lock.
//
// A Conn must not be copied. The zero Conn is closed. After Close, methods that return an error
// return ErrClosed.
type Conn struct {
	core atomic.Pointer[connCore]
}

var (
	_ encoding.TextMarshaler     = (*Conn)(nil)
	_ encoding.TextUnmarshaler   = (*Conn)(nil)
	_ encoding.BinaryMarshaler   = (*Conn)(nil)
	_ encoding.BinaryUnmarshaler = (*Conn)(nil)
)

func (c *Conn) use(k *connCore) {
	if old := c.core.Swap(k); old != nil { // c was open before UnmarshalText
		old.closeOnce()
	}
	// A Conn that is dropped without Close must not keep the pipe open.
	runtime.AddCleanup(c, func(k *connCore) { k.closeOnce() }, k)
}

// open makes c the end of o, a pipe of that shape. It closes o if it fails.
func (c *Conn) open(o object.Object, end End, shape pipeShape) error {
	k, err := newConnCore(o, end, shape)
	if err = o.UnlessClosed(err); err != nil {
		return errors.Join(err, o.Close())
	}
	c.use(k)
	return nil
}

// openNamed makes c an end of the pipe of that name.
func (c *Conn) openNamed(seg *shm.Segment, name string, end End, shape pipeShape) error {
	o, err := object.Open(seg, shm.KindPipe, name, shape.fingerprint)
	if err != nil {
		return err
	}
	return c.open(o, end, shape)
}

// openText makes c the end whose handle text encodes. It must be one of ends, of a pipe of that
// shape.
func (c *Conn) openText(text []byte, shape pipeShape, ends ...End) error {
	var h shm.Handle
	if err := h.UnmarshalText(text); err != nil {
		return err
	}
	end := End(h.Role)
	if !slices.Contains(ends, end) {
		return fmt.Errorf("ring: open pipe: %w: it has no such end %d", shm.ErrHandle, h.Role)
	}
	o, err := object.OpenHandle(h, shm.KindPipe, shape.fingerprint)
	if err != nil {
		return err
	}
	return c.open(o, end, shape)
}

// TrySend sends a copy of msg if there is space. It never blocks. It fails with ErrFull, with
// ErrBusy if another goroutine or process is sending at the moment, with ErrBrokenPipe or
// ErrClosed. It fails with ErrTooLarge if msg does not fit into the ring at once: see PipeOptions.
func (c *Conn) TrySend(msg []byte) error {
	k := c.core.Load()
	if k == nil {
		return connClosed("TrySend")
	}
	err := orBusy(k.send(tryOnce, msg))
	if err == ErrFull {
		k.table.Watch(k.epoch.Load()) // a process that only polls learns of deaths, too
	}
	if err != nil {
		err = k.fails.of("TrySend", err)
	}
	runtime.KeepAlive(c)
	return err
}

// Send sends a copy of msg. A message may be empty, and may have any length. Send blocks while the
// pipe is full. It fails with ctx's error when ctx is done (it tries once even if ctx is done
// already), with ErrBrokenPipe or ErrClosed. An error means that msg was not sent. The exception is
// ErrClosed if Close was called during Send: then msg may or may not have been sent.
//
// A message that does not fit into the ring at once goes through it in pieces, and Send blocks
// until a receiver has taken all but the last of them. Meanwhile no other goroutine or process
// sends by this end. The receiver gets the message whole, or not at all if Send fails or its
// process dies.
func (c *Conn) Send(ctx context.Context, msg []byte) error {
	if k := c.core.Load(); k != nil && k.epoch.Load() == k.peerEpoch.Load() && k.out.sendInline(msg) && k.checkOpen() == nil {
		runtime.KeepAlive(k)
		return nil
	}
	return c.sendSlow(ctx, msg)
}

// sendSlow is Send without the fast way.
func (c *Conn) sendSlow(ctx context.Context, msg []byte) error {
	k := c.core.Load()
	if k == nil {
		return connClosed("Send")
	}
	var err error
	if len(msg) > k.out.limit {
		err = c.sendLong(ctx, k, msg)
	} else if err = k.send(ctx, msg); err == ErrFull {
		err = c.sendWait(ctx, k, msg)
	}
	if err != nil {
		err = k.fails.of("Send", err)
	}
	runtime.KeepAlive(k)
	return err
}

// sendWait is Send after a try that failed with ErrFull.
func (c *Conn) sendWait(ctx context.Context, k *connCore, msg []byte) error {
	if k.spinForSpace(len(msg)) {
		if err := k.send(ctx, msg); err != ErrFull {
			return err
		}
	}
	return c.awaitSpace(ctx, k, func() error { return k.send(ctx, msg) })
}

// TryReceiveInto is like ReceiveInto but never blocks. It also fails with ErrEmpty, with ErrBusy if
// another goroutine or process is receiving at the moment, and with ErrTooLarge if the message is
// longer than a record of the ring may be, and so comes in pieces.
func (c *Conn) TryReceiveInto(buf []byte) (int, error) {
	k := c.core.Load()
	if k == nil {
		return 0, connClosed("TryReceiveInto")
	}
	_, n, err := k.tryReceive(intoBuffer, buf)
	if err != nil {
		err = k.fails.of("TryReceiveInto", orBusy(k.orEOF(err)))
	}
	runtime.KeepAlive(c)
	return n, err
}

// ReceiveInto receives the oldest message into buf and returns its length. It blocks while there is
// no message. It fails with ctx's error when ctx is done (it tries once even if ctx is done
// already), with io.EOF at the end of the messages, or with ErrClosed. If the message is longer
// than buf, it returns the message's length and io.ErrShortBuffer. If it fails, the message stays
// in the pipe, but buf may have been written.
func (c *Conn) ReceiveInto(ctx context.Context, buf []byte) (int, error) {
	if k := c.core.Load(); k != nil {
		if n, ok := k.in.receiveInline(buf); ok && !k.room.Closed() {
			runtime.KeepAlive(k)
			return n, nil
		}
	}
	return c.receiveSlow(ctx, buf)
}

// receiveSlow is ReceiveInto after the fast way has failed. Most often that is because there is no
// message yet, so it takes the fast way again when there is one: a round trip is shorter by that.
func (c *Conn) receiveSlow(ctx context.Context, buf []byte) (int, error) {
	k := c.core.Load()
	if k == nil {
		return 0, connClosed("ReceiveInto")
	}
	if k.spinForMessage() {
		if n, ok := k.in.receiveInline(buf); ok && !k.room.Closed() {
			runtime.KeepAlive(k)
			return n, nil
		}
	}
	_, n, err := c.receive(ctx, k, intoBuffer, buf)
	if err != nil {
		err = k.fails.of("ReceiveInto", err)
		if !errors.Is(err, io.ErrShortBuffer) {
			n = 0
		}
	}
	runtime.KeepAlive(k)
	return n, err
}

// TryReceive is like Receive but never blocks. It also fails with ErrEmpty, with ErrBusy if another
// goroutine or process is receiving at the moment, and with ErrTooLarge if the message was too long
// for the ring and comes in pieces.
func (c *Conn) TryReceive() ([]byte, error) {
	k := c.core.Load()
	if k == nil {
		return nil, connClosed("TryReceive")
	}
	msg, _, err := k.tryReceive(intoNew, nil)
	if err != nil {
		return nil, k.fails.of("TryReceive", orBusy(k.orEOF(err)))
	}
	runtime.KeepAlive(c)
	return msg, nil
}

// Receive is like ReceiveInto but returns the message in new memory. It also fails with ErrTooLarge
// if the message is longer than the limit of SetMaxMessage.
func (c *Conn) Receive(ctx context.Context) ([]byte, error) {
	k := c.core.Load()
	if k == nil {
		return nil, connClosed("Receive")
	}
	msg, _, err := c.receive(ctx, k, intoNew, nil)
	if err != nil {
		return nil, k.fails.of("Receive", err)
	}
	runtime.KeepAlive(k)
	return msg, nil
}

// Skip throws the oldest message away and returns its length. It blocks and fails as ReceiveInto
// does, but for io.ErrShortBuffer.
func (c *Conn) Skip(ctx context.Context) (int, error) {
	k := c.core.Load()
	if k == nil {
		return 0, connClosed("Skip")
	}
	_, n, err := c.receive(ctx, k, nowhere, nil)
	if err != nil {
		return 0, k.fails.of("Skip", err)
	}
	runtime.KeepAlive(k)
	return n, nil
}

// SetMaxMessage sets the length in bytes of the longest message that Receive and TryReceive of this
// Conn accept. For a longer one they fail with ErrTooLarge, and the message stays: ReceiveInto or
// Skip can take it. n <= 0 means no limit, as at first. SetMaxMessage does nothing after Close.
func (c *Conn) SetMaxMessage(n int) {
	if n <= 0 {
		n = maxLength
	}
	if k := c.core.Load(); k != nil {
		k.maxMessage.Store(uint64(n))
	}
}

// Poll blocks until there is a message to receive, or the end of the messages, and then returns
// nil. It receives nothing. It fails with ctx's error when ctx is done (it tries once even if ctx
// is done already), or with ErrClosed.
//
// If other goroutines or processes receive from this end, they may take the message before the
// caller does. A message that comes in pieces, because it is too long for the ring, counts as there
// with its first piece. If its sender then gives it up or dies, there is no message.
func (c *Conn) Poll(ctx context.Context) error {
	k := c.core.Load()
	if k == nil {
		return connClosed("Poll")
	}
	v, err := c.awaitFront(ctx, k, false)
	err = k.polled("Poll", v, err)
	runtime.KeepAlive(c)
	return err
}

// TryPoll is like Poll but never blocks. It also fails with ErrEmpty if there is no message, and
// with ErrBusy if another goroutine or process is receiving at the moment.
func (c *Conn) TryPoll() error {
	k := c.core.Load()
	if k == nil {
		return connClosed("TryPoll")
	}
	v, err := k.front(tryOnce)
	err = k.polled("TryPoll", v, orBusy(k.orEOF(err)))
	runtime.KeepAlive(c)
	return err
}

// Handle returns the handle of this end, or the zero Handle if the Conn is closed.
func (c *Conn) Handle() shm.Handle {
	k := c.core.Load()
	if k == nil {
		return shm.Handle{}
	}
	return k.o.Handle(int(k.end))
}

// Stats returns the statistics of the pipe, both directions and ends together, by all processes: see
// shm.Stats. It does not block, and fails with ErrClosed.
func (c *Conn) Stats() (shm.Stats, error) {
	k := c.core.Load()
	if k == nil {
		return shm.Stats{}, connClosed("Stats")
	}
	s, err := object.Stats(k.o)
	return s, k.fails.of("Stats", err)
}

// MarshalText encodes the end's handle. The process that decodes it holds the end from then on. A
// child that gets the Conn in its argument holds the end from its start.
func (c *Conn) MarshalText() ([]byte, error) { return c.Handle().MarshalText() }

// UnmarshalText decodes a handle and opens its end.
func (c *Conn) UnmarshalText(text []byte) error { return c.openText(text, duplex, A, B) }

// MarshalBinary is MarshalText.
func (c *Conn) MarshalBinary() ([]byte, error) { return c.MarshalText() }

// UnmarshalBinary is UnmarshalText.
func (c *Conn) UnmarshalBinary(data []byte) error { return c.UnmarshalText(data) }

// Close closes c. Calls that wait through c return ErrClosed. Other Conns of the end are not
// affected. Close may be called more than once.
func (c *Conn) Close() error {
	if k := c.core.Swap(nil); k != nil {
		return k.closeOnce()
	}
	return nil
}

func connClosed(op string) error { return object.Closed("ring: "+op, shm.KindPipe) }
