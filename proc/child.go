package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// initCalled is true once this program has called Init: then its children do, too.
var initCalled atomic.Bool

// deathSignal is the signal that this process gets when the thread that started it
// ends. It is read on the main thread.
var deathSignal = sys.DeathSignal()

// deathOfChild is the deathSignal of a child, and deathOfLingering that of one with Options.Linger.
const (
	deathOfChild     = syscall.SIGKILL
	deathOfLingering = syscall.SIGHUP
)

// Init must be called first in main, and first in TestMain. In a child, it runs the task that the
// parent chose, and does not return. In any other process it returns at once. In a program that has
// not called it, Start fails with ErrNoInit and starts nothing.
//
// A process is a child if its parent started it with Process.Start and waits for it to report.
// Neither its environment nor its files say so: code that runs before main, and the programs that
// it starts, can't take the child's input. The child must be in the network namespace and the PID
// namespace of its parent when it calls Init, and have /proc if its parent has.
func Init() {
	if initCalled.Swap(true) {
		return
	}
	if h := connect(); h != nil {
		os.Exit(h.run())
	}
}

// heritage is what a child gets from its parent.
type heritage struct {
	control *os.File
	crash   *os.File
	grants  []*os.File
	err     error // why it did not get all

	signals chan os.Signal // see catch; nil before that

	ending *ending
	once   sync.Once     // the parent's death is noticed
	kept   chan struct{} // closed when the parent holds the objects of the result
}

// run reads the request and runs the task. It returns the exit code.
func (h *heritage) run() int {
	if h.err != nil {
		// Where the request begins is unknown.
		return h.fail(fmt.Errorf("receive the files from the parent: %w", h.err))
	}
	r, err := readRequest(h.control)
	if err != nil {
		return 1 // the parent is dead
	}
	inherit(r)
	if crash.Enabled {
		crash.At(crash.InitReceived)
	}
	if err := debug.SetCrashOutput(h.crash, debug.CrashOptions{}); err != nil {
		return h.fail(fmt.Errorf("crash output: %w", err))
	}
	h.crash.Close() // the runtime has its own
	if r.park {
		if r, err = h.park(r); err != nil {
			return h.fail(err)
		}
		inherit(r)
	}
	return h.serve(r)
}

// serve runs the task of r.
func (h *heritage) serve(r *request) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	h.listen(cancel, r)
	h.kept = make(chan struct{})
	go func() {
		// The parent holds the socket open while it lives.
		for {
			kind, _, err := readFrame(h.control)
			if err != nil {
				break
			}
			if kind == frameKept {
				close(h.kept)
			}
		}
		h.orphaned(r.linger)
	}()
	if err := adoptAll(h.grants); err != nil {
		return h.fail(err)
	}
	if crash.Enabled {
		crash.At(crash.InitAdopted)
	}
	if err := limitMemory(r.memory); err != nil {
		return h.fail(err)
	}
	made, err := h.call(ctx, r)
	switch {
	case err == nil && made.shared != nil:
		if tell(h.control, frameShared, made.result) == nil {
			<-h.kept // if the parent dies, this process is about to
			return 0
		}
		return 1 // the parent is dead
	case err == nil:
		if tell(h.control, frameResult, made.result) != nil {
			return 1 // the parent is dead
		}
		return 0
	}
	if sig := h.ending.obeyed(err); sig != 0 {
		endBy(sig)
		select {} // the signal is on its way
	}
	return h.fail(err)
}

// limitMemory sets Options.Memory.
func limitMemory(limit int64) error {
	if limit <= 0 {
		return nil
	}
	// Go's garbage collector runs more often before the kernel refuses memory.
	debug.SetMemoryLimit(limit)
	if err := sys.LimitPrivateMemory(uint64(limit)); err != nil {
		return fmt.Errorf("Options.Memory: %w", err)
	}
	return nil
}

// call runs the task. If it panics, call sends the panic to the parent. It then panics
// again, so that the runtime prints the panic and ends the process, as in any Go program.
func (h *heritage) call(ctx context.Context, r *request) (made product, err error) {
	run := findTask(r.task).run
	if run == nil {
		return made, fmt.Errorf("task %q: %w", r.task, ErrUnknownTask)
	}
	finished := false
	defer func() {
		if finished {
			return
		}
		v := recover()
		if v == nil {
			os.Exit(h.fail(errGoexit))
		}
		if text, err := encodePanic(v, debug.Stack()); err == nil {
			_ = tell(h.control, framePanic, text) // an error means that the parent is dead, and this process about to be
		}
		panic(v)
	}()
	made, err = run(ctx, nil, r.input, nil)
	finished = true
	return made, err
}

var errGoexit = errors.New("task called runtime.Goexit")

// fail sends the parent the task's error and returns the exit code for it.
func (h *heritage) fail(err error) int {
	if text, err := encodeError(err); err == nil {
		_ = tell(h.control, frameError, text) // an error means that the parent is dead, and this process about to be
	}
	return 1
}
