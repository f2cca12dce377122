package sync_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// deathBound is how long a survivor may take: who hits it waits on the dead.
const deathBound = 30 * time.Second

// lockUser acquires and releases a lock so many times.
var lockUser = proc.Register("lock user", func(ctx context.Context, in struct {
	Lock  *psync.Lock
	Count int
}) (int, error) {
	for i := range in.Count {
		if err := in.Lock.Acquire(ctx); err != nil {
			return i, err
		}
		if err := in.Lock.Release(); err != nil {
			return i, err
		}
	}
	return in.Count, nil
})

// TestLockUserDies kills the owner, or a waiter, at each step; two other
// waiters, in this process and in another party, must not notice more than they
// have to.
func TestLockUserDies(t *testing.T) {
	if !crash.Enabled {
		t.Skip("needs a binary built with -tags crashpoints")
	}
	for point := range crash.Points(crash.LockTaken, crash.LockFreed) {
		t.Run(point.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), deathBound)
			defer cancel()
			seg, err := shm.Anonymous(1<<20, &shm.Options{Wait: shm.WaitBlock})
			if err != nil {
				t.Fatal(err)
			}
			defer seg.Close()
			lock, err := psync.NewLock(seg, "lock", nil)
			if err != nil {
				t.Fatal(err)
			}
			// For the steps of a waiter the lock is held when the victim comes.
			held := point != crash.LockTaken
			if held {
				if err := lock.Acquire(ctx); err != nil {
					t.Fatal(err)
				}
			}
			victim, err := lockUser.New(struct {
				Lock  *psync.Lock
				Count int
			}{lock, 1000}, &proc.Options{Env: []string{crash.Env + "=" + point.String()}})
			if err != nil {
				t.Fatal(err)
			}
			if err := victim.Start(ctx); err != nil {
				t.Fatal(err)
			}
			defer func() { victim.Kill(); victim.Join(context.Background()) }()
			if held {
				// It says that it waits in the word; then it may be woken.
				waitForWaiter(ctx, t, seg)
			}
			results := make(chan error, 2)
			wait := func(l *psync.Lock) {
				err := l.Acquire(ctx)
				if err == nil {
					err = l.Release()
				}
				results <- err
			}
			other, err := seg.Attach()
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			lock2, err := psync.OpenLock(other, "lock")
			if err != nil {
				t.Fatal(err)
			}
			if held {
				go wait(lock2)
				if point == crash.LockWaiting {
					var exit *proc.ExitError
					if err := victim.Join(ctx); !errors.As(err, &exit) || exit.Code != -9 {
						t.Fatalf("victim ended with %v, want death at its point", err)
					}
				}
				if err := lock.Release(); err != nil {
					t.Fatal(err)
				}
			}
			var exit *proc.ExitError
			if err := victim.Join(ctx); !errors.As(err, &exit) || exit.Code != -9 {
				t.Fatalf("victim ended with %v, want death at its point", err)
			}
			if !held {
				go wait(lock2)
			}
			go wait(lock)
			want := error(nil)
			if point == crash.LockTaken {
				want = psync.ErrOwnerDied
			}
			for range 2 {
				select {
				case err := <-results:
					if err != want {
						t.Errorf("Acquire after the death: %v, want %v", err, want)
					}
				case <-ctx.Done():
					t.Fatal("a waiter hangs on the dead")
				}
			}
			repaired := false
			if err := lock.Recover(ctx, func() error { repaired = true; return nil }); err != nil {
				t.Fatalf("Recover: %v", err)
			}
			if repaired != (want != nil) {
				t.Errorf("repair called: %v", repaired)
			}
			for _, l := range []*psync.Lock{lock, lock2} {
				if err := l.TryAcquire(); err != nil {
					t.Fatalf("the lock is not free at the end: %v", err)
				}
				if err := l.Release(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// waitForWaiter returns when the lock's word says that somebody waits.
func waitForWaiter(ctx context.Context, t *testing.T, seg *shm.Segment) {
	t.Helper()
	o, err := seg.OpenObject(shm.KindLock, "lock", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	word := view.At[atomic.Uint32](o.Bytes(), 0)
	for word.Load()&1 == 0 {
		if ctx.Err() != nil {
			t.Fatal("the victim never waits")
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// stormWords is what a lock storm guards: a and b are equal whenever the lock
// is free, and not held by the dead.
//
//	0    a
//	8    b
//	16   repairs
//	128  done: for each life, how many of its increments are whole
type stormWords struct {
	a, b, repairs *atomic.Uint64
	done          []atomic.Uint64
}

const (
	stormKind  = shm.Kind(1000)
	stormKills = 500
	stormUsers = 4
	stormSize  = 128 + 8*(stormKills+stormUsers)
)

func newStormWords(mem []byte) stormWords {
	return stormWords{
		view.At[atomic.Uint64](mem, 0), view.At[atomic.Uint64](mem, 8), view.At[atomic.Uint64](mem, 16),
		view.Slice[atomic.Uint64](mem, 128, stormKills+stormUsers),
	}
}

type stormArgs struct {
	Segment *shm.Segment
	Lock    *psync.Lock
	Life    int
}

var lockStormer = proc.Register("lock stormer", func(ctx context.Context, in stormArgs) (int, error) {
	o, err := in.Segment.OpenObject(stormKind, "words", 1)
	if err != nil {
		return 0, err
	}
	w := newStormWords(o.Bytes())
	for {
		err := in.Lock.Acquire(ctx)
		if errors.Is(err, psync.ErrOwnerDied) {
			err = in.Lock.Recover(ctx, func() error {
				w.b.Store(w.a.Load())
				w.repairs.Add(1)
				return nil
			})
			if err != nil {
				return 0, err
			}
			continue
		}
		if err != nil {
			return 0, err
		}
		a, b := w.a.Load(), w.b.Load()
		if a != b {
			return 0, fmt.Errorf("under the lock: a %d, b %d", a, b)
		}
		w.a.Store(a + 1)
		w.b.Store(b + 1)
		if err := in.Lock.Release(); err != nil {
			return 0, err
		}
		w.done[in.Life].Add(1)
	}
})

// TestLockStorm kills processes that hammer one lock at random moments.
func TestLockStorm(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	seg, err := shm.Anonymous(1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	o, err := seg.NewObject(shm.Spec{Kind: stormKind, Name: "words", Size: stormSize, Fingerprint: 1})
	if err != nil {
		t.Fatal(err)
	}
	w := newStormWords(o.Bytes())
	lock, err := psync.NewLock(seg, "lock", nil)
	if err != nil {
		t.Fatal(err)
	}
	kills := stormKills
	if testing.Short() {
		kills = 50
	}
	life := 0
	start := func() *proc.Process {
		c, err := lockStormer.New(stormArgs{seg, lock, life}, nil)
		if err == nil {
			err = c.Start(ctx)
		}
		if err != nil {
			t.Fatalf("life %d: %v", life, err)
		}
		life++
		return c.Process
	}
	var procs [stormUsers]*proc.Process
	for i := range procs {
		procs[i] = start()
	}
	defer func() {
		for _, p := range procs {
			p.Kill()
			p.Join(context.Background())
		}
	}()
	total := func() (n uint64) {
		for i := range w.done {
			n += w.done[i].Load()
		}
		return n
	}
	var recovery []time.Duration
	for range kills {
		time.Sleep(time.Duration(rand.IntN(4000)) * time.Microsecond) // a random moment
		i := rand.IntN(len(procs))
		if err := procs[i].Kill(); err != nil {
			t.Fatal(err)
		}
		killed, before := time.Now(), total()
		for total() < before+10 {
			if ctx.Err() != nil {
				t.Fatalf("the lock is stuck after a death: %d increments", total())
			}
			time.Sleep(10 * time.Microsecond)
		}
		recovery = append(recovery, time.Since(killed))
		var exit *proc.ExitError
		if err := procs[i].Join(ctx); !errors.As(err, &exit) || exit.Code != -9 {
			t.Fatalf("killed process ended with %v", err)
		}
		procs[i] = start()
	}
	for _, p := range procs {
		p.Kill()
		p.Join(ctx)
	}
	if err := lock.Recover(ctx, func() error { w.b.Store(w.a.Load()); return nil }); err != nil {
		t.Fatal(err)
	}
	a, b, n := w.a.Load(), w.b.Load(), total()
	t.Logf("%d increments, %d seen whole by those who made them, %d processes killed, %d repairs", a, n, life, w.repairs.Load())
	if a != b || a < n || a > n+uint64(life) {
		t.Errorf("a %d, b %d; want both in [%d, %d]", a, b, n, n+uint64(life))
	}
	slices.Sort(recovery)
	t.Logf("from the kill until the others had made 10 increments: median %v, 95%% %v, maximum %v of %d",
		recovery[len(recovery)/2], recovery[len(recovery)*95/100], recovery[len(recovery)-1], len(recovery))
}
