package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"

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

// Start starts the process: the executable of this program, run again with the
// arguments in os.Args. It returns as soon as the process exists. What
// goes wrong in the child before its task runs is an error of Join. ctx bounds the
// start only.
//
// The child gets nothing of this process but its environment, the standard
// files and the memory that the input names. It is killed when this process
// ends, however that happens.
//
// It fails with ErrNoInit, ErrAlreadyStarted, ErrClosed, the error of ctx, an
// error of the kernel, os.ErrClosed or fs.ErrNotExist if an object of the input
// has been closed or removed since New, or shm.ErrParties. Nothing was started
// then, and apart from ErrAlreadyStarted and ErrClosed it may be tried again. On systems other than Linux it fails with
// errors.ErrUnsupported.
func (p *Process) Start(ctx context.Context) error {
	if !initCalled.Load() {
		return ErrNoInit
	}
	if err := p.enter(); err != nil {
		return err
	}
	child, err := p.start(ctx)
	if err != nil {
		err = fmt.Errorf("proc: start %s: %w", p.name, err)
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
	// The input belongs to the goroutine that sends it, from here on.
	go child.send(p.task, p.name, p.identity, p.input)
	p.input, p.seen = nil, nil
	go p.supervise(child)
	return nil
}

// enter makes the caller the one that starts p.
func (p *Process) enter() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return fmt.Errorf("%w: %s", ErrClosed, p.name)
	case p.state != fresh:
		return fmt.Errorf("%w: %s", ErrAlreadyStarted, p.name)
	}
	p.state = starting
	return nil
}

// start makes the process. Its task does not run yet: the child waits for the
// frames that send writes.
func (p *Process) start(ctx context.Context) (_ *link, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stdin := p.options.Stdin
	if stdin == nil {
		if stdin, err = os.Open(os.DevNull); err != nil {
			return nil, err
		}
		defer stdin.Close()
	}
	control, childEnd, err := sys.ControlPair()
	if err != nil {
		return nil, err
	}
	defer childEnd.Close()
	l := &link{control: control}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.crash, err = sys.CrashFile(); err != nil {
		return nil, err
	}
	granted, err := grantAll(p.seen)
	if err != nil {
		return nil, err
	}
	attr := &os.ProcAttr{
		Dir:   p.options.Dir,
		Env:   environment(os.Environ(), p.options.Env, len(granted)),
		Files: []*os.File{stdin, or(p.options.Stdout, os.Stdout), or(p.options.Stderr, os.Stderr), childEnd, l.crash},
	}
	attr.Files = append(attr.Files, granted.files()...)
	onStarter(ctx, func() { l.Child, err = sys.StartChild(os.Args, attr) }, func() { err = ctx.Err() })
	if err != nil {
		return nil, errors.Join(err, granted.cancel())
	}
	// The segments know the child before it runs: it was told nothing yet.
	if err := granted.started(l.PID()); err != nil {
		_ = l.Signal(syscall.SIGKILL)
		_, _ = l.Wait()
		return nil, err
	}
	return l, nil
}

func or(f, standard *os.File) *os.File {
	if f != nil {
		return f
	}
	return standard
}
