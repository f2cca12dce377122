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

// Errors of this package. Methods return them wrapped in an error that names the operation and the
// object, so compare with errors.Is. At the end of a pipe's messages, methods return io.EOF itself.
// For a buffer that is too small, the error wraps io.ErrShortBuffer.
var (
	// ErrFull means that there is no space for the message now.
	ErrFull = errors.New("full")
	// ErrEmpty means that there is no message now.
	ErrEmpty = errors.New("empty")
	// ErrBusy means that another process or goroutine is in the middle of a step that must be
	// completed first. Try again.
	ErrBusy = errors.New("another process or goroutine is in the middle of a step: try again")
	// ErrShutdown means that the queue or broadcast was shut down. Get and Receive return it only
	// once nothing is left to take.
	ErrShutdown = errors.New("shut down")
	// ErrTooLarge means that the message can never fit, or is longer than a limit. A message that is
	// too long for a pipe's ring needs Send and Receive: the other methods fail with ErrTooLarge.
	ErrTooLarge = errors.New("message is too large")
	// ErrBrokenPipe means that no process holds the other end of the pipe. It is syscall.EPIPE.
	ErrBrokenPipe error = syscall.EPIPE
	// ErrClosed means that this process has closed the object or its segment. It is os.ErrClosed.
	ErrClosed = shm.ErrClosed
	// ErrCorrupt means that the object's bytes contradict each other. It is shm.ErrCorrupt.
	ErrCorrupt = shm.ErrCorrupt
	// ErrNothingReserved means that there is no message to commit: none was reserved, or it was
	// committed or aborted already.
	ErrNothingReserved = errors.New("no message is reserved: call Reserve first")
	// ErrLeaseEnded means that Done or Return was called on the lease before.
	ErrLeaseEnded = errors.New("the lease has ended: Done or Return was called before")
	// ErrTooManyDone means that every value that was taken is marked done already.
	ErrTooManyDone = errors.New("no value that was taken through this Queue is left to be marked done")
	// ErrTooManySubscribers means that a broadcast has as many lossless subscribers as it allows.
	ErrTooManySubscribers = errors.New("too many lossless subscribers: raise BroadcastOptions.Subscribers, or subscribe with Lossy")
	// ErrLost means that a lossy subscriber was too slow: see LostError.
	ErrLost = errors.New("the subscriber was too slow")
)

func init() {
	known.Register(ErrFull, ErrEmpty, ErrBusy, ErrShutdown, ErrTooLarge, ErrBrokenPipe, ErrNothingReserved,
		ErrLeaseEnded, ErrTooManyDone, ErrTooManySubscribers, ErrLost)
}

// failures makes the errors that an object's methods return. It makes each error of polling once,
// so that polling does not allocate.
type failures struct {
	o     object.Object
	limit string // what a full object holds: a format for a and b
	a, b  int
	cache [len(polled)]atomic.Pointer[error]
}

// polled lists the errors that a caller gets again and again while it polls.
var polled = [...]struct {
	op  string
	err error
}{
	{"TryPut", ErrFull}, {"TryPutFrom", ErrFull}, {"TryReserve", ErrFull}, {"TryPutMany", ErrFull}, {"TrySend", ErrFull}, {"TrySend", ErrBusy},
	{"TryGet", ErrEmpty}, {"TryGetInto", ErrEmpty}, {"TryGet", ErrBusy}, {"TryGetInto", ErrBusy},
	{"TryLease", ErrEmpty}, {"TryLease", ErrBusy}, {"TryGetMany", ErrEmpty}, {"TryGetMany", ErrBusy},
	{"TryPublish", ErrFull}, {"TryPublishFrom", ErrFull}, {"TryPublish", ErrBusy}, {"TryPublishFrom", ErrBusy},
	{"TryReceive", ErrEmpty}, {"TryReceiveInto", ErrEmpty}, {"TryReceive", ErrBusy}, {"TryReceiveInto", ErrBusy},
}

// of returns the error of the method op. It wraps err, except that nil and io.EOF stay as they are.
func (f *failures) of(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	for i := range polled {
		if p := &polled[i]; p.err == err && p.op == op {
			return f.cached(i)
		}
	}
	if err == ErrBrokenPipe {
		err = fmt.Errorf("%w: no process holds the other end", err)
	}
	return object.Failed(f.o, "ring: "+op, err)
}

// cached returns the error of polled[i].
func (f *failures) cached(i int) error {
	if e := f.cache[i].Load(); e != nil {
		return *e
	}
	err := polled[i].err
	if err == ErrFull {
		err = fmt.Errorf("%w: %s", err, fmt.Sprintf(f.limit, f.a, f.b))
	}
	err = object.Failed(f.o, "ring: "+polled[i].op, err)
	f.cache[i].Store(&err)
	return err
}
