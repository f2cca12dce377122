package testkit

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A Peer is a Python process whose speed a test compares with mp's. For each line on its standard input, it prints one.
type Peer struct {
	t   testing.TB
	in  io.Writer
	out *bufio.Scanner
}

// StartPython starts a program in Python, or skips the test if there is no python3. The process ends with the test, since
// its standard input does.
func StartPython(t testing.TB, program string, args ...string) *Peer {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	c := exec.Command(path, append([]string{"-c", program}, args...)...)
	in := Must(c.StdinPipe())(t)
	out := Must(c.StdoutPipe())(t)
	WantNil(t, "Start", c.Start())
	t.Cleanup(func() {
		WantNil(t, "Close", in.Close())
		WantNil(t, "Wait", c.Wait())
	})
	return &Peer{t, in, bufio.NewScanner(out)}
}

// Ask sends the words as a line and returns the answer.
func (p *Peer) Ask(words ...any) string {
	p.t.Helper()
	Must(fmt.Fprintln(p.in, words...))(p.t)
	if !p.out.Scan() {
		p.t.Fatalf("Python has ended: %v", p.out.Err())
	}
	return strings.TrimSpace(p.out.Text())
}

// AskNumber is Ask for an answer that is a number.
func (p *Peer) AskNumber(words ...any) float64 {
	p.t.Helper()
	return Must(strconv.ParseFloat(p.Ask(words...), 64))(p.t)
}
