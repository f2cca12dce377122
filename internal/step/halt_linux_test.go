package step_test

import (
	"context"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/step"
	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// sleeping tells a sleeper its cells.
type sleeping struct {
	Seg   *shm.Segment
	Cells *testkit.Cells
}

// The cells.
const (
	cellThread = iota // the sleeper's thread
	cellLeave         // 1: it ends
	sleeperCells
)

// sleeper sleeps in one system call until it is told to leave.
var sleeper = testkit.Task("step sleeper", func(ctx context.Context, s sleeping) (proc.None, error) {
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		return proc.None{}, err
	}
	read := make(chan error)
	go func() { // on a thread that is not the first one
		runtime.LockOSThread()
		s.Cells.Set(cellThread, uint32(sys.ThreadID()))
		_, err := syscall.Read(pipe[0], make([]byte, 1))
		read <- err
	}()
	if err := s.Cells.Until(ctx, cellLeave, 1); err != nil {
		return proc.None{}, err
	}
	if _, err := syscall.Write(pipe[1], []byte{1}); err != nil {
		return proc.None{}, err
	}
	return proc.None{}, <-read
})

// TestHalt interrupts a thread in a system call that is a step, and detaches from it. The step ends with the system call,
// so two stops are due at the same time. Neither is left for the thread: it goes on.
func TestHalt(t *testing.T) {
	step.NeedPtrace(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	seg := testkit.Anonymous(t, 1<<20)
	s := sleeping{seg, testkit.NewCells(t, seg, sleeperCells)}
	child := testkit.Start(t, sleeper, s)
	s.Cells.Await(t, cellThread, 1)
	tid := int(s.Cells.At(cellThread).Load())
	for range 10 {
		asleep(t, child.PID(), tid)
		thread, err := sys.Trace(tid)
		if err == syscall.EPERM && os.Getenv(step.NeedEnv) == "" {
			t.Skipf("%v: this process may not trace its children", err)
		}
		testkit.WantNil(t, "attach", err)
		halt(t, thread)
		testkit.WantNil(t, "step", thread.Step())
		asleep(t, child.PID(), tid)
		testkit.WantNil(t, "interrupt", thread.Interrupt())
		halt(t, thread)
		testkit.WantNil(t, "detach", thread.Detach())
	}
	s.Cells.Set(cellLeave, 1)
	testkit.Must(child.Result(testkit.Within(t)))(t)
}

// asleep waits until the thread sleeps.
func asleep(t *testing.T, pid, tid int) {
	t.Helper()
	testkit.Eventually(t, "the thread sleeps", func() bool { return testkit.Thread(pid, tid).State() == 'S' })
}

// halt waits until the thread, which was interrupted, has stopped, and nothing else will stop it.
func halt(t *testing.T, thread *sys.Tracee) {
	t.Helper()
	for await(t, thread); !testkit.Must(thread.Halted())(t); await(t, thread) {
		testkit.WantNil(t, "continue", thread.Continue())
	}
}

// await waits until the thread stops, but not for a signal of Go's runtime.
func await(t *testing.T, thread *sys.Tracee) {
	t.Helper()
	for {
		switch sig, stopped, err := thread.AwaitStop(); {
		case err != nil:
			t.Fatal("the thread has ended: ", err)
		case stopped && sig == syscall.SIGTRAP:
			return
		case stopped:
			testkit.WantNil(t, "resume", thread.Resume())
		}
	}
}
