package value_test

import (
	"context"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/crash"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

// storeTask writes 1, 2, 3 and so on, by Update if How is 1 and else by Store, until it is killed.
var storeTask = task("store", func(ctx context.Context, j job) (int, error) {
	for n := 1; n <= j.N; n++ {
		if j.Big != nil {
			if j.How == 0 {
				j.Big.Store(newBig(uint64(n)))
			} else if err := j.Big.Update(ctx, func(x *big) { *x = newBig(x[0] + 1) }); err != nil {
				return n, err
			}
		} else {
			if j.How == 0 {
				j.Int.Store(int64(n))
			} else if err := j.Int.Update(ctx, func(x *int64) { *x++ }); err != nil {
				return n, err
			}
		}
	}
	return j.N, nil
})

// TestCrash kills a writer at each step of its fifth write. It leaves the fourth or the fifth
// value, depending on the step. Readers, writers and watchers of this process and of another party
// go on.
func TestCrash(t *testing.T) {
	NeedCrashPoints(t)
	const nth = 5
	for _, test := range []struct {
		point  crash.Point
		big    bool
		update bool
		left   uint64
	}{
		{crash.ValueUpdating, false, true, nth - 1},
		{crash.ValueUpdating, true, true, nth - 1},
		{crash.ValueStored, false, false, nth},
		{crash.ValueStored, false, true, nth},
		{crash.ValueWriting, true, false, nth - 1},
		{crash.ValueWriting, true, true, nth - 1},
		{crash.ValueCopied, true, false, nth - 1},
		{crash.ValueCopied, true, true, nth - 1},
		{crash.ValuePublished, true, false, nth},
		{crash.ValuePublished, true, true, nth},
		{crash.ValueReleased, true, false, nth},
		{crash.ValueReleased, true, true, nth},
		// A step of the locks: the writers' lock, and the value's.
		{crash.LockTaken, true, false, nth - 1},
		{crash.LockTaken, false, true, nth - 1},
	} {
		name := test.point.String()
		if test.big {
			name += "_of_4_KiB"
		}
		if test.update {
			name += "_in_Update"
		}
		t.Run(name, func(t *testing.T) {
			seg := Anonymous(t, room)
			party := Attach(t, seg)
			j := job{N: 10 * nth}
			if test.update {
				j.How = 1
			}
			b := Closing(t, Must(value.New(seg, "b", big{}, nil))(t))
			i := Closing(t, Must(value.NewInt64(seg, "i", 0, nil))(t))
			farB := Closing(t, Must(value.Open[big](party, "b"))(t))
			farI := Closing(t, Must(value.OpenInt64(party, "i"))(t))
			var load func() uint64
			var write func(far bool) error
			ctx := Within(t)
			watched := make(chan uint64, 100)
			if test.big {
				j.Big = b
				load = func() uint64 {
					x := farB.Load()
					WantNil(t, "value", x.check())
					return x[0]
				}
				write = func(far bool) error {
					v := b
					if far {
						v = farB
					}
					v.Store(newBig(v.Load()[0] + 1))
					return v.Update(ctx, func(x *big) { *x = newBig(x[0] + 1) })
				}
				go func() {
					for x, err := range farB.Watch(ctx) {
						if err != nil || x.check() != nil {
							close(watched)
							return
						}
						watched <- x[0]
					}
				}()
			} else {
				j.Int = i
				load = func() uint64 { return uint64(farI.Load()) }
				write = func(far bool) error {
					v := i
					if far {
						v = farI
					}
					v.Add(1)
					return v.Update(ctx, func(x *int64) { *x++ })
				}
				go func() {
					for x, err := range farI.Watch(ctx) {
						if err != nil {
							close(watched)
							return
						}
						watched <- uint64(x)
					}
				}()
			}
			Want(t, "first value watched", Await(t, watched, "first value"), 0)
			Killed(t, StartToDie(t, storeTask, j, test.point, nth))
			Want(t, "value that was left", load(), test.left)
			// The watcher sees it, even if the writer died before it woke anybody.
			for x := uint64(0); x != test.left; {
				x = Await(t, watched, "the dead writer's last value")
			}
			for _, far := range []bool{false, true} {
				WantNil(t, "write", Await(t, Async(func() error { return write(far) }), "write after the death"))
			}
			Want(t, "value after writes", load(), test.left+4)
			for x := uint64(0); x != test.left+4; {
				x = Await(t, watched, "the survivors' last value")
			}
		})
	}
}

// Update returns ErrOwnerDied if the value has an Options.Lock and the lock's owner died in Update.
func TestCrashWithSharedLock(t *testing.T) {
	NeedCrashPoints(t)
	for point := range crash.Points(crash.ValueUpdating, crash.ValueReleased) {
		t.Run(point.String(), func(t *testing.T) {
			seg := Anonymous(t, room)
			lock := Closing(t, Must(psync.NewLock(seg, "", nil))(t))
			o := &value.Options{Lock: lock}
			j := job{N: 10, How: 1}
			if point == crash.ValueStored {
				j.Int = Closing(t, Must(value.NewInt64(seg, "", 0, o))(t))
			} else {
				j.Big = Closing(t, Must(value.New(seg, "", big{}, o))(t))
			}
			Killed(t, StartToDie(t, storeTask, j, point, 1))
			ctx := Within(t)
			update := func() error {
				if j.Int != nil {
					return j.Int.Update(ctx, func(x *int64) { *x++ })
				}
				return j.Big.Update(ctx, func(x *big) { *x = newBig(x[0] + 1) })
			}
			WantError(t, "Update", update(), psync.ErrOwnerDied)
			WantNil(t, "Recover", lock.Recover(ctx, func() error { return nil }))
			WantNil(t, "Update", update())
		})
	}
}
