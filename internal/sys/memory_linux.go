package sys

import (
	"bytes"
	"errors"
	"math"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// LimitPrivateMemory limits the private memory of this process to what it has now and n bytes more
// (RLIMIT_DATA: heap, stacks of threads, private mappings; shared mappings do not count).
func LimitPrivateMemory(n uint64) error {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	fields := bytes.Fields(text)
	if len(fields) < 6 {
		return errors.New("/proc/self/statm has no sixth field")
	}
	pages, err := strconv.ParseUint(string(fields[5]), 10, 64)
	if err != nil {
		return err
	}
	limit := pages * uint64(os.Getpagesize())
	if limit += n; limit < n {
		limit = math.MaxUint64
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_DATA, &old); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	limit = min(limit, old.Max)
	return os.NewSyscallError("setrlimit", unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: limit, Max: limit}))
}
