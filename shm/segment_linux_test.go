package shm_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
)

// eachSegment runs f as three subtests: on an anonymous, a named and a heap segment.
func eachSegment(t *testing.T, size int, f func(t *testing.T, seg *shm.Segment)) {
	t.Run("anonymous", func(t *testing.T) { f(t, Anonymous(t, size)) })
	t.Run("named", func(t *testing.T) { f(t, named(t, size, nil)) })
	t.Run("heap", func(t *testing.T) { f(t, Heap(t, size)) })
}

// objects returns the objects of the segment, sorted by name.
func objects(seg *shm.Segment) []shm.ObjectInfo {
	list := slices.Collect(seg.Objects())
	slices.SortFunc(list, func(a, b shm.ObjectInfo) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func TestSegmentCreate(t *testing.T) {
	t.Run("named", func(t *testing.T) {
		n := name(t)
		seg := Closing(t, Must(shm.Create(n, 1000, nil))(t))
		info := Must(os.Lstat(filePath(n)))(t)
		if info.Mode() != 0o600 {
			t.Errorf("mode %v, want 0600", info.Mode())
		}
		if size := Must(seg.Size())(t); seg.Name() != n || size < 1000 || size > 1200 {
			t.Errorf("name %q, size %d", seg.Name(), size)
		}
		_, err := shm.Create(n, 1000, nil)
		WantError(t, "Create of a name that is taken", err, fs.ErrExist)
		other := Closing(t, Must(shm.Open(n, nil))(t))
		if a, b := Must(seg.ID())(t), Must(other.ID())(t); a != b || a == (shm.ID{}) {
			t.Errorf("identities %v and %v", a, b)
		}
		if p := Must(seg.Parties())(t); p != 2 {
			t.Errorf("%d parties, want 2", p)
		}
		_, err = shm.Open(name(t), nil)
		WantError(t, "Open of no name", err, fs.ErrNotExist)
	})
	t.Run("unlinked", func(t *testing.T) { // M05
		n := name(t)
		seg := Closing(t, Must(shm.Create(n, 1<<12, nil))(t))
		if err := shm.Unlink(n); err != nil {
			t.Fatal(err)
		}
		Must(newPlain(seg, "x", 100))(t)
		other := Attach(t, seg)
		Must(openPlain(other, "x"))(t)
		_, err := shm.Open(n, nil)
		WantError(t, "Open after Unlink", err, fs.ErrNotExist)
		again := Closing(t, Must(shm.Create(n, 1<<12, nil))(t))
		if a, b := Must(seg.ID())(t), Must(again.ID())(t); a == b {
			t.Error("two segments have one identity")
		}
	})
	t.Run("options", func(t *testing.T) {
		huge := int(^uint(0) >> 1)
		for _, tt := range []struct {
			label string
			size  int
			o     *shm.Options
			want  error
		}{
			{"negative size", -5, nil, shm.ErrSize},
			{"greatest int", huge, nil, shm.ErrSize},
			{"half of it", huge / 2, nil, shm.ErrSize},
			{"negative parties", 1, &shm.Options{Parties: -1}, shm.ErrSize},
			{"1024 parties", 1, &shm.Options{Parties: 1024}, shm.ErrSize},
			{"1023 parties", 1, &shm.Options{Parties: 1023}, nil},
			{"1 party", 1, &shm.Options{Parties: 1}, nil},
			{"negative objects", 1, &shm.Options{Objects: -1}, shm.ErrSize},
			{"1048577 objects", 1, &shm.Options{Objects: 1<<20 + 1}, shm.ErrSize},
			{"1048576 objects", 1, &shm.Options{Objects: 1 << 20}, nil},
			{"1 object", 1, &shm.Options{Objects: 1}, nil},
		} {
			t.Run(tt.label, func(t *testing.T) {
				for _, n := range []string{"", name(t)} {
					make := func() (*shm.Segment, error) { return shm.Anonymous(tt.size, tt.o) }
					if n != "" {
						make = func() (*shm.Segment, error) { return shm.Create(n, tt.size, tt.o) }
					}
					seg, err := make()
					if err == nil {
						Closing(t, seg)
						Must(newPlain(seg, "", 1))(t)
					}
					WantError(t, "creation", err, tt.want)
				}
			})
		}
	})
}

func TestObjects(t *testing.T) {
	eachSegment(t, 1<<14, func(t *testing.T, seg *shm.Segment) {
		other := Attach(t, seg)
		a := Must(newPlain(seg, "a", 100))(t)
		b := Must(newPlain(seg, "b", 1))(t)
		Must(newPlain(other, "", 4000))(t)
		want := []shm.ObjectInfo{{"", kindPlain, 4000}, {"a", kindPlain, 100}, {"b", kindPlain, 1}}
		if diff := cmp.Diff(want, objects(seg)); diff != "" {
			t.Errorf("objects (-want +got):\n%s", diff)
		}
		if len(a.Bytes()) != 100 || cap(a.Bytes()) != 100 || len(b.Bytes()) != 1 {
			t.Errorf("sizes %d (capacity %d) and %d", len(a.Bytes()), cap(a.Bytes()), len(b.Bytes()))
		}
		same := Must(openPlain(other, "a"))(t)
		a.Bytes()[99] = 9
		if same.Bytes()[99] != 9 {
			t.Error("the object is another in another party")
		}
		_, err := newPlain(other, "a", 5)
		WantError(t, "name that is taken", err, fs.ErrExist)
		_, err = openPlain(other, "c")
		WantError(t, "no such name", err, fs.ErrNotExist)
		_, err = openPlain(other, "")
		WantError(t, "empty name", err, fs.ErrNotExist)
		_, err = object.Open(seg, shm.KindQueue, "a", plainPrint)
		WantError(t, "another kind", err, shm.ErrMismatch)
		_, err = object.Open(seg, kindPlain, "a", plainPrint+1)
		WantError(t, "another type", err, shm.ErrMismatch)
		WantError(t, "Remove of no name", seg.Remove("c"), fs.ErrNotExist)
		WantError(t, "Remove of the empty name", seg.Remove(""), fs.ErrNotExist)
		for _, size := range []int{0, -1, int(^uint(0) >> 1)} {
			_, err = newPlain(seg, "d", size)
			WantError(t, fmt.Sprintf("size %d", size), err, shm.ErrSize)
		}
		long := strings.Repeat("x", shm.MaxObjectName)
		_, err = newPlain(seg, long+"x", 1)
		WantError(t, "name too long", err, shm.ErrName)
		Must(newPlain(seg, long, 1))(t)
		Must(openPlain(other, long))(t)
		_, err = openPlain(other, long[1:])
		WantError(t, "part of a name", err, fs.ErrNotExist)
		Must(newPlain(seg, "\x00/\xff..", 1))(t)
		Must(openPlain(other, "\x00/\xff.."))(t)
		failed := errors.New("Init failed")
		_, err = object.New(seg, object.Spec{Name: "e", Size: 1, Init: func([]byte) error { return failed }})
		WantError(t, "failing Init", err, failed)
		_, err = openPlain(other, "e")
		WantError(t, "open after a failed Init", err, fs.ErrNotExist)
	})
}

// TestObjectInit shows that Init gets zeroed memory, and that the object has the bytes that Init
// has written.
func TestObjectInit(t *testing.T) {
	eachSegment(t, 1<<18, func(t *testing.T, seg *shm.Segment) {
		for round := range 3 {
			for _, size := range []int{1, 127, 4096, 70_000, 140_000} {
				o, err := object.New(seg, object.Spec{Kind: kindPlain, Name: "x", Size: size, Fingerprint: plainPrint, Init: func(mem []byte) error {
					if len(mem) != size {
						t.Errorf("%d bytes, want %d", len(mem), size)
					}
					for i, b := range mem {
						if b != 0 {
							t.Fatalf("round %d, size %d: byte %d is %d", round, size, i, b)
						}
						mem[i] = 0xff
					}
					return nil
				}})
				if err != nil {
					t.Fatal(err)
				}
				for i, b := range o.Bytes() {
					if b != 0xff {
						t.Fatalf("byte %d is %d after Init", i, b)
					}
				}
				o.Close()
				if err := seg.Remove("x"); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// fill makes objects of the size until there is no space, and returns their number.
func fill(t testing.TB, seg *shm.Segment, prefix string, size int) int {
	t.Helper()
	for n := 0; ; n++ {
		o, err := newPlain(seg, fmt.Sprint(prefix, n), size)
		if errors.Is(err, shm.ErrNoSpace) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		o.Bytes()[size-1] = 1
		o.Close()
	}
}

// empty removes all objects that have a name.
func empty(t testing.TB, seg *shm.Segment) {
	t.Helper()
	for o := range seg.Objects() {
		if o.Name != "" {
			if err := seg.Remove(o.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSpace shows that the space of removed objects is used again, also for objects of other sizes.
func TestSpace(t *testing.T) {
	eachSegment(t, 16<<10, func(t *testing.T, seg *shm.Segment) {
		for range 3 {
			if n := fill(t, seg, "k", 1024); n != 16 {
				t.Fatalf("%d objects of 1 KiB in 16 KiB", n)
			}
			empty(t, seg)
			whole := Must(newPlain(seg, "whole", 16<<10))(t)
			_, err := newPlain(seg, "more", 1)
			WantError(t, "full segment", err, shm.ErrNoSpace)
			whole.Close()
			empty(t, seg)
		}
		// Make holes between objects.
		for i := range 16 {
			Must(newPlain(seg, fmt.Sprint(i), 1024))(t).Close()
		}
		for _, hole := range []string{"3", "4", "9"} {
			if err := seg.Remove(hole); err != nil {
				t.Fatal(err)
			}
		}
		_, err := newPlain(seg, "too much", 2049)
		WantError(t, "more than the largest hole", err, shm.ErrNoSpace)
		Must(newPlain(seg, "two", 2048))(t)
		Must(newPlain(seg, "one", 1000))(t)
		_, err = newPlain(seg, "more", 1)
		WantError(t, "full segment", err, shm.ErrNoSpace)
	})
}

// TestRemovedInUse shows that a removed object keeps its memory while a party has it open.
func TestRemovedInUse(t *testing.T) {
	eachSegment(t, 1024, func(t *testing.T, seg *shm.Segment) {
		other := Attach(t, seg)
		mine := Must(newPlain(seg, "x", 1024))(t)
		theirs := Must(openPlain(other, "x"))(t)
		if err := other.Remove("x"); err != nil {
			t.Fatal(err)
		}
		_, err := openPlain(seg, "x")
		WantError(t, "open after Remove", err, fs.ErrNotExist)
		for _, o := range []object.Object{mine, theirs} {
			_, err = newPlain(seg, "x", 1024)
			WantError(t, "in use", err, shm.ErrNoSpace)
			o.Bytes()[0]++
			runtime.KeepAlive(o)
		}
		if mine.Bytes()[0] != 2 {
			t.Errorf("the object was changed: %d", mine.Bytes()[0])
		}
		mine.Close()
		mine = nil
		_, err = newPlain(seg, "x", 1024)
		WantError(t, "in use by another", err, shm.ErrNoSpace)
		runtime.KeepAlive(theirs)
		// A party that has closed the segment holds nothing.
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		again := Must(newPlain(seg, "x", 1024))(t)
		if again.Bytes()[0] != 0 {
			t.Error("the space was not zeroed")
		}
	})
}

// TestUnnamed shows that an object without a name is freed with its last use, in whichever party
// that is.
func TestUnnamed(t *testing.T) {
	eachSegment(t, 1024, func(t *testing.T, seg *shm.Segment) {
		other := Attach(t, seg)
		for range 20 { // more objects than there is space for
			o := Must(newPlain(seg, "", 1000))(t)
			h := o.Handle(0)
			again := object.Again(o)
			theirs := Must(object.OpenHandle(h, kindPlain, plainPrint))(t)
			WantNil(t, "Close", errors.Join(o.Close(), o.Close(), theirs.Close()))
			_, err := newPlain(other, "", 1000)
			WantError(t, "space in use", err, shm.ErrNoSpace)
			again.Bytes()[0] = 1
			WantNil(t, "last Close", again.Close())
			WantError(t, "handle of an object that has ended", Second(object.OpenHandle(h, kindPlain, plainPrint)), fs.ErrNotExist)
		}
	})
}

// TestEntryOfFailedInit shows that garbage of a failed maker does not end the use of the next
// object in the same entry.
func TestEntryOfFailedInit(t *testing.T) {
	eachSegment(t, 1024, func(t *testing.T, seg *shm.Segment) {
		failed := errors.New("Init failed")
		_, err := object.New(seg, object.Spec{Size: 1024, Init: func([]byte) error { return failed }})
		WantError(t, "failing Init", err, failed)
		x := Must(newPlain(seg, "x", 1024))(t)
		for range 5 {
			runtime.GC() // collects what the failed maker has left, but must not end the use of x
		}
		if err := seg.Remove("x"); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			_, err = newPlain(seg, "y", 1024)
			WantError(t, "memory in use", err, shm.ErrNoSpace)
			runtime.GC()
		}
		runtime.KeepAlive(x)
	})
}

func TestDirectoryFull(t *testing.T) {
	seg := Closing(t, Must(shm.Anonymous(1<<16, &shm.Options{Objects: 3}))(t))
	if n := fill(t, seg, "x", 1); n != 3 {
		t.Fatalf("%d objects, want 3", n)
	}
	if err := seg.Remove("x1"); err != nil {
		t.Fatal(err)
	}
	Must(newPlain(seg, "y", 1))(t)
	_, err := newPlain(seg, "z", 1)
	WantError(t, "full directory", err, shm.ErrNoSpace)
}

func TestParties(t *testing.T) {
	for _, sort := range []string{"anonymous", "named"} {
		t.Run(sort, func(t *testing.T) {
			o := &shm.Options{Parties: 3}
			seg := Closing(t, Must(shm.Anonymous(1024, o))(t))
			if sort == "named" {
				seg = named(t, 1024, o)
			}
			for range 20 {
				b, c := Must(object.Attach(seg))(t), Must(object.Attach(seg))(t)
				if n := Must(b.Parties())(t); n != 3 {
					t.Fatalf("%d parties, want 3", n)
				}
				_, err := object.Attach(seg)
				WantError(t, "Attach to a full table", err, shm.ErrParties)
				_, err = object.NewGrant(seg)
				WantError(t, "Grant of a full table", err, shm.ErrParties)
				if sort == "named" {
					_, err = shm.Open(seg.Name(), nil)
					WantError(t, "Open of a full table", err, shm.ErrParties)
				}
				if err := errors.Join(b.Close(), c.Close()); err != nil {
					t.Fatal(err)
				}
				if n := Must(seg.Parties())(t); n != 1 {
					t.Fatalf("%d parties, want 1", n)
				}
			}
			// A grant counts as a party before its process exists.
			g := Must(object.NewGrant(seg))(t)
			if n := Must(seg.Parties())(t); n != 2 {
				t.Errorf("%d parties, want 2", n)
			}
			if err := g.Cancel(); err != nil {
				t.Error(err)
			}
			if n := Must(seg.Parties())(t); n != 1 {
				t.Errorf("%d parties, want 1", n)
			}
			// Attaching finds parties whose deaths were not announced.
			b, c := Must(object.Attach(seg))(t), Must(object.Attach(seg))(t)
			for _, s := range []*shm.Segment{b, c} {
				if _, err := object.Drop(s); err != nil {
					t.Fatal(err)
				}
			}
			if err := Must(object.Attach(seg))(t).Close(); err != nil {
				t.Error(err)
			}
			if n := Must(seg.Parties())(t); n != 1 {
				t.Errorf("%d parties, want 1", n)
			}
		})
	}
}

// TestAnnounceFalsely shows that announcing the death of a living party, or of no party, changes
// nothing.
func TestAnnounceFalsely(t *testing.T) {
	eachSegment(t, 1024, func(t *testing.T, seg *shm.Segment) {
		other := Attach(t, seg)
		gone := Must(object.Attach(seg))(t)
		dead := Must(object.Drop(gone))(t)
		for _, id := range []uint32{0, 1, 7, 1023, 1 << 31, 1<<32 - 1, dead + 1<<10} {
			if err := object.Announce(seg, id); err != nil {
				t.Error(err)
			}
		}
		x := Must(newPlain(seg, "", 1))(t)
		if err := errors.Join(object.Announce(seg, uint32(x.Me())), object.Announce(other, uint32(x.Me()))); err != nil {
			t.Error(err)
		}
		if err := object.Announce(seg, dead); err != nil {
			t.Error(err)
		}
		for _, s := range []*shm.Segment{seg, other} {
			if n := Must(s.Parties())(t); n != 2 {
				t.Errorf("%d parties, want 2", n)
			}
		}
		// Both parties still have their locks.
		if err := Must(object.Attach(seg))(t).Close(); err != nil {
			t.Error(err)
		}
		if n := Must(seg.Parties())(t); n != 2 {
			t.Errorf("%d parties after another look, want 2", n)
		}
	})
}

// TestSegmentClosed shows that every method of a closed segment returns ErrClosed, or a result that
// means nothing (M06). The table must have all methods.
func TestSegmentClosed(t *testing.T) {
	calls := map[string]func(s *shm.Segment) (any, error){
		"Announce":   func(s *shm.Segment) (any, error) { return nil, object.Announce(s, 1) },
		"Attach":     func(s *shm.Segment) (any, error) { return object.Attach(s) },
		"Close":      func(s *shm.Segment) (any, error) { return nil, s.Close() },
		"Drop":       func(s *shm.Segment) (any, error) { return object.Drop(s) },
		"Grant":      func(s *shm.Segment) (any, error) { return object.NewGrant(s) },
		"Handle":     func(s *shm.Segment) (any, error) { return s.Handle(), nil },
		"Inspect":    func(s *shm.Segment) (any, error) { return s.Inspect() },
		"ID":         func(s *shm.Segment) (any, error) { return s.ID() },
		"Name":       func(s *shm.Segment) (any, error) { return s.Name(), nil },
		"NewObject":  func(s *shm.Segment) (any, error) { return object.New(s, object.Spec{Size: 1}) },
		"Objects":    func(s *shm.Segment) (any, error) { return objects(s), nil },
		"OpenObject": func(s *shm.Segment) (any, error) { return openPlain(s, "x") },
		"Parties":    func(s *shm.Segment) (any, error) { return s.Parties() },
		"Remove":     func(s *shm.Segment) (any, error) { return nil, s.Remove("x") },
		"SetWait":    func(s *shm.Segment) (any, error) { return nil, s.SetWait(shm.WaitBlock) },
		"Size":       func(s *shm.Segment) (any, error) { return s.Size() },
	}
	// The results of the methods that return no error.
	quiet := map[string]any{"Close": nil, "Handle": shm.Handle{}, "Objects": []shm.ObjectInfo(nil)}
	unmarshal := []string{"MarshalBinary", "MarshalText", "UnmarshalBinary", "UnmarshalText"}
	typ := reflect.TypeFor[*shm.Segment]()
	for i := range typ.NumMethod() {
		if m := typ.Method(i).Name; calls[m] == nil && !slices.Contains(unmarshal, m) {
			t.Errorf("this test does not know the method %s", m)
		}
	}
	eachSegment(t, 1024, func(t *testing.T, seg *shm.Segment) {
		name := seg.Name()
		quiet["Name"] = name
		Must(newPlain(seg, "x", 10))(t)
		for method, call := range calls {
			s := Must(object.Attach(seg))(t)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for _, s := range []*shm.Segment{s, {}} { // the zero Segment is closed
				got, err := call(s)
				if want, ok := quiet[method]; ok {
					if s.Name() == "" && method == "Name" {
						want = ""
					}
					if err != nil || !cmp.Equal(got, want) {
						t.Errorf("%s: %v, %v, want %v", method, got, err, want)
					}
				} else if !errors.Is(err, shm.ErrClosed) {
					t.Errorf("%s: %v, %v, want ErrClosed", method, got, err)
				}
			}
		}
	})
}

// TestObjectOfClosedSegment shows that objects of a closed segment do not fault.
func TestObjectOfClosedSegment(t *testing.T) {
	eachSegment(t, 1024, func(t *testing.T, seg *shm.Segment) {
		s := Must(object.Attach(seg))(t)
		o := Must(newPlain(s, "x", 10))(t)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		o.Bytes()[0] = 77
		o.Hold(1)
		o.Held(1)
		o.Drop(1)
		o.Handle(0)
		if !o.Room().Closed() {
			t.Error("the room is open")
		}
		if err := errors.Join(o.Close(), o.Close()); err != nil {
			t.Error(err)
		}
	})
}

// A flagged has a flag that Close of the segment sets, as the objects of mp's packages have.
type flagged struct {
	closed atomic.Bool
	o      object.Object
}

func newFlagged(t *testing.T, seg *shm.Segment, name string) *flagged {
	f := &flagged{o: Must(newPlain(seg, name, 10))(t)}
	f.o.AtClose(&f.closed)
	f.o.AtClose(&f.closed) // a second registration is harmless
	return f
}

// TestAtClose shows that Close and Drop of a segment set the flags of its objects.
func TestAtClose(t *testing.T) {
	eachSegment(t, 1<<13, func(t *testing.T, seg *shm.Segment) {
		for name, end := range map[string]func(s *shm.Segment) error{
			"Close": (*shm.Segment).Close,
			"Drop":  func(s *shm.Segment) error { return Second(object.Drop(s)) },
		} {
			s := Must(object.Attach(seg))(t)
			f, g := newFlagged(t, s, ""), newFlagged(t, s, "")
			var second, late atomic.Bool
			f.o.AtClose(&second)
			Want(t, "flag before "+name, f.closed.Load() || g.closed.Load() || second.Load(), false)
			WantNil(t, name, end(s))
			f.o.AtClose(&late)
			Want(t, "flags after "+name, f.closed.Load() && g.closed.Load() && second.Load() && late.Load(), true)
		}
	})
}

// TestAtCloseIsWeak shows that a registered flag keeps neither the value that it is part of nor the
// object from the garbage collector.
func TestAtCloseIsWeak(t *testing.T) {
	eachSegment(t, 1<<13, func(t *testing.T, seg *shm.Segment) {
		for range 10 {
			newFlagged(t, seg, "x")
			WantNil(t, "Remove", seg.Remove("x"))
		}
		f := newFlagged(t, seg, "y")
		Eventually(t, "all flags but one gone", func() bool {
			runtime.GC()
			return shm.Flags(seg) == 1
		})
		runtime.KeepAlive(f)
	})
}

// TestV11_MadeAndRemoved shows that objects that are made and removed at random never share memory,
// are zero at first, and leave the whole segment free.
func TestV11_MadeAndRemoved(t *testing.T) {
	const size, most, operations = 1 << 20, 100, 5000
	type held struct {
		name string
		o    object.Object
		mark byte
	}
	eachSegment(t, size, func(t *testing.T, seg *shm.Segment) {
		r := rand.New(rand.NewPCG(11, 11))
		var live []held
		all := func(h held, want byte) {
			if i := slices.IndexFunc(h.o.Bytes(), func(b byte) bool { return b != want }); i >= 0 {
				t.Fatalf("byte %d of object %s is %d, want %d", i, h.name, h.o.Bytes()[i], want)
			}
		}
		for n := range operations {
			if len(live) == 0 || len(live) < most && r.IntN(2) == 0 {
				h := held{name: fmt.Sprint(n), mark: byte(n)}
				h.o = Must(newPlain(seg, h.name, 1+r.IntN(4096)))(t)
				all(h, 0)
				for i := range h.o.Bytes() {
					h.o.Bytes()[i] = h.mark
				}
				live = append(live, h)
				continue
			}
			i := r.IntN(len(live))
			h := live[i]
			all(h, h.mark)
			WantNil(t, "Remove", seg.Remove(h.name))
			live[i] = live[len(live)-1]
			live = live[:len(live)-1]
		}
		if n := len(objects(seg)); n != len(live) {
			t.Errorf("%d objects, want %d", n, len(live))
		}
		slices.SortFunc(live, func(a, b held) int { return a.o.Offset() - b.o.Offset() })
		for i, h := range live {
			all(h, h.mark)
			if i > 0 && live[i-1].o.Offset()+len(live[i-1].o.Bytes()) > h.o.Offset() {
				t.Errorf("objects %s and %s overlap", live[i-1].name, h.name)
			}
		}
		clear(live)
		empty(t, seg)
		Must(newPlain(seg, "whole", size))(t)
	})
}

// TestM04_AnonymousNeverCollide shows that concurrently made anonymous segments are all different.
func TestM04_AnonymousNeverCollide(t *testing.T) {
	const makers, each = 8, 25
	ids := make(chan shm.ID, makers*each)
	All(t, "makers", makers, func(int) error {
		for range each {
			seg, err := shm.Anonymous(1024, nil)
			if err != nil {
				return err
			}
			defer seg.Close()
			id, err := seg.ID()
			if err != nil || seg.Name() != "" {
				return fmt.Errorf("segment %q: %v", seg.Name(), err)
			}
			ids <- id
		}
		return nil
	})
	close(ids)
	seen := make(map[shm.ID]bool)
	for id := range ids {
		seen[id] = true
	}
	Want(t, "segments", len(seen), makers*each)
}

// TestM16_CloseFreesAll shows that after Close the process has neither mappings nor descriptors of
// the segment, even if it still refers to objects.
func TestM16_CloseFreesAll(t *testing.T) {
	// The maker's file had no name when it was opened, and /proc shows it without one.
	opened := Must(shm.Open(named(t, 1<<20, nil).Name(), nil))(t)
	for what, seg := range map[string]*shm.Segment{"anonymous": Anonymous(t, 1<<20), "opened": opened} {
		t.Run(what, func(t *testing.T) {
			label := seg.Name()
			if label == "" {
				label = Must(seg.ID())(t).String()
			}
			var used []object.Object
			for range 10 {
				used = append(used, Must(newPlain(seg, "", 1000))(t))
			}
			if maps, files := holds(t, label); maps == 0 || files == 0 {
				t.Errorf("open: %d mappings, %d descriptors", maps, files)
			}
			WantNil(t, "Close", seg.Close())
			if maps, files := holds(t, label); maps != 0 || files != 0 {
				t.Errorf("closed: %d mappings, %d descriptors", maps, files)
			}
			runtime.KeepAlive(used)
		})
	}
}

// holds returns the numbers of this process's mappings and descriptors of files whose name contains
// the label.
func holds(t *testing.T, label string) (maps, files int) {
	maps = strings.Count(string(Must(os.ReadFile("/proc/self/maps"))(t)), label)
	for _, e := range Must(os.ReadDir("/proc/self/fd"))(t) {
		if link, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.Contains(link, label) {
			files++
		}
	}
	return maps, files
}

// TestRoles shows that a role is held as long as a living party holds it.
func TestRoles(t *testing.T) {
	eachSegment(t, 1024, func(t *testing.T, seg *shm.Segment) {
		other := Must(object.Attach(seg))(t)
		mine := Must(newPlain(seg, "x", 10))(t)
		theirs := Must(openPlain(other, "x"))(t)
		check := func(when string, one, two bool) {
			t.Helper()
			for _, o := range []object.Object{mine} {
				if o.Held(1) != one || o.Held(2) != two {
					t.Errorf("%s: held %t and %t, want %t and %t", when, o.Held(1), o.Held(2), one, two)
				}
			}
		}
		check("at first", false, false)
		mine.Hold(1)
		mine.Hold(1)
		theirs.Hold(2)
		theirs.Hold(1)
		check("held", true, true)
		if mine.Drop(1) {
			t.Error("the first of two Drops says that it was the last")
		}
		if !mine.Drop(1) {
			t.Error("the last Drop does not say so")
		}
		check("held by the other", true, true)
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		check("after the other's Close", false, false)
	})
}
