package step_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var tryFaults = flag.Bool("step.faults", false, "show that the tables find deliberate faults; takes some minutes")

// A fault is a change of mp's code that breaks a promise, which the row of a table must find.
type fault struct {
	name     string
	file     string
	old, new string
	pkg, row string
	mode     string // in which the row finds it
}

var faults = []fault{
	{
		"a putter claims without an owner", "ring/queue_core.go",
		"uint64(ownedAt(pos.lap(), writing, k.me))) {\n\t\tvar err error", "uint64(ownedAt(pos.lap(), writing, 0))) {\n\t\tvar err error",
		"ring", "Queue.Put beside putters that fill the queue", "stop",
	}, {
		"a getter claims without an owner", "ring/queue_core.go",
		"uint64(ownedAt(pos.lap(), as, k.me))) {\n\t\tvar inOrder bool", "uint64(ownedAt(pos.lap(), as, 0))) {\n\t\tvar inOrder bool",
		"ring", "Queue.Get of the only value", "stop",
	}, {
		"a value is published before it is copied", "ring/queue.go",
		"\t\t*k.slots.message(word) = v\n\t\terr = k.publish(word, pos)", "\t\terr = k.publish(word, pos)\n\t\t*k.slots.message(word) = v",
		"ring", "Queue.Put", "kill",
	}, {
		"a slot is given back before its value is copied", "ring/queue.go",
		"\tv = *k.slots.message(word)\n\tif err = k.release(word, lap); err != nil {",
		"\terr = k.release(word, lap)\n\tv = *k.slots.message(word)\n\tif err != nil {",
		"ring", "Queue.Get beside a putter", "stop",
	}, {
		"a putter claims by load and store", "ring/queue_core.go",
		"!word.CompareAndSwap(want, uint64(ownedAt(pos.lap(), writing, k.me))) {",
		"func() bool { word.Store(uint64(ownedAt(pos.lap(), writing, k.me))); return false }() {",
		"ring", "Queue.Put", "stop",
	}, {
		"a message is published before it is copied", "ring/stream_unsafe.go",
		"\tcopy(s.message(at, n), msg)\n\tif crash.Enabled {\n\t\tcrash.At(crash.PipeSendCopied)\n\t}\n\t// To load",
		"\tfence.Put64(word(s.ring, tail&s.mask), recordHeader(n))\n\tcopy(s.message(at, n), msg)\n\t// To load",
		"ring", "Conn.Send", "kill",
	}, {
		"the lock is acquired by load and store", "internal/robust/mutex.go",
		"\tif m.w.word.CompareAndSwap(0, owned(m.table.Me())) {",
		"\tif m.w.word.Load() == 0 {\n\t\tm.w.word.Store(owned(m.table.Me()))",
		"sync", "Lock.Acquire", "stop",
	}, {
		"a large value is published before it is written", "value/copies.go",
		"\ts.put(x)\n\tif crash.Enabled {\n\t\tcrash.At(crash.ValueCopied)\n\t}\n\tc.word.Store(n) //",
		"\tc.word.Store(n)\n\ts.put(x)\n\t//",
		"value", "Value.Store", "kill",
	}, {
		"a permit is taken by load and store", "sync/semaphore.go",
		"\t\tif c.w.count.CompareAndSwap(n, n-1) {", "\t\tif c.w.count.Store(n - 1); true {",
		"sync", "Semaphore.Acquire the last", "stop",
	}, {
		"a once is done before its function is called", "sync/once.go",
		"\tif err := f(); err != nil {", "\tc.w.done.Store(1)\n\tif err := f(); err != nil {",
		"sync", "Once.Do", "kill",
	}, {
		"a reader does not look at the phase again", "sync/rwlock_core.go",
		"\tif c.load().number() != p.number() {\n\t\tc.leave()", "\tif false {\n\t\tc.leave()",
		"sync", "RWLock.RAcquire", "stop",
	}, {
		"the notification of a dead waiter is not taken over", "sync/condition_core.go",
		"\tif w.takeOver() {\n", "\tif w.wanted == nil && w.takeOver() {\n",
		"sync", "Condition.Wait beside another waiter", "kill",
	}, {
		"an object is opened without a second look at its state", "shm/object.go",
		"\tif !e.ready(serial) {\n\t\to.Close()", "\tif false {\n\t\to.Close()",
		"shm", "Open object", "stop",
	},
}

// TestFaults shows that the tables find faults. By default it only checks that the code that each
// fault changes is still there.
func TestFaults(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(root, f.file))
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(text, []byte(f.old)); n != 1 {
				t.Fatalf("%s contains %d times what the fault changes:\n%s", f.file, n, f.old)
			}
			if !*tryFaults {
				return
			}
			dir := t.TempDir()
			copySource(t, root, dir)
			text = bytes.Replace(text, []byte(f.old), []byte(f.new), 1)
			if err := os.WriteFile(filepath.Join(dir, f.file), text, 0o644); err != nil {
				t.Fatal(err)
			}
			if mode := found(t, dir, f); mode != f.mode {
				t.Errorf("found by %q, want %q", mode, f.mode)
			}
		})
	}
}

// copySource copies the module to dir.
func copySource(t *testing.T, root, dir string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && rel != ".":
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(dir, rel), 0o755)
		case !strings.HasSuffix(rel, ".go") && !strings.HasSuffix(rel, ".s") && !strings.HasPrefix(d.Name(), "go."):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, rel), text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// found runs the fault's row in dir, and returns the mode in which it fails.
func found(t *testing.T, dir string, f fault) (mode string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	row := strings.ReplaceAll(regexp.QuoteMeta(f.row), " ", "_")
	cmd := exec.CommandContext(ctx, "go", "test", "./"+f.pkg, "-run", fmt.Sprintf("TestEveryInstruction/^%s$", row), "-step.all", "-v")
	cmd.Dir = dir
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "nothing"
	}
	match := regexp.MustCompile(`(kill|stop|stop and kill) at (\S+:\d+) .*again by`).FindSubmatch(out)
	if match == nil {
		t.Fatalf("the row failed for another reason:\n%s", out)
	}
	t.Logf("found by %q at %s in %.1f s", match[1], filepath.Base(string(match[2])), time.Since(begin).Seconds())
	return string(match[1])
}
