package shm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/leak"
	"github.com/seed-2e7ecdea/mp/internal/object"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// plainEnv names the operation of a plain process. A plain process is this program, started without
// mp: it is not a child of mp, and gets no shared memory.
const plainEnv = "MP_TEST_PLAIN"

func TestMain(m *testing.M) {
	proc.Init()
	if op := os.Getenv(plainEnv); op != "" {
		os.Exit(plain(op))
	}
	Patience = time.Minute
	os.Exit(Main(m))
}

// A job is the argument of a child's task.
type job struct {
	Op    string
	Name  string // of a segment or an object
	Text  string
	N     int
	Seg   *shm.Segment
	Cells *Cells
	Lock  *psync.Lock
}

// ops are the operations of children and plain processes.
var ops = map[string]func(ctx context.Context, j job) (string, error){}

var work = proc.Register("work", func(ctx context.Context, j job) (string, error) {
	op := ops[j.Op]
	if op == nil {
		return "", fmt.Errorf("no operation %q", j.Op)
	}
	return op(ctx, j)
})

// run runs the job in a child and returns its result.
func run(t testing.TB, j job) string {
	t.Helper()
	p := Start(t, work, j)
	s, err := p.Result(Within(t))
	if err != nil {
		t.Fatalf("%s: %v", j.Op, err)
	}
	return s
}

// name returns a name for a segment or block that is removed after the test.
func name(t testing.TB) string {
	t.Helper()
	n := leak.Name("shm")
	t.Cleanup(func() {
		if err := shm.Unlink(n); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, shm.ErrForeign) {
			t.Error(err)
		}
	})
	return n
}

func named(t testing.TB, size int, o *shm.Options) *shm.Segment {
	t.Helper()
	return Closing(t, Must(shm.Create(name(t), size, o))(t))
}

// The kind and the fingerprint of plain objects.
const (
	kindPlain  = shm.KindLock
	plainPrint = 0x1234567890abcdef
)

func newPlain(seg *shm.Segment, name string, size int) (object.Object, error) {
	return object.New(seg, object.Spec{Kind: kindPlain, Name: name, Size: size, Fingerprint: plainPrint})
}

func openPlain(seg *shm.Segment, name string) (object.Object, error) {
	return object.Open(seg, kindPlain, name, plainPrint)
}

const cellCount = 64

// The cells that all tests use in the same way: see park.
const (
	cellReady = iota // the number of children that are parked
	cellGo           // the number of the child that may go on
	cellHeld         // set by an operation when it holds the lock
	cellDone         // set by an operation when it is done
	cellFree         // this cell and those after it have another use in each test
)

func newCells(t testing.TB, seg *shm.Segment) *Cells {
	t.Helper()
	return NewCells(t, seg, cellCount)
}

// park counts this child as parked and waits until it is the turn of child j.N.
func park(ctx context.Context, j job) error {
	j.Cells.Add(cellReady)
	return j.Cells.Until(ctx, cellGo, uint32(j.N))
}

// A stranger is a plain process: see plainEnv.
type stranger struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
}

// startPlain starts a plain process that runs an operation. Its standard input has the text as a
// line, and stays open.
func startPlain(t testing.TB, op, text string) *stranger {
	t.Helper()
	s := &stranger{Cmd: exec.Command("/proc/self/exe")}
	s.Env = append(os.Environ(), plainEnv+"="+op)
	s.Stderr = os.Stderr
	s.stdin = Must(s.StdinPipe())(t)
	s.stdout = bufio.NewReader(Must(s.StdoutPipe())(t))
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Process.Kill()
		s.Wait()
	})
	if _, err := fmt.Fprintln(s.stdin, text); err != nil {
		t.Fatal(err)
	}
	return s
}

// line returns the next line that the process prints.
func (s *stranger) line(t testing.TB) string {
	t.Helper()
	c := make(chan string, 1)
	go func() {
		text, err := s.stdout.ReadString('\n')
		if err != nil {
			text = "error: " + err.Error()
		}
		c <- strings.TrimSpace(text)
	}()
	return Await(t, c, "a line of a plain process")
}

// plain is the main function of a plain process. It reads a line, runs the operation with it,
// prints the result as a line, and waits for the end of its input. It returns the exit code.
func plain(op string) int {
	in := bufio.NewReader(os.Stdin)
	text, err := in.ReadString('\n')
	if err == nil {
		text, err = ops[op](context.Background(), job{Op: op, Text: strings.TrimSpace(text)})
	}
	if err != nil {
		text = "error: " + err.Error()
	}
	fmt.Println(text)
	io.Copy(io.Discard, in)
	return 0
}
