package value_test

import (
	"context"
	"encoding/binary"
	"io/fs"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

// TestErrorTable provokes each error of the package.
func TestErrorTable(t *testing.T) {
	ctx := Within(t)
	seg := Anonymous(t, room)
	closed := Must(value.NewInt64(seg, "", 0, nil))(t)
	WantNil(t, "Close", closed.Close())
	big := Closing(t, Must(value.New(seg, "taken", newBig(1), nil))(t))
	closedBig := Must(value.Open[[512]uint64](seg, "taken"))(t)
	WantNil(t, "Close", closedBig.Close())
	var float value.Float64 // the zero value is closed

	// A value whose lock a dead process holds, and one whose lock has been removed.
	orphan := Closing(t, Must(psync.NewLock(seg, "orphan", nil))(t))
	v := Closing(t, Must(value.New(seg, "v", 1.0, &value.Options{Lock: orphan}))(t))
	party := Must(object.Attach(seg))(t)
	WantNil(t, "TryAcquire", Must(psync.OpenLock(party, "orphan"))(t).TryAcquire())
	Dies(t, seg, party)
	removed := Closing(t, Must(psync.NewLock(seg, "removed", nil))(t))
	Closing(t, Must(value.New(seg, "w", 1.0, &value.Options{Lock: removed}))(t))
	WantNil(t, "Remove", seg.Remove("removed"))
	held := Closing(t, Must(value.New(seg, "held", 1.0, nil))(t))
	WantNil(t, "TryAcquire", held.Lock().TryAcquire())
	alien := Closing(t, Must(psync.NewLock(Heap(t, room), "", nil))(t))
	gone := Must(shm.Anonymous(room, nil))(t)
	WantNil(t, "Close", gone.Close())

	// Values whose memory is not as this version of mp writes it.
	damaged := func(at int, to uint32) func() error {
		return func() error {
			Must(value.New(seg, "damaged", newBig(1), nil))(t).Close()
			defer seg.Remove("damaged")
			o := bytesOf[[512]uint64](t, seg, "damaged")
			defer o.Close()
			binary.NativeEndian.PutUint32(o.Bytes()[at:], to)
			return Second(value.Open[[512]uint64](seg, "damaged"))
		}
	}
	with := func(l *psync.Lock) func() error {
		return func() error { return Second(value.New(seg, "x", 1.0, &value.Options{Lock: l})) }
	}
	watch := func(v *value.Int64, ctx context.Context) func() error {
		return func() (err error) {
			for _, err = range v.Watch(ctx) {
			}
			return err
		}
	}
	update := func(v *value.Value[float64], ctx context.Context) func() error {
		return func() error { return v.Update(ctx, func(*float64) {}) }
	}
	n := Closing(t, Must(value.NewInt64(seg, "n", 1, nil))(t))

	CheckFailures(t,
		Fails("new", `value "x"`, shm.ErrType, func() error { return Second(value.New(seg, "x", "text", nil)) }),
		Fails("new", `value "x"`, shm.ErrNoSpace, func() error { return Second(value.New(seg, "x", [room]byte{}, nil)) }),
		Fails("new", `value "taken"`, fs.ErrExist, func() error { return Second(value.New(seg, "taken", 1.0, nil)) }),
		Fails("new", `value "x"`, value.ErrClosed, func() error { return Second(value.New(gone, "x", 1.0, nil)) }),
		Fails("new", `value "x"`, value.ErrClosed, with(new(psync.Lock))),
		Fails("new", `value "x"`, shm.ErrMismatch, with(alien)),
		Fails("new", `value "x"`, shm.ErrMismatch, with(n.Lock())),
		Fails("new", `value "x"`, fs.ErrNotExist, with(removed)),
		Fails("open", `value "x"`, fs.ErrNotExist, func() error { return Second(value.Open[float64](seg, "x")) }),
		Fails("open", `value "w"`, fs.ErrNotExist, func() error { return Second(value.Open[float64](seg, "w")) }),
		Fails("open", `value "taken"`, shm.ErrMismatch, func() error { return Second(value.OpenInt64(seg, "taken")) }),
		Fails("open", `value "x"`, shm.ErrType, func() error { return Second(value.Open[[]byte](seg, "x")) }),
		Fails("open", `value "damaged"`, shm.ErrVersion, damaged(atFormat, 2)),
		Fails("open", `value "damaged"`, shm.ErrCorrupt, damaged(atSize, 7)),
		Fails("open", `value "damaged"`, shm.ErrCorrupt, damaged(atGuard, 9)),
		Fails("open", `value "damaged"`, shm.ErrCorrupt, damaged(atWriter, 0)),
		Fails("open", `value`, shm.ErrHandle, func() error { return new(value.Int64).UnmarshalText([]byte("x")) }),
		Fails("open", `value`, shm.ErrMismatch, func() error { return new(value.Int64).UnmarshalText(Must(big.MarshalText())(t)) }),
		Fails("value: Load", "value", value.ErrClosed, Panics(func() { closed.Load() })),
		Fails("value: Load", "value", value.ErrClosed, Panics(func() { closedBig.Load() })),
		Fails("value: Load", "value", value.ErrClosed, Panics(func() { float.Load() })),
		Fails("value: Store", "value", value.ErrClosed, Panics(func() { closed.Store(1) })),
		Fails("value: Swap", "value", value.ErrClosed, Panics(func() { closed.Swap(1) })),
		Fails("value: CompareAndSwap", "value", value.ErrClosed, Panics(func() { closed.CompareAndSwap(1, 2) })),
		Fails("value: Add", "value", value.ErrClosed, Panics(func() { closed.Add(1) })),
		Fails("value: Add", "value", value.ErrClosed, Panics(func() { float.Add(1) })),
		Fails("value: And", "value", value.ErrClosed, Panics(func() { closed.And(1) })),
		Fails("value: Or", "value", value.ErrClosed, Panics(func() { closed.Or(1) })),
		Fails("value: Word", "value", value.ErrClosed, Panics(func() { closed.Word() })),
		Fails("value: Lock", "value", value.ErrClosed, Panics(func() { closed.Lock() })),
		Fails("value: Offset", "value", value.ErrClosed, Panics(func() { closed.Offset() })),
		Fails("value: Update", "value", value.ErrClosed, func() error { return closed.Update(ctx, func(*int64) {}) }),
		Fails("value: Update", `value "held"`, context.Canceled, update(held, Expired)),
		Fails("value: Update", `value "v"`, psync.ErrOwnerDied, update(v, ctx)),
		Fails("value: Watch", "value", value.ErrClosed, watch(closed, ctx)),
		Fails("value: Watch", `value "n"`, context.Canceled, watch(n, Expired)),
		Fails("value: MarshalText", "value", value.ErrClosed, func() error { return Second(closed.MarshalText()) }),
		Fails("value: MarshalBinary", "value", value.ErrClosed, func() error { return Second(closed.MarshalBinary()) }),
	)
}
