//go:build linux

package main

import (
	"os"
	"syscall"
	"unsafe"
)

// Constants of the kernel that package syscall lacks.
const (
	prSetNoNewPrivs   = 38
	prSetSeccomp      = 22
	seccompModeFilter = 2
	seccompErrno      = 0x00050000
	seccompAllow      = 0x7fff0000
)

// forbid makes system calls fail with ENOSYS in this thread and in the processes that it starts. The filter compares the
// numbers alone: it is no protection, but for programs of this processor it has the effect of one.
func forbid(calls []uintptr) error {
	filter := []syscall.SockFilter{{Code: syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS}} // the number is the first word
	for _, call := range calls {
		filter = append(filter,
			syscall.SockFilter{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: uint32(call), Jf: 1},
			syscall.SockFilter{Code: syscall.BPF_RET | syscall.BPF_K, K: seccompErrno | uint32(syscall.ENOSYS)})
	}
	filter = append(filter, syscall.SockFilter{Code: syscall.BPF_RET | syscall.BPF_K, K: seccompAllow})
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		return os.NewSyscallError("prctl(PR_SET_NO_NEW_PRIVS)", errno)
	}
	_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetSeccomp, seccompModeFilter, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return os.NewSyscallError("prctl(PR_SET_SECCOMP)", errno)
	}
	return nil
}
