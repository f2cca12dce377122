package proc

import (
	"errors"
	"fmt"
)

// A Method is how a process is started.
type Method int

const (
	// Spawn runs the executable again. It takes a millisecond or two. It is the default.
	Spawn Method = iota

	// Warm takes a process that was started ahead and waits for a task: see Spares. If there is
	// none, Start makes one and waits until it is ready.
	Warm

	// InProcess runs the task in a goroutine of this process: for tests, debuggers, and systems
	// other than Linux. Input and result are copied as for another process, and the objects in
	// them are shared. What is different:
	//
	//   - Global variables, os.Exit, the environment and the standard files are the program's. The
	//     options that concern them, Env, Dir, Executable, Stdin, Stdout, Stderr, NameLines and
	//     Memory, are refused with errors.ErrUnsupported.
	//   - Go can't end a goroutine from outside. Kill cancels the task's context, closes
	//     the objects in its input, and gives the goroutine up: the Process has ended, though the
	//     goroutine may still run.
	//   - The task shares this process's parties. If it is killed while it holds a lock, the lock
	//     stays held.
	//   - A panic in the task's own goroutine is a PanicError. In another goroutine it ends the
	//     program.
	InProcess

	// Fork is refused with errors.ErrUnsupported: only the calling thread would exist in the child,
	// and Go's runtime could not go on there.
	Fork
)

var methodNames = [...]string{Spawn: "spawn", Warm: "warm", InProcess: "in-process", Fork: "fork"}

func (m Method) String() string {
	if m < 0 || int(m) >= len(methodNames) {
		return fmt.Sprintf("Method(%d)", int(m))
	}
	return methodNames[m]
}

// ParseMethod returns the method with that name: "spawn", "warm", "in-process" or "fork". It fails
// with ErrMethod if there is none.
func ParseMethod(name string) (Method, error) {
	for m, known := range methodNames {
		if name == known {
			return Method(m), nil
		}
	}
	return 0, fmt.Errorf("proc: start method %q: %w", name, ErrMethod)
}

// check returns an error if no process can be started so.
func (m Method) check() error {
	switch m {
	case Spawn, Warm, InProcess:
		return nil
	case Fork:
		return fmt.Errorf("Options.Method: a Go process can't fork, since only the calling thread would exist in the child: %w", errors.ErrUnsupported)
	}
	return fmt.Errorf("Options.Method %v: %w", m, ErrMethod)
}
