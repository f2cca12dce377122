package step

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A point is a moment of an operation: before an instruction is executed for the nth time, or while
// the thread sleeps in it, which is a system call. The zero point is the moment after the
// operation.
type point struct {
	pc     uintptr
	nth    int
	asleep bool
}

func (p point) String() string {
	s := fmt.Sprintf("%#x:%d", p.pc, p.nth)
	if p.asleep {
		s += ":asleep"
	}
	return s
}

// An instruction is what the tracer knows of an instruction of the test program, which the child
// runs, too.
type instruction struct {
	harness bool // it is one of this package: the operation has not begun, or has returned
	own     bool // it counts as one of the operation's
	mayWait bool // it is a system call
	foreign bool // it is not the program's
}

const module = "github.com/seed-2e7ecdea/mp/"

// instructions caches look. Only the test's goroutine uses it.
var instructions = make(map[uintptr]instruction)

// look looks at the instruction that a stopped thread executes next.
//
// The instructions of mp count, and atomic operations, copying, clearing and system calls for it.
// Those of Go's allocator, scheduler, contexts and timers do not: they do not touch shared memory,
// and how many there are changes from round to round.
func look(thread *sys.Tracee, pc uintptr) (instruction, error) {
	i, known := instructions[pc]
	if known {
		return i, nil
	}
	name := ""
	f := runtime.FuncForPC(pc)
	if f != nil {
		name = f.Name()
	}
	i.foreign = f == nil
	switch {
	case strings.HasPrefix(name, module):
		i.harness = strings.HasPrefix(name, module+"internal/step.")
		i.own = !i.harness
	case strings.HasPrefix(name, "runtime.memmove"), strings.HasPrefix(name, "runtime.memclr"),
		strings.HasPrefix(name, "internal/runtime/syscall."), strings.HasPrefix(name, "syscall."),
		strings.Contains(name, "/atomic."):
		i.own = true
	}
	var err error
	i.mayWait, err = thread.AtSystemCall(pc)
	instructions[pc] = i
	return i, err
}

// where returns the source line of an instruction.
func where(pc uintptr) string {
	if pc == 0 {
		return "the end of the operation"
	}
	f, _ := runtime.CallersFrames([]uintptr{pc + 1}).Next()
	return fmt.Sprintf("%s:%d (%s)", f.File, f.Line, f.Function)
}
