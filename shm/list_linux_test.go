package shm_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

func init() {
	// hold opens the named segment, or makes it if N is not 0, and keeps it open until the job
	// ends.
	ops["hold"] = func(ctx context.Context, j job) (string, error) {
		var seg *shm.Segment
		var err error
		if j.N != 0 {
			seg, err = shm.Create(j.Name, j.N, nil)
		} else {
			seg, err = shm.Open(j.Name, nil)
		}
		if err != nil {
			return "", err
		}
		defer seg.Close()
		j.Cells.Add(cellReady)
		<-ctx.Done()
		return "", ctx.Err()
	}
}

// reap calls Reap for these names and returns those that are gone. Without names Reap would also remove
// what tests of other packages leave for a moment.
func reap(t *testing.T, names ...string) (gone []string) {
	t.Helper()
	there := func(n string) bool {
		_, err := os.Lstat(filePath(n))
		return err == nil
	}
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !there(n) })
	if len(names) == 0 {
		return nil
	}
	reaped, err := shm.Reap(names...)
	if err != nil {
		t.Errorf("Reap: %v", err)
	}
	for _, n := range names {
		if slices.Contains(reaped, n) == there(n) {
			t.Errorf("%s: reaped %t, there %t", n, slices.Contains(reaped, n), there(n))
		}
		if !there(n) {
			gone = append(gone, n)
		}
	}
	return gone
}

func list(t *testing.T, names ...string) map[string]shm.Info {
	t.Helper()
	found := make(map[string]shm.Info)
	for info, err := range shm.List() {
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(names, info.Name) {
			found[info.Name] = info
		}
	}
	return found
}

// TestM13_ListReap shows that Reap removes the segments that killed processes have left, and
// nothing else.
func TestM13_ListReap(t *testing.T) {
	cells := newCells(t, Anonymous(t, 1<<12))
	victims := []string{name(t), name(t)}
	for i, n := range victims {
		p := Start(t, work, job{Op: "hold", Name: n, N: 5000, Cells: cells})
		cells.Await(t, cellReady, uint32(i+1))
		if info := list(t, n)[n]; !info.Attached || info.Size < 5000 || info.ID == (shm.ID{}) {
			t.Errorf("in use: %+v", info)
		}
		if gone := reap(t, victims...); gone != nil {
			t.Errorf("in use: reaped %v", gone)
		}
		if i == 1 {
			Kill(t, p)
		}
	}
	mine := named(t, 1024, nil)
	free := Must(shm.Create(name(t), 1024, nil))(t)
	block, foreign, empty := name(t), name(t), name(t)
	Closing(t, Must(shm.CreateBlock(block, 100))(t)).Close()
	if err := os.WriteFile(filePath(foreign), []byte(strings.Repeat("foreign ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filePath(empty), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	all := []string{victims[0], victims[1], mine.Name(), free.Name(), block, foreign, empty}
	found := list(t, all...)
	for n, attached := range map[string]bool{victims[0]: true, victims[1]: false, mine.Name(): true, free.Name(): true} {
		if info, ok := found[n]; !ok || info.Attached != attached {
			t.Errorf("%s: %+v, %t, want attached %t", n, info, ok, attached)
		}
	}
	if len(found) != 4 {
		t.Errorf("%d segments listed: %v", len(found), found)
	}
	if gone := reap(t, all...); !slices.Equal(gone, []string{victims[1]}) {
		t.Errorf("reaped %v, want %v", gone, victims[1:])
	}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	if gone := reap(t, all...); !slices.Equal(gone, []string{free.Name()}) {
		t.Errorf("reaped %v, want %v", gone, free.Name())
	}
}

// TestM10_MakerTerminated shows that no process is attached to a segment after its maker was
// terminated, and that Reap removes the segment.
func TestM10_MakerTerminated(t *testing.T) {
	cells := newCells(t, Anonymous(t, 1<<12))
	n := name(t)
	p := Start(t, work, job{Op: "hold", Name: n, N: 5000, Cells: cells})
	cells.Await(t, cellReady, 1)
	if gone := reap(t, n); gone != nil {
		t.Errorf("in use: reaped %v", gone)
	}
	WantNil(t, "Terminate", p.Terminate())
	Await(t, p.Done(), "end of the maker")
	if info, ok := list(t, n)[n]; !ok || info.Attached {
		t.Errorf("after its maker's end: %+v, %t", info, ok)
	}
	if gone := reap(t, n); !slices.Equal(gone, []string{n}) {
		t.Errorf("reaped %v, want %v", gone, n)
	}
}

// TestReapRace shows that an Open during Reap either finds no segment, or keeps it from being
// removed.
func TestReapRace(t *testing.T) {
	n := name(t)
	for range 200 {
		if err := Must(shm.Create(n, 1024, nil))(t).Close(); err != nil {
			t.Fatal(err)
		}
		var seg *shm.Segment
		var both sync.WaitGroup
		both.Go(func() { seg, _ = shm.Open(n, nil) })
		both.Go(func() {
			if _, err := shm.Reap(n); err != nil {
				t.Error(err)
			}
		})
		done := make(chan struct{})
		go func() { both.Wait(); close(done) }()
		Await(t, done, "Open and Reap")
		_, err := os.Lstat(filePath(n))
		if seg != nil && err != nil {
			t.Errorf("a segment was reaped that is in use: %v", err)
		}
		if seg != nil {
			if err := seg.Close(); err != nil {
				t.Error(err)
			}
			if err := shm.Unlink(n); err != nil {
				t.Error(err)
			}
		} else if err == nil {
			t.Error("neither opened nor reaped")
		}
	}
}
