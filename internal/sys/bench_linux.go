package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// CPUs returns the CPUs on which the calling thread may run.
func CPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	var cpus []int
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// PacketPair makes a pair of connected sockets that keep the borders of messages and block.
func PacketPair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "packets"), os.NewFile(uintptr(fds[1]), "packets"), nil
}

// A Usage is what a process has used so far.
type Usage struct {
	CPU      int64 // CPU time, in nanoseconds
	Switches int64 // context switches of its threads, voluntary or not
}

// UsageSoFar returns what this process has used so far, and, if children is true, what those of its
// children used that have ended and been waited for.
func UsageSoFar(children bool) (Usage, error) {
	cpu, err := CPUTime()
	if err != nil {
		return Usage{}, err
	}
	var own, others unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &own); err != nil {
		return Usage{}, os.NewSyscallError("getrusage", err)
	}
	if children {
		if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &others); err != nil {
			return Usage{}, os.NewSyscallError("getrusage", err)
		}
	}
	return Usage{
		CPU:      cpu + others.Utime.Nano() + others.Stime.Nano(),
		Switches: int64(own.Nvcsw) + int64(own.Nivcsw) + int64(others.Nvcsw) + int64(others.Nivcsw),
	}, nil
}

// Minus returns what was used since an earlier Usage of the same process.
func (u Usage) Minus(earlier Usage) Usage {
	return Usage{CPU: u.CPU - earlier.CPU, Switches: u.Switches - earlier.Switches}
}
