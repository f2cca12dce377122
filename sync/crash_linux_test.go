package sync_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// lockUser acquires and releases the lock N times.
var lockUser = task("lock user", func(ctx context.Context, j job) error {
	for range j.N {
		if err := j.Lock.Acquire(ctx); err != nil {
			return err
		}
		if err := j.Lock.Release(); err != nil {
			return err
		}
	}
	return nil
})

// TestLockUserDies kills the owner, a waiter or the heir at each step. Two other waiters, in this
// process and in another party, get ErrOwnerDied only if the victim held the lock.
func TestLockUserDies(t *testing.T) {
	NeedCrashPoints(t)
	shown := make(map[crash.Point]bool)
	for _, test := range []struct {
		point crash.Point
		how   string
		setUp func(*lockDeath)
		want  error // of a call after the death
	}{
		{crash.LockTaken, "free", (*lockDeath).free, psync.ErrOwnerDied},
		{crash.LockWaiting, "held", (*lockDeath).held, nil},
		{crash.LockWoken, "held", (*lockDeath).releasedTo, nil},
		{crash.LockWoken, "heir", (*lockDeath).handedTo, nil},
		{crash.LockFreed, "free", (*lockDeath).free, nil},
		{crash.LockClaimed, "held", (*lockDeath).prodded, nil},
		{crash.LockHanded, "heir", (*lockDeath).handsOver, nil},
	} {
		shown[test.point] = true
		t.Run(test.point.String()+"_"+test.how, func(t *testing.T) {
			d := newLockDeath(t, test.point)
			test.setUp(d)
			d.check(test.want)
		})
	}
	for point := range crash.Points(crash.LockTaken, crash.LockHanded) {
		if !shown[point] {
			t.Errorf("no process dies at %v", point)
		}
	}
}

// A lockDeath is a lock whose user, the victim, dies at a crash point.
type lockDeath struct {
	t      *testing.T
	ctx    context.Context
	point  crash.Point
	seg    *shm.Segment
	lock   *psync.Lock
	other  *psync.Lock // another party's
	memory object.Object
	victim *proc.Call[int]
}

func newLockDeath(t *testing.T, point crash.Point) *lockDeath {
	seg := Blocking(t, room)
	party := Attach(t, seg)
	return &lockDeath{
		t: t, ctx: Within(t), point: point, seg: seg,
		lock:   Closing(t, Must(psync.NewLock(seg, "lock", nil))(t)),
		other:  Closing(t, Must(psync.OpenLock(party, "lock"))(t)),
		memory: Must(object.Open(seg, shm.KindLock, "lock", 1))(t),
	}
}

// word and gate return words of the lock's memory: see package internal/robust.
func (d *lockDeath) word() *atomic.Uint64 { return view.At[atomic.Uint64](d.memory.Bytes(), 0) }
func (d *lockDeath) gate() *atomic.Uint32 { return view.At[atomic.Uint32](d.memory.Bytes(), 8) }

// start starts the victim, which acquires and releases the lock.
func (d *lockDeath) start() {
	d.t.Helper()
	d.victim = StartToDie(d.t, lockUser, job{N: 1000, Lock: d.lock}, d.point, 1)
}

// died waits until the victim is dead.
func (d *lockDeath) died() {
	d.t.Helper()
	Killed(d.t, d.victim)
}

// free lets the victim die as the owner of a lock for which no other process waits.
func (d *lockDeath) free() {
	d.start()
	d.died()
}

// held lets the victim die as a waiter.
func (d *lockDeath) held() {
	WantNil(d.t, "Acquire", d.lock.Acquire(d.ctx))
	d.start()
	d.died()
	WantNil(d.t, "Release", d.lock.Release())
}

// releasedTo lets the victim die as a waiter after a Release has woken it.
func (d *lockDeath) releasedTo() {
	WantNil(d.t, "Acquire", d.lock.Acquire(d.ctx))
	d.start()
	d.until("the victim waits", func() bool { return d.gate().Load()&1 != 0 })
	WantNil(d.t, "Release", d.lock.Release())
	d.died()
}

// prodded lets the victim die when it has waited for so long that it claims to be the heir.
func (d *lockDeath) prodded() {
	WantNil(d.t, "Acquire", d.lock.Acquire(d.ctx))
	d.start()
	d.until("the victim dies", d.prodVictim)
	d.died()
	WantNil(d.t, "Release", d.lock.Release())
}

// prodVictim makes the victim try again, and reports whether it is dead.
func (d *lockDeath) prodVictim() bool {
	futex.Wake(d.gate(), futex.All)
	_, exited := d.victim.ExitCode()
	return exited
}

// handedTo lets the victim die as the heir after the lock was handed over to it.
func (d *lockDeath) handedTo() {
	WantNil(d.t, "Acquire", d.lock.Acquire(d.ctx))
	d.start()
	d.until("the victim claims", func() bool {
		d.prodVictim()
		return d.word().Load()>>33 != 0
	})
	WantNil(d.t, "Release", d.lock.Release())
	d.died()
}

// handsOver lets the victim die after it has handed the lock over to the other party, whose waiter
// comes later.
func (d *lockDeath) handsOver() {
	WantNil(d.t, "Acquire", d.other.Acquire(d.ctx))
	owner := d.word().Load() >> 1
	WantNil(d.t, "Release", d.other.Release())
	d.word().Store(owner << 33)
	d.start()
	d.died()
}

// until polls until f returns true.
func (d *lockDeath) until(what string, f func() bool) {
	d.t.Helper()
	for !f() {
		if d.ctx.Err() != nil {
			Stuck(d.t, what)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// check lets both locks be used after the death.
func (d *lockDeath) check(want error) {
	t, ctx := d.t, d.ctx
	locks := []*psync.Lock{d.other, d.lock}
	var results []<-chan error
	for _, l := range locks {
		results = append(results, Async(func() error {
			if err := l.Acquire(ctx); err != nil {
				return err
			}
			return l.Release()
		}))
	}
	for i, c := range results {
		if err := Await(t, c, "a waiter hangs on the dead"); !errors.Is(err, want) {
			t.Errorf("waiter %d after the death: %v, want %v", i, err, want)
		}
	}
	repaired := false
	WantNil(t, "Recover", d.lock.Recover(ctx, func() error { repaired = true; return nil }))
	if repaired != (want != nil) {
		t.Errorf("repair called: %v", repaired)
	}
	for _, l := range locks {
		WantNil(t, "TryAcquire at the end", l.TryAcquire())
		WantNil(t, "Release", l.Release())
	}
	runtime.KeepAlive(d.memory)
}

// stormWords are the words that the lock of a storm guards. a and b are equal whenever no process,
// living or dead, holds the lock.
//
//	0    a
//	8    b
//	16   repairs
//	128  done: for each life, how many of its increments are complete
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
	o, err := object.Open(in.Segment, stormKind, "words", 1)
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

// TestLockStorm kills processes that use one lock, at random moments.
func TestLockStorm(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	seg, err := shm.Anonymous(1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	o, err := object.New(seg, object.Spec{Kind: stormKind, Name: "words", Size: stormSize, Fingerprint: 1})
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
