package sys

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Listen listens for stream connections at the abstract name, which vanishes with the
// socket. It fails with an error for which IsInUse is true if the name is taken.
func Listen(name string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: "@" + name}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("listen", err)
	}
	return os.NewFile(uintptr(fd), "listener"), nil
}

// IsInUse reports whether err says that a name is taken.
func IsInUse(err error) bool { return errors.Is(err, unix.EADDRINUSE) }

// Accept waits for a connection, without holding a thread, and returns it and the process that made it.
func Accept(listener *os.File) (conn *os.File, pid int, err error) {
	raw, err := listener.SyscallConn()
	if err != nil {
		return nil, 0, err
	}
	var fd int
	var failed error
	if err := raw.Read(func(l uintptr) bool {
		fd, _, failed = unix.Accept4(int(l), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		return failed != unix.EAGAIN && failed != unix.EINTR && failed != unix.ECONNABORTED
	}); err != nil {
		return nil, 0, err
	}
	if failed != nil {
		return nil, 0, os.NewSyscallError("accept", failed)
	}
	conn = os.NewFile(uintptr(fd), "control")
	if pid, err = peer(fd); err != nil {
		return nil, 0, errors.Join(err, conn.Close())
	}
	return conn, pid, nil
}

// Connect connects to the process pid that listens at the abstract name. If none listens there, or another
// process does, it returns nil.
func Connect(name string, pid int) *os.File {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	_, err = ignoringEINTR(func() (int, error) { return 0, unix.Connect(fd, &unix.SockaddrUnix{Name: "@" + name}) })
	if err == nil {
		var got int
		if got, err = peer(fd); err == nil && got != pid {
			err = unix.EPERM
		}
	}
	if err == nil {
		err = unix.SetNonblock(fd, true) // for the netpoller
	}
	if err != nil {
		unix.Close(fd)
		return nil
	}
	return os.NewFile(uintptr(fd), "control")
}

// peer returns the process at the other end of a connection: the one that called connect or listen.
func peer(fd int) (pid int, err error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, os.NewSyscallError("getsockopt(SO_PEERCRED)", err)
	}
	return int(cred.Pid), nil
}
