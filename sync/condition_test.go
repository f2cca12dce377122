//go:build linux

package sync_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/lock"
	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A member uses a condition and its lock. If that is an RLock, the member is one Holder.
type member interface {
	Acquire(ctx context.Context) error
	Release() error
	Wait(ctx context.Context) error
	WaitFor(ctx context.Context, pred func() bool) error
	Notify(n int) error
	NotifyAll() error
	Waiting() int
	Close() error
}

type lockMember struct{ *psync.Condition }

func (m lockMember) Acquire(ctx context.Context) error { return m.L().Acquire(ctx) }
func (m lockMember) Release() error                    { return m.L().Release() }

type rlockMember struct {
	*psync.RCondition
	h *psync.Holder
}

func (m rlockMember) Acquire(ctx context.Context) error { return m.L().Acquire(ctx, m.h) }
func (m rlockMember) Release() error                    { return m.L().Release(m.h) }
func (m rlockMember) Wait(ctx context.Context) error    { return m.RCondition.Wait(ctx, m.h) }
func (m rlockMember) Notify(n int) error                { return m.RCondition.Notify(m.h, n) }
func (m rlockMember) NotifyAll() error                  { return m.RCondition.NotifyAll(m.h) }
func (m rlockMember) WaitFor(ctx context.Context, pred func() bool) error {
	return m.RCondition.WaitFor(ctx, m.h, pred)
}

// A club makes the condition "c" in a segment, and members that use it.
type club interface {
	found(t testing.TB, seg *shm.Segment, lock *psync.Options, o *psync.ConditionOptions)
	join(t testing.TB, seg *shm.Segment) member
}

type lockClub struct{}

func (lockClub) found(t testing.TB, seg *shm.Segment, lock *psync.Options, o *psync.ConditionOptions) {
	t.Helper()
	l := Must(psync.NewLock(seg, "l", lock))(t)
	Must(psync.NewCondition(seg, "c", l, o))(t)
}

func (lockClub) join(t testing.TB, seg *shm.Segment) member {
	t.Helper()
	return lockMember{Must(psync.OpenCondition(seg, "c"))(t)}
}

type rlockClub struct{}

func (rlockClub) found(t testing.TB, seg *shm.Segment, lock *psync.Options, o *psync.ConditionOptions) {
	t.Helper()
	l := Must(psync.NewRLock(seg, "l", lock))(t)
	Must(psync.NewRCondition(seg, "c", l, o))(t)
}

func (rlockClub) join(t testing.TB, seg *shm.Segment) member {
	t.Helper()
	return rlockMember{Must(psync.OpenRCondition(seg, "c"))(t), new(psync.Holder)}
}

// A scene is a condition in a segment, with a main member that controls the test.
type scene struct {
	testing.TB
	club club
	seg  *shm.Segment
	main member
}

func newScene(t testing.TB, c club, seg *shm.Segment, lock *psync.Options, o *psync.ConditionOptions) *scene {
	t.Helper()
	c.found(t, seg, lock, o)
	return &scene{t, c, seg, c.join(t, seg)}
}

// party attaches another party.
func (s *scene) party() *shm.Segment {
	s.Helper()
	return Closing(s, Must(object.Attach(s.seg))(s))
}

func (s *scene) hold()    { s.Helper(); WantNil(s, "Acquire", s.main.Acquire(Within(s))) }
func (s *scene) release() { s.Helper(); WantNil(s, "Release", s.main.Release()) }

func (s *scene) notify(n int) {
	s.Helper()
	s.hold()
	WantNil(s, "Notify", s.main.Notify(n))
	s.release()
}

// awaitWaiting waits until n members wait and have released the lock.
func (s *scene) awaitWaiting(n int) {
	s.Helper()
	for deadline := time.Now().Add(Patience); ; time.Sleep(100 * time.Microsecond) {
		s.hold()
		now := s.main.Waiting()
		s.release()
		if now == n {
			return
		}
		if time.Now().After(deadline) {
			Stuck(s, fmt.Sprintf("%d wait, not %d", now, n))
		}
	}
}

// wait lets a new member in seg call Wait. It returns when the member waits. The channel gets the
// error of Wait, after a check that the member holds the lock if it should.
func (s *scene) wait(seg *shm.Segment) <-chan error {
	s.Helper()
	return s.waitIn(context.Background(), s.club.join(s, seg))
}

func (s *scene) waitIn(ctx context.Context, m member) <-chan error {
	s.Helper()
	s.hold()
	before := s.main.Waiting()
	s.release()
	done := Async(func() error {
		if err := m.Acquire(ctx); err != nil {
			return err
		}
		err := m.Wait(ctx)
		if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			if e := m.Release(); e != nil {
				return fmt.Errorf("Wait returned %w without the lock: %w", err, e)
			}
		}
		return err
	})
	s.awaitWaiting(before + 1)
	return done
}

// wakes waits until a Wait that was notified returns.
func (s *scene) wakes(c <-chan error) {
	s.Helper()
	WantNil(s, "Wait", Await(s, c, "a waiter that was notified"))
}

// sleeps checks that the Waits of cs have not returned.
func (s *scene) sleeps(cs ...<-chan error) {
	s.Helper()
	s.awaitWaiting(len(cs))
	for i, c := range cs {
		select {
		case err := <-c:
			s.Fatalf("waiter %d: Wait returned %v, though it was not notified", i, err)
		default:
		}
	}
}

func onAll(t *testing.T, f func(t *testing.T, c club, seg *shm.Segment)) {
	for name, c := range map[string]club{"lock": lockClub{}, "rlock": rlockClub{}} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, seg *shm.Segment) { f(t, c, seg) })
		})
	}
}

func TestCondition(t *testing.T) {
	for _, test := range []struct {
		name string
		f    func(s *scene)
	}{
		{"C01_not_held", testCondNotHeld},
		{"C02_notify_wakes_one", testCondNotifyOne},
		{"C03_notify_all", testCondNotifyAll},
		{"C04_notify_n", testCondNotifyN},
		{"C05_timeout", testCondTimeout},
		{"C06_cancelled_with_lock", testCondCancelled},
		{"C08_wait_for", testCondWaitFor},
		{"C09_wait_for_timeout", testCondWaitForTimeout},
		{"C10_nobody_waits", testCondNobodyWaits},
		{"order", testCondOrder},
		{"handed_on_by_close", testCondHandedOnByClose},
		{"closed", testCondClosed},
		{"closed_while_waiting", testCondClosedWhileWaiting},
		{"segment_closed_while_waiting", testCondSegmentClosed},
		{"C11_dead_waiter", testCondDeadWaiter},
		{"dead_notified_waiter", testCondDeadNotified},
		{"dead_lock_owner", testCondDeadOwner},
		{"hammer", testCondHammer},
	} {
		t.Run(test.name, func(t *testing.T) {
			onAll(t, func(t *testing.T, c club, seg *shm.Segment) {
				test.f(newScene(t, c, seg, nil, nil))
			})
		})
	}
}

func testCondNotHeld(s *scene) {
	for _, other := range []*shm.Segment{nil, s.party()} {
		if other != nil { // another member holds the lock
			m := s.club.join(s, other)
			WantNil(s, "Acquire", m.Acquire(Within(s)))
			defer func() { WantNil(s, "Release", m.Release()) }()
		}
		WantError(s, "Wait", s.main.Wait(Within(s)), psync.ErrNotHeld)
		WantError(s, "Wait, expired", s.main.Wait(Expired), psync.ErrNotHeld)
		WantError(s, "WaitFor", s.main.WaitFor(Within(s), func() bool { return false }), psync.ErrNotHeld)
		for n := -1; n <= 2; n++ {
			WantError(s, "Notify", s.main.Notify(n), psync.ErrNotHeld)
		}
		WantError(s, "NotifyAll", s.main.NotifyAll(), psync.ErrNotHeld)
	}
}

func testCondNotifyOne(s *scene) {
	a, b := s.wait(s.seg), s.wait(s.party())
	s.notify(1)
	s.wakes(a)
	s.sleeps(b)
	s.notify(1)
	s.wakes(b)
}

func testCondNotifyAll(s *scene) {
	parties := []*shm.Segment{s.seg, s.party()}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	early := make(chan error, 6)
	for i := range 6 {
		m := s.club.join(s, parties[i%2])
		go func() {
			err := m.Acquire(context.Background())
			if err == nil {
				err = m.Wait(ctx)
				err = errors.Join(err, m.Release())
			}
			early <- err
		}()
	}
	for range 6 {
		WantError(s, "Wait", Await(s, early, "a waiter whose time is over"), context.DeadlineExceeded)
	}
	var late [6]<-chan error
	for i := range late {
		late[i] = s.wait(parties[i%2])
	}
	s.hold()
	WantNil(s, "NotifyAll", s.main.NotifyAll())
	s.release()
	for _, c := range late {
		s.wakes(c)
	}
	s.sleeps(s.wait(s.seg)) // no notification is left
	s.notify(1)
}

func testCondNotifyN(s *scene) {
	parties := []*shm.Segment{s.seg, s.party()}
	var all [6]<-chan error
	for i := range all {
		all[i] = s.wait(parties[i%2])
	}
	s.notify(2)
	s.wakes(all[0])
	s.wakes(all[1])
	s.sleeps(all[2:]...)
	s.notify(4)
	for _, c := range all[2:] {
		s.wakes(c)
	}
	s.notify(3)
	s.sleeps(s.wait(s.seg))
	s.notify(math.MaxInt)
}

func testCondTimeout(s *scene) {
	late, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Hour))
	defer cancel()
	for range 3 {
		s.hold()
		WantError(s, "Wait, expired", s.main.Wait(Expired), context.Canceled)
		WantError(s, "Wait, late", s.main.Wait(late), context.DeadlineExceeded)
		begin := time.Now()
		short, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		WantError(s, "Wait", s.main.Wait(short), context.DeadlineExceeded)
		cancel()
		if d := time.Since(begin); d < 10*time.Millisecond {
			s.Errorf("Wait gave up after %v", d)
		}
		s.release() // release fails unless the lock is held
	}
	done := s.wait(s.seg)
	s.notify(1)
	s.wakes(done)
}

// A cancelled Wait returns only with the lock, however long that takes.
func testCondCancelled(s *scene) {
	ctx, cancel := context.WithCancel(context.Background())
	done := s.waitIn(ctx, s.club.join(s, s.party()))
	s.hold()
	cancel()
	for deadline := time.Now().Add(Patience); s.main.Waiting() > 0; time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			Stuck(s, "a cancelled waiter goes on to wait")
		}
	}
	WantNil(s, "Notify without a waiter", s.main.Notify(1))
	AwaitAsleep(s, os.Getpid(), 1)
	select {
	case err := <-done:
		s.Fatalf("Wait returned %v, but another holds the lock", err)
	default:
	}
	s.release()
	WantError(s, "Wait", Await(s, done, "a cancelled waiter"), context.Canceled)

	// A notification that precedes the cancellation is not lost.
	ctx, cancel = context.WithCancel(context.Background())
	done = s.waitIn(ctx, s.club.join(s, s.seg))
	s.hold()
	WantNil(s, "Notify", s.main.Notify(1))
	cancel()
	s.release()
	s.wakes(done)
}

func testCondWaitFor(s *scene) {
	yes := func() bool { return true }
	WantNil(s, "WaitFor of what is true, not held", s.main.WaitFor(Expired, yes))
	c := NewCells(s, s.seg, 1)
	state := c.Plain(0)
	m := s.club.join(s, s.party())
	done := Async(func() error {
		if err := m.Acquire(context.Background()); err != nil {
			return err
		}
		err := m.WaitFor(context.Background(), func() bool { return *state == 4 })
		if err == nil && *state != 4 {
			err = errors.New("WaitFor returned too early")
		}
		return errors.Join(err, m.Release())
	})
	for range 4 {
		s.awaitWaiting(1)
		s.hold()
		*state++
		WantNil(s, "NotifyAll", s.main.NotifyAll())
		s.release()
	}
	s.wakes(done)
	s.hold()
	calls := 0
	WantNil(s, "WaitFor of what is true", s.main.WaitFor(Expired, func() bool { calls++; return true }))
	if calls != 1 {
		s.Errorf("pred was called %d times", calls)
	}
	s.release()
	runtime.KeepAlive(c)
}

func testCondWaitForTimeout(s *scene) {
	s.hold()
	defer s.release()
	for _, d := range []time.Duration{-time.Second, 0, 10 * time.Millisecond} {
		begin := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), d)
		calls := 0
		WantError(s, "WaitFor", s.main.WaitFor(ctx, func() bool { calls++; return false }), context.DeadlineExceeded)
		if took := time.Since(begin); took < d {
			s.Errorf("WaitFor gave up after %v", took)
		}
		// The condition became true without a notification: the last call of pred decides.
		first := true
		WantNil(s, "WaitFor", s.main.WaitFor(ctx, func() bool { defer func() { first = false }(); return !first }))
		cancel()
	}
}

func testCondNobodyWaits(s *scene) {
	s.hold()
	for n := -1; n <= 3; n++ {
		WantNil(s, "Notify", s.main.Notify(n))
	}
	WantNil(s, "NotifyAll", s.main.NotifyAll())
	WantError(s, "Wait", s.main.Wait(Expired), context.Canceled)
	s.release()
	done := s.wait(s.seg)
	for n := -1; n <= 0; n++ {
		s.notify(n)
	}
	s.sleeps(done)
	s.notify(1)
	s.wakes(done)
}

// Slots are used in any order, but waiters are notified in the order of their arrival.
func testCondOrder(s *scene) {
	const n = 12
	var all []<-chan error
	var cancels []func()
	r := rand.New(rand.NewPCG(7, 7))
	come := func() {
		ctx, cancel := context.WithCancel(context.Background())
		all, cancels = append(all, s.waitIn(ctx, s.club.join(s, s.seg))), append(cancels, cancel)
	}
	for range n {
		come()
	}
	for range 3 * n {
		if i := r.IntN(len(all)); r.IntN(2) == 0 {
			cancels[i]()
			WantError(s, "Wait", Await(s, all[i], "a cancelled waiter"), context.Canceled)
			all, cancels = append(all[:i:i], all[i+1:]...), append(cancels[:i:i], cancels[i+1:]...)
		} else {
			s.notify(1)
			s.wakes(all[0])
			cancels[0]()
			all, cancels = all[1:], cancels[1:]
		}
		come()
		s.sleeps(all...)
	}
	for i, c := range all {
		s.notify(1)
		s.wakes(c)
		cancels[i]()
	}
}

// A notified waiter that can't acquire the lock again leaves its notification to another waiter
// that was waiting when it was given.
func testCondHandedOnByClose(s *scene) {
	first := s.club.join(s, s.seg)
	a := s.waitIn(context.Background(), first)
	b := s.wait(s.party())
	late := s.club.join(s, s.seg)
	s.hold()
	WantNil(s, "Notify", s.main.Notify(1))
	WantNil(s, "Close", first.Close())
	WantError(s, "Wait", Await(s, a, "a waiter of a closed condition"), psync.ErrClosed)
	s.release()
	s.wakes(b)
	// No waiter from that time is left, so the notification is void.
	first = s.club.join(s, s.seg)
	a = s.waitIn(context.Background(), first)
	s.hold()
	WantNil(s, "Notify", s.main.Notify(1))
	WantNil(s, "Close", first.Close())
	WantError(s, "Wait", Await(s, a, "a waiter of a closed condition"), psync.ErrClosed)
	s.release()
	c := s.waitIn(context.Background(), late)
	s.sleeps(c)
	s.notify(1)
	s.wakes(c)
}

func condAllFail(t testing.TB, m member) {
	t.Helper()
	WantError(t, "Wait", m.Wait(Within(t)), psync.ErrClosed)
	WantError(t, "Wait, expired", m.Wait(Expired), psync.ErrClosed)
	WantError(t, "WaitFor", m.WaitFor(Within(t), func() bool { return false }), psync.ErrClosed)
	WantError(t, "Notify", m.Notify(1), psync.ErrClosed)
	WantError(t, "NotifyAll", m.NotifyAll(), psync.ErrClosed)
}

func testCondClosed(s *scene) {
	m := s.club.join(s, s.seg)
	WantNil(s, "Acquire", m.Acquire(Within(s)))
	for range 2 {
		WantNil(s, "Close", m.Close())
	}
	condAllFail(s, m)
	condAllFail(s, lockMember{new(psync.Condition)})
	condAllFail(s, rlockMember{new(psync.RCondition), new(psync.Holder)})

	party := Must(object.Attach(s.seg))(s)
	far := s.club.join(s, party)
	WantNil(s, "Close", party.Close())
	condAllFail(s, far)
}

func testCondClosedWhileWaiting(s *scene) {
	m := s.club.join(s, s.seg)
	a, b := s.waitIn(context.Background(), m), s.wait(s.seg)
	WantNil(s, "Close", m.Close())
	WantError(s, "Wait", Await(s, a, "a waiter of a closed condition"), psync.ErrClosed)
	s.sleeps(b)
	s.notify(1)
	s.wakes(b)
}

func testCondSegmentClosed(s *scene) {
	party := Must(object.Attach(s.seg))(s)
	a, b, c := s.wait(party), s.wait(party), s.wait(s.seg)
	WantNil(s, "Close", party.Close())
	for _, done := range []<-chan error{a, b} {
		WantError(s, "Wait", Await(s, done, "a waiter of a closed segment"), psync.ErrClosed)
	}
	s.sleeps(c)
	s.notify(1) // the waiters that are gone get no notification
	s.wakes(c)
}

func testCondDeadWaiter(s *scene) {
	for _, n := range []int{1, math.MaxInt} {
		party := Must(object.Attach(s.seg))(s)
		a, b, c := s.wait(party), s.wait(s.seg), s.wait(party)
		Dies(s, s.seg, party)
		for _, done := range []<-chan error{a, c} {
			WantError(s, "Wait of the dead", Await(s, done, "a dead waiter"), psync.ErrClosed)
		}
		s.sleeps(b)
		s.notify(n)
		s.wakes(b)
	}
}

func testCondDeadNotified(s *scene) {
	for range 3 {
		party := Must(object.Attach(s.seg))(s)
		a, b, c := s.wait(party), s.wait(s.seg), s.wait(s.seg)
		s.hold()
		WantNil(s, "Notify", s.main.Notify(1))
		Dies(s, s.seg, party)
		WantError(s, "Wait of the dead", Await(s, a, "a dead waiter"), psync.ErrClosed)
		s.release()
		select { // either waiter may get the notification, and one of them does
		case err := <-b:
			WantNil(s, "Wait", err)
			s.sleeps(c)
			s.notify(1)
			s.wakes(c)
		case err := <-c:
			WantNil(s, "Wait", err)
			s.sleeps(b)
			s.notify(1)
			s.wakes(b)
		case <-time.After(Patience):
			Stuck(s, "a notification was lost with the dead")
		}
	}
}

// A recoverer is a member of either kind in the tests of dead owners.
func recoverLock(s *scene, m member, repair func() error) error {
	switch m := m.(type) {
	case lockMember:
		return m.L().Recover(Within(s), repair)
	case rlockMember:
		return m.L().Recover(Within(s), m.h, repair)
	}
	panic("unknown member")
}

func testCondDeadOwner(s *scene) {
	party := Must(object.Attach(s.seg))(s)
	far := s.club.join(s, party)
	a, b := s.wait(s.seg), s.wait(s.party())
	ctx, cancel := context.WithCancel(context.Background())
	c := s.waitIn(ctx, s.club.join(s, s.seg))
	WantNil(s, "Acquire", far.Acquire(Within(s)))
	WantNil(s, "Notify", far.Notify(1))
	cancel()
	Dies(s, s.seg, party)
	for _, done := range []<-chan error{a, b, c} {
		err := Await(s, done, "a waiter whose lock the dead hold")
		WantError(s, "Wait", err, psync.ErrOwnerDied)
		if errors.Is(err, context.Canceled) {
			s.Errorf("Wait: %v says that the lock is held", err)
		}
	}
	WantError(s, "Notify", s.main.Notify(1), psync.ErrNotHeld)
	WantError(s, "Wait", s.main.Wait(Within(s)), psync.ErrNotHeld)
	WantNil(s, "Recover", recoverLock(s, s.main, s.main.NotifyAll))
	done := s.wait(s.seg)
	s.sleeps(done)
	s.notify(1)
	s.wakes(done)
}

// Members put and take items, with random deadlines. No item is lost, and each waiter without a
// deadline gets one in the end. The counter of items is not atomic: on the heap the race detector
// checks that the lock synchronizes.
func testCondHammer(s *scene) {
	const parties, getters, each = 2, 3, 150
	segs := []*shm.Segment{s.seg, s.party()}
	c := NewCells(s, s.seg, 1)
	items := c.Plain(0)
	ctx := Within(s)
	All(s, "users of the condition", parties*(getters+1), func(i int) error {
		m := s.club.join(s, segs[i%parties])
		r := rand.New(rand.NewPCG(uint64(i), 1))
		for n := 0; n < each; {
			if err := m.Acquire(ctx); err != nil {
				return err
			}
			var err error
			if i < parties { // a putter; there are as many puts as gets
				*items += getters
				err = m.Notify(getters)
				n++
			} else {
				short, cancel := ctx, context.CancelFunc(func() {})
				if i%3 > 0 {
					short, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(300))*time.Microsecond)
				}
				err = m.WaitFor(short, func() bool { return *items > 0 })
				cancel()
				if err == nil {
					*items--
					n++
				} else if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
					err = nil
				}
			}
			if err := errors.Join(err, m.Release()); err != nil {
				return err
			}
			if i < parties {
				runtime.Gosched()
			}
		}
		return nil
	})
	if *items != 0 {
		s.Errorf("%d items are left", *items)
	}
	runtime.KeepAlive(c)
}

// Wait releases a reentrant lock however often it was acquired, and restores its depth.
func TestC07_ConditionRestoresDepth(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		s := newScene(t, rlockClub{}, seg, nil, nil)
		m := s.club.join(t, seg).(rlockMember)
		for range 3 {
			WantNil(t, "Acquire", m.Acquire(Within(t)))
		}
		end := make(chan error, 1)
		go func() {
			err := m.Wait(context.Background())
			if err == nil {
				err = m.Wait(Expired)
			}
			end <- err
		}()
		s.awaitWaiting(1) // so that the lock is free
		s.notify(1)
		WantError(t, "second Wait", Await(t, end, "a waiter that was notified"), context.Canceled)
		for range 3 {
			WantError(t, "TryAcquire by another", m.L().TryAcquire(new(psync.Holder)), psync.ErrHeld)
			WantNil(t, "Release", m.Release())
		}
		WantError(t, "fourth Release", m.Release(), psync.ErrNotHeld)
	})
}

func TestConditionMaking(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		l, rl := newLock(t, seg), newRLock(t, seg)
		few := &psync.ConditionOptions{Waiters: 8}
		c := Closing(t, Must(psync.NewCondition(seg, "c", l, few))(t))
		Closing(t, Must(psync.NewRCondition(seg, "r", rl, few))(t))
		if c.L() == nil || c.L().Handle() != l.Handle() {
			t.Errorf("L is %v, want %v", c.L().Handle(), l.Handle())
		}
		WantNil(t, "Acquire", l.Acquire(t.Context()))
		WantNil(t, "Close", c.L().Close())
		WantNil(t, "Notify after L was closed", c.Notify(1))
		WantError(t, "Wait after L was closed", c.Wait(Expired), context.Canceled)
		WantNil(t, "Release", l.Release())

		var same psync.Condition
		WantNil(t, "UnmarshalText", same.UnmarshalText(Must(c.MarshalText())(t)))
		WantNil(t, "Close", same.Close())
		wantClosed(t, "L", same.L)
		closed := Must(psync.NewLock(seg, "gone", nil))(t)
		WantNil(t, "Close", closed.Close())
		part := lockOfAnother(t, seg)
		for _, w := range []int{-1, 1<<20 + 1} {
			o := &psync.ConditionOptions{Waiters: w}
			WantError(t, "number of waiters", Second(psync.NewCondition(seg, "", l, o)), psync.ErrInvalid)
			WantError(t, "number of waiters", Second(psync.NewRCondition(seg, "", rl, o)), psync.ErrInvalid)
		}
		for _, test := range []struct {
			what string
			err  error
			want error
		}{
			{"name that is taken", Second(psync.NewCondition(seg, "c", l, few)), fs.ErrExist},
			{"name of nothing", Second(psync.OpenCondition(seg, "x")), fs.ErrNotExist},
			{"a closed lock", Second(psync.NewCondition(seg, "", closed, few)), psync.ErrClosed},
			{"a lock of another segment", Second(psync.NewCondition(Heap(t, room), "", l, few)), shm.ErrMismatch},
			{"a lock inside another object", Second(psync.NewCondition(seg, "", part, few)), shm.ErrMismatch},
			{"condition of the other kind", Second(psync.OpenCondition(seg, "r")), shm.ErrMismatch},
			{"condition of the other kind", Second(psync.OpenRCondition(seg, "c")), shm.ErrMismatch},
		} {
			WantError(t, test.what, test.err, test.want)
		}
		// The lock is found by its entry in the directory, which may be gone.
		named := Must(psync.NewLock(seg, "named", nil))(t)
		Must(psync.NewCondition(seg, "orphan", named, few))(t)
		WantNil(t, "Remove", seg.Remove("named"))
		WantError(t, "a lock that was removed", Second(psync.OpenCondition(seg, "orphan")), fs.ErrNotExist)
	})
}

// If there is one waiter more than slots, its Wait fails. Slots are used again.
func TestConditionPlaces(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		s := newScene(t, lockClub{}, seg, nil, &psync.ConditionOptions{Waiters: 3})
		m := s.main.(lockMember)
		for range 5 {
			party := Must(object.Attach(seg))(t)
			a, b, c := s.wait(party), s.wait(seg), s.wait(party)
			s.hold()
			WantError(t, "Wait without a slot", m.Wait(Within(t)), psync.ErrTooManyWaiters)
			WantError(t, "WaitFor without a slot", m.WaitFor(Within(t), func() bool { return false }), psync.ErrTooManyWaiters)
			WantNil(t, "Notify of a waiter that leaves it behind", m.Notify(1))
			Dies(t, seg, party)
			// The parties are dead before the lock is free, so they can't acquire it.
			WantError(t, "Wait", Await(t, a, "a dead waiter"), psync.ErrClosed)
			WantError(t, "Wait", Await(t, c, "a dead waiter"), psync.ErrClosed)
			s.release() // release fails unless the lock is held
			s.wakes(b)
			// A notification that was left behind is void, and the slots of dead parties are free.
			party = Must(object.Attach(seg))(t)
			a = s.wait(party)
			s.hold()
			WantNil(t, "Notify", m.Notify(1))
			Dies(t, seg, party)
			WantError(t, "Wait", Await(t, a, "a dead waiter"), psync.ErrClosed)
			s.release()
		}
		if n := m.Used(); n > 3 {
			t.Errorf("%d slots were used", n)
		}
	})
	t.Run("used_again", func(t *testing.T) {
		s := newScene(t, lockClub{}, Heap(t, room), nil, nil)
		for range 100 {
			done := s.wait(s.seg)
			s.notify(1)
			s.wakes(done)
		}
		if n := s.main.(lockMember).Used(); n != 1 {
			t.Errorf("%d slots were used for one waiter at a time", n)
		}
	})
}

// If the lock ignores deaths, a dead notifier has notified some waiters, and nothing else follows.
func TestConditionIgnoreDeaths(t *testing.T) {
	onAll(t, func(t *testing.T, c club, seg *shm.Segment) {
		s := newScene(t, c, seg, &psync.Options{IgnoreDeaths: true}, nil)
		party := Must(object.Attach(seg))(t)
		far := c.join(t, party)
		a, b := s.wait(seg), s.wait(seg)
		WantNil(t, "Acquire", far.Acquire(Within(t)))
		WantNil(t, "Notify", far.Notify(1))
		Dies(t, seg, party)
		s.wakes(a)
		s.sleeps(b)
		s.notify(1)
		s.wakes(b)
	})
}

// Every call ends, whatever the condition's memory contains.
func TestConditionHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		s := newScene(t, lockClub{}, seg, nil, &psync.ConditionOptions{Waiters: 5})
		m := s.main.(lockMember)
		const conditionPrint, head = 1, 128
		o := Must(object.Open(seg, shm.KindCondition, "c", conditionPrint))(t)
		mem := view.Slice[atomic.Uint32](o.Bytes(), 0, len(o.Bytes())/4)
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 1))
		scribble := func() {
			for range r.IntN(8) {
				mem[head/4+r.IntN(len(mem)-head/4)].Store(r.Uint32() >> r.IntN(33))
			}
		}
		known := []error{nil, psync.ErrTooManyWaiters, shm.ErrCorrupt, context.DeadlineExceeded}
		done := Async(func() error {
			for range 1000 {
				if err := m.Acquire(context.Background()); err != nil {
					return err
				}
				scribble()
				short, cancel := context.WithTimeout(context.Background(), 200*time.Microsecond)
				go scribbleLater(mem[head/4:], r.Uint64())
				err := m.Wait(short)
				cancel()
				ok := false
				for _, e := range known {
					ok = ok || errors.Is(err, e)
				}
				if !ok {
					return err
				}
				if errors.Is(err, shm.ErrCorrupt) {
					continue // the lock is not held
				}
				scribble()
				if err := errors.Join(m.Notify(r.IntN(4)), m.NotifyAll(), m.Release()); err != nil {
					return err
				}
			}
			return nil
		})
		WantNil(t, "operations", Await(t, done, fmt.Sprintf("operation on nonsense, seed %d", seed)))
		// Conditions whose link is invalid do not open.
		for range 200 {
			for i := range 4 {
				mem[i].Store(r.Uint32() >> r.IntN(33))
			}
			if c, err := psync.OpenCondition(seg, "c"); err == nil {
				WantNil(t, "Close", c.Close())
			}
		}
		runtime.KeepAlive(o)
	})
}

func scribbleLater(mem []atomic.Uint32, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	mem[r.IntN(len(mem))].Store(r.Uint32() >> r.IntN(33))
}

// condWaiter calls Wait N times. Cell 0 counts the calls that are about to wait, cell 1 those that
// were notified.
var condWaiter = task("condition waiter", func(ctx context.Context, j job) error {
	for range j.N {
		if err := j.Cond.L().Acquire(ctx); err != nil {
			return err
		}
		j.Cells.Add(0)
		if err := j.Cond.Wait(ctx); err != nil {
			return err
		}
		if err := j.Cond.L().Release(); err != nil {
			return err
		}
		j.Cells.Add(1)
	}
	return nil
})

func (s *scene) child(c *Cells, n int, env ...string) *proc.Call[int] {
	s.Helper()
	s.hold()
	before := s.main.Waiting()
	s.release()
	j := job{N: n, Cond: s.main.(lockMember).Condition, Cells: c}
	p := StartWith(s, condWaiter, j, &proc.Options{Env: env})
	if len(env) == 0 {
		s.awaitWaiting(before + 1)
	}
	return p
}

func TestConditionProcesses(t *testing.T) {
	scene := func(t *testing.T) (*scene, *Cells) {
		seg := Anonymous(t, room)
		return newScene(t, lockClub{}, seg, nil, nil), NewCells(t, seg, 2)
	}
	t.Run("C02_L15_across", func(t *testing.T) {
		s, c := scene(t)
		a, b := s.child(c, 2), s.child(c, 2)
		here := s.wait(s.seg)
		s.notify(1)
		c.Await(t, 1, 1)
		s.awaitWaiting(3) // the first one waits again
		s.hold()
		WantNil(t, "NotifyAll", s.main.NotifyAll())
		s.release()
		s.wakes(here)
		c.Await(t, 1, 3)
		s.awaitWaiting(1)
		s.notify(1)
		Result(t, a)
		Result(t, b)
	})
	for _, n := range []int{1, math.MaxInt} {
		t.Run(fmt.Sprintf("C11_killed_asleep_notify_%d", n), func(t *testing.T) {
			s, c := scene(t)
			a, b := s.child(c, 1), s.child(c, 1)
			AwaitAsleep(t, a.PID(), 1)
			AwaitAsleep(t, b.PID(), 1)
			here := s.wait(s.seg)
			Kill(t, a)
			Kill(t, b)
			s.awaitWaiting(1)
			begin := time.Now()
			s.notify(n)
			if d := time.Since(begin); d > prompt {
				t.Errorf("Notify took %v", d)
			}
			s.wakes(here)
		})
	}
	// The waiter is killed after it was notified and before it could run.
	t.Run("C11_killed_notified", func(t *testing.T) {
		s, c := scene(t)
		a := s.child(c, 1)
		Stop(t, a)
		x, y := s.wait(s.seg), s.wait(s.seg)
		s.notify(1)
		s.sleeps(x, y)
		Kill(t, a)
		select {
		case err := <-x:
			WantNil(t, "Wait", err)
			x = y
		case err := <-y:
			WantNil(t, "Wait", err)
		case <-time.After(Patience):
			Stuck(t, "the notification of a dead waiter is lost")
		}
		s.sleeps(x)
		s.notify(1)
		s.wakes(x)
	})
	t.Run("killed_notified_newcomer", func(t *testing.T) {
		s, c := scene(t)
		a := s.child(c, 1)
		Stop(t, a)
		s.notify(1)
		x := s.wait(s.seg) // after the notification was given
		Kill(t, a)
		s.awaitParties(1)
		y := s.wait(s.seg)
		s.sleeps(x, y)
		s.notify(1)
		s.wakes(x)
		s.sleeps(y)
		s.notify(1)
		s.wakes(y)
	})
	// A waiter from that time has not scanned the slots yet, so the slot is kept for it.
	t.Run("killed_notified_kept", func(t *testing.T) {
		s, c := scene(t)
		a := s.child(c, 1)
		Stop(t, a)
		heir := s.child(c, 1)
		Stop(t, heir)
		s.notify(1)
		Kill(t, a)
		s.awaitParties(2)
		x := s.wait(s.seg)
		WantNil(t, "SIGCONT", resume(heir))
		Result(t, heir)
		s.sleeps(x)
		s.notify(1)
		s.wakes(x)
	})
	// The only waiter that could take over the dead waiter's notification was notified itself, so a
	// later waiter may take it over.
	t.Run("killed_notified_renewed", func(t *testing.T) {
		s, c := scene(t)
		a := s.child(c, 1)
		Stop(t, a)
		x := s.wait(s.seg)
		s.notify(1)
		y := s.wait(s.seg)
		s.sleeps(x, y)
		s.notify(1)
		s.wakes(x)
		z := s.wait(s.seg)
		s.sleeps(y, z)
		Kill(t, a)
		s.wakes(y)
		s.sleeps(z)
		s.notify(1)
		s.wakes(z)
	})
}

// awaitParties waits until this party knows that at most n parties are alive.
func (s *scene) awaitParties(n int) {
	s.Helper()
	Eventually(s, "a death is announced", func() bool { return Must(s.seg.Parties())(s) <= n })
}

// resume continues a stopped child.
func resume(p *proc.Call[int]) error { return syscall.Kill(p.PID(), syscall.SIGCONT) }

// lockOfAnother returns the lock that is part of an object of another kind.
func lockOfAnother(t *testing.T, seg *shm.Segment) *psync.Lock {
	t.Helper()
	fill, err := lock.NewGuard(seg, lock.Options{})
	WantNil(t, "NewGuard", err)
	host := Must(object.New(seg, object.Spec{
		Kind: 1000, Size: lock.GuardSize, Init: func(mem []byte) error { fill(mem, 0); return nil },
	}))(t)
	return Must(lock.OpenGuard(host, 0))(t).Lock().(*psync.Lock)
}
