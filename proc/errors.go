package proc

import "errors"

var (
	// ErrNoInit: this program has not called Init, so its children could not
	// run tasks. Nothing was started. From Join: the child ended before its
	// main function reached Init.
	ErrNoInit = errors.New("proc: Init was not called")

	// ErrNotStarted: the process has not been started.
	ErrNotStarted = errors.New("proc: not started")

	// ErrAlreadyStarted: the process has been started before. Make another with
	// Task.New to run the task again.
	ErrAlreadyStarted = errors.New("proc: already started")

	// ErrRunning: a process can't be closed while it runs.
	ErrRunning = errors.New("proc: running")

	// ErrClosed: Close was called on the process.
	ErrClosed = errors.New("proc: closed")

	// ErrNoResult: the process ended with exit code 0 but its task did not
	// return: it called os.Exit(0).
	ErrNoResult = errors.New("proc: no result")

	// ErrUnknownTask: the child has no task of that name when it reaches Init.
	// Tasks are registered by package-level variables.
	ErrUnknownTask = errors.New("proc: unknown task")

	// ErrValue: a value holds what can't be sent to another process: a channel, a
	// function, or itself.
	ErrValue = errors.New("proc: value can't be sent")
)
