package proc_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/object"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// kindCell and cellPrint are the kind and type of the objects of these tests.
const (
	kindCell  = shm.KindLock
	cellPrint = 42
	cellSize  = 64
)

// A cell is an object in shared memory that travels as the objects of mp do.
type cell struct{ object object.Object }

func newCell(t *testing.T, seg *shm.Segment) *cell {
	t.Helper()
	o, err := object.New(seg, object.Spec{Kind: kindCell, Size: cellSize, Fingerprint: cellPrint})
	if err != nil {
		t.Fatal(err)
	}
	return &cell{o}
}

func (c *cell) Handle() shm.Handle             { return c.object.Handle(0) }
func (c *cell) MarshalBinary() ([]byte, error) { return c.Handle().MarshalText() }
func (c *cell) UnmarshalBinary(text []byte) error {
	var h shm.Handle
	if err := h.UnmarshalText(text); err != nil {
		return err
	}
	o, err := object.OpenHandle(h, kindCell, cellPrint)
	c.object = o
	return err
}

// cells hold objects where values can hold them.
type cells struct {
	One    *cell
	Many   []*cell
	ByName map[string]*cell
	Handle shm.Handle
	None   *cell
}

// addOne adds one to the first byte of each object, and of the one with the handle.
var addOne = proc.Register("add one", func(_ context.Context, in cells) (int, error) {
	var c cell
	text, err := in.Handle.MarshalText()
	if err != nil {
		return 0, err
	}
	if err := c.UnmarshalBinary(text); err != nil {
		return 0, err
	}
	all := append([]*cell{in.One, &c}, in.Many...)
	for _, c := range in.ByName {
		all = append(all, c)
	}
	for _, c := range all {
		c.object.Bytes()[0]++
	}
	seg, ok := object.Find(in.Handle.Segment)
	if !ok {
		return 0, errors.New("not attached")
	}
	return seg.Parties()
})

// pass gives the segment to a child of its own, until depth is 0.
var pass *proc.Task[passed, int]

type passed struct {
	Depth   int
	Segment *shm.Segment
}

func init() {
	pass = proc.Register("pass", func(ctx context.Context, in passed) (int, error) {
		if in.Depth == 0 {
			return in.Segment.Parties()
		}
		p, err := pass.New(passed{in.Depth - 1, in.Segment}, nil)
		if err != nil {
			return 0, err
		}
		if err := p.Start(ctx); err != nil {
			return 0, err
		}
		return p.Result(ctx)
	})
}

// hold has the segment until its standard input ends.
var hold = proc.Register("hold", func(context.Context, *shm.Segment) (byte, error) {
	buf := make([]byte, 1)
	_, err := os.Stdin.Read(buf)
	return buf[0], err
})

func anonymous(t *testing.T, o *shm.Options) *shm.Segment {
	t.Helper()
	return anonymousOf(t, 1<<16, o)
}

// anonymousOf returns a segment of that size, which is closed at the end of the test.
func anonymousOf(t *testing.T, size int, o *shm.Options) *shm.Segment {
	t.Helper()
	seg, err := shm.Anonymous(size, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := seg.Close(); err != nil {
			t.Error(err)
		}
	})
	return seg
}

func wantParties(t *testing.T, seg *shm.Segment, when string, want int) {
	t.Helper()
	if n, err := seg.Parties(); n != want || err != nil {
		t.Errorf("%s: %d parties, %v, want %d", when, n, err, want)
	}
}

// M08, L15: objects in the input are the same objects in the child.
func TestS06_Handles(t *testing.T) {
	t.Run("everywhere", func(t *testing.T) {
		a, b := anonymous(t, nil), anonymous(t, nil)
		one, two, three := newCell(t, a), newCell(t, a), newCell(t, b)
		n, err := start(t, addOne, cells{
			One:    one,
			Many:   []*cell{two, two, three},
			ByName: map[string]*cell{"three": three},
			Handle: three.Handle(),
		}, nil).Result(within(t))
		if n != 2 || err != nil {
			t.Errorf("the child sees %d parties, %v, want 2", n, err)
		}
		for name, tt := range map[string]struct {
			c    *cell
			want byte
		}{"one": {one, 1}, "two": {two, 2}, "three": {three, 3}} {
			if got := tt.c.object.Bytes()[0]; got != tt.want {
				t.Errorf("%s is %d, want %d", name, got, tt.want)
			}
		}
	})
	t.Run("through generations", func(t *testing.T) { // S06
		n, err := start(t, pass, passed{3, anonymous(t, nil)}, nil).Result(within(t))
		if n != 5 || err != nil {
			t.Errorf("the last child sees %d parties, %v, want 5", n, err)
		}
	})
	t.Run("held before it runs", func(t *testing.T) {
		seg := anonymous(t, nil)
		stdin, w := pipe(t)
		p := start(t, hold, seg, &proc.Options{Stdin: stdin})
		wantParties(t, seg, "after Start", 2)
		if _, err := w.Write([]byte{7}); err != nil {
			t.Fatal(err)
		}
		if got, err := p.Result(within(t)); got != 7 || err != nil {
			t.Errorf("Result = %d, %v", got, err)
		}
	})
}

func TestHandlesRefused(t *testing.T) {
	t.Run("closed before New", func(t *testing.T) {
		seg := anonymous(t, nil)
		if err := seg.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := hold.New(seg, nil); !errors.Is(err, os.ErrClosed) {
			t.Errorf("New: %v, want ErrClosed", err)
		}
	})
	for _, tt := range []struct {
		name string
		in   func(t *testing.T) *shm.Segment
		undo func(*shm.Segment) error // between New and Start
		want error
	}{
		{"closed before Start", func(t *testing.T) *shm.Segment { return anonymous(t, nil) }, (*shm.Segment).Close, os.ErrClosed},
		{"no party left", func(t *testing.T) *shm.Segment { return anonymous(t, &shm.Options{Parties: 1}) }, nil, shm.ErrParties},
		{"heap", func(t *testing.T) *shm.Segment {
			seg, err := shm.Heap(1 << 12)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { seg.Close() })
			return seg
		}, nil, errors.ErrUnsupported},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seg := tt.in(t)
			p, err := hold.New(seg, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.undo != nil {
				if err := tt.undo(seg); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Start(within(t)); !errors.Is(err, tt.want) {
				t.Errorf("Start: %v, want %v", err, tt.want)
			}
			if p.PID() != 0 || len(childList()) > 0 {
				t.Errorf("started: PID %d, children %v", p.PID(), childList())
			}
		})
	}
	t.Run("failed start gives the party back", func(t *testing.T) {
		seg := anonymous(t, nil)
		p, err := hold.New(seg, &proc.Options{Dir: filepath.Join(t.TempDir(), "none")})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(within(t)); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("Start: %v, want ErrNotExist", err)
		}
		wantParties(t, seg, "after a failed Start", 1)
	})
}
