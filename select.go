package mp

import (
	"context"

	"github.com/seed-2e7ecdea/mp/poll"
)

// A Waitable is what Select can wait for: a Conn, Process, Event or WaitGroup, or a Case.
type Waitable = poll.Waitable

// A Case is an operation that Select can carry out: Queue.GetCase and PutCase,
// Semaphore.AcquireCase, Value.WatchCase.
type Case = poll.Case

// ErrNotReady means that TrySelect found no case ready.
var ErrNotReady = poll.ErrNotReady

// Select blocks until one of the cases is ready, carries out its operation if it has one, and
// returns its index:
//
//	var line string
//	i, err := mp.Select(ctx, lines.GetCase(&line), stop, child)
//
// If several are ready it chooses one at random. If the case fails, Select returns its index and
// error. If ctx is done, it returns -1 and ctx's error.
func Select(ctx context.Context, cases ...Waitable) (int, error) { return poll.Select(ctx, cases...) }

// TrySelect is like Select but never blocks. It returns -1 and ErrNotReady if no case is ready.
func TrySelect(cases ...Waitable) (int, error) { return poll.TrySelect(cases...) }
