package sys

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Start runs i. File number n becomes its descriptor n. It must be called on the starter's
// thread. If the starter is private, the caller must have sent the files by SendFiles to the other
// end of conn, and NewChild must follow a success. Image.Explain must follow a failure, on another thread.
func (s *Starter) Start(i Image, files []*os.File) (b Birth, err error) {
	if i.Path == "" {
		i.Path = executable
	}
	var fds []int
	if s.private {
		fds, err = receiveRights(func(kind, oob []byte) (n, oobn, flags int, err error) {
			n, oobn, flags, _, err = unix.Recvmsg(s.conn, kind, oob, unix.MSG_CMSG_CLOEXEC)
			return n, oobn, flags, err
		})
		if err != nil {
			return b, err
		}
		defer func() {
			for _, fd := range fds {
				closeFD(fd)
			}
		}()
	} else {
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
	}
	if b.pid, b.pidfd, err = fork(i, fds); err != nil {
		return b, err
	}
	if s.private {
		s.handOut(&b)
	}
	return b, nil
}

// fork runs i with the descriptors fds. It returns the pidfd with which the process was born, -1 if
// the kernel has none.
func fork(i Image, fds []int) (pid, pidfd int, err error) {
	pidfd = -1
	attr := &syscall.ProcAttr{Dir: i.Dir, Env: i.Env, Sys: &syscall.SysProcAttr{
		Pdeathsig: i.Death, PidFD: &pidfd, Setpgid: i.Group,
	}}
	for _, fd := range fds {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	pid, err = syscall.ForkExec(i.Path, i.Args, attr)
	if err == syscall.EINVAL { // emulators and old kernels do not know CLONE_PIDFD
		pidfd, attr.Sys.PidFD = -1, nil
		pid, err = syscall.ForkExec(i.Path, i.Args, attr)
	}
	return pid, pidfd, err
}

// signalGroup is PIDFD_SIGNAL_PROCESS_GROUP of pidfd_send_signal, which Linux has from 6.9 on.
const signalGroup = 1 << 2

// SignalGroup sends sig to all processes of the group that the child leads. It does nothing if
// there is none. Before Linux 6.9 the caller must make sure that the child is not reaped meanwhile.
func (c *Child) SignalGroup(sig syscall.Signal) error {
	err := error(unix.EINVAL)
	if c.pidfd != nil {
		err = control(c.pidfd, func(fd int) error { return unix.PidfdSendSignal(fd, sig, nil, signalGroup) })
	}
	if err == unix.EINVAL || err == unix.ENOSYS || err == unix.EPERM {
		err = unix.Kill(-c.pid, sig)
	}
	if err == nil || err == unix.ESRCH || err == os.ErrClosed {
		return nil
	}
	return os.NewSyscallError("kill", err)
}
