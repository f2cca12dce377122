package connection_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/connection"
)

// shortly returns a context that ends soon, for calls that wait for a process that is stopped.
func shortly(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// A report is a pipe of the kernel whose read end goes to the other side.
const report = "report"

// cutMessages has connections in one process. Each sends a message, with the read end of a pipe, and then a part of
// another message that is one byte longer than that of the connection before. That one comes with the pipe's write end.
var cutMessages = testkit.Task("connection cut messages", func(ctx context.Context, at post) (proc.None, error) {
	t := stranger{}
	last := frame(0, 1, "the last")
	var cut []*net.UnixConn
	for n := range len(last) + 1 {
		c := testkit.Must(net.Dial(at.Network, at.Address))(t).(*net.UnixConn)
		defer c.Close()
		prove(t, c)
		r, w := pipe(t)
		testkit.WantNil(t, "write", write(c, frame(0, 1, report+string(rune(n))), syscall.UnixRights(int(r.Fd()))))
		if n > 0 {
			testkit.WantNil(t, "write", write(c, last[:n], syscall.UnixRights(int(w.Fd()))))
		}
		testkit.WantNil(t, "Close", errors.Join(r.Close(), w.Close()))
		cut = append(cut, c)
	}
	if err := at.stay(ctx); err != nil {
		return proc.None{}, err
	}
	for n, c := range cut[1:] {
		testkit.Must(c.Write(last[1+n:]))(t)
	}
	return proc.None{}, nil
})

// TestDeath_Messages kills, or stops, a process after each byte of a message that comes with a file. The other side gets
// the message whole or not at all, and keeps no file of a message that it did not get. One that is stopped
// holds calls up until their contexts end, and nothing is lost when it goes on.
func TestDeath_Messages(t *testing.T) {
	last := len(frame(0, 1, "the last"))
	for name, killed := range map[string]bool{"killed": true, "stopped": false} {
		t.Run(name, func(t *testing.T) {
			l, address := listen(t, options())
			at := newPost(t, "unix", address)
			p := testkit.Start(t, cutMessages, at)
			at.await(t)
			if killed {
				testkit.Kill(t, p)
			} else {
				testkit.Stop(t, p)
			}
			begin := time.Now()
			for range last + 1 {
				c := testkit.Closing(t, testkit.Must(l.Accept(testkit.Within(t)))(t))
				name, files, err := c.ReceiveFiles(testkit.Within(t))
				testkit.WantNil(t, "ReceiveFiles", err)
				testkit.Want(t, "number of files", len(files), 1)
				r := testkit.Closing(t, files[0])
				n := int(name[len(report)])

				switch {
				case n == last: // the whole message is there
					receiveLast(t, c, r)
				case !killed:
					testkit.WantError(t, "Receive", testkit.Second(c.Receive(shortly(t))), context.DeadlineExceeded)
					if n > 0 { // the rest comes later
						defer receiveLast(t, c, r)
					}
				case n == 0:
					testkit.WantNil(t, "Receive", end(c.Receive(testkit.Within(t))))
					wantEnd(t, "a file that was not sent", r)
				default:
					testkit.WantError(t, "Receive of a part", testkit.Second(c.Receive(testkit.Within(t))), io.ErrUnexpectedEOF)
					testkit.WantNil(t, "Close", c.Close())
					wantEnd(t, "the file of a part", r)
				}
			}
			if killed {
				t.Logf("the other side has learned of the death %d times after %v", last+1, time.Since(begin))
				return
			}
			at.goOn(t, p)
			testkit.Result(t, p)
		})
	}
}

// receiveLast receives the last message with its file, and then the end.
func receiveLast(t *testing.T, c *connection.Conn, r *os.File) {
	t.Helper()
	msg, files, err := c.ReceiveFiles(testkit.Within(t))
	testkit.WantNil(t, "ReceiveFiles", err)
	testkit.Want(t, "message", string(msg), "the last")
	testkit.Want(t, "number of files", len(files), 1)
	for _, f := range files {
		testkit.WantNil(t, "Close", f.Close())
	}
	wantEnd(t, "the file of the last message", r)
}

// A cut is a kind of connection between two processes.
type cut struct {
	name, network string
	secure        bool
}

var cuts = []cut{{"unix", "unix", false}, {"tcp", "tcp", false}, {"tls", "tcp", true}}

func (k cut) options(t testing.TB) *connection.Options {
	if k.secure {
		return secured(t)
	}
	return options()
}

// between starts a process with the other end of a connection, and waits until it is at its point.
func (k cut) between(t *testing.T, task *proc.Task[cutPost, proc.None]) (*connection.Conn, *proc.Call[proc.None], post) {
	l := testkit.Closing(t, testkit.Must(connection.Listen(k.network, networks()[k.network], k.options(t)))(t))
	at := newPost(t, k.network, l.Addr().String())
	p := testkit.Start(t, task, cutPost{at, k.secure})
	c := testkit.Closing(t, testkit.Must(l.Accept(testkit.Within(t)))(t))
	at.await(t)
	return c, p, at
}

// A cutPost is a post of a process that connects to its address.
type cutPost struct {
	Post   post
	Secure bool
}

func (p cutPost) dial(ctx context.Context) *connection.Conn {
	k := cut{"", p.Post.Network, p.Secure}
	return testkit.Must(connection.Dial(ctx, k.network, p.Post.Address, k.options(stranger{})))(stranger{})
}

const long = 32 << 20 // bytes of a message that no socket's buffers hold

// sendingLong is inside Send when it is at its point.
var sendingLong = testkit.Task("connection sending long", func(ctx context.Context, at cutPost) (proc.None, error) {
	c := at.dial(ctx)
	defer c.Close()
	at.Post.Cells.Set(cellThere, 1)
	return proc.None{}, c.Send(ctx, bytes.Repeat([]byte{7}, long))
})

// sentThree has sent three messages when it is at its point. Then it receives all.
var sentThree = testkit.Task("connection sent three", func(ctx context.Context, at cutPost) (proc.None, error) {
	c := at.dial(ctx)
	defer c.Close()
	for _, msg := range []string{"one", "two", "three"} {
		testkit.WantNil(stranger{}, "Send", c.Send(ctx, []byte(msg)))
	}
	if err := at.Post.stay(ctx); err != nil {
		return proc.None{}, err
	}
	for {
		if _, err := c.Receive(ctx); err != nil {
			return proc.None{}, nil // the end, inside a message
		}
	}
})

func receiveThree(t *testing.T, c *connection.Conn) {
	t.Helper()
	for _, want := range []string{"one", "two", "three"} {
		testkit.Want(t, "message", string(testkit.Must(c.Receive(testkit.Within(t)))(t)), want)
	}
}

// TestDeath_InSend kills, or stops, a process inside Send.
func TestDeath_InSend(t *testing.T) {
	for _, k := range cuts {
		t.Run(k.name+"/killed", func(t *testing.T) {
			c, p, _ := k.between(t, sendingLong)
			testkit.WantNil(t, "Poll", c.Poll(testkit.Within(t)))
			testkit.Kill(t, p)
			testkit.WantError(t, "Receive of a part", testkit.Second(c.Receive(testkit.Within(t))), io.ErrUnexpectedEOF)
		})
		t.Run(k.name+"/stopped", func(t *testing.T) {
			c, p, _ := k.between(t, sendingLong)
			testkit.WantNil(t, "Poll", c.Poll(testkit.Within(t)))
			testkit.Stop(t, p)
			testkit.WantError(t, "Receive of a part", testkit.Second(c.Receive(shortly(t))), context.DeadlineExceeded)
			testkit.Continue(t, p)
			msg := testkit.Must(c.Receive(testkit.Within(t)))(t)
			testkit.Want(t, "message", bytes.Equal(msg, bytes.Repeat([]byte{7}, long)), true)
			testkit.Result(t, p)
		})
	}
}

// TestDeath_Between kills, or stops, a process that has sent messages, and receives none while the other side sends.
func TestDeath_Between(t *testing.T) {
	for _, k := range cuts {
		t.Run(k.name+"/killed", func(t *testing.T) {
			c, p, _ := k.between(t, sentThree)
			testkit.WantNil(t, "Send", c.Send(testkit.Within(t), []byte("is never received")))
			testkit.Kill(t, p)
			receiveThree(t, c)
			err := end(c.Receive(testkit.Within(t)))
			if k.network == "unix" {
				testkit.WantNil(t, "Receive at the end", err)
			} else { // TCP tells that the message was lost
				testkit.WantNilOr(t, "Receive at the end", err, syscall.ECONNRESET)
			}
			testkit.Eventually(t, "Send fails", func() bool {
				err := c.Send(testkit.Within(t), []byte("to nobody"))
				if err != nil && !isEnd(err) {
					t.Errorf("Send: %v", err)
				}
				return err != nil
			})
		})
		t.Run(k.name+"/killed in Send", func(t *testing.T) {
			c, p, _ := k.between(t, sentThree)
			testkit.Stop(t, p)
			sent := testkit.Async(func() error { return c.Send(testkit.Within(t), make([]byte, long)) })
			testkit.Kill(t, p)
			if err := testkit.Await(t, sent, "Send"); !isEnd(err) && !errors.Is(err, connection.ErrClosed) {
				t.Errorf("Send: %v, want that the other side has ended", err)
			}
		})
		t.Run(k.name+"/stopped", func(t *testing.T) {
			c, p, at := k.between(t, sentThree)
			testkit.Stop(t, p)
			receiveThree(t, c)
			testkit.WantError(t, "Receive", testkit.Second(c.Receive(shortly(t))), context.DeadlineExceeded)
			message := make([]byte, long)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // so long that a part is sent before
			defer cancel()
			testkit.WantError(t, "Send", c.Send(ctx, message), context.DeadlineExceeded)
			testkit.WantError(t, "Send after a part", c.Send(testkit.Within(t), nil), connection.ErrClosed)
			at.goOn(t, p)
			testkit.Result(t, p)
		})
	}
}

// TestDeath_Files kills a process, while it runs and while it is stopped, to which files are on their way. The kernel
// must close them.
func TestDeath_Files(t *testing.T) {
	for _, stopped := range []bool{false, true} {
		c, p, _ := cuts[0].between(t, sentThree)
		if stopped {
			testkit.Stop(t, p)
		}
		r, w := pipe(t)
		testkit.WantNil(t, "SendFiles", c.SendFiles(testkit.Within(t), []byte("never received"), w, w, w))
		part := testkit.Async(func() error { return c.SendFiles(testkit.Within(t), make([]byte, long), w) })
		testkit.Kill(t, p)
		if err := testkit.Await(t, part, "SendFiles"); !isEnd(err) {
			t.Errorf("SendFiles: %v, want that the other side has ended", err)
		}
		testkit.WantNil(t, "Close", w.Close())
		wantEnd(t, "the files", r)
	}
}
