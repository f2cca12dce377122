package array_test

import (
	"encoding/binary"
	"io/fs"
	"testing"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/internal/layout"
	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// TestErrorTable provokes each error of the package.
func TestErrorTable(t *testing.T) {
	seg := Anonymous(t, room)
	a := Closing(t, Must(array.New[int32](seg, "taken", 3, nil))(t))
	b := Closing(t, Must(array.NewBytes(seg, "b", 3, nil))(t))
	gone := Must(shm.Anonymous(room, nil))(t)
	WantNil(t, "Close", gone.Close())
	alien := Closing(t, Must(psync.NewLock(Heap(t, room), "", nil))(t))
	removed := Closing(t, Must(psync.NewLock(seg, "removed", nil))(t))
	Closing(t, Must(array.New[int32](seg, "a", 1, &array.Options{Lock: removed}))(t))
	WantNil(t, "Remove", seg.Remove("removed"))

	damaged := func(at int, to uint32) func() error {
		return func() error {
			Must(array.New[int32](seg, "damaged", 3, nil))(t).Close()
			defer seg.Remove("damaged")
			o := Must(object.Open(seg, shm.KindArray, "damaged", Must(layout.Of[int32]())(t).Fingerprint))(t)
			defer o.Close()
			binary.NativeEndian.PutUint32(o.Bytes()[at:], to)
			return Second(array.Open[int32](seg, "damaged"))
		}
	}
	with := func(l *psync.Lock) func() error {
		return func() error { return Second(array.New[int32](seg, "x", 1, &array.Options{Lock: l})) }
	}
	var closed array.Array[int32] // the zero values are closed
	var closedBytes array.Bytes

	CheckFailures(t,
		Fails("new", `array "x"`, shm.ErrType, func() error { return Second(array.New[string](seg, "x", 1, nil)) }),
		Fails("new", `array "x"`, shm.ErrSize, func() error { return Second(array.New[int32](seg, "x", -1, nil)) }),
		Fails("new", `byte string "x"`, shm.ErrSize, func() error { return Second(array.NewBytes(seg, "x", -1, nil)) }),
		Fails("new", `array "x"`, shm.ErrNoSpace, func() error { return Second(array.New[int32](seg, "x", room, nil)) }),
		Fails("new", `array "taken"`, fs.ErrExist, func() error { return Second(array.New[int32](seg, "taken", 1, nil)) }),
		Fails("new", `array "x"`, array.ErrClosed, func() error { return Second(array.New[int32](gone, "x", 1, nil)) }),
		Fails("new", `array "x"`, array.ErrClosed, with(new(psync.Lock))),
		Fails("new", `array "x"`, shm.ErrMismatch, with(alien)),
		Fails("new", `array "x"`, shm.ErrMismatch, with(a.Lock())),
		Fails("new", `array "x"`, fs.ErrNotExist, with(removed)),
		Fails("open", `array "x"`, fs.ErrNotExist, func() error { return Second(array.Open[int32](seg, "x")) }),
		Fails("open", `byte string "x"`, fs.ErrNotExist, func() error { return Second(array.OpenBytes(seg, "x")) }),
		Fails("open", `array "a"`, fs.ErrNotExist, func() error { return Second(array.Open[int32](seg, "a")) }),
		Fails("open", `array "taken"`, shm.ErrMismatch, func() error { return Second(array.Open[int8](seg, "taken")) }),
		Fails("open", `array "x"`, shm.ErrType, func() error { return Second(array.Open[string](seg, "x")) }),
		Fails("open", `array "damaged"`, shm.ErrVersion, damaged(0, 2)),
		Fails("open", `array "damaged"`, shm.ErrCorrupt, damaged(16, 4)),
		Fails("open", `array "damaged"`, shm.ErrCorrupt, damaged(32, 9)),
		Fails("open", `byte string`, shm.ErrHandle, func() error { return new(array.Bytes).UnmarshalText(nil) }),
		Fails("open", `byte string`, shm.ErrMismatch, func() error { return new(array.Bytes).UnmarshalText(Must(a.MarshalText())(t)) }),
		Fails("array: Len", "array", array.ErrClosed, Panics(func() { closed.Len() })),
		Fails("array: At", "array", array.ErrClosed, Panics(func() { closed.At(0) })),
		Fails("array: Set", "array", array.ErrClosed, Panics(func() { closed.Set(0, 1) })),
		Fails("array: Slice", "array", array.ErrClosed, Panics(func() { closed.Slice() })),
		Fails("array: Fill", "array", array.ErrClosed, Panics(func() { closed.Fill(1) })),
		Fails("array: CopyTo", "array", array.ErrClosed, Panics(func() { closed.CopyTo(nil) })),
		Fails("array: CopyFrom", "array", array.ErrClosed, Panics(func() { closed.CopyFrom(nil) })),
		Fails("array: Lock", "array", array.ErrClosed, Panics(func() { closed.Lock() })),
		Fails("array: Offset", "array", array.ErrClosed, Panics(func() { closed.Offset() })),
		Fails("array: MarshalText", "array", array.ErrClosed, func() error { return Second(closed.MarshalText()) }),
		Fails("array: MarshalBinary", "array", array.ErrClosed, func() error { return Second(closed.MarshalBinary()) }),
		Fails("array: Set", `byte string "b"`, array.ErrTooLarge, func() error { return b.Set("four") }),
		Fails("array: Set", "byte string", array.ErrClosed, func() error { return closedBytes.Set("") }),
		Fails("array: Cap", "byte string", array.ErrClosed, Panics(func() { closedBytes.Cap() })),
		Fails("array: Len", "byte string", array.ErrClosed, Panics(func() { closedBytes.Len() })),
		Fails("array: String", "byte string", array.ErrClosed, Panics(func() { _ = closedBytes.String() })),
		Fails("array: Raw", "byte string", array.ErrClosed, Panics(func() { closedBytes.Raw() })),
		Fails("array: Lock", "byte string", array.ErrClosed, Panics(func() { closedBytes.Lock() })),
		Fails("array: Offset", "byte string", array.ErrClosed, Panics(func() { closedBytes.Offset() })),
		Fails("array: MarshalText", "byte string", array.ErrClosed, func() error { return Second(closedBytes.MarshalText()) }),
	)
}
