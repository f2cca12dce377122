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
)

// initCalled: this program calls Init, so that its children can.
var initCalled atomic.Bool

// self is who this process is, in a child. It is set before the task runs.
var self struct{ name, identity string }

// Init must be the first thing that main does, and TestMain. In a child, it runs
// the task and does not return. In any other process it only notes that it was
// called; without it Start fails with ErrNoInit and starts nothing.
//
// A process is a child if its parent says so, which Init asks: nothing in its environment or among its
// descriptors makes it one.
func Init() {
	initCalled.Store(true)
	if h := inherit(); h != nil {
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

// run is what a child does; the result is its exit code.
func (h *heritage) run() int {
	if err := h.tell(frameHello, nil); err != nil {
		return 1 // the parent is dead
	}
	in := bufio.NewReader(h.control)
	task, name, identity, input, err := readRequest(in)
	if err != nil {
		return 1 // the parent is dead
	}
	self.name, self.identity = name, identity

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		// The parent says nothing more and holds the socket open while it
		// lives. The kernel kills this process with it, too, but not if the
		// parent died before that was set up.
		_, _ = io.Copy(io.Discard, in)
		cancel()
		os.Exit(1)
	}()

	if err := h.prepare(); err != nil {
		return h.fail(err)
	}
	run := findTask(task)
	if run == nil {
		return h.fail(fmt.Errorf("%w: %q", ErrUnknownTask, task))
	}
	return h.call(ctx, run, input)
}

func readRequest(r io.Reader) (task, name, identity string, input []byte, err error) {
	var payload [4][]byte
	for i, want := range []byte{frameTask, frameName, frameIdentity, frameInput} {
		kind, p, err := readFrame(r)
		if err != nil {
			return "", "", "", nil, err
		}
		if kind != want {
			return "", "", "", nil, fmt.Errorf("proc: frame %q instead of %q", kind, want)
		}
		payload[i] = p
	}
	return string(payload[0]), string(payload[1]), string(payload[2]), payload[3], nil
}

// prepare makes ready what the task relies on.
func (h *heritage) prepare() error {
	if h.err != nil {
		return fmt.Errorf("proc: files from the parent: %w", h.err)
	}
	if err := debug.SetCrashOutput(h.crash, debug.CrashOptions{}); err != nil {
		return fmt.Errorf("proc: crash output: %w", err)
	}
	h.crash.Close() // the runtime has its own
	return adoptAll(h.grants)
}

// call runs the task and tells the parent what came of it. A panic goes on after
// that, so that it is printed, and ends the process, as in any Go program.
func (h *heritage) call(ctx context.Context, run runner, input []byte) (code int) {
	finished := false
	defer func() {
		if finished {
			return
		}
		v := recover()
		if v == nil {
			os.Exit(h.fail(errors.New("proc: task called runtime.Goexit")))
		}
		if text, err := encodePanic(v, debug.Stack()); err == nil {
			_ = h.tell(framePanic, text) // the parent is dead: so are we
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

// fail tells the parent the task's error and returns the exit code for it.
func (h *heritage) fail(err error) int {
	if text, err := encodeError(err); err == nil {
		_ = h.tell(frameError, text) // the parent is dead: so are we
	}
	return 1
}

// tell sends one frame, a small one by a single system call.
func (h *heritage) tell(kind byte, payload []byte) error {
	w := bufio.NewWriter(h.control)
	if err := writeFrame(w, kind, payload); err != nil {
		return err
	}
	return w.Flush()
}
