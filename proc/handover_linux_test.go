package proc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/shm"
)

// countParties returns the parties of all segments together.
var countParties = proc.Register("count parties", func(_ context.Context, in []*shm.Segment) (int, error) {
	sum := 0
	for _, seg := range in {
		n, err := seg.Parties()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
})

// A child gets more files than go into one message.
func TestManySegments(t *testing.T) {
	var in []*shm.Segment
	for range 300 {
		in = append(in, anonymous(t, nil))
	}
	n, err := start(t, countParties, in, nil).Result(within(t))
	if want := 2 * len(in); n != want || err != nil {
		t.Errorf("Result = %d, %v, want %d", n, err, want)
	}
}

// A child that may not open as many files as it gets says so.
func TestTooFewFiles(t *testing.T) {
	var in []*shm.Segment
	for range 300 {
		in = append(in, anonymous(t, nil))
	}
	p := start(t, countParties, in, &proc.Options{Env: []string{modeEnv + "=few files"}})
	var remote *proc.RemoteError
	if err := p.Join(within(t)); !errors.As(err, &remote) || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("Join: %v, want EMFILE from the child", err)
	}
	wantExit(t, p.Process, 1)
	wantParties(t, in[0], "after the end", 1)
}

// A child that runs another program before Init, here the same one, is a child as that program.
func TestExecBeforeInit(t *testing.T) {
	seg := anonymous(t, nil)
	p := start(t, countParties, []*shm.Segment{seg}, &proc.Options{Env: []string{modeEnv + "=exec"}})
	if n, err := p.Result(within(t)); n != 2 || err != nil {
		t.Errorf("Result = %d, %v, want 2", n, err)
	}
	wantParties(t, seg, "after the end", 1)
}

// A child that ends before Init is no party afterwards, without a wait for the next scan.
func TestEndBeforeInit(t *testing.T) {
	seg := anonymous(t, nil)
	p := start(t, countParties, []*shm.Segment{seg}, &proc.Options{Env: []string{modeEnv + "=early exit"}})
	if err := p.Join(within(t)); !errors.Is(err, proc.ErrNoInit) {
		t.Errorf("Join: %v, want ErrNoInit", err)
	}
	wantParties(t, seg, "after the end", 1)
}

// The thread that starts children keeps no standard output open that this process has closed.
func TestClosedStdout(t *testing.T) {
	cmd := exec.CommandContext(within(t), "/proc/self/exe")
	cmd.Env = append(os.Environ(), modeEnv+"=close stdout")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The process ends when its input does: the output ends before.
	text, err := io.ReadAll(stdout)
	if string(text) != "bye\n" || err != nil {
		t.Errorf("read %q, %v", text, err)
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// mainClosingStdout is the main function of the program that TestClosedStdout runs.
func mainClosingStdout() int {
	proc.Init()
	ctx := context.Background()
	p, err := nothing.Start(ctx, proc.None{}, nil)
	if err == nil {
		err = p.Join(ctx)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("bye")
	os.Stdout.Close()
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// Programs of mp that this process starts by other means, while it starts children, are not children.
func TestPlainAmongChildren(t *testing.T) {
	var all sync.WaitGroup
	defer all.Wait()
	for i := range 8 {
		all.Go(func() {
			for range 5 {
				c, err := echoInt.Start(within(t), i, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if n, err := c.Result(within(t)); n != i || err != nil {
					t.Errorf("Result = %d, %v, want %d", n, err, i)
				}
			}
		})
		all.Go(func() {
			for range 5 {
				cmd := exec.CommandContext(within(t), "/proc/self/exe")
				cmd.Env = append(os.Environ(), modeEnv+"=plain")
				// Even with the mark of a child.
				cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL * syscall.Signal(i%2)}
				runtime.LockOSThread() // to whose end the mark refers
				out, err := cmd.Output()
				runtime.UnlockOSThread()
				if string(out) != `plain true` || err != nil {
					t.Errorf("the program printed %q, %v", out, err)
				}
			}
		})
	}
}

// hostOfPlain stops itself while a program that it has started, which uses mp but is not its child, asks it
// whether it is. The program prints to the standard output.
var hostOfPlain = proc.Register("host of plain", func(ctx context.Context, _ proc.None) (proc.None, error) {
	// With a child of its own it listens.
	p, err := nothing.Start(ctx, proc.None{}, nil)
	if err != nil {
		return proc.None{}, err
	}
	if err := p.Join(ctx); err != nil {
		return proc.None{}, err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), modeEnv+"=plain when read")
	cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
	if err := cmd.Start(); err != nil {
		return proc.None{}, err
	}
	fmt.Println(cmd.Process.Pid)
	return proc.None{}, cmd.Wait()
})

// While a process is stopped, an ordinary program that it has started waits in Init. It goes on when that process
// does, or is killed.
func TestStoppedParent(t *testing.T) {
	for _, tt := range []struct {
		name string
		sig  syscall.Signal
		code int
	}{
		{"continued", syscall.SIGCONT, 0},
		{"killed", syscall.SIGKILL, -9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdin, in := pipe(t)
			out, stdout := pipe(t)
			p := start(t, hostOfPlain, proc.None{}, &proc.Options{Stdin: stdin, Stdout: stdout})
			stdout.Close()
			stdin.Close()
			lines := bufio.NewReader(out)
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if _, err := strconv.Atoi(strings.TrimSpace(line)); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(p.PID(), syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			in.Close()
			if line, err := lines.ReadString('\n'); line != "asks\n" || err != nil {
				t.Fatalf("the program printed %q, %v", line, err)
			}
			if err := syscall.Kill(p.PID(), tt.sig); err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(lines); string(text) != `plain true` || err != nil {
				t.Errorf("the program printed %q, %v", text, err)
			}
			wantExit(t, p.Process, tt.code)
		})
	}
}
