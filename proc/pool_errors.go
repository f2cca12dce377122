package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

var (
	// ErrPoolClosed means that the pool takes no calls any more, since Close, Join or Terminate was
	// called. It wraps os.ErrClosed.
	ErrPoolClosed = fmt.Errorf("the pool is closed: %w", os.ErrClosed)

	// ErrInit means that a pool is broken, since its workers could not be initialized:
	// PoolOptions.Init failed, or the workers ended before they were ready, three times in a row.
	ErrInit = errors.New("the workers of the pool could not be initialized")

	errNegative = errors.New("there must be at least one worker")
)

// A WorkerLostError says that a worker ended while it ran a task, which has no result for that
// reason. The task may have done a part of its work. The pool goes on with a new worker.
type WorkerLostError struct {
	Task     string // name of the task
	Worker   string // name of the worker process
	PID      int
	ExitCode int   // exit code, or -N if signal N ended the worker
	Memory   bool  // it had no more memory, by its own limit or its cgroup's: errors.Is(err, ErrMemory)
	Err      error // what Process.Join returned: *ExitError, *PanicError, ... or nil after os.Exit(0)
}

func (e *WorkerLostError) Error() string {
	return fmt.Sprintf("proc: task %q: its worker %s (process %d) was lost: %s", e.Task, e.Worker, e.PID, e.reason())
}

// Unwrap returns Err.
func (e *WorkerLostError) Unwrap() error { return e.Err }

// reason says in a few words how the worker ended. PoolStats.Lost counts by it.
func (e *WorkerLostError) reason() string {
	switch {
	case e.Memory:
		return "out of memory"
	case e.ExitCode < 0:
		return fmt.Sprintf("signal %d (%v)", -e.ExitCode, syscall.Signal(-e.ExitCode))
	case isPanic(e.Err):
		return "crash"
	default:
		return fmt.Sprintf("exit code %d", e.ExitCode)
	}
}

func isPanic(err error) bool {
	var p *PanicError
	return errors.As(err, &p)
}
