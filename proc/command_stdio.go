package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sync"
	"syscall"
	"time"
)

// A stdio is the standard files of a program, and the goroutines that copy them.
type stdio struct {
	theirs  []*os.File // the program's descriptors 0 to 2
	close   []*os.File // of these, the ones to close in this process after the start
	outputs []*os.File // the ends from which this process reads
	input   *os.File   // the end to which it writes
	drains  []func() error
	feeder  func() error
	drained chan error // one from each of drains
	fed     chan error // one from feeder
}

// drainTime is how long the output of a program is read after its end. A process that has left the
// program's group may hold its output open for ever.
const drainTime = time.Second

func newStdio(c *Cmd) (s *stdio, err error) {
	s = new(stdio)
	defer func() {
		if err != nil {
			s.closeTheirs()
			s.abandon()
		}
	}()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return s, err
	}
	s.close = append(s.close, null)
	switch in := c.Stdin.(type) {
	case nil:
		s.theirs = append(s.theirs, null)
	case *os.File:
		s.theirs = append(s.theirs, in)
	default:
		if err := s.feed(in); err != nil {
			return s, err
		}
	}
	stderr := c.Stderr
	for i, w := range []struct {
		to    io.Writer
		usual *os.File
	}{{c.Stdout, os.Stdout}, {stderr, os.Stderr}} {
		switch to := w.to.(type) {
		case nil:
			if isClosed(w.usual) {
				w.usual = null
			}
			s.theirs = append(s.theirs, w.usual)
		case *os.File:
			s.theirs = append(s.theirs, to)
		default:
			if i == 1 && sameWriter(c.Stdout, to) {
				s.theirs = append(s.theirs, s.theirs[1])
			} else if err := s.drain(to); err != nil {
				return s, err
			}
		}
	}
	for i, f := range s.theirs {
		if isClosed(f) {
			return s, fmt.Errorf("%s: %w", []string{"Stdin", "Stdout", "Stderr"}[i], os.ErrClosed)
		}
	}
	return s, nil
}

// sameWriter reports whether a and b are the same Writer.
func sameWriter(a, b io.Writer) bool {
	return a != nil && reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

// feed makes the program's standard input a pipe to which in is copied.
func (s *stdio) feed(in io.Reader) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.theirs, s.close, s.input = append(s.theirs, r), append(s.close, r), w
	s.feeder = func() error {
		_, err := io.Copy(w, in)
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil // the program need not read all
		}
		return errors.Join(err, w.Close())
	}
	return nil
}

// drain makes the program's next standard file a pipe that is copied to out.
func (s *stdio) drain(out io.Writer) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.theirs, s.close, s.outputs = append(s.theirs, w), append(s.close, w), append(s.outputs, r)
	s.drains = append(s.drains, func() error {
		_, err := io.Copy(out, r)
		if err != nil {
			_, _ = io.Copy(io.Discard, r) // the program must not block
		}
		return errors.Join(err, r.Close())
	})
	return nil
}

// closeTheirs closes what only the program uses.
func (s *stdio) closeTheirs() {
	for _, f := range s.close {
		f.Close()
	}
	s.close = nil
}

// abandon closes what this process uses, since no program was started.
func (s *stdio) abandon() {
	for _, f := range s.outputs {
		f.Close()
	}
	if s.input != nil {
		s.input.Close()
	}
}

// copy starts the goroutines.
func (s *stdio) copy() {
	s.drained, s.fed = make(chan error, len(s.drains)), make(chan error, 1)
	for _, f := range s.drains {
		go func() { s.drained <- f() }()
	}
	if s.feeder != nil {
		go func() { s.fed <- s.feeder() }()
	}
}

// await waits until everything that the program has written is copied, for drainTime after its end.
// It does not wait for a Reader that blocks: the goroutine ends when the Reader returns.
func (s *stdio) await() error {
	for _, f := range s.outputs {
		_ = f.SetReadDeadline(time.Now().Add(drainTime)) // a pipe takes deadlines
	}
	if s.input != nil {
		_ = s.input.SetWriteDeadline(time.Now())
	}
	var errs []error
	for range s.drains {
		errs = append(errs, <-s.drained)
	}
	err := errors.Join(errs...)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("a process that it has started held its output open, which was read for %v: %w", drainTime, err)
	}
	select {
	case fed := <-s.fed:
		err = errors.Join(fed, err)
	default:
	}
	return err
}

// A lockedBuffer is a bytes.Buffer that may still be written to while it is read.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.b.Bytes())
}
