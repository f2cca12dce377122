//go:build linux

package sync_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(Main(m))
}

// A job is a child's argument.
type job struct {
	N         int
	Lock      *psync.Lock
	RLock     *psync.RLock
	RWLock    *psync.RWLock
	Cond      *psync.Condition
	RCond     *psync.RCondition
	Semaphore *psync.Semaphore
	Bounded   *psync.BoundedSemaphore
	Event     *psync.Event
	Once      *psync.Once
	Barrier   *psync.Barrier
	Group     *psync.WaitGroup
	Cells     *Cells
}

// task registers a child's task. Each wait of the child is bounded.
func task[Job any](name string, f func(ctx context.Context, j Job) error) *proc.Task[Job, int] {
	return Task(name, func(ctx context.Context, j Job) (int, error) { return 0, f(ctx, j) })
}

const room = 1 << 20 // size of the tests' segments

func onBoth(t *testing.T, f func(t *testing.T, seg *shm.Segment)) { OnBoth(t, room, f) }

func newLock(t testing.TB, seg *shm.Segment) *psync.Lock {
	t.Helper()
	return Closing(t, Must(psync.NewLock(seg, "", nil))(t))
}

// asleep starts n goroutines for each of ways, and returns when all of them sleep.
func asleep(t testing.TB, n int, ways ...func(context.Context) error) (errs chan error) {
	t.Helper()
	errs = make(chan error, n*len(ways))
	for _, wait := range ways {
		for range n {
			go func() { errs <- wait(context.Background()) }()
		}
	}
	AwaitAsleep(t, os.Getpid(), cap(errs))
	return errs
}

// impatiently calls acquire, gives up and tries again at random, until acquire succeeds. It returns
// ctx's error if ctx ends, and any other error of acquire.
func impatiently(ctx context.Context, acquire func(context.Context) error) error {
	for {
		short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(300)-10)*time.Microsecond)
		err := acquire(short)
		late := short.Err() != nil
		cancel()
		if err == nil || !late || ctx.Err() != nil {
			return err
		}
	}
}

// isError reports whether v, with which a function panicked, is an error that wraps want.
func isError(v any, want error) bool {
	err, ok := v.(error)
	return ok && errors.Is(err, want)
}

// wantClosed checks that f, a method of a closed object that returns no error, panics with
// ErrClosed.
func wantClosed[T any](t testing.TB, what string, f func() T) {
	t.Helper()
	if v := PanicOf(func() { f() }); !isError(v, psync.ErrClosed) {
		t.Errorf("%s of a closed object: panic %v, want ErrClosed", what, v)
	}
}
