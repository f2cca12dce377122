//go:build linux

package sync_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	psync "github.com/seed-2e7ecdea/mp/sync"
)

var heirTask = task("condition heir", func(ctx context.Context, j job) error { return j.Lock.Acquire(ctx) })

// An heir that is killed before it takes note of the hand-over never held the
// lock: who waits for the condition is not told that the lock's owner died.
func TestConditionHeirKilled(t *testing.T) {
	seg := anonymous(t)
	lock := must(psync.NewLock(seg, "l", nil))(t)
	cond := closing(t, must(psync.NewCondition(seg, "c", lock, nil))(t))
	spare := func() { must(psync.OpenLock(seg, "l"))(t).Close() } // moves the epoch

	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	wantNil(t, "Acquire", lock.Acquire(ctx))
	waited := make(chan error, 1)
	go func() { waited <- cond.Wait(ctx) }()
	wantNil(t, "Acquire", lock.Acquire(within(t))) // when the waiter has released it
	p := start(t, heirTask, job{Lock: lock})
	awaitAsleep(t, p.PID(), 1)
	time.Sleep(5 * time.Millisecond)
	spare() // it claims
	time.Sleep(5 * time.Millisecond)
	awaitAsleep(t, p.PID(), 1)
	wantNil(t, "SIGSTOP", syscall.Kill(p.PID(), syscall.SIGSTOP))
	wantNil(t, "Release", lock.Release())
	wantError(t, "handed over", lock.TryAcquire(), psync.ErrHeld)
	kill(t, p)
	select {
	case err := <-waited:
		t.Fatalf("Wait returned %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	wantNil(t, "TryAcquire", lock.TryAcquire())
	wantNil(t, "Notify", cond.Notify(1))
	wantNil(t, "Release", lock.Release())
	wantNil(t, "Wait", await(t, waited, "waiter"))
}
