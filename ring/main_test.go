//go:build linux

package ring_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// patience bounds every wait of the tests.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(leak.Check(m))
}

// A message says who sent it and how many that one sent before.
type message struct{ From, Seq uint32 }

// A job is what a child is given.
type job struct {
	N     int
	From  uint32
	Queue *ring.Queue[message]
	Conn  *ring.Conn
	Cells *cells
}

// task registers what a child does. All that it waits for is bounded.
func task(name string, f func(ctx context.Context, j job) (int, error)) *proc.Task[job, int] {
	return proc.Register(name, func(ctx context.Context, j job) (int, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return f(ctx, j)
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
	t.Cleanup(func() {
		p.Kill()
		await(t, p.Done(), "end of "+p.Name())
	})
	return p
}

// result waits until the child has ended well.
func result(t testing.TB, p *proc.Call[int]) int {
	t.Helper()
	n, err := p.Result(within(t))
	if err != nil {
		t.Fatalf("%s: %v", p.Name(), err)
	}
	return n
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
func async[T any](f func() T) <-chan T {
	c := make(chan T, 1)
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

// closing closes c after the test.
func closing[T io.Closer](t testing.TB, c T) T {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func anonymous(t testing.TB) *shm.Segment {
	t.Helper()
	return closing(t, must(shm.Anonymous(4<<20, nil))(t))
}

func heap(t testing.TB) *shm.Segment {
	t.Helper()
	return closing(t, must(shm.Heap(1<<20))(t))
}

// onBoth runs f on a mapped segment and on one that the race detector sees.
func onBoth(t *testing.T, f func(t *testing.T, seg *shm.Segment)) {
	t.Run("mapped", func(t *testing.T) { f(t, anonymous(t)) })
	t.Run("heap", func(t *testing.T) { f(t, heap(t)) })
}

// attach returns a further party of the segment.
func attach(t testing.TB, seg *shm.Segment) *shm.Segment {
	t.Helper()
	return closing(t, must(seg.Attach())(t))
}

func newQueue[T any](t testing.TB, seg *shm.Segment, capacity int) *ring.Queue[T] {
	t.Helper()
	return closing(t, must(ring.NewQueue[T](seg, "", capacity, nil))(t))
}

func newPipe(t testing.TB, seg *shm.Segment, capacity int) (a, b *ring.Conn) {
	t.Helper()
	a, b, err := ring.NewPipe(seg, "", &ring.PipeOptions{Capacity: capacity})
	if err != nil {
		t.Fatal(err)
	}
	return closing(t, a), closing(t, b)
}

// cells are counters in shared memory by which a test and its children talk.
type cells struct{ object *shm.Object }

const cellsPrint = 0xce115

func newCells(t testing.TB, seg *shm.Segment, n int) *cells {
	t.Helper()
	return &cells{must(seg.NewObject(shm.Spec{Kind: shm.KindLock, Size: 4 * n, Fingerprint: cellsPrint}))(t)}
}

func (c *cells) len() int                       { return len(c.object.Bytes()) / 4 }
func (c *cells) at(i int) *atomic.Uint32        { return view.At[atomic.Uint32](c.object.Bytes(), 4*i) }
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

// once makes sure that the cells from first on are all 1: what they count
// has happened once.
func (c *cells) once(t testing.TB, first int) {
	t.Helper()
	bad := 0
	for i := first; i < c.len(); i++ {
		if n := c.at(i).Load(); n != 1 {
			if bad++; bad <= 10 {
				t.Errorf("message %d was received %d times", i-first, n)
			}
		}
	}
	if bad > 10 {
		t.Errorf("and so on: %d messages in all", bad)
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

// pattern fills b with bytes that tell n and the place.
func pattern(b []byte, n int) []byte {
	for i := range b {
		b[i] = byte(n*31 + i*7 + i>>8)
	}
	return b
}
