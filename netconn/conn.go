// Package netconn makes a net.Conn of an end of a pipe, for code that was written for sockets:
// net/rpc, net/http, gRPC, a database driver.
//
//	a, b, err := mp.NewPipe()
//	// The parent serves, and a child that has b in its argument calls.
//	go rpc.ServeConn(netconn.New(a))
//
// Bytes go through shared memory. As with a socket, boundaries of writes are lost, reads and writes
// have deadlines, and a Read returns io.EOF when the other end was closed or its last holder has
// died, once all bytes are read.
package netconn

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/seed-2e7ecdea/mp/ring"
)

// A Conn is an end of a pipe as a net.Conn. All methods may be called from several goroutines at
// once.
//
// Every error except io.EOF is a *net.OpError. It wraps os.ErrDeadlineExceeded after a deadline has
// passed, net.ErrClosed after Close, and syscall.EPIPE if Write finds that no process holds the
// other end.
type Conn struct {
	c      *ring.Conn
	in     *ring.StreamReader
	out    *ring.StreamWriter
	addr   Addr
	closed atomic.Bool

	readDeadline, writeDeadline deadline
}

var _ net.Conn = (*Conn)(nil)

// New returns a net.Conn that reads and writes through c. To close it closes c. The program should
// not also use c directly: the bytes of both uses would be mixed.
func New(c *ring.Conn) *Conn {
	ctx := context.Background()
	text, _ := c.MarshalText() // fails only if c is closed
	return &Conn{c: c, in: c.StreamReader(ctx), out: c.StreamWriter(ctx), addr: Addr(text)}
}

// Read reads up to len(p) bytes. It blocks until there is at least one, the other end is closed,
// the read deadline passes, or c is closed.
func (c *Conn) Read(p []byte) (int, error) {
	ctx := c.readDeadline.context()
	if err := c.check(ctx, "read"); err != nil {
		return 0, err
	}
	n, err := c.in.ReadContext(ctx, p)
	return n, c.failed("read", err)
}

// Write writes p. It blocks until all of it is in the pipe, the other end is closed, the write
// deadline passes, or c is closed. If it fails, it returns how many bytes were written.
func (c *Conn) Write(p []byte) (int, error) {
	ctx := c.writeDeadline.context()
	if err := c.check(ctx, "write"); err != nil {
		return 0, err
	}
	n, err := c.out.WriteContext(ctx, p)
	return n, c.failed("write", err)
}

// Close closes c and its end of the pipe. Blocked calls of Read and Write return. Bytes that were
// written can still be read at the other end.
func (c *Conn) Close() error {
	if !c.closed.CompareAndSwap(false, true) {
		return c.failed("close", net.ErrClosed)
	}
	err := c.failed("close", c.c.Close())
	c.readDeadline.stop() // a timer would keep the memory of the pipe
	c.writeDeadline.stop()
	return err
}

// LocalAddr returns the address of the end, which only names it: a program can't dial it.
func (c *Conn) LocalAddr() net.Addr { return c.addr }

// RemoteAddr returns the same as LocalAddr.
func (c *Conn) RemoteAddr() net.Addr { return c.addr }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline sets when calls of Read fail, those that block already included. The zero time
// means never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.set(&c.readDeadline, t) }

// SetWriteDeadline sets when calls of Write fail, those that block already included. The zero time
// means never.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.set(&c.writeDeadline, t) }

func (c *Conn) set(d *deadline, t time.Time) error {
	if c.closed.Load() {
		return c.failed("set", net.ErrClosed)
	}
	d.set(t)
	return nil
}

// check returns the error of an operation that need not begin.
func (c *Conn) check(ctx context.Context, op string) error {
	if c.closed.Load() {
		return c.failed(op, net.ErrClosed)
	}
	return c.failed(op, ctx.Err())
}

// failed returns the error of an operation that failed with err.
func (c *Conn) failed(op string, err error) error {
	switch {
	case err == nil, err == io.EOF:
		return err
	case errors.Is(err, context.Canceled):
		err = os.ErrDeadlineExceeded
	case errors.Is(err, ring.ErrClosed):
		err = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: c.addr.Network(), Source: c.addr, Addr: c.addr, Err: err}
}

// An Addr names an end of a pipe.
type Addr string

// Network returns "mp".
func (Addr) Network() string { return "mp" }

// String returns the handle of the end.
func (a Addr) String() string { return string(a) }
