package sys

import "golang.org/x/sys/unix"

const (
	membarrierGlobalExpedited         = 1 << 1
	membarrierRegisterGlobalExpedited = 1 << 2
)

// RegisterBarrier makes Barrier, called in any process, reach the threads of this
// process. It reports whether it will.
func RegisterBarrier() bool {
	_, _, errno := unix.RawSyscall(unix.SYS_MEMBARRIER, membarrierRegisterGlobalExpedited, 0, 0)
	return errno == 0
}

// Barrier executes a full memory fence on each running thread of each process that
// has called RegisterBarrier. It reports whether it did.
func Barrier() bool {
	_, _, errno := unix.RawSyscall(unix.SYS_MEMBARRIER, membarrierGlobalExpedited, 0, 0)
	return errno == 0
}
