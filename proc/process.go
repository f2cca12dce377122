package proc

import (
	"context"
	"sync"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A Process is a child of this process, which runs one task once. Task.New makes
// it. All methods may be called by any number of goroutines at once. What it
// uses is given back when it ends, whether or not anyone calls Join or Close.
type Process struct {
	name     string
	task     string
	identity string
	options  Options
	done     chan struct{} // closed at the end, after outcome is set
	outcome  outcome

	mu     sync.Mutex
	state  state
	closed bool
	input  []byte // until it is started
	seen   []sighting
	child  *sys.Child // once it was started
}

type state int

const (
	fresh state = iota
	starting
	started // perhaps ended: see done
)

// An outcome is how a process ended.
type outcome struct {
	err      error // what Join returns
	code     int   // exit code, or -N for signal N
	result   []byte
	returned bool // there is a result
}

// Name returns the name given in Options or one made from the task's.
func (p *Process) Name() string { return p.name }

// PID returns the process id, or 0 before the process was started. The kernel may
// give the id to another process once this one has ended; the methods of Process
// never take that for this one.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child == nil {
		return 0
	}
	return p.child.PID()
}

// Done returns a channel that is closed when the process has ended. It stays
// open while the process is not started.
func (p *Process) Done() <-chan struct{} { return p.done }

// Alive reports whether the process was started and has not ended.
func (p *Process) Alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == started && !p.ended()
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// ExitCode returns the exit code, or -N if signal N ended the process, and
// whether it has ended. A panic gives 2, as it does in any Go program; so do
// SIGQUIT, SIGABRT and SIGSEGV, which the Go runtime catches. The code is 255 if
// it is unknown, because this program ignores SIGCHLD or another part of it has reaped the child.
func (p *Process) ExitCode() (code int, exited bool) {
	if !p.ended() {
		return 0, false
	}
	return p.outcome.code, true
}

// Join waits until the process has ended or ctx is done. It returns nil if the
// process ended with exit code 0, otherwise
//
//   - *RemoteError, if the task returned an error (exit code 1),
//   - *PanicError, if the task or another goroutine panicked (exit code 2),
//   - *ExitError, if it ended by os.Exit or by a signal,
//   - ErrNoInit, if it ended, even with exit code 0, before it was in Init,
//   - the error of ctx, if that is done while the process runs,
//   - ErrNotStarted or ErrClosed.
//
// It may be called any number of times.
func (p *Process) Join(ctx context.Context) error {
	if err := p.check("Join"); err != nil {
		return err
	}
	if p.ended() {
		return p.outcome.err
	}
	select {
	case <-p.done:
		return p.outcome.err
	case <-ctx.Done():
		return failed("Join", p.name, ctx.Err())
	}
}

// check returns ErrNotStarted or ErrClosed if the process is that.
func (p *Process) check(op string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return failed(op, p.name, ErrClosed)
	case p.state != started:
		return failed(op, p.name, ErrNotStarted)
	}
	return nil
}

// Terminate sends SIGTERM, which ends the process unless its task handles that
// signal. It does not wait. It does nothing if the process has ended. It fails
// with ErrNotStarted or ErrClosed.
func (p *Process) Terminate() error { return p.signal("Terminate", syscall.SIGTERM) }

// Kill sends SIGKILL, which ends the process. It does not wait. It does nothing
// if the process has ended. It fails with ErrNotStarted or ErrClosed.
func (p *Process) Kill() error { return p.signal("Kill", syscall.SIGKILL) }

func (p *Process) signal(op string, sig syscall.Signal) error {
	if err := p.check(op); err != nil {
		return err
	}
	if err := p.child.Signal(sig); err != nil {
		return failed(op, p.name, err)
	}
	return nil
}

// Close says that the process will not be used any more: other methods then
// return ErrClosed, and it can't be started. It fails with ErrRunning, and does
// nothing, while the process runs. Closing again returns nil.
func (p *Process) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == starting || p.state == started && !p.ended() {
		return failed("Close", p.name, ErrRunning)
	}
	p.closed = true
	p.input, p.seen = nil, nil
	return nil
}
