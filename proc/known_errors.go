package proc

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/seed-2e7ecdea/mp/internal/known"
	"github.com/seed-2e7ecdea/mp/shm"
)

func init() {
	known.Register(
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, io.ErrShortBuffer,
		context.Canceled, context.DeadlineExceeded,
		fs.ErrExist, fs.ErrNotExist, fs.ErrPermission, fs.ErrInvalid, fs.ErrClosed,
		os.ErrDeadlineExceeded, os.ErrProcessDone, errors.ErrUnsupported,
		ErrNoInit, ErrNotStarted, ErrAlreadyStarted, ErrRunning, ErrClosed,
		ErrNoResult, ErrUnknownTask, ErrValue,
		shm.ErrName, shm.ErrSize, shm.ErrNoSpace, shm.ErrForeign, shm.ErrVersion, shm.ErrTruncated, shm.ErrCorrupt,
		shm.ErrMismatch, shm.ErrHandle, shm.ErrUnreachable, shm.ErrParties, shm.ErrType,
	)
}

// RegisterError makes sentinel errors known to both sides, so that errors.Is
// finds them in the error of a task in another process. Common errors of the
// standard library and those of the packages of mp are known already. Call it while
// package-level variables are initialised, or before Init: the same calls must
// be made in the parent and in the child. It panics if another error with the
// same text is known.
func RegisterError(sentinels ...error) { known.Register(sentinels...) }
