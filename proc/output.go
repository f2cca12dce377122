package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// An output is a pipe from a child, from which a goroutine copies to a writer.
type output struct {
	r    *os.File
	w    io.Writer
	done chan struct{} // closed when copy has returned
	err  error         // of the writer; set before
}

// mostLeft bounds what is read after the child's end: a program that the child has started may
// print on.
const mostLeft = 1 << 20

// copy copies until the end of the pipe, or until the deadline of r, which finish sets. Then it
// copies what is in the pipe.
func (o *output) copy() {
	defer close(o.done)
	defer o.r.Close() // if the writer has failed, the child is to notice
	buf := make([]byte, 32<<10)
	for {
		n, err := o.r.Read(buf)
		if !o.write(buf[:n]) {
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			o.flush()
			return
		}
	}
	for left := mostLeft; left > 0; {
		n, err := sys.ReadNow(o.r, buf)
		if n == 0 || err != nil || !o.write(buf[:n]) {
			break
		}
		left -= n
	}
	o.flush()
}

// write reports whether the writer has taken p.
func (o *output) write(p []byte) bool {
	if len(p) == 0 {
		return true
	}
	if _, err := o.w.Write(p); err != nil {
		o.err = fmt.Errorf("what it printed could not be written: %w", err)
	}
	return o.err == nil
}

func (o *output) flush() {
	if l, ok := o.w.(*lines); ok && o.err == nil {
		if err := l.flush(); err != nil {
			o.err = fmt.Errorf("what it printed could not be written: %w", err)
		}
	}
}

// finish waits until what the child has printed is written, and returns the error of the writer.
// The child has ended.
func (o *output) finish() error {
	// Another process may have the pipe, so that it does not end.
	_ = o.r.SetReadDeadline(time.Unix(1, 0)) // an error means that copy has closed it
	<-o.done
	return o.err
}

// lines writes whole lines, with a name before each.
type lines struct {
	name string
	w    io.Writer
	rest []byte // the line that has not ended
}

// longestLine is where a line is broken that does not end.
const longestLine = 64 << 10

// oneLine lets one line be written at a time in this process, so that lines of several processes do
// not mix.
var oneLine sync.Mutex

func (l *lines) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte{'\n'})
		l.rest = append(l.rest, line...)
		rest = after
		if ended || len(l.rest) >= longestLine {
			if err := l.print(); err != nil {
				return 0, err
			}
		}
	}
	return len(p), nil
}

// flush writes the last line if it has not ended.
func (l *lines) flush() error {
	if len(l.rest) == 0 {
		return nil
	}
	return l.print()
}

func (l *lines) print() error {
	oneLine.Lock()
	defer oneLine.Unlock()
	_, err := fmt.Fprintf(l.w, "%s: %s\n", l.name, l.rest)
	l.rest = l.rest[:0]
	return err
}
