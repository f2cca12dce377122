package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
)

// pythons returns the processes of Python that run scenarios of this process: parents and children.
func pythons(t *testing.T) (parents, children []int) {
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[int]int) // to the parent
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(line, fmt.Appendf(nil, `"mp-bench-%d-`, os.Getpid())) {
			continue
		}
		program, err := os.Readlink(filepath.Join(filepath.Dir(path), "exe"))
		if err != nil || !strings.HasPrefix(filepath.Base(program), "python") {
			continue // it has ended, or is a script that is going to run Python
		}
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(path), "stat"))
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if all[pid], err = strconv.Atoi(fields[1]); err != nil {
			t.Fatal(err)
		}
	}
	for pid, parent := range all {
		if _, child := all[parent]; child {
			children = append(children, pid)
		} else {
			parents = append(parents, pid)
		}
	}
	return parents, children
}

// TestPythonKilled kills either process of Python: the run fails, the other process ends, and no name stays.
func TestPythonKilled(t *testing.T) {
	for _, transport := range []string{"python-pipe", "python-queue", "python-shm"} {
		if err := Available(transport); err != nil {
			t.Skip(err)
		}
		for _, measure := range MeasuresOf(transport) {
			for _, parent := range []bool{false, true} {
				t.Run(fmt.Sprintf("transport=%s/measure=%s/parent=%t", transport, measure, parent), func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					failed := testkit.Async(func() error {
						_, err := Run(ctx, Scenario{Transport: transport, Measure: measure, Size: 64, Duration: time.Hour})
						return err
					})
					testkit.Eventually(t, "kill a process of Python", func() bool {
						parents, children := pythons(t)
						if len(children) != 1 || len(parents) != 1 {
							return false
						}
						victim := children[0]
						if parent {
							victim = parents[0]
						}
						return syscall.Kill(victim, syscall.SIGKILL) == nil
					})
					err := testkit.Await(t, failed, "the end of the run")
					if err == nil || ctx.Err() != nil {
						t.Errorf("error %v, want that of a killed process", err)
					}
					testkit.Eventually(t, "no process of Python is left", func() bool {
						parents, children := pythons(t)
						return len(parents)+len(children) == 0
					})
					if left, _ := filepath.Glob(fmt.Sprintf("/dev/shm/mp-bench-%d-*", os.Getpid())); len(left) > 0 {
						t.Errorf("left in /dev/shm: %q", left)
					}
				})
			}
		}
	}
}

// TestPythonVerifies makes the script print the exception for a message that is wrong.
func TestPythonVerifies(t *testing.T) {
	err := pythonError(os.ErrInvalid, "Traceback:\n  line\n__main__.Wrong: 63 bytes instead of 64\n")
	if !errors.Is(err, ErrVerify) || !strings.Contains(err.Error(), "63 bytes") {
		t.Errorf("error %v, want ErrVerify with the text", err)
	}
	if err := pythonError(os.ErrInvalid, "ValueError: x\n"); errors.Is(err, ErrVerify) || !errors.Is(err, os.ErrInvalid) || !strings.Contains(err.Error(), "ValueError: x") {
		t.Errorf("error %v, want os.ErrInvalid with the text", err)
	}
}

// TestUnavailable looks for Python where it is not.
func TestUnavailable(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := Available("python-pipe"); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "python3") {
		t.Errorf("python-pipe: %v, want ErrUnavailable", err)
	}
	if err := Available("pipe"); err != nil {
		t.Errorf("pipe: %v", err)
	}
	if _, err := Run(t.Context(), Scenario{Transport: "python-pipe", Measure: Latency, Size: 64, Messages: 1}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Run: %v, want ErrUnavailable", err)
	}
}
