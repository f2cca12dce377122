package proc

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// None is the argument or the result of a task that has none.
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

// A Group is a set of processes that do one thing together: Go starts one, and Wait waits for
// all. The first failure ends the others. A failure is a process that could not be started, or whose
// Join returns an error.
//
// All methods may be called by any number of goroutines at once. Children that no group has are not
// concerned.
type Group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wait   sync.WaitGroup

	mu  sync.Mutex
	err error // the first failure
}

// groupGrace is how long a process that a group ends has between SIGTERM and SIGKILL.
const groupGrace = 3 * time.Second

// NewGroup returns a group without processes. When ctx is done, all of its processes are ended,
// and Wait returns ctx's error.
func NewGroup(ctx context.Context) *Group {
	g := new(Group)
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	return g
}

// Context returns a context that is done as soon as a process of the group has failed, or when Wait has
// returned. Its cause is the failure. A parent uses it for calls that would wait for ever
// for processes that are gone, such as Put into the queue from which they take their work.
func (g *Group) Context() context.Context { return g.ctx }

// Go starts j in a process of its own, and returns when the process exists. If a process of the group
// has failed already, Go does nothing. If the start fails, that is the group's failure.
func (g *Group) Go(j Job) {
	if g.ctx.Err() != nil {
		return
	}
	err := j.err
	var p *Process
	if err == nil {
		p = newProcess(j.task, j.input, j.seen, j.options)
		err = p.Start(g.ctx)
	}
	if err != nil {
		g.fail(err)
		return
	}
	g.wait.Go(func() { g.supervise(p) })
}

// Wait waits until all processes of the group have ended, and returns the first failure, nil if
// there was none. Once the group has failed, its processes get SIGTERM, and SIGKILL
// three seconds later. After Wait the group starts
// nothing any more.
func (g *Group) Wait() error {
	g.wait.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := context.Cause(g.ctx); g.err == nil && err != nil {
		g.err = fmt.Errorf("proc: group: %w", err)
	}
	g.cancel(g.err)
	return g.err
}

// supervise waits for the end of p, and ends it if the group fails first.
func (g *Group) supervise(p *Process) {
	select {
	case <-p.Done():
	case <-g.ctx.Done():
		g.fail(fmt.Errorf("proc: group: %w", context.Cause(g.ctx)))
		_ = p.Terminate() // if it fails, Kill comes
		select {
		case <-p.Done():
		case <-time.After(groupGrace):
			_ = p.Kill() // it fails only if the process has ended
			<-p.Done()
		}
	}
	if err := p.Join(context.Background()); err != nil {
		g.fail(err)
	}
}

// fail notes the first failure and ends the group's processes.
func (g *Group) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
		g.cancel(err)
	}
}
