package poll

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-2e7ecdea/mp/internal/known"
	"github.com/seed-2e7ecdea/mp/internal/wait"
)

// ErrNotReady means that no case is ready now.
var ErrNotReady = errors.New("no case is ready")

func init() { known.Register(ErrNotReady) }

// Select blocks until one of the cases is ready, carries out its operation if it has one, and
// returns its index. If several cases are ready it chooses one of them at random, so a case that is
// always ready does not starve the others. The other cases have not been carried out.
//
// If the case fails, because its object is closed or its queue is shut down, Select returns its
// index and its error. If ctx is done, Select returns -1 and an error that wraps ctx's. It tries
// each case once even if ctx is done already. An error means that nothing was taken, put or
// acquired, except as the operation of the case says.
//
// A nil case and the zero Case are never ready. Without any other case, Select blocks until ctx is
// done.
//
// There may be any number of cases, of objects in any segments. The goroutine sleeps once for all
// of them, and uses no CPU time meanwhile. A Select of more than about 120 cases uses more than one
// thread. The return of Select synchronizes as the operation of the case does. The death of a
// process wakes the goroutine if there is something to do: to take over what the process left, or
// to learn that a pipe has ended.
//
// Several goroutines may call Select at once, with the same objects, but not with the same Case.
func Select(ctx context.Context, cases ...Waitable) (int, error) {
	var buf [few]*wait.Case
	var at [few]int
	list, index := collect(buf[:0], at[:0], cases)
	i, err := wait.TryAny(list)
	if i < 0 {
		i, err = await(ctx, list)
	}
	if i < 0 {
		return -1, fmt.Errorf("poll: Select of %d cases: %w", len(cases), err)
	}
	return index[i], err
}

// await is AwaitAny of a copy of the list, so that the list of a Select that need not wait stays on
// the stack.
func await(ctx context.Context, list []*wait.Case) (int, error) {
	return wait.AwaitAny(ctx, append([]*wait.Case(nil), list...))
}

// TrySelect is like Select but never blocks. It returns -1 and ErrNotReady if no case is ready.
func TrySelect(cases ...Waitable) (int, error) {
	var buf [few]*wait.Case
	var at [few]int
	list, index := collect(buf[:0], at[:0], cases)
	i, err := wait.TryAny(list)
	if i < 0 {
		return -1, errNotReady
	}
	return index[i], err
}

// errNotReady is made here so that polling does not allocate.
var errNotReady = fmt.Errorf("poll: TrySelect: %w", ErrNotReady)

// few is how many cases Select lists on the stack.
const few = 8

// collect appends the cases that may be ready to list, and their indices to index.
func collect(list []*wait.Case, index []int, cases []Waitable) ([]*wait.Case, []int) {
	for i, w := range cases {
		if w == nil {
			continue
		}
		if c := w.Case().c; c != nil {
			list, index = append(list, c), append(index, i)
		}
	}
	return list, index
}
