package testkit

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/leak"
	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

var nothing = proc.Register("testkit nothing", func(context.Context, proc.None) (proc.None, error) { return proc.None{}, nil })

// Main runs the tests of m and returns the exit code for TestMain. It is not 0 if a test failed or
// if the tests left something behind: see package leak. Before the tests, Main makes what a program
// that uses mp keeps until it exits, so that it does not count as left behind: what it needs to
// start children, and its own segment.
func Main(m *testing.M) int {
	g := proc.NewGroup(context.Background())
	g.Go(nothing.With(proc.None{}))
	var own *shm.Segment
	if _, err := own.ID(); errors.Join(g.Wait(), err) != nil {
		panic(err)
	}
	return leak.Check(m)
}

// Anonymous returns a mapped segment of size bytes, which is closed after the test.
func Anonymous(t testing.TB, size int) *shm.Segment {
	t.Helper()
	return Closing(t, Must(shm.Anonymous(size, nil))(t))
}

// OnBoth runs f as two subtests: on a mapped segment, and on one in the Go heap, whose accesses the
// race detector sees.
func OnBoth(t *testing.T, size int, f func(t *testing.T, seg *shm.Segment)) {
	t.Run("mapped", func(t *testing.T) { f(t, Anonymous(t, size)) })
	t.Run("heap", func(t *testing.T) { f(t, Heap(t, size)) })
}

// Blocking returns a mapped segment of size bytes whose waiters sleep at once. It is closed after
// the test.
func Blocking(t testing.TB, size int) *shm.Segment {
	t.Helper()
	return Closing(t, Must(shm.Anonymous(size, &shm.Options{Wait: shm.WaitBlock}))(t))
}

// Task registers f as a task of children. The context that f gets ends after Patience, so that no
// child waits longer.
func Task[Job, Out any](name string, f func(ctx context.Context, j Job) (Out, error)) *proc.Task[Job, Out] {
	return proc.Register(name, func(ctx context.Context, j Job) (Out, error) {
		ctx, cancel := context.WithTimeout(ctx, Patience)
		defer cancel()
		return f(ctx, j)
	})
}

// Start starts a child. If the child still runs at the end of the test, it is killed.
func Start[Job, Out any](t testing.TB, task *proc.Task[Job, Out], j Job) *proc.Call[Out] {
	t.Helper()
	return StartWith(t, task, j, nil)
}

// StartToDie starts a child that kills itself when it passes p for the nth time. The binary must
// have crash points.
func StartToDie[Job, Out any](t testing.TB, task *proc.Task[Job, Out], j Job, p crash.Point, n int) *proc.Call[Out] {
	t.Helper()
	return StartWith(t, task, j, &proc.Options{Env: []string{fmt.Sprintf("%s=%v:%d", crash.Env, p, n)}})
}

// StartToStop starts a child that stops itself when it passes the point for the
// nth time.
func StartToStop[Job, Out any](t testing.TB, task *proc.Task[Job, Out], j Job, p crash.Point, n int) *proc.Call[Out] {
	t.Helper()
	return StartWith(t, task, j, &proc.Options{Env: []string{fmt.Sprintf("%s=%s%v:%d", crash.Env, crash.Stop, p, n)}})
}

// StartWith is Start with options.
func StartWith[Job, Out any](t testing.TB, task *proc.Task[Job, Out], j Job, o *proc.Options) *proc.Call[Out] {
	t.Helper()
	p, err := task.New(j, o)
	if err == nil {
		err = p.Start(Within(t))
	}
	if err != nil {
		t.Fatalf("start %s: %v", task.Name(), err)
	}
	t.Cleanup(func() { Kill(t, p) })
	return p
}

// Kill kills a child with SIGKILL and waits until it has ended.
func Kill[Out any](t testing.TB, p *proc.Call[Out]) {
	t.Helper()
	if err := p.Kill(); err != nil && !errors.Is(err, proc.ErrClosed) {
		t.Errorf("%s: Kill: %v", p.Name(), err)
	}
	Await(t, p.Done(), "end of "+p.Name())
}

// Stop stops a child with SIGSTOP and waits until each of its threads has stopped.
func Stop[Out any](t testing.TB, p *proc.Call[Out]) {
	t.Helper()
	WantNil(t, "SIGSTOP", syscall.Kill(p.PID(), syscall.SIGSTOP))
	AwaitStopped(t, p)
}

// AwaitStopped waits until each thread of a child has stopped.
func AwaitStopped[Out any](t testing.TB, p *proc.Call[Out]) {
	t.Helper()
	Eventually(t, p.Name()+" stops", func() bool {
		threads := Threads(p.PID())
		for _, thread := range threads {
			if thread.State() != 'T' {
				return false
			}
		}
		return len(threads) > 0
	})
}

// Continue lets a child go on that was stopped.
func Continue[Out any](t testing.TB, p *proc.Call[Out]) {
	t.Helper()
	WantNil(t, "SIGCONT", syscall.Kill(p.PID(), syscall.SIGCONT))
}

// Result waits until the child has ended, and returns its result. It fails the test if the child
// failed.
func Result[Out any](t testing.TB, p *proc.Call[Out]) Out {
	t.Helper()
	out, err := p.Result(Within(t))
	if err != nil {
		t.Fatalf("%s: %v", p.Name(), err)
	}
	return out
}

// Killed waits until the child has ended. It fails the test if the child did not die by SIGKILL.
func Killed[Out any](t testing.TB, p *proc.Call[Out]) {
	t.Helper()
	Await(t, p.Done(), "death of "+p.Name())
	var exit *proc.ExitError
	if err := p.Join(Within(t)); !errors.As(err, &exit) || exit.Code != -9 {
		t.Fatalf("%s ended with %v, want death by SIGKILL", p.Name(), err)
	}
}

// NeedCrashPoints skips the test if the binary has no crash points.
func NeedCrashPoints(t testing.TB) {
	t.Helper()
	if !crash.Enabled {
		t.Skip("needs a binary built with -tags crashpoints")
	}
}

// AwaitAsleep waits until at least n goroutines of a process sleep in mp. On a system without the
// system call by which InWait recognizes them, it only gives them time.
func AwaitAsleep(t testing.TB, pid, n int) {
	t.Helper()
	if !sys.HasFutexWaitv() {
		time.Sleep(50 * time.Millisecond)
		return
	}
	for deadline := time.Now().Add(Patience); ; time.Sleep(time.Millisecond) {
		asleep := 0
		for _, thread := range Threads(pid) {
			if thread.InWait() {
				asleep++
			}
		}
		if asleep >= n {
			return
		}
		if time.Now().After(deadline) {
			Stuck(t, fmt.Sprintf("%d of %d goroutines of process %d sleep", asleep, n, pid))
		}
	}
}
