package ring

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"runtime"
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

// TrySend sends a copy of msg if there is space. It never blocks. It fails with ErrFull, with
// ErrBusy if another goroutine or process is sending at the moment, with ErrTooLarge, ErrBrokenPipe
// or ErrClosed.
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

// Send sends a copy of msg. A message may be empty. Send blocks while the pipe is full. It fails
// with ctx's error when ctx is done (it tries once even if ctx is done already), with ErrTooLarge,
// ErrBrokenPipe or ErrClosed. An error means that msg was not sent. The exception is ErrClosed if
// Close was called during Send: then msg may or may not have been sent.
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
	err := k.send(ctx, msg)
	if err == ErrFull {
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

// TryReceiveInto is like ReceiveInto but never blocks. It also fails with ErrEmpty, and with
// ErrBusy if another goroutine or process is receiving at the moment.
func (c *Conn) TryReceiveInto(buf []byte) (int, error) {
	k := c.core.Load()
	if k == nil {
		return 0, connClosed("TryReceiveInto")
	}
	n, err := k.receive(tryOnce, buf)
	if err != nil {
		err = k.fails.of("TryReceiveInto", orBusy(k.orEOF(err)))
	}
	runtime.KeepAlive(c)
	return n, err
}

// ReceiveInto receives the oldest message into buf and returns its length. It blocks while there is
// no message. It fails with ctx's error when ctx is done (it tries once even if ctx is done
// already), with io.EOF at the end of the messages, or with ErrClosed. If the message is longer
// than buf, it returns the message's length and io.ErrShortBuffer, and the message stays in the
// pipe.
func (c *Conn) ReceiveInto(ctx context.Context, buf []byte) (int, error) {
	if k := c.core.Load(); k != nil {
		if n, ok := k.in.receiveInline(buf); ok && !k.room.Closed() {
			runtime.KeepAlive(k)
			return n, nil
		}
	}
	return c.receiveSlow(ctx, buf)
}

// receiveSlow is ReceiveInto without the fast way.
func (c *Conn) receiveSlow(ctx context.Context, buf []byte) (int, error) {
	k := c.core.Load()
	if k == nil {
		return 0, connClosed("ReceiveInto")
	}
	n, err := k.receive(ctx, buf)
	if err == ErrEmpty {
		n, err = c.receiveIntoWait(ctx, k, buf)
	}
	if err != nil {
		err = k.fails.of("ReceiveInto", err)
	}
	runtime.KeepAlive(k)
	return n, err
}

// receiveIntoWait is ReceiveInto after a try that failed with ErrEmpty.
func (c *Conn) receiveIntoWait(ctx context.Context, k *connCore, buf []byte) (int, error) {
	if k.spinForMessage() {
		if n, err := k.receive(ctx, buf); err != ErrEmpty {
			return n, err
		}
	}
	var n int
	err := c.awaitMessage(ctx, k, func() (err error) {
		n, err = k.receive(ctx, buf)
		return err
	})
	return n, err
}

// TryReceive is like Receive but never blocks. It also fails with ErrEmpty, and with ErrBusy if
// another goroutine or process is receiving at the moment.
func (c *Conn) TryReceive() ([]byte, error) {
	k := c.core.Load()
	if k == nil {
		return nil, connClosed("TryReceive")
	}
	msg, err := k.receiveNew(tryOnce)
	if err != nil {
		err = k.fails.of("TryReceive", orBusy(k.orEOF(err)))
	}
	runtime.KeepAlive(c)
	return msg, err
}

// Receive is like ReceiveInto but returns the message in new memory.
func (c *Conn) Receive(ctx context.Context) ([]byte, error) {
	k := c.core.Load()
	if k == nil {
		return nil, connClosed("Receive")
	}
	msg, err := k.receiveNew(ctx)
	if err == ErrEmpty {
		msg, err = c.receiveNewWait(ctx, k)
	}
	if err != nil {
		err = k.fails.of("Receive", err)
	}
	runtime.KeepAlive(k)
	return msg, err
}

// receiveNewWait is Receive after a try that failed with ErrEmpty.
func (c *Conn) receiveNewWait(ctx context.Context, k *connCore) ([]byte, error) {
	if k.spinForMessage() {
		if msg, err := k.receiveNew(ctx); err != ErrEmpty {
			return msg, err
		}
	}
	var msg []byte
	err := c.awaitMessage(ctx, k, func() (err error) {
		msg, err = k.receiveNew(ctx)
		return err
	})
	return msg, err
}

// Handle returns the handle of this end, or the zero Handle if the Conn is closed.
func (c *Conn) Handle() shm.Handle {
	k := c.core.Load()
	if k == nil {
		return shm.Handle{}
	}
	return k.o.Handle(int(k.end))
}

// MarshalText encodes the end's handle. The process that decodes it holds the end from then on. A
// child that gets the Conn in its argument holds the end from its start.
func (c *Conn) MarshalText() ([]byte, error) { return c.Handle().MarshalText() }

// UnmarshalText decodes a handle and opens its end.
func (c *Conn) UnmarshalText(text []byte) error {
	var h shm.Handle
	if err := h.UnmarshalText(text); err != nil {
		return err
	}
	end := End(h.Role)
	if end != A && end != B {
		return fmt.Errorf("ring: open pipe: %w: a pipe has no end %d", shm.ErrHandle, h.Role)
	}
	o, err := object.OpenHandle(h, shm.KindPipe, pipePrint)
	if err != nil {
		return err
	}
	k, err := newConnCore(o, end)
	if err = o.UnlessClosed(err); err != nil {
		return errors.Join(err, o.Close())
	}
	c.use(k)
	return nil
}

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
