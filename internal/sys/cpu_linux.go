package sys

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Pin binds every thread of this process to some CPUs. Threads that start
// later inherit it.
func Pin(cpus ...int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	// A thread that is not bound yet may start another while the list is read. So
	// the list is read twice.
	for range 2 {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, e := range entries {
			tid, err := strconv.Atoi(e.Name())
			if err != nil {
				continue
			}
			if err := unix.SchedSetaffinity(tid, &set); err != nil && err != unix.ESRCH {
				return os.NewSyscallError("sched_setaffinity", err)
			}
		}
	}
	return nil
}

// Yield lets another thread run on this CPU.
func Yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// CPUTime returns the CPU time that this process has used, in nanoseconds.
func CPUTime() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return ts.Nano(), nil
}

// A ThreadCPUs is the set of CPUs on which a thread may run.
type ThreadCPUs struct{ set unix.CPUSet }

// BindThread binds the calling thread to the CPU on which it runs. It returns that CPU, and those on
// which the thread might run before.
func BindThread() (one, before ThreadCPUs, err error) {
	if err := unix.SchedGetaffinity(0, &before.set); err != nil {
		return one, before, os.NewSyscallError("sched_getaffinity", err)
	}
	cpu, err := currentCPU()
	if err != nil {
		return one, before, err
	}
	one.set.Set(cpu)
	return one, before, one.Bind(0)
}

// Bind makes a thread, 0 for the calling one, run on these CPUs only.
func (c *ThreadCPUs) Bind(tid int) error {
	return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(tid, &c.set))
}
