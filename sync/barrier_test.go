//go:build linux

package sync_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// register is task for any argument.
func register[J any](name string, f func(ctx context.Context, j J) error) *proc.Task[J, int] {
	return proc.Register(name, func(ctx context.Context, j J) (int, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return 0, f(ctx, j)
	})
}

// launch is start for any argument, with options.
func launch[J any](t testing.TB, task *proc.Task[J, int], j J, o *proc.Options) *proc.Call[int] {
	t.Helper()
	p := must(task.New(j, o))(t)
	wantNil(t, "start "+task.Name(), p.Start(within(t)))
	t.Cleanup(func() { kill(t, p) })
	return p
}

// attach returns one more party of seg.
func attach(t testing.TB, seg *shm.Segment) *shm.Segment {
	t.Helper()
	return closing(t, must(seg.Attach())(t))
}

// eventually waits until f, which nothing can be waited on for, is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			stuck(t, what)
		}
	}
}

// newBarriers makes a barrier of n parties and opens it for each, as parties of
// their own.
func newBarriers(t testing.TB, seg *shm.Segment, n int, o *psync.BarrierOptions) []*psync.Barrier {
	t.Helper()
	closing(t, must(psync.NewBarrier(seg, "b", n, o))(t))
	var list []*psync.Barrier
	for range n {
		list = append(list, closing(t, must(psync.OpenBarrier(attach(t, seg), "b"))(t)))
	}
	return list
}

// waitsAt begins a Wait.
func waitsAt(ctx context.Context, b *psync.Barrier) <-chan error {
	return async(func() error { return second(b.Wait(ctx)) })
}

func awaitWaiting(t testing.TB, b *psync.Barrier, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d waiting in the barrier", n), func() bool { return b.Waiting() == n })
}

// passes makes all wait once and wants them to pass.
func passes(t testing.TB, list ...*psync.Barrier) {
	t.Helper()
	ctx := within(t)
	all(t, "Wait", len(list), func(i int) error { return second(list[i].Wait(ctx)) })
}

func wantBroken(t testing.TB, b *psync.Barrier, want bool) {
	t.Helper()
	if b.Broken() != want {
		t.Errorf("Broken: %v, want %v", !want, want)
	}
	if n := b.Waiting(); want && n != 0 {
		t.Errorf("%d wait in a broken barrier", n)
	}
}

func TestBarrier(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"B01_lockstep", testBarrierLockstep},
		{"B02_indices", testBarrierIndices},
		{"B03_action", testBarrierAction},
		{"B03_action_fails", testBarrierActionFails},
		{"B03_broken_while_acting", testBarrierBrokenWhileActing},
		{"B04_abort", testBarrierAbort},
		{"B05_reset", testBarrierReset},
		{"B06_context_ends", testBarrierContext},
		{"B06_default_timeout", testBarrierTimeout},
		{"B07_alone", testBarrierAlone},
		{"B08_broken_until_reset", testBarrierBroken},
		{"expired_context", testBarrierExpired},
		{"more_than_parties", testBarrierCrowd},
		{"place_given_up", testBarrierNoSeat},
		{"storm_of_resets", testBarrierResets},
		{"invalid", testBarrierInvalid},
		{"closed", testBarrierClosed},
		{"handle", testBarrierHandle},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

// On the heap the race detector sees whether Wait synchronizes: each writes its
// cell before it and reads the others' after it.
func testBarrierLockstep(t *testing.T, seg *shm.Segment) {
	const n, rounds = 4, 25
	list := newBarriers(t, seg, n, nil)
	c := newCells(t, seg, n)
	ctx := within(t)
	all(t, "parties", n, func(me int) error {
		for round := uint64(1); round <= rounds; round++ {
			*c.plain(me) = round
			if _, err := list[me].Wait(ctx); err != nil {
				return err
			}
			for i := range n {
				if v := *c.plain(i); v != round {
					return fmt.Errorf("round %d: party %d is in round %d", round, i, v)
				}
			}
			if _, err := list[me].Wait(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	runtime.KeepAlive(c)
	wantBroken(t, list[0], false)
	if p, w := list[0].Parties(), list[0].Waiting(); p != n || w != 0 {
		t.Errorf("%d parties, %d waiting; want %d, 0", p, w, n)
	}
}

func testBarrierIndices(t *testing.T, seg *shm.Segment) {
	const n, rounds = 3, 30
	list := newBarriers(t, seg, n, nil)
	ctx := within(t)
	var seen [rounds][n]atomic.Int32
	all(t, "parties", n, func(me int) error {
		for round := range rounds {
			i, err := list[me].Wait(ctx)
			if err != nil {
				return err
			}
			seen[round][i].Add(1)
		}
		return nil
	})
	for round := range seen {
		for i := range seen[round] {
			if k := seen[round][i].Load(); k != 1 {
				t.Errorf("round %d: index %d was returned %d times", round, i, k)
			}
		}
	}
}

func testBarrierAction(t *testing.T, seg *shm.Segment) {
	const n, rounds = 3, 30
	list := newBarriers(t, seg, n, nil)
	c := newCells(t, seg, 1)
	ctx := within(t)
	actions := c.plain(0)
	all(t, "parties", n, func(me int) error {
		for round := uint64(1); round <= rounds; round++ {
			if _, err := list[me].WaitDo(ctx, func() error { *actions++; return nil }); err != nil {
				return err
			}
			if *actions != round {
				return fmt.Errorf("round %d: %d actions", round, *actions)
			}
			if _, err := list[me].Wait(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	runtime.KeepAlive(c)
}

func testBarrierActionFails(t *testing.T, seg *shm.Segment) {
	list := newBarriers(t, seg, 2, nil)
	failure := errors.New("no action")
	waiter := waitsAt(within(t), list[0])
	awaitWaiting(t, list[0], 1)
	if i, err := list[1].WaitDo(within(t), func() error { return failure }); err != failure || i != -1 {
		t.Errorf("WaitDo: %d, %v, want the action's error", i, err)
	}
	wantError(t, "Wait", await(t, waiter, "waiter"), psync.ErrBroken)
	wantBroken(t, list[0], true)
	wantNil(t, "Reset", list[0].Reset())

	waiter = waitsAt(within(t), list[0])
	awaitWaiting(t, list[0], 1)
	if v := panicOf(func() { list[1].WaitDo(within(t), func() error { panic("oh") }) }); v != "oh" {
		t.Errorf("panic of the action: %v", v)
	}
	wantError(t, "Wait", await(t, waiter, "waiter"), psync.ErrBroken)
	wantNil(t, "Reset", list[0].Reset())
	passes(t, list...)
}

// A round that is broken or reset while its action runs does not pass.
func testBarrierBrokenWhileActing(t *testing.T, seg *shm.Segment) {
	list := newBarriers(t, seg, 2, nil)
	for _, f := range []func(){
		func() { wantNil(t, "Abort", list[0].Abort()) },
		func() { wantNil(t, "Reset", list[0].Reset()) },
	} {
		waiter := waitsAt(within(t), list[0])
		awaitWaiting(t, list[0], 1)
		acting, goOn := make(chan struct{}), make(chan struct{})
		actor := async(func() error {
			return second(list[1].WaitDo(context.Background(), func() error {
				close(acting)
				<-goOn
				return nil
			}))
		})
		await(t, acting, "action")
		f()
		wantError(t, "Wait", await(t, waiter, "waiter"), psync.ErrBroken)
		close(goOn)
		wantError(t, "WaitDo", await(t, actor, "actor"), psync.ErrBroken)
		wantNil(t, "Reset", list[0].Reset())
		passes(t, list...)
	}
}

func testBarrierAbort(t *testing.T, seg *shm.Segment) {
	list := newBarriers(t, seg, 3, nil)
	one, two := waitsAt(within(t), list[0]), waitsAt(within(t), list[1])
	awaitWaiting(t, list[0], 2)
	awaitAsleep(t, os.Getpid(), 2)
	wantNil(t, "Abort", list[2].Abort())
	wantError(t, "Wait", await(t, one, "waiter"), psync.ErrBroken)
	wantError(t, "Wait", await(t, two, "waiter"), psync.ErrBroken)
	wantNil(t, "Abort", list[2].Abort())
	for _, b := range list {
		wantBroken(t, b, true)
	}
}

func testBarrierReset(t *testing.T, seg *shm.Segment) {
	list := newBarriers(t, seg, 3, nil)
	for range 5 {
		one, two := waitsAt(within(t), list[0]), waitsAt(within(t), list[1])
		awaitWaiting(t, list[0], 2)
		awaitAsleep(t, os.Getpid(), 2)
		wantNil(t, "Reset", list[2].Reset())
		wantError(t, "Wait", await(t, one, "waiter"), psync.ErrBroken)
		wantError(t, "Wait", await(t, two, "waiter"), psync.ErrBroken)
		wantBroken(t, list[0], false)
		passes(t, list...)
		wantNil(t, "Abort", list[0].Abort())
		wantNil(t, "Reset", list[1].Reset())
		passes(t, list...)
	}
}

func testBarrierContext(t *testing.T, seg *shm.Segment) {
	list := newBarriers(t, seg, 3, nil)
	for range 5 {
		other := waitsAt(within(t), list[0])
		ctx, cancel := context.WithCancel(t.Context())
		late := waitsAt(ctx, list[1])
		awaitWaiting(t, list[0], 2)
		awaitAsleep(t, os.Getpid(), 2)
		cancel()
		err := await(t, late, "cancelled waiter")
		wantError(t, "cancelled Wait", err, context.Canceled)
		wantError(t, "cancelled Wait", err, psync.ErrBroken)
		err = await(t, other, "waiter")
		wantError(t, "Wait", err, psync.ErrBroken)
		if errors.Is(err, context.Canceled) {
			t.Error("the other's context was not cancelled")
		}
		wantBroken(t, list[2], true)
		wantNil(t, "Reset", list[2].Reset())
		passes(t, list...)
	}
}

func testBarrierTimeout(t *testing.T, seg *shm.Segment) {
	const timeout = 30 * time.Millisecond
	list := newBarriers(t, seg, 2, &psync.BarrierOptions{Timeout: timeout})
	begin := time.Now()
	_, err := list[0].Wait(within(t))
	wantError(t, "Wait", err, context.DeadlineExceeded)
	wantError(t, "Wait", err, psync.ErrBroken)
	if d := time.Since(begin); d < timeout || d > prompt {
		t.Errorf("Wait gave up after %v", d)
	}
	wantError(t, "Wait", second(list[1].Wait(within(t))), psync.ErrBroken)
}

func testBarrierAlone(t *testing.T, seg *shm.Segment) {
	b := newBarriers(t, seg, 1, nil)[0]
	for range 10 {
		for _, ctx := range []context.Context{within(t), expired} {
			ran := false
			if i, err := b.WaitDo(ctx, func() error { ran = true; return nil }); i != 0 || err != nil || !ran {
				t.Errorf("Wait alone: %d, %v, action ran: %v", i, err, ran)
			}
		}
	}
}

func testBarrierBroken(t *testing.T, seg *shm.Segment) {
	list := newBarriers(t, seg, 2, nil)
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	wantError(t, "Wait", second(list[0].Wait(short)), context.DeadlineExceeded)
	for range 10 {
		for _, b := range list {
			begin := time.Now()
			wantError(t, "Wait", second(b.Wait(within(t))), psync.ErrBroken)
			if d := time.Since(begin); d > prompt {
				t.Errorf("Wait of a broken barrier took %v", d)
			}
			wantBroken(t, b, true)
		}
	}
	wantNil(t, "Reset", list[1].Reset())
	passes(t, list...)
}

func testBarrierExpired(t *testing.T, seg *shm.Segment) {
	list := newBarriers(t, seg, 2, nil)
	for range 10 {
		// The last to come passes, the first does not.
		other := waitsAt(within(t), list[0])
		awaitWaiting(t, list[0], 1)
		wantNil(t, "Wait of the last", second(list[1].Wait(expired)))
		wantNil(t, "Wait", await(t, other, "waiter"))
		wantError(t, "Wait of the first", second(list[1].Wait(expired)), context.Canceled)
		wantBroken(t, list[0], true)
		wantNil(t, "Reset", list[0].Reset())
	}
}

// More goroutines than parties pass in groups.
func testBarrierCrowd(t *testing.T, seg *shm.Segment) {
	const n, crowd, rounds = 3, 9, 100
	list := newBarriers(t, seg, n, nil)
	c := newCells(t, seg, 1)
	ctx := within(t)
	var indices [n]atomic.Int32
	var left atomic.Int32
	left.Store(crowd * rounds)
	all(t, "crowd", crowd, func(me int) error {
		for left.Add(-1) >= 0 {
			i, err := list[me%n].WaitDo(ctx, func() error { *c.plain(0)++; return nil })
			if err != nil {
				return err
			}
			indices[i].Add(1)
		}
		return nil
	})
	for i := range indices {
		if k := indices[i].Load(); k != crowd*rounds/n {
			t.Errorf("index %d was returned %d times, want %d", i, k, crowd*rounds/n)
		}
	}
	if k := *c.plain(0); k != crowd*rounds/n {
		t.Errorf("%d actions, want %d", k, crowd*rounds/n)
	}
	runtime.KeepAlive(c)
}

// Who finds no place is not in the barrier.
func testBarrierNoSeat(t *testing.T, seg *shm.Segment) {
	list := newBarriers(t, seg, 1, nil)
	acting, goOn := make(chan struct{}), make(chan struct{})
	actor := async(func() error {
		return second(list[0].WaitDo(context.Background(), func() error {
			close(acting)
			<-goOn
			return nil
		}))
	})
	await(t, acting, "action")
	ctx, cancel := context.WithCancel(t.Context())
	tooMany, waiter := waitsAt(ctx, list[0]), waitsAt(within(t), list[0])
	awaitAsleep(t, os.Getpid(), 2)
	cancel()
	err := await(t, tooMany, "cancelled one")
	wantError(t, "Wait without a place", err, context.Canceled)
	if errors.Is(err, psync.ErrBroken) {
		t.Error("it broke the barrier")
	}
	close(goOn)
	wantNil(t, "WaitDo", await(t, actor, "actor"))
	wantNil(t, "Wait", await(t, waiter, "who had no place"))
}

// Whatever happens in between, no index is returned twice in a round, and a
// round passes for all or for none.
func testBarrierResets(t *testing.T, seg *shm.Segment) {
	const n = 3
	list := newBarriers(t, seg, n, nil)
	c := newCells(t, seg, 1)
	deadline := time.Now().Add(300 * time.Millisecond)
	ctx := within(t)
	var passed [n]atomic.Int64
	done := make(chan struct{})
	resetter := async(func() error {
		for {
			select {
			case <-done:
				return nil
			case <-time.After(time.Duration(rand.IntN(300)) * time.Microsecond):
			}
			if err := list[rand.IntN(n)].Reset(); err != nil {
				return err
			}
		}
	})
	all(t, "parties", n, func(me int) error {
		for time.Now().Before(deadline) {
			short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(2000))*time.Microsecond)
			i, err := list[me].WaitDo(short, func() error { *c.plain(0)++; return nil })
			cancel()
			switch {
			case err == nil:
				passed[i].Add(1)
			case !errors.Is(err, psync.ErrBroken):
				return err
			}
		}
		// Nobody is left alone in it.
		return list[me].Abort()
	})
	close(done)
	wantNil(t, "resetter", await(t, resetter, "resetter"))
	t.Logf("%d rounds passed, %d actions", passed[0].Load(), *c.plain(0))
	for i := range passed {
		if passed[i].Load() != passed[0].Load() {
			t.Errorf("index %d was returned %d times, index 0 %d times", i, passed[i].Load(), passed[0].Load())
		}
	}
	if uint64(passed[0].Load()) > *c.plain(0) {
		t.Error("rounds without an action")
	}
	runtime.KeepAlive(c)
}

func testBarrierInvalid(t *testing.T, seg *shm.Segment) {
	for _, n := range []int{-1, 0, psync.MaxBarrierParties + 1, 1<<31 - 1} {
		wantError(t, fmt.Sprintf("%d parties", n), second(psync.NewBarrier(seg, "", n, nil)), psync.ErrInvalid)
	}
	wantError(t, "timeout", second(psync.NewBarrier(seg, "", 1, &psync.BarrierOptions{Timeout: -1})), psync.ErrInvalid)
	closing(t, must(psync.NewBarrier(seg, "", psync.MaxBarrierParties, nil))(t))
}

func testBarrierClosed(t *testing.T, seg *shm.Segment) {
	b := must(psync.NewBarrier(seg, "b", 3, nil))(t)
	other := closing(t, must(psync.OpenBarrier(attach(t, seg), "b"))(t))
	here, there := waitsAt(within(t), b), waitsAt(within(t), other)
	awaitWaiting(t, other, 2)
	awaitAsleep(t, os.Getpid(), 2)
	// Close gives up for those who wait through it.
	wantNil(t, "Close", b.Close())
	wantError(t, "Wait", await(t, here, "waiter of a closed barrier"), psync.ErrClosed)
	wantError(t, "Wait", await(t, there, "waiter of another"), psync.ErrBroken)
	wantNil(t, "Reset", other.Reset())
	var zero psync.Barrier
	for _, b := range []*psync.Barrier{b, &zero} {
		wantError(t, "Wait", second(b.Wait(within(t))), psync.ErrClosed)
		wantError(t, "Wait", second(b.Wait(expired)), psync.ErrClosed)
		wantError(t, "Abort", b.Abort(), psync.ErrClosed)
		wantError(t, "Reset", b.Reset(), psync.ErrClosed)
		if !b.Broken() || b.Parties() != 0 || b.Waiting() != 0 || b.Handle() != (shm.Handle{}) {
			t.Error("a closed barrier is as an open one")
		}
		wantNil(t, "Close", b.Close())
	}
	// Who closes the segment counts as dead.
	party := must(seg.Attach())(t)
	far := must(psync.OpenBarrier(party, "b"))(t)
	here, there = waitsAt(within(t), other), waitsAt(within(t), far)
	awaitWaiting(t, other, 2)
	awaitAsleep(t, os.Getpid(), 2)
	wantNil(t, "Close", party.Close())
	wantError(t, "Wait", await(t, there, "waiter of a closed segment"), psync.ErrClosed)
	wantError(t, "Wait", await(t, here, "waiter of another"), psync.ErrBroken)
	wantError(t, "Wait", second(far.Wait(within(t))), psync.ErrClosed)
	wantError(t, "Reset", far.Reset(), psync.ErrClosed)
}

func testBarrierHandle(t *testing.T, seg *shm.Segment) {
	b := closing(t, must(psync.NewBarrier(seg, "b", 2, nil))(t))
	var same psync.Barrier
	wantNil(t, "UnmarshalText", same.UnmarshalText(must(b.MarshalText())(t)))
	passes(t, b, closing(t, &same))
	wantError(t, "name that is taken", second(psync.NewBarrier(seg, "b", 2, nil)), fs.ErrExist)
	wantError(t, "name of nothing", second(psync.OpenBarrier(seg, "x")), fs.ErrNotExist)
	wantError(t, "lock", second(psync.OpenLock(seg, "b")), shm.ErrMismatch)
}

// Deaths that are simulated: see the race detector's view of them.
func TestBarrierDeadParty(t *testing.T) {
	seg := heap(t)
	list := newBarriers(t, seg, 3, nil)
	party := must(seg.Attach())(t)
	far := must(psync.OpenBarrier(party, "b"))(t)
	t.Run("B09_waiters_and_comers_learn", func(t *testing.T) {
		dead := waitsAt(context.Background(), far)
		waiter := waitsAt(within(t), list[0])
		awaitWaiting(t, list[0], 2)
		awaitAsleep(t, os.Getpid(), 2)
		partyDies(t, seg, party)
		wantError(t, "Wait", await(t, waiter, "waiter"), psync.ErrBroken)
		wantError(t, "Wait", second(list[1].Wait(within(t))), psync.ErrBroken)
		wantError(t, "Wait of the dead", await(t, dead, "the dead"), psync.ErrClosed)
		wantBroken(t, list[2], true)
		wantNil(t, "Reset", list[2].Reset())
		passes(t, list...)
	})
	t.Run("B09_alone", func(t *testing.T) {
		// Nobody waits when it dies: who comes and who asks finds it broken.
		for _, f := range []func(){
			func() { wantBroken(t, list[0], true) },
			func() { wantError(t, "Wait", second(list[0].Wait(within(t))), psync.ErrBroken) },
			func() {
				if n := list[0].Waiting(); n != 0 {
					t.Errorf("%d wait", n)
				}
			},
		} {
			party := must(seg.Attach())(t)
			far := must(psync.OpenBarrier(party, "b"))(t)
			dead := waitsAt(context.Background(), far)
			awaitWaiting(t, list[0], 1)
			partyDies(t, seg, party)
			f()
			wantBroken(t, list[0], true)
			wantError(t, "Wait of the dead", await(t, dead, "the dead"), psync.ErrClosed)
			wantNil(t, "Reset", list[0].Reset())
			passes(t, list...)
		}
	})
	t.Run("B09_after_it_passed", func(t *testing.T) {
		party := must(seg.Attach())(t)
		far := must(psync.OpenBarrier(party, "b"))(t)
		passes(t, far, list[0], list[1])
		waiter := waitsAt(within(t), list[0])
		awaitWaiting(t, list[0], 1)
		partyDies(t, seg, party)
		wantBroken(t, list[0], false)
		passes(t, list[1], list[2])
		wantNil(t, "Wait", await(t, waiter, "waiter"))
	})
	t.Run("B09_in_the_action", func(t *testing.T) {
		party := must(seg.Attach())(t)
		far := must(psync.OpenBarrier(party, "b"))(t)
		one, two := waitsAt(within(t), list[0]), waitsAt(within(t), list[1])
		awaitWaiting(t, list[0], 2)
		acting, goOn := make(chan struct{}), make(chan struct{})
		actor := async(func() error {
			return second(far.WaitDo(context.Background(), func() error {
				close(acting)
				<-goOn
				return nil
			}))
		})
		await(t, acting, "action")
		partyDies(t, seg, party)
		wantError(t, "Wait", await(t, one, "waiter"), psync.ErrBroken)
		wantError(t, "Wait", await(t, two, "waiter"), psync.ErrBroken)
		close(goOn)
		wantError(t, "WaitDo of the dead", await(t, actor, "actor"), psync.ErrClosed)
		wantNil(t, "Reset", list[0].Reset())
		passes(t, list...)
	})
}

type barrierJob struct {
	N       int
	Barrier *psync.Barrier
	Cells   *cells
}

// barrierTask waits N times, and adds up its indices in cell 1.
var barrierTask = register("barrier", func(ctx context.Context, j barrierJob) error {
	j.Cells.add(0)
	for round := range j.N {
		i, err := j.Barrier.WaitDo(ctx, func() error {
			*j.Cells.plain(2)++
			return nil
		})
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if n := *j.Cells.plain(2); n != uint64(round+1) {
			return fmt.Errorf("round %d: %d actions", round, n)
		}
		j.Cells.at(1).Add(uint32(i))
	}
	return nil
})

var brokenTask = register("broken barrier", func(ctx context.Context, j barrierJob) error {
	if _, err := j.Barrier.Wait(ctx); !errors.Is(err, psync.ErrBroken) || ctx.Err() != nil {
		return fmt.Errorf("Wait: %v, want ErrBroken", err)
	}
	return nil
})

func TestBarrierProcesses(t *testing.T) {
	t.Run("B07_thousand", func(t *testing.T) {
		const n, rounds = 5, 1000
		seg := anonymous(t)
		b := closing(t, must(psync.NewBarrier(seg, "", n, nil))(t))
		c := newCells(t, seg, 3)
		var procs []*proc.Call[int]
		for range n {
			procs = append(procs, launch(t, barrierTask, barrierJob{rounds, b, c}, nil))
		}
		for _, p := range procs {
			joined(t, p)
		}
		if sum, want := c.at(1).Load(), uint32(rounds*n*(n-1)/2); sum != want || *c.plain(2) != rounds {
			t.Errorf("the indices add up to %d, want %d; %d actions, want %d", sum, want, *c.plain(2), rounds)
		}
		wantBroken(t, b, false)
	})
	t.Run("B09_killed", func(t *testing.T) {
		var worst time.Duration
		seg := anonymous(t)
		b := closing(t, must(psync.NewBarrier(seg, "", 4, nil))(t))
		for range 10 {
			c := newCells(t, seg, 3)
			victim := launch(t, barrierTask, barrierJob{1, b, c}, nil)
			other := launch(t, brokenTask, barrierJob{1, b, c}, nil)
			here := waitsAt(within(t), b)
			awaitWaiting(t, b, 3)
			awaitAsleep(t, os.Getpid(), 1)
			awaitAsleep(t, other.PID(), 1)
			begin := time.Now()
			wantNil(t, "Kill", victim.Kill())
			wantError(t, "Wait", await(t, here, "waiter with the dead"), psync.ErrBroken)
			worst = max(worst, time.Since(begin))
			joined(t, other)
			wantError(t, "Wait", second(b.Wait(within(t))), psync.ErrBroken)
			wantNil(t, "Reset", b.Reset())
			passes(t, b, b, b, b)
		}
		t.Logf("SIGKILL to ErrBroken: worst %v", worst)
		if worst > prompt {
			t.Errorf("a waiter learned of a death after %v", worst)
		}
	})
}

// Whatever stands in the barrier's memory, each call ends.
func TestBarrierHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		b := closing(t, must(psync.NewBarrier(seg, "b", 3, nil))(t))
		o := must(seg.OpenObject(shm.KindBarrier, "b", 1))(t)
		words := view.Slice[atomic.Uint64](o.Bytes(), 0, len(o.Bytes())/8)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		ctx := within(t)
		done := async(func() error {
			for range 2000 {
				for range 1 + r.IntN(3) {
					w := 16 + r.IntN(len(words)-16) // not what is constant
					words[w].Store([]uint64{0, r.Uint64(), words[w].Load() ^ 1<<r.IntN(64), words[64+r.IntN(3)].Load()}[r.IntN(4)])
				}
				short, cancel := context.WithTimeout(ctx, 50*time.Microsecond)
				_, err := b.WaitDo(short, func() error { return nil })
				cancel()
				if err != nil && !errors.Is(err, psync.ErrBroken) && !errors.Is(err, context.DeadlineExceeded) {
					return err
				}
				b.Broken()
				b.Waiting()
				if r.IntN(2) == 0 {
					err = b.Reset()
				} else {
					err = b.Abort()
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		wantNil(t, "operations", await(t, done, fmt.Sprintf("operation on nonsense, seed %d", seed)))
		for _, n := range []uint32{0, 4, psync.MaxBarrierParties, 1 << 31, 1<<32 - 1} {
			view.At[atomic.Uint32](o.Bytes(), 0).Store(n)
			wantError(t, fmt.Sprintf("Open of %d parties", n), second(psync.OpenBarrier(seg, "b")), shm.ErrCorrupt)
		}
		runtime.KeepAlive(o)
	})
}
