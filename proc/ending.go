package proc

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"
)

// An ending ends a task on request. The first request cancels the task's context. The second one,
// or the end of the grace, ends the process though the task has not returned.
type ending struct {
	cancel context.CancelCauseFunc
	end    func(sig syscall.Signal) // ends the process as sig does; it may be called several times

	mu    sync.Mutex
	sig   syscall.Signal // of the first request; 0 if there was none
	cause error          // of the first request
}

// causes says why the context of a task is cancelled.
var causes = map[syscall.Signal]error{
	syscall.SIGTERM: ErrTerminated,
	syscall.SIGINT:  ErrInterrupted,
}

// ask requests the end.
func (e *ending) ask(sig syscall.Signal, grace time.Duration) {
	if !e.first(sig, causes[sig]) {
		e.end(sig)
		return
	}
	time.AfterFunc(grace, func() { e.end(sig) })
}

// first records the first request, and reports whether this is it.
func (e *ending) first(sig syscall.Signal, cause error) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cause != nil {
		return false
	}
	e.sig, e.cause = sig, cause
	e.cancel(cause)
	return true
}

// obeyed returns the signal of the request that made the task return err, or 0 if err has another
// reason.
func (e *ending) obeyed(err error) syscall.Signal {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cause == nil || !errors.Is(err, context.Canceled) && !errors.Is(err, e.cause) {
		return 0
	}
	return e.sig
}
