package ring

import (
	"errors"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/known"
	"github.com/seed-2e7ecdea/mp/shm"
)

// Errors of this package. The end of a pipe's messages is io.EOF, a buffer
// that is too small io.ErrShortBuffer. Those of making and opening objects are
// shm's.
var (
	// ErrFull means that there is no room for the message now.
	ErrFull = errors.New("full")
	// ErrEmpty means that there is no message now.
	ErrEmpty = errors.New("empty")
	// ErrBusy means that another process or goroutine is in the midst of a
	// step that must come first: try again.
	ErrBusy = errors.New("busy")
	// ErrShutdown means that the queue was shut down; Get says so when it is
	// drained.
	ErrShutdown = errors.New("queue is shut down")
	// ErrTooLarge means that the message can never fit.
	ErrTooLarge = errors.New("message is too large")
	// ErrBrokenPipe means that nobody holds the other end of the pipe. It is
	// syscall.EPIPE.
	ErrBrokenPipe error = syscall.EPIPE
	// ErrClosed means that this process has closed the object or its segment.
	ErrClosed = shm.ErrClosed
	// ErrCorrupt means that the object's bytes contradict each other.
	ErrCorrupt = shm.ErrCorrupt
	// ErrNothingReserved means that a Sender has no message to commit.
	ErrNothingReserved = errors.New("nothing is reserved")
)

func init() {
	known.Register(ErrFull, ErrEmpty, ErrBusy, ErrShutdown, ErrTooLarge, ErrBrokenPipe, ErrNothingReserved)
}
