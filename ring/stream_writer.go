package ring

import (
	"context"
	"io"
	"sync"
)

// A StreamWriter sends bytes as messages, for code that takes an io.Writer. A Write becomes one
// message, or several if it is longer than an eighth of the ring. A Write of no bytes sends
// nothing.
//
// All methods may be called from several goroutines at once. Each call waits for the one before, so
// the bytes of one Write stay together, unless other processes or a Conn send by the same end.
type StreamWriter struct {
	ctx context.Context
	c   *Conn
	mu  sync.Mutex
}

var _ io.Writer = (*StreamWriter)(nil)

// StreamWriter returns a writer that sends by c. Its Write blocks while the pipe is full, and fails
// as Send does. ctx is the context of all calls of Write.
func (c *Conn) StreamWriter(ctx context.Context) *StreamWriter {
	return &StreamWriter{ctx: ctx, c: c}
}

// StreamWriter returns a writer that sends by w: see Conn.StreamWriter.
func (w *WriteEnd) StreamWriter(ctx context.Context) *StreamWriter { return w.conn.StreamWriter(ctx) }

// Write sends p. It blocks until all messages are in the pipe. If it fails, it returns how many
// bytes it has sent.
func (s *StreamWriter) Write(p []byte) (int, error) { return s.WriteContext(s.ctx, p) }

// WriteContext is Write with a context for this call.
func (s *StreamWriter) WriteContext(ctx context.Context, p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := s.c.pieceLimit()
	for n < len(p) {
		part := p[n:min(len(p), n+limit)]
		if err := s.c.Send(ctx, part); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

// pieceLimit returns how long the messages of a stream may be, so that both sides work at once.
func (c *Conn) pieceLimit() int {
	if k := c.core.Load(); k != nil {
		return int(k.out.pieceLimit)
	}
	return piece // Send will fail
}
