package ring_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

// heldUp is the longest that a process which is stopped may hold others up, on
// a machine that is busy.
const heldUp = 10 * time.Second

// A stopJob is what a child does, once. Cell 0 counts who has done it.
type stopJob struct {
	Way  string
	Uses job
}

var stopWays = map[string]func(ctx context.Context, j job) error{
	"Put":     func(ctx context.Context, j job) error { return j.Queue.Put(ctx, message{1, j.From}) },
	"Get":     func(ctx context.Context, j job) error { _, err := j.Queue.Get(ctx); return err },
	"Send":    func(ctx context.Context, j job) error { return j.Conn.Send(ctx, make([]byte, j.N)) },
	"Receive": func(ctx context.Context, j job) error { _, err := j.Conn.Receive(ctx); return err },
}

var stopTask = Task("to be stopped", func(ctx context.Context, j stopJob) (int, error) {
	err := stopWays[j.Way](ctx, j.Uses)
	if err == nil {
		j.Uses.Cells.Add(0)
	}
	return 0, err
})

// A process stops when it has put, got, sent or received, before it wakes the
// other, which sleeps; or asleep, while it waits for the same. The other goes on.
func TestStoppedAtStep(t *testing.T) {
	NeedCrashPoints(t)
	const small, large = 8, 1500 // bytes of a message
	for _, test := range []struct {
		point        crash.Point
		first, other string
		full         bool // at first
		gives        bool // the first does what the other waits for
	}{
		{crash.QueuePutReady, "Put", "Get", false, true},
		{crash.QueueGetFreed, "Get", "Put", true, true},
		{crash.QueueGetWaiting, "Get", "Get", false, false},
		{crash.QueuePutWaiting, "Put", "Put", true, false},
		{crash.PipeSendLeft, "Send", "Receive", false, true},
		{crash.PipeReceiveLeft, "Receive", "Send", true, true},
	} {
		t.Run(fmt.Sprintf("%v_%s", test.point, test.other), func(t *testing.T) {
			seg := Blocking(t, room)
			q := newQueue[message](t, seg, 1)
			a, b := newPipe(t, seg, 0)
			cells := NewCells(t, seg, 1)
			if test.full {
				WantNil(t, "Put", q.Put(Within(t), message{}))
				for _, n := range []int{large, small} {
					for a.TrySend(make([]byte, n)) == nil {
					}
				}
			}
			uses := func(way string) stopJob {
				j := stopJob{way, job{N: small, Queue: q, Cells: cells}}
				if way == "Send" {
					j.Uses.Conn = a
				} else if way == "Receive" {
					j.Uses.Conn = b
				}
				return j
			}
			first, other := uses(test.first), uses(test.other)
			if test.gives {
				o := Start(t, stopTask, other)
				AwaitAsleep(t, o.PID(), 1)
				f := StartToStop(t, stopTask, first, test.point, 1)
				AwaitStopped(t, f)
				wentOn(t, cells, 1)
				Result(t, o)
				Continue(t, f)
				Result(t, f)
				return
			}
			f := StartToStop(t, stopTask, first, test.point, 1)
			AwaitStopped(t, f)
			o := Start(t, stopTask, other)
			AwaitAsleep(t, o.PID(), 1)
			for n := range uint32(2) { // one for each, and the first is stopped
				var err error
				if test.full {
					_, err = q.Get(Within(t))
				} else {
					err = q.Put(Within(t), message{})
				}
				WantNil(t, "give", err)
				if n == 0 {
					wentOn(t, cells, 1)
					Result(t, o)
					Continue(t, f)
				}
			}
			Result(t, f)
		})
	}
}

func wentOn(t *testing.T, c *Cells, n uint32) {
	t.Helper()
	begin := time.Now()
	c.Await(t, 0, n)
	took := time.Since(begin)
	t.Logf("it took %v", took)
	if took > heldUp {
		t.Errorf("a stopped process has held up another for %v", took)
	}
}
