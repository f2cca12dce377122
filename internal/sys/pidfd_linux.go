package sys

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// PidfdOpen returns a pidfd of process pid. It is in Go's netpoller, so that AwaitExit
// holds no OS thread.
func PidfdOpen(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// AwaitExit blocks until the process of pidfd has ended, and returns nil. The process
// may be a zombie then. If pidfd is closed, AwaitExit fails.
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

// PIDNamespace returns a number that identifies the PID namespace of this process, or 0
// if it is unknown since /proc is not mounted.
var PIDNamespace = sync.OnceValue(func() uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/pid", &st) != nil {
		return 0
	}
	return st.Ino
})
