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

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// newBarriers makes a barrier of n parties and opens it n times, each time in another party of the
// segment.
func newBarriers(t testing.TB, seg *shm.Segment, n int, o *psync.BarrierOptions) []*psync.Barrier {
	t.Helper()
	Closing(t, Must(psync.NewBarrier(seg, "b", n, o))(t))
	var list []*psync.Barrier
	for range n {
		list = append(list, Closing(t, Must(psync.OpenBarrier(Attach(t, seg), "b"))(t)))
	}
	return list
}

// waits starts a call of Wait.
func waits(ctx context.Context, b *psync.Barrier) <-chan error {
	return Async(func() error { return Second(b.Wait(ctx)) })
}

func awaitWaiting(t testing.TB, b *psync.Barrier, n int) {
	t.Helper()
	Eventually(t, fmt.Sprintf("%d waiting in the barrier", n), func() bool { return b.Waiting() == n })
}

// passes calls Wait of all barriers at once, and fails the test unless all pass.
func passes(t testing.TB, list ...*psync.Barrier) {
	t.Helper()
	ctx := Within(t)
	All(t, "Wait", len(list), func(i int) error { return Second(list[i].Wait(ctx)) })
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

// On the heap the race detector checks that Wait synchronizes: each party writes its cell before
// Wait, and reads the others' cells after it.
func testBarrierLockstep(t *testing.T, seg *shm.Segment) {
	const n, rounds = 4, 25
	list := newBarriers(t, seg, n, nil)
	c := NewCells(t, seg, n)
	ctx := Within(t)
	All(t, "parties", n, func(me int) error {
		for round := uint64(1); round <= rounds; round++ {
			*c.Plain(me) = round
			if _, err := list[me].Wait(ctx); err != nil {
				return err
			}
			for i := range n {
				if v := *c.Plain(i); v != round {
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
	ctx := Within(t)
	var seen [rounds][n]atomic.Int32
	All(t, "parties", n, func(me int) error {
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
	c := NewCells(t, seg, 1)
	ctx := Within(t)
	actions := c.Plain(0)
	All(t, "parties", n, func(me int) error {
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
	waiter := waits(Within(t), list[0])
	awaitWaiting(t, list[0], 1)
	if i, err := list[1].WaitDo(Within(t), func() error { return failure }); err != failure || i != -1 {
		t.Errorf("WaitDo: %d, %v, want the action's error", i, err)
	}
	WantError(t, "Wait", Await(t, waiter, "waiter"), psync.ErrBroken)
	wantBroken(t, list[0], true)
	WantNil(t, "Reset", list[0].Reset())

	waiter = waits(Within(t), list[0])
	awaitWaiting(t, list[0], 1)
	if v := PanicOf(func() { list[1].WaitDo(Within(t), func() error { panic("oh") }) }); v != "oh" {
		t.Errorf("panic of the action: %v", v)
	}
	WantError(t, "Wait", Await(t, waiter, "waiter"), psync.ErrBroken)
	WantNil(t, "Reset", list[0].Reset())
	passes(t, list...)
}

// A round does not pass if it is broken or reset while its action runs.
func testBarrierBrokenWhileActing(t *testing.T, seg *shm.Segment) {
	list := newBarriers(t, seg, 2, nil)
	for _, f := range []func(){
		func() { WantNil(t, "Abort", list[0].Abort()) },
		func() { WantNil(t, "Reset", list[0].Reset()) },
	} {
		waiter := waits(Within(t), list[0])
		awaitWaiting(t, list[0], 1)
		acting, goOn := make(chan struct{}), make(chan struct{})
		actor := Async(func() error {
			return Second(list[1].WaitDo(context.Background(), func() error {
				close(acting)
				<-goOn
				return nil
			}))
		})
		Await(t, acting, "action")
		f()
		WantError(t, "Wait", Await(t, waiter, "waiter"), psync.ErrBroken)
		close(goOn)
		WantError(t, "WaitDo", Await(t, actor, "actor"), psync.ErrBroken)
		WantNil(t, "Reset", list[0].Reset())
		passes(t, list...)
	}
}

func testBarrierAbort(t *testing.T, seg *shm.Segment) {
	list := newBarriers(t, seg, 3, nil)
	one, two := waits(Within(t), list[0]), waits(Within(t), list[1])
	awaitWaiting(t, list[0], 2)
	AwaitAsleep(t, os.Getpid(), 2)
	WantNil(t, "Abort", list[2].Abort())
	WantError(t, "Wait", Await(t, one, "waiter"), psync.ErrBroken)
	WantError(t, "Wait", Await(t, two, "waiter"), psync.ErrBroken)
	WantNil(t, "Abort", list[2].Abort())
	for _, b := range list {
		wantBroken(t, b, true)
	}
}

func testBarrierReset(t *testing.T, seg *shm.Segment) {
	list := newBarriers(t, seg, 3, nil)
	for range 5 {
		one, two := waits(Within(t), list[0]), waits(Within(t), list[1])
		awaitWaiting(t, list[0], 2)
		AwaitAsleep(t, os.Getpid(), 2)
		WantNil(t, "Reset", list[2].Reset())
		WantError(t, "Wait", Await(t, one, "waiter"), psync.ErrBroken)
		WantError(t, "Wait", Await(t, two, "waiter"), psync.ErrBroken)
		wantBroken(t, list[0], false)
		passes(t, list...)
		WantNil(t, "Abort", list[0].Abort())
		WantNil(t, "Reset", list[1].Reset())
		passes(t, list...)
	}
}

func testBarrierContext(t *testing.T, seg *shm.Segment) {
	list := newBarriers(t, seg, 3, nil)
	for range 5 {
		other := waits(Within(t), list[0])
		ctx, cancel := context.WithCancel(t.Context())
		late := waits(ctx, list[1])
		awaitWaiting(t, list[0], 2)
		AwaitAsleep(t, os.Getpid(), 2)
		cancel()
		err := Await(t, late, "cancelled waiter")
		WantError(t, "cancelled Wait", err, context.Canceled)
		WantError(t, "cancelled Wait", err, psync.ErrBroken)
		err = Await(t, other, "waiter")
		WantError(t, "Wait", err, psync.ErrBroken)
		if errors.Is(err, context.Canceled) {
			t.Error("the other's context was not cancelled")
		}
		wantBroken(t, list[2], true)
		WantNil(t, "Reset", list[2].Reset())
		passes(t, list...)
	}
}

func testBarrierTimeout(t *testing.T, seg *shm.Segment) {
	const timeout = 30 * time.Millisecond
	list := newBarriers(t, seg, 2, &psync.BarrierOptions{Timeout: timeout})
	begin := time.Now()
	_, err := list[0].Wait(Within(t))
	WantError(t, "Wait", err, context.DeadlineExceeded)
	WantError(t, "Wait", err, psync.ErrBroken)
	if d := time.Since(begin); d < timeout || d > prompt {
		t.Errorf("Wait gave up after %v", d)
	}
	WantError(t, "Wait", Second(list[1].Wait(Within(t))), psync.ErrBroken)
}

func testBarrierAlone(t *testing.T, seg *shm.Segment) {
	b := newBarriers(t, seg, 1, nil)[0]
	for range 10 {
		for _, ctx := range []context.Context{Within(t), Expired} {
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
	WantError(t, "Wait", Second(list[0].Wait(short)), context.DeadlineExceeded)
	for range 10 {
		for _, b := range list {
			begin := time.Now()
			WantError(t, "Wait", Second(b.Wait(Within(t))), psync.ErrBroken)
			if d := time.Since(begin); d > prompt {
				t.Errorf("Wait of a broken barrier took %v", d)
			}
			wantBroken(t, b, true)
		}
	}
	WantNil(t, "Reset", list[1].Reset())
	passes(t, list...)
}

func testBarrierExpired(t *testing.T, seg *shm.Segment) {
	list := newBarriers(t, seg, 2, nil)
	for range 10 {
		// The last party to arrive passes, the first does not.
		other := waits(Within(t), list[0])
		awaitWaiting(t, list[0], 1)
		WantNil(t, "Wait of the last", Second(list[1].Wait(Expired)))
		WantNil(t, "Wait", Await(t, other, "waiter"))
		WantError(t, "Wait of the first", Second(list[1].Wait(Expired)), context.Canceled)
		wantBroken(t, list[0], true)
		WantNil(t, "Reset", list[0].Reset())
	}
}

// If there are more goroutines than parties, they pass in groups.
func testBarrierCrowd(t *testing.T, seg *shm.Segment) {
	const n, crowd, rounds = 3, 9, 100
	list := newBarriers(t, seg, n, nil)
	c := NewCells(t, seg, 1)
	ctx := Within(t)
	var indices [n]atomic.Int32
	var left atomic.Int32
	left.Store(crowd * rounds)
	All(t, "crowd", crowd, func(me int) error {
		for left.Add(-1) >= 0 {
			i, err := list[me%n].WaitDo(ctx, func() error { *c.Plain(0)++; return nil })
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
	if k := *c.Plain(0); k != crowd*rounds/n {
		t.Errorf("%d actions, want %d", k, crowd*rounds/n)
	}
	runtime.KeepAlive(c)
}

// A party that finds no free seat is not part of the round.
func testBarrierNoSeat(t *testing.T, seg *shm.Segment) {
	list := newBarriers(t, seg, 1, nil)
	acting, goOn := make(chan struct{}), make(chan struct{})
	actor := Async(func() error {
		return Second(list[0].WaitDo(context.Background(), func() error {
			close(acting)
			<-goOn
			return nil
		}))
	})
	Await(t, acting, "action")
	ctx, cancel := context.WithCancel(t.Context())
	tooMany, waiter := waits(ctx, list[0]), waits(Within(t), list[0])
	AwaitAsleep(t, os.Getpid(), 2)
	cancel()
	err := Await(t, tooMany, "cancelled one")
	WantError(t, "Wait without a seat", err, context.Canceled)
	if errors.Is(err, psync.ErrBroken) {
		t.Error("it broke the barrier")
	}
	close(goOn)
	WantNil(t, "WaitDo", Await(t, actor, "actor"))
	WantNil(t, "Wait", Await(t, waiter, "a party that had no seat"))
}

// Whatever happens meanwhile, no index is returned twice in a round, and a round passes for all of
// its parties or for none.
func testBarrierResets(t *testing.T, seg *shm.Segment) {
	const n = 3
	list := newBarriers(t, seg, n, nil)
	c := NewCells(t, seg, 1)
	deadline := time.Now().Add(300 * time.Millisecond)
	ctx := Within(t)
	var passed [n]atomic.Int64
	done := make(chan struct{})
	resetter := Async(func() error {
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
	All(t, "parties", n, func(me int) error {
		for time.Now().Before(deadline) {
			short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(2000))*time.Microsecond)
			i, err := list[me].WaitDo(short, func() error { *c.Plain(0)++; return nil })
			cancel()
			switch {
			case err == nil:
				passed[i].Add(1)
			case !errors.Is(err, psync.ErrBroken):
				return err
			}
		}
		// No party is left alone in the barrier.
		return list[me].Abort()
	})
	close(done)
	WantNil(t, "resetter", Await(t, resetter, "resetter"))
	t.Logf("%d rounds passed, %d actions", passed[0].Load(), *c.Plain(0))
	for i := range passed {
		if passed[i].Load() != passed[0].Load() {
			t.Errorf("index %d was returned %d times, index 0 %d times", i, passed[i].Load(), passed[0].Load())
		}
	}
	if uint64(passed[0].Load()) > *c.Plain(0) {
		t.Error("rounds without an action")
	}
	runtime.KeepAlive(c)
}

func testBarrierInvalid(t *testing.T, seg *shm.Segment) {
	for _, n := range []int{-1, 0, psync.MaxBarrierParties + 1, 1<<31 - 1} {
		WantError(t, fmt.Sprintf("%d parties", n), Second(psync.NewBarrier(seg, "", n, nil)), psync.ErrInvalid)
	}
	WantError(t, "timeout", Second(psync.NewBarrier(seg, "", 1, &psync.BarrierOptions{Timeout: -1})), psync.ErrInvalid)
	Closing(t, Must(psync.NewBarrier(seg, "", psync.MaxBarrierParties, nil))(t))
}

func testBarrierClosed(t *testing.T, seg *shm.Segment) {
	b := Must(psync.NewBarrier(seg, "b", 3, nil))(t)
	other := Closing(t, Must(psync.OpenBarrier(Attach(t, seg), "b"))(t))
	here, there := waits(Within(t), b), waits(Within(t), other)
	awaitWaiting(t, other, 2)
	AwaitAsleep(t, os.Getpid(), 2)
	// Close ends the waits that use b.
	WantNil(t, "Close", b.Close())
	WantError(t, "Wait", Await(t, here, "waiter of a closed barrier"), psync.ErrClosed)
	WantError(t, "Wait", Await(t, there, "waiter of another"), psync.ErrBroken)
	WantNil(t, "Reset", other.Reset())
	var zero psync.Barrier
	for _, b := range []*psync.Barrier{b, &zero} {
		WantError(t, "Wait", Second(b.Wait(Within(t))), psync.ErrClosed)
		WantError(t, "Wait", Second(b.Wait(Expired)), psync.ErrClosed)
		WantError(t, "Abort", b.Abort(), psync.ErrClosed)
		WantError(t, "Reset", b.Reset(), psync.ErrClosed)
		wantClosed(t, "Broken", b.Broken)
		wantClosed(t, "Parties", b.Parties)
		wantClosed(t, "Waiting", b.Waiting)
		Want(t, "Handle", b.Handle(), shm.Handle{})
		WantNil(t, "Close", b.Close())
	}
	// A party that closes its segment counts as dead.
	party := Must(object.Attach(seg))(t)
	far := Must(psync.OpenBarrier(party, "b"))(t)
	here, there = waits(Within(t), other), waits(Within(t), far)
	awaitWaiting(t, other, 2)
	AwaitAsleep(t, os.Getpid(), 2)
	WantNil(t, "Close", party.Close())
	wantClosed(t, "Broken", far.Broken)
	wantClosed(t, "Parties", far.Parties)
	wantClosed(t, "Waiting", far.Waiting)
	WantError(t, "Wait", Await(t, there, "waiter of a closed segment"), psync.ErrClosed)
	WantError(t, "Wait", Await(t, here, "waiter of another"), psync.ErrBroken)
	WantError(t, "Wait", Second(far.Wait(Within(t))), psync.ErrClosed)
	WantError(t, "Reset", far.Reset(), psync.ErrClosed)
}

func testBarrierHandle(t *testing.T, seg *shm.Segment) {
	b := Closing(t, Must(psync.NewBarrier(seg, "b", 2, nil))(t))
	var same psync.Barrier
	WantNil(t, "UnmarshalText", same.UnmarshalText(Must(b.MarshalText())(t)))
	passes(t, b, Closing(t, &same))
	WantError(t, "name that is taken", Second(psync.NewBarrier(seg, "b", 2, nil)), fs.ErrExist)
	WantError(t, "name of nothing", Second(psync.OpenBarrier(seg, "x")), fs.ErrNotExist)
	WantError(t, "lock", Second(psync.OpenLock(seg, "b")), shm.ErrMismatch)
}

// Deaths are simulated, so that the race detector can observe what follows.
func TestBarrierDeadParty(t *testing.T) {
	seg := Heap(t, room)
	list := newBarriers(t, seg, 3, nil)
	party := Must(object.Attach(seg))(t)
	far := Must(psync.OpenBarrier(party, "b"))(t)
	t.Run("B09_waiters_and_comers_learn", func(t *testing.T) {
		dead := waits(context.Background(), far)
		waiter := waits(Within(t), list[0])
		awaitWaiting(t, list[0], 2)
		AwaitAsleep(t, os.Getpid(), 2)
		Dies(t, seg, party)
		WantError(t, "Wait", Await(t, waiter, "waiter"), psync.ErrBroken)
		WantError(t, "Wait", Second(list[1].Wait(Within(t))), psync.ErrBroken)
		WantError(t, "Wait of the dead", Await(t, dead, "the dead"), psync.ErrClosed)
		wantBroken(t, list[2], true)
		WantNil(t, "Reset", list[2].Reset())
		passes(t, list...)
	})
	t.Run("B09_alone", func(t *testing.T) {
		// No party waits when the barrier's user dies: later calls find the barrier broken.
		for _, f := range []func(){
			func() { wantBroken(t, list[0], true) },
			func() { WantError(t, "Wait", Second(list[0].Wait(Within(t))), psync.ErrBroken) },
			func() {
				if n := list[0].Waiting(); n != 0 {
					t.Errorf("%d wait", n)
				}
			},
		} {
			party := Must(object.Attach(seg))(t)
			far := Must(psync.OpenBarrier(party, "b"))(t)
			dead := waits(context.Background(), far)
			awaitWaiting(t, list[0], 1)
			Dies(t, seg, party)
			f()
			wantBroken(t, list[0], true)
			WantError(t, "Wait of the dead", Await(t, dead, "the dead"), psync.ErrClosed)
			WantNil(t, "Reset", list[0].Reset())
			passes(t, list...)
		}
	})
	t.Run("B09_after_it_passed", func(t *testing.T) {
		party := Must(object.Attach(seg))(t)
		far := Must(psync.OpenBarrier(party, "b"))(t)
		passes(t, far, list[0], list[1])
		waiter := waits(Within(t), list[0])
		awaitWaiting(t, list[0], 1)
		Dies(t, seg, party)
		wantBroken(t, list[0], false)
		passes(t, list[1], list[2])
		WantNil(t, "Wait", Await(t, waiter, "waiter"))
	})
	t.Run("B09_in_the_action", func(t *testing.T) {
		party := Must(object.Attach(seg))(t)
		far := Must(psync.OpenBarrier(party, "b"))(t)
		one, two := waits(Within(t), list[0]), waits(Within(t), list[1])
		awaitWaiting(t, list[0], 2)
		acting, goOn := make(chan struct{}), make(chan struct{})
		actor := Async(func() error {
			return Second(far.WaitDo(context.Background(), func() error {
				close(acting)
				<-goOn
				return nil
			}))
		})
		Await(t, acting, "action")
		Dies(t, seg, party)
		WantError(t, "Wait", Await(t, one, "waiter"), psync.ErrBroken)
		WantError(t, "Wait", Await(t, two, "waiter"), psync.ErrBroken)
		close(goOn)
		WantError(t, "WaitDo of the dead", Await(t, actor, "actor"), psync.ErrClosed)
		WantNil(t, "Reset", list[0].Reset())
		passes(t, list...)
	})
}

// barrierTask calls Wait N times, and adds its indices to cell 1.
var barrierTask = task("barrier", func(ctx context.Context, j job) error {
	j.Cells.Add(0)
	for round := range j.N {
		i, err := j.Barrier.WaitDo(ctx, func() error {
			*j.Cells.Plain(2)++
			return nil
		})
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if n := *j.Cells.Plain(2); n != uint64(round+1) {
			return fmt.Errorf("round %d: %d actions", round, n)
		}
		j.Cells.At(1).Add(uint32(i))
	}
	return nil
})

var brokenTask = task("broken barrier", func(ctx context.Context, j job) error {
	if _, err := j.Barrier.Wait(ctx); !errors.Is(err, psync.ErrBroken) || ctx.Err() != nil {
		return fmt.Errorf("Wait: %v, want ErrBroken", err)
	}
	return nil
})

func TestBarrierProcesses(t *testing.T) {
	t.Run("B07_thousand", func(t *testing.T) {
		const n, rounds = 5, 1000
		seg := Anonymous(t, room)
		b := Closing(t, Must(psync.NewBarrier(seg, "", n, nil))(t))
		c := NewCells(t, seg, 3)
		var procs []*proc.Call[int]
		for range n {
			procs = append(procs, Start(t, barrierTask, job{N: rounds, Barrier: b, Cells: c}))
		}
		for _, p := range procs {
			Result(t, p)
		}
		if sum, want := c.At(1).Load(), uint32(rounds*n*(n-1)/2); sum != want || *c.Plain(2) != rounds {
			t.Errorf("the indices add up to %d, want %d; %d actions, want %d", sum, want, *c.Plain(2), rounds)
		}
		wantBroken(t, b, false)
	})
	t.Run("B09_killed", func(t *testing.T) {
		var worst time.Duration
		seg := Anonymous(t, room)
		b := Closing(t, Must(psync.NewBarrier(seg, "", 4, nil))(t))
		for range 10 {
			c := NewCells(t, seg, 3)
			victim := Start(t, barrierTask, job{N: 1, Barrier: b, Cells: c})
			other := Start(t, brokenTask, job{N: 1, Barrier: b, Cells: c})
			here := waits(Within(t), b)
			awaitWaiting(t, b, 3)
			AwaitAsleep(t, os.Getpid(), 1)
			AwaitAsleep(t, other.PID(), 1)
			begin := time.Now()
			WantNil(t, "Kill", victim.Kill())
			WantError(t, "Wait", Await(t, here, "waiter with the dead"), psync.ErrBroken)
			worst = max(worst, time.Since(begin))
			Result(t, other)
			WantError(t, "Wait", Second(b.Wait(Within(t))), psync.ErrBroken)
			WantNil(t, "Reset", b.Reset())
			passes(t, b, b, b, b)
		}
		t.Logf("SIGKILL to ErrBroken: worst %v", worst)
		if worst > prompt {
			t.Errorf("a waiter learned of a death after %v", worst)
		}
	})
}

// Every call ends, whatever the barrier's memory contains.
func TestBarrierHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		b := Closing(t, Must(psync.NewBarrier(seg, "b", 3, nil))(t))
		o := Must(object.Open(seg, shm.KindBarrier, "b", 1))(t)
		words := view.Slice[atomic.Uint64](o.Bytes(), 0, len(o.Bytes())/8)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		ctx := Within(t)
		done := Async(func() error {
			for range 2000 {
				for range 1 + r.IntN(3) {
					w := 16 + r.IntN(len(words)-16) // not the constant words
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
		WantNil(t, "operations", Await(t, done, fmt.Sprintf("operation on nonsense, seed %d", seed)))
		for _, n := range []uint32{0, 4, psync.MaxBarrierParties, 1 << 31, 1<<32 - 1} {
			view.At[atomic.Uint32](o.Bytes(), 0).Store(n)
			WantError(t, fmt.Sprintf("Open of %d parties", n), Second(psync.OpenBarrier(seg, "b")), shm.ErrCorrupt)
		}
		runtime.KeepAlive(o)
	})
}
