package manager_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc/connection"
	"github.com/seed-2e7ecdea/mp/proc/manager"
)

// A remote is another program that uses a manager by an address and a key.
type remote struct{ program, network, address, key string }

func buildRemote(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "client")
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/client").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// run runs the program to its end.
func (r remote) run(t *testing.T, mode string) (out string, err error) {
	t.Helper()
	b, err := exec.CommandContext(Within(t), r.program, r.network, r.address, r.key, mode).CombinedOutput()
	return string(b), err
}

// start starts the program, and waits for its first line.
func (r remote) start(t *testing.T, mode, want string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	c := exec.CommandContext(Within(t), r.program, r.network, r.address, r.key, mode)
	pipe, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	WantNil(t, "Start", c.Start())
	lines := bufio.NewReader(pipe)
	if line, err := lines.ReadString('\n'); err != nil || line != want+"\n" {
		t.Fatalf("printed %q, %v, want %q", line, err, want)
	}
	return c, lines
}

// serve serves m at an address until the end of the test, or until cancel is called. Then end returns the error of
// Serve.
func serve(t *testing.T, m *manager.Manager, network, address string) (l *connection.Listener, cancel func(), end func() error) {
	t.Helper()
	l, err := connection.Listen(network, address, &connection.Options{Key: []byte("the key")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx, l) }()
	end = sync.OnceValue(func() error {
		err := Await(t, served, "Serve")
		WantNil(t, "Close", l.Close())
		return err
	})
	t.Cleanup(func() {
		cancel()
		_ = end()
	})
	return l, cancel, end
}

// TestG05_Remote lets programs of another binary use a manager by its address and key.
func TestG05_Remote(t *testing.T) {
	program := buildRemote(t)
	m := newManager(t, nil)
	ctx := Within(t)
	scores := newDict[string, int](t, m)
	lists := newDict[string, *manager.List[string]](t, m)
	WantNil(t, "Set", scores.Set(ctx, "a", 41))
	WantNil(t, "Publish", m.Publish(ctx, "scores", scores))
	WantNil(t, "Publish again", m.Publish(ctx, "scores", scores))
	WantNil(t, "Publish", m.Publish(ctx, "lists", lists))
	WantError(t, "Publish another as scores", m.Publish(ctx, "scores", lists), fs.ErrExist)
	WantError(t, "Unpublish", m.Unpublish(ctx, "none"), manager.ErrNotFound)

	for _, at := range []struct{ network, address string }{
		{"unix", fmt.Sprintf("@mp-test-manager-%d", os.Getpid())}, {"tcp", "127.0.0.1:0"},
	} {
		t.Run(at.network, func(t *testing.T) {
			l, cancel, end := serve(t, m, at.network, at.address)
			r := remote{program, at.network, l.Addr().String(), "the key"}
			if out, err := r.run(t, "set"); err != nil || out != "true true\n" {
				t.Fatalf("%v, printed %q", err, out)
			}
			if b, err := scores.Get(ctx, "b"); b != 42 || err != nil {
				t.Errorf("b is %d, %v, want 42", b, err)
			}
			list, err := lists.Get(ctx, "mine")
			WantNil(t, "Get", err)
			if all, err := list.All(ctx); err != nil || strings.Join(all, "") != "xy" {
				t.Errorf("the other program's list is %q, %v", all, err)
			}
			WantNil(t, "Close", list.Close())

			wrong := r
			wrong.key = "another key"
			if out, err := wrong.run(t, "set"); err == nil || !strings.Contains(out, "authentication failed") {
				t.Errorf("a wrong key: %v, printed %q", err, out)
			}

			before, err := m.Stats(ctx)
			WantNil(t, "Stats", err)
			held, _ := r.start(t, "hold", "holds")
			WantNil(t, "Kill", held.Process.Kill())
			_ = held.Wait() // killed
			Eventually(t, "the killed program's list and session are gone", func() bool {
				now, err := m.Stats(ctx)
				return err == nil && now == before
			})
			cancel()
			WantError(t, "Serve", end(), context.Canceled)
		})
	}
}

// TestG05_HostileRemote sends random requests by an authenticated client: its session ends, and the others go on.
func TestG05_HostileRemote(t *testing.T) {
	m := newManager(t, nil)
	ctx := Within(t)
	d := newDict[string, int](t, m)
	l, _, _ := serve(t, m, "tcp", "127.0.0.1:0")
	for _, msg := range []string{"", "x", strings.Repeat("\xff", 100), "\x09" + strings.Repeat("\x00", 60), strings.Repeat("a", 1<<20)} {
		conn, err := connection.Dial(ctx, "tcp", l.Addr().String(), &connection.Options{Key: []byte("the key")})
		WantNil(t, "Dial", err)
		WantNil(t, "Send", conn.Send(ctx, []byte(msg)))
		WantNil(t, "Set", d.Set(ctx, "a", 1))
		WantNil(t, "Close", conn.Close())
	}
	raw, err := net.Dial("tcp", l.Addr().String()) // says nothing
	WantNil(t, "Dial", err)
	defer raw.Close()
	WantNil(t, "Set", d.Set(ctx, "a", 2))
	Eventually(t, "the sessions have ended", func() bool {
		s, err := m.Stats(ctx)
		return err == nil && s.Sessions == 1
	})
}

// TestG05_RemoteOfADeadManager kills the manager's process: the other program's call fails within a second.
func TestG05_RemoteOfADeadManager(t *testing.T) {
	program := buildRemote(t)
	m := newManager(t, nil)
	ctx := Within(t)
	scores := newDict[string, int](t, m)
	WantNil(t, "Set", scores.Set(ctx, "a", 1))
	WantNil(t, "Publish", m.Publish(ctx, "scores", scores))
	l, _, end := serve(t, m, "unix", fmt.Sprintf("@mp-test-dead-%d", os.Getpid()))
	r := remote{program, "unix", l.Addr().String(), "the key"}
	c, lines := r.start(t, "until it dies", "uses")
	begin := time.Now()
	WantNil(t, "Kill", m.Process().Kill())
	line, err := lines.ReadString('\n')
	took := time.Since(begin)
	if err != nil || line != "true\n" {
		t.Errorf("printed %q, %v, want that the error is ErrServerDied", line, err)
	}
	if took > time.Second {
		t.Errorf("it took %v", took)
	}
	WantNil(t, "Wait", c.Wait())
	WantError(t, "Serve", end(), manager.ErrServerDied)
}
