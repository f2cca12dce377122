package sync_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// TestOnceUserDies kills who runs the function, or waits for it, at each step.
// The others, in two parties of this process and in another process, come
// through, and one of them calls its function unless the dead had said that it
// was done.
func TestOnceUserDies(t *testing.T) {
	needsCrashPoints(t)
	for _, test := range []struct {
		point crash.Point
		done  bool // no survivor calls its function
	}{
		{crash.LockTaken, false}, {crash.OnceRun, false}, {crash.OnceRan, false}, {crash.OnceDone, true},
		{crash.LockFreed, true}, {crash.LockWaiting, true}, {crash.LockWoken, false},
	} {
		t.Run(test.point.String(), func(t *testing.T) { walkOnce(t, test.point, test.done) })
	}
}

func walkOnce(t *testing.T, point crash.Point, done bool) {
	seg := blocking(t)
	o := closing(t, must(psync.NewOnce(seg, "o"))(t))
	far := closing(t, must(psync.OpenOnce(closing(t, must(seg.Attach())(t)), "o"))(t))
	victims, here := newCells(t, seg, 3), newCells(t, seg, 3)
	here.add(1) // the surviving child does not wait for more to come
	errs := make(chan error, 3)
	survivors := func(asleep bool) *proc.Call[int] {
		for _, o := range []*psync.Once{o, far, o} {
			go func() {
				errs <- o.Do(context.Background(), func() error { here.add(2); return nil })
			}()
		}
		child := startPart(t, onceTask, part{Once: o, Cells: here})
		if asleep {
			awaitAsleep(t, os.Getpid(), cap(errs))
			awaitAsleep(t, child.PID(), 1)
		}
		return child
	}
	victim := func(task *proc.Task[part, int]) *proc.Call[int] {
		return dieAt(t, point, task, part{Once: o, Cells: victims})
	}
	var child *proc.Call[int]
	switch point {
	case crash.LockTaken, crash.OnceRun:
		died(t, victim(stuckOnceTask))
		if point == crash.OnceRun {
			died(t, victim(stuckOnceTask)) // takes the lock from the dead
		}
		child = survivors(false)
	case crash.LockFreed: // with others waiting it may hand the lock over instead
		v := victim(stuckOnceTask)
		victims.await(t, 0, 1)
		victims.add(1)
		died(t, v)
		child = survivors(false)
	case crash.OnceRan, crash.OnceDone:
		v := victim(stuckOnceTask)
		victims.await(t, 0, 1) // inside
		child = survivors(true)
		victims.add(1)
		died(t, v)
	case crash.LockWaiting:
		wantNil(t, "Do", o.Do(t.Context(), func() error {
			died(t, victim(stuckOnceTask))
			child = survivors(true)
			died(t, victim(stuckOnceTask)) // among others
			return nil
		}))
	case crash.LockWoken:
		var v *proc.Call[int]
		broken := errors.New("broken")
		wantError(t, "Do", o.Do(t.Context(), func() error {
			v = victim(stuckOnceTask)
			awaitAsleep(t, v.PID(), 1) // the first in the kernel's queue
			child = survivors(true)
			return broken
		}), broken)
		died(t, v)
	}
	for range cap(errs) {
		wantNil(t, "survivor", await(t, errs, "survivor: waits on the dead"))
	}
	joined(t, child)
	wantDone(t, far, true)
	want := uint32(1)
	if done {
		want = 0
	}
	if n := here.at(2).Load(); n != want {
		t.Errorf("survivors called %d functions, want %d", n, want)
	}
}

// A onceStorm is what the users of many onces write down: for each life
// whether it is killed, for each once who is inside and how often its function
// got to its end.
type onceStorm struct {
	killed, inside, wins []atomic.Uint32
}

const (
	onceStormKind  = shm.Kind(1002)
	onceStormCount = 200
)

func newOnceStorm(mem []byte) onceStorm {
	part := func(i int) []atomic.Uint32 {
		return view.Slice[atomic.Uint32](mem, 4*onceStormCount*i, onceStormCount)
	}
	return onceStorm{part(0), part(1), part(2)}
}

type onceStormArgs struct {
	Segment *shm.Segment
	Life    int
}

var errOnceStorm = errors.New("fails at times")

// onceStormer goes through all the onces.
var onceStormer = proc.Register("once stormer", func(ctx context.Context, in onceStormArgs) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	obj, err := in.Segment.OpenObject(onceStormKind, "storm", 1)
	if err != nil {
		return 0, err
	}
	w := newOnceStorm(obj.Bytes())
	for i := range onceStormCount {
		o, err := psync.OpenOnce(in.Segment, fmt.Sprint("o", i))
		if err != nil {
			return i, err
		}
		for {
			err := o.Do(ctx, func() error { return w.run(i, in.Life) })
			if err == errOnceStorm {
				continue
			}
			if err == nil && w.wins[i].Load() == 0 {
				err = errors.New("Do is back, and nobody has done it")
			}
			if err != nil {
				return i, err
			}
			break
		}
	}
	return onceStormCount, nil
})

// run is the function of once i. It fails for good if another that lives is
// inside.
func (w onceStorm) run(i, life int) error {
	me := uint32(life + 1)
	if other := w.inside[i].Swap(me); other != 0 && w.killed[other-1].Load() == 0 {
		return fmt.Errorf("lives %d and %d are inside", other-1, life)
	}
	time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond) // the more are killed here
	fails := rand.IntN(3) == 0
	if !fails {
		w.wins[i].Add(1)
	}
	if !w.inside[i].CompareAndSwap(me, 0) {
		return fmt.Errorf("life %d is not inside any more", life)
	}
	if fails {
		return errOnceStorm
	}
	return nil
}

// TestOnceStorm kills processes that do many things once, at random moments.
func TestOnceStorm(t *testing.T) {
	const users, kills = 4, 40
	seg := closing(t, must(shm.Anonymous(1<<20, &shm.Options{Objects: 2 * onceStormCount}))(t))
	obj := must(seg.NewObject(shm.Spec{Kind: onceStormKind, Name: "storm", Size: 3 * 4 * onceStormCount, Fingerprint: 1}))(t)
	w := newOnceStorm(obj.Bytes())
	var onces [onceStormCount]*psync.Once
	for i := range onces {
		onces[i] = closing(t, must(psync.NewOnce(seg, fmt.Sprint("o", i)))(t))
	}
	life, killed := 0, 0
	start := func() (*proc.Call[int], int) {
		c, err := onceStormer.New(onceStormArgs{seg, life}, nil)
		if err == nil {
			err = c.Start(within(t))
		}
		wantNil(t, "Start", err)
		t.Cleanup(func() { kill(t, c) })
		life++
		return c, life - 1
	}
	var procs [users]*proc.Call[int]
	var lives [users]int
	for i := range procs {
		procs[i], lives[i] = start()
	}
	for range kills {
		time.Sleep(time.Duration(rand.IntN(10000)) * time.Microsecond) // a random moment
		i := rand.IntN(users)
		select {
		case <-procs[i].Done():
			continue // it has come to the end
		default:
		}
		w.killed[lives[i]].Store(1)
		wantNil(t, "Kill", procs[i].Kill())
		await(t, procs[i].Done(), "end of the victim")
		killed++
		procs[i], lives[i] = start()
	}
	for _, p := range procs {
		joined(t, p)
	}
	wins := uint32(0)
	for i, o := range onces {
		wantDone(t, o, true)
		if w.wins[i].Load() == 0 {
			t.Errorf("once %d is done, and nobody has done it", i)
		}
		wins += w.wins[i].Load()
	}
	t.Logf("%d onces, %d functions got to their end, %d processes killed", onceStormCount, wins, killed)
	if wins > onceStormCount+uint32(killed) {
		t.Errorf("%d functions got to their end, want one for each once and each kill at most", wins)
	}
}
