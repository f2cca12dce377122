package main

import (
	"context"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

var sequence = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// TestTerminal runs the program on terminals of several widths: no line is wider, also none of the progress; there are
// bars, and colours unless the environment or a flag forbids them.
func TestTerminal(t *testing.T) {
	for _, c := range []struct {
		columns int
		env     string
		flags   string
		colours bool
		unicode bool
	}{
		{80, "LC_ALL=C.UTF-8", "", true, true},
		{100, "LC_ALL=C", "", true, false},
		{140, "LC_ALL=C.UTF-8", "-color never", false, true},
		{100, "NO_COLOR=1", "", false, true},
		{100, "NO_COLOR=1", "-color always", true, true},
	} {
		t.Run(c.env+c.flags, func(t *testing.T) {
			shown := onTerminal(t, c.columns, []string{"LC_ALL=C.UTF-8", "TERM=xterm", "NO_COLOR=", c.env},
				append(strings.Fields(c.flags), "-transports", "pipe,unix-seqpacket", "-sizes", "64", "-duration", "10ms", "-trials", "2")...)
			progress, table, _ := cutLast(shown, "\r\x1b[K")
			if strings.Contains(table, "\x1b[1m") != c.colours {
				t.Errorf("colours: want %t in %q", c.colours, table)
			}
			bar := "█"
			if !c.unicode {
				bar = "####"
				if !ascii(shown) {
					t.Errorf("characters besides ASCII in %q", shown)
				}
			}
			if !strings.Contains(table, bar) || !strings.Contains(progress, " left] ") {
				t.Errorf("no bar %q, or no time left, in %q", bar, shown)
			}
			width := min(c.columns, widest)
			_, table, _ = strings.Cut(table, "\n\n") // the machine's line may be long
			for line := range strings.Lines(table) {
				line = sequence.ReplaceAllString(strings.TrimRight(line, "\r\n"), "")
				if n := utf8.RuneCountInString(line); n > width {
					t.Errorf("%d columns in a line of the table: %s", n, line)
				}
			}
			for line := range strings.SplitSeq(progress, "\r\x1b[K") {
				_, line, _ = cutLast(line, "\n")
				if n := utf8.RuneCountInString(line); n >= c.columns {
					t.Errorf("%d columns in a line of the progress: %s", n, line)
				}
			}
		})
	}
}

// cutLast cuts text around the last instance of sep.
func cutLast(text, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(text, sep); i >= 0 {
		return text[:i], text[i+len(sep):], true
	}
	return "", text, false
}

// onTerminal runs the program on a terminal of so many columns, and returns what it showed.
func onTerminal(t *testing.T, columns int, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	parent, child, err := sys.OpenPTY()
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	if err := sys.SetTerminalWidth(child, columns); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, program, args...)
	c.Env = append(c.Environ(), env...)
	c.Stdout, c.Stderr = child, child
	if err := errors.Join(c.Start(), child.Close()); err != nil {
		t.Fatal(err)
	}
	shown := &screen{changed: make(chan struct{}, 1)}
	done := make(chan struct{})
	go func() {
		shown.copy(parent)
		close(done)
	}()
	err = c.Wait()
	select {
	case <-done: // the last process that had the terminal open has ended
	case <-ctx.Done():
		t.Fatal("the terminal stays open after the end of the program")
	}
	if err != nil {
		t.Fatalf("%v: %s", err, shown.text)
	}
	return string(shown.text)
}
