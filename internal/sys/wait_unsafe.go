//go:build linux

package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// waitPidfd reaps the child of a pidfd, which has ended, and returns its exit code, or -N if signal N ended it.
func waitPidfd(pidfd int) (code int, err error) {
	var info unix.Siginfo
	if _, err := ignoringEINTR(func() (int, error) {
		return 0, unix.Waitid(unix.P_PIDFD, pidfd, &info, unix.WEXITED, nil)
	}); err != nil {
		return 0, err
	}
	// After three numbers of 32 bits comes a union, as aligned as a pointer: si_pid, si_uid, si_status.
	const word = unsafe.Sizeof(uintptr(0))
	const union = (12 + word - 1) / word * word
	status := *(*int32)(unsafe.Add(unsafe.Pointer(&info), union+8))
	const exited = 1 // CLD_EXITED; the others are CLD_KILLED and CLD_DUMPED
	if info.Code != exited {
		return -int(status), nil
	}
	return int(status), nil
}
