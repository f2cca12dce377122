package proc

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/seed-2e7ecdea/mp/shm"
)

// known holds the errors that errors.Is finds in a RemoteError, by their text.
var known = struct {
	mu     sync.Mutex
	byText map[string]error
}{byText: make(map[string]error)}

func init() {
	RegisterError(
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
// standard library and those of mp are known already. Call it while
// package-level variables are initialised, or before Init: the same calls must
// be made in the parent and in the child. It panics if another error with the
// same text is known.
func RegisterError(sentinels ...error) {
	known.mu.Lock()
	defer known.mu.Unlock()
	for _, s := range sentinels {
		if old, ok := known.byText[s.Error()]; ok && old != s {
			panic("proc: two errors registered with the text " + s.Error())
		}
		known.byText[s.Error()] = s
	}
}

// knownIn returns the keys of the known errors that err wraps.
func knownIn(err error) []string {
	known.mu.Lock()
	defer known.mu.Unlock()
	var keys []string
	for text, s := range known.byText {
		if errors.Is(err, s) {
			keys = append(keys, text)
		}
	}
	slices.Sort(keys)
	return keys
}

// knownAs returns the known errors with these keys.
func knownAs(keys []string) []error {
	known.mu.Lock()
	defer known.mu.Unlock()
	var list []error
	for _, k := range keys {
		if s, ok := known.byText[k]; ok {
			list = append(list, s)
		}
	}
	return list
}
