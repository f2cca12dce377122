package proc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
	"github.com/seed-2e7ecdea/mp/proc"
)

// reportReady prints that its process is ready, and waits until it is to end.
var reportReady = proc.Register("report ready", func(ctx context.Context, _ proc.None) (proc.None, error) {
	fmt.Println("ready")
	<-ctx.Done()
	return proc.None{}, ctx.Err()
})

// mainForCtrlC is the main function of the program that TestCtrlC runs.
func mainForCtrlC(mode string) int {
	proc.Init()
	ctx := context.Background()
	if strings.HasSuffix(mode, "handled") {
		var stop func()
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt)
		defer stop()
	}
	if strings.Contains(mode, "pool") {
		return poolForCtrlC(ctx)
	}
	spares := proc.NewSpares(1, nil)
	if err := spares.Ready(ctx); err != nil {
		fmt.Println(err)
		return 1
	}
	g := proc.NewGroup(ctx)
	for i := range 4 {
		o := &proc.Options{}
		if i%2 == 0 {
			o = &proc.Options{Method: proc.Warm, Spares: spares}
		}
		g.Go(reportReady.With(proc.None{}).Options(o))
	}
	return afterCtrlC(ctx, g.Wait())
}

// afterCtrlC returns the exit code of a program whose child or call has ended with err. The terminal sends its
// signal to one process after the other, so that the child may have it a moment before this process.
func afterCtrlC(ctx context.Context, err error) int {
	select {
	case <-ctx.Done():
		return 130
	case <-time.After(patience):
		fmt.Println("it has ended:", err)
		return 1
	}
}

// poolForCtrlC is mainForCtrlC with a pool.
func poolForCtrlC(ctx context.Context) int {
	p, err := proc.NewPool(4, nil)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer p.Terminate()
	for _, err := range reportReady.Map(ctx, p, func(yield func(proc.None) bool) {
		for i := 0; i < 4 && yield(proc.None{}); i++ {
		}
	}) {
		if code := afterCtrlC(ctx, err); code != 130 {
			return code
		}
	}
	return 130
}

// Ctrl-C at a terminal ends a program with children at once, without noise, whether it handles
// SIGINT or not. The shell sees the status 130.
func TestCtrlC(t *testing.T) {
	for _, mode := range []string{"ctrl-c", "ctrl-c handled", "ctrl-c pool", "ctrl-c pool handled"} {
		t.Run(mode, func(t *testing.T) {
			terminal, theirs, err := sys.OpenPTY()
			if err != nil {
				t.Skipf("no pseudoterminal: %v", err)
			}
			defer terminal.Close()
			if err := terminal.SetReadDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			// After the signal of Ctrl-C the kernel flushes the terminal, and then it echoes ^C. Both may
			// come after what a program writes that ends at once, so the terminal does neither.
			cmd := exec.CommandContext(within(t), "/bin/sh", "-c", `stty noflsh -echo; trap : INT; "$0"; echo status $?`, executable(t))
			cmd.Env = append(os.Environ(), modeEnv+"="+mode)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			err = cmd.Start()
			theirs.Close()
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			until := func(what string) {
				t.Helper()
				buf := make([]byte, 1<<10)
				for !strings.Contains(text.String(), what) {
					n, err := terminal.Read(buf)
					text.Write(buf[:n])
					if err != nil {
						t.Fatalf("printed %q, %v, want %q", text.String(), err, what)
					}
				}
			}
			until(strings.Repeat("ready\r\n", 4))
			begin := time.Now()
			if _, err := io.WriteString(terminal, "\x03"); err != nil {
				t.Fatal(err)
			}
			until("status")
			until("\r\n")
			took := time.Since(begin)
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			rest, err := io.ReadAll(terminal)
			if err != nil && !errors.Is(err, syscall.EIO) { // no process has the terminal
				t.Fatal(err)
			}
			got := strings.TrimPrefix(text.String()+string(rest), strings.Repeat("ready\r\n", 4))
			if want := "status 130\r\n"; got != want {
				t.Errorf("printed %q after Ctrl-C, want %q", got, want)
			}
			t.Logf("it took %v", took)
		})
	}
}
