package proc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed-2e7ecdea/mp/proc"
)

// talk prints its argument to standard output, and "E" and its argument to standard error.
var talk = proc.Register("talk", func(_ context.Context, text string) (proc.None, error) {
	_, err := fmt.Print(text)
	if err == nil {
		_, err = fmt.Fprint(os.Stderr, "E", text)
	}
	return proc.None{}, err
})

// A picky writer takes a few bytes.
type picky struct{ left int }

var errPicky = errors.New("enough")

func (w *picky) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errPicky
	}
	return len(p), nil
}

// flood prints until it can't.
var flood = proc.Register("flood", func(context.Context, proc.None) (proc.None, error) {
	for {
		if _, err := os.Stdout.Write(make([]byte, 1<<12)); err != nil {
			return proc.None{}, err
		}
	}
})

// leavePrinter leaves a program behind that has the standard output.
var leavePrinter = proc.Register("leave a printer", func(context.Context, proc.None) (int, error) {
	cmd := exec.Command("sleep", "1000")
	cmd.Stdout = os.Stdout
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	fmt.Println("left")
	return cmd.Process.Pid, nil
})

func TestOutput(t *testing.T) {
	t.Run("captured", func(t *testing.T) {
		var out, errs bytes.Buffer
		text := strings.Repeat("0123456789abcdef", 1<<14)
		p := start(t, talk, text, &proc.Options{Stdout: &out, Stderr: &errs})
		await(t, p.Process) // then all is there
		if out.String() != text || errs.String() != "E"+text {
			t.Errorf("%d and %d bytes, want %d", out.Len(), errs.Len(), len(text))
		}
	})
	t.Run("both in one", func(t *testing.T) {
		var out bytes.Buffer
		await(t, start(t, talk, "text", &proc.Options{Stdout: &out, Stderr: &out}).Process)
		if got := out.String(); got != "textEtext" {
			t.Errorf("printed %q", got)
		}
	})
	t.Run("input", func(t *testing.T) {
		var out bytes.Buffer
		in := strings.Repeat("quiet", 1<<15)
		p := start(t, shout, struct{}{}, &proc.Options{Stdin: strings.NewReader(in), Stdout: &out, Stderr: io.Discard})
		if err := p.Join(within(t)); err != nil || out.String() != strings.ToUpper(in) {
			t.Errorf("%d bytes, %v, want %d", out.Len(), err, len(in))
		}
	})
	t.Run("lines", func(t *testing.T) {
		var out safeBuffer
		var all sync.WaitGroup
		var want []string
		for i := range 4 {
			name := fmt.Sprint("p", i)
			p := start(t, talk, "one\ntwo\nthree", &proc.Options{Name: name, Stdout: &out, Stderr: &out, NameLines: true})
			for _, line := range []string{"one", "two", "three", "Eone", "two", "three"} {
				want = append(want, name+": "+line)
			}
			all.Go(func() { await(t, p.Process) })
		}
		all.Wait()
		got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("printed %q, want %q", got, want)
		}
	})
	t.Run("lines to a file", func(t *testing.T) {
		r, w := pipe(t)
		p := start(t, talk, "text\n", &proc.Options{Name: "it", Stdout: w, Stderr: io.Discard, NameLines: true})
		await(t, p.Process)
		w.Close()
		wantRest(t, r, "it: text\n")
	})
	t.Run("the writer fails", func(t *testing.T) {
		p := start(t, flood, proc.None{}, &proc.Options{Stdout: &picky{1 << 16}, Stderr: io.Discard})
		if err := p.Join(within(t)); err == nil { // EPIPE of the child, or the signal
			t.Error("no error")
		}
		q := start(t, talk, "text", &proc.Options{Stdout: &picky{1}, Stderr: io.Discard})
		if err := q.Join(within(t)); !errors.Is(err, errPicky) {
			t.Errorf("Join: %v, want the writer's error", err)
		}
	})
	t.Run("another process has the output", func(t *testing.T) {
		var out bytes.Buffer
		pid, err := start(t, leavePrinter, proc.None{}, &proc.Options{Stdout: &out}).Result(within(t))
		if err != nil || out.String() != "left\n" {
			t.Errorf("printed %q, %v", &out, err)
		}
		if left, err := os.FindProcess(pid); err != nil || left.Kill() != nil {
			t.Errorf("the program that it left: %v", err)
		}
	})
}

// A safeBuffer may be written to by several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}
