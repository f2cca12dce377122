package wait

import (
	"context"
	"math/rand/v2"
	"os"
	"sync/atomic"
)

// A Case is one of the things that AwaitAny waits for. One AwaitAny at a time uses it.
type Case struct {
	Room   *Room
	Waiter Waiter
	// Result returns what AwaitAny returns for this case if the try that ended the wait failed with
	// err, or succeeded if err is nil.
	Result func(err error) error
	// Counters are where sleeps for the case count; nil: nowhere.
	Counters *Counters
}

// Private is the room of what a process waits for that lies in no segment. Its epoch never moves.
var Private = &Room{Epoch: new(atomic.Uint32), Watch: func(uint32) {}}

// FailedCase returns a case that fails at once, with err.
func FailedCase(err error) *Case {
	return &Case{Room: Private, Waiter: failedWaiter{err}, Result: func(err error) error { return err }}
}

type failedWaiter struct{ err error }

func (w failedWaiter) Try() (bool, error)    { return false, w.err }
func (w failedWaiter) Arm() (Armed, bool)    { return Armed{}, false }
func (w failedWaiter) Pass(woken, done bool) {}

// Public returns the value of the public type poll.Case for a case. Package poll sets it.
var Public func(c *Case) any

// try reports whether the wait is over, because the case's Try is done or fails or its room is
// closed.
func (c *Case) try() (over bool, err error) {
	if c.Room.closed.Load() {
		return true, os.ErrClosed
	}
	done, err := c.Waiter.Try()
	return done || err != nil, err
}

// tryAll tries the cases one after the other until one of them is done or fails. It returns the
// index of that case and the error of its try, or -1 if there is none. It begins with a random
// case, first, so that a case that can always be done does not starve the others.
func tryAll(cases []*Case) (first, chosen int, err error) {
	if len(cases) == 0 {
		return 0, -1, nil
	}
	first = rand.IntN(len(cases))
	for n := range cases {
		i := (first + n) % len(cases)
		if over, err := cases[i].try(); over {
			return first, i, err
		}
	}
	return first, -1, nil
}

// TryAny tries the cases one after the other, from a random one on, until one of them is done or
// fails. It returns the index of that case and its error. It returns -1 if there is none.
func TryAny(cases []*Case) (int, error) {
	_, i, err := tryAll(cases)
	if i >= 0 {
		err = cases[i].Result(err)
	}
	return i, err
}

// AwaitAny blocks until one of the cases is done or fails, or until ctx ends. It returns the index
// of that case and its error, or -1 and ctx's error. The caller has called TryAny in vain.
//
// It waits as Room.Await does. See selection for what is different with several cases.
func AwaitAny(ctx context.Context, cases []*Case) (int, error) {
	if err := ctx.Err(); err != nil {
		return -1, err
	}
	if len(cases) == 0 {
		<-ctx.Done()
		return -1, ctx.Err()
	}
	return awaitAny(ctx, cases)
}
