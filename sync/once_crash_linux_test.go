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
	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// TestOnceUserDies kills the process that runs the function, or waits for it, at each step. The
// others, in two parties of this process and in another process, get through. One of them calls its
// function, unless the victim has set done.
func TestOnceUserDies(t *testing.T) {
	NeedCrashPoints(t)
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
	seg := Blocking(t, room)
	o := Closing(t, Must(psync.NewOnce(seg, "o"))(t))
	far := Closing(t, Must(psync.OpenOnce(Attach(t, seg), "o"))(t))
	victims, here := NewCells(t, seg, 3), NewCells(t, seg, 3)
	errs := make(chan error, 3)
	goroutines := func() {
		for _, o := range []*psync.Once{o, far, o} {
			go func() {
				errs <- o.Do(context.Background(), func() error { here.Add(2); return nil })
			}()
		}
	}
	survivors := func(asleep bool) *proc.Call[int] {
		goroutines()
		here.Add(1) // so that the child does not wait for cell 1
		child := Start(t, onceTask, job{Once: o, Cells: here})
		if asleep {
			AwaitAsleep(t, os.Getpid(), cap(errs))
			AwaitAsleep(t, child.PID(), 1)
		}
		return child
	}
	victim := func(task *proc.Task[job, int]) *proc.Call[int] {
		return StartToDie(t, task, job{Once: o, Cells: victims}, point, 1)
	}
	var child *proc.Call[int]
	switch point {
	case crash.LockTaken, crash.OnceRun:
		Killed(t, victim(stuckOnceTask))
		if point == crash.OnceRun {
			Killed(t, victim(stuckOnceTask)) // it takes the lock from the dead victim
		}
		child = survivors(false)
	case crash.LockFreed: // if others waited, the victim might hand the lock over instead
		v := victim(stuckOnceTask)
		victims.Await(t, 0, 1)
		victims.Add(1)
		Killed(t, v)
		child = survivors(false)
	case crash.OnceRan, crash.OnceDone:
		v := victim(stuckOnceTask)
		victims.Await(t, 0, 1) // the victim is in its function
		child = survivors(true)
		victims.Add(1)
		Killed(t, v)
	case crash.LockWaiting:
		WantNil(t, "Do", o.Do(t.Context(), func() error {
			Killed(t, victim(stuckOnceTask))
			child = survivors(true)
			Killed(t, victim(stuckOnceTask)) // while others wait
			return nil
		}))
	case crash.LockWoken:
		var v *proc.Call[int]
		broken := errors.New("broken")
		WantError(t, "Do", o.Do(t.Context(), func() error {
			// A party that joins wakes all sleepers, which then sleep again in any order. So the child
			// joins before the victim sleeps.
			child = Start(t, onceTask, job{Once: o, Cells: here})
			here.Await(t, 0, 1)
			v = victim(stuckOnceTask)
			AwaitAsleep(t, v.PID(), 1) // the victim is the first in the kernel's queue
			goroutines()
			AwaitAsleep(t, os.Getpid(), cap(errs))
			here.Add(1)
			here.Await(t, 0, 2)
			AwaitAsleep(t, child.PID(), 1)
			return broken
		}), broken)
		Killed(t, v)
	}
	for range cap(errs) {
		WantNil(t, "survivor", Await(t, errs, "survivor: waits on the dead"))
	}
	Result(t, child)
	wantDone(t, far, true)
	want := uint32(1)
	if done {
		want = 0
	}
	if n := here.At(2).Load(); n != want {
		t.Errorf("survivors called %d functions, want %d", n, want)
	}
}

// A onceStorm is what the users of many onces record: for each process whether it is killed, and
// for each once which process is in its function and how often the function has reached its end.
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

// onceStormer calls Do of all onces, one after the other.
var onceStormer = Task("once stormer", func(ctx context.Context, in onceStormArgs) (int, error) {
	obj, err := object.Open(in.Segment, onceStormKind, "storm", 1)
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
				err = errors.New("Do has returned, and no function has succeeded")
			}
			if err != nil {
				return i, err
			}
			break
		}
	}
	return onceStormCount, nil
})

// run is the function of once i. It returns an error if another living process is in it.
func (w onceStorm) run(i, life int) error {
	me := uint32(life + 1)
	if other := w.inside[i].Swap(me); other != 0 && w.killed[other-1].Load() == 0 {
		return fmt.Errorf("lives %d and %d are inside", other-1, life)
	}
	time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond) // so that more are killed here
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

// TestOnceStorm kills processes that call Do of many onces, at random moments.
func TestOnceStorm(t *testing.T) {
	const users, kills = 4, 40
	seg := Closing(t, Must(shm.Anonymous(1<<20, &shm.Options{Objects: 2 * onceStormCount}))(t))
	obj := Must(object.New(seg, object.Spec{Kind: onceStormKind, Name: "storm", Size: 3 * 4 * onceStormCount, Fingerprint: 1}))(t)
	w := newOnceStorm(obj.Bytes())
	var onces [onceStormCount]*psync.Once
	for i := range onces {
		onces[i] = Closing(t, Must(psync.NewOnce(seg, fmt.Sprint("o", i)))(t))
	}
	life, killed := 0, 0
	start := func() (*proc.Call[int], int) {
		c := Start(t, onceStormer, onceStormArgs{seg, life})
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
			continue // it has finished already
		default:
		}
		w.killed[lives[i]].Store(1)
		WantNil(t, "Kill", procs[i].Kill())
		Await(t, procs[i].Done(), "end of the victim")
		killed++
		procs[i], lives[i] = start()
	}
	for _, p := range procs {
		Result(t, p)
	}
	wins := uint32(0)
	for i, o := range onces {
		wantDone(t, o, true)
		if w.wins[i].Load() == 0 {
			t.Errorf("once %d is done, and no function has succeeded", i)
		}
		wins += w.wins[i].Load()
	}
	t.Logf("%d onces, %d functions got to their end, %d processes killed", onceStormCount, wins, killed)
	if wins > onceStormCount+uint32(killed) {
		t.Errorf("%d functions got to their end, want one for each once and each kill at most", wins)
	}
}
