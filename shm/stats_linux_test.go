package shm_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/poll"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

func init() {
	// get sleeps for each of N values of the queue "q" of the named segment, then takes the lock "l"
	// and keeps it.
	ops["get"] = func(ctx context.Context, j job) (string, error) {
		seg, err := shm.Open(j.Name, &shm.Options{Wait: shm.WaitBlock})
		if err != nil {
			return "", err
		}
		q, err := ring.OpenQueue[uint64](seg, "q")
		if err != nil {
			return "", err
		}
		l, err := psync.OpenLock(seg, "l")
		if err != nil {
			return "", err
		}
		for range j.N {
			j.Cells.Add(cellReady)
			if _, err := q.Get(ctx); err != nil {
				return "", err
			}
		}
		if err := l.Acquire(ctx); err != nil {
			return "", err
		}
		j.Cells.Add(cellHeld)
		<-ctx.Done()
		return "", ctx.Err()
	}
}

// statsOf returns what Inspect says about an object.
func statsOf(t *testing.T, in *shm.Inspection, name string) shm.ObjectStats {
	t.Helper()
	for _, o := range in.Objects {
		if o.Name == name {
			return o
		}
	}
	t.Fatalf("no object %q in %+v", name, in)
	return shm.ObjectStats{}
}

// TestStats shows that the statistics of objects are those of what another process did, before and
// after it was killed, by Inspect from outside and inside, and by the objects' Stats.
func TestStats(t *testing.T) {
	cells := newCells(t, Anonymous(t, 1<<12))
	seg := named(t, 1<<20, nil)
	q := Closing(t, Must(ring.NewQueue[uint64](seg, "q", 8, nil))(t))
	l := Closing(t, Must(psync.NewLock(seg, "l", nil))(t))
	const n = 5
	p := Start(t, work, job{Op: "get", Name: seg.Name(), N: n, Cells: cells})
	for i := range n {
		cells.Await(t, cellReady, uint32(i+1))
		AwaitAsleep(t, p.PID(), 1)
		WantNil(t, "TryPut", q.TryPut(uint64(i)))
	}
	cells.Await(t, cellHeld, 1)
	for range 3 {
		WantNil(t, "TryPut", q.TryPut(0))
	}
	inspect := map[string]func() (*shm.Inspection, error){
		"from outside": func() (*shm.Inspection, error) { return shm.Inspect(seg.Name()) },
		"from inside":  seg.Inspect,
	}
	for how, f := range inspect {
		in := Must(f())(t)
		if in.Name != seg.Name() || in.ID != Must(seg.ID())(t) || in.Size != Must(seg.Size())(t) || !in.Attached {
			t.Errorf("%s: %+v", how, in.Info)
		}
		if len(in.Parties) != 2 || !in.Parties[0].Alive || in.Parties[0].PID != os.Getpid() ||
			!in.Parties[1].Alive || in.Parties[1].PID != p.PID() || in.Parties[1].Program == "" || in.Deaths != 0 {
			t.Errorf("%s: parties %+v", how, in.Parties)
		}
		o := statsOf(t, in, "q")
		s := o.Stats
		if o.Kind != shm.KindQueue || o.Holders != 2 || s.Sent != n+3 || s.Received != n || s.Depth != 3 || s.Capacity != 8 {
			t.Errorf("%s: queue %+v", how, o)
		}
		if s.Waits != n || s.Sleeps < n || s.Wakes < n || s.Wakes > s.Sleeps || s.Asleep <= 0 || s.Repairs != 0 {
			t.Errorf("%s: waits for the queue: %+v, want %d", how, s, n)
		}
		if o := statsOf(t, in, "l"); o.Stats.Holder != p.PID() || o.Holders != 2 {
			t.Errorf("%s: lock %+v, want holder %d", how, o, p.PID())
		}
	}
	if s := Must(l.Stats())(t); s.Holder != p.PID() {
		t.Errorf("lock: %+v, want holder %d", s, p.PID())
	}
	if s, in := Must(q.Stats())(t), statsOf(t, Must(seg.Inspect())(t), "q").Stats; s != in {
		t.Errorf("Stats %+v, Inspect %+v", s, in)
	}

	Kill(t, p)
	Eventually(t, "the lock's owner dies", func() bool { return errors.Is(l.TryAcquire(), psync.ErrOwnerDied) })
	for how, f := range inspect {
		in := Must(f())(t)
		if len(in.Parties) != 2 || in.Parties[1].Alive || in.Parties[1].PID != p.PID() || in.Deaths != 1 {
			t.Errorf("%s, after the death: parties %+v, %d deaths", how, in.Parties, in.Deaths)
		}
		if o := statsOf(t, in, "l"); o.Stats.Holder != 0 || o.Holders != 1 {
			t.Errorf("%s, after the death: lock %+v", how, o)
		}
	}
	WantNil(t, "Recover", l.Recover(t.Context(), func() error { return nil }))
	if s := Must(l.Stats())(t); s.Repairs != 1 || s.Holder != 0 {
		t.Errorf("lock after Recover: %+v", s)
	}
	// A new object in the same place begins at 0.
	WantNil(t, "Remove", errors.Join(seg.Remove("q"), q.Close()))
	again := Closing(t, Must(ring.NewQueue[uint64](seg, "q2", 8, nil))(t))
	if s := Must(again.Stats())(t); s != (shm.Stats{Capacity: 8}) {
		t.Errorf("a new queue: %+v", s)
	}
}

// TestStatsSpins shows that waits that end without a sleep are counted, and those that have slept.
func TestStatsSpins(t *testing.T) {
	OnBoth(t, 1<<20, func(t *testing.T, seg *shm.Segment) {
		other := Attach(t, seg)
		const rounds = 2000
		a := Closing(t, Must(ring.NewQueue[uint64](seg, "a", 4, nil))(t))
		b := Closing(t, Must(ring.NewQueue[uint64](seg, "b", 4, nil))(t))
		echo := Async(func() error {
			x, err := ring.OpenQueue[uint64](other, "a")
			if err != nil {
				return err
			}
			defer x.Close()
			y, err := ring.OpenQueue[uint64](other, "b")
			if err != nil {
				return err
			}
			defer y.Close()
			for range rounds {
				v, err := x.Get(context.Background())
				if err == nil {
					err = y.Put(context.Background(), v)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		for i := range rounds {
			WantNil(t, "Put", a.Put(Within(t), uint64(i)))
			Must(b.Get(Within(t)))(t)
		}
		WantNil(t, "echo", Await(t, echo, "the echo"))
		in := Must(seg.Inspect())(t)
		for _, name := range []string{"a", "b"} {
			s := statsOf(t, in, name).Stats
			if s.Sent != rounds || s.Received != rounds || s.Depth != 0 || s.Waits+s.Spins > 2*rounds || s.Sleeps < s.Waits ||
				s.Spins > 0 != (s.Spinning > 0) || s.Waits > 0 != (s.Asleep > 0) {
				t.Errorf("queue %s: %+v", name, s)
			}
		}
	})
}

// TestInspectChanging shows that Inspect works while objects and processes come and go, and the file
// becomes shorter.
func TestInspectChanging(t *testing.T) {
	seg := named(t, 1<<20, nil)
	stop := make(chan struct{})
	churn := Async(func() error {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return nil
			default:
			}
			q, err := ring.NewQueue[uint64](seg, fmt.Sprint("q", i%3), 16, nil)
			if err == nil {
				err = errors.Join(q.TryPut(1), seg.Remove(fmt.Sprint("q", i%3)), q.Close())
			}
			if err != nil {
				return err
			}
		}
	})
	for range 500 {
		for _, o := range Must(shm.Inspect(seg.Name()))(t).Objects {
			if o.Kind != shm.KindQueue || len(o.Name) != 2 || o.Stats.Capacity != 16 || o.Stats.Sent > 1 {
				t.Fatalf("%+v", o)
			}
		}
	}
	close(stop)
	WantNil(t, "churn", Await(t, churn, "the maker of queues"))

	n := name(t)
	whole := image(t)
	for _, size := range []int{len(whole), len(whole) - 1, offDirectory, offLines + 10, 200, 10, 0} {
		WantNil(t, "WriteFile", os.WriteFile(filePath(n), whole[:size], 0o600))
		if _, err := shm.Inspect(n); (err == nil) != (size == len(whole)) {
			t.Errorf("%d of %d bytes: %v", size, len(whole), err)
		}
	}
}

// TestStatsSelect shows that a sleep in Select counts for each of its cases.
func TestStatsSelect(t *testing.T) {
	OnBoth(t, 1<<20, func(t *testing.T, seg *shm.Segment) {
		a := Closing(t, Must(ring.NewQueue[uint64](seg, "a", 4, nil))(t))
		e := Closing(t, Must(psync.NewEvent(seg, "e"))(t))
		WantNil(t, "SetWait", seg.SetWait(shm.WaitBlock))
		var v uint64
		ctx := Within(t)
		done := Async(func() error { return Second(poll.Select(ctx, a.GetCase(&v), e.Case())) })
		AwaitAsleep(t, os.Getpid(), 1)
		WantNil(t, "TryPut", a.TryPut(1))
		WantNil(t, "Select", Await(t, done, "Select"))
		for _, x := range []interface{ Stats() (shm.Stats, error) }{a, e} {
			if s := Must(x.Stats())(t); s.Waits != 1 || s.Sleeps < 1 || s.Asleep <= 0 {
				t.Errorf("%T: %+v, want one wait", x, s)
			}
		}
	})
}
