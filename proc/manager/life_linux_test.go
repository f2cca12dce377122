package manager_test

import (
	"context"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/manager"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A proxy that was encoded keeps its object for the time of Options.Passage, and no longer.
func TestPassage(t *testing.T) {
	m := newManager(t, &manager.Options{Passage: time.Hour})
	l := newList(t, m, 1)
	text := Must(l.MarshalText())(t)
	WantNil(t, "Close", l.Close())
	var again manager.List[int]
	WantNil(t, "UnmarshalText", again.UnmarshalText(text))
	wantSlice(t, "All", []int{1})(again.All(Within(t)))
	WantNil(t, "Close", again.Close())
	wantObjects(t, m, 0)
	WantError(t, "UnmarshalText", again.UnmarshalText(text), manager.ErrGone)

	m = newManager(t, &manager.Options{Passage: time.Millisecond})
	l = newList(t, m, 1)
	Must(l.MarshalText())(t)
	WantNil(t, "Close", l.Close())
	wantObjects(t, m, 0)
}

// A dropped proxy ends the use of its object.
func TestDroppedProxy(t *testing.T) {
	m := newManager(t, nil)
	func() { Must(manager.NewList(Within(t), m, 1))(t) }()
	Eventually(t, "the object has gone", func() bool {
		runtime.GC()
		return Must(m.Stats(Within(t)))(t).Objects == 0
	})
}

// killDuring is the argument of use.
type killDuring struct {
	Manager *manager.Manager
	Dict    *manager.Dict[int, *manager.List[string]]
	Begun   *psync.Semaphore
}

// use uses the manager in all ways until it is killed.
var use = proc.Register("use", func(ctx context.Context, j killDuring) (none proc.None, err error) {
	for i := 0; ctx.Err() == nil; i++ {
		l, err := manager.NewList(ctx, j.Manager, strings.Repeat("x", i%3000))
		if err != nil {
			return none, err
		}
		if err := j.Dict.Set(ctx, i%4, l); err != nil {
			return none, err
		}
		if got, err := j.Dict.Get(ctx, i%4); err == nil && i%2 == 0 {
			if err := got.Close(); err != nil {
				return none, err
			}
		}
		if i == 0 {
			if err := j.Begun.Release(); err != nil {
				return none, err
			}
		}
	}
	return none, ctx.Err()
})

// TestKilledClients kills 1,000 processes at random moments, or 40 under the race detector and with
// -short. They leave nothing behind.
func TestKilledClients(t *testing.T) {
	const together = 20
	rounds := 50
	if testing.Short() || Race {
		rounds = 2
	}
	m := newManager(t, &manager.Options{Passage: time.Second})
	begun := Closing(t, Must(psync.NewSemaphore(Must(m.Segment())(t), "", 0))(t))
	d := newDict[int, *manager.List[string]](t, m)
	for range rounds {
		var all []*proc.Call[proc.None]
		for range together {
			all = append(all, Start(t, use, killDuring{m, d, begun}))
		}
		for range together / 2 { // the others may be killed before they have begun
			WantNil(t, "a process has begun", begun.Acquire(Within(t)))
		}
		for _, p := range all {
			Kill(t, p)
		}
		for begun.TryAcquire() == nil {
		}
	}
	// The server may still find requests of the dead in their pipes.
	Eventually(t, "the sessions have ended", func() bool { return Must(m.Stats(Within(t)))(t).Sessions == 1 })
	WantNil(t, "Clear", d.Clear(Within(t)))
	wantObjects(t, m, 1)
	l := newList(t, m, "still works")
	wantSlice(t, "All", []string{"still works"})(l.All(Within(t)))
}

var waitForEnd = Task("wait for end", func(ctx context.Context, d *manager.Dict[int, int]) (time.Time, error) {
	for {
		if err := d.Set(ctx, 1, 1); err != nil {
			return time.Now(), err
		}
	}
})

// When the manager's process is killed, calls fail within a second, in all processes.
func TestG07_KilledManager(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	d := newDict[int, int](t, m)
	seg := Must(m.Segment())(t)
	e := Closing(t, Must(psync.NewEvent(seg, ""))(t))
	w := newDict[string, int](t, m)
	var children []*proc.Call[time.Time]
	for range 4 {
		children = append(children, Start(t, waitForEnd, d))
	}
	applied := Async(func() error { return Second(waits.Apply(ctx, w, e)) })
	WantNil(t, "the function has begun", e.Wait(ctx))
	Eventually(t, "the children use the manager", func() bool { return Must(m.Stats(ctx))(t).Sessions == 5 })
	WantNil(t, "Kill", m.Process().Kill())
	killed := time.Now()
	<-m.Process().Done()
	WantError(t, "a call that waited", Await(t, applied, "Apply"), manager.ErrServerDied)
	WantError(t, "a later call", d.Set(ctx, 1, 1), manager.ErrServerDied)
	WantError(t, "NewDict", Second(manager.NewDict[int, int](ctx, m)), manager.ErrServerDied)
	if took := time.Since(killed); took > time.Second && !Race {
		t.Errorf("the calls took %v to fail", took)
	}
	for _, p := range children {
		_, err := p.Result(ctx)
		WantError(t, "a child's call", err, manager.ErrServerDied)
	}
}

// A process that comes to the door of a dead manager is told so.
func TestDoorOfADeadManager(t *testing.T) {
	m := newManager(t, nil)
	d := newDict[int, int](t, m)
	text := Must(d.MarshalText())(t)
	WantNil(t, "Kill", m.Process().Kill())
	<-m.Process().Done()
	got := Result(t, Start(t, open, opening{text, Must(m.Segment())(t).Handle().String()}))
	if !strings.Contains(got, manager.ErrServerDied.Error()) {
		t.Errorf("UnmarshalText in another process: %s", got)
	}
}

// An opening is a reference that open decodes, which fails.
type opening struct {
	Text    []byte
	Segment string
}

var open = Task("open", func(_ context.Context, o opening) (string, error) {
	var d manager.Dict[int, int]
	err := d.UnmarshalText(o.Text)
	if err == nil {
		return "no error", nil
	}
	return err.Error(), nil
})

func TestShutdown(t *testing.T) {
	m := newManager(t, nil)
	d := newDict[int, int](t, m)
	p := m.Process()
	WantNil(t, "Shutdown", m.Shutdown(Within(t)))
	Want(t, "the process is alive", p.Alive(), false)
	WantError(t, "Set", d.Set(Within(t), 1, 1), manager.ErrServerDied)
	WantError(t, "NewDict", Second(manager.NewDict[int, int](Within(t), m)), manager.ErrClosed)
	WantNil(t, "Shutdown again", m.Shutdown(Within(t)))
	WantNil(t, "Close", m.Close())
}

// A stopped manager is killed when the context ends.
func TestShutdownOfAStoppedManager(t *testing.T) {
	m := newManager(t, nil)
	p := m.Process()
	WantNil(t, "SIGSTOP", syscall.Kill(p.PID(), syscall.SIGSTOP))
	WantNil(t, "Shutdown", m.Shutdown(Expired))
	Want(t, "the process is alive", p.Alive(), false)
}

// Long values and answers go both ways at the same time.
func TestLongValues(t *testing.T) {
	ctx := Within(t)
	m := newManager(t, nil)
	d := newDict[int, []byte](t, m)
	All(t, "long values", 6, func(i int) error {
		v := make([]byte, 300_000+i)
		for range 10 {
			if err := d.Set(ctx, i, v); err != nil {
				return err
			}
			got, err := d.Get(ctx, i)
			if err != nil {
				return err
			}
			Want(t, "the length", len(got), len(v))
		}
		return nil
	})
}

// Contexts end at random moments of calls; what the answers brought is given up.
func TestContextsEnd(t *testing.T) {
	m := newManager(t, nil)
	d := newDict[string, *manager.List[int]](t, m)
	l := newList(t, m, 1)
	WantNil(t, "Set", d.Set(Within(t), "list", l))
	All(t, "calls", 8, func(i int) error {
		for n := range 200 {
			if err := shortCalls(m, d, time.Duration(n*(i+1))*time.Microsecond); err != nil {
				return err
			}
		}
		return nil
	})
	wantObjects(t, m, 2)
	WantNil(t, "Clear", d.Clear(Within(t)))
	WantNil(t, "Close", l.Close())
	wantObjects(t, m, 1)
}

// shortCalls makes calls that have so long, and closes what they return.
func shortCalls(m *manager.Manager, d *manager.Dict[string, *manager.List[int]], limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if got, err := d.Get(ctx, "list"); err == nil {
		if err := got.Close(); err != nil {
			return err
		}
	}
	if made, err := manager.NewList(ctx, m, 1, 2); err == nil {
		return made.Close()
	}
	return nil
}
