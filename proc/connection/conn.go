package connection

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"sync/atomic"
	"time"
)

const (
	headerSize = 4        // the length of the message, little-endian
	together   = 64 << 10 // a message up to this length is written together with its header
	step       = 1 << 20  // the memory for a message grows at most by this before its bytes are there
)

// A Conn is one end of an authenticated connection. Each direction keeps the order of its messages. All
// methods may be called from several goroutines at once: they take turns.
//
// Unlike those of a ring.Conn, its methods do not try once if ctx is done already, and a message whose Send
// returned nil may be lost if the other process dies or the network fails before it is received.
type Conn struct {
	c       net.Conn
	max     atomic.Int64
	closed  atomic.Bool
	sending chan struct{} // holds an element while a goroutine sends

	receiving chan struct{} // holds an element while a goroutine receives; it owns what follows
	in        *bufio.Reader
	message   []byte // what has been read of the message whose header has been read
	length    int    // of that message; -1: no header has been read
}

func newConn(c net.Conn, limit int) *Conn {
	n := &Conn{
		c: c, sending: make(chan struct{}, 1), receiving: make(chan struct{}, 1),
		in: bufio.NewReaderSize(c, 16<<10), length: -1,
	}
	n.SetMaxMessage(limit)
	return n
}

// LocalAddr returns the address of this end.
func (c *Conn) LocalAddr() net.Addr { return c.c.LocalAddr() }

// RemoteAddr returns the address of the other end. That of a client of a Unix socket is empty.
func (c *Conn) RemoteAddr() net.Addr { return c.c.RemoteAddr() }

// SetMaxMessage sets the length in bytes of the longest message that methods of c receive. For a longer
// one they fail with ErrTooLarge, and the message stays. n <= 0 means no limit. At first it is
// Options.MaxMessage. Memory is allocated only as the bytes of a message arrive.
func (c *Conn) SetMaxMessage(n int) { c.max.Store(int64(n)) }

// Close closes c. Calls that wait through c return ErrClosed. Messages that were sent can still be
// received at the other end. Over TCP, those that the other end has not yet read may be lost if
// there are messages that c has not received. Close may be called more than once.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	return c.failed("close", c.c.Close())
}

// Send sends msg, which may be empty. It blocks while the socket's buffer is full. It fails with
// ctx's error when ctx is done, with ErrTooLarge, with ErrClosed, or with the socket's error, such as
// syscall.EPIPE if the other end was closed. If it fails after a part of the message was
// written, it closes c, and the other end receives io.ErrUnexpectedEOF.
func (c *Conn) Send(ctx context.Context, msg []byte) error {
	if uint64(len(msg)) > math.MaxUint32 {
		return c.failed("send", ErrTooLarge)
	}
	release, err := c.begin(ctx, c.sending, c.c.SetWriteDeadline)
	if err != nil {
		return c.failed("send", err)
	}
	n, err := c.write(msg)
	if err = release(err); err != nil && n > 0 {
		c.Close()
	}
	return c.failed("send", err)
}

// write writes a header and msg, and returns how many bytes of both were written.
func (c *Conn) write(msg []byte) (int, error) {
	header := binary.LittleEndian.AppendUint32(make([]byte, 0, headerSize+min(len(msg), together)), uint32(len(msg)))
	if len(msg) <= together {
		return c.c.Write(append(header, msg...))
	}
	parts := net.Buffers{header, msg}
	n, err := parts.WriteTo(c.c)
	return int(n), err
}

// Receive receives the oldest message in new memory. It blocks while there is none. It fails with ctx's error
// when ctx is done, with ErrTooLarge, with io.EOF after the last message if the other end was closed
// or its process died, with io.ErrUnexpectedEOF if that was inside a message, with ErrClosed, or
// with the socket's error. If ctx ends, no byte is lost: the next call goes on.
func (c *Conn) Receive(ctx context.Context) ([]byte, error) {
	release, err := c.begin(ctx, c.receiving, c.c.SetReadDeadline)
	if err != nil {
		return nil, c.failed("receive", err)
	}
	var msg []byte
	if err = c.read(); err == nil {
		msg = c.message
		c.message, c.length = nil, -1
	}
	if err = release(err); err != nil {
		return nil, c.failed("receive", err)
	}
	return msg, nil
}

// ReceiveInto is like Receive, but copies the message into buf and returns its length. If the message
// is longer than buf, it returns the message's length and io.ErrShortBuffer, and the message stays.
func (c *Conn) ReceiveInto(ctx context.Context, buf []byte) (int, error) {
	release, err := c.begin(ctx, c.receiving, c.c.SetReadDeadline)
	if err != nil {
		return 0, c.failed("receive", err)
	}
	n := 0
	if err = c.read(); err == nil {
		if n = c.length; n > len(buf) {
			err = io.ErrShortBuffer
		} else {
			copy(buf, c.message)
			c.message, c.length = nil, -1
		}
	}
	return n, c.failed("receive", release(err))
}

// Poll blocks until the first bytes of a message are there, or the end of the messages, and then returns
// nil. It receives nothing. It fails with ctx's error when ctx is done, or with ErrClosed.
func (c *Conn) Poll(ctx context.Context) error {
	release, err := c.begin(ctx, c.receiving, c.c.SetReadDeadline)
	if err != nil {
		return c.failed("poll", err)
	}
	if err = release(c.readHeader()); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return c.failed("poll", err)
}

// readHeader reads the header of the oldest message unless it has been read.
func (c *Conn) readHeader() error {
	if c.length >= 0 {
		return nil
	}
	header, err := c.in.Peek(headerSize)
	if err != nil {
		if err == io.EOF && len(header) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	length := uint64(binary.LittleEndian.Uint32(header))
	if length > math.MaxInt {
		return ErrTooLarge
	}
	c.in.Discard(headerSize)
	c.length = int(length)
	return nil
}

// read reads the rest of the oldest message.
func (c *Conn) read() error {
	if err := c.readHeader(); err != nil {
		return err
	}
	if limit := c.max.Load(); limit > 0 && int64(c.length) > limit {
		return fmt.Errorf("%d bytes, the limit is %d: %w", c.length, limit, ErrTooLarge)
	}
	if c.message == nil {
		c.message = make([]byte, 0, min(c.length, step))
	}
	for len(c.message) < c.length {
		if len(c.message) == cap(c.message) {
			grown := make([]byte, len(c.message), min(c.length, 2*cap(c.message)))
			copy(grown, c.message)
			c.message = grown
		}
		n, err := c.in.Read(c.message[len(c.message):cap(c.message)])
		c.message = c.message[:len(c.message)+n]
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begin takes a turn, and makes the end of ctx stop the socket's operations by set. release ends the turn and
// tells the error of the turn's operation in terms of c and ctx.
func (c *Conn) begin(ctx context.Context, turn chan struct{}, set func(time.Time) error) (release func(error) error, err error) {
	if c.closed.Load() {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	stopped := make(chan struct{})
	undo := context.AfterFunc(ctx, func() {
		set(time.Unix(1, 0)) // fails only if c is closed
		close(stopped)
	})
	return func(err error) error {
		if !undo() {
			<-stopped
			set(time.Time{})
		}
		<-turn
		switch {
		case err == nil:
		case c.closed.Load():
			err = ErrClosed
		case ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded):
			err = ctx.Err()
		}
		return err
	}, nil
}

func (c *Conn) failed(op string, err error) error {
	if err == io.EOF {
		return err
	}
	return failed(op, c.c.LocalAddr().Network(), c.c.LocalAddr().String(), err)
}
