// Package testkit has helpers for the tests of mp's packages: bounded
// waits that report what was stuck, segments that are closed after the test, and, on
// Linux, child processes and words in shared memory by which they talk.
//
// The helpers call t.Helper only when they fail the test. It looks through the stack, which takes longer than many a
// call that a benchmark measures.
package testkit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/shm"
)

// Patience is the longest that a wait of a test may take. A TestMain may set it before the
// tests run.
var Patience = 30 * time.Second

// Within returns a context that ends after Patience, or after the test.
func Within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), Patience, errors.New("the test has waited too long"))
	t.Cleanup(cancel)
	return ctx
}

// Expired is a context that has ended.
var Expired = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Stuck fails the test at once and prints what was stuck and the stacks of all goroutines.
func Stuck(t testing.TB, what string) {
	t.Helper()
	buf := make([]byte, 1<<20)
	t.Fatalf("stuck: %s\n%s", what, buf[:runtime.Stack(buf, true)])
}

// Await waits until c delivers a value or is closed. It fails the test if that takes longer than
// Patience.
func Await[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(Patience):
		Stuck(t, what)
	}
	return v
}

// Eventually polls f until it returns true. It is for conditions without an event that a test could
// wait for. It fails the test if that takes longer than Patience.
func Eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !f(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			Stuck(t, what)
		}
	}
}

// Async runs f in a goroutine of its own. The channel delivers what f returns.
func Async[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}

// All runs f(0) to f(n-1) concurrently and waits until all have returned. The test fails if one
// returns an error, or if they take longer than Patience.
func All(t testing.TB, what string, n int, f func(i int) error) {
	t.Helper()
	done := make(chan error, n)
	for i := range n {
		go func() { done <- f(i) }()
	}
	for range n {
		if err := Await(t, done, what); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Must returns v, and fails the test at once if err is not nil.
func Must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
		return v
	}
}

// Second returns the error of a call that returns a value and an error.
func Second[T any](_ T, err error) error { return err }

// WantError fails the test if err does not wrap want.
func WantError(t testing.TB, what string, err, want error) {
	if !errors.Is(err, want) {
		t.Helper()
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// WantNilOr fails the test if err is neither nil nor wraps one of others.
func WantNilOr(t testing.TB, what string, err error, others ...error) {
	if err != nil && !slices.ContainsFunc(others, func(o error) bool { return errors.Is(err, o) }) {
		t.Helper()
		t.Errorf("%s: %v", what, err)
	}
}

// WantNil fails the test at once if err is not nil.
func WantNil(t testing.TB, what string, err error) {
	if err != nil {
		t.Helper()
		t.Fatalf("%s: %v", what, err)
	}
}

// Want fails the test if got is not want.
func Want[T comparable](t testing.TB, what string, got, want T) {
	if got != want {
		t.Helper()
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// PanicOf calls f and returns the value with which f panics, or nil if it does not.
func PanicOf(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

// Closing closes c after the test, and returns c.
func Closing[T io.Closer](t testing.TB, c T) T {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Heap returns a segment of size bytes in the Go heap, whose accesses the race detector sees. It is
// closed after the test.
func Heap(t testing.TB, size int) *shm.Segment {
	t.Helper()
	return Closing(t, Must(shm.Heap(size))(t))
}

// Attach attaches another party to the segment, as another process would be. It is closed after the
// test.
func Attach(t testing.TB, seg *shm.Segment) *shm.Segment {
	t.Helper()
	return Closing(t, Must(object.Attach(seg))(t))
}

// Dies makes party dead, and lets seg announce the death.
func Dies(t testing.TB, seg, party *shm.Segment) {
	t.Helper()
	WantNil(t, "Announce", object.Announce(seg, Must(object.Drop(party))(t)))
}

// CloseWhileBusy closes the segment while each of the operations is called again and again, each in
// a goroutine of its own. It closes the segment at a random moment after each operation has
// returned once. An operation may succeed or return one of the errors in fine, until it returns
// ErrClosed or panics with it. The test fails if an operation fails otherwise, or if it does not
// report ErrClosed in the end.
func CloseWhileBusy(t testing.TB, seg *shm.Segment, fine []error, ops ...func() error) {
	t.Helper()
	var busy sync.WaitGroup
	busy.Add(len(ops))
	closed := Async(func() error {
		busy.Wait()
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		return seg.Close()
	})
	All(t, "calls of a closed segment", len(ops), func(i int) error {
		begin := sync.OnceFunc(busy.Done)
		defer begin()
		for deadline := time.Now().Add(Patience); ; {
			var err error
			if v := PanicOf(func() { err = ops[i]() }); v != nil {
				var ok bool
				if err, ok = v.(error); !ok {
					err = fmt.Errorf("panic: %v", v)
				}
			}
			switch {
			case errors.Is(err, shm.ErrClosed):
				return nil
			case err != nil && !slices.ContainsFunc(fine, func(f error) bool { return errors.Is(err, f) }):
				return fmt.Errorf("operation %d: %w", i, err)
			case time.Now().After(deadline):
				return fmt.Errorf("operation %d does not see that the segment is closed: %v", i, err)
			}
			begin()
		}
	})
	WantNil(t, "Close", Await(t, closed, "Close"))
}

// Median returns the median of values.
func Median[T cmp.Ordered](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}
