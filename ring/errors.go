package ring

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/known"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// Errors of this package. Methods return them wrapped in a sentence that names the operation and the
// object: use errors.Is. The end of a pipe's messages is io.EOF itself. A buffer that
// is too small is io.ErrShortBuffer.
var (
	// ErrFull means that there is no space for the message now.
	ErrFull = errors.New("full")
	// ErrEmpty means that there is no message now.
	ErrEmpty = errors.New("empty")
	// ErrBusy means that another process or goroutine is in the middle of a
	// step that must come first: try again.
	ErrBusy = errors.New("another process or goroutine is in the middle of a step: try again")
	// ErrShutdown means that the queue was shut down. Get returns it when the queue is
	// empty, too.
	ErrShutdown = errors.New("queue is shut down")
	// ErrTooLarge means that the message can never fit.
	ErrTooLarge = errors.New("message is too large")
	// ErrBrokenPipe means that no process holds the other end of the pipe. It is
	// syscall.EPIPE.
	ErrBrokenPipe error = syscall.EPIPE
	// ErrClosed means that this process has closed the object or its segment.
	// It is os.ErrClosed.
	ErrClosed = shm.ErrClosed
	// ErrCorrupt means that the object's bytes contradict each other. It is shm.ErrCorrupt.
	ErrCorrupt = shm.ErrCorrupt
	// ErrNothingReserved means that there is no message to commit: none was reserved, or it was committed or
	// aborted.
	ErrNothingReserved = errors.New("no message is reserved: call Reserve first")
)

func init() {
	known.Register(ErrFull, ErrEmpty, ErrBusy, ErrShutdown, ErrTooLarge, ErrBrokenPipe, ErrNothingReserved)
}

// failures makes the errors of an object's methods. Those that come again and again, to callers that poll, it makes
// once, so that a poll does not allocate.
type failures struct {
	o     object.Object
	limit string // what a full object holds, with verbs for a and b
	a, b  int
	often [len(polled)]atomic.Pointer[error]
}

// polled are the errors of polling.
var polled = [...]struct {
	op  string
	err error
}{
	{"TryPut", ErrFull}, {"TryPutFrom", ErrFull}, {"TrySend", ErrFull}, {"TrySend", ErrBusy},
	{"TryGet", ErrEmpty}, {"TryGetInto", ErrEmpty}, {"TryGet", ErrBusy}, {"TryGetInto", ErrBusy},
	{"TryReceive", ErrEmpty}, {"TryReceiveInto", ErrEmpty}, {"TryReceive", ErrBusy}, {"TryReceiveInto", ErrBusy},
}

// of returns the error of the method op, which wraps err. The end of messages is no failure.
func (f *failures) of(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	for i := range polled {
		if p := &polled[i]; p.err == err && p.op == op {
			return f.polled(i)
		}
	}
	if err == ErrBrokenPipe {
		err = fmt.Errorf("%w: no process holds the other end", err)
	}
	return object.Failed(f.o, "ring: "+op, err)
}

func (f *failures) polled(i int) error {
	if e := f.often[i].Load(); e != nil {
		return *e
	}
	err := polled[i].err
	if err == ErrFull {
		err = fmt.Errorf("%w: %s", err, fmt.Sprintf(f.limit, f.a, f.b))
	}
	err = object.Failed(f.o, "ring: "+polled[i].op, err)
	f.often[i].Store(&err)
	return err
}
