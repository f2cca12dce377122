package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/leak"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// segment makes a segment with a queue and a pipe in it.
func segment(t *testing.T) (*shm.Segment, *ring.Queue[uint64]) {
	t.Helper()
	name := leak.Name("mpbench")
	seg, err := shm.Create(name, 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(seg.Close(), shm.Unlink(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
	q, err := ring.NewQueue[uint64](seg, "work", 64, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := ring.NewPipe(seg, "pipe", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(q.TryPut(1), q.TryPut(2), a.TrySend(make([]byte, 2040))); err != nil {
		t.Fatal(err)
	}
	return seg, q
}

// TestStat shows what stat prints of one segment and of all, as tables and as JSON.
func TestStat(t *testing.T) {
	seg, _ := segment(t)
	out, diag, code := mpbench(t, t.TempDir(), "stat", seg.Name())
	if code != 0 || diag != "" {
		t.Fatalf("exit status %d: %s", code, diag)
	}
	for _, want := range []string{
		seg.Name() + ": 1M for 2 objects, 1 parties alive, 0 left or died",
		"alive  mpbench.test", "queue       work               1          2/64         2", "pipe        pipe               1       2K/128K",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if len(line) > 101 {
			t.Errorf("longer than 100 columns: %s", line)
		}
	}
	out, _, code = mpbench(t, t.TempDir(), "stat", "-json")
	var all []shm.Inspection
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != 0 {
		t.Fatalf("exit status %d, %v: %s", code, err, out)
	}
	found := false
	for _, in := range all {
		found = found || in.Name == seg.Name() && len(in.Objects) == 2 && len(in.Parties) == 1
	}
	if !found {
		t.Errorf("%s is missing in %s", seg.Name(), out)
	}
}

// TestStatWatch shows that -watch follows a queue that changes, with rates and the highest depth.
func TestStatWatch(t *testing.T) {
	seg, q := segment(t)
	c := exec.Command(program, "stat", "-watch", "-interval", "100ms", "-n", "6", seg.Name())
	var out bytes.Buffer
	c.Stdout = &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for done := false; !done; {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
			if err := q.TryPut(3); err == nil {
				if _, err := q.TryGet(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	tables := strings.Split(out.String(), seg.Name()+":")
	if len(tables) != 7 {
		t.Fatalf("%d tables, want 6:\n%s", len(tables)-1, out.String())
	}
	rates := 0
	for _, table := range tables[2:] {
		if _, line, _ := strings.Cut(table, "queue "); !strings.Contains(line, "/64^") {
			t.Errorf("no highest depth in\n%s", table)
		} else if strings.Contains(line, "/s") {
			rates++
		}
	}
	if rates == 0 {
		t.Errorf("no rate in\n%s", out.String())
	}
}

// TestStatErrors shows what stat and reap do with wrong arguments and segments that do not exist.
func TestStatErrors(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		diag string
	}{
		{[]string{"stat", "mp-no-such-segment"}, exitFailed, "mp-no-such-segment"},
		{[]string{"stat", "a", "b"}, exitUsage, "usage: mpbench stat"},
		{[]string{"stat", "-interval", "0s"}, exitUsage, "mpbench stat: -interval must be more than 0"},
		{[]string{"reap", "-x"}, exitUsage, "usage: mpbench reap"},
		{[]string{"stat", "-h"}, 0, "usage: mpbench stat"},
	} {
		out, diag, code := mpbench(t, t.TempDir(), test.args...)
		if code != test.code || !strings.Contains(diag, test.diag) || out != "" {
			t.Errorf("%v: exit status %d, want %d: %s%s", test.args, code, test.code, diag, out)
		}
	}
}

// TestReap shows that reap removes a segment without a living process, that -n does not, and that
// neither touches one that is in use.
func TestReap(t *testing.T) {
	used, _ := segment(t)
	left, _ := segment(t)
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	if out, _, code := mpbench(t, t.TempDir(), "stat", left.Name()); code != 0 || !strings.Contains(out, "abandoned") {
		t.Errorf("stat: exit status %d: %s", code, out)
	}
	for _, test := range []struct{ flag, says string }{{"-n", "would remove "}, {"", "removed "}} {
		args := []string{"reap"}
		if test.flag != "" {
			args = append(args, test.flag)
		}
		// Without names reap would also remove what tests of other packages leave for a moment.
		out, diag, code := mpbench(t, t.TempDir(), append(args, used.Name(), left.Name())...)
		if code != 0 || !strings.Contains(out, test.says+left.Name()) || strings.Contains(out, used.Name()) {
			t.Errorf("%v: exit status %d: %s%s", args, code, out, diag)
		}
		_, err := shm.Inspect(left.Name())
		if gone := errors.Is(err, fs.ErrNotExist); gone != (test.flag == "") {
			t.Errorf("after %v: %v", args, err)
		}
	}
	if _, err := shm.Inspect(used.Name()); err != nil {
		t.Error(err)
	}
}
