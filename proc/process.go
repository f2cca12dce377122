package proc

import (
	"context"
	"sync"
	"syscall"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// A Process is a child of this process that runs one task once. Task.New makes it.
// Any number of goroutines may call its methods at once. When the process has ended,
// its resources are freed, even if the program calls neither Join nor Close.
type Process struct {
	name     string
	task     string
	identity string
	options  Options
	done     chan struct{} // closed at the end, after outcome is set
	end      wait.Gate     // moves after done is closed
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

// Name returns the name given in Options, or the default that Options.Name describes.
func (p *Process) Name() string { return p.name }

// PID returns the process id, or 0 if the process has not been started. When the
// process has ended, the kernel may give the id to another one. The methods of Process
// never signal that other process.
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

// ExitCode returns the exit code, or -N if signal N ended the process, and reports
// whether the process has ended. A panic gives 2, as it does in any Go program. So do
// SIGQUIT, SIGABRT and SIGSEGV, which the Go runtime handles. The code is 255 if it is
// unknown, because this program ignores SIGCHLD or another part of it has reaped the
// child. A result that arrived counts even then.
func (p *Process) ExitCode() (code int, exited bool) {
	if !p.ended() {
		return 0, false
	}
	return p.outcome.code, true
}

// Join waits until the process has ended or ctx is done. It returns nil if the process
// ended with exit code 0, or with an unknown exit code after its task had returned.
// Otherwise it returns
//
//   - *RemoteError, if the task returned an error (exit code 1),
//   - *PanicError, if the task or another goroutine panicked (exit code 2),
//   - *ExitError, if it ended by os.Exit or by a signal,
//   - ErrNoInit, if it ended with exit code 0 before it called Init,
//   - an error that says that the exit code is unknown,
//   - the error of ctx, if ctx is done while the process runs,
//   - ErrNotStarted or ErrClosed.
//
// The end of the task happens before the return of Join. Join may be called any number
// of times.
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

// check returns ErrNotStarted or ErrClosed for op if the process is not started, or closed.
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

// Close marks the process as no longer used: its other methods that return an error
// return ErrClosed from then on. While the process runs, Close does nothing and returns
// ErrRunning. Closing again returns nil.
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
