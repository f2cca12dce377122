package sync_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// The size of a crowd, and the greatest number of OS threads that the process may have while the
// crowd sleeps.
const (
	crowdObjects   = 50
	crowdPerObject = 100
	crowdThreads   = 64
)

// A crowd is many goroutines that are blocked on some objects: on locks that are held, on queues
// and pipes that are empty, and on queues that are full.
type crowd struct {
	locks       []*psync.Lock
	empty, full []*ring.Queue[uint64]
	ends        []*ring.Conn // the ends that receive
	others      []*ring.Conn // the ends that send

	waits   []func(ctx context.Context) error // one for each object
	cancels []context.CancelFunc
	done    []chan error
}

// newCrowd makes the objects. The caller acquires the locks before start.
func newCrowd(t *testing.T, seg *shm.Segment) *crowd {
	c := new(crowd)
	for i := range crowdObjects {
		var wait func(ctx context.Context) error
		switch i % 4 {
		case 0:
			l := newLock(t, seg)
			c.locks = append(c.locks, l)
			wait = func(ctx context.Context) error {
				if err := l.Acquire(ctx); err != nil {
					return err
				}
				return l.Release()
			}
		case 1:
			q := Closing(t, Must(ring.NewQueue[uint64](seg, "", 4, nil))(t))
			c.empty = append(c.empty, q)
			wait = func(ctx context.Context) error { return Second(q.Get(ctx)) }
		case 2:
			q := Closing(t, Must(ring.NewQueue[uint64](seg, "", 1, nil))(t))
			WantNil(t, "TryPut", q.TryPut(0))
			c.full = append(c.full, q)
			wait = func(ctx context.Context) error { return q.Put(ctx, 0) }
		case 3:
			a, b, err := ring.NewPipe(seg, "", &ring.PipeOptions{Capacity: 1 << 12})
			WantNil(t, "NewPipe", err)
			Closing(t, a)
			Closing(t, b)
			c.ends, c.others = append(c.ends, a), append(c.others, b)
			wait = func(ctx context.Context) error { return Second(a.Receive(ctx)) }
		}
		c.waits = append(c.waits, wait)
	}
	return c
}

func crowdSegment(t *testing.T) *shm.Segment {
	t.Helper()
	return Anonymous(t, 4<<20)
}

// start starts all goroutines and waits until they sleep.
func (c *crowd) start(t *testing.T) {
	t.Helper()
	c.cancels, c.done = nil, nil
	for i := range crowdObjects * crowdPerObject {
		ctx, cancel := context.WithCancel(Within(t))
		done := make(chan error, 1)
		go func() { done <- c.waits[i%crowdObjects](ctx) }()
		c.cancels, c.done = append(c.cancels, cancel), append(c.done, done)
	}
	awaitCrowd(t, len(c.done))
}

// end checks that the wait of each goroutine ended as wanted.
func (c *crowd) end(t *testing.T, what string, want func(object int) error) {
	t.Helper()
	wrong := 0
	for i, done := range c.done {
		if err := Await(t, done, what); !errors.Is(err, want(i%crowdObjects)) {
			if wrong++; wrong <= 5 {
				t.Errorf("%s: wait at object %d: %v", what, i%crowdObjects, err)
			}
		}
		c.cancels[i]()
	}
	if wrong > 5 {
		t.Errorf("%s: %d waits in all ended otherwise", what, wrong)
	}
}

// fine wants no error for each object.
func fine(int) error { return nil }

// awaitCrowd waits until n goroutines are asleep, or about to be.
func awaitCrowd(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(Patience); ; time.Sleep(5 * time.Millisecond) {
		asleep := sleepers(t)
		if asleep == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("stuck: %d of %d goroutines sleep", asleep, n)
		}
	}
}

// sleepers returns the number of goroutines that sleep in package wait.
func sleepers(t *testing.T) (n int) {
	t.Helper()
	var text bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		t.Fatal(err)
	}
	same := 0 // goroutines with the stack that is being read
	for s := bufio.NewScanner(&text); s.Scan(); {
		fmt.Sscanf(s.Text(), "%d @", &same)
		if strings.Contains(s.Text(), "internal/wait.(*parkingLot).sleep+") {
			n += same
			same = 0
		}
	}
	return n
}

func threads(t *testing.T) int {
	t.Helper()
	return len(Must(os.ReadDir("/proc/self/task"))(t))
}

// thousands skips a test that is too slow under the race detector.
func thousands(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("thousands of goroutines")
	}
}

// Many goroutines that are blocked on some objects hold few threads, and each of them is woken when
// it can go on.
func TestCrowdIsWoken(t *testing.T) {
	thousands(t)
	seg := crowdSegment(t)
	c := newCrowd(t, seg)
	for round := range 2 {
		for _, l := range c.locks {
			WantNil(t, "TryAcquire", l.TryAcquire())
		}
		begin := time.Now()
		c.start(t)
		n := threads(t)
		t.Logf("%d goroutines blocked on %d objects after %v; the process has %d threads",
			len(c.done), crowdObjects, time.Since(begin).Round(time.Millisecond), n)
		if n >= crowdThreads {
			t.Errorf("%d threads for %d goroutines", n, len(c.done))
		}
		begin = time.Now()
		for _, l := range c.locks {
			WantNil(t, "Release", l.Release())
		}
		for i := range crowdPerObject {
			for _, q := range c.empty {
				WantNil(t, "Put", q.Put(Within(t), uint64(i)))
			}
			for _, q := range c.full {
				WantNil(t, "Get", Second(q.Get(Within(t))))
			}
			for _, b := range c.others {
				WantNil(t, "Send", b.Send(Within(t), []byte("message")))
			}
		}
		c.end(t, fmt.Sprintf("round %d", round), fine)
		t.Logf("all woken in %v; %d threads", time.Since(begin).Round(time.Millisecond), threads(t))
	}
}

// The contexts end the waits one by one, each at once.
func TestCrowdIsCancelled(t *testing.T) {
	thousands(t)
	c := newCrowd(t, crowdSegment(t))
	for _, l := range c.locks {
		WantNil(t, "TryAcquire", l.TryAcquire())
	}
	c.start(t)
	var took []time.Duration
	for i, cancel := range c.cancels {
		begin := time.Now()
		cancel()
		WantError(t, "cancelled wait", Await(t, c.done[i], "cancelled wait"), context.Canceled)
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("cancelled to returned: %v at the median, %v at most", took[len(took)/2], took[len(took)-1])
	if took[len(took)/2] > 10*time.Millisecond {
		t.Errorf("cancelled to returned: %v at the median", took[len(took)/2])
	}
}

var crowdOwner = proc.Register("owner of many locks", func(ctx context.Context, in struct {
	Locks []*psync.Lock
	Cells *Cells
}) (int, error) {
	for _, l := range in.Locks {
		if err := l.TryAcquire(); err != nil {
			return 0, err
		}
	}
	in.Cells.Add(0)
	<-ctx.Done()
	return 0, nil
})

// The death of the locks' owner reaches all waiters for the locks. The other goroutines wait on
// until their queues are shut down and their pipes end.
func TestCrowdLearnsOfDeath(t *testing.T) {
	thousands(t)
	seg := crowdSegment(t)
	c, told := newCrowd(t, seg), NewCells(t, seg, 1)
	owner := Start(t, crowdOwner, struct {
		Locks []*psync.Lock
		Cells *Cells
	}{c.locks, told})
	told.Await(t, 0, 1)
	c.start(t)
	begin := time.Now()
	owner.Kill()
	wrong := 0
	for i, done := range c.done {
		if i%crowdObjects%4 == 0 {
			if err := Await(t, done, "waiter for a dead owner's lock"); !errors.Is(err, psync.ErrOwnerDied) {
				wrong++
			}
			done <- psync.ErrOwnerDied
		}
	}
	if wrong > 0 {
		t.Errorf("%d waiters did not learn that the owner died", wrong)
	}
	t.Logf("all have learnt of the death after %v", time.Since(begin).Round(time.Millisecond))
	awaitCrowd(t, len(c.done)-len(c.locks)*crowdPerObject)
	for i := range c.empty {
		WantNil(t, "Shutdown", c.empty[i].Shutdown())
	}
	for i := range c.full {
		WantNil(t, "Shutdown", c.full[i].Shutdown())
	}
	for i := range c.others {
		WantNil(t, "Close", c.others[i].Close())
	}
	c.end(t, "end", func(object int) error {
		return []error{psync.ErrOwnerDied, ring.ErrShutdown, ring.ErrShutdown, io.EOF}[object%4]
	})
}

// Close of the segment ends all waits, and frees the segment's memory.
func TestCrowdIsClosed(t *testing.T) {
	thousands(t)
	seg := crowdSegment(t)
	c := newCrowd(t, seg)
	for _, l := range c.locks {
		WantNil(t, "TryAcquire", l.TryAcquire())
	}
	c.start(t)
	begin := time.Now()
	WantNil(t, "Close", seg.Close())
	c.end(t, "Close", func(int) error { return shm.ErrClosed })
	t.Logf("all have returned after %v", time.Since(begin).Round(time.Millisecond))
}

// crowdOfUsers starts many goroutines that each acquire and release the lock that many times. Some
// of them give up after a short time.
func crowdOfUsers(ctx context.Context, l *psync.Lock, goroutines, times int, use func()) error {
	done := make(chan error, goroutines)
	for i := range goroutines {
		go func() {
			done <- func() error {
				for n := 0; n < times; {
					turn, cancel := ctx, context.CancelFunc(func() {})
					if i%2 == 0 && n < times/2 {
						turn, cancel = context.WithTimeout(ctx, time.Duration(50*i)*time.Microsecond)
					}
					err := l.Acquire(turn)
					cancel()
					if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
						n++
						continue
					}
					if err != nil {
						return err
					}
					n++
					use()
					if err := l.Release(); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	var errs error
	for range goroutines {
		errs = errors.Join(errs, <-done)
	}
	return errs
}

const crowdOfLock = 60

var lockCrowd = task("crowd of lock users", func(ctx context.Context, j job) error {
	return crowdOfUsers(ctx, j.Lock, crowdOfLock, j.N, func() {
		*j.Cells.Plain(0)++
		j.Cells.At(1).Add(1)
	})
})

// Crowds of several processes share a lock.
func TestCrowdsShareLock(t *testing.T) {
	const times = 100
	seg := Anonymous(t, room)
	l, c := newLock(t, seg), NewCells(t, seg, 2)
	j := job{N: times, Lock: l, Cells: c}
	other, third := Start(t, lockCrowd, j), Start(t, lockCrowd, j)
	WantNil(t, "users", crowdOfUsers(Within(t), l, crowdOfLock, times, func() {
		*c.Plain(0)++
		c.At(1).Add(1)
	}))
	Result(t, other)
	Result(t, third)
	if got, want := *c.Plain(0), uint64(c.At(1).Load()); got != want {
		t.Errorf("the counter under the lock is %d after %d increments", got, want)
	}
}

// A crowd finishes although other processes that use its lock are killed again and again.
func TestCrowdOutlivesOthers(t *testing.T) {
	seg := Anonymous(t, room)
	l := Closing(t, Must(psync.NewLock(seg, "", &psync.Options{IgnoreDeaths: true}))(t))
	c := NewCells(t, seg, 2)
	j := job{N: 1 << 30, Lock: l, Cells: c}
	done := Async(func() error {
		return crowdOfUsers(Within(t), l, crowdOfLock, 200, func() {})
	})
	for range 4 {
		before := c.At(1).Load()
		victim := Start(t, lockCrowd, j)
		Eventually(t, "work of the victim and the others", func() bool { return c.At(1).Load() >= before+100 })
		Kill(t, victim)
	}
	WantNil(t, "users", Await(t, done, "users of the lock"))
}

// Crowds of two parties of this process share a lock, where the race detector observes them.
func TestCrowdOnHeap(t *testing.T) {
	const goroutines, times = 60, 50
	seg := Heap(t, room)
	party := Attach(t, seg)
	l := Closing(t, Must(psync.NewLock(seg, "l", nil))(t))
	far := Closing(t, Must(psync.OpenLock(party, "l"))(t))
	n := 0 // guarded by the lock
	var counted atomic.Int64
	use := func() { n++; counted.Add(1) }
	done := Async(func() error { return crowdOfUsers(Within(t), far, goroutines, times, use) })
	WantNil(t, "users", crowdOfUsers(Within(t), l, goroutines, times, use))
	WantNil(t, "users of the other party", Await(t, done, "users"))
	if n == 0 || int64(n) != counted.Load() {
		t.Errorf("the counter under the lock is %d after %d increments", n, counted.Load())
	}
}
