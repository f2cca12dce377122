package sys

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// PidfdOpen returns a pidfd of process pid, in Go's netpoller: AwaitExit
// waits on it without holding a thread.
func PidfdOpen(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// AwaitExit blocks until the process of pidfd has ended (it may still be a
// zombie), and then returns nil. Closing pidfd makes it fail with os.ErrClosed.
func AwaitExit(pidfd *os.File) error {
	c, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	return c.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		return err == nil && n == 1
	})
}

// PIDNamespace returns a number that tells this process's PID namespace
// from others, 0 if it can't be known.
var PIDNamespace = sync.OnceValue(func() uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/pid", &st) != nil {
		return 0
	}
	return st.Ino
})
