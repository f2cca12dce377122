package proc

import (
	"fmt"
	"syscall"
)

// An ExitError is the end of a process that gave no other reason: os.Exit with a
// code other than 0, or a signal.
type ExitError struct {
	Process string // name of the process
	Code    int    // exit code, or -N if signal N ended the process
}

func (e *ExitError) Error() string {
	if e.Code < 0 {
		return fmt.Sprintf("proc: %s: ended by signal %d (%v)", e.Process, -e.Code, syscall.Signal(-e.Code))
	}
	return fmt.Sprintf("proc: %s: exit code %d", e.Process, e.Code)
}
