//go:build linux

package sync_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

var heirTask = task("condition heir", func(ctx context.Context, j job) error { return j.Lock.Acquire(ctx) })

// An heir that is killed before it acknowledges the hand-over never held the lock: a waiter for the
// condition does not find a dead owner.
func TestConditionHeirKilled(t *testing.T) {
	seg := Anonymous(t, room)
	lock := Must(psync.NewLock(seg, "l", nil))(t)
	cond := Closing(t, Must(psync.NewCondition(seg, "c", lock, nil))(t))
	spare := func() { Must(psync.OpenLock(seg, "l"))(t).Close() } // moves the epoch

	ctx, cancel := context.WithCancel(Within(t))
	defer cancel()
	WantNil(t, "Acquire", lock.Acquire(ctx))
	waited := make(chan error, 1)
	go func() { waited <- cond.Wait(ctx) }()
	WantNil(t, "Acquire", lock.Acquire(Within(t))) // as soon as the waiter has released it
	p := Start(t, heirTask, job{Lock: lock})
	memory := Must(object.Open(seg, shm.KindLock, "l", 1))(t)
	Eventually(t, "the waiter claims to be the heir", func() bool {
		spare()
		return view.At[atomic.Uint64](memory.Bytes(), 0).Load()>>33 != 0
	})
	AwaitAsleep(t, p.PID(), 1)
	Stop(t, p)
	WantNil(t, "Release", lock.Release())
	WantError(t, "handed over", lock.TryAcquire(), psync.ErrHeld)
	Kill(t, p)
	select {
	case err := <-waited:
		t.Fatalf("Wait returned %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	WantNil(t, "TryAcquire", lock.TryAcquire())
	WantNil(t, "Notify", cond.Notify(1))
	WantNil(t, "Release", lock.Release())
	WantNil(t, "Wait", Await(t, waited, "waiter"))
}
