package value

import (
	"context"
	"iter"

	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// Watch iterates over the value: as it is now, and then as it is after each
// change. Between changes it sleeps. Values that follow each other faster than the
// loop may be passed over, but the last one never is. A Store of what the value
// is already may count as a change or not. Programs in other languages that write
// the value wake nobody, unless they do as docs/design/values.md says.
//
// It ends with the pair of a zero T and an error: ctx's, or ErrClosed. If ctx has
// ended already, that follows the present value.
func (v *Value[T]) Watch(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		c := v.ref.Load()
		if c == nil {
			yield(zero, ErrClosed)
			return
		}
		w := &watcher[T]{c: c, wanted: v.ref.Wanted(c)}
		for {
			err := c.Done(c.Room().Await(ctx, &c.watchers, w))
			if err != nil {
				yield(zero, err)
				return
			}
			w.seen = true
			if !yield(w.x, nil) {
				return
			}
			if err := ctx.Err(); err != nil { // also if changes never end
				yield(zero, err)
				return
			}
		}
	}
}

// A watcher waits until the value is another than the one that it has seen.
type watcher[T any] struct {
	c      *core[T]
	wanted func() bool
	seen   bool
	state  uint64 // what was seen: the word's bits, or the value's number
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

// Pass has nothing to pass on: a change wakes all watchers.
func (w *watcher[T]) Pass(woken, done bool) {}
