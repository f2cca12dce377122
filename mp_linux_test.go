package mp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp"
	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestMain(m *testing.M) {
	mp.Init()
	os.Exit(testkit.Main(m))
}

// objects is one of each.
type objects struct {
	Queue     *mp.Queue[[2]int32]
	Conn      *mp.Conn
	Lock      *mp.Lock
	RLock     *mp.RLock
	RWLock    *mp.RWLock
	Semaphore *mp.Semaphore
	Bounded   *mp.BoundedSemaphore
	Condition *mp.Condition
	Event     *mp.Event
	Barrier   *mp.Barrier
	Group     *mp.WaitGroup
	Once      *mp.Once
	Value     *mp.Value[[5]float64]
	Int       *mp.Int64
	Uint      *mp.Uint64
	Float     *mp.Float64
	Array     *mp.Array[uint16]
	Bytes     *mp.Bytes
}

// use does something with each object, as the child does.
var use = mp.Register("use", func(ctx context.Context, o objects) (string, error) {
	var h mp.Holder
	fail := func(err error) (string, error) { return "", err }
	for _, f := range []func() error{
		func() error { return o.Queue.Put(ctx, [2]int32{3, 4}) },
		func() error { return o.Lock.With(ctx, func() error { o.Int.Store(o.Int.Load() + 1); return nil }) },
		func() error {
			return errors.Join(o.RLock.Acquire(ctx, &h), o.RLock.Acquire(ctx, &h), o.RLock.Release(&h), o.RLock.Release(&h))
		},
		func() error { return errors.Join(o.RWLock.RAcquire(ctx), o.RWLock.RRelease()) },
		func() error { return errors.Join(o.Semaphore.Acquire(ctx), o.Semaphore.Release()) },
		func() error { return errors.Join(o.Bounded.Acquire(ctx), o.Bounded.Release()) },
		func() error { return o.Lock.With(ctx, func() error { return o.Condition.NotifyAll() }) },
		func() error { return o.Group.Done() },
		func() error { return o.Once.Do(ctx, func() error { o.Uint.Add(5); return nil }) },
		func() error { return o.Value.Update(ctx, func(v *[5]float64) { v[4]++ }) },
		func() error { o.Float.Add(0.5); o.Array.Set(1, 9); return o.Bytes.Set("from the child") },
		func() error { return o.Event.Set() },
		func() error { _, err := o.Barrier.Wait(ctx); return err },
		func() error { return o.Conn.Send(ctx, []byte("done")) },
	} {
		if err := f(); err != nil {
			return fail(err)
		}
	}
	return mp.Self().Name(), nil
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestObjects makes one of each object without segment or name, and shares them with a child.
func TestObjects(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ours, theirs, err := mp.NewPipe()
	if err != nil {
		t.Fatal(err)
	}
	lock := must(mp.NewLock())
	o := objects{
		must(mp.NewQueue[[2]int32](2)), theirs, lock, must(mp.NewRLock()), must(mp.NewRWLock()),
		must(mp.NewSemaphore(1)), must(mp.NewBoundedSemaphore(1)), must(mp.NewCondition(lock)), must(mp.NewEvent()),
		must(mp.NewBarrier(2)), must(mp.NewWaitGroup()), must(mp.NewOnce()), must(mp.NewValue([5]float64{4: 1})),
		must(mp.NewInt64(41)), must(mp.NewUint64(2)), must(mp.NewFloat64(1.5)), must(mp.NewArray[uint16](3)), must(mp.NewBytes(20)),
	}
	if err := o.Group.Add(1); err != nil {
		t.Fatal(err)
	}
	child := must(use.Start(ctx, o, &mp.ProcessOptions{Name: "user"}))
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	if err := o.Event.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if err := o.Group.Wait(ctx); err != nil {
		t.Error(err)
	}
	if _, err := o.Barrier.Wait(ctx); err != nil {
		t.Error(err)
	}
	if msg, err := ours.Receive(ctx); err != nil || string(msg) != "done" {
		t.Errorf("received %q, %v", msg, err)
	}
	if _, err := ours.Receive(ctx); err != io.EOF {
		t.Errorf("after the child's end: %v, want EOF", err)
	}
	if name, err := child.Result(ctx); err != nil || name != "user" {
		t.Errorf("the child returned %q, %v", name, err)
	}
	got := fmt.Sprint(must(o.Queue.Get(ctx)), o.Int.Load(), o.Uint.Load(), o.Float.Load(), o.Value.Load(), o.Array.At(1), o.Bytes)
	if want := "[3 4] 42 7 2 [0 0 0 0 2] 9 from the child"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestErrors(t *testing.T) {
	if _, err := mp.NewQueue[chan int](1); !errors.Is(err, shm.ErrType) {
		t.Errorf("a queue of channels: %v, want shm.ErrType", err)
	}
	q := must(mp.NewQueue[int64](1))
	if _, err := q.TryGet(); !errors.Is(err, mp.ErrEmpty) {
		t.Errorf("TryGet: %v, want ErrEmpty", err)
	}
	q.Close()
	if err := q.TryPut(1); !errors.Is(err, mp.ErrClosed) || !errors.Is(err, os.ErrClosed) {
		t.Errorf("TryPut after Close: %v, want ErrClosed", err)
	}
}

// doubler is a task as a type.
type doubler struct {
	In  *mp.Broadcast[int]
	Out *mp.Queue[[]string]
}

// Run implements mp.Runner.
func (d *doubler) Run(ctx context.Context) error {
	in, err := d.In.Subscribe(nil)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := d.Out.Put(ctx, []string{"subscribed", mp.Parent().Name()}); err != nil {
		return err
	}
	x, err := in.Receive(ctx)
	if err != nil {
		return err
	}
	return d.Out.Put(ctx, []string{fmt.Sprint(2 * x)})
}

var double = mp.RegisterRunner[*doubler]("double")

// TestOthers uses what TestObjects does not: a task as a type, a broadcast, a joinable queue, values over a pipe,
// a choice that does not wait, and what a program asks of its processes.
func TestOthers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d := &doubler{must(mp.NewBroadcast[int](4)), must(mp.NewJoinableQueue[[]string](4))}
	child := must(double.Start(ctx, d, nil))
	children := 0
	for range mp.Children() {
		children++
	}
	if children != 1 {
		t.Errorf("%d children, want 1", children)
	}
	if got := must(d.Out.Get(ctx)); len(got) != 2 || got[1] != mp.Self().Name() {
		t.Errorf("the child has said %q, want that it has subscribed, and its parent %q", got, mp.Self().Name())
	}
	if i, err := mp.TrySelect(child); i != -1 || !errors.Is(err, mp.ErrNotReady) {
		t.Errorf("TrySelect of a child that runs: %d, %v", i, err)
	}
	if err := d.In.Publish(ctx, 21); err != nil {
		t.Fatal(err)
	}
	if got := must(d.Out.Get(ctx)); len(got) != 1 || got[0] != "42" {
		t.Errorf("the child has said %q, want 42", got)
	}
	if err := errors.Join(d.Out.TaskDone(), d.Out.TaskDone(), d.Out.Join(ctx), mp.Wait(ctx)); err != nil {
		t.Error(err)
	}
	if i, err := mp.TrySelect(child); i != 0 || err != nil {
		t.Errorf("TrySelect of a child that has ended: %d, %v", i, err)
	}
	if n := mp.CPUCount(); n < 1 {
		t.Errorf("%d CPUs", n)
	}
	if err := errors.Join(d.In.Close(), d.Out.Close()); err != nil {
		t.Error(err)
	}
}

// shape is an interface whose values go over a pipe.
type shape interface{ Area() int }

type square struct{ Side int }

func (s square) Area() int { return s.Side * s.Side }

func TestValuesOverAPipe(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	mp.RegisterType[square]()
	a, b, err := mp.NewPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	if err := mp.Send(ctx, a, []shape{square{3}}); err != nil {
		t.Fatal(err)
	}
	if got := must(mp.Receive[[]shape](ctx, b)); len(got) != 1 || got[0].Area() != 9 {
		t.Errorf("received %v, want a square of 3", got)
	}
}

func TestManaged(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m := must(mp.NewManager(ctx, nil))
	defer m.Close()
	set := must(mp.NewSet(ctx, m, 3, 4))
	defer set.Close()
	space := must(mp.NewNamespace(ctx, m))
	defer space.Close()
	size := mp.Attribute[int]("size")
	if err := size.Set(ctx, space, len(must(set.All(ctx)))); err != nil {
		t.Fatal(err)
	}
	if got := must(size.Get(ctx, space)); got != 2 {
		t.Errorf("the size is %d, want 2", got)
	}
}
