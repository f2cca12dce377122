package proc

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// lastChild numbers the children of this process.
var lastChild atomic.Uint64

func newProcess(task string, input []byte, seen []sighting, options *Options) *Process {
	p := &Process{task: task, input: input, seen: seen, done: make(chan struct{})}
	if options != nil {
		p.options = *options
		p.limited = options.Memory > 0
	}
	p.identity = strconv.FormatUint(lastChild.Add(1), 10)
	if above := Self().identity; above != "" {
		p.identity = above + ":" + p.identity
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
// process ends, however that happens. See Method for the other ways to start.
//
// If Start fails it has started nothing. It returns
//
//   - ErrNoInit, if this program has not called Init,
//   - ErrAlreadyStarted, or ErrClosed after Close,
//   - os.ErrClosed, if an object of the input was closed since New, or if Stdin, Stdout or
//     Stderr of Options is closed, or the Spares,
//   - fs.ErrNotExist, if an object of the input was removed since New, if Options.Dir or
//     Options.Executable does not exist, or if /proc is not mounted,
//   - shm.ErrParties, if a segment of the input has as many parties as it may,
//   - ErrMethod, if there is no such method,
//   - the error of the Preload of Spares,
//   - the error of ctx, or an error of the kernel,
//   - errors.ErrUnsupported, on systems other than Linux unless the method is InProcess, for the
//     method Fork, and for options that the method does not have.
//
// After all but ErrAlreadyStarted and ErrClosed, Start may be called again.
func (p *Process) Start(ctx context.Context) error {
	if !initCalled.Load() && p.options.Method != InProcess {
		return failed("Start", p.name, ErrNoInit)
	}
	if err := p.enter(); err != nil {
		return err
	}
	b, attend, err := p.start(ctx)
	if err != nil {
		err = failed("Start", p.name, err)
	}
	p.mu.Lock()
	if err != nil {
		p.state = fresh
		p.mu.Unlock()
		return err
	}
	p.state = started
	p.body = b
	addChild(p)
	p.input, p.seen = nil, nil
	p.mu.Unlock()
	p.log(slog.LevelInfo, "process started", "task", p.task, "method", p.options.Method)
	go attend()
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

// start makes the process. attend then waits for its end, and concludes it.
func (p *Process) start(ctx context.Context) (b body, attend func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := p.options.check(); err != nil {
		return nil, nil, err
	}
	if p.options.Method == InProcess {
		g := p.startInside()
		return g, func() { p.attend(g) }, nil
	}
	l, err := p.startChild(ctx)
	if err != nil {
		return nil, nil, err
	}
	return l.Child, func() { p.supervise(l) }, nil
}

// startChild makes a process of its own.
func (p *Process) startChild(ctx context.Context) (*link, error) {
	var std standard
	if err := std.open(p.name, &p.options); err != nil {
		return nil, err
	}
	env := environment(os.Environ(), p.options.Env)
	if p.options.Method == Warm {
		l, err := p.spares().start(ctx, p, std, env)
		if err != nil {
			std.abandon()
		}
		return l, err
	}
	image := sys.Image{
		Path: p.options.Executable, Args: os.Args, Env: env, Dir: p.options.Dir, Death: deathOfChild,
	}
	if p.options.Linger > 0 {
		image.Death = deathOfLingering
	}
	l, err := launch(ctx, image, std, p.seen, p.request())
	if err != nil {
		return nil, err
	}
	l.process.Store(p)
	l.await()
	return l, nil
}

// request is what the process is asked to do.
func (p *Process) request() request {
	r := newRequest(p.task, p.name, p.identity, p.input)
	r.daemon, r.method = p.options.Daemon, p.options.Method
	r.grace, r.linger, r.memory = p.options.grace(), p.options.Linger, p.options.Memory
	return r
}

// newRequest returns a request of this process.
func newRequest(task, name, identity string, input []byte) request {
	return request{
		task: task, name: name, identity: identity, input: input,
		parentName: Self().Name(), parentPID: os.Getpid(), authKey: AuthKey(), grace: DefaultGrace,
	}
}
