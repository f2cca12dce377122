// Package leak fails a test program that leaves something behind: open
// files, children, names in /dev/shm, mappings of shared memory.
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

// patience is how long what is about to go away may take: children that are
// being reaped, memory that waits for the garbage collector.
const patience = 10 * time.Second

// Check runs the tests of m and returns the exit code for TestMain: not 0 if
// a test failed or, Linux only, if the tests left something behind.
func Check(m *testing.M) int {
	if runtime.GOOS != "linux" {
		return m.Run()
	}
	// Under the race detector, a process sleeps for a second before it exits.
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	before, mapped := files(), mappings() // the program's own segment may be there
	code := m.Run()
	// What the garbage collector closes counts as left behind, too: it is asked
	// for the mappings only.
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

// awaitNone calls list until it returns nothing or patience ends.
func awaitNone(list func() []string) []string {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if left := list(); len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

var last atomic.Uint32

// prefix begins the names that this process's tests make in /dev/shm.
func prefix() string { return fmt.Sprintf("mptest-%d-", os.Getpid()) }

// Name returns a name for /dev/shm that nobody else uses. The test removes
// it: one that is left when all tests have run is a leak.
func Name(what string) string { return fmt.Sprintf("%s%s-%d", prefix(), what, last.Add(1)) }

func names() []string {
	all, _ := filepath.Glob("/dev/shm/" + prefix() + "*")
	return all
}

// files returns the descriptors of this process and what they are. Those of
// the runtime's poller, which stay for good, it passes over.
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

// children returns the child processes, zombies among them.
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

// mappings returns the mappings of segments and blocks.
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
