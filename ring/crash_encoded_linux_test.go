package ring_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
)

// longCrashArgs are the arguments of a process that will be killed. Put says whether it puts or gets.
type longCrashArgs struct {
	Queue *ring.Queue[string]
	Put   bool
}

var longCrashVictim = proc.Register("long crash victim", func(ctx context.Context, in longCrashArgs) (int, error) {
	for i := 0; ; i++ {
		if in.Put {
			if err := in.Queue.Put(ctx, longCrashValue(i)); err != nil {
				return i, err
			}
		} else if _, err := in.Queue.Get(ctx); err != nil {
			return i, err
		}
	}
})

// longCrashValue returns a value of three blocks that says which one it is.
func longCrashValue(i int) string { return strings.Repeat(strconv.Itoa(1000+i%9000), 700) }

// TestEncodedDies kills a process at each step of a Put and of a Get of a long value.
func TestEncodedDies(t *testing.T) {
	const blocks, capacity = 80, 4
	for _, point := range []crash.Point{
		crash.QueueStorageReserved, crash.QueuePutClaimed, crash.QueuePutHelped, crash.QueueStorageTaken, crash.QueuePutCopied,
		crash.QueuePutReady, crash.QueueGetClaimed, crash.QueueGetHelped, crash.QueueGetCopied, crash.QueueGetFreed,
		crash.QueueStorageGiven,
	} {
		for _, n := range []int{1, 2, 3} {
			t.Run(fmt.Sprintf("%v/%d", point, n), func(t *testing.T) {
				NeedCrashPoints(t)
				if point == crash.QueueStorageReserved && n > 1 {
					t.Skip("the first time is for all of them")
				}
				ctx := Within(t)
				seg := Blocking(t, 1<<20)
				q := newStored[string](t, seg, capacity, blocks<<10)
				puts := point < crash.QueueGetClaimed || point == crash.QueueStorageReserved || point == crash.QueueStorageTaken
				if !puts {
					for i := range capacity {
						WantNil(t, "Put", q.Put(ctx, longCrashValue(i)))
					}
				}
				Killed(t, StartToDie(t, longCrashVictim, longCrashArgs{q, puts}, point, n))

				// What is there is whole, and at most the one that the victim was getting is lost.
				var got []string
				for {
					v, err := q.TryGet()
					if errors.Is(err, ring.ErrBusy) {
						continue
					}
					if err != nil {
						WantError(t, "TryGet", err, ring.ErrEmpty)
						break
					}
					if len(v) != 2800 || v != strings.Repeat(v[:4], 700) || slices.Contains(got, v) {
						t.Fatalf("got %d bytes: %.20q", len(v), v)
					}
					got = append(got, v)
				}
				if puts && len(got) > n || !puts && len(got) < capacity-n {
					t.Errorf("got %d values", len(got))
				}
				wantUnused(t, q)
				for range 3 * capacity { // all slots and all blocks can be used
					WantNil(t, "Put", q.Put(ctx, strings.Repeat("x", blocks*1008)))
					WantError(t, "TryPut", q.TryPut(strings.Repeat("y", 105)), ring.ErrFull)
					if v := Must(q.Get(ctx))(t); len(v) != blocks*1008 {
						t.Fatalf("got %d bytes", len(v))
					}
				}
				for i := range capacity {
					WantNil(t, "Put", q.Put(ctx, longCrashValue(i)))
				}
				WantError(t, "TryPut", q.TryPut(""), ring.ErrFull)
			})
		}
	}
}
