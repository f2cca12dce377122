package shm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

func TestHandleText(t *testing.T) {
	seg := Anonymous(t, 1024)
	o := Must(newPlain(seg, "x", 10))(t)
	for _, h := range []shm.Handle{
		{}, seg.Handle(), o.Handle(0), o.Handle(2),
		{Segment: shm.ID{255, 1}, Kind: 1 << 31, Role: 3, Entry: 1<<32 - 1, Serial: 5, PID: 6, FD: 7},
	} {
		text := Must(h.MarshalText())(t)
		var back shm.Handle
		if err := back.UnmarshalText(text); err != nil || back != h {
			t.Errorf("%+v came back as %+v, %v", h, back, err)
		}
		data := Must(json.Marshal(map[string]shm.Handle{"h": h}))(t)
		var m map[string]shm.Handle
		if err := json.Unmarshal(data, &m); err != nil || m["h"] != h {
			t.Errorf("%+v came back from JSON as %+v, %v", h, m["h"], err)
		}
	}
	good := seg.Handle().String()
	for _, tt := range []struct{ label, text string }{
		{"empty", ""},
		{"words", "not a handle at all"},
		{"short", good[:len(good)-1]},
		{"long", good + "0"},
		{"prefix", "mp2-" + good[4:]},
		{"no hex", good[:10] + "x" + good[11:]},
		{"space", " " + good[1:]},
		{"NUL", strings.Repeat("\x00", len(good))},
		{"huge", strings.Repeat("f", 1<<20)},
	} {
		t.Run(tt.label, func(t *testing.T) {
			var h shm.Handle
			err := h.UnmarshalText([]byte(tt.text))
			WantError(t, "UnmarshalText", err, shm.ErrHandle)
			if err != nil && len(err.Error()) > 500 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			var s shm.Segment
			WantError(t, "Segment.UnmarshalText", s.UnmarshalText([]byte(tt.text)), shm.ErrHandle)
		})
	}
}

func TestReach(t *testing.T) {
	t.Run("nothing", func(t *testing.T) {
		_, err := shm.Reach(shm.Handle{})
		WantError(t, "Reach", err, shm.ErrHandle)
		_, err = shm.Reach(shm.Handle{Segment: shm.ID{1, 2, 3}, PID: uint32(os.Getpid()), FD: 1})
		WantError(t, "Reach", err, shm.ErrUnreachable)
		_, err = shm.Reach(shm.Handle{Segment: shm.ID{1, 2, 3}, PID: 1<<32 - 1, FD: 1<<32 - 1})
		WantError(t, "Reach", err, shm.ErrUnreachable)
		if _, ok := object.Find(shm.ID{1, 2, 3}); ok {
			t.Error("Find found a segment that is not there")
		}
	})
	t.Run("attached", func(t *testing.T) {
		eachSegment(t, 1024, func(t *testing.T, seg *shm.Segment) {
			if got, ok := object.Find(Must(seg.ID())(t)); !ok || got != seg {
				t.Errorf("Find = %p, %t, want %p", got, ok, seg)
			}
			if got := Must(shm.Reach(seg.Handle()))(t); got != seg {
				t.Errorf("Reach gave %p, want %p", got, seg)
			}
			if n := Must(seg.Parties())(t); n != 1 {
				t.Errorf("%d parties, want 1", n)
			}
		})
	})
	t.Run("closed and named", func(t *testing.T) {
		seg := Must(shm.Create(name(t), 1024, nil))(t)
		Must(newPlain(seg, "x", 10))(t).Bytes()[0] = 9
		h := seg.Handle()
		x := Must(openPlain(seg, "x"))(t).Handle(0)
		if err := seg.Close(); err != nil {
			t.Fatal(err)
		}
		again := Closing(t, Must(shm.Reach(h))(t))
		if again.Name() != seg.Name() {
			t.Errorf("name %q, want %q", again.Name(), seg.Name())
		}
		if o := Must(object.OpenHandle(x, kindPlain, plainPrint))(t); o.Bytes()[0] != 9 {
			t.Errorf("contents %v", o.Bytes())
		}
		if n := Must(again.Parties())(t); n != 1 {
			t.Errorf("%d parties, want 1", n)
		}
	})
	t.Run("closed and anonymous", func(t *testing.T) {
		seg := Must(shm.Anonymous(1024, nil))(t)
		h := seg.Handle()
		if err := seg.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := shm.Reach(h)
		WantError(t, "Reach", err, shm.ErrUnreachable)
	})
	t.Run("decoded twice", func(t *testing.T) {
		seg := named(t, 1024, nil)
		text := Must(seg.MarshalText())(t)
		var a, b shm.Segment
		if err := errors.Join(a.UnmarshalText(text), b.UnmarshalBinary(text)); err != nil {
			t.Fatal(err)
		}
		if n := Must(b.Parties())(t); n != 1 || a.Name() != seg.Name() {
			t.Errorf("%d parties, name %q, want 1 and %q", n, a.Name(), seg.Name())
		}
		// They share one attachment: Close of one of them closes all.
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*shm.Segment{seg, &a, &b} {
			_, err := s.Parties()
			WantError(t, "Parties", err, shm.ErrClosed)
		}
		// The handle can be decoded again.
		c := new(shm.Segment)
		if err := c.UnmarshalText(text); err != nil {
			t.Fatal(err)
		}
		Closing(t, c)
		if n := Must(c.Parties())(t); n != 1 {
			t.Errorf("%d parties, want 1", n)
		}
	})
}

// TestOpenHandle shows that a handle of a removed object never leads to another object (M08).
func TestOpenHandle(t *testing.T) {
	eachSegment(t, 1024, func(t *testing.T, seg *shm.Segment) {
		made := Must(newPlain(seg, "x", 10))(t)
		h := made.Handle(0)
		WantNil(t, "Close", errors.Join(made.Close(), Must(object.OpenHandle(h, kindPlain, plainPrint))(t).Close()))
		_, err := object.OpenHandle(h, shm.KindQueue, plainPrint)
		WantError(t, "another kind", err, shm.ErrMismatch)
		_, err = object.OpenHandle(h, kindPlain, 5)
		WantError(t, "another type", err, shm.ErrMismatch)
		lie := h
		lie.Kind = shm.KindQueue
		_, err = object.OpenHandle(lie, shm.KindQueue, plainPrint)
		WantError(t, "a handle that lies", err, shm.ErrMismatch)
		_, err = object.OpenHandle(seg.Handle(), kindPlain, plainPrint)
		WantError(t, "a segment's handle", err, shm.ErrMismatch)
		for _, entry := range []uint32{h.Entry + 1, 255, 256, 1<<32 - 1} {
			other := h
			other.Entry = entry
			_, err = object.OpenHandle(other, kindPlain, plainPrint)
			WantError(t, fmt.Sprintf("entry %d", entry), err, fs.ErrNotExist)
		}
		if err := seg.Remove("x"); err != nil {
			t.Fatal(err)
		}
		_, err = object.OpenHandle(h, kindPlain, plainPrint)
		WantError(t, "removed", err, fs.ErrNotExist)
		if seg.Name() != "" || seg.Handle().FD != 0 {
			_, err = object.NewGrant(seg, h)
			WantError(t, "Grant of a removed object", err, fs.ErrNotExist)
			if n := Must(seg.Parties())(t); n != 1 {
				t.Errorf("%d parties after a failed Grant, want 1", n)
			}
		}
		// The entry is used again, by an object with another serial number.
		again := Must(newPlain(seg, "x", 10))(t).Handle(0)
		Want(t, "entry of the next object", again.Entry, h.Entry) // the removed one was closed
		if again == h {
			t.Error("two objects have one handle")
		}
		_, err = object.OpenHandle(h, kindPlain, plainPrint)
		WantError(t, "used again", err, fs.ErrNotExist)
	})
}

func init() {
	// reach opens the plain object of a handle and increments its first byte.
	ops["reach"] = func(_ context.Context, j job) (string, error) {
		var h shm.Handle
		if err := h.UnmarshalText([]byte(j.Text)); err != nil {
			return "", err
		}
		o, err := object.OpenHandle(h, kindPlain, plainPrint)
		if errors.Is(err, fs.ErrNotExist) {
			return "no object", nil
		}
		if err != nil {
			return "", err
		}
		seg, ok := object.Find(h.Segment)
		if !ok {
			return "", errors.New("not attached")
		}
		n, err := seg.Parties()
		o.Bytes()[0]++
		return fmt.Sprint(n, " parties, name ", seg.Name()), err
	}
	// parties returns the number of parties of j.Seg.
	ops["parties"] = func(_ context.Context, j job) (string, error) {
		n, err := j.Seg.Parties()
		return fmt.Sprint(n), err
	}
}

// TestStranger shows that a process reaches an object by nothing but the text of its handle, even
// if it is not a child (M08).
func TestStranger(t *testing.T) {
	for _, tt := range []struct {
		sort string
		seg  *shm.Segment
	}{{"anonymous", Anonymous(t, 1024)}, {"named", named(t, 1024, nil)}} {
		t.Run(tt.sort, func(t *testing.T) {
			x := Must(newPlain(tt.seg, "x", 10))(t)
			h := x.Handle(0)
			s := startPlain(t, "reach", h.String())
			if got, want := s.line(t), "2 parties, name "+tt.seg.Name(); got != strings.TrimSpace(want) {
				t.Errorf("the stranger says %q, want %q", got, want)
			}
			if x.Bytes()[0] != 1 {
				t.Error("the stranger has other memory")
			}
			// If the hint is wrong, Reach searches for the segment.
			h.PID, h.FD = 1<<30, 99
			other := startPlain(t, "reach", h.String())
			if got, want := other.line(t), "3 parties, name "+tt.seg.Name(); got != strings.TrimSpace(want) {
				t.Errorf("the stranger says %q, want %q", got, want)
			}
			h.PID, h.FD = uint32(os.Getpid()), 0 // another file
			third := startPlain(t, "reach", h.String())
			if got, want := third.line(t), "4 parties, name "+tt.seg.Name(); got != strings.TrimSpace(want) {
				t.Errorf("the stranger says %q, want %q", got, want)
			}
			if err := tt.seg.Remove("x"); err != nil {
				t.Fatal(err)
			}
			if got := startPlain(t, "reach", x.Handle(0).String()).line(t); got != "no object" {
				t.Errorf("handle of a removed object: the stranger says %q", got)
			}
		})
	}
	t.Run("a holder that is not the maker", func(t *testing.T) {
		seg := Must(shm.Anonymous(1024, nil))(t)
		x := Must(newPlain(seg, "x", 10))(t)
		s := startPlain(t, "reach", x.Handle(0).String())
		s.line(t)
		h := x.Handle(0)
		if err := seg.Close(); err != nil {
			t.Fatal(err)
		}
		// The stranger is the only process now that has the segment open.
		again := Closing(t, Must(shm.Reach(h))(t))
		if o := Must(openPlain(again, "x"))(t); o.Bytes()[0] != 1 {
			t.Error("another segment")
		}
	})
}

func TestGrant(t *testing.T) {
	t.Run("adopted", func(t *testing.T) {
		seg := Anonymous(t, 1024)
		if got := run(t, job{Op: "parties", Seg: seg}); got != "2" {
			t.Errorf("the child sees %s parties, want 2", got)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		seg := Anonymous(t, 1024)
		x := Must(newPlain(seg, "x", 10))(t)
		g := Must(object.NewGrant(seg, x.Handle(1), seg.Handle()))(t)
		if !x.Held(1) || x.Held(2) {
			t.Errorf("held %t and %t, want true and false", x.Held(1), x.Held(2))
		}
		if err := g.Cancel(); err != nil {
			t.Fatal(err)
		}
		if x.Held(1) {
			t.Error("held by a grant that was cancelled")
		}
	})
	t.Run("under Close", func(t *testing.T) {
		seg := Anonymous(t, 1024)
		x := Must(newPlain(seg, "x", 10))(t)
		h := x.Handle(1)
		for range 50 {
			party := Must(object.Attach(seg))(t)
			CloseWhileBusy(t, party, nil, func() error {
				g, err := object.NewGrant(party, h)
				if err != nil {
					return err
				}
				return g.Cancel()
			})
		}
		Eventually(t, "no grant left", func() bool { return Must(seg.Parties())(t) == 1 && !x.Held(1) })
	})
	t.Run("refused", func(t *testing.T) {
		seg, other := Anonymous(t, 1024), Anonymous(t, 1024)
		good := Must(newPlain(seg, "x", 10))(t).Handle(0)
		foreign := Must(newPlain(other, "x", 10))(t).Handle(0)
		role, entry := good, good
		role.Role = 3
		entry.Entry = 1 << 20
		for label, h := range map[string]shm.Handle{"foreign": foreign, "role": role, "entry": entry} {
			_, err := object.NewGrant(seg, good, h)
			WantError(t, label, err, shm.ErrHandle)
		}
		if n := Must(seg.Parties())(t); n != 1 {
			t.Errorf("%d parties, want 1", n)
		}
		_, err := object.NewGrant(Heap(t, 1024))
		WantError(t, "heap", err, errors.ErrUnsupported)
	})
	t.Run("Adopt of other files", func(t *testing.T) {
		seg := named(t, 1024, nil)
		raw := name(t)
		Closing(t, Must(shm.CreateBlock(raw, 100))(t))
		for _, path := range []string{filePath(seg.Name()), filePath(raw), os.DevNull} {
			f := Must(os.OpenFile(path, os.O_RDWR, 0))(t)
			if _, err := object.Adopt(f); err == nil {
				t.Errorf("%s was adopted", path)
			}
			if f.Close() == nil {
				t.Errorf("Adopt failed and left %s open", path)
			}
		}
		// The lock of this party belongs to another open file description.
		x := Must(newPlain(seg, "x", 1))(t)
		f := Must(os.OpenFile(filePath(seg.Name()), os.O_RDWR, 0))(t)
		Must(f.Seek(int64(x.Me()), 0))(t)
		_, err := object.Adopt(f)
		WantError(t, "another process's party", err, shm.ErrHandle)
		if n := Must(seg.Parties())(t); n != 1 {
			t.Errorf("%d parties, want 1", n)
		}
	})
	t.Run("failed start", func(t *testing.T) {
		seg := Anonymous(t, 1024)
		p := Must(work.New(job{Op: "parties", Seg: seg}, &proc.Options{Dir: "/nonexistent"}))(t)
		WantError(t, "Start", p.Start(Within(t)), fs.ErrNotExist)
		if n := Must(seg.Parties())(t); n != 1 {
			t.Errorf("%d parties, want 1", n)
		}
	})
}
