package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ControlPair makes the two ends of a stream socket: one for this process, in
// the netpoller, and one for a child to inherit.
func ControlPair() (parent, child *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control"), nil
}

// ShutdownRead makes readers of the socket f drain what has arrived and then
// find the end, even if another process still holds the other end.
func ShutdownRead(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = os.NewSyscallError("shutdown", unix.Shutdown(int(fd), unix.SHUT_RD))
	})
	return errors.Join(err, failed)
}

// CrashFile makes an unnamed file in memory, for a child to write the text of
// its crash to.
func CrashFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("mp-crash", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), "crash"), nil
}

// OnMainThread reports whether the caller runs on the process's first thread.
func OnMainThread() bool { return unix.Gettid() == unix.Getpid() }

// A Starter starts children from one OS thread. The thread has a table of descriptors of its own, in which there is
// nothing but what a child is to inherit: so the descriptors of the process that lack the close-on-exec
// mark do not reach the child. Where there is no such table (before Linux 5.9) they do.
type Starter struct {
	private bool
	from    int // by which the files for a child come into the private table
}

// NewStarter makes the calling thread a starter's. It must not be the main thread, whose table /proc/self/fd
// shows, and it must last as long as the children are to live: the kernel kills a child when the
// thread that started it ends (golang/go#27505). from is the end of a ControlPair by which the thread gets
// files. It stays open in the thread's table when the process closes it.
func NewStarter(from *os.File) *Starter {
	s := &Starter{from: int(from.Fd())}
	const beyond = 1 << 30 // no descriptor is there: the call closes none
	if unix.CloseRange(beyond, math.MaxUint32, unix.CLOSE_RANGE_UNSHARE) != nil {
		return s
	}
	s.private = true
	// This thread must keep what Go's runtime uses on every thread: its netpoller.
	next := uint(3)
	keep := append(poller(), s.from)
	slices.Sort(keep)
	for _, fd := range keep {
		if uint(fd) > next {
			_ = unix.CloseRange(next, uint(fd)-1, 0) // it works where the first call did
		}
		next = max(next, uint(fd)+1)
	}
	_ = unix.CloseRange(next, math.MaxUint32, 0)
	return s
}

// poller returns the descriptors of this thread's table that may be the netpoller's: epoll and eventfd, with the
// close-on-exec mark.
func poller() (fds []int) {
	const dir = "/proc/thread-self/fd/"
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		what, err := os.Readlink(dir + e.Name())
		if err != nil || what != "anon_inode:[eventpoll]" && what != "anon_inode:[eventfd]" {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC != 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// Private reports whether the thread has a table of its own, and so gets files only by from.
func (s *Starter) Private() bool { return s.private }

// Start runs the executable of this process again, with the three standard files, which must have been sent by
// SendFiles if the starter is private. It returns the child's pid. It must be called on the starter's thread.
func (s *Starter) Start(argv, env []string, dir string, files [3]*os.File) (pid int, err error) {
	var fds []int
	if s.private {
		fds, err = receiveRights(func(kind, oob []byte) (n, oobn, flags int, err error) {
			n, oobn, flags, _, err = unix.Recvmsg(s.from, kind, oob, unix.MSG_CMSG_CLOEXEC)
			return n, oobn, flags, err
		})
		if err != nil {
			return 0, err
		}
		defer func() {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}()
	} else {
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
	}
	attr := &syscall.ProcAttr{Dir: dir, Env: env, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}}
	for _, fd := range fds {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	pid, err = syscall.ForkExec(executable, argv, attr)
	if err != nil {
		return 0, explain(err, dir)
	}
	return pid, nil
}

const executable = "/proc/self/exe"

// explain says what is wrong where the kernel says only that something is.
func explain(err error, dir string) error {
	if dir != "" {
		if info, serr := os.Stat(dir); serr != nil {
			return fmt.Errorf("working directory: %w", serr)
		} else if !info.IsDir() {
			return fmt.Errorf("working directory: %w", &fs.PathError{Op: "chdir", Path: dir, Err: syscall.ENOTDIR})
		}
	}
	if _, serr := os.Lstat(executable); serr != nil {
		return fmt.Errorf("the executable can't be found, since /proc is not mounted: %w", serr)
	}
	return &fs.PathError{Op: "fork/exec", Path: executable, Err: err}
}

// A Child is a process started by a Starter. Signal may be called at any time
// by any goroutine, AwaitExit and Wait by one.
type Child struct {
	process *os.Process
	pidfd   *os.File // readable once the process has ended; nil if there is none
}

// NewChild returns the child pid, which nobody has waited for.
func NewChild(pid int) (*Child, error) {
	process, err := os.FindProcess(pid)
	if err != nil {
		return nil, err
	}
	c := &Child{process: process}
	// A pidfd of our own, since it is to be non-blocking and that of
	// os.Process must block. Should there be no pidfd, Wait holds a thread.
	c.pidfd, _ = PidfdOpen(pid)
	return c, nil
}

// PID returns the child's process id.
func (c *Child) PID() int { return c.process.Pid }

// Signal sends sig, or does nothing if the child has ended. It never reaches
// another process that got the same pid.
func (c *Child) Signal(sig syscall.Signal) error {
	if err := c.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// AwaitExit waits for the end of the child, without holding an OS thread. The child may be a zombie then, so that
// its pid is still its own.
func (c *Child) AwaitExit() {
	if c.pidfd != nil {
		_ = AwaitExit(c.pidfd) // an error: Wait blocks instead
		c.pidfd.Close()
	}
}

// Wait waits for the end of the child and reaps it. It returns the exit code, or -N if signal N ended
// the child. It fails if another part of the program has reaped the child.
func (c *Child) Wait() (code int, err error) {
	state, err := c.process.Wait()
	if err != nil {
		return 0, err
	}
	status := state.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return -int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}
