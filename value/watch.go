package value

import (
	"context"
	"iter"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/internal/wait"
	"github.com/seed-2e7ecdea/mp/poll"
	"github.com/seed-2e7ecdea/mp/shm"
)

// Watch returns an iterator over the value and its changes. It yields the current value, and from
// then on blocks until the value has changed and yields the new value. It skips values that are
// replaced before the loop asks for the next one, but it always yields the last one. If the value
// is replaced by an equal one, Watch may or may not yield it again.
//
// The iteration ends with a pair of the zero T and an error: ctx's error once ctx is done,
// ErrClosed once the value is closed. If ctx is done already, Watch yields the current value and
// then ctx's error.
//
// A program in another language that writes the value does not wake the watchers, unless it follows
// the protocol in docs/design/values.md.
func (v *Value[T]) Watch(ctx context.Context) iter.Seq2[T, error] {
	const watch = "value: Watch"
	return func(yield func(T, error) bool) {
		var zero T
		c := v.ref.Load()
		if c == nil {
			yield(zero, object.Closed(watch, shm.KindValue))
			return
		}
		w := &watcher[T]{c: c, wanted: v.ref.Wanted(c)}
		for {
			err := c.Done(c.Room().Await(ctx, &c.watchers, w))
			if err != nil {
				yield(zero, c.Fail(watch, err))
				return
			}
			w.seen = true
			if !yield(w.x, nil) {
				return
			}
			if err := ctx.Err(); err != nil { // Await does not look at ctx while the value keeps changing
				yield(zero, c.Fail(watch, err))
				return
			}
		}
	}
}

// WatchCase returns a case of poll.Select that copies the value to *x. The first Select finds it ready
// with the current value. From then on it is ready when the value has changed since a Select copied
// it, as with Watch. The case fails with ErrClosed.
func (v *Value[T]) WatchCase(x *T) poll.Case {
	const watch = "value: WatchCase"
	_ = *x // panics here rather than in Select
	c := v.ref.Load()
	if c == nil {
		return wait.Public(wait.FailedCase(object.Closed(watch, shm.KindValue))).(poll.Case)
	}
	w := &watcher[T]{c: c, wanted: v.ref.Wanted(c)}
	return wait.Public(&wait.Case{Room: c.Room(), Counters: c.Counters(), Waiter: w, Result: func(err error) error {
		if err = c.Done(err); err != nil {
			return c.Fail(watch, err)
		}
		w.seen, *x = true, w.x
		return nil
	}}).(poll.Case)
}

// A watcher waits until the value differs from the one that it has seen.
type watcher[T any] struct {
	c      *core[T]
	wanted func() bool
	seen   bool
	state  uint64 // of the value seen: the word's bits, or the value's number
	x      T
}

func (w *watcher[T]) Try() (bool, error) {
	if !w.wanted() {
		return false, ErrClosed
	}
	c := w.c
	if isWord[T]() {
		bits := loadBits[T](c.word)
		if w.seen && bits == w.state {
			return false, nil
		}
		w.state, w.x = bits, fromBits[T](bits)
		return true, nil
	}
	if w.seen && c.word.Load() == w.state {
		return false, nil
	}
	w.state = c.read(&w.x)
	return true, nil
}

func (w *watcher[T]) Arm() (wait.Armed, bool) { return w.c.gate.Arm(), true }

// Pass does nothing: a change wakes all watchers, so there is no wake to pass on.
func (w *watcher[T]) Pass(woken, done bool) {}
