package sys

import "golang.org/x/sys/unix"

const (
	membarrierGlobalExpedited         = 1 << 1
	membarrierRegisterGlobalExpedited = 1 << 2
)

// RegisterBarrier asks that Barrier, called in any process, reaches the
// threads of this one. It tells whether it will.
func RegisterBarrier() bool {
	_, _, errno := unix.RawSyscall(unix.SYS_MEMBARRIER, membarrierRegisterGlobalExpedited, 0, 0)
	return errno == 0
}

// Barrier runs a full memory barrier on every thread, running now, of every
// process that registered. It tells whether it did.
func Barrier() bool {
	_, _, errno := unix.RawSyscall(unix.SYS_MEMBARRIER, membarrierGlobalExpedited, 0, 0)
	return errno == 0
}
