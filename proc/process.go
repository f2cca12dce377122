package proc

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"syscall"

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
	limited  bool                                    // its memory is limited
	keep     func(result []byte) (any, lease, error) // decodes a result; nil if nobody wants it

	mu     sync.Mutex
	state  state
	closed bool
	input  []byte // until it is started
	seen   []sighting
	body   body // once it was started
	killed bool // this process has sent it SIGKILL
	kills  killCount
	kept   any   // the decoded result, if objects are in it, until it is claimed
	lease  lease // the objects in kept
}

// A body is what runs a task: a child, or a goroutine.
type body interface {
	PID() int
	Signal(syscall.Signal) error
	PidFD() (*os.File, error)
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
	if p.body == nil {
		return 0
	}
	return p.body.PID()
}

// Daemon reports whether the process is a daemon: see Options.
func (p *Process) Daemon() bool { return p.options.Daemon }

// Method returns how the process is started.
func (p *Process) Method() Method { return p.options.Method }

// PidFD returns a pidfd of the process, which is readable for poll, select and epoll when the
// process has ended. It belongs to the caller. PidFD fails with ErrNotStarted, ErrClosed,
// os.ErrProcessDone if the process has ended, and errors.ErrUnsupported if the task runs in a
// goroutine or the kernel has no pidfds. In Go, Done does the same without a descriptor.
func (p *Process) PidFD() (*os.File, error) {
	if err := p.check("PidFD"); err != nil {
		return nil, err
	}
	f, err := p.body.PidFD()
	if errors.Is(err, os.ErrClosed) {
		err = os.ErrProcessDone
	}
	if err != nil {
		return nil, failed("PidFD", p.name, err)
	}
	return f, nil
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
// Join tries once even if ctx is done. Otherwise it returns
//
//   - *RemoteError, if the task returned an error (exit code 1),
//   - *PanicError, if the task or another goroutine panicked (exit code 2),
//   - *ExitError, if it ended by os.Exit or by a signal, also if its task obeyed Terminate or
//     Interrupt; for each of these, errors.Is(err, ErrMemory) says whether it had no more memory,
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

// Interrupt sends SIGINT, as Ctrl-C does. The task's context is cancelled with the cause
// ErrInterrupted; in all else Interrupt is as Terminate.
func (p *Process) Interrupt() error { return p.signal("Interrupt", syscall.SIGINT) }

// Terminate sends SIGTERM. The task's context is cancelled with the cause ErrTerminated, so that
// the task can clean up and return; when the grace is over (see Options), or if Terminate is called
// again, the process ends though the task has not returned. Its exit code is -15 in all these
// cases, unless the task returns nil or an error other than the context's. A task may handle or
// ignore SIGTERM itself: then Stop or Kill ends the process.
//
// Terminate does not wait. It does nothing if the process has ended. It fails with ErrNotStarted or
// ErrClosed.
func (p *Process) Terminate() error { return p.signal("Terminate", syscall.SIGTERM) }

// Kill sends SIGKILL, which ends the process. The kernel then kills the children that it has
// started by this package. Kill does not wait. It does nothing if the process has ended. It fails
// with ErrNotStarted or ErrClosed.
func (p *Process) Kill() error { return p.signal("Kill", syscall.SIGKILL) }

func (p *Process) signal(op string, sig syscall.Signal) error {
	if err := p.check(op); err != nil {
		return err
	}
	if p.ended() {
		return nil
	}
	p.log(slog.LevelDebug, "signal", "signal", sig)
	if sig == syscall.SIGKILL {
		p.mu.Lock()
		p.killed = true
		p.mu.Unlock()
	}
	if err := p.body.Signal(sig); err != nil {
		return failed(op, p.name, err)
	}
	return nil
}

// countKills notes how many processes the kernel has killed for memory in the cgroup of p.
func (p *Process) countKills() {
	if p.options.Method == InProcess {
		return
	}
	k := countKills(p.PID())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kills = k
}

// lackedMemory reports whether p, which has ended by SIGKILL, was killed since its cgroup had no more
// memory.
func (p *Process) lackedMemory() bool {
	p.mu.Lock()
	k, killed := p.kills, p.killed
	p.mu.Unlock()
	return !killed && k.took()
}

// log gives the logger a record about p.
func (p *Process) log(level slog.Level, what string, args ...any) {
	if p.options.Logger == nil {
		return
	}
	args = append([]any{"process", p.name, "pid", p.PID()}, args...)
	p.options.Logger.Log(context.Background(), level, what, args...)
}

// keepResult decodes the result, in which there are objects, so that this process is a user of them
// before the child's use ends. If that fails, Result fails in the same way.
func (p *Process) keepResult(result []byte) {
	if p.keep == nil {
		return
	}
	v, l, err := p.keep(result)
	if err != nil {
		l.close()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		l.close()
		return
	}
	p.kept, p.lease = v, l
}

// claim returns what keepResult has kept, once.
func (p *Process) claim() (v any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v, p.kept, p.lease = p.kept, nil, nil
	return v
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
	p.lease.close()
	p.kept, p.lease = nil, nil
	return nil
}
