package proc

import (
	"context"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// lastChild numbers the children of this process.
var lastChild atomic.Uint64

func newProcess(task string, input []byte, seen []sighting, options *Options) *Process {
	p := &Process{task: task, input: input, seen: seen, done: make(chan struct{})}
	if options != nil {
		p.options = *options
	}
	p.identity = strconv.FormatUint(lastChild.Add(1), 10)
	if self.identity != "" {
		p.identity = self.identity + ":" + p.identity
	}
	p.name = p.options.Name
	if p.name == "" {
		p.name = task + "-" + p.identity
	}
	return p
}

// Start starts the process: the executable of this program, run again with the arguments in
// os.Args. It returns as soon as the process exists. Join reports what goes wrong in the child
// before its task runs. ctx bounds the start only: once Start has returned, it has no effect on the
// process.
//
// The child inherits nothing of this process but its environment and the standard files. Init
// receives the shared memory of the objects in the input from the parent. It is killed when this
// process ends, however that happens.
//
// If Start fails it has started nothing. It returns
//
//   - ErrNoInit, if this program has not called Init,
//   - ErrAlreadyStarted, or ErrClosed after Close,
//   - os.ErrClosed, if an object of the input was closed since New, or if Stdin, Stdout or
//     Stderr of Options is closed,
//   - fs.ErrNotExist, if an object of the input was removed since New, if Options.Dir does
//     not exist, or if /proc is not mounted,
//   - shm.ErrParties, if a segment of the input has as many parties as it may,
//   - the error of ctx, or an error of the kernel,
//   - errors.ErrUnsupported, on systems other than Linux.
//
// After all but ErrAlreadyStarted and ErrClosed, Start may be called again.
func (p *Process) Start(ctx context.Context) error {
	if !initCalled.Load() {
		return failed("Start", p.name, ErrNoInit)
	}
	if err := p.enter(); err != nil {
		return err
	}
	child, err := p.start(ctx)
	if err != nil {
		err = failed("Start", p.name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.state = fresh
		return err
	}
	p.state = started
	p.child = child.Child
	addChild(p)
	p.input, p.seen = nil, nil
	go p.supervise(child)
	return nil
}

// enter changes the state of p from fresh to starting.
func (p *Process) enter() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return failed("Start", p.name, ErrClosed)
	case p.state != fresh:
		return failed("Start", p.name, ErrAlreadyStarted)
	}
	p.state = starting
	return nil
}

// start makes the process. Its task does not run before the child has connected.
func (p *Process) start(ctx context.Context) (_ *link, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := p.options.check(); err != nil {
		return nil, err
	}
	files, err := p.options.files()
	if err != nil {
		return nil, err
	}
	defer files.null.Close()
	l := &link{request: request{p.task, p.name, p.identity, p.input}, said: make(chan report, 1)}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.crash, err = sys.CrashFile(); err != nil {
		return nil, err
	}
	if l.granted, err = grantAll(p.seen); err != nil {
		return nil, err
	}
	meeting.expect()
	env := environment(os.Environ(), p.options.Env)
	if l.Child, err = theStarter.start(ctx, os.Args, env, p.options.Dir, files.standard); err != nil {
		meeting.started(nil)
		return nil, err
	}
	if crash.Enabled {
		crash.At(crash.StartBorn)
	}
	// The segments know the child before it has anything of them.
	l.granted.started(l.PID())
	meeting.started(l)
	if crash.Enabled {
		crash.At(crash.StartAwaited)
	}
	return l, nil
}
