package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
)

// An inside is a task that runs in a goroutine of this process.
type inside struct {
	ending *ending
	grace  time.Duration

	mu    sync.Mutex
	lease lease // the objects in the input
	left  bool  // they are closed, or are to be

	ran    chan insideEnd      // one, when the task has returned
	killed chan syscall.Signal // the goroutine is given up
}

// An insideEnd is how a task ended that ran in this process.
type insideEnd struct {
	made     product
	err      error
	panicked *PanicError
}

// startInside runs p's task in a goroutine.
func (p *Process) startInside() *inside {
	ctx, cancel := context.WithCancelCause(context.Background())
	g := &inside{grace: p.options.grace(), ran: make(chan insideEnd, 1), killed: make(chan syscall.Signal, 1)}
	g.ending = &ending{cancel: cancel, end: g.giveUp}
	go g.run(ctx, p.name, p.task, p.input)
	return g
}

// run runs the task, and ends its use of shared objects.
func (g *inside) run(ctx context.Context, process, task string, input []byte) {
	end := insideEnd{err: errGoexit}
	defer func() {
		if v := recover(); v != nil {
			end.panicked = &PanicError{Process: process, Value: fmt.Sprint(v), Stack: string(debug.Stack())}
		}
		g.ran <- end
	}()
	run := findTask(task).run
	if run == nil {
		end.err = fmt.Errorf("task %q: %w", task, ErrUnknownTask)
		return
	}
	end.made, end.err = run(ctx, nil, input, g.use)
}

// attend waits for the end of g, and concludes p.
func (p *Process) attend(g *inside) {
	var o outcome
	select {
	case end := <-g.ran:
		o = p.judgeInside(g, end)
		end.made.close()
		g.leave()
	case sig := <-g.killed:
		o.code = -int(sig)
		o.err = &ExitError{Process: p.name, Code: o.code}
		g.leave()
		go func() { // whenever the task returns
			end := <-g.ran
			end.made.close()
		}()
	}
	g.ending.cancel(nil)
	p.conclude(o)
}

// judgeInside says how the task ended.
func (p *Process) judgeInside(g *inside, end insideEnd) (o outcome) {
	switch sig := g.ending.obeyed(end.err); {
	case end.panicked != nil:
		o.code, o.err = 2, end.panicked
	case end.err == nil:
		o.result, o.returned = end.made.result, true
		if end.made.shared != nil {
			p.keepResult(o.result)
		}
	case sig != 0:
		o.code = -int(sig)
		o.err = &ExitError{Process: p.name, Code: o.code}
	default:
		o.code = 1
		// As it would arrive from another process.
		if text, err := encodeError(end.err); err == nil {
			o.err = decodeError(p.name, text)
		} else {
			o.err = failed("Join", p.name, err)
		}
	}
	return o
}

// use notes the objects in the input.
func (g *inside) use(l lease) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lease = l; g.left {
		l.close()
	}
}

// leave ends the task's use of these objects, as the end of a process does.
func (g *inside) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left = true
	g.lease.close()
}

// giveUp ends the Process though the task has not returned.
func (g *inside) giveUp(sig syscall.Signal) {
	select {
	case g.killed <- sig:
	default: // it is given up already
	}
}

// PID returns this process's id.
func (g *inside) PID() int { return os.Getpid() }

// Signal does what a child does when it gets sig.
func (g *inside) Signal(sig syscall.Signal) error {
	if sig == syscall.SIGKILL {
		g.leave() // first, so that nothing comes of the task any more
		// The task may return before the Process is given up: then its error counts as the signal's.
		g.ending.first(sig, context.Canceled)
		g.giveUp(sig)
		return nil
	}
	g.ending.ask(sig, g.grace)
	return nil
}

// PidFD fails.
func (g *inside) PidFD() (*os.File, error) {
	return nil, fmt.Errorf("the task runs in this process: %w", errors.ErrUnsupported)
}
