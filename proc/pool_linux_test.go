package proc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
)

// poolTest is what a worker is told to do in the tests of pools.
type poolTest struct {
	N     int
	Act   string // "", "error", "panic", "exit", "kill", "loop", "wait", "leak", "goexit"
	Sleep time.Duration
	Pad   []byte
}

var errPoolTest = errors.New("the task failed as it was told to")

var poolSquare = proc.Register("poolSquare", func(ctx context.Context, x int) (int, error) { return x * x, nil })

var poolPID = proc.Register("poolPID", func(ctx context.Context, x int) (int, error) { return os.Getpid(), nil })

var poolDo = proc.Register("poolDo", func(ctx context.Context, in poolTest) (int, error) {
	time.Sleep(in.Sleep)
	switch in.Act {
	case "error":
		return 0, errPoolTest
	case "panic":
		panic("as it was told to")
	case "exit":
		os.Exit(3)
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "loop":
		for i := 0; ; i++ {
			poolSink.Store(int64(i))
		}
	case "wait":
		<-ctx.Done()
		return 0, ctx.Err()
	case "goexit":
		runtime.Goexit()
	case "leak":
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			poolSink.Store(int64(len(all)))
		}
	}
	return in.N + len(in.Pad), nil
})

var poolSink atomic.Int64

var poolInit = proc.Register("poolInit", func(ctx context.Context, fail bool) (proc.None, error) {
	if fail {
		return proc.None{}, errPoolTest
	}
	poolInits++
	return proc.None{}, nil
})

var poolInits int

var poolCountInits = proc.Register("poolCountInits", func(ctx context.Context, _ proc.None) (int, error) { return poolInits, nil })

func init() { proc.RegisterError(errPoolTest) }

func newPool(t testing.TB, workers int, o *proc.PoolOptions) *proc.Pool {
	t.Helper()
	p, err := proc.NewPool(workers, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Terminate() })
	return p
}

func soon(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestK01_Apply(t *testing.T) {
	p := newPool(t, 2, nil)
	got, err := poolSquare.Apply(soon(t, time.Minute), p, 7)
	if got != 49 || err != nil {
		t.Errorf("7*7: %d, %v", got, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestK02_Map(t *testing.T) {
	p := newPool(t, 2, nil)
	ctx := soon(t, time.Minute)
	for _, chunk := range []int{0, 1, 20, 1000} {
		for _, n := range []int{0, 1, 100, 5000} {
			var got []int
			for y, err := range poolSquare.Map(ctx, p, seq(n), &proc.MapOptions{Chunk: chunk}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, y)
			}
			if len(got) != n {
				t.Fatalf("%d results of %d calls", len(got), n)
			}
			for i, y := range got {
				if y != i*i {
					t.Fatalf("result %d is %d", i, y)
				}
			}
		}
	}
}

func TestK07_MapUnordered(t *testing.T) {
	p := newPool(t, 3, nil)
	var got []int
	for y, err := range poolSquare.MapUnordered(soon(t, time.Minute), p, seq(3000)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, y)
	}
	slices.Sort(got)
	for i := range got {
		if got[i] != i*i {
			t.Fatalf("result %d is %d", i, got[i])
		}
	}
	if len(got) != 3000 {
		t.Errorf("%d results", len(got))
	}
}

// seq yields the numbers from 0 to n-1.
func seq(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// K07: a lazy input is not read far ahead of the loop.
func TestK07_MapIsLazy(t *testing.T) {
	p := newPool(t, 2, nil)
	read, yielded, most := 0, 0, 0
	in := func(yield func(poolTest) bool) {
		for i := range 200 {
			read++
			most = max(most, read-yielded)
			if !yield(poolTest{N: i, Sleep: time.Millisecond}) {
				return
			}
		}
	}
	for _, err := range poolDo.Map(soon(t, time.Minute), p, in) {
		if err != nil {
			t.Fatal(err)
		}
		yielded++
	}
	if yielded != 200 || most > 64 {
		t.Errorf("%d results, read up to %d values ahead", yielded, most)
	}
}

func TestK08_MapStops(t *testing.T) {
	p := newPool(t, 2, nil)
	ctx := soon(t, time.Minute)
	in := func(yield func(poolTest) bool) {
		for i := range 100 {
			act := ""
			if i == 30 {
				act = "error"
			}
			if !yield(poolTest{N: i, Act: act}) {
				return
			}
		}
	}
	n := 0
	var last error
	for _, err := range poolDo.Map(ctx, p, in) {
		if last = err; err == nil {
			n++
		}
	}
	if n != 30 || !errors.Is(last, errPoolTest) {
		t.Errorf("%d results, then %v", n, last)
	}
	failed := 0
	n = 0
	for _, err := range poolDo.Map(ctx, p, in, &proc.MapOptions{KeepGoing: true}) {
		if n++; err != nil {
			failed++
		}
	}
	if n != 100 || failed != 1 {
		t.Errorf("with KeepGoing: %d results, %d failures", n, failed)
	}
	for y, err := range poolSquare.Map(ctx, p, seq(1000)) { // a loop that ends early
		if err != nil || y > 100 {
			break
		}
	}
	if y, err := poolSquare.Apply(ctx, p, 5); y != 25 || err != nil {
		t.Errorf("the pool after that: %d, %v", y, err)
	}
}

func TestK10_Errors(t *testing.T) {
	p := newPool(t, 1, nil)
	ctx := soon(t, time.Minute)
	var remote *proc.RemoteError
	if _, err := poolDo.Apply(ctx, p, poolTest{Act: "error"}); !errors.Is(err, errPoolTest) || !errors.As(err, &remote) {
		t.Errorf("a task's error: %v", err)
	}
	var panicked *proc.PanicError
	if _, err := poolDo.Apply(ctx, p, poolTest{Act: "panic"}); !errors.As(err, &panicked) || panicked.Value != "as it was told to" || panicked.Stack == "" {
		t.Errorf("a task's panic: %v", err)
	}
	if s := p.Stats(); len(s.Lost) != 0 || s.Done != 2 {
		t.Errorf("%+v: workers were lost", s)
	}
	if _, err := poolDo.Apply(ctx, p, poolTest{Act: "goexit"}); err == nil {
		t.Error("a task that called Goexit has a result")
	}
	if y, err := poolSquare.Apply(ctx, p, 5); y != 25 || err != nil {
		t.Errorf("the pool after that: %d, %v", y, err)
	}
}

// K21, K22: a worker that is killed, or exits, loses its own task only.
func TestK21_K22_WorkerIsLost(t *testing.T) {
	p := newPool(t, 2, nil)
	ctx := soon(t, time.Minute)
	for _, test := range []struct {
		act  string
		code int
	}{{"kill", -9}, {"exit", 3}} {
		var others []*proc.Future[int]
		for i := range 20 {
			f, err := poolDo.Submit(ctx, p, poolTest{N: i, Sleep: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			others = append(others, f)
		}
		_, err := poolDo.Apply(ctx, p, poolTest{Act: test.act})
		var lost *proc.WorkerLostError
		if !errors.As(err, &lost) || lost.ExitCode != test.code || lost.PID == 0 || lost.Task != "poolDo" {
			t.Errorf("%s: %v", test.act, err)
		}
		for i, f := range others {
			if y, err := f.Wait(ctx); y != i || err != nil {
				t.Errorf("%s: call %d of another: %d, %v", test.act, i, y, err)
			}
		}
	}
	if s := p.Stats(); s.Lost["signal 9 (killed)"] != 1 || s.Lost["exit code 3"] != 1 || s.Failed != 2 {
		t.Errorf("%+v", s)
	}
}

func TestPoolRetries(t *testing.T) {
	p := newPool(t, 1, &proc.PoolOptions{Retries: 2})
	_, err := poolDo.Apply(soon(t, time.Minute), p, poolTest{Act: "kill"})
	var lost *proc.WorkerLostError
	if s := p.Stats(); !errors.As(err, &lost) || s.Retried != 2 || s.Lost["signal 9 (killed)"] != 3 {
		t.Errorf("%v, %+v", err, s)
	}
}

// K25: a task that runs for too long costs its worker at most.
func TestK25_Timeout(t *testing.T) {
	p := newPool(t, 2, &proc.PoolOptions{Timeout: 100 * time.Millisecond, Grace: 100 * time.Millisecond})
	ctx := soon(t, time.Minute)
	for _, test := range []struct {
		act  string
		lost int
	}{{"wait", 0}, {"loop", 1}} {
		begin := time.Now()
		_, err := poolDo.Apply(ctx, p, poolTest{Act: test.act})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", test.act, err)
		}
		t.Logf("%s: %v after %v", test.act, err, time.Since(begin))
		if s := p.Stats(); len(s.Lost) != test.lost {
			t.Errorf("%s: %+v", test.act, s)
		}
	}
	if y, err := poolSquare.Apply(ctx, p, 5); y != 25 || err != nil {
		t.Errorf("the pool after that: %d, %v", y, err)
	}
}

// A Submit whose context ends is taken back, or its task stopped.
func TestPoolCancel(t *testing.T) {
	p := newPool(t, 1, nil)
	ctx := soon(t, time.Minute)
	for _, act := range []string{"wait", "loop"} {
		stopped, stop := context.WithCancel(ctx)
		running, err := poolDo.Submit(stopped, p, poolTest{Act: act})
		if err != nil {
			t.Fatal(err)
		}
		waiting, err := poolDo.Submit(stopped, p, poolTest{Act: act})
		if err != nil {
			t.Fatal(err)
		}
		other, err := poolDo.Submit(ctx, p, poolTest{N: 3})
		if err != nil {
			t.Fatal(err)
		}
		stop()
		for _, f := range []*proc.Future[int]{running, waiting} {
			if _, err := f.Wait(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", act, err)
			}
		}
		if y, err := other.Wait(ctx); y != 3 || err != nil {
			t.Errorf("%s: the other call: %d, %v", act, y, err)
		}
	}
}

// A call that does not end holds up no other: what waits behind it goes to a worker that has
// nothing to do.
func TestPoolRelieves(t *testing.T) {
	p := newPool(t, 2, nil)
	ctx := soon(t, time.Minute)
	for range 3 {
		for _, err := range poolSquare.Map(ctx, p, seq(5000)) { // short calls: the workers get many at a time
			if err != nil {
				t.Fatal(err)
			}
		}
		stopped, stop := context.WithCancel(ctx)
		stuck, err := poolDo.Submit(stopped, p, poolTest{Act: "wait"})
		if err != nil {
			t.Fatal(err)
		}
		for range 20 { // more than a worker may have, together
			var others []*proc.Future[int]
			for i := range 100 {
				f, err := poolSquare.Submit(ctx, p, i)
				if err != nil {
					t.Fatal(err)
				}
				others = append(others, f)
			}
			for i, f := range others {
				if y, err := f.Wait(ctx); y != i*i || err != nil {
					t.Fatalf("call %d behind one that does not end: %d, %v; %+v", i, y, err, p.Stats())
				}
			}
		}
		stop()
		if _, err := stuck.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// TestPoolStopsWaiting shows that calls whose context ends while they wait behind another call end with
// its error, though they are handed on to another worker then.
func TestPoolStopsWaiting(t *testing.T) {
	p := newPool(t, 2, nil)
	ctx := soon(t, time.Minute)
	for range 5 {
		for _, err := range poolSquare.Map(ctx, p, seq(5000)) { // the workers get many at a time
			if err != nil {
				t.Fatal(err)
			}
		}
		first, stopFirst := context.WithCancel(ctx)
		second, stopSecond := context.WithCancel(ctx)
		waiting, cancel := context.WithCancel(ctx)
		var all []*proc.Future[int]
		for i := range 52 {
			c := waiting
			if i < 2 {
				c = []context.Context{first, second}[i]
			}
			f, err := poolDo.Submit(c, p, poolTest{Act: "wait"})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, f)
		}
		cancel()
		stopSecond()
		for i, f := range all[1:] {
			if _, err := f.Wait(ctx); !errors.Is(err, context.Canceled) {
				t.Fatalf("call %d: %v; %+v", i, err, p.Stats())
			}
		}
		stopFirst()
		if _, err := all[0].Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// TestPoolSlowInit shows that the time of a call does not begin before its worker is ready.
func TestPoolSlowInit(t *testing.T) {
	p := newPool(t, 1, &proc.PoolOptions{
		Timeout: 100 * time.Millisecond, Grace: 50 * time.Millisecond, Init: poolDo.With(poolTest{Sleep: 500 * time.Millisecond}),
	})
	if y, err := poolSquare.Apply(soon(t, time.Minute), p, 3); y != 9 || err != nil {
		t.Errorf("%d, %v; %+v", y, err, p.Stats())
	}
}

func TestK13_Terminate(t *testing.T) {
	p := newPool(t, 2, nil)
	ctx := soon(t, time.Minute)
	var all []*proc.Future[int]
	for range 10_000 {
		f, err := poolDo.Submit(ctx, p, poolTest{Sleep: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	begin := time.Now()
	p.Terminate()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("Terminate took %v", took)
	}
	for _, f := range all {
		if _, err := f.Wait(ctx); !errors.Is(err, proc.ErrPoolClosed) {
			t.Fatal(err)
		}
	}
	if _, err := poolSquare.Submit(ctx, p, 1); !errors.Is(err, proc.ErrPoolClosed) {
		t.Errorf("Submit after Terminate: %v", err)
	}
}

// K23: Terminate may be called by a callback.
func TestK23_TerminateInCallback(t *testing.T) {
	p := newPool(t, 2, nil)
	ctx := soon(t, time.Minute)
	f, err := poolSquare.Submit(ctx, p, 3)
	if err != nil {
		t.Fatal(err)
	}
	called := make(chan int)
	f.Then(func(y int, err error) {
		p.Terminate()
		called <- y
	})
	select {
	case y := <-called:
		if y != 9 {
			t.Errorf("3*3: %d", y)
		}
	case <-ctx.Done():
		t.Fatal("the callback is stuck")
	}
}

func TestK16_MaxTasks(t *testing.T) {
	p := newPool(t, 2, &proc.PoolOptions{MaxTasks: 10})
	ctx := soon(t, time.Minute)
	calls := map[int]int{}
	for pid, err := range poolPID.Map(ctx, p, seq(100)) {
		if err != nil {
			t.Fatal(err)
		}
		calls[pid]++
	}
	for pid, n := range calls {
		if n > 10 {
			t.Errorf("worker %d ran %d tasks", pid, n)
		}
	}
	if len(calls) < 10 {
		t.Errorf("%d workers for 100 tasks", len(calls))
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if s := p.Stats(); len(s.Lost) != 0 || s.Replaced < 9 {
		t.Errorf("%+v", s)
	}
}

func TestK17_Init(t *testing.T) {
	p := newPool(t, 2, &proc.PoolOptions{Init: poolInit.With(false)})
	for n, err := range poolCountInits.Map(soon(t, time.Minute), p, func(yield func(proc.None) bool) {
		for range 20 {
			if !yield(proc.None{}) {
				return
			}
		}
	}, nil) {
		if n != 1 || err != nil {
			t.Fatalf("%d initializations, %v", n, err)
		}
	}
}

// K18: a pool whose workers can't be initialized says so.
func TestK18_InitFails(t *testing.T) {
	p := newPool(t, 2, &proc.PoolOptions{Init: poolInit.With(true)})
	ctx := soon(t, time.Minute)
	_, err := poolSquare.Apply(ctx, p, 1)
	if !errors.Is(err, proc.ErrInit) || !errors.Is(err, errPoolTest) {
		t.Errorf("%v; want ErrInit and the reason", err)
	}
	if _, err := poolSquare.Submit(ctx, p, 1); !errors.Is(err, proc.ErrInit) {
		t.Errorf("later: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestPoolKeys(t *testing.T) {
	p := newPool(t, 3, nil)
	ctx := soon(t, time.Minute)
	where := map[string]int{}
	for i := range 60 {
		key := fmt.Sprint(i % 6)
		pid, err := poolPID.Apply(ctx, p, 0, &proc.CallOptions{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		if before := where[key]; before != 0 && before != pid {
			t.Errorf("key %s was with %d, now with %d", key, before, pid)
		}
		where[key] = pid
	}
	if _, err := poolDo.Apply(ctx, p, poolTest{Act: "kill"}, &proc.CallOptions{Key: "0"}); err == nil {
		t.Error("a killed call has a result")
	}
	pid, err := poolPID.Apply(ctx, p, 0, &proc.CallOptions{Key: "0"})
	if err != nil || pid == where["0"] {
		t.Errorf("after the death of its worker key 0 is with %d, %v; it was with %d", pid, err, where["0"])
	}
}

// Calls that wait for the worker of their key end with the pool, too.
func TestPoolKeysTerminate(t *testing.T) {
	p := newPool(t, 1, nil)
	ctx := soon(t, time.Minute)
	key := &proc.CallOptions{Key: "a"}
	if _, err := poolSquare.Apply(ctx, p, 1, key); err != nil { // the key has a worker now
		t.Fatal(err)
	}
	var all []*proc.Future[int]
	for range 20 {
		f, err := poolDo.Submit(ctx, p, poolTest{Act: "loop"}, key)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	p.Terminate()
	for i, f := range all {
		if _, err := f.Wait(ctx); !errors.Is(err, proc.ErrPoolClosed) {
			t.Fatalf("call %d: %v", i, err)
		}
	}
}

// Calls of one key go on when their worker is replaced.
func TestPoolKeysMaxTasks(t *testing.T) {
	p := newPool(t, 2, &proc.PoolOptions{MaxTasks: 3})
	ctx := soon(t, time.Minute)
	var all []*proc.Future[int]
	for i := range 20 {
		f, err := poolSquare.Submit(ctx, p, i, &proc.CallOptions{Key: "a"})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	for i, f := range all {
		if y, err := f.Wait(ctx); y != i*i || err != nil {
			t.Fatalf("call %d: %d, %v; %+v", i, y, err, p.Stats())
		}
	}
}

func TestPoolMemory(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector needs more memory than the limit")
	}
	p := newPool(t, 1, &proc.PoolOptions{Process: &proc.Options{Memory: 512 << 20}})
	ctx := soon(t, time.Minute)
	_, err := poolDo.Apply(ctx, p, poolTest{Act: "leak"})
	var lost *proc.WorkerLostError
	if !errors.As(err, &lost) || !lost.Memory || !errors.Is(err, proc.ErrMemory) || !strings.HasSuffix(err.Error(), "was lost: out of memory") {
		t.Errorf("%v; want out of memory", err)
	}
	if s := p.Stats(); s.Lost["out of memory"] != 1 {
		t.Errorf("%+v", s)
	}
}

// poolEnter moves its process to the cgroup with that directory.
var poolEnter = proc.Register("poolEnter", func(_ context.Context, dir string) (proc.None, error) {
	return proc.None{}, os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(os.Getpid())), 0)
})

// limitedCgroup returns the directory of a new cgroup with a limit of 64 MiB. It skips the test if there
// can't be one.
func limitedCgroup(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("mp-test-%d", os.Getpid())
	var errs []error
	for _, c := range []struct{ parent, limit, swap string }{
		{"/sys/fs/cgroup/memory/", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"},
		{"/sys/fs/cgroup/", "memory.max", "memory.swap.max"},
	} {
		dir := c.parent + name
		if err := os.Mkdir(dir, 0o755); err != nil {
			errs = append(errs, err)
			continue
		}
		t.Cleanup(func() {
			err := os.Remove(dir)
			for end := time.Now().Add(patience); err != nil && time.Now().Before(end); err = os.Remove(dir) {
				time.Sleep(10 * time.Millisecond) // the kernel takes a moment to forget the processes
			}
			if err != nil {
				t.Error(err)
			}
		})
		err := os.WriteFile(dir+"/"+c.limit, []byte("67108864"), 0)
		if err == nil {
			_ = os.WriteFile(dir+"/"+c.swap, []byte("67108864"), 0) // there may be no swap
			return dir
		}
		errs = append(errs, err)
	}
	t.Skipf("no cgroup with a limit of memory: %v", errors.Join(errs...))
	return ""
}

// A worker that is killed for the memory of its cgroup says so, and one that is killed otherwise does
// not.
func TestPoolMemoryOfCgroup(t *testing.T) {
	if testkit.Race {
		t.Skip("the race detector needs more memory than the limit")
	}
	// Two workers would share the limit, and the kernel may kill both for what one of them needs.
	p := newPool(t, 1, &proc.PoolOptions{Init: poolEnter.With(limitedCgroup(t))})
	ctx := soon(t, time.Minute)
	for _, test := range []struct {
		act    string
		memory bool
	}{{"leak", true}, {"kill", false}, {"leak", true}, {"kill", false}} {
		_, err := poolDo.Apply(ctx, p, poolTest{Act: test.act})
		var lost *proc.WorkerLostError
		var exit *proc.ExitError
		if !errors.As(err, &lost) || lost.ExitCode != -9 || lost.Memory != test.memory ||
			errors.Is(err, proc.ErrMemory) != test.memory || !errors.As(err, &exit) || exit.Memory != test.memory {
			t.Errorf("%s: %v; want signal 9, out of memory %t", test.act, err, test.memory)
		}
	}
	if s := p.Stats(); s.Lost["out of memory"] != 2 || s.Lost["signal 9 (killed)"] != 2 {
		t.Errorf("%+v", s)
	}
}

func TestPoolResize(t *testing.T) {
	p := newPool(t, 1, nil)
	ctx := soon(t, time.Minute)
	if err := p.Resize(4); err != nil {
		t.Fatal(err)
	}
	pids := map[int]bool{}
	for len(pids) < 4 && ctx.Err() == nil {
		for pid, err := range poolPID.Map(ctx, p, seq(100), &proc.MapOptions{Chunk: 1}) {
			if err != nil {
				t.Fatal(err)
			}
			pids[pid] = true
		}
	}
	if err := p.Resize(1); err != nil {
		t.Fatal(err)
	}
	for p.Stats().Workers > 1 {
		if ctx.Err() != nil {
			t.Fatalf("%+v", p.Stats())
		}
		if _, err := poolSquare.Apply(ctx, p, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Resize(0); err == nil {
		t.Error("a pool of no workers")
	}
}

func TestK12_Sizes(t *testing.T) {
	if _, err := proc.NewPool(-1, nil); err == nil {
		t.Error("a pool of -1 workers")
	}
	p := newPool(t, 0, nil)
	if n := p.Workers(); n != runtime.GOMAXPROCS(0) {
		t.Errorf("%d workers", n)
	}
}

// K14, K15: Close finishes the calls. Close, Join and Terminate may be called in any order, again, and
// by several goroutines at once. The pool then takes no calls.
func TestK14_K15_Close(t *testing.T) {
	p := newPool(t, 2, nil)
	ctx := soon(t, time.Minute)
	var all []*proc.Future[int]
	for i := range 20 {
		f, err := poolDo.Submit(ctx, p, poolTest{N: i, Sleep: 5 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	expired, cancel := context.WithCancel(ctx)
	cancel()
	if err := p.Join(expired); !errors.Is(err, context.Canceled) {
		t.Errorf("Join with an ended context: %v, want Canceled", err)
	}
	var wg sync.WaitGroup
	for _, end := range []func() error{p.Close, func() error { return p.Join(ctx) }, p.Close} {
		wg.Go(func() {
			if err := end(); err != nil {
				t.Error(err)
			}
			for i, f := range all {
				if y, err := f.Wait(expired); y != i || err != nil {
					t.Errorf("call %d after the end: %d, %v", i, y, err)
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(p.Terminate(), p.Close(), p.Terminate(), p.Join(ctx)); err != nil {
		t.Error(err)
	}
	_, apply := poolSquare.Apply(ctx, p, 1)
	mapped := error(nil)
	for _, err := range poolSquare.Map(ctx, p, seq(3)) {
		mapped = err
	}
	for op, err := range map[string]error{"Apply": apply, "Map": mapped, "Resize": p.Resize(3)} {
		if !errors.Is(err, proc.ErrPoolClosed) {
			t.Errorf("%s of a closed pool: %v, want ErrPoolClosed", op, err)
		}
	}
}

func TestPoolProgress(t *testing.T) {
	p := newPool(t, 2, nil)
	var last int
	for _, err := range poolSquare.Map(soon(t, time.Minute), p, seq(500), &proc.MapOptions{
		Total: 500, Progress: func(done, total int) {
			if done < last || total != 500 {
				t.Errorf("%d of %d after %d", done, total, last)
			}
			last = done
		},
	}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if last != 500 {
		t.Errorf("the last progress is %d", last)
	}
}

// What a worker gives back while it begins the next batch is run once, by another.
func TestPoolGivesBack(t *testing.T) {
	p := newPool(t, 2, nil)
	ctx := soon(t, time.Minute)
	maps := 60
	if testing.Short() {
		maps = 6
	}
	for range maps {
		i := 0
		for y, err := range poolDo.Map(ctx, p, func(yield func(poolTest) bool) {
			for i := range 400 {
				in := poolTest{N: i}
				if i%100 == 50 {
					in.Sleep = 6 * time.Millisecond
				}
				if !yield(in) {
					return
				}
			}
		}, &proc.MapOptions{Chunk: 1}) {
			if y != i || err != nil {
				t.Fatalf("call %d: %d, %v", i, y, err)
			}
			i++
		}
	}
}
