package shm_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

func init() {
	// churn makes, closes and removes N objects named Text in the named segment.
	ops["churn"] = func(_ context.Context, j job) (string, error) {
		seg, err := shm.Open(j.Name, nil)
		if err != nil {
			return "", err
		}
		defer seg.Close()
		return "", churn(seg, j.Text, j.N, 100)
	}
	// churn and idle does what churn does, with larger objects that fill a few pages. Then it
	// counts itself in cellReady and does nothing until cellGo is set.
	ops["churn and idle"] = func(ctx context.Context, j job) (string, error) {
		seg, err := shm.Open(j.Name, nil)
		if err != nil {
			return "", err
		}
		defer seg.Close()
		if err := churn(seg, j.Text, j.N, 1000); err != nil {
			return "", err
		}
		j.Cells.Add(cellReady)
		return "", j.Cells.Until(ctx, cellGo, 1)
	}
}

// churnSpace is the size of the segment of TestChurn. On 64-bit systems it is large enough for all
// of the objects.
const churnSpace = 1 << (28 + 2*(^uint(0)>>63))

// churn makes, closes and removes n objects of that name and size, one after the other.
func churn(seg *shm.Segment, name string, n, size int) error {
	for range n {
		o, err := newPlain(seg, name, size)
		if err != nil {
			return err
		}
		o.Bytes()[size-1] = 1
		if err := o.Close(); err != nil {
			return err
		}
		if err := seg.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// memoryOf returns the number of bytes of memory that the named segment takes.
func memoryOf(t *testing.T, seg *shm.Segment) int64 {
	return Must(os.Stat(filePath(seg.Name())))(t).Sys().(*syscall.Stat_t).Blocks * 512
}

// TestChurn shows that the memory of a segment does not grow while two processes that never collect
// garbage make and remove a million objects.
func TestChurn(t *testing.T) {
	const margin = 4 << 20 // more than two trims; all objects together have 128 MB
	n := 1_000_000
	if testing.Short() || Race {
		n = 100_000
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	seg := named(t, churnSpace, nil)
	Must(newPlain(seg, "first", 100))(t)
	start := memoryOf(t, seg)
	begin := time.Now()
	p := StartWith(t, work, job{Op: "churn", Name: seg.Name(), Text: "theirs", N: n / 2}, &proc.Options{Env: []string{"GOGC=off"}})
	WantNil(t, "half", churn(seg, "mine", n/4, 100))
	middle := memoryOf(t, seg)
	WantNil(t, "half", churn(seg, "mine", n/4, 100))
	Must(p.Result(Within(t)))(t)
	end := memoryOf(t, seg)
	t.Logf("%d objects in %v; %d, %d and %d KiB at the start, in the middle and at the end",
		n, time.Since(begin).Round(time.Millisecond), start>>10, middle>>10, end>>10)
	if middle > start+margin || end > start+margin {
		t.Errorf("the segment grows")
	}
}

// TestIdleHolder shows that an idle process keeps neither the entries nor the memory of objects
// that it has closed, even if it never collects garbage.
func TestIdleHolder(t *testing.T) {
	const objects = 64
	seg := named(t, 64<<20, &shm.Options{Objects: objects})
	cells := newCells(t, Anonymous(t, 1<<13))
	p := StartWith(t, work, job{Op: "churn and idle", Name: seg.Name(), Text: "x", N: 5000, Cells: cells}, &proc.Options{Env: []string{"GOGC=off"}})
	cells.Await(t, cellReady, 1)
	for i := range objects {
		Must(newPlain(seg, fmt.Sprint(i), 1000))(t)
	}
	if m := memoryOf(t, seg); m > 4<<20 {
		t.Errorf("the segment takes %d KiB", m>>10)
	}
	cells.Set(cellGo, 1)
	Must(p.Result(Within(t)))(t)
}

// TestRecycle shows that two processes can use the space of a small segment many times over, while
// a third one is idle that has closed objects in it.
func TestRecycle(t *testing.T) {
	const size, n = 64 << 10, 2000
	seg := named(t, size, nil)
	cells := newCells(t, Anonymous(t, 1<<13))
	idle := StartWith(t, work, job{Op: "churn and idle", Name: seg.Name(), Text: "idle", N: 20, Cells: cells}, &proc.Options{Env: []string{"GOGC=off"}})
	cells.Await(t, cellReady, 1)
	begin := time.Now()
	busy := StartWith(t, work, job{Op: "churn", Name: seg.Name(), Text: "theirs", N: n}, &proc.Options{Env: []string{"GOGC=off"}})
	WantNil(t, "this process", churn(seg, "mine", n, 1000))
	Must(busy.Result(Within(t)))(t)
	t.Logf("%d KiB in %d KiB of space, %v", (n*1024+n*128)>>10, size>>10, time.Since(begin).Round(time.Millisecond))
	cells.Set(cellGo, 1)
	Must(idle.Result(Within(t)))(t)
	Must(newPlain(seg, "whole", size))(t)
}

// TestManyObjects shows that a segment may have 65,536 objects by default, and that operations
// among so many objects take as long as among few.
func TestManyObjects(t *testing.T) {
	const batch = 100
	seg := named(t, 64<<20, nil)
	name := func(i int) string { return fmt.Sprint("object ", i) }
	made := 0
	// lap returns the time of one operation in the fastest of five batches.
	lap := func(f func(i int) error) (best time.Duration) {
		for b := range 5 {
			begin := time.Now()
			for i := range batch {
				if err := f(b*batch + i); err != nil {
					t.Fatal(err)
				}
			}
			if d := time.Since(begin) / batch; b == 0 || d < best {
				best = d
			}
		}
		return best
	}
	what := []string{"New", "Open by name", "Open by handle", "Remove"}
	var first []time.Duration
	for _, n := range []int{1000, 8000, 1 << 16} {
		for ; made < n-5*batch; made++ {
			Must(newPlain(seg, name(made), 100))(t).Close()
		}
		handles := make([]shm.Handle, 5*batch)
		times := []time.Duration{
			lap(func(i int) error {
				o, err := newPlain(seg, name(made+i), 100)
				if err != nil {
					return err
				}
				handles[i] = o.Handle(0)
				return o.Close()
			}),
			lap(func(i int) error {
				o, err := openPlain(seg, name(made+i))
				if err != nil {
					return err
				}
				return o.Close()
			}),
			lap(func(i int) error {
				o, err := object.OpenHandle(handles[i], kindPlain, plainPrint)
				if err != nil {
					return err
				}
				return o.Close()
			}),
			lap(func(i int) error { return seg.Remove(name(made + i)) }),
		}
		t.Logf("%6d objects: %v", n, times)
		if first == nil {
			first = times
		}
		for k, d := range times {
			if d > 4*first[k]+10*time.Microsecond {
				t.Errorf("%s takes %v among %d objects, %v among 1000", what[k], d, n, first[k])
			}
		}
	}
	for ; made < 1<<16; made++ {
		Must(newPlain(seg, name(made), 100))(t).Close()
	}
	WantError(t, "one more", Second(newPlain(seg, "", 100)), shm.ErrNoSpace)
	Must(openPlain(seg, name(0)))(t)
}

// TestManyParties shows that each of 300 attached parties alone keeps an object from being freed.
func TestManyParties(t *testing.T) {
	const n = 300
	seg := named(t, 1<<20, &shm.Options{Objects: 2 * n})
	parties := make([]*shm.Segment, n)
	for i := range parties {
		parties[i] = Must(object.Attach(seg))(t)
	}
	Want(t, "parties", Must(seg.Parties())(t), n+1)
	held := make([]object.Object, n)
	for i, p := range parties {
		held[i] = Must(newPlain(p, fmt.Sprint(i), 1000))(t)
		held[i].Bytes()[0] = 1
		WantNil(t, "Remove", seg.Remove(fmt.Sprint(i)))
	}
	others := make([]object.Object, n) // they take all entries but those of held objects
	for i := range others {
		others[i] = Must(newPlain(seg, "", 100))(t)
		if others[i].Bytes()[0] != 0 {
			t.Fatal("space of an object that is held was used")
		}
	}
	WantError(t, "one more", Second(newPlain(seg, "", 100)), shm.ErrNoSpace)
	runtime.KeepAlive(others) // an object without a name is freed when its last use is collected
	for i, p := range parties {
		if held[i].Bytes()[0] != 1 {
			t.Fatalf("object %d was changed", i)
		}
		WantNil(t, "Close", p.Close())
	}
	for range n {
		Must(newPlain(seg, "", 100))(t)
	}
}
