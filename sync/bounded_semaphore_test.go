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

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
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
	s := Closing(t, Must(psync.NewBoundedSemaphore(seg, "", 2))(t))
	for range 3 {
		for range 2 {
			WantError(t, "Release of none", s.Release(), psync.ErrOverRelease)
			wantValue(t, s, 2)
		}
		WantNil(t, "TryAcquire", s.TryAcquire())
		wantValue(t, s, 1)
		WantNil(t, "Release", s.Release())
	}
}

func testBoundedInvalid(t *testing.T, seg *shm.Segment) {
	for _, n := range []int{0, psync.MaxBounded + 1} {
		WantError(t, fmt.Sprintf("%d permits", n), Second(psync.NewBoundedSemaphore(seg, "", n)), psync.ErrInvalid)
	}
}

// A permit belongs to the process that took it.
func testBoundedNotHeld(t *testing.T, seg *shm.Segment) {
	s := Closing(t, Must(psync.NewBoundedSemaphore(seg, "s", 3))(t))
	far := Closing(t, Must(psync.OpenBoundedSemaphore(Attach(t, seg), "s"))(t))
	WantNil(t, "TryAcquire", s.TryAcquire())
	WantError(t, "Release by another", far.Release(), psync.ErrNotHeld)
	WantNil(t, "TryAcquire", far.TryAcquire())
	WantNil(t, "TryAcquire", far.TryAcquire())
	WantError(t, "TryAcquire of none", s.TryAcquire(), psync.ErrNoPermit)
	WantNil(t, "Release", s.Release())
	WantError(t, "second Release", s.Release(), psync.ErrNotHeld)
	WantNil(t, "Release", errors.Join(far.Release(), far.Release()))
	WantError(t, "third Release", far.Release(), psync.ErrOverRelease)
	wantValue(t, s, 3)
}

func testBoundedMany(t *testing.T, _ *shm.Segment) {
	seg := Anonymous(t, 4<<20)
	for _, n := range []int{1, 15, 16, 17, 1000, psync.MaxBounded} {
		s := Closing(t, Must(psync.NewBoundedSemaphore(seg, "", n))(t))
		begin := time.Now()
		for range 2 {
			for range n {
				WantNil(t, "TryAcquire", s.TryAcquire())
			}
			WantError(t, "TryAcquire of none", s.TryAcquire(), psync.ErrNoPermit)
			wantValue(t, s, 0)
			for range n {
				WantNil(t, "Release", s.Release())
			}
			WantError(t, "Release of none", s.Release(), psync.ErrOverRelease)
			wantValue(t, s, n)
		}
		if d := time.Since(begin); d > prompt { // a search of all permits for each one would take minutes
			t.Errorf("%d permits: %v", n, d)
		}
	}
}

// One of two permits is free at any time, though not always the same one: TryAcquire finds it each
// time.
func testHandToHand(t *testing.T, seg *shm.Segment) {
	first := Closing(t, Must(psync.NewBoundedSemaphore(seg, "s", 2))(t))
	second := Closing(t, Must(psync.OpenBoundedSemaphore(seg, "s"))(t))
	far := Closing(t, Must(psync.OpenBoundedSemaphore(Attach(t, seg), "s"))(t))
	// Each object last used another permit.
	WantNil(t, "calls", errors.Join(first.TryAcquire(), second.TryAcquire(), second.Release(), first.Release()))
	var end atomic.Bool
	user := Async(func() error {
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
	WantNil(t, "user", Await(t, user, "user"))
	wantValue(t, first, 2)
}

// A goroutine that holds a permit never fails to give one back, whichever permits it and others
// take and give meanwhile.
func testReleaseAmidOthers(t *testing.T, seg *shm.Segment) {
	const permits = 4
	Must(psync.NewBoundedSemaphore(seg, "s", permits))(t)
	handles := make([]*psync.BoundedSemaphore, 4) // each with its own hint
	for i := range handles {
		handles[i] = Closing(t, Must(psync.OpenBoundedSemaphore(seg, "s"))(t))
	}
	All(t, "users", len(handles), func(i int) error {
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
	Closing(t, Must(psync.NewBoundedSemaphore(seg, "s", 2))(t))
	o := Must(object.Open(seg, shm.KindBoundedSemaphore, "s", 1))(t)
	count := view.At[atomic.Uint32](o.Bytes(), 0)
	for _, n := range []uint32{0, 3, psync.MaxBounded, psync.MaxBounded + 1, 1 << 31, 1<<32 - 1} {
		if n == 3 && len(o.Bytes()) >= 256+3*8 {
			continue // space is rounded up, so the object fits
		}
		count.Store(n)
		WantError(t, fmt.Sprintf("open with a count of %d", n), Second(psync.OpenBoundedSemaphore(seg, "s")), shm.ErrCorrupt)
	}
	count.Store(2)
	WantNil(t, "open", Second(psync.OpenBoundedSemaphore(seg, "s")))
}

func TestBoundedSemaphoreHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		s := Closing(t, Must(psync.NewBoundedSemaphore(seg, "s", 2))(t))
		o := Must(object.Open(seg, shm.KindBoundedSemaphore, "s", 1))(t)
		hostile(t, o, []int{0, 128, 256, 260, 264, 268}, []uint32{uint32(o.Me()), uint32(o.Me()) | 1<<31}, s,
			psync.ErrNoPermit, psync.ErrOverRelease, psync.ErrNotHeld, context.DeadlineExceeded)
		wantValue(t, s, 2)
	})
}

// Deaths are simulated, so that the race detector can observe what follows.
func TestBoundedSemaphoreDeadParty(t *testing.T) {
	seg := Heap(t, room)
	party := Must(object.Attach(seg))(t)
	s := Closing(t, Must(psync.NewBoundedSemaphore(seg, "s", 3))(t))
	far := Must(psync.OpenBoundedSemaphore(party, "s"))(t)
	WantNil(t, "calls", errors.Join(far.TryAcquire(), s.TryAcquire(), far.TryAcquire()))
	errs := asleep(t, 2, s.Acquire)
	Dies(t, seg, party)
	for range 2 {
		WantNil(t, "Acquire", Await(t, errs, "waiter"))
	}
	wantValue(t, s, 0)
	WantError(t, "TryAcquire of none", s.TryAcquire(), psync.ErrNoPermit)
	WantNil(t, "Release", errors.Join(s.Release(), s.Release(), s.Release()))
	wantValue(t, s, 3)

	// If no goroutine waits, the dead party's permits are free and have no owner.
	party = Must(object.Attach(seg))(t)
	far = Must(psync.OpenBoundedSemaphore(party, "s"))(t)
	for range 3 {
		WantNil(t, "TryAcquire", far.TryAcquire())
	}
	WantError(t, "Release", s.Release(), psync.ErrNotHeld)
	Dies(t, seg, party)
	wantValue(t, s, 3)
	WantError(t, "Release", s.Release(), psync.ErrOverRelease)
	for n := 2; n >= 0; n-- {
		WantNil(t, "TryAcquire", s.TryAcquire())
		wantValue(t, s, n)
	}
}

// A caller that polls notices deaths, too.
func TestBoundedSemaphorePolled(t *testing.T) {
	for _, poll := range []string{"TryAcquire", "Value"} {
		t.Run(poll, func(t *testing.T) {
			seg := Anonymous(t, room)
			s, c := Closing(t, Must(psync.NewBoundedSemaphore(seg, "", 1))(t)), NewCells(t, seg, 2)
			p := Start(t, holdPermitTask, job{N: 1, Bounded: s, Cells: c})
			c.Await(t, 0, 1)
			free := func() bool {
				if poll == "Value" {
					return Must(s.Value())(t) == 1
				}
				err := s.TryAcquire()
				if err != nil {
					WantError(t, "TryAcquire", err, psync.ErrNoPermit)
				}
				return err == nil
			}
			if free() {
				t.Error("the permit is free while its holder lives")
			}
			Kill(t, p)
			Eventually(t, "the permit of a dead holder", free)
		})
	}
}
