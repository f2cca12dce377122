package sys

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A child behaves alike with a pidfd and, on old kernels, without.
func TestChild(t *testing.T) {
	for _, tt := range []struct {
		name   string
		pidfd  bool
		script string
		sig    syscall.Signal
		code   int
	}{
		{"exit", true, "exit 3", 0, 3},
		{"signal", true, "read x", syscall.SIGTERM, -15},
		{"exit, no pidfd", false, "exit 3", 0, 3},
		{"signal, no pidfd", false, "read x", syscall.SIGTERM, -15},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			cmd := exec.Command("sh", "-c", tt.script)
			cmd.Stdin = r
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			r.Close()
			c := NewChild(Birth{pid: cmd.Process.Pid, pidfd: -1}, nil)
			if !tt.pidfd {
				c.pidfd.Close()
				c.pidfd = nil
				if c.process, err = os.FindProcess(c.pid); err != nil {
					t.Fatal(err)
				}
			}
			if tt.sig != 0 {
				if c.Ended() {
					t.Error("ended before the signal")
				}
				if err := c.Signal(tt.sig); err != nil {
					t.Error(err)
				}
			}
			c.AwaitExit()
			if tt.pidfd && !c.Ended() {
				t.Error("not ended after AwaitExit")
			}
			if code, err := c.Reap(); code != tt.code || err != nil {
				t.Errorf("Reap = %d, %v, want %d", code, err, tt.code)
			}
			if err := c.Signal(syscall.SIGKILL); err != nil {
				t.Errorf("Signal after the end: %v", err)
			}
		})
	}
}

// Reap fails if another part of the program has reaped the child, and reaps no other.
func TestReapReaped(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := NewChild(Birth{pid: cmd.Process.Pid, pidfd: -1}, nil)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	c.AwaitExit()
	if _, err := c.Reap(); !errors.Is(err, unix.ECHILD) {
		t.Errorf("Reap: %v, want ECHILD", err)
	}
}
