package proc

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// None is the input or output type of a task that has none.
type None = struct{}

// A Job is a task with its argument, and with the options of its process. Task.With makes
// it. It may be started any number of times.
type Job struct {
	task    string
	input   []byte
	seen    []sighting
	err     error // why the argument can't be sent
	options *Options
}

// start starts a process that runs j.
func (j Job) start(ctx context.Context) (*Process, error) {
	if j.err != nil {
		return nil, j.err
	}
	p := newProcess(j.task, j.input, j.seen, j.options)
	return p, p.Start(ctx)
}

// With makes a job of t and its argument, which is encoded now: later changes to it are not seen.
// If it can't be sent, starting the job fails with the error that New would return.
func (t *Task[In, Out]) With(in In) Job {
	input, seen, err := t.encode(in)
	return Job{task: t.name, input: input, seen: seen, err: err}
}

// Options returns j with these options for its process.
func (j Job) Options(o *Options) Job {
	j.options = o
	return j
}

// A Group is a set of processes that do one thing together: Go starts one, and Wait waits for all
// of them. The first failure ends the others. A failure is a process that could not be started, or
// whose Join returns an error.
//
// All methods may be called by any number of goroutines at once. Other children of this process are
// not affected.
type Group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc

	// A sync.WaitGroup can't count the processes: it must not go up from zero during Wait.
	mu      sync.Mutex
	ended   sync.Cond // running is 0
	running int
	waited  bool  // Wait has returned
	err     error // the first failure
}

// NewGroup returns a group without processes. When ctx is done while processes of the group run,
// they are ended, and Wait returns ctx's error.
func NewGroup(ctx context.Context) *Group {
	g := new(Group)
	g.ended.L = &g.mu
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	return g
}

// Context returns a context that is done when the group has failed, with the failure as its cause,
// when the context given to NewGroup is done, or when Wait has returned.
func (g *Group) Context() context.Context { return g.ctx }

// Go starts j in a process of its own, and returns when the process exists. If the start fails,
// that is the group's failure: Wait returns the error. If the group has failed already, Go starts
// nothing. After Wait has returned, Go starts nothing either, and further calls of Wait return
// os.ErrClosed.
func (g *Group) Go(j Job) {
	if !g.enter() {
		return
	}
	p, err := j.start(g.ctx)
	if err != nil {
		g.leave(err)
		return
	}
	go func() { g.leave(g.supervise(p)) }()
}

// Wait waits until all processes of the group have ended, and returns the first failure, nil if
// there was none. Once the group has failed, its processes get SIGTERM, and SIGKILL when their
// grace is over (see Options). Wait may be called any number of times.
func (g *Group) Wait() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.running > 0 {
		g.ended.Wait()
	}
	g.waited = true
	g.cancel(g.err)
	return g.err
}

// enter counts a process that is about to be started, and reports whether it may be.
func (g *Group) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.err != nil:
	case g.waited:
		g.err = fmt.Errorf("proc: Go of a group: Wait has returned, make another group: %w", os.ErrClosed)
	case g.ctx.Err() != nil:
		g.fail(g.contextError())
	default:
		g.running++
		return true
	}
	return false
}

// leave says that a process has ended, or was not started. err is its failure, or nil.
func (g *Group) leave(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.fail(err)
	}
	if g.running--; g.running == 0 {
		g.ended.Broadcast()
	}
}

// supervise waits for the end of p, and ends it if the group fails first. It returns p's failure.
func (g *Group) supervise(p *Process) error {
	select {
	case <-p.Done():
	case <-g.ctx.Done():
		if p.ended() {
			break
		}
		g.mu.Lock()
		g.fail(g.contextError())
		g.mu.Unlock()
		_ = p.Terminate() // if it fails, Kill comes
		timer := time.NewTimer(p.options.grace() + afterGrace)
		defer timer.Stop()
		select {
		case <-p.Done():
		case <-timer.C:
			_ = p.Kill() // it fails only if the process has ended
			<-p.Done()
		}
	}
	return p.Join(context.Background())
}

func (g *Group) contextError() error {
	return fmt.Errorf("proc: Wait of a group: its context is done: %w", context.Cause(g.ctx))
}

// fail notes the first failure, and cancels the context. g.mu is held.
func (g *Group) fail(err error) {
	if g.err == nil {
		g.err = err
		g.cancel(err)
	}
}
