package ring

import (
	"context"
	"errors"
	"io"
	"sync"
)

// A StreamReader reads the messages of a pipe as one stream of bytes, for code that takes an
// io.Reader. Boundaries of messages are lost, and empty messages are passed. At the end of the
// messages, Read returns io.EOF.
//
// Each message is received whole. What Read has no space for is kept in the StreamReader, for the
// next Read. So several processes that read from one end get whole messages in turns.
//
// All methods may be called from several goroutines at once. Each call waits for the one before.
type StreamReader struct {
	ctx context.Context
	c   *Conn

	mu   sync.Mutex
	buf  []byte // memory for messages that do not fit into the caller's buffer
	rest []byte // received, and not read
}

var (
	_ io.Reader   = (*StreamReader)(nil)
	_ io.WriterTo = (*StreamReader)(nil)
)

// StreamReader returns a reader of the messages that c receives. Its Read blocks until there is a
// message, and fails as ReceiveInto does. ctx is the context of all calls of Read and WriteTo.
func (c *Conn) StreamReader(ctx context.Context) *StreamReader {
	return &StreamReader{ctx: ctx, c: c}
}

// StreamReader returns a reader of the messages that r receives: see Conn.StreamReader.
func (r *ReadEnd) StreamReader(ctx context.Context) *StreamReader { return r.conn.StreamReader(ctx) }

// Read reads up to len(p) bytes. It returns what one message has, and blocks while there is none.
func (s *StreamReader) Read(p []byte) (int, error) { return s.ReadContext(s.ctx, p) }

// ReadContext is Read with a context for this call.
func (s *StreamReader) ReadContext(ctx context.Context, p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 && len(s.rest) == 0 {
		n, err := s.c.ReceiveInto(ctx, p)
		switch {
		case errors.Is(err, io.ErrShortBuffer):
			err = s.fill(ctx, n)
			if err != nil {
				return 0, err
			}
		case err != nil || n > 0:
			return n, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// fill receives the next message, which had n bytes, into the reader's own memory.
func (s *StreamReader) fill(ctx context.Context, n int) (err error) {
	if n > maxStreamBuffer {
		s.rest, err = s.c.Receive(ctx)
		return err
	}
	if n > len(s.buf) {
		s.buf = make([]byte, n)
	}
	n, err = s.c.ReceiveInto(ctx, s.buf)
	if errors.Is(err, io.ErrShortBuffer) {
		return nil // another receiver was faster, and the message after it is longer: look again
	}
	if err == nil {
		s.rest = s.buf[:n]
	}
	return err
}

// maxStreamBuffer is how much memory a StreamReader keeps.
const maxStreamBuffer = 64 << 10

// WriteTo writes all bytes to w, up to the end of the messages. io.Copy calls it. Messages are
// written from the pipe's memory, without a copy. While w.Write is called, no other goroutine or
// process receives from the end. WriteTo fails with the error of w.Write, which may lose a part of
// a message, or as Read does.
func (s *StreamReader) WriteTo(w io.Writer) (written int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		n, err := s.writeNext(w)
		written += int64(n)
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}

// writeNext writes what was received already, or the next message. A message that comes in pieces it
// receives into rest.
func (s *StreamReader) writeNext(w io.Writer) (int, error) {
	if len(s.rest) > 0 {
		n, err := w.Write(s.rest)
		s.rest = s.rest[n:]
		return n, err
	}
	m, err := s.c.ReceiveInPlace(s.ctx)
	if errors.Is(err, ErrTooLarge) {
		s.rest, err = s.c.Receive(s.ctx)
		return 0, err
	}
	if err != nil {
		return 0, err
	}
	n, err := w.Write(m.Bytes())
	return n, errors.Join(err, m.Release())
}
