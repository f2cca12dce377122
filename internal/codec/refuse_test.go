package codec_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/codec"
	"github.com/seed-2e7ecdea/mp/internal/layout"
)

func refused[T any](t *testing.T, path string) {
	t.Helper()
	if _, err := codec.Of[T](); !errors.Is(err, layout.ErrType) || !strings.Contains(err.Error(), path) {
		t.Errorf("%T: error %v, want ErrType naming %q", *new(T), err, path)
	}
}

func TestRefusedTypes(t *testing.T) {
	refused[chan int](t, "kind chan")
	refused[func()](t, "kind func")
	refused[struct{ A []map[string]*func() }](t, "(*struct { A []map[string]*func() }.A[][]): kind func")
	refused[struct{ M sync.Mutex }](t, ".M: types of package sync")
	refused[map[struct{ C chan int }]int](t, "[key].C")
	refused[*os.File](t, "os.File")
	refused[*net.TCPConn](t, "net.TCPConn")
	type node struct {
		Next *node
		C    chan int
	}
	refused[node](t, "node.C")
}

// A registeredType is known to both sides.
type registeredType struct{ A, B int }

// An unknownType is not.
type unknownType struct{ A, B int }

func (unknownType) String() string { return "unknown" }

// A badMarshaler fails to encode itself if it is "encode", and to decode itself if it is "decode".
type badMarshaler string

var errBad = errors.New("bad")

func (m badMarshaler) MarshalText() ([]byte, error) {
	if m == "encode" {
		return nil, errBad
	}
	return []byte(m), nil
}

func (m *badMarshaler) UnmarshalText(b []byte) error {
	if string(b) == "decode" {
		return errBad
	}
	*m = badMarshaler(b)
	return nil
}

// A code is an error that holds more than its text.
type code interface {
	error
	Code() int
}

type codeError int

func (e codeError) Error() string { return fmt.Sprint("code ", int(e)) }
func (e codeError) Code() int     { return int(e) }

func notEncoded[T any](t *testing.T, v T, part string) {
	t.Helper()
	b, err := of[T](t).Append([]byte("x"), &v)
	if !errors.Is(err, codec.ErrEncode) || !strings.Contains(err.Error(), part) || string(b) != "x" {
		t.Errorf("Append of %T: %q, %v; want ErrEncode with %q", v, b, err, part)
	}
}

func TestRefusedValues(t *testing.T) {
	notEncoded[any](t, unknownType{}, "codec_test.unknownType, which is not registered")
	notEncoded(t, map[string]any{"a": []any{make(chan int)}}, "chan int, which is not registered")
	notEncoded[fmt.Stringer](t, unknownType{}, "unknownType, which is not registered")
	notEncoded[code](t, codeError(1), "codeError, which is not registered")
	type ring struct{ Next *ring }
	r := &ring{}
	r.Next = r
	notEncoded(t, r, "refer to itself")
	m := map[string]any{}
	m["m"] = m
	notEncoded(t, m, "refer to itself")
	list := []any{nil}
	list[0] = list
	notEncoded(t, list, "refer to itself")
	notEncoded[any](t, list, "refer to itself")
	notEncoded(t, badMarshaler("encode"), "badMarshaler: bad")
	if b, err := of[badMarshaler](t).Append(nil, new(badMarshaler("decode"))); err != nil {
		t.Error(err)
	} else if err := of[badMarshaler](t).Decode(b, new(badMarshaler)); !errors.Is(err, errBad) || !errors.Is(err, codec.ErrDecode) {
		t.Errorf("Decode with a method that fails: %v", err)
	}
}

func TestRegister(t *testing.T) {
	for range 2 { // the second time does nothing
		if err := codec.Register[registeredType](); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		codec.Register[*registeredType](), codec.Register[[]registeredType](), codec.Register[codeError](), codec.Register[int](),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	same[any](t, registeredType{1, 2})
	same[any](t, []any{&registeredType{3, 4}, (*registeredType)(nil), []registeredType{{5, 6}}, 7})
	same[code](t, codeError(3))
	same[error](t, codeError(3))
	for _, err := range []error{codec.Register[chan int](), codec.Register[error]()} {
		if !errors.Is(err, layout.ErrType) {
			t.Errorf("error %v, want ErrType", err)
		}
	}
	{
		type registeredType struct{ A string } // of the same name
		if err := codec.Register[registeredType](); !errors.Is(err, layout.ErrType) {
			t.Errorf("second type of one name: error %v, want ErrType", err)
		}
	}
}

func TestErrorsTravel(t *testing.T) {
	err := there(t, fmt.Errorf("open a: %w", fs.ErrNotExist))
	if err.Error() != "open a: file does not exist" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error arrives as %v", err)
	}
	if again := there(t, err); again.Error() != err.Error() || !errors.Is(again, fs.ErrNotExist) {
		t.Errorf("error arrives the second time as %v", again)
	}
	if v, ok := there[any](t, errBad).(error); !ok || v.Error() != "bad" {
		t.Errorf("error in an any arrives as %v", v)
	}
}

func TestFingerprint(t *testing.T) {
	type point struct{ X, Y int }
	type place struct{ X, Y int }
	prints := map[uint64]string{}
	add := func(name string, print uint64) {
		t.Helper()
		if old, ok := prints[print]; ok || print == 0 {
			t.Errorf("%s has the fingerprint %#x of %s", name, print, old)
		}
		prints[print] = name
	}
	add("point", of[point](t).Fingerprint())
	add("X and Z", of[struct{ X, Z int }](t).Fingerprint())
	add("X of uint", of[struct {
		X uint
		Y int
	}](t).Fingerprint())
	add("string", of[string](t).Fingerprint())
	add("[]byte", of[[]byte](t).Fingerprint())
	add("[]int8", of[[]int8](t).Fingerprint())
	add("[3]int", of[[3]int](t).Fingerprint())
	add("[4]int", of[[4]int](t).Fingerprint())
	add("*int", of[*int](t).Fingerprint())
	add("**int", of[**int](t).Fingerprint())
	add("any", of[any](t).Fingerprint())
	add("error", of[error](t).Fingerprint())
	add("tree", of[tree](t).Fingerprint())
	add("map[string]int", of[map[string]int](t).Fingerprint())
	add("map[int]string", of[map[int]string](t).Fingerprint())
	if of[point](t).Fingerprint() != of[place](t).Fingerprint() {
		t.Error("the name of a type matters")
	}
	// The same in programs for all processors.
	if got, want := of[everything](t).Fingerprint(), uint64(0xc3093d97c352ba47); got != want {
		t.Errorf("fingerprint %#x, want %#x", got, want)
	}
}

func TestNoAllocation(t *testing.T) {
	v := sample()
	c := of[job](t)
	b, err := c.Append(nil, &v)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { b, _ = c.Append(b[:0], &v) }); n > 0 {
		t.Errorf("Append allocates %v times", n)
	}
	var got job
	if n := testing.AllocsPerRun(100, func() { _ = c.Decode(b, &got) }); n > 2 {
		t.Errorf("Decode allocates %v times, want one slice and the memory of all strings", n)
	}
}
