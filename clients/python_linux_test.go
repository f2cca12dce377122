package clients_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/internal/sys"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
	"github.com/seed-2e7ecdea/mp/value"
)

// TestFork shows that a child of os.fork is no party: its objects are closed, and it does not keep
// its parent's party alive.
func TestFork(t *testing.T) {
	c := clients[1]
	a, b := newPipe(t, 0)
	n := Must(value.New(Anonymous(t, 1<<16), "", int64(0), nil))(t)
	r, w := Must2(os.Pipe())(t)
	Closing(t, r)
	cmd := c.command(t, "fork").Pass("pipe", b).Pass("n", n)
	cmd.Stdout = w
	start(t, cmd)
	w.Close()
	WantNil(t, "Close", b.Close())
	out := bufio.NewReader(r)
	pid := 0
	for range 2 { // one line from each process
		text, err := out.ReadString('\n')
		if err != nil {
			t.Fatalf("%v; the client: %v", err, cmd.Join(Within(t)))
		}
		line := strings.TrimSpace(text)
		if strings.HasPrefix(line, "-") {
			Want(t, "errors in the child", line, "-10 -10")
		} else {
			Must(fmt.Sscan(line, &pid))(t)
		}
	}
	t.Cleanup(func() { WantNil(t, "kill the child of fork", syscall.Kill(pid, syscall.SIGKILL)) })
	WantNil(t, "Kill", cmd.Kill())
	WantError(t, "Receive", Second(a.Receive(Within(t))), io.EOF)
	WantNil(t, "the child of fork lives", syscall.Kill(pid, 0))
}

// TestSpeed prints how long messages of 64 bytes take between this process and the clients, beside
// Python's multiprocessing.Pipe.
func TestSpeed(t *testing.T) {
	if testing.Short() || !testing.Verbose() {
		t.Skip("it only prints figures: use -v")
	}
	const n = 5000
	interpreter := python(t)
	out := Must(proc.Command("env", "PYTHONPATH=python", interpreter, "-B", "-c", fmt.Sprintf(
		"import sys; sys.path.insert(0, 'testdata'); import plain; plain.speed(%d)", n)).Output(Within(t)))(t)
	var trip, stream time.Duration
	Must(fmt.Sscan(string(out), &trip, &stream))(t)
	t.Logf("%-22s there and back %8v, stream %8v a message", "multiprocessing.Pipe", trip, stream)
	each(t, func(t *testing.T, c client) {
		a, b := newPipe(t, 0)
		cmd := c.command(t, "drain").Pass("pipe", b)
		start(t, cmd)
		ctx := Within(t)
		msg := make([]byte, 64) // message 0 is sent back
		turn := func() {
			WantNil(t, "Send", a.Send(ctx, msg))
			Must(a.Receive(ctx))(t)
		}
		turn()
		begin := time.Now()
		for range n {
			turn()
		}
		trip := time.Since(begin) / n
		other := number(64)[:64] // it is not
		other[0] = 1
		begin = time.Now()
		for range n {
			WantNil(t, "Send", a.Send(ctx, other))
		}
		turn()
		t.Logf("%-22s there and back %8v, stream %8v a message", "Go to and from "+c.name, trip, time.Since(begin)/n)
	})
}

// TestWordsFromPython shows that words that Python stores are never torn, and are stored in order.
func TestWordsFromPython(t *testing.T) {
	c := clients[1]
	seg := Anonymous(t, 1<<16)
	words := Must(array.New[atomic.Uint64](seg, "", 32, nil))(t)
	cmd := c.command(t, "words").Pass("words", words)
	start(t, cmd)
	first, second := &words.Slice()[0], &words.Slice()[16]
	Eventually(t, "Python stores", func() bool { return second.Load() != 0 })
	for begin := time.Now(); time.Since(begin) < 100*time.Millisecond; {
		// Python stores n in both halves of the first word, and then of the second.
		y := second.Load()
		x := first.Load()
		if x>>32 != x&0xFFFFFFFF || y>>32 != y&0xFFFFFFFF || x < y {
			t.Fatalf("words %#x and %#x", x, y)
		}
	}
	Want(t, "Python lives", cmd.Alive(), true)
}

// A hosting tells a host which commands to run.
type hosting struct {
	Path      string
	Args, Env []string
	PIDs      *array.Array[atomic.Int32]
}

// host starts two clients, one at each end of a pipe, and stores their pids when both have attached.
var host = Task("host", func(ctx context.Context, h hosting) (struct{}, error) {
	var none struct{}
	seg, err := shm.Anonymous(1<<20, nil)
	if err != nil {
		return none, err
	}
	a, b, err := ring.NewPipe(seg, "", nil)
	if err != nil {
		return none, err
	}
	for i, end := range []*ring.Conn{a, b} {
		c := proc.Command(h.Path, h.Args...).Pass("pipe", end)
		c.Env = h.Env
		other := []*ring.Conn{b, a}[i]
		if err := errors.Join(c.Start(ctx), other.Send(ctx, number(10))); err != nil {
			return none, err
		}
		if _, err := other.Receive(ctx); err != nil { // the client has sent it back
			return none, err
		}
		h.PIDs.Slice()[i].Store(int32(c.PID()))
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		return none, err
	}
	h.PIDs.Slice()[2].Store(1)
	<-ctx.Done()
	return none, ctx.Err()
})

// TestClientsAlone shows that a client that waits for another one learns of its death, though the
// one Go process that is attached is stopped.
func TestClientsAlone(t *testing.T) {
	each(t, func(t *testing.T, c client) {
		pids := Must(array.New[atomic.Int32](Anonymous(t, 1<<16), "", 3, nil))(t)
		cmd := c.command(t, "drain")
		h := Start(t, host, hosting{cmd.Path, cmd.Args[1:], cmd.Env, pids})
		Eventually(t, "both clients are attached", func() bool { return pids.Slice()[2].Load() == 1 })
		waiter := Closing(t, Must(sys.PidfdOpen(int(pids.Slice()[0].Load())))(t))
		Stop(t, h)
		begin := time.Now()
		WantNil(t, "kill", syscall.Kill(int(pids.Slice()[1].Load()), syscall.SIGKILL))
		WantNil(t, "exit of the waiter", Await(t, Async(func() error { return sys.AwaitExit(waiter) }), "exit of the waiter"))
		t.Logf("SIGKILL of a client to the exit of the other: %v", time.Since(begin))
		Kill(t, h)
	})
}
