package clients_test

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
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

var allSteps = flag.Bool("clients.all", false, "kill the client in C at each instruction, not at some")

// TestDeathIsEOF shows that the other end learns of the death of a client within milliseconds.
func TestDeathIsEOF(t *testing.T) {
	each(t, func(t *testing.T, c client) {
		a, b := newPipe(t, 0)
		cmd := c.command(t, "echo").Pass("pipe", b)
		start(t, cmd)
		WantNil(t, "Close", b.Close())
		ctx := Within(t)
		WantNil(t, "Send", a.Send(ctx, []byte("x")))
		Must(a.Receive(ctx))(t)
		got := Async(func() error { return Second(a.Receive(ctx)) })
		time.Sleep(2 * time.Millisecond) // so that it sleeps: no event shows when it does
		begin := time.Now()
		WantNil(t, "Kill", cmd.Kill())
		WantError(t, "Receive", Await(t, got, "end of the file"), io.EOF)
		t.Logf("SIGKILL to io.EOF: %v", time.Since(begin))
		WantError(t, "Send", a.Send(ctx, []byte("x")), ring.ErrBrokenPipe)
	})
}

// TestKillStorm kills clients that echo messages, at random moments. The next client takes the end
// over. Each death may cost the one message that the client had in hand, and nothing else.
func TestKillStorm(t *testing.T) {
	each(t, func(t *testing.T, c client) {
		rounds := 30
		if c.name == "Python" {
			rounds = 3
		}
		if testing.Short() {
			rounds = rounds/2 + 1
		}
		a, b := newPipe(t, 4096)
		ctx := Within(t)
		var next, back atomic.Uint64
		stop := make(chan struct{})
		sent := Async(func() error {
			for i := uint64(1); ; i++ {
				select {
				case <-stop:
					return nil
				default:
				}
				if err := a.Send(ctx, number(i)); err != nil {
					return err
				}
				next.Store(i)
			}
		})
		received := Async(func() error {
			for {
				msg, err := a.Receive(ctx)
				if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
					return nil
				}
				if err != nil {
					return err
				}
				i := binary.NativeEndian.Uint64(msg)
				if last := back.Load(); i <= last || !slices.Equal(msg, number(i)) {
					return fmt.Errorf("message %d after %d: %v", i, last, msg)
				}
				back.Add(i - back.Load())
				echoed.Add(1)
			}
		})
		echoed.Store(0)
		for range rounds {
			cmd := c.command(t, "echo").Pass("pipe", b)
			before := echoed.Load()
			start(t, cmd)
			Eventually(t, "the client echoes", func() bool { return echoed.Load() > before+1 })
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
			WantNil(t, "Kill", cmd.Kill())
			Await(t, cmd.Done(), "end of a client")
		}
		close(stop)
		last := c.command(t, "echo").Pass("pipe", b) // for what is left
		start(t, last)
		WantNil(t, "sender", Await(t, sent, "the sender"))
		WantNil(t, "Close", b.Close())
		Eventually(t, "all messages are back", func() bool { return back.Load() >= next.Load() })
		if lost := next.Load() - echoed.Load(); lost > uint64(rounds) {
			t.Errorf("%d messages were lost by %d deaths", lost, rounds)
		} else {
			t.Logf("%d messages, %d lost by %d deaths", next.Load(), lost, rounds)
		}
		WantNil(t, "Kill", last.Kill())
		WantNil(t, "receiver", Await(t, received, "the receiver"))
	})
}

// echoed is how many messages have come back in TestKillStorm.
var echoed atomic.Uint64

// TestKillPublishers kills clients that publish a value of more than a word. No value is torn, and
// the lock of the writers is taken over from the dead.
func TestKillPublishers(t *testing.T) {
	each(t, func(t *testing.T, c client) {
		rounds := 20
		if c.name == "Python" || testing.Short() {
			rounds = 2
		}
		v := Must(value.New(Anonymous(t, 1<<16), "", [5]int64{}, nil))(t)
		for round := range rounds {
			cmd := c.command(t, "publish").Pass("wide", v)
			first := [5]int64{-1, -1, -1, -1, -1}
			v.Store(first)
			start(t, cmd)
			for begin, end := time.Now(), time.Duration(0); end == 0 || time.Since(begin) < end; {
				x := v.Load()
				if x != [5]int64{x[0], x[0], x[0], x[0], x[0]} {
					t.Fatalf("round %d: torn: %v", round, x)
				}
				if end == 0 && x != first {
					end = time.Since(begin) + time.Duration(rand.IntN(2000))*time.Microsecond
				}
				if !cmd.Alive() || time.Since(begin) > Patience {
					t.Fatalf("the client does not publish: %v", cmd.Join(Within(t)))
				}
			}
			WantNil(t, "Kill", cmd.Kill())
		}
	})
}

// A stepped is what one round of TestKillAtEachInstruction works on.
type stepped struct {
	a, b  *ring.Conn
	v     *value.Value[[5]int64]
	cells *array.Array[atomic.Int32]
	cmd   *proc.Cmd
}

// TestKillAtEachInstruction kills a client in C after each number of instructions of an operation, or
// after some. Another party of the same end then goes on.
func TestKillAtEachInstruction(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "386" {
		t.Skip("single steps need x86")
	}
	program := compiled(t)
	old := [5]int64{1, 1, 1, 1, 1}
	for _, row := range []struct {
		name, operation string
		capacity        int
		set             func(s stepped) error
		check           func(t *testing.T, s stepped, done bool)
	}{
		{"send", "send", 0, func(stepped) error { return nil }, checkSent},
		{"send at the end of the ring", "send", 4096, func(s stepped) error {
			for range 4 { // 4,064 bytes of the ring, then a filler
				if err := s.b.Send(t.Context(), make([]byte, 1008)); err != nil {
					return err
				}
				if _, err := s.a.Receive(t.Context()); err != nil {
					return err
				}
			}
			return s.b.Send(t.Context(), make([]byte, 16))
		}, func(t *testing.T, s stepped, done bool) {
			Want(t, "message before", len(Must(s.a.Receive(Within(t)))(t)), 16)
			checkSent(t, s, done)
		}},
		{"receive", "receive", 0, func(s stepped) error {
			return errors.Join(s.a.Send(t.Context(), []byte("first")), s.a.Send(t.Context(), []byte("second")))
		}, func(t *testing.T, s stepped, done bool) {
			got := string(Must(s.b.Receive(Within(t)))(t))
			if got != "second" && (done || got != "first") {
				t.Errorf("Receive = %q; the client's Receive has returned: %t", got, done)
			}
			WantNil(t, "Send", s.a.Send(Within(t), []byte("third")))
		}},
		{"store", "store", 0, func(stepped) error { return nil }, func(t *testing.T, s stepped, done bool) {
			got := s.v.Load()
			if got != [5]int64{2, 2, 2, 2, 2} && (done || got != old) {
				t.Errorf("Load = %v; the client's store has returned: %t", got, done)
			}
			s.v.Store([5]int64{3, 3, 3, 3, 3})
			Want(t, "Load", s.v.Load(), [5]int64{3, 3, 3, 3, 3})
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			// round kills the client after k instructions. It returns false if the operation has returned.
			round := func(k int) (n int, within bool) {
				seg := Must(shm.Anonymous(1<<20, nil))(t)
				defer seg.Close()
				var s stepped
				var err error
				s.a, s.b, err = ring.NewPipe(seg, "", &ring.PipeOptions{Capacity: row.capacity})
				WantNil(t, "NewPipe", err)
				s.v = Must(value.New(seg, "", old, nil))(t)
				s.cells = Must(array.New[atomic.Int32](seg, "", 3, nil))(t)
				WantNil(t, "set", row.set(s))
				s.cmd = proc.Command(program, "once", row.operation).Pass("cells", s.cells).Pass("pipe", s.b).Pass("wide", s.v)
				WantNil(t, "Start", s.cmd.Start(Within(t)))
				cells := s.cells.Slice()
				Eventually(t, "the client is ready", func() bool { return cells[0].Load() == 1 })
				n = killAfter(t, s.cmd, k, &cells[1], &cells[2])
				done := cells[2].Load()
				Want(t, "the operation failed", done == 2, false)
				row.check(t, s, done == 1)
				return n, done == 0
			}
			length, _ := round(1 << 20)
			step := 1
			if !*allSteps {
				step = max(1, length/8)
			}
			rounds := 0
			for k := rand.IntN(step); ; k += step {
				rounds++
				if _, within := round(k); !within || t.Failed() {
					if t.Failed() {
						t.Logf("killed after %d instructions", k)
					}
					break
				}
			}
			t.Logf("%d instructions, killed at %d of them", length, rounds)
		})
	}
}

// checkSent checks that another holder of the client's end goes on.
func checkSent(t *testing.T, s stepped, done bool) {
	t.Helper()
	WantNil(t, "Send", s.b.Send(Within(t), []byte("second")))
	got := string(Must(s.a.Receive(Within(t)))(t))
	if got == "first" {
		got = string(Must(s.a.Receive(Within(t)))(t))
	} else if done {
		t.Errorf("the message is lost: received %q", got)
	}
	Want(t, "message of the next sender", got, "second")
}

// killAfter lets the client, which waits for begin, execute k instructions, and kills it. It stops
// early when done is set. It returns how many instructions the client has executed.
func killAfter(t *testing.T, cmd *proc.Cmd, k int, begin, done *atomic.Int32) (n int) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tracee, err := sys.Trace(cmd.PID())
	if errors.Is(err, syscall.EPERM) && os.Getenv("MP_NEED_PTRACE") == "" {
		WantNil(t, "Kill", cmd.Kill())
		t.Skipf("%v: this process may not trace its children", err)
	}
	WantNil(t, "Trace", err)
	await := func() {
		for begin := time.Now(); ; {
			_, stopped, err := tracee.AwaitStop()
			WantNil(t, "stop", err)
			if stopped {
				return
			}
			if time.Since(begin) > Patience {
				Stuck(t, "the client does not stop")
			}
		}
	}
	await()
	begin.Store(1)
	for ; n < k && done.Load() == 0; n++ {
		WantNil(t, "Step", tracee.Step())
		await()
	}
	WantNil(t, "Kill", cmd.Kill())
	WantNil(t, "end", tracee.AwaitEnd())
	Await(t, cmd.Done(), "end of a client")
	return n
}
