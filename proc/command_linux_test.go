package proc_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	"github.com/seed-2e7ecdea/mp/value"
)

// shell returns a Cmd that runs a shell script.
func shell(script string) *proc.Cmd { return proc.Command("/bin/sh", "-c", script) }

// launch starts c, and kills it at the end of the test.
func launch(t testing.TB, c *proc.Cmd) {
	t.Helper()
	if err := c.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
		ended(t, c)
	})
}

// ended waits until c has ended.
func ended(t testing.TB, c *proc.Cmd) {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Fatalf("pid %d has not ended", c.PID())
	}
}

func TestCommand(t *testing.T) {
	t.Run("output", func(t *testing.T) {
		out, err := shell("echo hello; pwd").Output(within(t))
		dir, _ := os.Getwd()
		if string(out) != "hello\n"+dir+"\n" || err != nil {
			t.Errorf("Output: %q, %v", out, err)
		}
	})
	t.Run("standard_files", func(t *testing.T) {
		var both bytes.Buffer
		c := shell("cat; echo problem >&2; echo $X")
		c.Stdin, c.Stdout, c.Stderr = strings.NewReader("given\n"), &both, &both
		c.Env, c.Dir = []string{"X=set"}, "/"
		if err := c.Run(within(t)); err != nil || both.String() != "given\nproblem\nset\n" {
			t.Errorf("%q, %v", both.String(), err)
		}
	})
	t.Run("input_that_is_not_read", func(t *testing.T) {
		r, w := io.Pipe()
		defer w.Close()
		c := shell("exit 0")
		c.Stdin = r
		if err := c.Run(within(t)); err != nil {
			t.Error(err)
		}
		c = shell("exit 0")
		c.Stdin = bytes.NewReader(make([]byte, 1<<20))
		if err := c.Run(within(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("writer_that_fails", func(t *testing.T) {
		c := shell("head -c 1000000 /dev/zero")
		c.Stdout = failingWriter{}
		if err := c.Run(within(t)); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Run: %v, want the writer's error", err)
		}
	})
	t.Run("exit_code", func(t *testing.T) {
		c := shell("exit 3")
		if code, exited := c.ExitCode(); exited || code != 0 || c.Alive() || c.PID() != 0 {
			t.Error("a program that was not started has ended")
		}
		err := c.Run(within(t))
		var exit *proc.ExitError
		if code, exited := c.ExitCode(); code != 3 || !exited || !errors.As(err, &exit) || exit.Code != 3 {
			t.Errorf("%d, %t, %v", code, exited, err)
		}
		if err2 := c.Join(within(t)); err2 != err {
			t.Errorf("Join again: %v", err2)
		}
	})
	t.Run("descriptors", func(t *testing.T) {
		out, err := shell("ls /proc/self/fd").Output(within(t)) // ls has the directory open
		if err != nil || string(out) != "0\n1\n2\n3\n" {
			t.Errorf("descriptors %q, %v", out, err)
		}
	})
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestCommandErrors(t *testing.T) {
	seg := must(shm.Anonymous(1<<16, nil))(t)
	defer seg.Close()
	closed := must(array.New[byte](seg, "", 1, nil))(t)
	closed.Close()
	file, w := pipe(t)
	file.Close()
	_ = w
	for name, test := range map[string]struct {
		c    *proc.Cmd
		want error
	}{
		"no such program":   {proc.Command("no-such-program-anywhere"), exec.ErrNotFound},
		"no such directory": {&proc.Cmd{}, nil},
		"closed object":     {shell("").Pass("x", closed), os.ErrClosed},
		"closed file":       {shell("").Pass("x", file), os.ErrClosed},
		"no object":         {shell("").Pass("x", 5), proc.ErrValue},
		"invalid name":      {shell("").Pass("9x", 5), syscall.EINVAL},
		"reserved name":     {shell("").Pass("SEGMENT_FDS", 5), syscall.EINVAL},
	} {
		if name == "no such directory" {
			test.c, test.want = shell(""), fs.ErrNotExist
			test.c.Dir = "/no/such/directory"
		}
		if err := test.c.Start(within(t)); !errors.Is(err, test.want) {
			t.Errorf("%s: Start: %v, want %v", name, err, test.want)
		}
		if err := test.c.Join(within(t)); !errors.Is(err, proc.ErrNotStarted) {
			t.Errorf("%s: Join: %v, want ErrNotStarted", name, err)
		}
		if err := test.c.Kill(); !errors.Is(err, proc.ErrNotStarted) {
			t.Errorf("%s: Kill: %v, want ErrNotStarted", name, err)
		}
	}
	c := shell("sleep 100")
	launch(t, c)
	if err := c.Start(within(t)); !errors.Is(err, proc.ErrAlreadyStarted) {
		t.Errorf("Start again: %v", err)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Join(done); !errors.Is(err, context.Canceled) {
		t.Errorf("Join: %v", err)
	}
	if err := shell("").Start(done); !errors.Is(err, context.Canceled) {
		t.Errorf("Start: %v", err)
	}
	c = shell("")
	c.Stdout = os.Stdout
	if _, err := c.Output(within(t)); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("Output: %v", err)
	}
}

// TestCommandGroup shows that the program's whole process group ends with it, by whatever it ends.
func TestCommandGroup(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		end    func(c *proc.Cmd) error
		code   int
	}{
		"exit":       {"sleep 1000 & echo $!; exit 0", func(*proc.Cmd) error { return nil }, 0},
		"terminate":  {"sleep 1000 & echo $!; wait", (*proc.Cmd).Terminate, -15},
		"interrupt":  {"trap 'exit 7' INT; sleep 1000 & echo $!; wait", (*proc.Cmd).Interrupt, 7},
		"kill":       {"sleep 1000 & echo $!; wait", (*proc.Cmd).Kill, -9},
		"stop":       {"sleep 1000 & echo $!; wait", stopWell, -15},
		"stop, deaf": {"trap '' TERM; sleep 1000 & echo $!; while :; do wait; done", stopWell, -9},
	} {
		t.Run(name, func(t *testing.T) {
			r, w := pipe(t)
			c := shell(test.script)
			c.Stdout, c.Grace = w, 50*time.Millisecond
			launch(t, c)
			w.Close()
			out := bufio.NewReader(r)
			if _, err := out.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			if err := test.end(c); err != nil {
				t.Error(err)
			}
			ended(t, c)
			if code, exited := c.ExitCode(); code != test.code || !exited {
				t.Errorf("ExitCode() = %d, %t, want %d", code, exited, test.code)
			}
			// The other process has the pipe open until it ends.
			if rest, err := io.ReadAll(out); err != nil || len(rest) != 0 {
				t.Errorf("%q, %v", rest, err)
			}
		})
	}
}

func stopWell(c *proc.Cmd) error {
	var exit *proc.ExitError
	if err := c.Stop(context.Background()); !errors.As(err, &exit) {
		return fmt.Errorf("Stop: %w, want an ExitError", err)
	}
	return nil
}

func atoi(t *testing.T, line string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCommandTimeout shows that Run and Output stop the program when their context ends.
func TestCommandTimeout(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	c := shell("echo begun; sleep 1000")
	out, err := c.Output(ctx)
	var exit *proc.ExitError
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &exit) || exit.Code != -15 {
		t.Errorf("Output: %v", err)
	}
	if s := string(out); s != "begun\n" && s != "" {
		t.Errorf("Output: %q", s)
	}
}

// TestCommandHeldOutput shows that a process that has left the group and keeps the output open does
// not hold up Join.
func TestCommandHeldOutput(t *testing.T) {
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip(err)
	}
	// The substitution ends when the process has left the group and has taken the shell's output.
	out, err := shell("exec 9>&1; pid=$(setsid -f sh -c 'echo $$; exec sleep 1000 >&9'); echo $pid").Output(within(t))
	if !errors.Is(err, os.ErrDeadlineExceeded) || len(out) == 0 {
		t.Errorf("Output: %q, %v", out, err)
	}
	if pid := atoi(t, string(out)); pid > 1 {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
}

var commander = proc.Register("commander", func(ctx context.Context, _ struct{}) (struct{}, error) {
	c := shell("echo $$; exec sleep 1000")
	if err := c.Start(ctx); err != nil {
		return struct{}{}, err
	}
	return struct{}{}, c.Join(ctx)
})

// TestCommandOrphan shows that a program dies with the process that has started it.
func TestCommandOrphan(t *testing.T) {
	r, w := pipe(t)
	p := start(t, commander, struct{}{}, &proc.Options{Stdout: w})
	w.Close()
	out := bufio.NewReader(r)
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	wantExit(t, p.Process, -9)
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("the program %q lives on: read %q, %v", line, rest, err)
	}
}

// TestCommandPass shows what a program finds in its environment, and that it is a party as long as
// it lives, though it ignores mp.
func TestCommandPass(t *testing.T) {
	seg, err := shm.Anonymous(1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	points := must(array.New[float64](seg, "points", 4, nil))(t)
	n := must(value.New(seg, "", int64(5), nil))(t)
	block := must(shm.AnonymousBlock(100))(t)
	defer block.Close()
	a, b, err := ring.NewPipe(seg, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	file := must(os.Open("/dev/null"))(t)
	defer file.Close()
	r, w := pipe(t)
	c := shell("env | grep ^MP_ | sort; readlink /proc/$$/fd/3 /proc/$$/fd/4; echo; exec sleep 1000")
	c.Stdout = w
	c.Pass("points", points).Pass("n", n).Pass("block", block).Pass("file", file).Pass("end", b)
	t.Setenv("MP_SEGMENT_FDS", "77") // as if this process had been started by another
	parties := must(seg.Parties())(t)
	launch(t, c)
	w.Close()
	if err := b.Close(); err != nil { // the program holds the end
		t.Fatal(err)
	}
	out := bufio.NewReader(r)
	var got []string
	for {
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "\n" {
			break
		}
		if !strings.HasPrefix(line, "MP_NEED_") { // which are of the tests of other packages
			got = append(got, strings.TrimSpace(line))
		}
	}
	for i, want := range []string{
		"MP_SEGMENT_FDS=5", "MP_block=block-3-100", "MP_end=mp1-", "MP_file=fd-4", "MP_n=mp1-", "MP_points=" + points.Handle().String(),
		"/memfd:mp block (deleted)", "/dev/null",
	} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Fatalf("the program found %q, want %q at %d", got, want, i)
		}
	}
	if now := must(seg.Parties())(t); now != parties+1 {
		t.Errorf("%d parties, want %d", now, parties+1)
	}
	if err := a.Send(within(t), []byte("x")); err != nil {
		t.Errorf("Send while the program holds the other end: %v", err)
	}
	begin := time.Now()
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Receive(within(t)); err != io.EOF && !errors.Is(err, io.EOF) {
		t.Errorf("Receive after the program's death: %v, want EOF", err)
	}
	t.Logf("kill to EOF: %v", time.Since(begin))
	if now := must(seg.Parties())(t); now != parties {
		t.Errorf("%d parties, want %d", now, parties)
	}
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
