//go:build linux

package sync_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/leak"
	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// patience bounds every wait of the tests.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(leak.Check(m))
}

// A job is what a child is given.
type job struct {
	N     int
	Lock  *psync.Lock
	Cells *cells
}

// task registers what a child does. All that it waits for is bounded.
func task(name string, f func(ctx context.Context, j job) error) *proc.Task[job, int] {
	return proc.Register(name, func(ctx context.Context, j job) (int, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return 0, f(ctx, j)
	})
}

// start starts a child. It is killed at the end of the test if it runs then.
func start(t testing.TB, task *proc.Task[job, int], j job) *proc.Call[int] {
	t.Helper()
	p, err := task.New(j, nil)
	if err == nil {
		err = p.Start(within(t))
	}
	if err != nil {
		t.Fatalf("start %s: %v", task.Name(), err)
	}
	t.Cleanup(func() { kill(t, p) })
	return p
}

// kill ends a child by SIGKILL and waits until it has ended.
func kill(t testing.TB, p *proc.Call[int]) {
	t.Helper()
	p.Kill()
	await(t, p.Done(), "end of "+p.Name())
}

// joined waits until the child has ended well.
func joined(t testing.TB, p *proc.Call[int]) {
	t.Helper()
	wantNil(t, p.Name(), p.Join(within(t)))
}

// within returns a context that ends when a test has waited too long.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, errors.New("the test has waited too long"))
	t.Cleanup(cancel)
	return ctx
}

// expired is a context that has ended.
var expired = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// stuck fails the test with what all goroutines do.
func stuck(t testing.TB, what string) {
	t.Helper()
	buf := make([]byte, 1<<20)
	t.Fatalf("stuck: %s\n%s", what, buf[:runtime.Stack(buf, true)])
}

// await waits for a value of c.
func await[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		stuck(t, what)
	}
	return v
}

// async runs f in a goroutine of its own.
func async(f func() error) <-chan error {
	c := make(chan error, 1)
	go func() { c <- f() }()
	return c
}

// all runs f(0) to f(n-1) at once and waits for them. Their errors fail the
// test.
func all(t testing.TB, what string, n int, f func(i int) error) {
	t.Helper()
	done := make(chan error, n)
	for i := range n {
		go func() { done <- f(i) }()
	}
	for range n {
		if err := await(t, done, what); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// must returns v, and fails the test if err is not nil.
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func second[T any](_ T, err error) error { return err }

func wantError(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// wantNil fails the test at once if err is not nil.
func wantNil(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func closing[T interface{ Close() error }](t testing.TB, c T) T {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func anonymous(t testing.TB) *shm.Segment {
	t.Helper()
	return closing(t, must(shm.Anonymous(1<<20, nil))(t))
}

func heap(t testing.TB) *shm.Segment {
	t.Helper()
	return closing(t, must(shm.Heap(1<<16))(t))
}

// onBoth runs f on a mapped segment and on one that the race detector sees.
func onBoth(t *testing.T, f func(t *testing.T, seg *shm.Segment)) {
	t.Run("mapped", func(t *testing.T) { f(t, anonymous(t)) })
	t.Run("heap", func(t *testing.T) { f(t, heap(t)) })
}

func newLock(t testing.TB, seg *shm.Segment) *psync.Lock {
	t.Helper()
	return closing(t, must(psync.NewLock(seg, "", nil))(t))
}

// cells are counters in shared memory by which a test and its children talk.
type cells struct{ object *shm.Object }

const cellsPrint = 0xce115

func newCells(t testing.TB, seg *shm.Segment, n int) *cells {
	t.Helper()
	return &cells{must(seg.NewObject(shm.Spec{Kind: shm.KindLock, Size: 8 * n, Fingerprint: cellsPrint}))(t)}
}

func (c *cells) at(i int) *atomic.Uint32        { return view.At[atomic.Uint32](c.object.Bytes(), 8*i) }
func (c *cells) plain(i int) *uint64            { return view.At[uint64](c.object.Bytes(), 8*i) }
func (c *cells) Handle() shm.Handle             { return c.object.Handle(0) }
func (c *cells) MarshalBinary() ([]byte, error) { return c.Handle().MarshalText() }
func (c *cells) UnmarshalBinary(text []byte) error {
	var h shm.Handle
	if err := h.UnmarshalText(text); err != nil {
		return err
	}
	o, err := shm.OpenHandle(h, shm.KindLock, cellsPrint)
	c.object = o
	return err
}

// add counts one more in cell i and wakes who waits for it.
func (c *cells) add(i int) {
	c.at(i).Add(1)
	futex.Wake(c.at(i), futex.All)
}

// until waits until cell i is at least v.
func (c *cells) until(ctx context.Context, i int, v uint32) error {
	for {
		now := c.at(i).Load()
		if now >= v {
			return nil
		}
		if err := futex.Wait(ctx, c.at(i), now); err != nil {
			return fmt.Errorf("cell %d is %d, not %d: %w", i, now, v, err)
		}
	}
}

func (c *cells) await(t testing.TB, i int, v uint32) {
	t.Helper()
	if err := c.until(within(t), i, v); err != nil {
		stuck(t, err.Error())
	}
}

// awaitAsleep waits until n goroutines of a process sleep in mp: they are in
// the system call futex_waitv, which Go's runtime does not use.
func awaitAsleep(t testing.TB, pid, n int) {
	t.Helper()
	if !sys.HasFutexWaitv() {
		time.Sleep(50 * time.Millisecond) // they wait otherwise, which can't be seen
		return
	}
	const futexWaitv = "449 "
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		calls, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
		asleep := 0
		for _, name := range calls {
			text, _ := os.ReadFile(name)
			if strings.HasPrefix(string(text), futexWaitv) {
				asleep++
			}
		}
		if asleep >= n {
			return
		}
		if time.Now().After(deadline) {
			stuck(t, fmt.Sprintf("%d of %d goroutines of process %d sleep", asleep, n, pid))
		}
	}
}
