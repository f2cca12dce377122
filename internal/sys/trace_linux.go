package sys

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Tracee is a thread of another process that the calling thread traces by ptrace. The tracee is
// either stopped, or it runs. All functions about it must be called by the OS thread that called
// Trace. If that thread ends, the kernel detaches the tracee, which goes on.
type Tracee struct {
	tid      int
	stepping bool // it was last made to run by Step
}

// TraceAllowed returns nil if this process may call ptrace at all, as far as its sandbox is concerned. It asks to trace
// process 0, which does not exist.
func TraceAllowed() error {
	if err := unix.PtraceSeize(0); err != unix.ESRCH {
		return os.NewSyscallError("ptrace", err)
	}
	return nil
}

// Trace attaches to thread tid of another process and stops it. The process's other threads go on.
func Trace(tid int) (*Tracee, error) {
	if err := unix.PtraceSeize(tid); err != nil {
		return nil, os.NewSyscallError("ptrace(PTRACE_SEIZE)", err)
	}
	t := &Tracee{tid: tid}
	return t, t.Interrupt()
}

// Interrupt asks the tracee to stop, also in a system call, which it begins again afterwards.
// Stopped tells when it has stopped.
func (t *Tracee) Interrupt() error {
	return os.NewSyscallError("ptrace(PTRACE_INTERRUPT)", unix.PtraceInterrupt(t.tid))
}

// Step lets the stopped tracee execute one instruction, or one system call. Stopped tells when it
// has.
func (t *Tracee) Step() error {
	t.stepping = true
	return os.NewSyscallError("ptrace(PTRACE_SINGLESTEP)", unix.PtraceSingleStep(t.tid))
}

// Continue lets the stopped tracee run.
func (t *Tracee) Continue() error {
	t.stepping = false
	return os.NewSyscallError("ptrace(PTRACE_CONT)", unix.PtraceCont(t.tid, 0))
}

// Resume lets a tracee that has stopped for a signal go on with Step or Continue, without the signal.
func (t *Tracee) Resume() error {
	if t.stepping {
		return t.Step()
	}
	return t.Continue()
}

// Halted reports whether nothing more is due for which the stopped tracee would stop again at once. A step or a breakpoint
// may come at the same time as Interrupt: then the kernel keeps the SIGTRAP of the second stop until the tracee goes on.
// Continue and AwaitStop must follow, and Halted again.
func (t *Tracee) Halted() (bool, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", t.tid))
	if err != nil {
		return false, err
	}
	_, rest, _ := strings.Cut(string(status), "\nSigPnd:")
	line, _, _ := strings.Cut(rest, "\n")
	pending, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	return pending&(1<<(unix.SIGTRAP-1)) == 0, err
}

// Detach ends the tracing of the tracee, which is halted and has no breakpoint. It goes on. A SIGTRAP that the kernel
// still keeps for it would end its process.
func (t *Tracee) Detach() error {
	return os.NewSyscallError("ptrace(PTRACE_DETACH)", unix.PtraceDetach(t.tid))
}

// Stopped reports whether the tracee has stopped since it was made to run. It does not block. sig
// is the signal for which it stopped: SIGTRAP after Step and Interrupt. Stopped returns
// syscall.ESRCH if the tracee has ended.
func (t *Tracee) Stopped() (sig syscall.Signal, stopped bool, err error) {
	return t.wait(unix.WNOHANG)
}

// AwaitStop blocks until the tracee has stopped. It returns what Stopped returns.
func (t *Tracee) AwaitStop() (sig syscall.Signal, stopped bool, err error) { return t.wait(0) }

// AwaitEnd blocks until the tracee, whose process was killed, has ended. Only then can the
// process's parent see its end.
func (t *Tracee) AwaitEnd() error {
	for {
		if _, _, err := t.wait(0); err == syscall.ESRCH {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (t *Tracee) wait(options int) (syscall.Signal, bool, error) {
	var status unix.WaitStatus
	tid, err := unix.Wait4(t.tid, &status, options|unix.WALL, nil)
	switch {
	case err == unix.EINTR || err == nil && tid == 0:
		return 0, false, nil
	case err == unix.ECHILD, err == nil && (status.Exited() || status.Signaled()):
		return 0, false, syscall.ESRCH
	case err != nil:
		return 0, false, os.NewSyscallError("wait4", err)
	case !status.Stopped():
		return 0, false, fmt.Errorf("wait4: status %#x", status)
	}
	return status.StopSignal(), true, nil
}

// PC returns the address of the instruction that the stopped tracee executes next.
func (t *Tracee) PC() (uintptr, error) {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(t.tid, &regs); err != nil {
		return 0, os.NewSyscallError("ptrace(PTRACE_GETREGS)", err)
	}
	return uintptr(regs.PC()), nil
}

// AtSystemCall reports whether the instruction at pc in the stopped tracee is a system call. It
// knows those of amd64 and 386.
func (t *Tracee) AtSystemCall(pc uintptr) (bool, error) {
	var code [2]byte
	if _, err := unix.PtracePeekText(t.tid, pc, code[:]); err != nil {
		return false, os.NewSyscallError("ptrace(PTRACE_PEEKTEXT)", err)
	}
	return code == [...]byte{0x0f, 0x05} || code == [...]byte{0xcd, 0x80} || code == [...]byte{0x0f, 0x34}, nil
}

// Break makes the stopped tracee stop before it executes the instruction at pc, whenever it is about
// to, instead of the pc of an earlier call; other threads are not affected. 0 means nowhere. It fails
// with errors.ErrUnsupported where there are no registers for that.
func (t *Tracee) Break(pc uintptr) error {
	const first, control = 0, 7 // the registers for the address and for what is enabled
	enabled := uintptr(0)
	if pc != 0 {
		enabled = 1
	}
	return errors.Join(t.setDebug(control, 0), t.setDebug(first, pc), t.setDebug(control, enabled))
}

// debugRegisters is the offset of u_debugreg in the kernel's struct user.
var debugRegisters = map[string]uintptr{"amd64": 848, "386": 252}

func (t *Tracee) setDebug(register int, v uintptr) error {
	at, known := debugRegisters[runtime.GOARCH]
	if !known {
		return errors.ErrUnsupported
	}
	const word = bits.UintSize / 8
	data := binary.NativeEndian.AppendUint64(nil, uint64(v))[:word] // little endian
	_, err := unix.PtracePokeUser(t.tid, at+uintptr(register*word), data)
	return os.NewSyscallError("ptrace(PTRACE_POKEUSER)", err)
}

// ThreadID returns the ID of the calling OS thread.
func ThreadID() int { return unix.Gettid() }
