package value_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/layout"
	"github.com/seed-2e7ecdea/mp/internal/leak"
	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
	"github.com/seed-2e7ecdea/mp/value"
)

// The offsets of a value's fields, as in docs/design/values.md.
const (
	atFormat = 0
	atCopies = 4
	atSize   = 8
	atStride = 16
	atGuard  = 128
	atWriter = 168
	atWord   = 256
	atCopy   = 384
)

// bytesOf opens the object of a value of T.
func bytesOf[T any](t *testing.T, seg *shm.Segment, name string) object.Object {
	t.Helper()
	l := Must(layout.Of[T]())(t)
	return Must(object.Open(seg, shm.KindValue, name, l.Fingerprint))(t)
}

// A value has the layout that docs/design/values.md describes for programs in other languages.
func TestLayout(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		word := func(b []byte, off int) uint64 { return binary.NativeEndian.Uint64(b[off:]) }
		i := Closing(t, Must(value.New(seg, "i", pair{1, 2}, nil))(t))
		mem := bytesOf[pair](t, seg, "i").Bytes()
		Want(t, "format", binary.NativeEndian.Uint32(mem[atFormat:]), 1)
		Want(t, "copies of a word", binary.NativeEndian.Uint32(mem[atCopies:]), 0)
		Want(t, "size", word(mem, atSize), 8)
		Want(t, "A", binary.NativeEndian.Uint32(mem[atWord:]), 1)
		Want(t, "B", binary.NativeEndian.Uint32(mem[atWord+4:]), 2)
		binary.NativeEndian.PutUint32(mem[atWord+4:], 3) // as C would
		Want(t, "value after a plain write", i.Load(), pair{1, 3})
		small := Closing(t, Must(value.New(seg, "s", [3]byte{1, 2, 3}, nil))(t))
		mem = bytesOf[[3]byte](t, seg, "s").Bytes()
		Want(t, "bytes", string(mem[atWord:atWord+4]), "\x01\x02\x03\x00")
		small.Store([3]byte{4, 5, 6})
		Want(t, "bytes", string(mem[atWord:atWord+4]), "\x04\x05\x06\x00")

		o := Closing(t, Must(value.New(seg, "o", odd{}, nil))(t))
		object := bytesOf[odd](t, seg, "o")
		mem = object.Bytes()
		Want(t, "Offset", o.Offset(), object.Offset()+atWord)
		Want(t, "copies", binary.NativeEndian.Uint32(mem[atCopies:]), 4)
		Want(t, "size", word(mem, atSize), 20)
		stride := word(mem, atStride)
		Want(t, "stride", stride, 128)
		for n := range 10 {
			Want(t, "number", word(mem, atWord), uint64(n))
			Want(t, "D", binary.NativeEndian.Uint32(mem[atCopy+uint64(n%4)*stride+8:]), uint32(n))
			o.Store(odd{D: uint32(n) + 1})
		}
	})
}

func TestVersionAndSize(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		Closing(t, Must(value.New(seg, "v", newBig(1), nil))(t))
		mem := bytesOf[big](t, seg, "v").Bytes()
		open := func() error { return Second(value.Open[big](seg, "v")) }
		for _, test := range []struct {
			what string
			at   int
			to   uint32
			want error
		}{
			{"another version", atFormat, 2, shm.ErrVersion},
			{"no version", atFormat, 0, shm.ErrVersion},
			{"one copy", atCopies, 1, shm.ErrCorrupt},
			{"no copies", atCopies, 0, shm.ErrCorrupt},
			{"many copies", atCopies, 1 << 31, shm.ErrCorrupt},
			{"another size", atSize, 4095, shm.ErrCorrupt},
			{"another stride", atStride, 8, shm.ErrCorrupt},
			{"a huge stride", atStride + 4, 1 << 31, shm.ErrCorrupt},
			{"no such lock", atGuard, 4, shm.ErrCorrupt},
			{"a lock that is nowhere", atGuard, 3, shm.ErrMismatch},
			{"writers without a lock", atWriter, 0, shm.ErrCorrupt},
		} {
			old := binary.NativeEndian.Uint32(mem[test.at:])
			binary.NativeEndian.PutUint32(mem[test.at:], test.to)
			WantError(t, test.what, open(), test.want)
			binary.NativeEndian.PutUint32(mem[test.at:], old)
		}
		WantNil(t, "Open", open())

		// Objects that are shorter than their headers say.
		l := Must(layout.Of[big]())(t)
		for _, size := range []int{1, 128, atCopy - 1, atCopy, len(mem) - 1} {
			short := Must(object.New(seg, object.Spec{Kind: shm.KindValue, Name: "short", Size: size, Fingerprint: l.Fingerprint,
				Init: func(b []byte) error { copy(b, mem); return nil }}))(t)
			WantError(t, fmt.Sprintf("%d bytes", size), Second(value.Open[big](seg, "short")), shm.ErrCorrupt)
			WantNil(t, "Remove", seg.Remove("short"))
			short.Close()
		}
	})
}

func TestTruncated(t *testing.T) {
	name := leak.Name("value")
	seg := Closing(t, Must(shm.Create(name, segmentSize, nil))(t))
	t.Cleanup(func() { shm.Unlink(name) })
	Closing(t, Must(value.New(seg, "v", newBig(1), nil))(t))
	copied := leak.Name("copy")
	text := Must(os.ReadFile(filepath.Join("/dev/shm", name)))(t)
	WantNil(t, "WriteFile", os.WriteFile(filepath.Join("/dev/shm", copied), text[:len(text)-1], 0o600))
	t.Cleanup(func() { shm.Unlink(copied) })
	WantError(t, "Open of a truncated segment", Second(shm.Open(copied, nil)), shm.ErrTruncated)
}

// Whatever a value's memory contains, Open fails, or it returns a value whose methods return.
func TestHostileBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, seg *shm.Segment) {
		testHostile(t, seg, int64(1))
		testHostile(t, seg, odd{})
		testHostile(t, seg, newBig(1))
	})
}

func testHostile[T comparable](t *testing.T, seg *shm.Segment, init T) {
	const name = "hostile"
	must := Must(value.New(seg, name, init, nil))(t)
	o := bytesOf[T](t, seg, name)
	mem := o.Bytes()
	good := append([]byte(nil), mem...)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	ctx := Within(t)
	opened := 0
	one := func() error {
		defer copy(mem, good)
		for range 1 + r.IntN(3) {
			at := r.IntN(atCopy)
			switch r.IntN(3) {
			case 0: // any bit
				mem[at] ^= 1 << r.IntN(8)
			case 1: // a word of the header
				binary.NativeEndian.PutUint32(mem[4*r.IntN(7):], r.Uint32())
			case 2: // a word of the locks or of the number
				binary.NativeEndian.PutUint32(mem[atGuard+4*r.IntN((atCopy-atGuard)/4):], r.Uint32()>>r.IntN(32))
			}
		}
		v, err := value.Open[T](seg, name)
		if err != nil {
			for _, want := range []error{shm.ErrCorrupt, shm.ErrVersion, shm.ErrMismatch, fs.ErrNotExist} {
				if errors.Is(err, want) {
					return nil
				}
			}
			return err
		}
		opened++
		defer v.Close()
		// If the random bytes name a living owner of a lock, a method that waits for the lock
		// returns only when the value is closed.
		late := time.AfterFunc(20*time.Millisecond, func() { v.Close() })
		defer late.Stop()
		defer func() {
			if e, ok := recover().(error); ok && !errors.Is(e, value.ErrClosed) {
				panic(e)
			}
		}()
		x := v.Load()
		v.Store(x)
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		v.Update(short, func(*T) {})
		for range v.Watch(short) {
			break
		}
		value.CompareAndSwap(v, x, x)
		return nil
	}
	done := Async(func() error {
		for range 2000 {
			if err := one(); err != nil {
				return err
			}
		}
		return nil
	})
	WantNil(t, "use of nonsense", Await(t, done, fmt.Sprintf("use of nonsense, seed %d", seed)))
	t.Logf("%T: opened %d of 2000, seed %d", init, opened, seed)
	WantNil(t, "Close", must.Close())
	WantNil(t, "Remove", seg.Remove(name))
}

// Open returns ErrNotExist if another object has the directory entry that the value's shared lock
// had.
func TestSharedLockReplaced(t *testing.T) {
	seg := Anonymous(t, segmentSize)
	lock := Must(psync.NewLock(seg, "lock", nil))(t)
	Closing(t, Must(value.New(seg, "v", 1.0, &value.Options{Lock: lock}))(t))
	mem := bytesOf[float64](t, seg, "v").Bytes()
	serial := mem[atGuard+24+8:]
	binary.NativeEndian.PutUint32(serial, binary.NativeEndian.Uint32(serial)+1)
	WantError(t, "Open", Second(value.Open[float64](seg, "v")), fs.ErrNotExist)
}
