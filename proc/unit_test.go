package proc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-2e7ecdea/mp/shm"
)

func TestSplitCrash(t *testing.T) {
	for _, tt := range []struct{ name, text, value, stack string }{
		{"panic", "panic: boom\n\ngoroutine 7 [running]:\nmain.f()\n", "boom", "goroutine 7 [running]:\nmain.f()"},
		{"lines", "panic: a\n\nb\n\ngoroutine 1 [running]:\n", "a\n\nb", "goroutine 1 [running]:"},
		{"fatal", "runtime stack:\nf\n\ngoroutine 1 [x]:\n", "fatal error", "runtime stack:\nf\n\ngoroutine 1 [x]:"},
		{"fatal of a goroutine", "\ngoroutine 1 [x]:\nf\n\ngoroutine 2 [x]:\n", "fatal error", "goroutine 1 [x]:\nf\n\ngoroutine 2 [x]:"},
		{"cut short", "panic: bo", "bo", ""},
		{"empty", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if value, stack := splitCrash(tt.text); value != tt.value || stack != tt.stack {
				t.Errorf("got %q and %q, want %q and %q", value, stack, tt.value, tt.stack)
			}
		})
	}
}

func TestFrame(t *testing.T) {
	var buf bytes.Buffer
	sizes := []int{0, 1, firstRead - 1, firstRead, 3*firstRead + 1}
	for _, n := range sizes {
		if err := writeFrame(&buf, frameInput, bytes.Repeat([]byte{byte(n)}, n)); err != nil {
			t.Fatal(err)
		}
	}
	whole := buf.Bytes()
	for _, n := range sizes {
		kind, payload, err := readFrame(&buf)
		if kind != frameInput || len(payload) != n || err != nil {
			t.Fatalf("readFrame = %q, %d bytes, %v, want %q and %d", kind, len(payload), err, frameInput, n)
		}
		if want := bytes.Repeat([]byte{byte(n)}, n); !bytes.Equal(payload, want) {
			t.Errorf("payload of %d bytes changed", n)
		}
	}
	if _, _, err := readFrame(&buf); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v, want EOF", err)
	}
	for _, n := range []int{1, 8, 17, 9 + 9, len(whole) - 1} {
		r := bytes.NewReader(whole[:n])
		var err error
		for err == nil {
			_, _, err = readFrame(r)
		}
		if r.Len() != 0 || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v with %d bytes unread", n, err, r.Len())
		}
	}
	huge := append([]byte{frameInput}, bytes.Repeat([]byte{0xff}, 8)...)
	if _, _, err := readFrame(bytes.NewReader(huge)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a frame of 2^64-1 bytes: %v, want an error about its length", err)
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"A=1", "B=2", "C"}, []string{"B=3", "B=4", "D=", "C=5"})
	want := []string{"A=1", "B=4", "D=", "C=5"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

// A holding is something with a handle, which marshals itself.
type holding struct{ h shm.Handle }

func (o *holding) Handle() shm.Handle                { return o.h }
func (o *holding) MarshalBinary() ([]byte, error)    { return o.h.MarshalText() }
func (o *holding) UnmarshalBinary(text []byte) error { return o.h.UnmarshalText(text) }

func TestSightings(t *testing.T) {
	h := func(n uint32) shm.Handle { return shm.Handle{Segment: shm.ID{1}, Entry: n} }
	type nested struct {
		Object  *holding
		Value   holding
		Handle  shm.Handle
		Objects []*holding
		Map     map[string]any
		Array   [2]*holding
		private *holding
	}
	shared := &holding{h(9)}
	in := nested{
		Object:  &holding{h(1)},
		Value:   holding{h(2)},
		Handle:  h(3),
		Objects: []*holding{{h(4)}, nil, shared, shared},
		Map:     map[string]any{"k": []any{1, &holding{h(5)}, nil}},
		Array:   [2]*holding{1: {h(6)}},
		private: &holding{h(7)},
	}
	seen, err := sightings(&in)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[uint32]int)
	for _, s := range seen {
		got[s.handle.Entry]++
		if wantObject := s.handle.Entry != 3; s.object != wantObject {
			t.Errorf("handle %d: object is %t", s.handle.Entry, s.object)
		}
	}
	if diff := cmp.Diff(map[uint32]int{1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 9: 2}, got); diff != "" {
		t.Errorf("handles found (-want +got):\n%s", diff)
	}
	in.Objects[1] = &holding{}
	if _, err := sightings(&in); !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), ".Objects[1]") {
		t.Errorf("with a closed object: %v, want ErrClosed of .Objects[1]", err)
	}
	var c coding[[]*holding]
	one := in.Objects[:1]
	data, _, err := c.encode(nil, &one)
	if err != nil {
		t.Fatal(err)
	}
	var back []*holding
	if err := c.decode(data, &back); err != nil || len(back) != 1 || back[0].h != h(4) {
		t.Errorf("object after its way: %v, %v", back, err)
	}
}

func TestMustWalk(t *testing.T) {
	type plain struct {
		A int
		B [4]string
	}
	type list struct{ Next *list }
	type mutual struct {
		A int
		L []map[int]*list
	}
	for _, tt := range []struct {
		typ  reflect.Type
		want bool
	}{
		{reflect.TypeFor[[]byte](), false},
		{reflect.TypeFor[map[string][]*plain](), false},
		{reflect.TypeFor[struct{ T *holding }](), true},
		{reflect.TypeFor[shm.Handle](), true},
		{reflect.TypeFor[[]any](), true},
		{reflect.TypeFor[list](), true},
		{reflect.TypeFor[mutual](), true},
		{reflect.TypeFor[func()](), true},
	} {
		for range 2 { // computed, then remembered
			if got := mustWalk(tt.typ); got != tt.want {
				t.Errorf("mustWalk(%v) = %t, want %t", tt.typ, got, tt.want)
			}
		}
	}
}

func TestErrorText(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&ExitError{Process: "p", Code: 3}, "proc: p: exit code 3"},
		{&ExitError{Process: "p", Code: -9}, "proc: p: ended by signal 9 (killed)"},
		{&PanicError{Process: "p", Value: "boom", Stack: "s"}, "proc: p: panic: boom"},
		{&RemoteError{Process: "p", Message: "m"}, "proc: p: m"},
	} {
		if got := tt.err.Error(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%T: %q, want %q", tt.err, got, tt.want)
		}
	}
}

// What a child sends is not trusted.
func TestHostileReport(t *testing.T) {
	for _, data := range [][]byte{nil, {0}, {1, 2, 3}, bytes.Repeat([]byte{0xff}, 100)} {
		if err := decodeError("p", data); err == nil {
			t.Errorf("decodeError(%x): no error", data)
		}
		if err := decodePanic("p", data); err == nil {
			t.Errorf("decodePanic(%x): no error", data)
		}
	}
}

// A task in this process that is killed may return before attend has heard of the kill.
func TestKilledInsideReturnsFirst(t *testing.T) {
	p := &Process{name: "p"}
	g := &inside{ran: make(chan insideEnd, 1), killed: make(chan syscall.Signal, 1)}
	ctx, cancel := context.WithCancelCause(t.Context())
	g.ending = &ending{cancel: cancel, end: g.giveUp}
	if err := g.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *ExitError
	if o := p.judgeInside(g, insideEnd{err: ctx.Err()}); !errors.As(o.err, &exit) || o.code != -9 {
		t.Errorf("exit code %d, %v; want -9 and an ExitError", o.code, o.err)
	}
	if sig := <-g.killed; sig != syscall.SIGKILL {
		t.Errorf("given up for %v", sig)
	}
}
