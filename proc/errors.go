package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/known"
	"github.com/seed-2e7ecdea/mp/shm"
)

var (
	// ErrNoInit means that the program has not called Init, so that its children could not run tasks. Start has
	// started nothing. From Join it means that the child ended before its main function called Init.
	ErrNoInit = errors.New("Init was not called: call it first in main and in TestMain")

	// ErrNotStarted means that the process has not been started.
	ErrNotStarted = errors.New("not started: call Start first")

	// ErrAlreadyStarted means that the process has been started before.
	ErrAlreadyStarted = errors.New("already started: it runs once, make another with Task.New")

	// ErrRunning means that a process can't be closed, since it runs.
	ErrRunning = errors.New("running: Join it first, after Terminate or Kill if it does not end")

	// ErrClosed means that Close was called on the process. It is os.ErrClosed.
	ErrClosed = os.ErrClosed

	// ErrNoResult means that the process ended with exit code 0 though its task did not return: it called
	// os.Exit(0).
	ErrNoResult = errors.New("no result: the task did not return, but called os.Exit(0)")

	// ErrUnknownTask means that no task of that name was registered in the child when it called Init.
	ErrUnknownTask = errors.New("unknown task: register it in a package-level variable, whatever the environment")

	// ErrMethod means that there is no such start method.
	ErrMethod = errors.New("unknown start method")

	// ErrTerminated is the cause of a task's context when the process is asked to terminate (SIGTERM).
	ErrTerminated = errors.New("asked to terminate")

	// ErrInterrupted is the cause of a task's context when the process is interrupted (SIGINT).
	ErrInterrupted = errors.New("interrupted")

	// ErrParentDied is the cause of a task's context when the parent has died.
	ErrParentDied = errors.New("the parent has died")

	// ErrMemory means that the process had no more memory: see Options.Memory and ExitError.Memory.
	ErrMemory = errors.New("out of memory")

	// ErrValue means that a value can't be sent to another process, since it holds a channel, a function, or
	// itself.
	ErrValue = errors.New("channels, functions and values that hold themselves can't be sent to another process")
)

// failed returns the error of an operation on the process of that name. It wraps err.
func failed(op, process string, err error) error {
	if err == ErrClosed {
		return fmt.Errorf("proc: %s of process %q: Close was called on it: %w", op, process, err)
	}
	return fmt.Errorf("proc: %s of process %q: %w", op, process, err)
}

func init() {
	known.Register(
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, io.ErrShortBuffer,
		context.Canceled, context.DeadlineExceeded,
		fs.ErrExist, fs.ErrNotExist, fs.ErrPermission, fs.ErrInvalid, fs.ErrClosed,
		os.ErrDeadlineExceeded, os.ErrProcessDone, errors.ErrUnsupported,
		ErrNoInit, ErrNotStarted, ErrAlreadyStarted, ErrRunning,
		ErrNoResult, ErrUnknownTask, ErrValue, ErrMethod,
		ErrTerminated, ErrInterrupted, ErrParentDied, ErrMemory, ErrPoolClosed, ErrInit, errFarObjects,
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

// An ExitError is the end of a process that gave no other reason: os.Exit with a
// code other than 0, or a signal.
type ExitError struct {
	Process string // name of the process
	Code    int    // exit code, or -N if signal N ended the process

	// Memory means that the kernel killed the process, since a cgroup or the machine had no more
	// memory: errors.Is(err, ErrMemory) is true. It is known if the process was in its cgroup when it
	// started, or, for a worker of a pool, when PoolOptions.Init returned. If several processes are in
	// one cgroup, and one that is not a child of this process is killed for memory, another SIGKILL
	// may be taken for that.
	Memory bool
}

// Is reports whether target is ErrMemory and the process was killed for want of memory.
func (e *ExitError) Is(target error) bool { return target == ErrMemory && e.Memory }

// Signal returns the signal that ended the process, or 0 if it called os.Exit.
func (e *ExitError) Signal() syscall.Signal { return syscall.Signal(max(-e.Code, 0)) }

func (e *ExitError) Error() string {
	if e.Memory {
		return fmt.Sprintf("proc: %s: ended by signal %d (%v): out of memory, its cgroup has a limit or the machine has no more",
			e.Process, -e.Code, syscall.Signal(-e.Code))
	}
	if e.Code < 0 {
		return fmt.Sprintf("proc: %s: ended by signal %d (%v)", e.Process, -e.Code, syscall.Signal(-e.Code))
	}
	return fmt.Sprintf("proc: %s: exit code %d", e.Process, e.Code)
}

// A RemoteError is an error that a task returned, as its parent sees it. It
// wraps, for errors.Is, the well-known errors that the original wrapped: those
// given to RegisterError, and a syscall.Errno.
type RemoteError struct {
	Process string   // name of the process
	Message string   // text of the error
	Chain   []string // type and text of the error and all that it wraps, outermost first

	known []error
}

func (e *RemoteError) Error() string { return "proc: " + e.Process + ": " + e.Message }

// Unwrap returns the well-known errors that the original wrapped.
func (e *RemoteError) Unwrap() []error { return e.known }

// wireError is an error on its way from the child.
type wireError struct {
	Message string
	Chain   []string
	Known   []string // keys of registered errors
	Errno   uint
}

var errorCoding coding[wireError]

func newWireError(err error) *wireError {
	w := &wireError{Message: err.Error(), Chain: chain(nil, err), Known: known.Texts(err)}
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		w.Errno = uint(errno)
	}
	return w
}

func encodeError(err error) ([]byte, error) {
	text, _, err := errorCoding.encode(nil, newWireError(err))
	return text, err
}

func decodeError(process string, data []byte) error {
	var w wireError
	if err := errorCoding.decode(data, &w); err != nil {
		return failed("Join", process, fmt.Errorf("the error of its task can't be decoded: %w", err))
	}
	return w.error(process)
}

// error returns the error as the parent of that process sees it.
func (w *wireError) error(process string) *RemoteError {
	e := &RemoteError{Process: process, Message: w.Message, Chain: w.Chain, known: known.Errors(w.Known)}
	if w.Errno != 0 {
		e.known = append(e.known, syscall.Errno(w.Errno))
	}
	return e
}

// chain appends to list the type and text of err and of all that it wraps.
func chain(list []string, err error) []string {
	if err == nil {
		return list
	}
	list = append(list, fmt.Sprintf("%T: %v", err, err))
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return chain(list, e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			list = chain(list, err)
		}
	}
	return list
}

// fatalError is the value of a PanicError that is a fatal error.
const fatalError = "fatal error"

// maxCrash bounds how much of a child's crash text is kept.
const maxCrash = 1 << 20

// A PanicError is a panic that ended a child, in any goroutine, or a fatal error
// of its Go runtime, such as concurrent map writes. The runtime says what the
// error was on standard error only.
type PanicError struct {
	Process string // name of the process
	Value   string // what was given to panic, as text; "fatal error" or "out of memory" for that
	Stack   string // the stacks that the child printed
}

// Error returns a line of text without the stack.
func (e *PanicError) Error() string { return "proc: " + e.Process + ": panic: " + e.Value }

// Is reports whether target is ErrMemory and the Go runtime got no more memory from the kernel.
func (e *PanicError) Is(target error) bool { return target == ErrMemory && e.Value == noMemory }

// noMemory is the value of a PanicError for want of memory.
const noMemory = "out of memory"

// wirePanic is a panic on its way from the child.
type wirePanic struct{ Value, Stack string }

var panicCoding coding[wirePanic]

func encodePanic(value any, stack []byte) ([]byte, error) {
	text, _, err := panicCoding.encode(nil, &wirePanic{fmt.Sprint(value), string(stack)})
	return text, err
}

func decodePanic(process string, data []byte) error {
	var w wirePanic
	if err := panicCoding.decode(data, &w); err != nil {
		return failed("Join", process, fmt.Errorf("its panic can't be decoded: %w", err))
	}
	return &PanicError{Process: process, Value: w.Value, Stack: w.Stack}
}

// crashError returns a PanicError if the Go runtime of the child has left the
// text of a crash in f, else nil.
//
// If the memory of the child is limited, a segmentation fault in the garbage collector's queue of spans
// is for want of memory, too: that queue does not check what it gets (Go 1.26).
func crashError(process string, f *os.File, limited bool) error {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, maxCrash))
	if err != nil || len(text) == 0 {
		return nil
	}
	value, stack := splitCrash(string(text))
	first, _, _ := strings.Cut(stack, "\n\ngoroutine ")
	if limited && strings.HasPrefix(value, "SIGSEGV") && strings.Contains(first, "runtime.(*spanQueue).") {
		value = noMemory
	}
	return &PanicError{Process: process, Value: value, Stack: stack}
}

// memoryFunctions are the functions of Go's runtime that end the process when the kernel gives no
// memory. The reason itself is on standard error only.
var memoryFunctions = []string{
	"sysMapOS(", "sysUsedOS(", "persistentalloc", "(*mcache).refill(", "(*mcache).allocLarge(", "(*mheap).sysAlloc(",
	"(*mheap).grow(", "newArenaMayUnlock(", "newUserArena", "newosproc(",
}

// wantsMemory reports whether the stack is one of a process that ended so.
func wantsMemory(stack string) bool {
	first, _, _ := strings.Cut(stack, "\n\ngoroutine ")
	return strings.Contains(first, "runtime.throw(") && slices.ContainsFunc(memoryFunctions, func(f string) bool {
		return strings.Contains(first, "\nruntime."+f)
	})
}

// splitCrash divides the text that the Go runtime prints when it crashes into
// what went wrong and the stacks.
func splitCrash(text string) (value, stack string) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "goroutine ") || strings.HasPrefix(text, "runtime stack:") {
		if wantsMemory(text) {
			return noMemory, text
		}
		return fatalError, text
	}
	end := len(text)
	for _, mark := range []string{"\n\ngoroutine ", "\n\nruntime stack:"} {
		if i := strings.Index(text[:end], mark); i >= 0 {
			end = i
		}
	}
	value = strings.TrimSpace(strings.TrimPrefix(text[:end], "panic: "))
	return value, strings.TrimSpace(text[end:])
}
