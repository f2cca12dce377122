package connection

import (
	"net"
	"os"
	"syscall"
)

func checkUnix() error { return nil }

// userOf returns the effective user that the process at the other end of c had when it connected or
// began to listen.
func userOf(c *net.UnixConn) (uid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *syscall.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) {
		cred, cerr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if cerr != nil {
		return 0, os.NewSyscallError("getsockopt(SO_PEERCRED)", cerr)
	}
	return int(cred.Uid), nil
}
