package shm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// The offsets of the parts of a segment: see header.go and entry_unsafe.go.
const (
	offVersion = 8
	offOrder   = 12
	offTotal   = 16
	offParties = 24
	offObjects = 28
	offID      = 32
	offSum     = 48
	headerSize = 56

	offEpoch   = 128
	offDirLock = 256
	offWords   = 384
	offLines   = 512
	lineSize   = 128
	entrySize  = 640

	offState   = 0
	offSerial  = 4
	offKind    = 8
	offNameLen = 12
	offPrint   = 16
	offOffset  = 24
	offSize    = 32
	offHolds   = 48
	offName    = 432

	imageParties = 4
	imageObjects = 8
	offDirectory = offLines + (imageParties+1)*lineSize
	imageIndex   = 1 << 16
	imageBase    = 2 << 16
	imageRoom    = 1 << 15
)

// image returns the bytes of a valid segment with a few objects in it: plain
// "p", a lock "l", a queue "q" with a value in it, a pipe "c" with a message.
func image(t testing.TB) []byte {
	t.Helper()
	n := name(t)
	seg := Must(shm.Create(n, imageRoom, &shm.Options{Parties: imageParties, Objects: imageObjects}))(t)
	Must(newPlain(seg, "p", 1000))(t)
	Must(psync.NewLock(seg, "l", nil))(t)
	q := Must(ring.NewQueue[uint64](seg, "q", 4, nil))(t)
	if err := q.TryPut(1); err != nil {
		t.Fatal(err)
	}
	a, b, err := ring.NewPipe(seg, "c", &ring.PipeOptions{Capacity: 4096})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.TrySend([]byte("message")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.Close(), b.Close(), q.Close(), seg.Close()); err != nil {
		t.Fatal(err)
	}
	raw := Must(os.ReadFile(filePath(n)))(t)
	WantNil(t, "Unlink", shm.Unlink(n)) // Reach must not find it
	if len(raw) != imageBase+imageRoom {
		t.Fatalf("a segment of %d bytes, want %d: this test does not know the layout any more", len(raw), imageBase+imageRoom)
	}
	return raw
}

func put32(b []byte, off int, v uint32) { binary.NativeEndian.PutUint32(b[off:], v) }
func put64(b []byte, off int, v uint64) { binary.NativeEndian.PutUint64(b[off:], v) }

// sum stores the right checksum in the header.
func sum(b []byte) {
	h := fnv.New64a()
	h.Write(b[:offSum])
	put64(b, offSum, h.Sum64())
}

func entry(i int) int { return offDirectory + i*entrySize }

// TestHostileHeader shows that Open and Reach report each damage of a header by the right error,
// and that List skips such files (M17).
func TestHostileHeader(t *testing.T) {
	valid := image(t)
	with := func(change func(b []byte)) func([]byte) []byte {
		return func(b []byte) []byte { change(b); sum(b); return b }
	}
	for _, tt := range []struct {
		label string
		bytes func(b []byte) []byte
		want  error
	}{
		{"nothing", func([]byte) []byte { return nil }, shm.ErrForeign},
		{"one byte", func(b []byte) []byte { return b[:1] }, shm.ErrForeign},
		{"text", func([]byte) []byte { return bytes.Repeat([]byte("no segment\n"), 1<<13) }, shm.ErrForeign},
		{"zeroes", func(b []byte) []byte { return make([]byte, len(b)) }, shm.ErrForeign},
		{"magic", with(func(b []byte) { b[7] ^= 1 }), shm.ErrForeign},
		{"another byte order", func(b []byte) []byte { put32(b, offOrder, 0x04030201); return b }, shm.ErrForeign},
		{"only the magic", func(b []byte) []byte { return b[:8] }, shm.ErrTruncated},
		{"half a header", func(b []byte) []byte { return b[:headerSize-1] }, shm.ErrTruncated},
		{"only a header", func(b []byte) []byte { return b[:headerSize] }, shm.ErrTruncated},
		{"half a table", func(b []byte) []byte { return b[:offDirectory-1] }, shm.ErrTruncated},
		{"no objects", func(b []byte) []byte { return b[:imageBase] }, shm.ErrTruncated},
		{"a byte short", func(b []byte) []byte { return b[:len(b)-1] }, shm.ErrTruncated},
		{"newer", func(b []byte) []byte { put32(b, offVersion, 4); return b }, shm.ErrVersion},
		{"older", with(func(b []byte) { put32(b, offVersion, 1) }), shm.ErrVersion},
		{"newest", with(func(b []byte) { put32(b, offVersion, 1<<32-1) }), shm.ErrVersion},
		{"version 0", with(func(b []byte) { put32(b, offVersion, 0) }), shm.ErrCorrupt},
		{"sum", func(b []byte) []byte { b[offSum]++; return b }, shm.ErrCorrupt},
		{"identity changed", func(b []byte) []byte { b[offID]++; return b }, shm.ErrCorrupt},
		{"no parties", with(func(b []byte) { put32(b, offParties, 0) }), shm.ErrCorrupt},
		{"1024 parties", with(func(b []byte) { put32(b, offParties, 1024) }), shm.ErrCorrupt},
		{"parties without end", with(func(b []byte) { put32(b, offParties, 1<<32-1) }), shm.ErrCorrupt},
		{"no entries", with(func(b []byte) { put32(b, offObjects, 0) }), shm.ErrCorrupt},
		{"too many entries", with(func(b []byte) { put32(b, offObjects, 1<<20+1) }), shm.ErrCorrupt},
		{"entries without end", with(func(b []byte) { put32(b, offObjects, 1<<32-1) }), shm.ErrCorrupt},
		{"entries beyond the file", with(func(b []byte) { put32(b, offObjects, 1<<20) }), shm.ErrCorrupt},
		{"no space", with(func(b []byte) { put64(b, offTotal, imageBase) }), shm.ErrCorrupt},
		{"no bytes", with(func(b []byte) { put64(b, offTotal, 0) }), shm.ErrCorrupt},
		{"2^64-1 bytes", with(func(b []byte) { put64(b, offTotal, 1<<64-1) }), shm.ErrCorrupt},
		{"2^63 bytes", with(func(b []byte) { put64(b, offTotal, 1<<63) }), shm.ErrCorrupt},
		{"more than there is", with(func(b []byte) { put64(b, offTotal, imageBase+imageRoom+1) }), shm.ErrTruncated},
		{"512 MiB", with(func(b []byte) { put64(b, offTotal, 1<<29) }), shm.ErrTruncated},
	} {
		t.Run(tt.label, func(t *testing.T) {
			b := tt.bytes(bytes.Clone(valid))
			n := name(t)
			if err := os.WriteFile(filePath(n), b, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := shm.Open(n, nil)
			WantError(t, "Open", err, tt.want)
			for _, other := range []error{shm.ErrForeign, shm.ErrTruncated, shm.ErrVersion, shm.ErrCorrupt} {
				if other != tt.want && errors.Is(err, other) {
					t.Errorf("Open: %v is two things at once", err)
				}
			}
			if len(b) >= headerSize && shm.ID(b[offID:]) != (shm.ID{}) {
				_, err = shm.Reach(shm.Handle{Segment: shm.ID(b[offID:]), PID: 1 << 31})
				WantError(t, "Reach", err, shm.ErrUnreachable)
			}
			if found := list(t, n); len(found) > 0 {
				t.Errorf("listed: %v", found)
			}
			if gone := reap(t, n); len(gone) > 0 {
				t.Error("reaped")
			}
		})
	}
	t.Run("longer than the segment", func(t *testing.T) {
		n := name(t)
		if err := os.WriteFile(filePath(n), append(bytes.Clone(valid), "more"...), 0o600); err != nil {
			t.Fatal(err)
		}
		seg := Closing(t, Must(shm.Open(n, nil))(t))
		if size := Must(seg.Size())(t); size != imageRoom {
			t.Errorf("size %d, want %d", size, imageRoom)
		}
	})
	t.Run("sparse and huge", func(t *testing.T) {
		n := name(t)
		b := bytes.Clone(valid)
		put64(b, offTotal, 1<<60)
		sum(b)
		if err := os.WriteFile(filePath(n), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filePath(n), 1<<60); err != nil {
			t.Skip("no such files here:", err)
		}
		if _, err := shm.Open(n, nil); err == nil {
			t.Error("opened")
		}
	})
}

// TestHostileBody shows that a segment with a valid header can be opened whatever its other bytes
// are, and that its objects can be opened or are refused.
func TestHostileBody(t *testing.T) {
	valid := image(t)
	const x = 0 // the entry of "p"
	for _, tt := range []struct {
		label   string
		change  func(b []byte)
		open    error // of the plain object "p"
		newOne  error // of making another object
		parties int
	}{
		{"nothing", func([]byte) {}, nil, nil, 1},
		{"offset in the header", func(b []byte) { put64(b, entry(x)+offOffset, 0) }, shm.ErrCorrupt, shm.ErrCorrupt, 1},
		{"offset beyond", func(b []byte) { put64(b, entry(x)+offOffset, 1<<62) }, shm.ErrCorrupt, shm.ErrCorrupt, 1},
		{"offset of all ones", func(b []byte) { put64(b, entry(x)+offOffset, 1<<64-128) }, shm.ErrCorrupt, shm.ErrCorrupt, 1},
		{"odd offset", func(b []byte) { put64(b, entry(x)+offOffset, imageBase+1) }, shm.ErrCorrupt, shm.ErrCorrupt, 1},
		{"no size", func(b []byte) { put64(b, entry(x)+offSize, 0) }, shm.ErrCorrupt, shm.ErrCorrupt, 1},
		{"size beyond", func(b []byte) { put64(b, entry(x)+offSize, imageRoom+1) }, shm.ErrCorrupt, shm.ErrCorrupt, 1},
		{"size of all ones", func(b []byte) { put64(b, entry(x)+offSize, 1<<64-1) }, shm.ErrCorrupt, shm.ErrCorrupt, 1},
		{"overlap", func(b []byte) { put64(b, entry(x)+offSize, 1100) }, nil, shm.ErrCorrupt, 1},
		{"another kind", func(b []byte) { put32(b, entry(x)+offKind, 99) }, shm.ErrMismatch, nil, 1},
		{"another type", func(b []byte) { put64(b, entry(x)+offPrint, 99) }, shm.ErrMismatch, nil, 1},
		{"name too long", func(b []byte) { put32(b, entry(x)+offNameLen, 121) }, fs.ErrNotExist, nil, 1},
		{"name of 4 GiB", func(b []byte) { put32(b, entry(x)+offNameLen, 1<<32-1) }, fs.ErrNotExist, nil, 1},
		{"being made", func(b []byte) { put32(b, entry(x)+offState, 1) }, fs.ErrNotExist, nil, 1},
		{"removed", func(b []byte) { put32(b, entry(x)+offState, 3) }, fs.ErrNotExist, nil, 1},
		{"no such state", func(b []byte) { put32(b, entry(x)+offState, 77) }, fs.ErrNotExist, nil, 1},
		{"serial", func(b []byte) { put32(b, entry(x)+offSerial, 1<<32-1) }, nil, nil, 1},
		{"held by everyone", func(b []byte) {
			for i := offHolds; i < offName; i++ {
				b[entry(x)+i] = 0xff
			}
		}, nil, nil, 1},
		{"all lines alive", func(b []byte) {
			for i := 1; i <= imageParties; i++ {
				put32(b, offLines+i*lineSize, 3)
				put32(b, offLines+i*lineSize+4, uint32(os.Getpid()))
			}
		}, nil, nil, 1},
		{"lines of all ones", func(b []byte) {
			for i := range imageParties - 2 {
				for k := range lineSize {
					b[offLines+(i+1)*lineSize+k] = 0xff
				}
			}
		}, nil, nil, 1},
		{"alive without a process", func(b []byte) {
			for i := 1; i <= imageParties; i++ {
				put32(b, offLines+i*lineSize, 1)
			}
		}, nil, nil, 1},
		{"directory locked by no party", func(b []byte) { put32(b, offDirLock, 1) }, nil, nil, 1},
		{"directory locked by the dead", func(b []byte) { put32(b, offDirLock, 0xfffffffe) }, nil, nil, 1},
		{"directory locked by the next party", func(b []byte) { put32(b, offDirLock, (2<<10|1)<<1) }, nil, nil, 1},
		{"epoch", func(b []byte) { put32(b, offEpoch, 1<<32-1) }, nil, nil, 1},
	} {
		t.Run(tt.label, func(t *testing.T) {
			b := bytes.Clone(valid)
			tt.change(b)
			n := name(t)
			if err := os.WriteFile(filePath(n), b, 0o600); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if _, err := shm.Inspect(n); err != nil {
					t.Errorf("Inspect: %v", err)
				}
				seg, err := shm.Open(n, nil)
				if err != nil {
					t.Errorf("Open: %v", err)
					return
				}
				defer seg.Close()
				objects(seg)
				if got := Must(seg.Parties())(t); got != tt.parties {
					t.Errorf("%d parties, want %d", got, tt.parties)
				}
				_, err = openPlain(seg, "p")
				WantError(t, "open", err, tt.open)
				o, err := newPlain(seg, "new", 100)
				WantError(t, "NewObject", err, tt.newOne)
				if err == nil {
					o.Bytes()[99] = 1
					WantError(t, "Remove", seg.Remove("new"), nil)
				}
				other, err := object.Attach(seg)
				if err != nil {
					t.Errorf("Attach: %v", err)
					return
				}
				other.Close()
			}()
			Await(t, done, "use of a hostile segment")
		})
	}
	t.Run("no generation left", func(t *testing.T) {
		b := bytes.Clone(valid)
		for i := 1; i <= imageParties; i++ {
			put32(b, offLines+i*lineSize, (1<<31-1024|uint32(i))<<1) // dead, in the last generation
		}
		put32(b, offLines+2*lineSize, (1<<31-2048|2)<<1) // one generation is left
		n := name(t)
		if err := os.WriteFile(filePath(n), b, 0o600); err != nil {
			t.Fatal(err)
		}
		seg := Closing(t, Must(shm.Open(n, nil))(t))
		Must(newPlain(seg, "", 1))(t)
		_, err := object.Attach(seg)
		WantError(t, "Attach", err, shm.ErrParties)
		if err := seg.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = shm.Open(n, nil)
		WantError(t, "Open", err, shm.ErrParties)
	})
}

// patch changes bytes of a segment. The fuzzer's input is a list of records of 12 bytes: a region,
// a width, an offset in the region, and a value.
func patch(b, input []byte) {
	regions := []struct{ off, size int }{
		{0, headerSize},
		{offEpoch, 384},
		{offLines + lineSize, imageParties * lineSize},
		{offDirectory, imageObjects * entrySize},
		{imageBase, 1 << 11},         // plain, lock, and the queue's head
		{imageBase + 1<<10, 1 << 11}, // lock, queue, the pipe's head
		{imageBase, imageRoom},
		{imageIndex, 4 << 10},
	}
	for len(input) >= 12 {
		r := regions[int(input[0])%len(regions)]
		off := r.off + int(binary.LittleEndian.Uint16(input[2:]))%r.size
		v := binary.LittleEndian.Uint64(input[4:])
		switch input[1] % 4 {
		case 0:
			b[off] = byte(v)
		case 1:
			put32(b, off&^3, uint32(v))
		case 2:
			put64(b, off&^7, v)
		case 3: // small change
			put32(b, off&^3, binary.NativeEndian.Uint32(b[off&^3:])+uint32(int8(v)))
		}
		input = input[12:]
	}
}

// use calls the methods of an open segment and of its objects that do not block.
func use(seg *shm.Segment) {
	if other, err := object.Attach(seg); err == nil {
		defer other.Close()
	}
	buf := make([]byte, 10000)
	infos := objects(seg)
	for _, info := range append(infos, shm.ObjectInfo{Name: "p"}, shm.ObjectInfo{Name: "l"}, shm.ObjectInfo{Name: "q"}, shm.ObjectInfo{Name: "c"}) {
		if o, err := openPlain(seg, info.Name); err == nil {
			clear(o.Bytes()[:min(1000, len(o.Bytes()))])
			o.Hold(1)
			o.Held(2)
			o.Drop(1)
			o.Close()
		}
		if l, err := psync.OpenLock(seg, info.Name); err == nil {
			if l.TryAcquire() == nil {
				l.Release()
			}
			l.Close()
		}
		if q, err := ring.OpenQueue[uint64](seg, info.Name); err == nil {
			for range 6 {
				q.TryPut(5)
			}
			q.Len()
			for range 6 {
				q.TryGet()
			}
			q.Close()
		}
		a, errA := ring.OpenPipe(seg, info.Name, ring.A)
		b, errB := ring.OpenPipe(seg, info.Name, ring.B)
		if errA == nil && errB == nil {
			for range 3 {
				a.TrySend(buf[:700])
				b.TrySend(nil)
			}
			for range 6 {
				b.TryReceive()
				a.TryReceiveInto(buf)
			}
		}
		if errA == nil {
			a.Close()
		}
		if errB == nil {
			b.Close()
		}
	}
	for i, size := range []int{100, 5000, 1} {
		if o, err := newPlain(seg, fmt.Sprint("new", i), size); err == nil {
			clear(o.Bytes())
			o.Close()
		}
	}
	for _, info := range objects(seg) {
		seg.Remove(info.Name)
	}
	if o, err := newPlain(seg, "last", 1000); err == nil {
		clear(o.Bytes())
	}
	seg.Parties()
}

func FuzzOpenSegment(f *testing.F) {
	valid := image(f)
	record := func(region, width byte, off uint16, v uint64) []byte {
		b := []byte{region, width}
		b = binary.LittleEndian.AppendUint16(b, off)
		return binary.LittleEndian.AppendUint64(b, v)
	}
	f.Add([]byte{})
	f.Add(record(0, 0, 3, 9))
	f.Add(record(1, 1, 128, 3))
	f.Add(record(2, 1, 0, 3))
	for e := range uint16(4) {
		for _, off := range []uint16{offState, offSerial, offKind, offNameLen, offPrint, offOffset, offSize, 40, offHolds} {
			f.Add(record(3, 2, e*entrySize+off, 1<<63|5))
			f.Add(record(3, 3, e*entrySize+off, 1))
		}
	}
	for off := uint16(0); off < 1<<11; off += 64 {
		f.Add(record(4, 1, off, 1<<32-1))
		f.Add(record(5, 2, off, 1<<63))
		f.Add(record(5, 3, off, 1))
	}
	n := name(f)
	f.Fuzz(func(t *testing.T, input []byte) {
		b := bytes.Clone(valid)
		patch(b, input)
		if len(input) == 0 || input[0]%2 == 0 {
			sum(b)
		}
		if err := os.WriteFile(filePath(n), b, 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(filePath(n))
		done := make(chan struct{})
		go func() {
			defer close(done)
			shm.Inspect(n)
			seg, err := shm.Open(n, nil)
			if err != nil {
				return
			}
			use(seg)
			seg.Close()
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			Stuck(t, "use of a hostile segment")
		}
	})
}
