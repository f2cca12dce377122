package main_test

import (
	"io"
	"sync/atomic"
	"testing"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/shm"
	"github.com/seed-2e7ecdea/mp/value"
)

// TestValues checks that Python never reads a torn value of more than a word: it reads each copy that Go stores, and
// then reads while Go stores.
func TestValues(t *testing.T) {
	needPython(t)
	name := name(t)
	seg := Closing(t, Must(shm.Create(name, 1<<16, nil))(t))
	type wide [65]uint64
	widen := func(x uint64) (w wide) {
		for i := range w {
			w[i] = x
		}
		return w
	}
	v := Closing(t, Must(value.New(seg, "wide", wide{}, nil))(t))
	last := uint64(0)
	p := startPython(t, name, `
import ctypes
wide = ctypes.c_uint64 * 65
segment = mpshm.Segment(name)
def read():
    found = set(segment.read("wide", wide))
    if len(found) != 1:
        say("torn:", sorted(found))
        sys.exit(1)
    return found.pop()
while hear() == "read\n":
    say(read())
last = read()
changes = 0
while changes < 200:
    now = read()
    if now < last:
        say("back from", last, "to", now)
        sys.exit(1)
    changes += now != last
    last = now
say("whole")
`)
	for range 9 { // each copy, and the first ones again
		if _, err := io.WriteString(p.in, "read\n"); err != nil {
			t.Fatal(err)
		}
		p.says(t, string(rune('0'+last)))
		last++
		v.Store(widen(last))
	}
	var stop atomic.Bool
	writer := Async(func() error {
		for !stop.Load() {
			last++
			v.Store(widen(last))
		}
		return nil
	})
	if _, err := io.WriteString(p.in, "go\n"); err != nil {
		t.Fatal(err)
	}
	p.says(t, "whole")
	stop.Store(true)
	WantNil(t, "writer", Await(t, writer, "writer"))
	t.Logf("%d values written", last)
	p.ends(t)
}
