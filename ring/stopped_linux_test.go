package ring_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

// maxDelay is the longest time for which a stopped process may delay another one, on a busy
// machine.
const maxDelay = 10 * time.Second

// A stopJob is one operation of a child. Cell 0 counts the children that have completed theirs.
type stopJob struct {
	Op   string
	Args job
}

var stopOps = map[string]func(ctx context.Context, j job) error{
	"Put":     func(ctx context.Context, j job) error { return j.Queue.Put(ctx, message{1, j.From}) },
	"Get":     func(ctx context.Context, j job) error { _, err := j.Queue.Get(ctx); return err },
	"Send":    func(ctx context.Context, j job) error { return j.Conn.Send(ctx, make([]byte, j.N)) },
	"Receive": func(ctx context.Context, j job) error { _, err := j.Conn.Receive(ctx); return err },
}

var stopTask = Task("to be stopped", func(ctx context.Context, j stopJob) (int, error) {
	err := stopOps[j.Op](ctx, j.Args)
	if err == nil {
		j.Args.Cells.Add(0)
	}
	return 0, err
})

// TestStoppedAtStep shows that a stopped process does not keep another one from going on. The first
// process stops in one of two states: it has put, got, sent or received and not yet woken the other
// process, which sleeps; or it sleeps itself and waits for the same event as the other process.
func TestStoppedAtStep(t *testing.T) {
	NeedCrashPoints(t)
	const small, large = 8, 1500 // bytes of a message
	for _, test := range []struct {
		point        crash.Point
		first, other string
		full         bool // the queue and the pipe are full at first
		gives        bool // the first process does what the other one waits for
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
			newJob := func(op string) stopJob {
				j := stopJob{op, job{N: small, Queue: q, Cells: cells}}
				if op == "Send" {
					j.Args.Conn = a
				} else if op == "Receive" {
					j.Args.Conn = b
				}
				return j
			}
			first, other := newJob(test.first), newJob(test.other)
			if test.gives {
				o := Start(t, stopTask, other)
				AwaitAsleep(t, o.PID(), 1)
				f := StartToStop(t, stopTask, first, test.point, 1)
				AwaitStopped(t, f)
				awaitCompleted(t, cells, 1)
				Result(t, o)
				Continue(t, f)
				Result(t, f)
				return
			}
			f := StartToStop(t, stopTask, first, test.point, 1)
			AwaitStopped(t, f)
			o := Start(t, stopTask, other)
			AwaitAsleep(t, o.PID(), 1)
			for n := range uint32(2) { // one for each process; the first one is stopped
				var err error
				if test.full {
					_, err = q.Get(Within(t))
				} else {
					err = q.Put(Within(t), message{})
				}
				WantNil(t, "give", err)
				if n == 0 {
					awaitCompleted(t, cells, 1)
					Result(t, o)
					Continue(t, f)
				}
			}
			Result(t, f)
		})
	}
}

// awaitCompleted waits until n children have completed their operations. It reports an error if
// that takes longer than maxDelay.
func awaitCompleted(t *testing.T, c *Cells, n uint32) {
	t.Helper()
	begin := time.Now()
	c.Await(t, 0, n)
	took := time.Since(begin)
	t.Logf("it took %v", took)
	if took > maxDelay {
		t.Errorf("a stopped process has delayed another one for %v", took)
	}
}
