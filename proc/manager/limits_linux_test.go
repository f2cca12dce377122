package manager_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/array"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/manager"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A visit is the argument of visit.
type visit struct {
	Dict    *manager.Dict[int, int]
	Key     int
	Entered *psync.Semaphore
	Leave   *psync.Event
}

// visit uses the manager until Leave is set.
var visiting = Task("visit", func(ctx context.Context, v visit) (proc.None, error) {
	err := v.Dict.Set(ctx, v.Key, 1)
	if err == nil {
		err = v.Entered.Release()
	}
	return proc.None{}, errors.Join(err, v.Leave.Wait(ctx))
})

// fillUp makes arrays until the segment is full, and returns them.
func fillUp(t *testing.T, seg *shm.Segment) (all []*array.Array[byte]) {
	for {
		a, err := array.New[byte](seg, "", 16<<10, nil)
		if err != nil {
			WantError(t, "New in a full segment", err, shm.ErrNoSpace)
			return all
		}
		all = append(all, a)
	}
}

// When the segment is full, the process that wants more is told so, and all others go on. Memory that
// is given back is used again.
func TestFullSegment(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, &manager.Options{Size: 1 << 20})
	seg := Must(m.Segment())(t)
	entered := Closing(t, Must(psync.NewSemaphore(seg, "", 0))(t))
	leave := Closing(t, Must(psync.NewEvent(seg, ""))(t))
	d := newDict[int, int](t, m)
	arrays := fillUp(t, seg)

	// The manager has space for some sessions, and not for so many.
	const visitors = 16
	var calls []*proc.Call[proc.None]
	for i := range visitors {
		calls = append(calls, Start(t, visiting, visit{d, i, entered, leave}))
	}
	WantNil(t, "a process has a session", entered.Acquire(ctx))
	for i := range 100 {
		WantNil(t, "Set in a full segment", d.Set(ctx, 1000+i, i))
	}
	before := Must(m.Stats(ctx))(t).Sessions
	if before > visitors {
		t.Errorf("%d sessions, so the segment was not full", before)
	}
	for _, a := range arrays {
		WantNil(t, "Close", a.Close())
	}
	WantNil(t, "Set", leave.Set())
	for _, c := range calls {
		Result(t, c) // those that waited have got a session
	}
	Want(t, "Len", Must(d.Len(ctx))(t), 100+visitors)
	Eventually(t, "the sessions have ended", func() bool { return Must(m.Stats(ctx))(t).Sessions == 1 })
	for _, a := range fillUp(t, seg) {
		WantNil(t, "Close", a.Close())
	}
}

// resident returns how many bytes of memory a process uses.
func resident(t *testing.T, pid int) int {
	text := Must(os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid)))(t)
	return Must(strconv.Atoi(strings.Fields(string(text))[1]))(t) * os.Getpagesize()
}

// grows checks that what f does n times takes less than most bytes of memory of a process.
func grows(t *testing.T, pid, n, most int, f func(i int)) {
	for i := range n / 10 {
		f(i) // the buffers and the heap have their size
	}
	before := resident(t, pid)
	for i := range n {
		f(i)
	}
	grown := resident(t, pid) - before
	t.Logf("%d times: the process has grown by %d KiB to %d KiB", n, grown>>10, (before+grown)>>10)
	if grown > most {
		t.Errorf("the process has grown by %d bytes, want at most %d", grown, most)
	}
}

// many is how often TestMemory does something.
func many() int {
	if testing.Short() || Race {
		return 20_000
	}
	return 1_000_000
}

// TestMemory shows that calls and proxies leave no memory behind in the manager's process. Without a
// garbage collector there, a set leaves no more than the state of the wait for it, if the server waited:
// the value is stored in the memory of the one that it replaces.
func TestMemory(t *testing.T) {
	ctx := t.Context() // a million calls may take longer than Patience
	t.Run("sets without a garbage collector", func(t *testing.T) {
		if Race {
			t.Skip("the race detector allocates")
		}
		m := newManager(t, &manager.Options{Process: proc.Options{Env: append(os.Environ(), "GOGC=off")}})
		d := newDict[string, int](t, m)
		grows(t, m.Process().PID(), many(), 250*many()+4<<20, func(i int) { WantNil(t, "Set", d.Set(ctx, "key", i)) })
	})
	t.Run("proxies", func(t *testing.T) {
		m := newManager(t, nil)
		grows(t, m.Process().PID(), many(), 32<<20, func(int) {
			Must(manager.NewDict[string, int](ctx, m))(t) // and drops it
		})
		Eventually(t, "the objects have gone", func() bool {
			runtime.GC()
			return Must(m.Stats(ctx))(t).Objects == 0
		})
	})
}

// flooding calls Get from many goroutines until it ends.
var flooding = Task("flood", func(ctx context.Context, v visit) (proc.None, error) {
	var all []<-chan error
	for range 16 {
		all = append(all, Async(func() error {
			for !v.Leave.IsSet() {
				if _, err := v.Dict.Items(ctx); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	err := v.Entered.Release()
	for _, c := range all {
		err = errors.Join(err, <-c)
	}
	return proc.None{}, err
})

// A client that is stopped while answers come to it holds up nobody, and goes on later.
func TestStoppedClient(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	seg := Must(m.Segment())(t)
	entered := Closing(t, Must(psync.NewSemaphore(seg, "", 0))(t))
	leave := Closing(t, Must(psync.NewEvent(seg, ""))(t))
	d, other := newDict[int, int](t, m), newDict[int, int](t, m)
	for i := range 300 { // so that few answers fill a pipe
		WantNil(t, "Set", d.Set(ctx, i, i))
	}
	p := Start(t, flooding, visit{Dict: d, Entered: entered, Leave: leave})
	WantNil(t, "the child has begun", entered.Acquire(ctx))
	Stop(t, p)
	begin := time.Now()
	for i := range 1000 {
		WantNil(t, "Set of another dict", other.Set(ctx, i, i))
		WantNil(t, "Set of the same dict", d.Set(ctx, i%300, i))
	}
	t.Logf("2,000 calls beside a stopped client took %v", time.Since(begin))
	Continue(t, p)
	WantNil(t, "Set", leave.Set())
	Result(t, p)
}

// pairs writes two keys and three elements at a time, always the same number.
var pairs = Task("pairs", func(ctx context.Context, v struct {
	Dict *manager.Dict[string, int]
	List *manager.List[int]
	End  *psync.Event
}) (proc.None, error) {
	for i := 0; !v.End.IsSet(); i++ {
		err := v.Dict.SetMany(ctx, manager.Item[string, int]{Key: "a", Value: i}, manager.Item[string, int]{Key: "b", Value: i})
		if err = errors.Join(err, v.List.Set(ctx, 0, i, i, i)); err != nil {
			return proc.None{}, err
		}
	}
	return proc.None{}, nil
})

// A copy for an iteration is that of one moment, while other processes write.
func TestCopyIsConsistent(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	end := Closing(t, Must(psync.NewEvent(Must(m.Segment())(t), ""))(t))
	d, l := newDict[string, int](t, m), newList(t, m, 0, 0, 0)
	for range 2 {
		p := Start(t, pairs, struct {
			Dict *manager.Dict[string, int]
			List *manager.List[int]
			End  *psync.Event
		}{d, l, end})
		defer Result(t, p)
	}
	defer end.Set()
	Eventually(t, "the children write", func() bool { return Must(d.Len(ctx))(t) == 2 })
	seen := make(map[int]bool)
	for i := 0; i < 300 || len(seen) < 10; i++ {
		items := Must(d.Items(ctx))(t)
		if len(items) != 2 || items[0].Value != items[1].Value {
			t.Fatalf("Items: %v, never true at one moment", items)
		}
		if all := Must(l.All(ctx))(t); len(all) != 3 || all[0] != all[1] || all[1] != all[2] {
			t.Fatalf("All: %v, never true at one moment", all)
		}
		seen[items[0].Value] = true
	}
}

// A moody object panics when it is told to.
type moody struct{ closes bool }

func (m *moody) Close() error {
	if m.closes {
		panic("in Close")
	}
	return nil
}

var (
	moodies = manager.RegisterType("moody", func(_ context.Context, how string) (*moody, error) {
		return &moody{closes: how == "Close"}, upset(how)
	})
	upsets = manager.RegisterMethod(moodies, "upset", func(_ context.Context, _ *moody, how string) (int, error) {
		return 1, upset(how)
	})
)

func upset(how string) error {
	switch how {
	case "panic":
		panic("as told")
	case "error":
		panic(errStock)
	case "index":
		return fmt.Errorf("no element %d", []int(nil)[len(how)])
	case "exit":
		runtime.Goexit()
	}
	return nil
}

// What a registered type does ends neither the manager's process nor the use of the object.
func TestPanics(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	i := Closing(t, Must(moodies.New(ctx, m, "Close"))(t))
	for how, want := range map[string]string{
		"panic": "panic: as told", "error": "panic: out of stock", "index": "panic: runtime error: index out of range", "exit": "Goexit",
	} {
		for what, err := range map[string]error{
			"a method": Second(upsets.Call(ctx, i, how)), "a constructor": Second(moodies.New(ctx, m, how)),
		} {
			if remote := (*manager.RemoteError)(nil); !errors.As(err, &remote) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %s: %v, want a RemoteError with %q", what, how, err, want)
			}
		}
		Want(t, "the object after that", Must(upsets.Call(ctx, i, ""))(t), 1)
	}
	wantObjects(t, m, 1)
	WantNil(t, "Close", i.Close())
	wantObjects(t, m, 0)
	Want(t, "the process is alive", m.Process().Alive(), true)
}
