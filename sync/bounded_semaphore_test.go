//go:build linux

package sync_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

func TestBoundedSemaphore(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, seg *shm.Segment)
	}{
		{"L11_over_release", testOverRelease},
		{"L13_invalid", testBoundedInvalid},
		{"other_process", testBoundedNotHeld},
		{"many", testBoundedMany},
		{"hand_to_hand", testHandToHand},
		{"release_amid_others", testReleaseAmidOthers},
		{"corrupt", testBoundedCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) { onBoth(t, test.f) })
	}
}

func testOverRelease(t *testing.T, seg *shm.Segment) {
	s := closing(t, must(psync.NewBoundedSemaphore(seg, "", 2))(t))
	for range 3 {
		for range 2 {
			wantError(t, "Release of none", s.Release(), psync.ErrOverRelease)
			wantValue(t, s, 2)
		}
		wantNil(t, "TryAcquire", s.TryAcquire())
		wantValue(t, s, 1)
		wantNil(t, "Release", s.Release())
	}
}

func testBoundedInvalid(t *testing.T, seg *shm.Segment) {
	for _, n := range []int{0, psync.MaxBounded + 1} {
		wantError(t, fmt.Sprintf("%d permits", n), second(psync.NewBoundedSemaphore(seg, "", n)), psync.ErrInvalid)
	}
}

// Permits belong to the process that took them.
func testBoundedNotHeld(t *testing.T, seg *shm.Segment) {
	s := closing(t, must(psync.NewBoundedSemaphore(seg, "s", 3))(t))
	far := closing(t, must(psync.OpenBoundedSemaphore(closing(t, must(seg.Attach())(t)), "s"))(t))
	wantNil(t, "TryAcquire", s.TryAcquire())
	wantError(t, "Release by another", far.Release(), psync.ErrNotHeld)
	wantNil(t, "TryAcquire", far.TryAcquire())
	wantNil(t, "TryAcquire", far.TryAcquire())
	wantError(t, "TryAcquire of none", s.TryAcquire(), psync.ErrNoPermit)
	wantNil(t, "Release", s.Release())
	wantError(t, "second Release", s.Release(), psync.ErrNotHeld)
	wantNil(t, "Release", errors.Join(far.Release(), far.Release()))
	wantError(t, "third Release", far.Release(), psync.ErrOverRelease)
	wantValue(t, s, 3)
}

func testBoundedMany(t *testing.T, _ *shm.Segment) {
	seg := closing(t, must(shm.Anonymous(4<<20, nil))(t))
	for _, n := range []int{1, 15, 16, 17, 1000, psync.MaxBounded} {
		s := closing(t, must(psync.NewBoundedSemaphore(seg, "", n))(t))
		begin := time.Now()
		for range 2 {
			for range n {
				wantNil(t, "TryAcquire", s.TryAcquire())
			}
			wantError(t, "TryAcquire of none", s.TryAcquire(), psync.ErrNoPermit)
			wantValue(t, s, 0)
			for range n {
				wantNil(t, "Release", s.Release())
			}
			wantError(t, "Release of none", s.Release(), psync.ErrOverRelease)
			wantValue(t, s, n)
		}
		if d := time.Since(begin); d > prompt { // a search for each would take minutes
			t.Errorf("%d permits: %v", n, d)
		}
	}
}

// Of two permits a user has one at most, though now this one and now that:
// TryAcquire finds one each time.
func testHandToHand(t *testing.T, seg *shm.Segment) {
	first := closing(t, must(psync.NewBoundedSemaphore(seg, "s", 2))(t))
	second := closing(t, must(psync.OpenBoundedSemaphore(seg, "s"))(t))
	far := closing(t, must(psync.OpenBoundedSemaphore(closing(t, must(seg.Attach())(t)), "s"))(t))
	// Each was last at a permit of its own.
	wantNil(t, "calls", errors.Join(first.TryAcquire(), second.TryAcquire(), second.Release(), first.Release()))
	var end atomic.Bool
	user := async(func() error {
		for !end.Load() {
			if err := errors.Join(first.TryAcquire(), first.Release(), second.TryAcquire(), second.Release()); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range 50000 {
		if err := far.TryAcquire(); err != nil {
			t.Errorf("TryAcquire %d: %v", i, err)
			break
		}
		if err := far.Release(); err != nil {
			t.Errorf("Release %d: %v", i, err)
			break
		}
	}
	end.Store(true)
	wantNil(t, "user", await(t, user, "user"))
	wantValue(t, first, 2)
}

// Goroutines that hold permits never fail to give one back, whichever they
// and others take and give meanwhile.
func testReleaseAmidOthers(t *testing.T, seg *shm.Segment) {
	const permits = 4
	must(psync.NewBoundedSemaphore(seg, "s", permits))(t)
	handles := make([]*psync.BoundedSemaphore, 4) // with hints of their own
	for i := range handles {
		handles[i] = closing(t, must(psync.OpenBoundedSemaphore(seg, "s"))(t))
	}
	all(t, "users", len(handles), func(i int) error {
		for range 5000 {
			if err := handles[i].TryAcquire(); err != nil {
				return err
			}
			if err := handles[rand.IntN(len(handles))].Release(); err != nil {
				return err
			}
		}
		return nil
	})
	wantValue(t, handles[0], permits)
}

func testBoundedCorrupt(t *testing.T, seg *shm.Segment) {
	closing(t, must(psync.NewBoundedSemaphore(seg, "s", 2))(t))
	o := must(seg.OpenObject(shm.KindBoundedSemaphore, "s", 1))(t)
	count := view.At[atomic.Uint32](o.Bytes(), 0)
	for _, n := range []uint32{0, 3, psync.MaxBounded, psync.MaxBounded + 1, 1 << 31, 1<<32 - 1} {
		if n == 3 && len(o.Bytes()) >= 256+3*8 {
			continue // space is rounded up: it fits
		}
		count.Store(n)
		wantError(t, fmt.Sprintf("open with a count of %d", n), second(psync.OpenBoundedSemaphore(seg, "s")), shm.ErrCorrupt)
	}
	count.Store(2)
	wantNil(t, "open", second(psync.OpenBoundedSemaphore(seg, "s")))
}

func TestBoundedSemaphoreHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		s := closing(t, must(psync.NewBoundedSemaphore(seg, "s", 2))(t))
		o := must(seg.OpenObject(shm.KindBoundedSemaphore, "s", 1))(t)
		hostile(t, o, []int{0, 128, 256, 260, 264, 268}, []uint32{uint32(o.Me()), uint32(o.Me()) | 1<<31}, s,
			psync.ErrNoPermit, psync.ErrOverRelease, psync.ErrNotHeld, context.DeadlineExceeded)
		wantValue(t, s, 2)
	})
}

// Deaths that are simulated: see the race detector's view of them.
func TestBoundedSemaphoreDeadParty(t *testing.T) {
	seg := heap(t)
	party := must(seg.Attach())(t)
	s := closing(t, must(psync.NewBoundedSemaphore(seg, "s", 3))(t))
	far := must(psync.OpenBoundedSemaphore(party, "s"))(t)
	wantNil(t, "calls", errors.Join(far.TryAcquire(), s.TryAcquire(), far.TryAcquire()))
	errs := asleepAt(t, s, 2)
	wantNil(t, "Announce", seg.Announce(must(party.Drop())(t)))
	for range 2 {
		wantNil(t, "Acquire", await(t, errs, "waiter"))
	}
	wantValue(t, s, 0)
	wantError(t, "TryAcquire of none", s.TryAcquire(), psync.ErrNoPermit)
	wantNil(t, "Release", errors.Join(s.Release(), s.Release(), s.Release()))
	wantValue(t, s, 3)

	// Without anybody waiting: they are free, and nobody's.
	party = must(seg.Attach())(t)
	far = must(psync.OpenBoundedSemaphore(party, "s"))(t)
	for range 3 {
		wantNil(t, "TryAcquire", far.TryAcquire())
	}
	wantError(t, "Release", s.Release(), psync.ErrNotHeld)
	wantNil(t, "Announce", seg.Announce(must(party.Drop())(t)))
	wantValue(t, s, 3)
	wantError(t, "Release", s.Release(), psync.ErrOverRelease)
	for n := 2; n >= 0; n-- {
		wantNil(t, "TryAcquire", s.TryAcquire())
		wantValue(t, s, n)
	}
}

// Who only tries is told of deaths too.
func TestBoundedSemaphorePolled(t *testing.T) {
	for _, poll := range []string{"TryAcquire", "Value"} {
		t.Run(poll, func(t *testing.T) {
			seg := anonymous(t)
			s, c := closing(t, must(psync.NewBoundedSemaphore(seg, "", 1))(t)), newCells(t, seg, 2)
			p := startPart(t, holdPermitTask, part{N: 1, Bounded: s, Cells: c})
			c.await(t, 0, 1)
			free := func() bool {
				if poll == "Value" {
					return must(s.Value())(t) == 1
				}
				err := s.TryAcquire()
				if err != nil {
					wantError(t, "TryAcquire", err, psync.ErrNoPermit)
				}
				return err == nil
			}
			if free() {
				t.Error("the permit is free while its holder lives")
			}
			kill(t, p)
			for begin := time.Now(); !free(); time.Sleep(time.Millisecond) {
				if time.Since(begin) > patience {
					stuck(t, "the permit of a dead holder")
				}
			}
		})
	}
}
