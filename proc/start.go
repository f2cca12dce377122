package proc

import (
	"context"
	"errors"
	"fmt"
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
	go p.supervise(child, request{p.task, p.name, p.identity, p.input})
	p.input, p.seen = nil, nil
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
func (p *Process) start(ctx context.Context) (*link, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	files, err := p.options.files()
	if err != nil {
		return nil, err
	}
	defer files.null.Close()
	threads, err := theStarter()
	if err != nil {
		return nil, err
	}
	crash, err := sys.CrashFile()
	if err != nil {
		return nil, err
	}
	granted, err := grantAll(p.seen)
	if err != nil {
		return nil, errors.Join(err, crash.Close())
	}
	l := &link{crash: crash, granted: granted, reported: make(chan struct{})}
	reception.mu.Lock()
	defer reception.mu.Unlock()
	err = openReception()
	if err == nil {
		var pid int
		pid, err = threads.start(ctx, os.Args, environment(os.Environ(), p.options.Env), p.options.Dir, files.standard)
		if err == nil {
			l.Child, err = sys.NewChild(pid)
		}
	}
	if err != nil {
		return nil, errors.Join(err, crash.Close(), granted.cancel())
	}
	// The segments know the child before it does anything with them: it has nothing of them yet.
	granted.started(l.PID())
	reception.expected[l.PID()] = l
	return l, nil
}
