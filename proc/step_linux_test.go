package proc_test

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/step"
	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestEveryInstruction kills a process at each instruction by which it starts a child. It traces one
// thread: the one that starts processes, and the child, run on meanwhile.
func TestEveryInstruction(t *testing.T) { steps.Run(t) }

var steps = step.NewTable("proc",
	stepRow{
		Name:    "Task.Start",
		Promise: "A process that dies in Start leaves no process and no party behind.",
		Set:     step.Sets(stepStart),
		Before:  startAndJoin(nil),
		Do:      step.Does(startToStay(nil)),
		Check:   checkStart,
	},
	stepRow{
		Name:    "Task.Start by a spare",
		Promise: "The same, and no spare.",
		Set:     step.Sets(stepStart),
		Before: func(ctx context.Context, j stepJob) error {
			stepSpares = proc.NewSpares(1, nil)
			if err := startAndJoin(warm)(ctx, j); err != nil {
				return err
			}
			return stepSpares.Ready(ctx)
		},
		Do:    step.Does(startToStay(warm)),
		Check: checkStart,
	},
	stepRow{
		Name:    "Process.Join of a child that has ended",
		Promise: "A process that dies in Join leaves no process and no party behind.",
		Set:     step.Sets(stepStart),
		Before: func(ctx context.Context, j stepJob) (err error) {
			if stepChild, err = stepGone.Start(ctx, j, nil); err != nil {
				return err
			}
			<-stepChild.Done()
			return nil
		},
		Do:    step.Does(func(ctx context.Context, j stepJob) error { return stepChild.Join(ctx) }),
		Check: checkStart,
	},
)

type (
	stepRow   = step.Row[stepJob]
	stepScene = step.Scene[stepJob]
)

// A stepJob is what the child of a row hands over to its own child.
type stepJob struct {
	Seg   *shm.Segment
	Queue *ring.Queue[int]
}

// What a child of a row keeps between Before and Do.
var (
	stepSpares *proc.Spares
	stepChild  *proc.Call[proc.None]
)

func warm() *proc.Options { return &proc.Options{Method: proc.Warm, Spares: stepSpares} }

// stepStay says that it is there, and stays until its parent dies.
var stepStay = testkit.Task("step stay", func(ctx context.Context, j stepJob) (proc.None, error) {
	if err := j.Queue.Put(ctx, os.Getpid()); err != nil {
		return proc.None{}, err
	}
	<-ctx.Done()
	return proc.None{}, ctx.Err()
})

// stepGone ends at once.
var stepGone = testkit.Task("step gone", func(context.Context, stepJob) (proc.None, error) { return proc.None{}, nil })

func stepStart(s *stepScene) stepJob {
	q := testkit.Closing(s, testkit.Must(ring.NewQueue[int](s.Seg, "", 4, nil))(s))
	return stepJob{Seg: s.Seg, Queue: q}
}

// startAndJoin makes the operation not the first of its process.
func startAndJoin(o func() *proc.Options) func(context.Context, stepJob) error {
	return func(ctx context.Context, j stepJob) error {
		c, err := stepGone.Start(ctx, j, optionsOf(o))
		if err != nil {
			return err
		}
		return c.Join(ctx)
	}
}

func startToStay(o func() *proc.Options) func(context.Context, stepJob) error {
	return func(ctx context.Context, j stepJob) error {
		return testkit.Second(stepStay.Start(ctx, j, optionsOf(o)))
	}
}

func optionsOf(o func() *proc.Options) *proc.Options {
	if o == nil {
		return nil
	}
	return o()
}

// checkStart waits until the test's process is the only party, and a process that has said that it
// is there is gone. Then it checks that what was handed over can be used.
func checkStart(s *stepScene, o step.Outcome) {
	s.Helper()
	if o.Err != "" {
		s.Errorf("the child: %s", o.Err)
	}
	testkit.Eventually(s, "the child of a dead process is no party", func() bool {
		return testkit.Must(s.Seg.Parties())(s) == 1
	})
	pid, err := s.Job.Queue.TryGet()
	if err == nil {
		testkit.Eventually(s, "the child of a dead process has ended", func() bool {
			return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
		})
	} else {
		testkit.WantError(s, "TryGet", err, ring.ErrEmpty)
	}
	testkit.WantNil(s, "Put", s.Job.Queue.Put(testkit.Within(s), 1))
	testkit.Want(s, "the value that was put", testkit.Must(s.Job.Queue.Get(testkit.Within(s)))(s), 1)
}
