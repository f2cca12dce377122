package testkit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A ThreadDir is the directory in /proc of a thread of any process.
type ThreadDir string

// Thread returns the ThreadDir of thread tid of process pid.
func Thread(pid, tid int) ThreadDir { return ThreadDir(fmt.Sprintf("/proc/%d/task/%d", pid, tid)) }

// Threads returns all threads of process pid.
func Threads(pid int) (all []ThreadDir) {
	names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, name := range names {
		all = append(all, ThreadDir(name))
	}
	return all
}

// State returns the letter of the thread's state, such as S for asleep and T for stopped. It
// returns 0 if the thread has ended.
func (d ThreadDir) State() byte {
	stat, _ := os.ReadFile(string(d) + "/stat")
	// "ID (NAME) STATE ...": NAME may contain any character, parentheses too
	_, after, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	if after == "" {
		return 0
	}
	return after[0]
}

// InWait reports whether the thread is in a wait of mp. It recognizes it by the system call
// futex_waitv, which Go's runtime does not use.
func (d ThreadDir) InWait() bool {
	const futexWaitv = "449 "
	call, _ := os.ReadFile(string(d) + "/syscall")
	return strings.HasPrefix(string(call), futexWaitv)
}
