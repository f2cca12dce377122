package sync_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// rwUse acquires the lock and releases it.
func rwUse(ctx context.Context, l *psync.RWLock, write bool) error {
	if write {
		if err := l.Acquire(ctx); err != nil {
			return err
		}
		return l.Release()
	}
	if err := l.RAcquire(ctx); err != nil {
		return err
	}
	return l.RRelease()
}

// TestRWLockUserDies kills a reader or a writer at each step. Two readers and two writers, in this
// process and in another party, must get through.
func TestRWLockUserDies(t *testing.T) {
	NeedCrashPoints(t)
	const reader, writer = 0, 1
	for _, test := range []struct {
		point  crash.Point
		victim int
		held   string // by the test when the victim comes, or by the victim
		died   bool   // others get ErrOwnerDied afterwards
	}{
		{crash.RWLockJoined, reader, "", false},
		{crash.RWLockJoined, reader, "by a reader", false},
		{crash.RWLockQueued, reader, "by a writer", false},
		{crash.RWLockLeft, reader, "by the victim", false},
		{crash.LockTaken, writer, "", false},
		{crash.LockWaiting, writer, "by a writer", false},
		{crash.RWLockOwned, writer, "", false},
		{crash.RWLockOwned, writer, "by a reader", false},
		{crash.RWLockWanted, writer, "", false},
		{crash.RWLockWanted, writer, "by a reader", false},
		{crash.RWLockDraining, writer, "by a reader", false},
		{crash.RWLockWriting, writer, "", true},
		{crash.RWLockFreed, writer, "by the victim", false},
		{crash.RWLockTold, writer, "by the victim", false},
		{crash.LockFreed, writer, "by the victim", false},
	} {
		t.Run(fmt.Sprintf("%v_held_%s", test.point, test.held), func(t *testing.T) {
			ctx := Within(t)
			seg := Blocking(t, room)
			l := Closing(t, Must(psync.NewRWLock(seg, "rw", nil))(t))
			far := Closing(t, Must(psync.OpenRWLock(Attach(t, seg), "rw"))(t))
			c := NewCells(t, seg, 2)
			release := func() error { return nil }
			switch test.held {
			case "by a reader":
				WantNil(t, "RAcquire", l.RAcquire(ctx))
				release = l.RRelease
			case "by a writer":
				WantNil(t, "Acquire", l.Acquire(ctx))
				release = l.Release
			}
			var results []<-chan error
			come := func() {
				for i := range 4 {
					results = append(results, Async(func() error {
						return rwUse(ctx, []*psync.RWLock{l, far}[i/2], i%2 == 0)
					}))
				}
			}
			victim := StartToDie(t, rwHoldTask, job{N: test.victim, RWLock: l, Cells: c}, test.point, 1)
			if test.held == "by the victim" {
				c.Await(t, 0, 1)
				if test.victim == writer {
					come()
					AwaitAsleep(t, os.Getpid(), 4)
				} else {
					results = append(results, writes(ctx, far))
					AwaitAsleep(t, os.Getpid(), 1)
				}
				c.Add(1)
			}
			Killed(t, victim)
			if len(results) == 0 {
				come()
				if test.held != "" {
					AwaitAsleep(t, os.Getpid(), 2) // at least the writers sleep
				}
				WantNil(t, "release", release())
			}
			want := error(nil)
			if test.died {
				want = psync.ErrOwnerDied
			}
			for _, r := range results {
				if err := Await(t, r, "a call after the death"); !errors.Is(err, want) {
					t.Errorf("a call after the death: %v, want %v", err, want)
				}
			}
			if test.victim == reader && test.held == "by the victim" {
				WantNil(t, "Release", far.Release())
			}
			repaired := false
			WantNil(t, "Recover", far.Recover(ctx, func() error { repaired = true; return nil }))
			if repaired != test.died {
				t.Errorf("repair called: %v", repaired)
			}
			wantFree(t, l, far)
			runtime.KeepAlive(c)
		})
	}
}

// rwStormer reads and writes cells 0 and 1, which are equal unless a writer writes or has died
// writing. Cell 2 counts its uses of the lock, cell 3 the repairs.
var rwStormer = task("rw stormer", func(ctx context.Context, j job) error {
	a, b := j.Cells.Plain(0), j.Cells.Plain(1)
	for {
		short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(1000))*time.Microsecond)
		err := rwHammer(short, j.RWLock, a, b, 20, func() { time.Sleep(100 * time.Microsecond) })
		late := short.Err() != nil
		cancel()
		switch {
		case err == nil || late && ctx.Err() == nil:
			j.Cells.At(2).Add(1)
		case ctx.Err() != nil:
			return err
		default:
			rerr := j.RWLock.Recover(ctx, func() error {
				*b = *a
				j.Cells.At(3).Add(1)
				return nil
			})
			if rerr != nil {
				return fmt.Errorf("%w, after %w", rerr, err)
			}
		}
	}
})

// TestRWLockStorm kills readers and writers at random moments.
func TestRWLockStorm(t *testing.T) {
	kills := 60
	if testing.Short() {
		kills = 10
	}
	seg := Anonymous(t, room)
	l := Closing(t, Must(psync.NewRWLock(seg, "", nil))(t))
	c := NewCells(t, seg, 4)
	begin := func() *proc.Call[int] { return Start(t, rwStormer, job{RWLock: l, Cells: c}) }
	var procs [3]*proc.Call[int]
	for i := range procs {
		procs[i] = begin()
	}
	for range kills {
		before := c.At(2).Load()
		Eventually(t, "work after a death", func() bool { return c.At(2).Load() > before+3 })
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // a random moment
		i := rand.IntN(len(procs))
		select {
		case <-procs[i].Done():
			t.Fatalf("a process ended by itself: %v", procs[i].Join(Within(t)))
		default:
		}
		Kill(t, procs[i])
		procs[i] = begin()
	}
	for _, p := range procs {
		Kill(t, p)
	}
	WantNil(t, "Recover", l.Recover(Within(t), func() error { *c.Plain(1) = *c.Plain(0); return nil }))
	WantNil(t, "use", rwUse(Within(t), l, true)) // this notices the dead readers
	wantFree(t, l)
	if *c.Plain(0) != *c.Plain(1) {
		t.Errorf("wrote %d and %d", *c.Plain(0), *c.Plain(1))
	}
	t.Logf("%d writes, %d processes killed, %d repairs", *c.Plain(0), kills+len(procs), c.At(3).Load())
	runtime.KeepAlive(c)
}
