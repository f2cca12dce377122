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
	"syscall"
	"time"

	"github.com/seed-2e7ecdea/mp/ring"
)

// A frame is a header and a message. The header is the message's length in 4 bytes, little-endian, its kind,
// and the number of files that come with the header.
const (
	headerSize = 6
	together   = 64 << 10 // a message up to this length is written together with its header
	step       = 1 << 20  // the memory for a message grows at most by this before its bytes are there
)

// The kinds of frames.
const (
	kindMessage = iota
	kindOffer   // of memory, see Upgrade; it has one file
	kindTaken   // the answer to it
)

// A Conn is one end of an authenticated connection. Each direction keeps the order of its messages. All
// methods may be called from several goroutines at once: they take turns.
//
// Unlike those of a ring.Conn, its methods do not try once if ctx is done already, and a message whose Send
// returned nil may be lost if the other process dies or the network fails before it is received.
type Conn struct {
	c         net.Conn
	socket    *socket // below c
	offers    bool    // this end makes the memory of Upgrade
	max       atomic.Int64
	closed    atomic.Bool
	sending   chan struct{} // holds an element while a goroutine sends
	finishing atomic.Bool   // that goroutine, or the last one, sends the rest of a message of TrySend

	receiving chan struct{} // holds an element while a goroutine receives; it owns what follows
	in        *bufio.Reader
	header    bool       // that of the oldest message has been read
	kind      byte       // of that message
	length    int        // of that message
	message   []byte     // what has been read of it
	skipping  int        // bytes of the message before it that are to be thrown away
	files     []*os.File // of the oldest message

	sent, received counter
}

// A counter counts messages and their bytes.
type counter struct{ messages, bytes atomic.Uint64 }

func (c *counter) count(n int) {
	c.messages.Add(1)
	c.bytes.Add(uint64(n))
}

// newConn returns a Conn whose handshake is over.
func newConn(s *session, limit int, offers bool) *Conn {
	n := &Conn{
		c: s.conn, socket: s.socket, offers: offers, sending: make(chan struct{}, 1), receiving: make(chan struct{}, 1),
		in: bufio.NewReaderSize(s.conn, 16<<10),
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
// there are messages that c has not received. Files that came with them are closed. Close may be called more
// than once.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	err := c.c.Close()
	c.receiving <- struct{}{} // the others fail, since the socket is closed
	c.dropFiles()
	<-c.receiving
	return c.failed("close", err)
}

// ruin closes c after an error by which the two sides lost count. Its goroutine receives.
func (c *Conn) ruin(err error) error {
	if !c.closed.Swap(true) {
		c.c.Close()
	}
	c.dropFiles()
	return &ruined{err}
}

// A ruined is an error for which a method has closed its Conn.
type ruined struct{ error }

func (r *ruined) Unwrap() error { return r.error }

// Send sends msg, which may be empty. It blocks while the socket's buffer is full. It fails with
// ctx's error when ctx is done, with ErrTooLarge, with ErrClosed, or with the socket's error, such as
// syscall.EPIPE if the other end was closed. If it fails after a part of the message was
// written, it closes c, and the other end receives io.ErrUnexpectedEOF. Over TLS, it also closes c if ctx ends
// while it writes.
func (c *Conn) Send(ctx context.Context, msg []byte) error {
	return c.failed("send", c.send(ctx, kindMessage, msg, nil))
}

// send sends a frame.
func (c *Conn) send(ctx context.Context, kind byte, msg []byte, files []*os.File) error {
	if uint64(len(msg)) > math.MaxUint32 {
		return ErrTooLarge
	}
	release, err := c.begin(ctx, c.sending, c.c.SetWriteDeadline)
	if err != nil {
		return err
	}
	c.finishing.Store(false)
	n, err := c.write(kind, msg, files)
	if err = release(err); err != nil && (n > 0 || c.isTLS()) { // a session whose write has failed can't go on
		c.Close()
	}
	return err
}

// isTLS reports whether c uses TLS.
func (c *Conn) isTLS() bool { return c.c != net.Conn(c.socket) }

// write writes a frame, and returns how many of its bytes were written.
func (c *Conn) write(kind byte, msg []byte, files []*os.File) (int, error) {
	header := appendHeader(make([]byte, 0, headerSize+min(len(msg), together)), kind, len(msg), len(files))
	done := 0
	if len(files) > 0 {
		var err error
		if done, err = c.socket.writeFiles(header, files); err != nil {
			return done, err
		}
		header = header[done:]
	}
	parts := [][]byte{header, msg}
	if len(msg) <= together {
		parts = [][]byte{append(header, msg...)}
	}
	for _, part := range parts {
		if len(part) == 0 { // writing nothing fails if the other end has received all and closed
			continue
		}
		n, err := c.c.Write(part)
		if done += n; err != nil {
			return done, err
		}
	}
	c.sent.count(len(msg))
	return done, nil
}

// appendHeader appends a header to dst.
func appendHeader(dst []byte, kind byte, length, files int) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(length)), kind, byte(files))
}

// TrySend sends a copy of msg. It never blocks. It fails with ring.ErrFull while the socket's buffer is full,
// with ring.ErrBusy if another goroutine is sending at the moment, with ErrTooLarge, with ErrClosed, with the
// socket's error, and with errors.ErrUnsupported on systems other than Linux. If there is space for the beginning of
// msg only, or over TLS, a goroutine sends the rest, and further calls of TrySend fail with ring.ErrFull until
// it has. If Close comes before that, the other end receives io.ErrUnexpectedEOF.
func (c *Conn) TrySend(msg []byte) error { return c.failed("send", c.trySend(msg)) }

func (c *Conn) trySend(msg []byte) error {
	if uint64(len(msg)) > math.MaxUint32 {
		return ErrTooLarge
	}
	if err := c.tryTurn(c.sending); err == ring.ErrBusy && c.finishing.Load() {
		return ring.ErrFull
	} else if err != nil {
		return err
	}
	c.finishing.Store(false)
	rest := append(appendHeader(make([]byte, 0, headerSize+len(msg)), kindMessage, len(msg), 0), msg...)
	if !c.isTLS() {
		n, err := c.socket.tryWrite(rest)
		if rest = rest[n:]; err != nil || len(rest) == 0 {
			if err == nil {
				c.sent.count(len(msg))
			}
			<-c.sending
			return c.tried(err, ring.ErrFull)
		}
	}
	c.sent.count(len(msg))
	c.finishing.Store(true)
	go func() {
		_, err := c.c.Write(rest)
		<-c.sending
		if err != nil {
			c.Close() // the next call finds it closed
		}
	}()
	return nil
}

// tried returns the error of a method that never blocks: none says that the socket was not ready.
func (c *Conn) tried(err, none error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return none
	case err != nil && c.closed.Load():
		return c.orClosed(err)
	}
	return err
}

// Receive receives the oldest message in new memory. It blocks while there is none. It fails with ctx's error
// when ctx is done, with ErrTooLarge, with io.EOF after the last message if the other end was closed
// or its process died, with io.ErrUnexpectedEOF if that was inside a message, with ErrClosed, or
// with the socket's error. That is syscall.ECONNRESET if the other end of a TCP connection ended before it had
// received all that this one has sent. If ctx ends, no byte is lost: the next call goes on.
//
// If files come with the message, Receive closes them. It fails with ErrUpgrade if the other end is in Upgrade,
// and with ErrProtocol, and closes c, if the other end breaks the protocol.
func (c *Conn) Receive(ctx context.Context) ([]byte, error) {
	msg, files, err := c.receive(ctx, kindMessage)
	closeAll(files)
	return msg, c.failed("receive", err)
}

// receive receives the oldest message, which must be of that kind, and its files.
func (c *Conn) receive(ctx context.Context, kind byte) (msg []byte, files []*os.File, err error) {
	err = c.receiveBy(ctx, func() (err error) {
		msg, files, err = c.whole(kind)
		return err
	})
	return msg, files, err
}

// receiveBy calls f, which reads messages, in this goroutine's turn to receive.
func (c *Conn) receiveBy(ctx context.Context, f func() error) error {
	release, err := c.begin(ctx, c.receiving, c.c.SetReadDeadline)
	if err != nil {
		return err
	}
	return release(f())
}

// tryBy is receiveBy, but never blocks: it fails with ring.ErrBusy or ring.ErrEmpty.
func (c *Conn) tryBy(f func() error) error {
	if err := c.tryTurn(c.receiving); err != nil {
		return err
	}
	c.socket.try = true
	err := f()
	c.socket.try = false
	<-c.receiving
	return c.tried(err, ring.ErrEmpty)
}

// tryTurn takes a turn, which the caller ends. It fails with ring.ErrBusy if another goroutine has it, and
// with ErrClosed.
func (c *Conn) tryTurn(turn chan struct{}) error {
	if c.closed.Load() {
		return ErrClosed
	}
	select {
	case turn <- struct{}{}:
	default:
		return ring.ErrBusy
	}
	if c.closed.Load() { // then Close closes files only once
		<-turn
		return ErrClosed
	}
	return nil
}

// TryReceive is like Receive but never blocks. It also fails with ring.ErrEmpty if no whole message is there, with
// ring.ErrBusy if another goroutine is receiving at the moment, and with errors.ErrUnsupported on systems
// other than Linux.
func (c *Conn) TryReceive() (msg []byte, err error) {
	err = c.tryBy(func() (err error) {
		var files []*os.File
		msg, files, err = c.whole(kindMessage)
		closeAll(files)
		return err
	})
	return msg, c.failed("receive", err)
}

// whole reads the oldest message, which must be of that kind, and takes it and its files.
func (c *Conn) whole(kind byte) ([]byte, []*os.File, error) {
	if err := c.read(kind); err != nil {
		return nil, nil, err
	}
	msg, files, err := c.take()
	if err != nil {
		closeAll(files)
		return nil, nil, err
	}
	c.received.count(len(msg))
	return msg, files, nil
}

// take takes the message that was read, and its files.
func (c *Conn) take() ([]byte, []*os.File, error) {
	msg, files := c.message, c.files
	c.message, c.files, c.header = nil, nil, false
	return msg, files, c.checkFiles()
}

// checkFiles ruins c if files have come that belong to no message.
func (c *Conn) checkFiles() error {
	if c.in.Buffered() == 0 && len(c.socket.files) > 0 {
		return c.ruin(fmt.Errorf("files that belong to no message: %w", ErrProtocol))
	}
	return nil
}

// dropFiles closes the files that came with messages that were not received.
func (c *Conn) dropFiles() {
	closeAll(c.files)
	closeAll(c.socket.files)
	c.files, c.socket.files = nil, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// ReceiveInto is like Receive, but copies the message into buf and returns its length. If the message
// is longer than buf, it returns the message's length and io.ErrShortBuffer, and the message stays.
func (c *Conn) ReceiveInto(ctx context.Context, buf []byte) (n int, err error) {
	err = c.receiveBy(ctx, func() (err error) {
		n, err = c.copyTo(buf)
		return err
	})
	return n, c.failed("receive", err)
}

// TryReceiveInto is like ReceiveInto, but never blocks: see TryReceive.
func (c *Conn) TryReceiveInto(buf []byte) (n int, err error) {
	err = c.tryBy(func() (err error) {
		n, err = c.copyTo(buf)
		return err
	})
	return n, c.failed("receive", err)
}

func (c *Conn) copyTo(buf []byte) (int, error) {
	if err := c.read(kindMessage); err != nil {
		return 0, err
	}
	if c.length > len(buf) {
		return c.length, io.ErrShortBuffer
	}
	copy(buf, c.message)
	msg, files, err := c.take()
	closeAll(files)
	if err != nil {
		return 0, err
	}
	c.received.count(len(msg))
	return len(msg), nil
}

// Skip throws the oldest message away and returns its length, which may be beyond the limit of SetMaxMessage.
// It closes files that come with the message. It blocks and fails as Receive does, but not with ErrTooLarge. Once
// the beginning of a message is there, that message is thrown away even if Skip then fails with ctx's error.
func (c *Conn) Skip(ctx context.Context) (n int, err error) {
	err = c.receiveBy(ctx, func() (err error) {
		n, err = c.skip()
		return err
	})
	return n, c.failed("skip", err)
}

func (c *Conn) skip() (int, error) {
	if err := c.readHeader(); err != nil {
		return 0, err
	}
	if c.kind != kindMessage {
		return 0, c.unexpected(kindMessage)
	}
	n := c.length
	c.skipping = n - len(c.message)
	_, files, err := c.take()
	closeAll(files)
	if err == nil {
		err = c.discard()
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

// discard throws away what is left of a message that was skipped.
func (c *Conn) discard() error {
	if c.skipping == 0 {
		return nil
	}
	n, err := c.in.Discard(c.skipping)
	if c.skipping -= n; err != nil {
		return c.cut(err)
	}
	return c.checkFiles()
}

// cut returns the error of a read inside a message.
func (c *Conn) cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	if errors.Is(err, ErrProtocol) {
		return c.ruin(err)
	}
	return err
}

// Poll blocks until the first bytes of a message are there, or the end of the messages, and then returns
// nil. It receives nothing. It fails with ctx's error when ctx is done, or with ErrClosed.
func (c *Conn) Poll(ctx context.Context) error {
	return c.failed("poll", polled(c.receiveBy(ctx, c.readHeader)))
}

// TryPoll is like Poll but never blocks. It also fails with ring.ErrEmpty if there is no message, with
// ring.ErrBusy if another goroutine is receiving at the moment, and with errors.ErrUnsupported on systems
// other than Linux.
func (c *Conn) TryPoll() error { return c.failed("poll", polled(c.tryBy(c.readHeader))) }

// Stats returns how many messages, and bytes in them, this end has sent and received. Messages of Upgrade count;
// those that were skipped do not.
func (c *Conn) Stats() Stats {
	return Stats{
		Sent: c.sent.messages.Load(), SentBytes: c.sent.bytes.Load(),
		Received: c.received.messages.Load(), ReceivedBytes: c.received.bytes.Load(),
	}
}

// Stats are statistics of one end of a connection.
type Stats struct{ Sent, SentBytes, Received, ReceivedBytes uint64 }

// polled returns the error of a poll that has read with that result.
func polled(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// readHeader reads the header of the oldest message unless it has been read.
func (c *Conn) readHeader() error {
	if err := c.discard(); err != nil || c.header {
		return err
	}
	header, err := c.in.Peek(headerSize)
	if errors.Is(err, ErrProtocol) {
		return c.ruin(err)
	}
	if err != nil {
		if err == io.EOF && len(header) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	length, kind, files := uint64(binary.LittleEndian.Uint32(header)), header[4], int(header[5])
	if length > math.MaxInt {
		return ErrTooLarge
	}
	if kind > kindTaken || kind == kindTaken && files > 0 || kind == kindOffer && files != 1 {
		return c.ruin(fmt.Errorf("a frame of kind %d with %d files: %w", kind, files, ErrProtocol))
	}
	if files > len(c.socket.files) {
		if c.socket.dropped {
			return c.ruin(fmt.Errorf("%d files come, and this process has no more descriptors: %w", files, syscall.EMFILE))
		}
		return c.ruin(fmt.Errorf("a message comes without its %d files: %w", files, ErrProtocol))
	}
	c.in.Discard(headerSize)
	c.header, c.kind, c.length = true, kind, int(length)
	c.files, c.socket.files = c.socket.files[:files:files], c.socket.files[files:]
	return c.checkFiles()
}

// read reads the rest of the oldest message, which must be of that kind.
func (c *Conn) read(kind byte) error {
	if err := c.readHeader(); err != nil {
		return err
	}
	if c.kind != kind {
		return c.unexpected(kind)
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
		if err != nil {
			return c.cut(err)
		}
	}
	return nil
}

// unexpected returns the error for a message that is not of the kind that the caller wants.
func (c *Conn) unexpected(kind byte) error {
	switch {
	case c.kind == kindOffer && kind == kindMessage:
		return ErrUpgrade
	case c.kind == kindMessage:
		return ErrMessage
	default:
		return c.ruin(fmt.Errorf("a frame of kind %d, want %d: %w", c.kind, kind, ErrProtocol))
	}
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
	if c.closed.Load() { // then Close closes files only once
		<-turn
		return nil, ErrClosed
	}
	unset := func() {}
	if ctx.Done() != nil {
		stopped := make(chan struct{})
		undo := context.AfterFunc(ctx, func() {
			set(time.Unix(1, 0)) // fails only if c is closed
			close(stopped)
		})
		unset = func() {
			if !undo() {
				<-stopped
				set(time.Time{})
			}
		}
	}
	return func(err error) error {
		unset()
		<-turn
		switch {
		case err == nil:
		case c.closed.Load():
			err = c.orClosed(err)
		case ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded):
			err = ctx.Err()
		}
		return err
	}, nil
}

// orClosed returns the error of an operation on c, which is closed: err if that is the reason, or ErrClosed.
func (c *Conn) orClosed(err error) error {
	if r := (*ruined)(nil); errors.As(err, &r) {
		return r.error
	}
	return ErrClosed
}

func (c *Conn) failed(op string, err error) error {
	if err == io.EOF {
		return err
	}
	return failed(op, c.c.LocalAddr().Network(), c.c.LocalAddr().String(), err)
}
