//go:build linux

package ring_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// An idleJob is the argument of a child that waits for ever.
type idleJob struct {
	What  string
	Queue *ring.Queue[message]
	Conn  *ring.Conn
	Lock  *psync.Lock
}

var idleTask = proc.Register("idle", func(ctx context.Context, j idleJob) (int, error) {
	switch j.What {
	case "Queue.Get":
		_, err := j.Queue.Get(ctx)
		return 0, err
	case "Queue.Put":
		return 0, j.Queue.Put(ctx, message{})
	case "Conn.Receive":
		_, err := j.Conn.Receive(ctx)
		return 0, err
	case "Lock.Acquire":
		return 0, j.Lock.Acquire(ctx)
	}
	for tick := time.NewTicker(time.Second); ; {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
	}
})

// cpuTime returns the CPU time that all threads of a process have used.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	var sum time.Duration
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sum += time.Duration(ns)
	}
	if sum == 0 {
		t.Skip("the kernel does not report the CPU time of threads")
	}
	return sum
}

// TestIdle shows that a process uses next to no CPU while it waits: not much more than one that only has a timer
// that wakes it each second, as each wait looks again each second.
func TestIdle(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 5 seconds")
	}
	const (
		idle = 5 * time.Second
		most = 10 * time.Millisecond // more than with a timer
	)
	seg := Anonymous(t, room)
	empty, full := newQueue[message](t, seg, 4), newQueue[message](t, seg, 1)
	fill(t, full)
	_, b := newPipe(t, seg, 0)
	lock := Closing(t, Must(psync.NewLock(seg, "", nil))(t))
	WantNil(t, "TryAcquire", lock.TryAcquire())
	jobs := []idleJob{
		{What: "Queue.Get", Queue: empty},
		{What: "Queue.Put", Queue: full},
		{What: "Conn.Receive", Conn: b},
		{What: "Lock.Acquire", Lock: lock},
	}
	timer := Start(t, idleTask, idleJob{What: "a timer"})
	var children []*proc.Call[int]
	for _, j := range jobs {
		children = append(children, Start(t, idleTask, j))
	}
	for _, p := range children {
		AwaitAsleep(t, p.PID(), 1)
	}
	time.Sleep(300 * time.Millisecond) // until the children's runtime is idle
	var before []time.Duration
	for _, p := range children {
		before = append(before, cpuTime(t, p.PID()))
	}
	timerBefore := cpuTime(t, timer.PID())
	time.Sleep(idle)
	least := cpuTime(t, timer.PID()) - timerBefore
	t.Logf("a timer used %v in %v", least, idle)
	for i, p := range children {
		if !p.Alive() {
			t.Fatalf("%s: %v", jobs[i].What, p.Join(Within(t)))
		}
		used := cpuTime(t, p.PID()) - before[i]
		t.Logf("%s used %v in %v", jobs[i].What, used, idle)
		if used > least+most {
			t.Errorf("%s used %v of CPU in %v", jobs[i].What, used, idle)
		}
	}
}
