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

// ControlPair makes a pair of connected stream sockets. The first is in the netpoller,
// the second blocks.
func ControlPair() (polled, blocking *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		closeFD(fds[0])
		closeFD(fds[1])
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control"), nil
}

// ShutdownRead makes readers of the socket f drain what has arrived and then
// find the end, even if another process still holds the other end.
func ShutdownRead(f *os.File) error {
	return os.NewSyscallError("shutdown", control(f, func(fd int) error { return unix.Shutdown(fd, unix.SHUT_RD) }))
}

// CrashFile makes an unnamed file in memory, to which the Go runtime of a child writes
// the text of a crash.
func CrashFile() (*os.File, error) {
	fd, err := unix.MemfdCreate("mp-crash", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), "crash"), nil
}

// OnMainThread reports whether the caller runs on the process's first thread.
func OnMainThread() bool { return unix.Gettid() == unix.Getpid() }

// A Starter starts children from one OS thread. The thread has a table of descriptors of its own, which holds nothing
// but what a child is to inherit and what the thread itself needs. So descriptors of the process that lack the
// close-on-exec mark do not reach the child. They do where the kernel (before Linux 5.9) or a seccomp filter refuses
// such a table, or where /proc is not mounted.
type Starter struct {
	private bool
	conn    int // by which files come into the private table, and pidfds out of it
}

// NewStarter makes the calling thread a starter's. It must not be the main thread, whose table /proc/self/fd
// shows, and it must last as long as the children are to live: the kernel kills a child when the
// thread that started it ends (golang/go#27505). conn is the end of a ControlPair at which the thread exchanges
// files with the process. It stays open in the thread's table when the process closes it. The netpoller must have
// been used.
func NewStarter(conn *os.File) *Starter {
	s := &Starter{conn: int(conn.Fd())}
	keep := poller()
	if keep == nil {
		return s
	}
	null, err := ignoringEINTR(func() (int, error) { return unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0) })
	if err != nil {
		return s
	}
	const beyond = 1 << 30 // no descriptor is there: the call closes none
	if unix.CloseRange(beyond, math.MaxUint32, unix.CLOSE_RANGE_UNSHARE) != nil {
		closeFD(null)
		return s
	}
	s.private = true
	// The table would keep a pipe's write end open that the process has closed. Only 2 stays: Go's runtime
	// writes there, on any thread, why a program crashes.
	for fd := range 2 {
		_ = unix.Dup3(null, fd, unix.O_CLOEXEC) // it can't fail: the table has room for 0 and 1
	}
	next := uint(3)
	keep = append(keep, s.conn)
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

// poller returns the descriptors that may be those of Go's netpoller, which the runtime uses on every thread: epoll
// and eventfd, with the close-on-exec mark. It returns nil if it does not find both.
func poller() (fds []int) {
	const dir = "/proc/self/fd/"
	found := make(map[string]bool)
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
			found[what] = true
			fds = append(fds, fd)
		}
	}
	if len(found) < 2 {
		return nil
	}
	return fds
}

// Private reports whether the thread has a table of its own.
func (s *Starter) Private() bool { return s.private }

// A Birth is a process that a Starter has just started.
type Birth struct {
	pid   int
	pidfd int  // of the table that the process shares; -1 if there is none
	sent  bool // the pidfd is in conn
}

// An Image is what a new process runs.
type Image struct {
	Path  string // of the executable; empty: that of this process
	Args  []string
	Env   []string
	Dir   string         // empty: the working directory of this process
	Death syscall.Signal // the kernel sends it to the process when the starter's thread ends
	Group bool           // the process leads a process group of its own
}

// handOut sends the pidfd of b from the private table to the process's: see NewChild, which opens another if that fails.
func (s *Starter) handOut(b *Birth) {
	if b.pidfd >= 0 {
		b.sent = sendRights(s.conn, lastRights, b.pidfd) == nil
		closeFD(b.pidfd)
		b.pidfd = -1
	}
}

const executable = "/proc/self/exe"

// Explain returns an error that names the cause of err, with which a start of i has failed. The kernel's own
// error does not distinguish the working directory from the executable.
//
// A starter's thread must not call it: under go test, package os writes to a log which files are looked
// for, and that thread does not have the log's descriptor.
func (i Image) Explain(err error) error {
	if _, ok := err.(syscall.Errno); !ok {
		return err // not of the start itself
	}
	if derr := CheckDir(i.Dir); derr != nil {
		return derr
	}
	if i.Path == "" {
		i.Path = executable
	}
	if _, serr := os.Lstat(executable); serr != nil && i.Path == executable {
		return fmt.Errorf("the executable can't be found, since /proc is not mounted: %w", serr)
	}
	return &fs.PathError{Op: "fork/exec", Path: i.Path, Err: err}
}

// CheckDir returns an error if dir can't be the working directory of a process. It may be empty.
func CheckDir(dir string) error {
	if dir == "" {
		return nil
	}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "chdir", Path: dir, Err: syscall.ENOTDIR}
	}
	if err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	return nil
}

// A Child is a process started by a Starter. Signal and Ended may be called at any time by any goroutine, AwaitExit
// and after it Reap by one.
type Child struct {
	pid     int
	pidfd   *os.File    // nil if the kernel has none; closed by Reap
	process *os.Process // in place of pidfd
}

// NewChild returns the child that a Starter has started. conn is the process's end of the starter's ControlPair.
func NewChild(b Birth, conn *os.File) *Child {
	c := &Child{pid: b.pid}
	if b.sent {
		if files, err := ReceiveFiles(conn); err == nil && len(files) == 1 {
			b.pidfd = take(files[0])
		}
	}
	if b.pidfd >= 0 {
		if unix.SetNonblock(b.pidfd, true) == nil {
			c.pidfd = os.NewFile(uintptr(b.pidfd), "pidfd")
			return c
		}
		closeFD(b.pidfd)
	}
	if c.pidfd, _ = PidfdOpen(b.pid); c.pidfd == nil {
		c.process, _ = os.FindProcess(b.pid) // it never fails
	}
	return c
}

// take returns a descriptor of f's own and closes f.
func take(f *os.File) int {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// PID returns the child's process id.
func (c *Child) PID() int { return c.pid }

// Signal sends sig, or does nothing if the child has ended. It never reaches another process that got the same pid.
func (c *Child) Signal(sig syscall.Signal) error {
	if c.pidfd == nil {
		if err := c.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		return nil
	}
	err := control(c.pidfd, func(fd int) error { return unix.PidfdSendSignal(fd, sig, nil, 0) })
	if err == nil || errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return os.NewSyscallError("pidfd_send_signal", err)
}

// AwaitExit waits until the child has ended. Unless another part of the program has reaped it, it is a zombie then,
// and its pid is still its own. Where the kernel has pidfds, AwaitExit holds no OS thread.
func (c *Child) AwaitExit() {
	if c.pidfd != nil && AwaitExit(c.pidfd) == nil {
		return
	}
	// ECHILD means that it has been reaped.
	_, _ = ignoringEINTR(func() (int, error) {
		return 0, unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	})
}

// Ended reports whether the child is known to have ended. It never is where the kernel has no pidfd.
func (c *Child) Ended() bool {
	if c.pidfd == nil {
		return false
	}
	ended := false
	err := control(c.pidfd, func(fd int) error {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		ended = n == 1
		return err
	})
	return ended || errors.Is(err, os.ErrClosed)
}

// PidFD returns a descriptor of the child's pidfd, which belongs to the caller. It fails with
// os.ErrClosed if the child has been reaped, and with errors.ErrUnsupported where the kernel has none.
func (c *Child) PidFD() (*os.File, error) {
	if c.pidfd == nil {
		return nil, fmt.Errorf("this kernel has no pidfd: %w", errors.ErrUnsupported)
	}
	fd := -1
	err := control(c.pidfd, func(of int) (err error) {
		fd, err = unix.FcntlInt(uintptr(of), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// Reap reaps the child, which has ended. It returns the exit code, or -N if signal N ended the child. It fails if
// another part of the program has reaped the child, and never reaps another process.
func (c *Child) Reap() (code int, err error) {
	if c.pidfd == nil {
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
	defer c.pidfd.Close()
	err = control(c.pidfd, func(fd int) error {
		code, err = waitPidfd(fd)
		return err
	})
	return code, os.NewSyscallError("waitid", err)
}
