package proc_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
)

var poolKills = flag.Int("pool.kills", 100, "how many workers TestPoolStorm kills; a tenth of them with -short")

// poolRuns counts in a worker how many times each call of TestPoolStorm ran.
var poolRuns []uint32

var poolCounts = proc.Register("poolCounts", func(_ context.Context, runs *array.Array[uint32]) (proc.None, error) {
	poolRuns = runs.Slice()
	return proc.None{}, nil
})

var poolCounted = proc.Register("poolCounted", func(_ context.Context, i int) (int, error) {
	atomic.AddUint32(&poolRuns[i], 1)
	for end := time.Now().Add(20 * time.Microsecond); time.Now().Before(end); {
	}
	return i, nil
})

// Workers are killed at random while several goroutines call the pool, or while one does, which finds
// workers with nothing to do. Each call has one result or one error, within a second, and runs at most
// once.
func TestPoolStorm(t *testing.T) {
	kills := *poolKills
	if testing.Short() {
		kills /= 10
	}
	t.Run("busy", func(t *testing.T) { stormPool(t, kills, 3, true) })
	t.Run("idle", func(t *testing.T) { stormPool(t, kills/2, 1, false) })
}

func stormPool(t *testing.T, kills, callers int, maps bool) {
	const most = 1 << 22
	runs, err := array.New[uint32](anonymousOf(t, 4*most+1<<20, nil), "", most, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer runs.Close()
	p := newPool(t, 3, &proc.PoolOptions{Init: poolCounts.With(runs)})
	ctx := soon(t, 5*time.Minute)
	storm := poolStorm{t: t, calls: make([]atomic.Uint32, most)}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() { storm.apply(ctx, p) })
	}
	if maps {
		wg.Go(func() { storm.mapping(ctx, p) })
	}
	for range kills {
		pid, err := poolPID.Apply(ctx, p, 0)
		if err != nil {
			continue
		}
		time.Sleep(rand.N(time.Millisecond)) // the moment of the kill is random
		syscall.Kill(pid, syscall.SIGKILL)
	}
	storm.over.Store(true)
	wg.Wait()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	for i := range int(storm.made.Load()) {
		if n := storm.calls[i].Load(); n != 1 {
			t.Errorf("call %d has %d results and errors", i, n)
		}
		if n := runs.Slice()[i]; n > 1 {
			t.Errorf("call %d ran %d times", i, n)
		}
	}
	s := p.Stats()
	if s.Lost["signal 9 (killed)"] == 0 || storm.good.Load() == 0 {
		t.Errorf("%+v", s)
	}
	slowest := time.Duration(storm.slowest.Load())
	if slowest > time.Second && !testkit.Race {
		t.Errorf("a call took %v", slowest)
	}
	t.Logf("%d calls had a result, %d were lost with %d workers; the slowest call took %v", storm.good.Load(), storm.lost.Load(), s.Lost["signal 9 (killed)"], slowest)
}

// A poolStorm makes calls while workers are killed.
type poolStorm struct {
	t          *testing.T
	calls      []atomic.Uint32 // for each call, how many results and errors it has
	made       atomic.Int64
	over       atomic.Bool
	good, lost atomic.Int64
	slowest    atomic.Int64
}

// next returns the number of the next call, and false if there is to be none.
func (s *poolStorm) next() (int, bool) {
	if s.over.Load() || int(s.made.Load())+100 > len(s.calls) {
		return 0, false
	}
	return int(s.made.Add(1)) - 1, true
}

// came counts what came of call i. It returns false if that is wrong.
func (s *poolStorm) came(i, y int, err error, begin time.Time) bool {
	s.calls[i].Add(1)
	took := int64(time.Since(begin))
	for old := s.slowest.Load(); took > old && !s.slowest.CompareAndSwap(old, took); old = s.slowest.Load() {
	}
	var e *proc.WorkerLostError
	switch {
	case err == nil && y == i:
		s.good.Add(1)
	case errors.As(err, &e):
		s.lost.Add(1)
	default:
		s.t.Errorf("call %d: %d, %v", i, y, err)
		return false
	}
	return true
}

func (s *poolStorm) apply(ctx context.Context, p *proc.Pool) {
	for {
		i, ok := s.next()
		if !ok {
			return
		}
		begin := time.Now()
		if y, err := poolCounted.Apply(ctx, p, i); !s.came(i, y, err, begin) {
			return
		}
	}
}

func (s *poolStorm) mapping(ctx context.Context, p *proc.Pool) {
	type call struct {
		i     int
		begin time.Time
	}
	var open []call // that Map has read and not yielded
	for y, err := range poolCounted.Map(ctx, p, func(yield func(int) bool) {
		for {
			i, ok := s.next()
			if ok {
				open = append(open, call{i, time.Now()})
			}
			if !ok || !yield(i) {
				return
			}
		}
	}, &proc.MapOptions{Chunk: 8, KeepGoing: true}) {
		one := open[0]
		open = open[1:]
		if !s.came(one.i, y, err, one.begin) {
			return
		}
	}
	if len(open) > 0 {
		s.t.Errorf("%d calls have no result and no error", len(open))
	}
}

// left is what a process has that a pool must not leave behind.
type left struct{ goroutines, threads, files, processes int }

func leftNow(t *testing.T) left {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return left{runtime.NumGoroutine(), len(threads), len(openFiles()), len(childList())}
}

// Nothing of a pool is left after Close, and after Terminate with calls that run.
func TestPoolLeavesNothing(t *testing.T) {
	ctx := soon(t, time.Minute)
	one := func() {
		p := newPool(t, 3, nil)
		for _, err := range poolSquare.Map(ctx, p, seq(1000)) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		p = newPool(t, 3, &proc.PoolOptions{Timeout: time.Hour})
		for range 10 {
			if _, err := poolDo.Submit(ctx, p, poolTest{Act: "wait"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Terminate(); err != nil {
			t.Fatal(err)
		}
	}
	one()
	before := leftNow(t)
	for range 5 {
		one()
	}
	var after left
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		after = leftNow(t)
		if after.goroutines <= before.goroutines && after.files <= before.files && after.processes == 0 {
			break // a goroutine may need a moment after Close has seen its last act
		}
	}
	// Go keeps threads that it has made. Five more pools need none but a few for system calls.
	if after.goroutines > before.goroutines || after.files > before.files || after.processes != 0 || after.threads > before.threads+6 {
		buf := make([]byte, 1<<20)
		t.Errorf("after one pool %+v, after six %+v\n%s", before, after, buf[:runtime.Stack(buf, true)])
	}
	t.Logf("after one pool %+v, after six %+v", before, after)
}

// mainLeavingPool is the main function of a program that does not close its pool.
func mainLeavingPool() int {
	proc.Init()
	p, err := proc.NewPool(2, nil)
	if err != nil {
		return 1
	}
	ctx := context.Background()
	if _, err := poolDo.Submit(ctx, p, poolTest{Act: "loop"}); err != nil {
		return 2
	}
	pid, err := poolPID.Apply(ctx, p, 0)
	if err != nil || pid == os.Getpid() {
		return 3
	}
	return 0
}

// A program that does not close its pool ends at once, and its workers with it.
func TestK20_NotClosed(t *testing.T) {
	cmd := exec.CommandContext(within(t), executable(t))
	cmd.Env = append(os.Environ(), modeEnv+"=pool left")
	r, w := pipe(t) // until all processes that have w have ended
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("a worker is left: %v", err)
	}
}

// poolPanic panics with an object in its argument.
var poolPanic = proc.Register("poolPanic", func(_ context.Context, c *ring.Conn) (proc.None, error) {
	panic("as it was told to")
})

// A worker does not keep the objects of an argument after a task has panicked.
func TestPoolPanicClosesObjects(t *testing.T) {
	for _, method := range []proc.Method{proc.Spawn, proc.InProcess} {
		p := newPool(t, 1, &proc.PoolOptions{Process: &proc.Options{Method: method}})
		ctx := soon(t, time.Minute)
		ours, theirs, err := ring.NewPipe(anonymousOf(t, 1<<20, nil), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		var panicked *proc.PanicError
		if _, err := poolPanic.Apply(ctx, p, theirs); !errors.As(err, &panicked) {
			t.Errorf("%v: %v, want a panic", method, err)
		}
		if err := theirs.Close(); err != nil {
			t.Error(err)
		}
		if _, err := ours.Receive(soon(t, 10*time.Second)); !errors.Is(err, io.EOF) {
			t.Errorf("%v: Receive of a pipe whose other end nobody has: %v, want EOF", method, err)
		}
		if n, err := poolSquare.Apply(ctx, p, 3); n != 9 || err != nil || p.Stats().Started != 0 {
			t.Errorf("%v: after the panic: %d, %v, %+v", method, n, err, p.Stats())
		}
	}
}
