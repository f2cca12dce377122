package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/internal/leak"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

func TestMain(m *testing.M) { os.Exit(leak.Check(m)) }

// TestMixed lets a process of 32 bits and one of 64 share values, arrays, queues and a lock. Each waits for
// the other, and one sees that the other dies as the owner of the lock.
func TestMixed(t *testing.T) {
	other := map[string]string{"amd64": "386", "386": "amd64"}[runtime.GOARCH]
	if other == "" {
		t.Skip("needs x86")
	}
	program := filepath.Join(t.TempDir(), "mixed")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".") // the first time, that compiles the library
	build.Env = append(os.Environ(), "GOARCH="+other, "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for %s: %v\n%s", other, err, out)
	}

	ctx := Within(t)
	name := leak.Name("mixed")
	seg := Closing(t, Must(shm.Create(name, 1<<16, nil))(t))
	t.Cleanup(func() { WantNil(t, "Unlink", shm.Unlink(name)) })
	one := record{X: 0.5, Y: -1, N: 1 << 40, S: [12]byte{1, 2, 11: 12}, K: 7}
	two := one
	double(&two)
	o := objects{
		lock:  Closing(t, Must(psync.NewLock(seg, "lock", nil))(t)),
		ready: Closing(t, Must(psync.NewEvent(seg, "ready"))(t)),
		sum:   Closing(t, Must(value.NewInt64(seg, "sum", 1<<40, nil))(t)),
		whole: Closing(t, Must(value.New(seg, "whole", one, nil))(t)),
		list:  Closing(t, Must(array.NewFrom(seg, "list", []record{one, {}, one}, nil))(t)),
		to:    Closing(t, Must(ring.NewQueue[record](seg, "to", 2, nil))(t)),
		of:    Closing(t, Must(ring.NewQueue[record](seg, "of", 2, nil))(t)),
	}
	WantNil(t, "Acquire", o.lock.Acquire(ctx))
	child := exec.CommandContext(ctx, program, name)
	var out bytes.Buffer
	child.Stdout, child.Stderr = &out, &out
	if err := child.Start(); errors.Is(err, syscall.ENOEXEC) {
		t.Skipf("this system runs no programs for %s", other)
	} else if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	said := make(chan string, 1)
	go func() {
		err := child.Wait()
		said <- out.String()
		ended <- err
	}()
	defer func() {
		child.Process.Kill()
		if s := Await(t, said, "end of the other"); t.Failed() {
			t.Logf("%s says: %s", other, s)
		}
	}()

	WantNil(t, "Wait", o.ready.Wait(ctx))
	Want(t, "sum", o.sum.Load(), 1<<41)
	Want(t, "value", o.whole.Load(), two)
	for i, want := range []record{two, {}, two} {
		Want(t, "element", o.list.At(i), want)
	}
	const messages = 1000
	sent := Async(func() error {
		for range messages {
			if err := o.to.Put(ctx, one); err != nil {
				return err
			}
		}
		return o.to.Shutdown()
	})
	AwaitAsleep(t, child.Process.Pid, 1)
	WantNil(t, "Release", o.lock.Release())
	for range messages {
		Want(t, "message", Must(o.of.Get(ctx))(t), two)
	}
	WantNil(t, "Put", Await(t, sent, "Put"))
	WantError(t, "Acquire", o.lock.Acquire(ctx), psync.ErrOwnerDied)
	WantNil(t, "Recover", o.lock.Recover(ctx, func() error { return nil }))
	WantNil(t, "the other's end", Await(t, ended, "end of the other"))
}
