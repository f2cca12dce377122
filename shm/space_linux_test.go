package shm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

func init() {
	ops["full"] = inSmallMemory("1m", func(context.Context) (string, error) { return "ok", testFull() })
}

// inSmallMemory returns an operation for runInSmallMemory, which calls f in a process whose /dev/shm has that size.
func inSmallMemory(size string, f func(ctx context.Context) (string, error)) func(context.Context, job) (string, error) {
	return func(ctx context.Context, _ job) (string, error) {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			return "no mount: " + err.Error(), nil
		}
		if err := syscall.Mount("tmpfs", "/dev/shm", "tmpfs", 0, "size="+size); err != nil {
			return "no mount: " + err.Error(), nil
		}
		return f(ctx)
	}
}

// runInSmallMemory runs an operation in a mount namespace of its own, and returns its result.
func runInSmallMemory(t *testing.T, op string) string {
	t.Helper()
	cmd := exec.CommandContext(Within(t), "/proc/self/exe")
	cmd.Env = append(os.Environ(), plainEnv+"="+op)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	cmd.Stdin = strings.NewReader("\n")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "no mount") {
		t.Skipf("mounts are not permitted here: %v %s", err, out)
	}
	got := strings.TrimSpace(string(out))
	if err != nil {
		t.Fatalf("%s, %v", got, err)
	}
	return got
}

// testFull is TestFull in a process whose /dev/shm has 1 MiB.
func testFull() error {
	want := func(what string, err error) error {
		if !errors.Is(err, shm.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("%s: %v, want ErrNoSpace and ENOSPC", what, err)
		}
		return nil
	}
	_, err := shm.CreateBlock("block", 2<<20)
	if err := want("CreateBlock", err); err != nil {
		return err
	}
	if left, err := os.ReadDir("/dev/shm"); err != nil || len(left) != 0 {
		return fmt.Errorf("left behind: %v, %w", left, err)
	}
	// A segment may be larger than the memory, because only its objects take memory.
	seg, err := shm.Create("segment", 8<<20, nil)
	if err != nil {
		return err
	}
	defer seg.Close()
	_, err = newPlain(seg, "big", 2<<20)
	if err := want("NewObject", err); err != nil {
		return err
	}
	if _, err := openPlain(seg, "big"); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the object that was not made: %w", err)
	}
	// Objects can use all of the memory, and can be written.
	made := 0
	for ; ; made++ {
		o, err := newPlain(seg, fmt.Sprint(made), 100_000)
		if err != nil {
			if err := want("NewObject", err); err != nil {
				return err
			}
			break
		}
		for i := range o.Bytes() {
			o.Bytes()[i] = 0xff
		}
		o.Close()
	}
	if made < 5 {
		return fmt.Errorf("only %d objects of 100 kB in 1 MiB", made)
	}
	_, err = shm.CreateBlock("block", 1<<18)
	if err := want("CreateBlock when all is in use", err); err != nil {
		return err
	}
	// Removing an object frees memory for another one.
	if err := seg.Remove("0"); err != nil {
		return err
	}
	o, err := newPlain(seg, "again", 100_000)
	if err != nil {
		return fmt.Errorf("after Remove: %w", err)
	}
	for i, b := range o.Bytes() {
		if b != 0 {
			return fmt.Errorf("byte %d is %d", i, b)
		}
		o.Bytes()[i] = 1
	}
	// No more memory is left.
	_, err = newPlain(seg, "more", 1<<20)
	return want("NewObject at the end", err)
}

// TestFull shows that allocation fails with an error if /dev/shm is full, and that no process gets
// a SIGBUS (M14).
func TestFull(t *testing.T) {
	if got := runInSmallMemory(t, "full"); got != "ok" {
		t.Error(got)
	}
}
