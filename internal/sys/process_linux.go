package sys

import (
	"errors"
	"os"
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
// find the end, whoever else still holds the other end.
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

// InheritedSocket takes over a socket that this process was started with, and
// puts it into the netpoller. What this process starts does not inherit it.
func InheritedSocket(fd int) (*os.File, error) {
	if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return nil, os.NewSyscallError("getsockopt", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return InheritedFile(fd)
}

// InheritedFile takes over a file that this process was started with. What
// this process starts does not inherit it.
func InheritedFile(fd int) (*os.File, error) {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "inherited"), nil
}

// A Child is a process started by StartChild. Signal may be called at any time
// by any goroutine, Wait by one.
type Child struct {
	process *os.Process
	pidfd   *os.File // readable once the process has ended; nil if there is none
}

// StartChild runs the executable of this process again. The child is killed
// when the OS thread that called StartChild ends (golang/go#27505): call it
// from a thread that lasts.
func StartChild(argv []string, attr *os.ProcAttr) (*Child, error) {
	a := *attr
	a.Sys = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	process, err := os.StartProcess("/proc/self/exe", argv, &a)
	if err != nil {
		return nil, err
	}
	c := &Child{process: process}
	// A pidfd of our own, since it is to be non-blocking and that one of
	// os.Process must block. The pid is still the child's: nobody has waited.
	// Should there be no pidfd, Wait holds a thread.
	c.pidfd, _ = PidfdOpen(process.Pid)
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

// Wait waits for the end of the child, without holding an OS thread, and reaps
// it. It returns the exit code, or -N if signal N ended the child.
func (c *Child) Wait() (code int, err error) {
	if c.pidfd != nil {
		_ = AwaitExit(c.pidfd) // an error: the wait below blocks instead
		c.pidfd.Close()
	}
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
