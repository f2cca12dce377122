package proc_test

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/proc"
)

// K04, K05: Wait waits for the result or for its context, and the result still comes. Ready and Done say
// whether it is there.
func TestK04_K05_Future(t *testing.T) {
	p := newPool(t, 1, nil)
	ctx := soon(t, time.Minute)
	f, err := poolDo.Submit(ctx, p, poolTest{N: 5, Sleep: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if f.Ready() {
		t.Error("it is ready at once")
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := f.Wait(over); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait with a context that is done: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if _, err := f.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait for 1 ms: %v", err)
	}
	select {
	case <-f.Done():
	case <-ctx.Done():
		t.Fatal("the result does not come")
	}
	for range 2 {
		if n, err := f.Wait(over); n != 5 || err != nil || !f.Ready() {
			t.Errorf("Wait for what is there: %d, %v", n, err)
		}
	}
}

// K06: a callback gets the result or the error once, in the pool's process.
func TestK06_Callback(t *testing.T) {
	p := newPool(t, 1, nil)
	ctx := soon(t, time.Minute)
	type outcome struct {
		n   int
		err error
	}
	came := make(chan outcome, 4)
	for _, act := range []string{"", "error"} {
		f, err := poolDo.Submit(ctx, p, poolTest{N: 1, Act: act})
		if err != nil {
			t.Fatal(err)
		}
		f.Then(func(n int, err error) { came <- outcome{n, err} })
		select {
		case got := <-came:
			if act == "" && (got.n != 1 || got.err != nil) || act == "error" && !errors.Is(got.err, errPoolTest) {
				t.Errorf("%q: %+v", act, got)
			}
		case <-ctx.Done():
			t.Fatal("the callback is not called")
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if len(came) != 0 {
		t.Error("a callback was called twice")
	}
}

// K03: a call with several arguments is a call with a struct.
func TestK03_Struct(t *testing.T) {
	p := newPool(t, 2, nil)
	var got []int
	for n, err := range poolDo.Map(soon(t, time.Minute), p, slices.Values([]poolTest{{N: 1}, {N: 2, Pad: make([]byte, 40)}})) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	if !slices.Equal(got, []int{1, 42}) {
		t.Error(got)
	}
}

// poolAny returns what can't be sent for each odd argument.
var poolAny = proc.Register("poolAny", func(_ context.Context, v any) (any, error) {
	if n, ok := v.(int); ok && n%2 == 1 {
		return make(chan int), nil
	}
	return v, nil
})

// K09: an argument that can't be sent is an error for the caller, and so is a result. No worker is lost.
func TestK09_Unsendable(t *testing.T) {
	p := newPool(t, 2, nil)
	ctx := soon(t, time.Minute)
	if _, err := poolAny.Submit(ctx, p, make(chan int)); !errors.Is(err, proc.ErrValue) {
		t.Errorf("Submit: %v", err)
	}
	for i := range 20 {
		if _, err := poolAny.Apply(ctx, p, 2*i+1); !errors.Is(err, proc.ErrValue) {
			t.Fatalf("the result of call %d: %v", i, err)
		}
	}
	in := []any{0, make(chan int), 2, 3, 4}
	i := 0
	for v, err := range poolAny.Map(ctx, p, slices.Values(in), &proc.MapOptions{KeepGoing: true}) {
		if i%2 == 0 && i != 2 && (v != in[i] || err != nil) || (i == 1 || i == 3) && !errors.Is(err, proc.ErrValue) {
			t.Errorf("call %d: %v, %v", i, v, err)
		}
		i++
	}
	if i != len(in) {
		t.Errorf("%d results of %d calls", i, len(in))
	}
	if s := p.Stats(); len(s.Lost) != 0 || s.Started != 0 {
		t.Errorf("%+v", s)
	}
}

// An input without an end whose values can't be sent: the errors come, and the loop can be ended.
func TestMapRefusesOn(t *testing.T) {
	ctx, p := soon(t, time.Minute), newPool(t, 1, nil)
	in := func(yield func(any) bool) {
		for yield(make(chan int)) {
		}
	}
	n := 0
	for _, err := range poolAny.Map(ctx, p, in, &proc.MapOptions{KeepGoing: true}) {
		if n++; !errors.Is(err, proc.ErrValue) || n == 10 {
			break
		}
	}
	if n != 10 {
		t.Errorf("%d errors of arguments that can't be sent", n)
	}
}

// K11: with KeepGoing, all calls have their result or error, in order; else the first error ends the loop.
func TestK11_KeepGoing(t *testing.T) {
	p := newPool(t, 2, nil)
	ctx := soon(t, time.Minute)
	in := func(yield func(poolTest) bool) {
		for i := range 100 {
			c := poolTest{N: i}
			if i%10 == 3 {
				c.Act = "error"
			}
			if !yield(c) {
				return
			}
		}
	}
	i := 0
	for n, err := range poolDo.Map(ctx, p, in, &proc.MapOptions{KeepGoing: true, Chunk: 7}) {
		if i%10 == 3 && !errors.Is(err, errPoolTest) || i%10 != 3 && (n != i || err != nil) {
			t.Errorf("call %d: %d, %v", i, n, err)
		}
		i++
	}
	if i != 100 {
		t.Errorf("%d results", i)
	}
	i = 0
	for _, err := range poolDo.Map(ctx, p, in) {
		if (err != nil) != (i == 3) {
			t.Errorf("call %d: %v", i, err)
		}
		i++
	}
	if i != 4 {
		t.Errorf("the loop went on to call %d", i-1)
	}
}

// K19: if a worker can't be started, those that are there are ended, and NewPool fails.
func TestK19_StartFails(t *testing.T) {
	if _, err := proc.NewPool(3, &proc.PoolOptions{Process: &proc.Options{Dir: t.TempDir() + "/none"}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("NewPool: %v", err)
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	few := old
	few.Cur = uint64(len(openFiles()) + 30)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	_, err := proc.NewPool(30, nil)
	if err2 := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err2 != nil {
		t.Fatal(err2)
	}
	if !errors.Is(err, syscall.EMFILE) {
		t.Errorf("NewPool with few descriptors: %v", err)
	}
	if n := len(childList()); n != 0 {
		t.Errorf("%d workers are left", n)
	}
}

// K24: a pool does not keep the argument and the result of a call.
func TestK24_Released(t *testing.T) {
	p := newPool(t, 1, nil)
	ctx := soon(t, time.Minute)
	var freed atomic.Int32
	call := func() {
		in := &poolTest{Pad: make([]byte, 1<<20)}
		runtime.AddCleanup(in, func(n *atomic.Int32) { n.Add(1) }, &freed)
		for range poolPointer.Map(ctx, p, slices.Values([]*poolTest{in})) {
		}
		f, err := poolPointer.Submit(ctx, p, in)
		if err != nil {
			t.Fatal(err)
		}
		out, err := f.Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		runtime.AddCleanup(out, func(n *atomic.Int32) { n.Add(1) }, &freed)
	}
	call()
	for freed.Load() < 2 && ctx.Err() == nil {
		runtime.GC()
		runtime.Gosched()
	}
	if freed.Load() < 2 {
		t.Error("the argument or the result is kept")
	}
}

var poolPointer = proc.Register("poolPointer", func(_ context.Context, in *poolTest) (*poolTest, error) { return in, nil })

// poolInside are the calls of TestPoolInProcess with a key, in the order in which they ran.
var poolInside struct {
	sync.Mutex
	ran     []int
	running int
	most    int
	tries   int
	begun   chan struct{}
}

var poolKeyed = proc.Register("poolKeyed", func(_ context.Context, i int) (int, error) {
	s := &poolInside
	s.Lock()
	s.ran = append(s.ran, i)
	s.running++
	s.most = max(s.most, s.running)
	s.Unlock()
	runtime.Gosched()
	s.Lock()
	s.running--
	s.Unlock()
	return i, nil
})

// poolTwice works only when it runs for the second time.
var poolTwice = proc.Register("poolTwice", func(ctx context.Context, _ proc.None) (int, error) {
	s := &poolInside
	s.Lock()
	s.tries++
	n, begun := s.tries, s.begun
	s.Unlock()
	if n == 1 {
		close(begun)
		<-ctx.Done()
	}
	return n, ctx.Err()
})

// A pool of goroutines does all that a pool of processes does.
func TestPoolInProcess(t *testing.T) {
	inside := &proc.Options{Method: proc.InProcess}
	ctx := soon(t, time.Minute)
	t.Run("map", func(t *testing.T) {
		p := newPool(t, 3, &proc.PoolOptions{Process: inside})
		i := 0
		for y, err := range poolSquare.Map(ctx, p, seq(5000)) {
			if y != i*i || err != nil {
				t.Fatalf("call %d: %d, %v", i, y, err)
			}
			i++
		}
		if err := p.Close(); err != nil || i != 5000 {
			t.Errorf("%d results, %v", i, err)
		}
	})
	t.Run("errors", func(t *testing.T) {
		p := newPool(t, 1, &proc.PoolOptions{Process: inside})
		if _, err := poolDo.Apply(ctx, p, poolTest{Act: "error"}); !errors.Is(err, errPoolTest) {
			t.Error(err)
		}
		var panicked *proc.PanicError
		if _, err := poolDo.Apply(ctx, p, poolTest{Act: "panic"}); !errors.As(err, &panicked) || panicked.Stack == "" {
			t.Error(err)
		}
	})
	t.Run("keys", func(t *testing.T) {
		p := newPool(t, 3, &proc.PoolOptions{Process: inside})
		poolInside.Lock()
		poolInside.ran = nil
		poolInside.Unlock()
		var all []*proc.Future[int]
		for i := range 300 {
			f, err := poolKeyed.Submit(ctx, p, i, &proc.CallOptions{Key: "k"})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, f)
		}
		for i, f := range all {
			if n, err := f.Wait(ctx); n != i || err != nil {
				t.Fatal(n, err)
			}
		}
		s := &poolInside
		s.Lock()
		defer s.Unlock()
		if !slices.IsSorted(s.ran) || len(s.ran) != 300 || s.most != 1 {
			t.Errorf("%d calls of one key ran, %d at once, sorted: %t", len(s.ran), s.most, slices.IsSorted(s.ran))
		}
	})
	t.Run("timeouts", func(t *testing.T) {
		// The first task returns when its time is over, unless the machine does not run it for the whole grace.
		p := newPool(t, 1, &proc.PoolOptions{Process: inside, Timeout: 20 * time.Millisecond, Grace: time.Second})
		for _, in := range []poolTest{{Act: "wait"}, {Sleep: 3 * time.Second}} {
			if _, err := poolDo.Apply(ctx, p, in); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%+v: %v", in, err)
			}
			if n, err := poolSquare.Apply(ctx, p, 3, &proc.CallOptions{Timeout: -1}); n != 9 || err != nil {
				t.Errorf("the next call: %d, %v", n, err)
			}
		}
		if s := p.Stats(); s.Lost["timeout"] != 1 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("retries", func(t *testing.T) {
		p := newPool(t, 1, &proc.PoolOptions{Process: inside, Retries: 1})
		poolInside.Lock()
		poolInside.begun, poolInside.tries = make(chan struct{}), 0
		poolInside.Unlock()
		f, err := poolTwice.Submit(ctx, p, proc.None{})
		if err != nil {
			t.Fatal(err)
		}
		<-poolInside.begun
		for _, w := range childList() {
			if err := w.Kill(); err != nil {
				t.Error(err)
			}
		}
		if n, err := f.Wait(ctx); n != 2 || err != nil || p.Stats().Retried != 1 {
			t.Errorf("%d, %v, %+v", n, err, p.Stats())
		}
	})
	t.Run("terminate", func(t *testing.T) {
		p := newPool(t, 2, &proc.PoolOptions{Process: inside})
		var all []*proc.Future[int]
		for range 1000 {
			f, err := poolDo.Submit(ctx, p, poolTest{Act: "wait"})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, f)
		}
		begin := time.Now()
		p.Terminate()
		for _, f := range all {
			if _, err := f.Wait(ctx); !errors.Is(err, proc.ErrPoolClosed) {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
