package sync_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/proc"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// rwUse takes the lock and releases it.
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

// TestRWLockUserDies kills a reader or a writer at each step. Two readers and
// two writers, in this process and in another party, must come through.
func TestRWLockUserDies(t *testing.T) {
	needsCrashPoints(t)
	const reader, writer = 0, 1
	for _, test := range []struct {
		point  crash.Point
		victim int
		held   string // by us, when the victim comes; or by the victim, when the others come
		died   bool   // ErrOwnerDied afterwards
	}{
		{crash.RWLockJoined, reader, "", false},
		{crash.RWLockJoined, reader, "by a reader", false},
		{crash.RWLockJoined, reader, "by a writer", false},
		{crash.RWLockQueued, reader, "by a writer", false},
		{crash.RWLockLeft, reader, "by the victim", false},
		{crash.LockTaken, writer, "", false},
		{crash.LockWaiting, writer, "by a writer", false},
		{crash.RWLockOwned, writer, "", false},
		{crash.RWLockOwned, writer, "by a reader", false},
		{crash.RWLockStalled, writer, "by an old reader", false},
		{crash.RWLockWanted, writer, "", false},
		{crash.RWLockWanted, writer, "by a reader", false},
		{crash.RWLockDraining, writer, "by a reader", false},
		{crash.RWLockWriting, writer, "", true},
		{crash.RWLockFreed, writer, "by the victim", false},
		{crash.RWLockTold, writer, "by the victim", false},
		{crash.LockFreed, writer, "by the victim", false},
	} {
		t.Run(fmt.Sprintf("%v_held_%s", test.point, test.held), func(t *testing.T) {
			ctx := within(t)
			seg := blocking(t)
			l := closing(t, must(psync.NewRWLock(seg, "rw", nil))(t))
			far := closing(t, must(psync.OpenRWLock(attach(t, seg), "rw"))(t))
			c := newCells(t, seg, 2)
			release := func() error { return nil }
			switch test.held {
			case "by a reader":
				wantNil(t, "RAcquire", l.RAcquire(ctx))
				release = l.RRelease
			case "by an old reader": // a writer has given up since
				wantNil(t, "RAcquire", l.RAcquire(ctx))
				wantError(t, "Acquire", far.Acquire(expired), context.Canceled)
				release = l.RRelease
			case "by a writer":
				wantNil(t, "Acquire", l.Acquire(ctx))
				release = l.Release
			}
			var results []<-chan error
			come := func() {
				for i := range 4 {
					results = append(results, async(func() error {
						return rwUse(ctx, []*psync.RWLock{l, far}[i/2], i%2 == 0)
					}))
				}
			}
			victim := launch(t, rwHoldTask, rwJob{test.victim, l, c}, dyingAt(test.point))
			if test.held == "by the victim" {
				c.await(t, 0, 1)
				if test.victim == writer {
					come()
					awaitAsleep(t, os.Getpid(), 4)
				} else {
					results = append(results, writes(ctx, far))
					awaitAsleep(t, os.Getpid(), 1)
				}
				c.add(1)
			}
			died(t, victim)
			if len(results) == 0 {
				come()
				if test.held != "" {
					awaitAsleep(t, os.Getpid(), 2) // the writers at least
				}
				wantNil(t, "release", release())
			}
			want := error(nil)
			if test.died {
				want = psync.ErrOwnerDied
			}
			for _, r := range results {
				if err := await(t, r, "who comes after the dead"); err != want {
					t.Errorf("who comes after the dead: %v, want %v", err, want)
				}
			}
			if test.victim == reader && test.held == "by the victim" {
				wantNil(t, "Release", far.Release())
			}
			repaired := false
			wantNil(t, "Recover", far.Recover(ctx, func() error { repaired = true; return nil }))
			if repaired != test.died {
				t.Errorf("repair called: %v", repaired)
			}
			wantFree(t, l, far)
			runtime.KeepAlive(c)
		})
	}
}

// rwStormer reads and writes cells 0 and 1, which are equal unless somebody
// writes or has died writing. Cell 2 counts what is done, cell 3 repairs.
var rwStormer = register("rw stormer", func(ctx context.Context, j rwJob) error {
	a, b := j.Cells.plain(0), j.Cells.plain(1)
	for {
		short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(1000))*time.Microsecond)
		err := rwHammer(short, j.Lock, a, b, 20, func() { time.Sleep(100 * time.Microsecond) })
		late := short.Err() != nil
		cancel()
		switch {
		case err == nil || late && ctx.Err() == nil:
			j.Cells.at(2).Add(1)
		case ctx.Err() != nil:
			return err
		default:
			rerr := j.Lock.Recover(ctx, func() error {
				*b = *a
				j.Cells.at(3).Add(1)
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
	seg := anonymous(t)
	l := closing(t, must(psync.NewRWLock(seg, "", nil))(t))
	c := newCells(t, seg, 4)
	begin := func() *proc.Call[int] { return launch(t, rwStormer, rwJob{0, l, c}, nil) }
	var procs [3]*proc.Call[int]
	for i := range procs {
		procs[i] = begin()
	}
	for range kills {
		before := c.at(2).Load()
		eventually(t, "work after a death", func() bool { return c.at(2).Load() > before+3 })
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // a random moment
		i := rand.IntN(len(procs))
		select {
		case <-procs[i].Done():
			t.Fatalf("a process ended by itself: %v", procs[i].Join(within(t)))
		default:
		}
		kill(t, procs[i])
		procs[i] = begin()
	}
	for _, p := range procs {
		kill(t, p)
	}
	wantNil(t, "Recover", l.Recover(within(t), func() error { *c.plain(1) = *c.plain(0); return nil }))
	wantNil(t, "use", rwUse(within(t), l, true)) // the dead readers are known
	wantFree(t, l)
	if *c.plain(0) != *c.plain(1) {
		t.Errorf("wrote %d and %d", *c.plain(0), *c.plain(1))
	}
	t.Logf("%d writes, %d processes killed, %d repairs", *c.plain(0), kills+len(procs), c.at(3).Load())
	runtime.KeepAlive(c)
}
