package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// A Cmd is an external program that runs as a child of this process. Command makes it. Set its
// fields and call Pass before Start, Run or Output, and do not change the fields afterwards. Its
// methods may be called from several goroutines at once.
//
// The program leads a process group of its own. When it has ended, the processes that are left in
// the group are killed. The kernel kills the program when this process ends, however that happens;
// the program's own children only follow if they watch their parent.
//
// Since the group is not the terminal's foreground group, Ctrl-C does not reach the program, and it
// can't read from the terminal. It gets Ctrl-C's effect from this process: by Interrupt, or by its
// end.
//
// A Cmd runs once. When the program has ended its resources are freed, even if Join is not called.
type Cmd struct {
	// Path is the executable. Command sets it to the file that it has found for the name.
	Path string
	// Args are the arguments, of which the first is the name of the program.
	Args []string
	// Name is used in errors. The default is the base name of the executable with a number: "sh-3".
	Name string
	// Env ("KEY=value") is added to the environment of this process, which the program inherits.
	Env []string
	// Dir is the program's working directory. The default is this process's.
	Dir string

	// Stdin is what the program reads. The default is /dev/null. If it is not an *os.File, a
	// goroutine copies it to the program.
	Stdin io.Reader
	// Stdout and Stderr get what the program writes. The defaults are os.Stdout and os.Stderr. If
	// they are not an *os.File, goroutines copy what the program writes, and the program counts as
	// ended when everything is copied. If both are the same comparable Writer, at most one goroutine
	// at a time calls Write.
	Stdout, Stderr io.Writer

	// Grace is how long Stop, Run and Output let the program go on after SIGTERM, before they kill
	// it. The default is 3 seconds.
	Grace time.Duration

	passed []passed
	done   chan struct{} // closed at the end, after err and code are set
	err    error         // what Join returns
	code   int

	mu     sync.Mutex
	state  state
	name   string
	find   error // why Command has not found the program
	child  *sys.Child
	killed bool // this process has sent it SIGKILL
	reaped bool
}

// Command returns a Cmd that runs the program name with these arguments. It searches name in PATH
// as exec.LookPath does; if there is no such program, Start fails. args does not include the name.
//
// The program gets what Pass names. It need not know mp: then it is an ordinary child under
// supervision.
func Command(name string, args ...string) *Cmd {
	c := &Cmd{Path: name, Args: append([]string{name}, args...), done: make(chan struct{})}
	c.Path, c.find = lookPath(name)
	return c
}

// Start starts the program. It returns when the program runs. ctx bounds the start only. If Start
// fails it has started nothing. It returns
//
//   - exec.ErrNotFound or fs.ErrNotExist, if there is no such program or directory,
//   - ErrAlreadyStarted,
//   - os.ErrClosed, if an object that was passed, or a standard file, is closed,
//   - fs.ErrNotExist, if an object that was passed has been removed,
//   - ErrValue or syscall.EINVAL, if something can't be passed, or a name or Env is not valid,
//   - shm.ErrParties, if a segment has as many parties as it may,
//   - the error of ctx, or an error of the kernel,
//   - errors.ErrUnsupported, on systems other than Linux.
//
// After all but ErrAlreadyStarted, Start may be called again.
func (c *Cmd) Start(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != fresh {
		return failed("Start", c.name, ErrAlreadyStarted)
	}
	if c.name == "" {
		if c.name = c.Name; c.name == "" {
			c.name = filepath.Base(c.Path) + "-" + strconv.FormatUint(lastChild.Add(1), 10)
		}
	}
	r, err := c.start(ctx)
	if err != nil {
		return failed("Start", c.name, err)
	}
	c.child, c.state, c.passed = r.Child, started, nil
	go c.supervise(r)
	return nil
}

// Join waits until the program has ended and its output is copied, or ctx is done. It returns nil
// if the program ended with exit code 0. Otherwise it returns
//
//   - *ExitError, if the exit code was not 0 or a signal ended the program,
//   - the error of a Writer or Reader among the standard files,
//   - an error that says that the exit code is unknown,
//   - the error of ctx, if ctx is done while the program runs,
//   - ErrNotStarted.
//
// What the program has done happens before the return of Join. Join may be called any number of
// times.
func (c *Cmd) Join(ctx context.Context) error {
	name, err := c.check("Join")
	if err != nil {
		return err
	}
	select {
	case <-c.done:
		return c.err
	default:
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return failed("Join", name, ctx.Err())
	}
}

// Run starts the program and waits for its end. When ctx is done it stops the program as Stop does,
// and returns an error that wraps both ctx's error and that of Join. Otherwise it fails as Start and
// Join do.
func (c *Cmd) Run(ctx context.Context) error {
	if err := c.Start(ctx); err != nil {
		return err
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
	}
	err := c.Stop(context.WithoutCancel(ctx))
	if err == nil {
		return nil // it ended well, just then or on SIGTERM
	}
	return failed("Run", c.ident(), errors.Join(context.Cause(ctx), err))
}

// Output is Run, and returns what the program has written to its standard output. It fails with
// os.ErrInvalid if Stdout is set.
func (c *Cmd) Output(ctx context.Context) ([]byte, error) {
	if c.Stdout != nil {
		return nil, failed("Output", c.ident(), fmt.Errorf("%w: Stdout is set", os.ErrInvalid))
	}
	var out lockedBuffer
	c.Stdout = &out
	err := c.Run(ctx)
	return out.bytes(), err
}

// defaultCmdGrace is the default of Cmd.Grace.
const defaultCmdGrace = 3 * time.Second

// Stop ends the program: it sends SIGTERM to its group, waits for Grace or until ctx is done, and
// kills the group. It returns what Join returns. If the program has ended already, Stop only does
// that.
func (c *Cmd) Stop(ctx context.Context) error {
	if err := c.Terminate(); err != nil {
		return err
	}
	grace := c.Grace
	if grace <= 0 {
		grace = defaultCmdGrace
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.done:
		return c.err
	case <-timer.C:
	case <-ctx.Done():
	}
	if err := c.Kill(); err != nil {
		return err
	}
	<-c.done
	return c.err
}

// Interrupt sends SIGINT, which ends the program unless it handles that signal, to the program's
// process group. It does not wait. It does nothing if the program has ended. It fails with
// ErrNotStarted.
func (c *Cmd) Interrupt() error { return c.signal("Interrupt", syscall.SIGINT) }

// Terminate is Interrupt with SIGTERM.
func (c *Cmd) Terminate() error { return c.signal("Terminate", syscall.SIGTERM) }

// Kill is Interrupt with SIGKILL, which no program can handle.
func (c *Cmd) Kill() error { return c.signal("Kill", syscall.SIGKILL) }

func (c *Cmd) signal(op string, sig syscall.Signal) error {
	name, err := c.check(op)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		return nil
	}
	c.killed = c.killed || sig == syscall.SIGKILL
	if err := c.child.SignalGroup(sig); err != nil {
		return failed(op, name, err)
	}
	return nil
}

// check returns the program's name, and ErrNotStarted for op if the program has not been started.
func (c *Cmd) check(op string) (name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != started {
		return "", failed(op, filepath.Base(c.Path), ErrNotStarted)
	}
	return c.name, nil
}

// ident returns the name for errors.
func (c *Cmd) ident() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.name == "" {
		return filepath.Base(c.Path)
	}
	return c.name
}

// PID returns the process id, which is also that of the process group, or 0 if the program has not
// been started. When the program has ended, the kernel may give the id to another process.
func (c *Cmd) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.child == nil {
		return 0
	}
	return c.child.PID()
}

// Done returns a channel that is closed when the program has ended and its output is copied. It
// stays open while the program is not started.
func (c *Cmd) Done() <-chan struct{} { return c.done }

// Alive reports whether the program was started and Done is still open.
func (c *Cmd) Alive() bool {
	_, err := c.check("Alive")
	return err == nil && !c.ended()
}

func (c *Cmd) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// ExitCode returns the exit code, or -N if signal N ended the program, and reports whether the
// program has ended. The code is 255 if it is unknown, because this program ignores SIGCHLD or
// another part of it has reaped the child.
func (c *Cmd) ExitCode() (code int, exited bool) {
	if !c.ended() {
		return 0, false
	}
	return c.code, true
}
