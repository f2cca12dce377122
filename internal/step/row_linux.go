package step

import (
	"context"
	"os"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Row is an operation, with what must hold after the death or the stop of the process that
// performs it. A J is what the test gives to the child: the objects.
type Row[J any] struct {
	// Name names the operation, and the case if there are several: "Lock.Acquire contended".
	Name string
	// Promise is the sentence that Check checks.
	Promise string
	// Spins says that waiters spin before they sleep. By default they sleep at once.
	Spins bool
	// Set makes the objects of a round and sets s.Job. It runs in the test's process.
	Set func(s *Scene[J])
	// Before, if not nil, runs in the child before the operation, for example to perform it once,
	// so that the one that is traced is not the first of its process.
	Before func(ctx context.Context, j J) error
	// Ready, if not nil, runs in the test's process between Before and Do, for example to let
	// something wait for what Do does.
	Ready func(s *Scene[J])
	// Do is the operation. It runs in the child.
	Do func(ctx context.Context, j J) (uint64, error)
	// Asleep, if not nil, runs in the test's process whenever it finds the thread asleep in Do.
	// It makes what Do waits for happen, if it has not happened yet.
	Asleep func(s *Scene[J])
	// Other, if not nil, is an operation on the same objects that the test's process performs
	// while the thread is stopped. Without it, the row is only killed.
	Other func(s *Scene[J]) (uint64, error)
	// Check fails the test if the promise does not hold. It runs in the test's process, after the
	// child has died, or after Do has returned and the child has ended.
	Check func(s *Scene[J], o Outcome)
}

// A Scene is what the test's process has of a round. What it closes by Cleanup is closed after the
// round.
type Scene[J any] struct {
	testing.TB
	Seg   *shm.Segment
	Job   J // what the child is given
	begun []<-chan error
}

// Begin calls f in a goroutine. The test's process must have n goroutines asleep in mp then.
// Results returns f's error.
func (s *Scene[J]) Begin(n int, f func(ctx context.Context) error) {
	s.Helper()
	ctx := testkit.Within(s)
	s.begun = append(s.begun, testkit.Async(func() error { return f(ctx) }))
	testkit.AwaitAsleep(s, os.Getpid(), n)
}

// Results returns the errors of all functions that Begin has called, when they have returned.
func (s *Scene[J]) Results() (errs []error) {
	s.Helper()
	for _, c := range s.begun {
		errs = append(errs, testkit.Await(s, c, "an operation that the test's process began"))
	}
	s.begun = nil
	return errs
}

// An Outcome is what is known after a round.
type Outcome struct {
	Mode     Mode
	Slept    bool   // Asleep was called
	Returned bool   // Do returned. If not, the child was killed in it
	Value    uint64 // what Do returned
	Err      string // the text of its error, "" if nil

	Between    bool   // Other was performed: in modes Stop and StopKill
	OtherValue uint64 // what it returned
	OtherErr   error
}

// OK reports whether Do returned without an error.
func (o Outcome) OK() bool { return o.Returned && o.Err == "" }

// A Mode is what happens to the thread at step k.
type Mode int

const (
	Kill     Mode = iota // its process is killed
	Stop                 // it is stopped while another process performs an operation, and goes on
	StopKill             // it is stopped while another process performs an operation, and is killed
)

func (m Mode) String() string { return [...]string{"kill", "stop", "stop and kill"}[m] }

// dies reports whether the child is killed at step k.
func (m Mode) dies() bool { return m != Stop }
