package sync

import (
	"context"
	"structs"
	"sync/atomic"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/robust"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/shm"
)

// A Once is something that is done once by all processes and goroutines
// together: Do calls a function until one call has succeeded.
//
// The return of each call of a function synchronizes before the next call, that
// of the one that succeeded before the return of every Do that returns nil, and
// before a true Done.
//
// A Once must not be copied. The zero Once is closed. All methods may be called
// from several goroutines at once.
type Once struct {
	handle[onceCore, *onceCore]
}

var _ marshaler = (*Once)(nil)

// onceWords is a once in shared memory.
//
//	0   lock  of who runs the function: see package internal/robust
//	16  done  not 0: it has succeeded; written under the lock
//
// A dead owner of the lock is as one whose function failed, unless it had got
// as far as to say done:
//
//	OnceRun, or inside the function          the next takes the lock and runs its own
//	OnceRan: succeeded, done is still 0      the same: it runs twice, as from half-way
//	OnceDone: done, lock held                the next takes the lock and finds it done
type onceWords struct {
	_    structs.HostLayout
	lock robust.Words
	done atomic.Uint32
}

const (
	onceSize  = 128 // nothing else on its cache lines
	oncePrint = 1   // version of onceWords
)

// errDone is made here, as a call of closed would keep Done from being inlined.
var errDone = object.Closed("psync: Done", shm.KindOnce)

type onceCore struct {
	object.Base
	w     *onceWords
	mutex robust.Mutex
}

// NewOnce makes a once in seg, not done, with an optional name. It fails as
// shm.Segment.NewObject does.
func NewOnce(seg *shm.Segment, name string) (*Once, error) {
	o := new(Once)
	if err := o.ref.New(seg, name, onceSize, nil); err != nil {
		return nil, err
	}
	return o, nil
}

// OpenOnce opens the once of that name. It fails as shm.Segment.OpenObject
// does.
func OpenOnce(seg *shm.Segment, name string) (*Once, error) {
	o := new(Once)
	if err := o.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return o, nil
}

func (*onceCore) Type() (shm.Kind, uint64, error) { return shm.KindOnce, oncePrint, nil }

func (c *onceCore) Use(o *object.Object) error {
	if err := c.Init(o, onceSize); err != nil {
		return err
	}
	c.w = view.At[onceWords](o.Bytes(), 0)
	c.mutex.Init(&c.w.lock, o.Table(), o.Room())
	return nil
}

// Done tells whether a function has succeeded: one load. A closed once is not
// done.
func (o *Once) Done() bool {
	if c := o.ref.Load(); c != nil {
		done := c.w.done.Load() != 0
		if !c.Closed.Load() {
			return done
		}
	}
	panic(errDone)
}

// Do calls f, unless a function has succeeded already, and returns nil if it
// has or f does: one load then. If f returns an error, panics, or its process is
// killed in it, it counts as not done, and the next Do calls its own f; Do
// returns f's error to its own caller alone. A function may so be killed at its
// very end and another called after it: what it does must bear that.
//
// While one runs its f, in whatever process, the others block, until ctx ends
// (ctx's error; it tries once even if ctx has ended already), or the once is
// closed in this process (ErrClosed). If the segment is closed while f runs, Do
// returns ErrClosed, and others do not wait for f any more.
//
// An f that calls Do of the same once, and waits for it, waits for itself, until
// the inner ctx ends.
func (o *Once) Do(ctx context.Context, f func() error) error {
	c := o.ref.Load()
	if c == nil {
		return o.closed("Do")
	}
	if c.w.done.Load() != 0 {
		return c.Fail("psync: Do", c.Done(nil))
	}
	wanted := o.ref.Wanted(c)
	_, err := c.mutex.TakeOver(ctx, func() bool { return wanted() && c.w.done.Load() == 0 })
	switch {
	case err == nil:
		return called(&c.Base, "psync: Do", c.run(f))
	case c.w.done.Load() != 0: // the lock is of no use, and its owner may be a process that is stopped
		err = nil
	}
	return c.Fail("psync: Do", c.Done(err))
}

// run calls f under the lock, and gives the lock back even if f panics.
func (c *onceCore) run(f func() error) error {
	defer c.mutex.Release()
	if c.w.done.Load() != 0 || c.Closed.Load() {
		return nil
	}
	if crash.Enabled {
		crash.At(crash.OnceRun)
	}
	if err := f(); err != nil {
		return err
	}
	if crash.Enabled {
		crash.At(crash.OnceRan)
	}
	c.w.done.Store(1)
	if crash.Enabled {
		crash.At(crash.OnceDone)
	}
	return nil
}
