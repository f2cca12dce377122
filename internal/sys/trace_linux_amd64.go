package sys

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// Caller returns where the function goes on that has called the one whose first instruction the stopped
// tracee executes next.
func (t *Tracee) Caller() (uintptr, error) {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(t.tid, &regs); err != nil {
		return 0, os.NewSyscallError("ptrace(PTRACE_GETREGS)", err)
	}
	var word [8]byte
	if _, err := unix.PtracePeekData(t.tid, uintptr(regs.Rsp), word[:]); err != nil {
		return 0, os.NewSyscallError("ptrace(PTRACE_PEEKDATA)", err)
	}
	return uintptr(binary.LittleEndian.Uint64(word[:])), nil
}

// ReadClock performs a call of the C function clock_gettime, whose first instruction the stopped tracee
// executes next, in its place. The tracee goes on at back, which Caller has returned.
func (t *Tracee) ReadClock(back uintptr) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(t.tid, &regs); err != nil {
		return os.NewSyscallError("ptrace(PTRACE_GETREGS)", err)
	}
	var now unix.Timespec
	if err := unix.ClockGettime(int32(regs.Rdi), &now); err != nil {
		return os.NewSyscallError("clock_gettime", err)
	}
	data := binary.LittleEndian.AppendUint64(nil, uint64(now.Sec))
	data = binary.LittleEndian.AppendUint64(data, uint64(now.Nsec))
	if _, err := unix.PtracePokeData(t.tid, uintptr(regs.Rsi), data); err != nil {
		return os.NewSyscallError("ptrace(PTRACE_POKEDATA)", err)
	}
	regs.Rax, regs.Rip, regs.Rsp = 0, uint64(back), regs.Rsp+8
	return os.NewSyscallError("ptrace(PTRACE_SETREGS)", unix.PtraceSetRegs(t.tid, &regs))
}
