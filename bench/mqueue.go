package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/shm"
)

// mqueue is the name of the transport.
const mqueue = "mqueue"

// mqueueMessages is how many messages a POSIX message queue holds: as many as a process without privileges may ask for
// by default.
const mqueueMessages = 10

// createMessageQueue makes a POSIX message queue that is the standard output of the first process and the standard input
// of the second. For latency it makes one back, too.
func createMessageQueue(_ *shm.Segment, s Scenario) (*link, error) {
	return createFiles(s, func() (r, w *os.File, err error) {
		q, err := sys.MessageQueue(mqueueMessages, s.Size)
		return q, q, err
	})
}

// A messageQueuePort sends messages by the POSIX message queue that is standard output, and receives them by the one that
// is standard input.
type messageQueuePort struct {
	in, out int    // descriptors
	buf     []byte // as large as a message
}

func openMessageQueue(_ *shm.Segment, s Scenario, _ role) (port, error) {
	return &messageQueuePort{in: int(syscall.Stdin), out: int(syscall.Stdout), buf: make([]byte, s.Size)}, nil
}

func (p *messageQueuePort) send(w number, n uint64) error {
	for range n {
		stamp(p.buf, w)
		if err := sys.MessageQueueSend(p.out, p.buf); err != nil {
			return err
		}
		w += next
	}
	return nil
}

// receive returns io.EOF after the last message of the only producer, since a message queue has no end of file.
func (p *messageQueuePort) receive(t *tally, n uint64) (uint64, error) {
	for i := range n {
		if t.end != 0 {
			return i, p.ended()
		}
		k, err := sys.MessageQueueReceive(p.in, p.buf, -1)
		if err != nil {
			return i, err
		}
		if k != len(p.buf) {
			return i, damaged(k, len(p.buf), 0)
		}
		w, intact := stamped(p.buf)
		if !intact {
			return i, damaged(k, k, w)
		}
		if err := t.enter(w); err != nil {
			return i, err
		}
	}
	return n, nil
}

// ended returns io.EOF if nothing is in the queue, as it should be after the last message.
func (p *messageQueuePort) ended() error {
	k, err := sys.MessageQueueReceive(p.in, p.buf, 0)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return io.EOF
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: %d bytes after the last message", ErrVerify, k)
}

// close does nothing: standard input and output are closed when the process ends.
func (p *messageQueuePort) close() error { return nil }
