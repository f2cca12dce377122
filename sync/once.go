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

// A Once lets all processes and goroutines together perform an action once: Do calls its function
// unless an earlier call of a function has succeeded.
//
// Each call of a function synchronizes before the next call of one. The call that succeeded
// synchronizes before the return of every Do that returns nil and of every Done that returns true.
//
// A Once must not be copied. The zero Once is closed. All methods may be called from several
// goroutines at once.
type Once struct {
	handle[onceCore, *onceCore]
}

var _ marshaler = (*Once)(nil)

// onceWords is a once in shared memory.
//
//	0   lock  held while a function runs: see package robust
//	16  done  not 0 when a function has succeeded; written under the lock
//
// The death of the lock's owner counts as a failure of its function, unless done is set. If the
// process is killed after
//
//	OnceRun, or in the function  the next Do takes the lock and calls its own function
//	OnceRan: done is still 0     the same: the function has succeeded, and another runs
//	OnceDone: lock still held    the next Do takes the lock and finds done set
type onceWords struct {
	_    structs.HostLayout
	lock robust.Words
	done atomic.Uint32
}

const (
	onceSize  = 128 // whole cache lines, not shared with other objects
	oncePrint = 1   // version of onceWords
)

// errDone is made here because Done would not be inlined if it called closed.
var errDone = object.Closed("psync: Done", shm.KindOnce)

type onceCore struct {
	object.Base
	w     *onceWords
	mutex robust.Mutex
}

// NewOnce makes a once in seg, not done, with an optional name. It takes 128 bytes. NewOnce fails
// as every New function does: see package shm.
func NewOnce(seg *shm.Segment, name string) (*Once, error) {
	o := new(Once)
	if err := o.ref.New(seg, name, onceSize, nil); err != nil {
		return nil, err
	}
	return o, nil
}

// OpenOnce opens the once of that name. It fails as every Open function does: see package shm.
func OpenOnce(seg *shm.Segment, name string) (*Once, error) {
	o := new(Once)
	if err := o.ref.Open(seg, name); err != nil {
		return nil, err
	}
	return o, nil
}

func (*onceCore) Type() (shm.Kind, uint64, error) { return shm.KindOnce, oncePrint, nil }

func (c *onceCore) Use(o object.Object) error {
	if err := c.Init(o, onceSize); err != nil {
		return err
	}
	c.w = view.At[onceWords](o.Bytes(), 0)
	c.mutex.Init(&c.w.lock, o.Table(), o.Room())
	c.mutex.Count(o.Counters())
	return nil
}

// Done reports whether a function has succeeded. It never blocks. It panics if the once is closed.
func (o *Once) Done() bool {
	if c := o.ref.Load(); c != nil {
		done := c.w.done.Load() != 0
		if !c.Closed.Load() {
			return done
		}
	}
	panic(errDone)
}

// Do calls f unless a function has succeeded already. It returns nil if one has or if f succeeds.
// If f fails, Do returns f's error as it is, to its own caller alone. If f fails or panics, or its
// process is killed in it, the once is not done, and the next Do calls its own f. So a function may
// be killed at its very end, and another one is called after it: both must allow for that.
//
// While a function runs, in any process, other calls of Do block. They fail with ctx's error when
// ctx is done (they try once even if ctx is done already), or with ErrClosed when this process
// closes the once. If the segment is closed while f runs, Do returns ErrClosed after f, and other
// processes do not wait for f any more.
//
// An f that calls Do of the same once waits for itself, until the inner ctx is done.
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
	case c.w.done.Load() != 0: // the lock is not needed any more, and its owner may be stopped
		err = nil
	}
	return c.Fail("psync: Do", c.Done(err))
}

// run calls f under the lock. It releases the lock even if f panics.
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
