// Package leak fails a test program that leaves something behind: open
// files, child processes, names in /dev/shm or mappings of shared memory.
package leak

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long Check waits for things that are about to go away: children that are
// being reaped, and memory that the garbage collector will unmap.
const patience = 10 * time.Second

// Check runs the tests of m and returns the exit code for TestMain. It is not 0 if a test failed or, on Linux, if the
// tests left something behind. Check prints what is left, and removes names that are left in /dev/shm.
func Check(m *testing.M) int {
	if runtime.GOOS != "linux" {
		return m.Run()
	}
	// Under the race detector, a process sleeps for a second before it exits unless told not to.
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	before, mapped := files(), mappings() // of the program's own segment, for example
	code := m.Run()
	// A file that only the garbage collector would close counts as left behind. A mapping does not: programs
	// may leave it to the garbage collector.
	left := awaitNone(func() []string { return slices.Concat(newFiles(before), children(), names()) })
	left = append(left, awaitNone(func() []string {
		runtime.GC()
		return slices.DeleteFunc(mappings(), func(m string) bool { return slices.Contains(mapped, m) })
	})...)
	for _, what := range left {
		fmt.Fprintln(os.Stderr, "left behind:", what)
		code = 1
	}
	for _, n := range names() {
		os.Remove(n)
	}
	return code
}

// awaitNone calls list until it returns nothing, or patience has passed. It returns what list returned last.
func awaitNone(list func() []string) []string {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if left := list(); len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

var last atomic.Uint32

// prefix returns the prefix of the names that the tests of this process make in /dev/shm.
func prefix() string { return fmt.Sprintf("mptest-%d-", os.Getpid()) }

// Name returns a unique name for a segment in /dev/shm. The test must unlink the segment: a name
// that is left when all tests have run is a leak.
func Name(what string) string { return fmt.Sprintf("%s%s-%d", prefix(), what, last.Add(1)) }

func names() []string {
	all, _ := filepath.Glob("/dev/shm/" + prefix() + "*")
	return all
}

// files returns the file descriptors of this process and what they refer to. It leaves out those of
// the Go runtime's poller, which are never closed.
func files() map[string]string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	open := make(map[string]string)
	for _, e := range entries {
		what, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && what != "anon_inode:[eventpoll]" && what != "anon_inode:[eventfd]" {
			open[e.Name()] = what
		}
	}
	return open
}

func newFiles(before map[string]string) []string {
	now := files()
	maps.DeleteFunc(now, func(fd, what string) bool { return before[fd] == what })
	var list []string
	for fd, what := range now {
		list = append(list, "descriptor "+fd+": "+what)
	}
	return list
}

// children returns the child processes of this process, including zombies.
func children() []string {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var list []string
	for _, s := range stats {
		text, _ := os.ReadFile(s)
		// pid (command) state parent ...
		at := strings.LastIndex(string(text), ")")
		if f := strings.Fields(string(text[at+1:])); len(f) > 1 && f[1] == strconv.Itoa(os.Getpid()) {
			list = append(list, "child "+string(text[:at+1])+" "+f[0])
		}
	}
	return list
}

// mappings returns the mappings of segments and blocks in this process.
func mappings() []string {
	text, _ := os.ReadFile("/proc/self/maps")
	var list []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "/memfd:mp") || strings.Contains(line, "/dev/shm/") {
			list = append(list, "mapping "+strings.TrimSpace(line))
		}
	}
	return list
}
