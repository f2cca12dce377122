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
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/futex"
	"github.com/seed-2e7ecdea/mp/internal/leak"
	"github.com/seed-2e7ecdea/mp/internal/view"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
	psync "github.com/seed-2e7ecdea/mp/sync"
)

// patience bounds every wait of the tests.
const patience = time.Minute

// plainEnv makes this program an ordinary one that runs an operation: it is
// nobody's child as far as mp knows, and was given no memory.
const plainEnv = "MP_TEST_PLAIN"

func TestMain(m *testing.M) {
	proc.Init()
	if op := os.Getenv(plainEnv); op != "" {
		os.Exit(plain(op))
	}
	os.Exit(leak.Check(m))
}

// A job is what a child is asked to do.
type job struct {
	Op    string
	Name  string // of a segment, or an object
	Text  string
	N     int
	Seg   *shm.Segment
	Cells *cells
	Lock  *psync.Lock
}

// ops are what children and plain processes can do.
var ops = map[string]func(ctx context.Context, j job) (string, error){}

var work = proc.Register("work", func(ctx context.Context, j job) (string, error) {
	op := ops[j.Op]
	if op == nil {
		return "", fmt.Errorf("no operation %q", j.Op)
	}
	return op(ctx, j)
})

// within returns a context that ends when a test has waited too long.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, errors.New("the test has waited too long"))
	t.Cleanup(cancel)
	return ctx
}

// stuck fails the test with what all goroutines do.
func stuck(t testing.TB, what string) {
	t.Helper()
	buf := make([]byte, 1<<20)
	t.Fatalf("stuck: %s\n%s", what, buf[:runtime.Stack(buf, true)])
}

// await waits for a value of c.
func await[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	var v T
	select {
	case v = <-c:
	case <-time.After(patience):
		stuck(t, what)
	}
	return v
}

// must returns v, and fails the test if err is not nil.
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantError(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// start makes a child for the job and starts it. It is killed at the end of
// the test if it runs then.
func start(t testing.TB, j job, options *proc.Options) *proc.Call[string] {
	t.Helper()
	p, err := work.New(j, options)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	if err := p.Start(within(t)); err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() { kill(t, p) })
	return p
}

// run runs the job in a child and returns its result.
func run(t testing.TB, j job) string {
	t.Helper()
	p := start(t, j, nil)
	s, err := p.Result(within(t))
	if err != nil {
		t.Fatalf("%s: %v", j.Op, err)
	}
	return s
}

// kill ends the child by SIGKILL and waits until it has ended.
func kill(t testing.TB, p *proc.Call[string]) {
	t.Helper()
	if err := p.Kill(); err != nil && !errors.Is(err, proc.ErrClosed) {
		t.Errorf("%s: Kill: %v", p.Name(), err)
	}
	await(t, p.Done(), "end of "+p.Name())
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

// closing closes c after the test.
func closing[T io.Closer](t testing.TB, c T) T {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func anonymous(t testing.TB, size int, o *shm.Options) *shm.Segment {
	t.Helper()
	return closing(t, must(shm.Anonymous(size, o))(t))
}

func named(t testing.TB, size int, o *shm.Options) *shm.Segment {
	t.Helper()
	return closing(t, must(shm.Create(name(t), size, o))(t))
}

func heap(t testing.TB, size int) *shm.Segment {
	t.Helper()
	return closing(t, must(shm.Heap(size))(t))
}

// The objects of these tests.
const (
	kindPlain  = shm.KindLock
	plainPrint = 0x1234567890abcdef
)

func newPlain(seg *shm.Segment, name string, size int) (*shm.Object, error) {
	return seg.NewObject(shm.Spec{Kind: kindPlain, Name: name, Size: size, Fingerprint: plainPrint})
}

func openPlain(seg *shm.Segment, name string) (*shm.Object, error) {
	return seg.OpenObject(kindPlain, name, plainPrint)
}

// cells are words in shared memory by which a test and its children talk. The
// operations that the children know use the first ones: see park.
type cells struct{ object *shm.Object }

const (
	cellCount  = 64
	cellsPrint = 0xce115
)

// The cells that have a meaning for all tests.
const (
	cellReady = iota // how many children are parked
	cellGo           // the number of the child that may go on
	cellHeld         // what the operation reports
	cellDone
	cellFree // from here on as a test likes
)

func newCells(t testing.TB, seg *shm.Segment) *cells {
	t.Helper()
	return &cells{must(seg.NewObject(shm.Spec{Kind: shm.KindLock, Size: 8 * cellCount, Fingerprint: cellsPrint}))(t)}
}

func (c *cells) at(i int) *atomic.Uint32        { return view.At[atomic.Uint32](c.object.Bytes(), 8*i) }
func (c *cells) wide(i int) *atomic.Uint64      { return view.At[atomic.Uint64](c.object.Bytes(), 8*i) }
func (c *cells) Handle() shm.Handle             { return c.object.Handle(0) }
func (c *cells) MarshalBinary() ([]byte, error) { return c.Handle().MarshalText() }
func (c *cells) UnmarshalBinary(text []byte) error {
	var h shm.Handle
	if err := h.UnmarshalText(text); err != nil {
		return err
	}
	o, err := shm.OpenHandle(h, shm.KindLock, cellsPrint)
	c.object = o
	return err
}

// set stores a value and wakes who waits for it.
func (c *cells) set(i int, v uint32) {
	c.at(i).Store(v)
	futex.Wake(c.at(i), futex.All)
}

func (c *cells) add(i int) {
	c.at(i).Add(1)
	futex.Wake(c.at(i), futex.All)
}

// until waits until cell i is at least v.
func (c *cells) until(ctx context.Context, i int, v uint32) error {
	for {
		now := c.at(i).Load()
		if now >= v {
			return nil
		}
		if err := futex.Wait(ctx, c.at(i), now); err != nil {
			return fmt.Errorf("cell %d is %d, not %d: %w", i, now, v, err)
		}
	}
}

func (c *cells) await(t testing.TB, i int, v uint32) {
	t.Helper()
	if err := c.until(within(t), i, v); err != nil {
		stuck(t, err.Error())
	}
}

// park says ready and waits until it is child j.N's turn.
func park(ctx context.Context, j job) error {
	j.Cells.add(cellReady)
	return j.Cells.until(ctx, cellGo, uint32(j.N))
}

// A stranger is a plain process.
type stranger struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
}

// startPlain runs this program as an ordinary one. Its standard input is the
// text, a line, and stays open.
func startPlain(t testing.TB, op, text string) *stranger {
	t.Helper()
	s := &stranger{Cmd: exec.Command("/proc/self/exe")}
	s.Env = append(os.Environ(), plainEnv+"="+op)
	s.Stderr = os.Stderr
	s.stdin = must(s.StdinPipe())(t)
	s.stdout = bufio.NewReader(must(s.StdoutPipe())(t))
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
	return await(t, c, "a line of a plain process")
}

// plain is what such a process does: it reads a line, does as it is told,
// prints a line, and waits for the end of its input.
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
