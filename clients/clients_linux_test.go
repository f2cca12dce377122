// Package clients_test runs programs in C and Python that use mp's shared memory through the clients
// in this directory.
package clients_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/internal/clientlayout"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	"github.com/seed-2e7ecdea/mp/value"
)

func TestMain(m *testing.M) {
	proc.Init()
	code := Main(m)
	if program != "" {
		os.RemoveAll(filepath.Dir(program))
	}
	os.Exit(code)
}

// A client is a language, and how its test client is run.
type client struct {
	name string
	// command returns a command that runs the test client. It skips the test if the language is not
	// there.
	command  func(t testing.TB, mode string, args ...string) *proc.Cmd
	messages int // how many messages the tests send to or from it
}

var clients = []client{
	{"C", func(t testing.TB, mode string, args ...string) *proc.Cmd {
		return proc.Command(compiled(t), append([]string{mode}, args...)...)
	}, 200_000},
	{"Python", func(t testing.TB, mode string, args ...string) *proc.Cmd {
		c := proc.Command(python(t), append([]string{"-B", "testdata/client.py", mode}, args...)...)
		c.Env = []string{"PYTHONPATH=python"}
		return c
	}, 20_000},
}

// each runs f as a subtest for each language.
func each(t *testing.T, f func(t *testing.T, c client)) {
	for _, c := range clients {
		if testing.Short() {
			c.messages /= 10
		}
		t.Run(c.name, func(t *testing.T) { f(t, c) })
	}
}

// flags are those with which the header must compile without a warning.
var flags = []string{"-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-Ic"}

// program is the compiled client, once compile has made it.
var program string

var compile = sync.OnceValues(func() (string, error) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return "", nil
	}
	dir, err := os.MkdirTemp("", "mp-clients")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "client")
	out, err := exec.Command(cc, append(slices.Clone(flags), "-o", binary, "testdata/client.c")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	program = binary
	return binary, nil
})

// compiled returns the test client in C. It is removed at the end of the tests.
func compiled(t testing.TB) string {
	t.Helper()
	binary := Must(compile())(t)
	if binary == "" {
		t.Skip("there is no C compiler: install gcc")
	}
	return binary
}

// interpreter is Python and what it says when it imports the module.
var interpreter = sync.OnceValues(func() (string, error) {
	path, err := exec.LookPath("python3")
	if err != nil {
		return "", err
	}
	out, err := exec.Command(path, "-B", "-c", "import sys; sys.path.insert(0, 'python'); import mp; print(sys.executable)").CombinedOutput()
	return strings.TrimSpace(string(out)), err
})

// python returns the interpreter, which must have 64 bits.
func python(t testing.TB) string {
	t.Helper()
	out, err := interpreter()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		t.Skip("there is no Python: install python3")
	case strings.Contains(out, "ImportError: mp needs 64-bit Linux"):
		t.Skip(out)
	}
	WantNil(t, "import of mp: "+out, err)
	return out
}

// start starts a client, which is killed at the end of the test if it runs then.
func start(t testing.TB, c *proc.Cmd) {
	t.Helper()
	WantNil(t, "Start", c.Start(Within(t)))
	t.Cleanup(func() {
		WantNil(t, "Kill", c.Kill())
		Await(t, c.Done(), "end of a client")
	})
}

// newPipe makes a pipe in a segment of its own. The ends are closed after the test.
func newPipe(t testing.TB, capacity int) (a, b *ring.Conn) {
	t.Helper()
	a, b, err := ring.NewPipe(Anonymous(t, 1<<20), "", &ring.PipeOptions{Capacity: capacity})
	WantNil(t, "NewPipe", err)
	return Closing(t, a), Closing(t, b)
}

func TestLayoutIsChecked(t *testing.T) {
	want := []string{"array", "internal/lock", "internal/party", "internal/robust", "internal/wait", "ring", "shm", "value"}
	for path, sections := range clientlayout.Sections(t) {
		slices.Sort(sections)
		if !slices.Equal(sections, want) {
			t.Errorf("%s has the sections %q; tests check %q", path, sections, want)
		}
	}
}

// TestHeaderCompiles shows that the header compiles without a warning for processors of other kinds
// and sizes, as far as there are compilers for them. For this one, compile does.
func TestHeaderCompiles(t *testing.T) {
	for _, compiler := range [][]string{{"cc", "-m32"}, {"clang"}, {"aarch64-linux-gnu-gcc"}, {"arm-linux-gnueabihf-gcc"}, {"riscv64-linux-gnu-gcc"}} {
		t.Run(strings.Join(compiler, " "), func(t *testing.T) {
			if _, err := exec.LookPath(compiler[0]); err != nil {
				t.Skip(err)
			}
			run := func(source string) (string, error) {
				file := filepath.Join(t.TempDir(), "test.c")
				WantNil(t, "write", os.WriteFile(file, []byte(source), 0o600))
				args := slices.Concat(compiler[1:], flags, []string{"-c", "-o", os.DevNull, file})
				out, err := exec.Command(compiler[0], args...).CombinedOutput()
				return string(out), err
			}
			if out, err := run("#include <stdio.h>\nint main(void) { return 0; }\n"); err != nil {
				t.Skipf("no C library for it: %v\n%s", err, out)
			}
			if out, err := run(string(Must(os.ReadFile("testdata/client.c"))(t))); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

type point struct{ X, Y float64 }

func TestObjects(t *testing.T) {
	each(t, func(t *testing.T, c client) {
		seg := Anonymous(t, 1<<20)
		points := Must(array.NewFrom(seg, "", []point{{1, 2}, {3, 4}, {-5, 0.5}}, nil))(t)
		text := Must(array.NewBytesFrom(seg, "", "hello world", nil))(t)
		named := Must(array.New[int32](seg, "in the directory", 3, nil))(t)
		n := Must(value.New(seg, "", int64(40), nil))(t)
		small := Must(value.New(seg, "", uint8(7), nil))(t)
		wide := Must(value.New(seg, "", [5]int64{1, 2, 3, 4, 5}, nil))(t)
		block := Closing(t, Must(shm.AnonymousBlock(100))(t))
		Must(block.Bytes())(t)[0] = 5
		changed := make(chan [5]int64)
		go func() {
			defer close(changed)
			for x, err := range wide.Watch(Within(t)) {
				if err != nil {
					t.Error(err)
				}
				if changed <- x; x[0] == 2 {
					return
				}
			}
		}()
		Want(t, "value at first", Await(t, changed, "a value"), [5]int64{1, 2, 3, 4, 5})
		cmd := c.command(t, "objects").Pass("points", points).Pass("text", text).Pass("n", n).
			Pass("small", small).Pass("wide", wide).Pass("block", block)
		WantNil(t, "Run", cmd.Run(Within(t)))
		Want(t, "watched value", Await(t, changed, "the next value"), [5]int64{2, 3, 4, 5, 6})
		if got := points.Slice(); !slices.Equal(got, []point{{1, 4}, {9, 16}, {25, 0.25}}) {
			t.Errorf("points are %v", got)
		}
		Want(t, "text", text.String(), "HELLO world")
		Want(t, "named array", named.At(0), 77)
		Want(t, "n", n.Load(), 42)
		Want(t, "small", small.Load(), 8)
		Want(t, "wide", wide.Load(), [5]int64{2, 3, 4, 5, 6})
		Want(t, "block", Must(block.Bytes())(t)[1], 6)
		Want(t, "parties", Must(seg.Parties())(t), 1)
	})
}

func TestErrors(t *testing.T) {
	each(t, func(t *testing.T, c client) {
		seg := Anonymous(t, 1<<20)
		points := Must(array.New[point](seg, "", 3, nil))(t)
		n := Must(value.New(seg, "", int64(0), nil))(t)
		block := Closing(t, Must(shm.AnonymousBlock(100))(t))
		a, b := newPipe(t, 0)
		r, w := Must2(os.Pipe())(t)
		Closing(t, r)
		cmd := c.command(t, "errors").Pass("points", points).Pass("n", n).Pass("block", block).Pass("pipe", b)
		cmd.Stdout = w
		start(t, cmd)
		w.Close()
		out := bufio.NewReader(r)
		line := Must(out.ReadString('\n'))(t)
		want := map[string]string{
			"C":      "-6 -7 -7 -10 -10 -10 -6 -7 -3 -3 -3 -3",
			"Python": "-6 -7 -7 -7 -7 -7 -6 -7 -3 -3 -3 -3",
		}[c.name]
		Want(t, "errors", strings.TrimSpace(line), want)
		WantNil(t, "Send", a.Send(Within(t), []byte("abc")))
		line = Must(out.ReadString('\n'))(t)
		Want(t, "after Close", strings.TrimSpace(line), map[string]string{"C": "3 -10 -11", "Python": "-10"}[c.name])
		WantNil(t, "Close", b.Close())
		for { // what it has sent, then the end
			if _, err := a.Receive(Within(t)); err != nil {
				WantError(t, "Receive", err, io.EOF)
				break
			}
		}
	})
}

// Must2 is Must for two values.
func Must2[A, B any](a A, b B, err error) func(t testing.TB) (A, B) {
	return func(t testing.TB) (A, B) {
		t.Helper()
		WantNil(t, "call", err)
		return a, b
	}
}

func TestEcho(t *testing.T) {
	each(t, func(t *testing.T, c client) {
		for _, end := range []ring.End{ring.A, ring.B} {
			a, b := newPipe(t, 4096)
			mine, theirs := a, b
			if end == ring.A {
				mine, theirs = b, a
			}
			cmd := c.command(t, "echo").Pass("pipe", theirs)
			start(t, cmd)
			WantNil(t, "Close", theirs.Close())
			for i := range 300 { // each length, and the ring several times around
				msg := make([]byte, i*7%2032)
				for k := range msg {
					msg[k] = byte(i + k)
				}
				WantNil(t, "Send", mine.Send(Within(t), msg))
				got := Must(mine.Receive(Within(t)))(t)
				if !slices.Equal(got, msg) {
					t.Fatalf("message %d: got %d bytes, want %d", i, len(got), len(msg))
				}
			}
			WantNil(t, "Close", mine.Close()) // the client finds the end of the file
			WantNil(t, "Join", cmd.Join(Within(t)))
		}
	})
}

// number returns message number i of feed.
func number(i uint64) []byte {
	msg := binary.NativeEndian.AppendUint64(nil, i)
	for range i % 100 {
		msg = append(msg, byte(i))
	}
	return msg
}

func TestFeed(t *testing.T) {
	each(t, func(t *testing.T, c client) {
		a, b := newPipe(t, 0)
		cmd := c.command(t, "feed", strconv.Itoa(c.messages)).Pass("pipe", b)
		start(t, cmd)
		WantNil(t, "Close", b.Close())
		WantNil(t, "Send", a.Send(Within(t), number(0)[:8]))
		begin := time.Now()
		ctx := Within(t)
		for i := range uint64(c.messages) {
			got, err := a.Receive(ctx)
			if err != nil || !slices.Equal(got, number(i)) {
				t.Fatalf("message %d: %v, %v", i, got, err)
			}
		}
		t.Logf("%v a message", time.Since(begin)/time.Duration(c.messages))
		WantError(t, "Receive", Second(a.Receive(ctx)), io.EOF)
		WantNil(t, "Join", cmd.Join(ctx))
	})
}

func TestDrain(t *testing.T) {
	each(t, func(t *testing.T, c client) {
		a, b := newPipe(t, 0)
		cmd := c.command(t, "drain").Pass("pipe", b)
		start(t, cmd)
		WantNil(t, "Close", b.Close())
		ctx := Within(t)
		begin := time.Now()
		back := Async(func() error {
			for i := 0; i < c.messages; i += 10 {
				got, err := a.Receive(ctx)
				if err != nil || binary.NativeEndian.Uint64(got) != uint64(i) {
					return fmt.Errorf("after %d: %v, %w", i, got, err)
				}
			}
			return nil
		})
		for i := range uint64(c.messages) {
			WantNil(t, "Send", a.Send(ctx, number(i)))
		}
		WantNil(t, "messages back", Await(t, back, "messages back"))
		t.Logf("%v a message", time.Since(begin)/time.Duration(c.messages))
		WantNil(t, "Close", a.Close())
		WantNil(t, "Join", cmd.Join(ctx))
	})
}

// TestSharedEnd shows that a client takes turns with other users of its end: this process revokes the
// bias of the client, and the other way round.
func TestSharedEnd(t *testing.T) {
	each(t, func(t *testing.T, c client) {
		a, b := newPipe(t, 4096)
		cmds := []*proc.Cmd{c.command(t, "echo").Pass("pipe", b), c.command(t, "echo").Pass("pipe", b)}
		for _, cmd := range cmds {
			start(t, cmd)
		}
		ctx := Within(t)
		const n = 3000
		here := Async(func() error { // this process echoes as well
			for {
				msg, err := b.Receive(ctx)
				if err == nil {
					err = b.Send(ctx, msg)
				}
				if errors.Is(err, os.ErrClosed) {
					return nil
				}
				if err != nil {
					return err
				}
			}
		})
		back := Async(func() error {
			seen := make([]bool, n)
			for range n {
				msg, err := a.Receive(ctx)
				if err != nil {
					return err
				}
				i := binary.NativeEndian.Uint64(msg)
				if i >= n || seen[i] || !slices.Equal(msg, number(i)) {
					return fmt.Errorf("message %d a second time, or damaged: %v", i, msg)
				}
				seen[i] = true
			}
			return nil
		})
		for i := range uint64(n) {
			WantNil(t, "Send", a.Send(ctx, number(i)))
		}
		WantNil(t, "messages back", Await(t, back, "messages back"))
		WantNil(t, "Close", b.Close())
		WantNil(t, "echo", Await(t, here, "echo"))
		WantNil(t, "Close", a.Close())
		for _, cmd := range cmds {
			WantNil(t, "Join", cmd.Join(ctx))
		}
	})
}

// needLongMessages skips the test if Go's end of a pipe does not send messages that are longer than
// the ring.
func needLongMessages(t *testing.T) {
	t.Helper()
	a, _ := newPipe(t, 4096)
	if err := a.TrySend(make([]byte, 4096)); !errors.Is(err, ring.ErrTooLarge) {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if errors.Is(a.Send(ctx, make([]byte, 4096)), ring.ErrTooLarge) {
		t.Skip("package ring has no long messages")
	}
}

// TestLongMessages shows that messages that are longer than the ring arrive in both directions.
func TestLongMessages(t *testing.T) {
	needLongMessages(t)
	each(t, func(t *testing.T, c client) {
		a, b := newPipe(t, 4096)
		cmd := c.command(t, "echo").Pass("pipe", b)
		start(t, cmd)
		WantNil(t, "Close", b.Close())
		for _, n := range []int{2033, 4096, 5, 100_000, 0, 1 << 20} {
			msg := make([]byte, n)
			for k := range msg {
				msg[k] = byte(k * 7 >> 3)
			}
			ctx := Within(t)
			sent := Async(func() error { return a.Send(ctx, msg) })
			got := Must(a.Receive(ctx))(t)
			WantNil(t, "Send", Await(t, sent, "Send"))
			if !slices.Equal(got, msg) {
				t.Fatalf("got %d bytes, want %d", len(got), n)
			}
		}
		WantNil(t, "Close", a.Close())
		WantNil(t, "Join", cmd.Join(Within(t)))
	})
}

// TestLongMessageOfTheDead kills clients while they send a long message, or receive one. Another
// holder of the end goes on.
func TestLongMessageOfTheDead(t *testing.T) {
	needLongMessages(t)
	each(t, func(t *testing.T, c client) {
		a, b := newPipe(t, 4096)
		ctx := Within(t)
		long := make([]byte, 1<<20)
		for range 3 {
			cmd := c.command(t, "echo").Pass("pipe", b)
			start(t, cmd)
			WantNil(t, "Send", a.Send(ctx, long)) // now the client sends it back, in vain
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
			WantNil(t, "Kill", cmd.Kill())
			Await(t, cmd.Done(), "end of a client")
			WantNil(t, "Send", b.Send(ctx, []byte("after it")))
			Want(t, "message", string(Must(a.Receive(ctx))(t)), "after it")

			cmd = c.command(t, "echo").Pass("pipe", b)
			start(t, cmd)
			WantNil(t, "Send", a.Send(ctx, []byte("x")))
			Must(a.Receive(ctx))(t)
			sent := Async(func() error { return a.Send(ctx, long) })
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
			WantNil(t, "Kill", cmd.Kill())
			Await(t, cmd.Done(), "end of a client")
			// The message stays for the next receiver, unless the client had received all of it.
			last := Async(func() error { return a.Send(ctx, []byte("last")) })
			got := Must(b.Receive(ctx))(t)
			if string(got) != "last" {
				Want(t, "length of the long message", len(got), len(long))
				Want(t, "message", string(Must(b.Receive(ctx))(t)), "last")
			}
			WantNil(t, "Send", Await(t, sent, "Send"))
			WantNil(t, "Send", Await(t, last, "Send"))
			for { // what the client has sent back
				if msg, err := a.TryReceive(); err != nil {
					WantError(t, "TryReceive", err, ring.ErrEmpty)
					break
				} else if len(msg) != len(long) {
					t.Errorf("a message of %d bytes", len(msg))
				}
			}
		}
	})
}

// TestSimplex shows that clients send and receive on pipes of one direction, and refuse the other one.
func TestSimplex(t *testing.T) {
	each(t, func(t *testing.T, c client) {
		seg := Anonymous(t, 1<<20)
		fromGo, toClient, err := ring.NewSimplex(seg, "", &ring.PipeOptions{Capacity: 4096})
		WantNil(t, "NewSimplex", err)
		fromClient, toGo, err := ring.NewSimplex(seg, "", &ring.PipeOptions{Capacity: 4096})
		WantNil(t, "NewSimplex", err)
		Closing(t, toClient)
		Closing(t, fromClient)
		cmd := c.command(t, "forward").Pass("from", fromGo).Pass("to", toGo)
		start(t, cmd)
		WantNil(t, "Close", errors.Join(fromGo.Close(), toGo.Close()))
		ctx := Within(t)
		for i := range uint64(200) {
			WantNil(t, "Send", toClient.Send(ctx, number(i)))
			if got := Must(fromClient.Receive(ctx))(t); !slices.Equal(got, number(i)) {
				t.Fatalf("message %d: %v", i, got)
			}
		}
		WantNil(t, "Close", toClient.Close())
		WantError(t, "Receive", Second(fromClient.Receive(ctx)), io.EOF)
		WantNil(t, "Join", cmd.Join(ctx))
	})
}
