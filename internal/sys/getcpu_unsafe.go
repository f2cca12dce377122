//go:build linux

package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// currentCPU returns the CPU on which the calling thread runs.
func currentCPU() (int, error) {
	var cpu uint32
	if _, _, err := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); err != 0 {
		return 0, os.NewSyscallError("getcpu", err)
	}
	return int(cpu), nil
}
