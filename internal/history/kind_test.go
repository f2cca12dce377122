//go:build linux

package history_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-2e7ecdea/mp/ring"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// A kind is the kind of an operation.
type kind uint32

const (
	tryAcquire kind = iota
	acquire
	release  // arg: how many permits
	recover_ // up to the call of repair, or all of Recover if it does not call repair
	repaired // from the return of repair on; arg not 0: repair failed
	count
	set
	clear_
	isSet
	wait
	tryPut
	put
	tryGet
	get
	load
	store
	swap
	compareAndSwap // arg: the old number in the upper half, the new one in the lower; value not 0: it was swapped
	update         // to the next number
	tryLease
	lease
	done    // arg: the message of the lease
	return_ // the same

	// Further steps of operations, and deaths. They are not recorded, but derived from the history for the models.
	queueUp   // of an Acquire: from now on, the lock may be handed over to its process
	leave     // of an Acquire: from now on, the lock is not handed over to its process
	publish   // of a Put: its message can be got
	giveBack  // of a Get: its slot is free
	giveUp    // of a Put whose process died: its slot is free if the message was not published
	redeliver // of a Get whose process died: its message can be got again if its slot was not freed
	insist    // of a Return: from now on, its message is taken before all others
	die       // of a process
)

var kinds = [...]string{
	"TryAcquire", "Acquire", "Release", "Recover", "Recover, repaired", "Value",
	"Set", "Clear", "IsSet", "Wait", "TryPut", "Put", "TryGet", "Get",
	"Load", "Store", "Swap", "CompareAndSwap", "Update",
	"TryLease", "Lease", "Done", "Return",
	"queue up", "leave", "publish", "give back", "give up", "redeliver", "insist", "die",
}

func (k kind) String() string { return kinds[k] }

// A result is how an operation ended.
type result uint32

const (
	ok      result = iota
	repairs        // Recover called repair
	ended          // the context ended
	failed         // repair failed
	ownerDied
	held
	notHeld
	noPermit
	overRelease
	full
	empty
	busy
	notTried // a part of a batch that was not called
)

var errRepair = errors.New("repair failed")

// results are the errors that an operation may return.
var results = map[result]error{
	ended: context.DeadlineExceeded, failed: errRepair,
	ownerDied: psync.ErrOwnerDied, held: psync.ErrHeld, notHeld: psync.ErrNotHeld,
	noPermit: psync.ErrNoPermit, overRelease: psync.ErrOverRelease,
	full: ring.ErrFull, empty: ring.ErrEmpty, busy: ring.ErrBusy,
}

func resultOf(err error) (result, bool) {
	if err == nil {
		return ok, true
	}
	if errors.Is(err, context.Canceled) {
		return ended, true
	}
	for r, e := range results {
		if errors.Is(err, e) {
			return r, true
		}
	}
	return 0, false
}

func (r result) String() string {
	switch r {
	case ok:
		return "ok"
	case repairs:
		return "repairs"
	case notTried:
		return "not tried"
	case ended:
		return "ended"
	}
	if err := results[r]; err != nil {
		return err.Error()
	}
	return fmt.Sprintf("result %d", uint32(r))
}
