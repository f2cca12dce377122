package value_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

// The ways to increment a counter.
const (
	byUpdate = iota // of a word
	byUpdateBig
	byLock // Load and Store under a lock
	byAdd
	byAddFloat
	ways
)

var wayNames = [ways]string{"Update", "Update_of_4_KiB", "lock", "Add", "Add_to_float"}

// increment increments the job's counter once.
func increment(ctx context.Context, j job) error {
	switch j.How {
	case byUpdate:
		return j.Int.Update(ctx, func(x *int64) { *x++ })
	case byUpdateBig:
		return j.Big.Update(ctx, func(x *big) {
			for i := range x {
				x[i]++
			}
		})
	case byLock:
		if err := j.Lock.Acquire(ctx); err != nil {
			return err
		}
		j.Int.Store(j.Int.Load() + 1)
		return j.Lock.Release()
	case byAdd:
		j.Int.Add(1)
	case byAddFloat:
		j.Float.Add(1)
	}
	return nil
}

// total returns the value of the job's counter.
func (j job) total(t testing.TB) uint64 {
	switch j.How {
	case byUpdateBig:
		x := j.Big.Load()
		WantNil(t, "counter", x.check())
		return x[0]
	case byAddFloat:
		return uint64(j.Float.Load())
	}
	return uint64(j.Int.Load())
}

func newCounter(t testing.TB, seg *shm.Segment, how, cells int) job {
	return job{
		How:   how,
		Int:   Closing(t, Must(value.NewInt64(seg, "", 0, nil))(t)),
		Float: Closing(t, Must(value.NewFloat64(seg, "", 0, nil))(t)),
		Big:   newValue(t, seg, big{}),
		Lock:  Closing(t, Must(psync.NewLock(seg, "", &psync.Options{IgnoreDeaths: true}))(t)),
		Cells: NewCells(t, seg, cells),
	}
}

const processes = 8

// countTask increments N times. It counts itself in cell 0 when it is ready, and begins when cell 1
// is set.
var countTask = task("count", func(ctx context.Context, j job) (int, error) {
	j.Cells.Add(0)
	if err := j.Cells.Until(ctx, 1, 1); err != nil {
		return 0, err
	}
	for i := range j.N {
		if err := increment(ctx, j); err != nil {
			return i, err
		}
	}
	return j.N, nil
})

// Eight processes increment one counter. No increment is lost.
func TestV03_Increments(t *testing.T) {
	for how, name := range wayNames {
		t.Run(name, func(t *testing.T) {
			j := newCounter(t, Anonymous(t, room), how, 2)
			j.N = brief(*increments)
			if how == byUpdateBig {
				j.N /= 10 // 4 KiB each
			}
			var children []*proc.Call[int]
			for range processes {
				children = append(children, Start(t, countTask, j))
			}
			j.Cells.Await(t, 0, processes)
			begin := time.Now()
			j.Cells.Set(1, 1)
			for _, c := range children {
				Want(t, "increments", Result(t, c), j.N)
			}
			Want(t, "total", j.total(t), uint64(processes*j.N))
			t.Logf("%d increments of %d processes in %v", processes*j.N, processes, time.Since(begin))
		})
	}
}

// The cells of TestV03_IncrementsUnderDeaths. The cells from cellLives on count the increments of
// each process that have returned.
const (
	cellBegun = iota
	cellStop
	cellLives
)

// liveTask increments until cellStop is set. It counts the increments that have returned in cell N.
var liveTask = task("live", func(ctx context.Context, j job) (int, error) {
	ctx = context.WithoutCancel(ctx) // however long the flags say
	j.Cells.Add(cellBegun)
	mine := j.Cells.Plain(j.N)
	for j.Cells.At(cellStop).Load() == 0 {
		if err := increment(ctx, j); err != nil {
			return 0, err
		}
		*mine++
	}
	return 0, nil
})

// As TestV03_Increments, while one of the eight is killed and replaced every 50 ms. For each death
// the counter may have one increment more than have returned.
func TestV03_IncrementsUnderDeaths(t *testing.T) {
	const every = 50 * time.Millisecond
	for how, name := range wayNames {
		t.Run(name, func(t *testing.T) {
			deaths := int(brief(*counting) / every)
			lives := deaths + processes
			j := newCounter(t, Anonymous(t, room), how, cellLives+lives)
			life := 0
			begin := func() *proc.Call[int] {
				j.N = cellLives + life
				life++
				return Start(t, liveTask, j)
			}
			var children [processes]*proc.Call[int]
			for i := range children {
				children[i] = begin()
			}
			j.Cells.Await(t, cellBegun, processes)
			for range deaths {
				time.Sleep(every)
				i := rand.IntN(processes)
				WantNil(t, "Kill", children[i].Kill())
				Killed(t, children[i])
				children[i] = begin()
				j.Cells.Await(t, cellBegun, uint32(life)) // so that a process is killed only after it has begun
			}
			j.Cells.Set(cellStop, 1)
			for _, c := range children {
				Result(t, c)
			}
			sum := uint64(0)
			for i := range lives {
				sum += *j.Cells.Plain(cellLives + i)
			}
			wantSome(t, "increments that returned", int(sum))
			got := j.total(t)
			if got < sum || got > sum+uint64(deaths) {
				t.Errorf("total %d, want in [%d, %d]", got, sum, sum+uint64(deaths))
			}
			t.Logf("%d increments, %d returned, %d processes killed", got, sum, deaths)
		})
	}
}

// The cells of the tests of torn reads.
const (
	tornBegun  = iota
	tornStop   // set at the end
	tornStored // the number of the last Store that has returned
	tornCells
)

// writeTask stores increasing numbers, each in all words of the value.
var writeTask = task("write", func(ctx context.Context, j job) (int, error) {
	j.Cells.Add(tornBegun)
	x := j.Big.Load()
	n := x[0]
	for j.Cells.At(tornStop).Load() == 0 {
		n++
		j.Big.Store(newBig(n))
		j.Cells.Wide(tornStored).Store(n)
	}
	return int(n), nil
})

// readTask checks that each value that it reads is whole, and not older than the one before. It
// returns how many it has read.
var readTask = task("read", func(ctx context.Context, j job) (int, error) {
	j.Cells.Add(tornBegun)
	last := uint64(0)
	for i := 0; ; i++ {
		x := j.Big.Load()
		if err := x.check(); err != nil {
			return i, err
		}
		if x[0] < last {
			return i, fmt.Errorf("read %d after %d", x[0], last)
		}
		if x[0] == last && i%2 == 0 && j.Cells.At(tornStop).Load() != 0 {
			return i, nil
		}
		last = x[0]
	}
})

// watchTask is readTask by Watch. It ends when it has seen lastOfAll.
var watchTask = task("watch", func(ctx context.Context, j job) (int, error) {
	ctx = context.WithoutCancel(ctx) // however long the flags say
	j.Cells.Add(tornBegun)
	last, n := uint64(0), 0
	for x, err := range j.Big.Watch(ctx) {
		if err == nil {
			err = x.check()
		}
		if err == nil && n > 0 && x[0] <= last {
			err = fmt.Errorf("saw %d after %d", x[0], last)
		}
		if err != nil {
			return n, err
		}
		last = x[0]
		n++
		if last == lastOfAll {
			return n, nil
		}
	}
	return n, errors.New("Watch ended without an error")
})

const lastOfAll = 1 << 40

// One process writes a value of 4 KiB and three read it. Each value read is whole.
func TestTornReads(t *testing.T) {
	seg := Anonymous(t, room)
	j := job{Big: newValue(t, seg, big{}), Cells: NewCells(t, seg, tornCells)}
	var readers []*proc.Call[int]
	for range 3 {
		readers = append(readers, Start(t, readTask, j))
	}
	writer := Start(t, writeTask, j)
	watcher := Start(t, watchTask, j)
	j.Cells.Await(t, tornBegun, 5)
	time.Sleep(brief(*torn))
	j.Cells.Set(tornStop, 1)
	written := Result(t, writer)
	j.Big.Store(newBig(lastOfAll))
	reads := 0
	for _, r := range readers {
		n := Result(t, r)
		wantSome(t, "reads of one process", n)
		reads += n
	}
	wantSome(t, "values written", written)
	t.Logf("%d values written, %d reads, %d values watched", written, reads, Result(t, watcher))
}

// As TestTornReads, while the writer is killed at random and replaced. Each leaves the last value
// whose Store has returned, or the next one.
func TestTornReadsUnderDeaths(t *testing.T) {
	seg := Anonymous(t, room)
	j := job{Big: newValue(t, seg, big{}), Cells: NewCells(t, seg, tornCells)}
	var readers []*proc.Call[int]
	for range 3 {
		readers = append(readers, Start(t, readTask, j))
	}
	watcher := Start(t, watchTask, j)
	between := 0
	begun := uint32(4)
	for range brief(*kills) {
		begun++
		writer := Start(t, writeTask, j)
		j.Cells.Await(t, tornBegun, begun)
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // a random moment
		WantNil(t, "Kill", writer.Kill())
		Killed(t, writer)
		stored, x := j.Cells.Wide(tornStored).Load(), j.Big.Load()
		WantNil(t, "value that was left", x.check())
		switch x[0] {
		case stored:
		case stored + 1:
			between++
		default:
			t.Fatalf("the last Store that returned wrote %d, the value is %d", stored, x[0])
		}
		j.Cells.Wide(tornStored).Store(x[0])
	}
	j.Cells.Set(tornStop, 1)
	j.Big.Store(newBig(lastOfAll))
	wantSome(t, "values written", int(j.Cells.Wide(tornStored).Load()))
	reads := 0
	for _, r := range readers {
		n := Result(t, r)
		wantSome(t, "reads of one process", n)
		reads += n
	}
	t.Logf("%d reads, %d values watched, %d of %d writers died between publication and return",
		reads, Result(t, watcher), between, brief(*kills))
}
