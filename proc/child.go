package proc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// initCalled is true once this program has called Init: then its children do, too.
var initCalled atomic.Bool

// self is this process's part in the tree of processes, in a child. It is set
// before the task runs.
var self struct{ name, identity string }

// deathSignal is the signal that this process gets when the thread that started it
// ends. It is read on the main thread.
var deathSignal = sys.DeathSignal()

// deathOfChild is the deathSignal of a child.
const deathOfChild = syscall.SIGKILL

// Init must be called first in main, and first in TestMain. In a child, it runs the task that the
// parent chose, and does not return. In any other process it returns at once. In a program that has
// not called it, Start fails with ErrNoInit and starts nothing.
//
// A process is a child if its parent started it with Process.Start and waits for it to report.
// Neither its environment nor its files say so: code that runs before main, and the programs that it
// starts, can't take the child's input. The child must be in the network namespace and the
// PID namespace of its parent when it calls Init, and have /proc if its parent has.
func Init() {
	if initCalled.Swap(true) {
		return
	}
	if h := connect(); h != nil {
		os.Exit(h.run())
	}
}

// Self returns the name of this process: the one that its parent gave it, or ""
// if it is not a child.
func Self() string { return self.name }

// heritage is what a child gets from its parent.
type heritage struct {
	control *os.File
	crash   *os.File
	grants  []*os.File
	err     error // why it did not get all
}

// run reads the request and runs the task. It returns the exit code.
func (h *heritage) run() int {
	if h.err != nil {
		// Where the request begins is unknown.
		return h.fail(fmt.Errorf("receive the files from the parent: %w", h.err))
	}
	in := bufio.NewReader(h.control)
	request, err := readRequest(in)
	if err != nil {
		return 1 // the parent is dead
	}
	self.name, self.identity = request.name, request.identity

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		// The parent says nothing more and holds the socket open while it
		// lives. The kernel kills this process with it, too, unless the program
		// has changed that.
		_, _ = io.Copy(io.Discard, in)
		cancel()
		os.Exit(1)
	}()

	if crash.Enabled {
		crash.At(crash.InitReceived)
	}
	if err := h.prepare(); err != nil {
		return h.fail(err)
	}
	if crash.Enabled {
		crash.At(crash.InitAdopted)
	}
	run := findTask(request.task)
	if run == nil {
		return h.fail(fmt.Errorf("task %q: %w", request.task, ErrUnknownTask))
	}
	return h.call(ctx, run, request.input)
}

// prepare sets the crash output and attaches this process to the segments of the input.
func (h *heritage) prepare() error {
	if err := debug.SetCrashOutput(h.crash, debug.CrashOptions{}); err != nil {
		return fmt.Errorf("crash output: %w", err)
	}
	h.crash.Close() // the runtime has its own
	return adoptAll(h.grants)
}

// call runs the task and sends the parent its result, error or panic. It then panics
// again, so that the runtime prints the panic and ends the process, as in any Go program.
func (h *heritage) call(ctx context.Context, run runner, input []byte) (code int) {
	finished := false
	defer func() {
		if finished {
			return
		}
		v := recover()
		if v == nil {
			os.Exit(h.fail(errors.New("task called runtime.Goexit")))
		}
		if text, err := encodePanic(v, debug.Stack()); err == nil {
			_ = h.tell(framePanic, text) // an error means that the parent is dead, and this process about to be
		}
		panic(v)
	}()
	result, err := run(ctx, input)
	if err != nil {
		code = h.fail(err)
	} else if h.tell(frameResult, result) != nil {
		code = 1 // the parent is dead
	}
	finished = true
	return code
}

// fail sends the parent the task's error and returns the exit code for it.
func (h *heritage) fail(err error) int {
	if text, err := encodeError(err); err == nil {
		_ = h.tell(frameError, text) // an error means that the parent is dead, and this process about to be
	}
	return 1
}

// tell sends one frame. It sends a small one by a single system call.
func (h *heritage) tell(kind byte, payload []byte) error {
	w := bufio.NewWriter(h.control)
	if err := writeFrame(w, kind, payload); err != nil {
		return err
	}
	return w.Flush()
}
