package connection_test

import (
	"context"
	"crypto/sha256"
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

const (
	clientShake = hello + sha256.Size     // what a client sends in its handshake, in bytes
	serverShake = hello + 1 + sha256.Size // what a listener sends
)

// cutClients has clients in one process. Each has sent one byte more of its handshake than the one before.
var cutClients = testkit.Task("connection cut clients", func(ctx context.Context, at post) (proc.None, error) {
	t := stranger{}
	for n := range clientShake + 1 {
		c := testkit.Must(net.Dial(at.Network, at.Address))(t)
		defer c.Close()
		if n < hello {
			sendHello(t, c, n)
			continue
		}
		mine, theirs := greet(t, c)
		testkit.Must(c.Write(proof("client", mine, theirs)[:n-hello]))(t)
	}
	return proc.None{}, at.stay(ctx)
})

// cutListener is the listeners' side of such handshakes. Each client has got one byte more than the one before.
var cutListener = testkit.Task("connection cut listener", func(ctx context.Context, at post) (proc.None, error) {
	t := stranger{}
	l := testkit.Must(net.Listen(at.Network, at.Address))(t)
	defer l.Close()
	at.listens(l.Addr())
	for n := range serverShake + 1 {
		c := testkit.Must(l.Accept())(t)
		defer c.Close()
		if n < hello {
			sendHello(t, c, n)
			continue
		}
		mine, theirs := greet(t, c)
		testkit.Must(io.ReadFull(c, make([]byte, sha256.Size)))(t)
		testkit.Must(c.Write(append([]byte{1}, proof("server", theirs, mine)...)[:n-hello]))(t)
	}
	return proc.None{}, at.stay(ctx)
})

// sendHello sends the first n bytes of a hello.
func sendHello(t testing.TB, c net.Conn, n int) {
	t.Helper()
	testkit.Must(c.Write(append([]byte(magic), make([]byte, hello)...)[:n]))(t)
}

// isEnd reports whether a handshake failed by the end of the other side.
func isEnd(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// deadline is how long a handshake may take with a side that is stopped.
const deadline = 3 * time.Second

// TestDeath_Client kills, or stops, a client after each byte of its handshake. The Listener must drop it, at once or
// at the deadline, and serve others meanwhile.
func TestDeath_Client(t *testing.T) {
	for network := range networks() {
		run := func(name string, timeout time.Duration, befall func(testing.TB, *proc.Call[proc.None]), check func(t *testing.T, took time.Duration, reason error)) {
			t.Run(network+"/"+name, func(t *testing.T) {
				t.Parallel()
				o, refused := watched()
				o.HandshakeTimeout = timeout
				l := testkit.Closing(t, testkit.Must(connection.Listen(network, networks()[network], o))(t))
				at := newPost(t, network, l.Addr().String())
				p := testkit.Start(t, cutClients, at)
				whole := testkit.Closing(t, testkit.Must(l.Accept(testkit.Within(t)))(t)) // that of the client that sent all
				at.await(t)
				befall(t, p)
				begin := time.Now()
				ours := testkit.Must(connection.Dial(testkit.Within(t), network, l.Addr().String(), options()))(t)
				testkit.WantNil(t, "Close", ours.Close())
				testkit.WantNil(t, "Close", testkit.Must(l.Accept(testkit.Within(t)))(t).Close())
				for range clientShake {
					reason := testkit.Await(t, refused, "Refused")
					check(t, time.Since(begin), reason)
				}
				t.Logf("the listener has dropped the last one after %v", time.Since(begin))
				testkit.Kill(t, p)
				// It has not read the listener's answer, so TCP resets the connection.
				testkit.WantNilOr(t, "Receive", end(whole.Receive(testkit.Within(t))), syscall.ECONNRESET)
			})
		}
		run("killed", time.Hour, testkit.Kill[proc.None], func(t *testing.T, _ time.Duration, reason error) {
			if !isEnd(reason) {
				t.Errorf("refused by %v, want the end of the client", reason)
			}
		})
		run("stopped", deadline, testkit.Stop[proc.None], func(t *testing.T, took time.Duration, reason error) {
			testkit.WantError(t, "reason", reason, os.ErrDeadlineExceeded)
			if took > deadline+testkit.Patience/2 {
				t.Errorf("refused after %v, the deadline is %v", took, deadline)
			}
		})
	}
}

// end returns nil if a Receive has found the end of the messages.
func end(msg []byte, err error) error {
	if err == io.EOF {
		return nil
	}
	if err == nil {
		return errors.New("received a message: " + string(msg))
	}
	return err
}

// TestDeath_Listener kills, or stops, a listener after each byte of its part of the handshake. Dial must fail,
// at once or at the deadline.
func TestDeath_Listener(t *testing.T) {
	type dialed struct {
		c    *connection.Conn
		err  error
		took time.Duration
	}
	for network := range networks() {
		run := func(name string, timeout time.Duration, befall func(testing.TB, *proc.Call[proc.None]), check func(t *testing.T, d dialed), after func(t *testing.T, c *connection.Conn)) {
			t.Run(network+"/"+name, func(t *testing.T) {
				t.Parallel()
				at := newPost(t, network, networks()[network])
				p := testkit.Start(t, cutListener, at)
				to := at.listener(t)
				o := options()
				o.HandshakeTimeout = timeout
				done := make(chan dialed, serverShake+1)
				for range serverShake + 1 {
					go func() {
						begin := time.Now()
						c, err := connection.Dial(context.Background(), network, to, o)
						done <- dialed{c, err, time.Since(begin)}
					}()
				}
				at.await(t)
				befall(t, p)
				begin := time.Now()
				var whole []*connection.Conn // that of the client that got all
				for range serverShake + 1 {
					d := testkit.Await(t, done, "Dial")
					if d.err == nil {
						whole = append(whole, testkit.Closing(t, d.c))
						continue
					}
					check(t, d)
				}
				t.Logf("the last Dial returned after %v", time.Since(begin))
				if len(whole) != 1 {
					t.Fatalf("%d handshakes succeeded, want that of the client that got the whole answer", len(whole))
				}
				after(t, whole[0])
			})
		}
		run("killed", time.Hour, testkit.Kill[proc.None], func(t *testing.T, d dialed) {
			if !isEnd(d.err) {
				t.Errorf("Dial: %v, want the end of the listener", d.err)
			}
		}, func(t *testing.T, c *connection.Conn) {
			testkit.WantNil(t, "Receive", end(c.Receive(testkit.Within(t))))
		})
		run("stopped", deadline, testkit.Stop[proc.None], func(t *testing.T, d dialed) {
			testkit.WantError(t, "Dial", d.err, os.ErrDeadlineExceeded)
			if d.took < deadline || d.took > deadline+testkit.Patience/2 {
				t.Errorf("Dial took %v, the deadline is %v", d.took, deadline)
			}
		}, func(t *testing.T, c *connection.Conn) {
			testkit.WantError(t, "Receive", testkit.Second(c.Receive(shortly(t))), context.DeadlineExceeded)
		})
	}
}

// listening listens, and has one connection that it does not use.
var listening = testkit.Task("connection listening", func(ctx context.Context, at post) (proc.None, error) {
	t := stranger{}
	l := testkit.Must(connection.Listen(at.Network, at.Address, options()))(t)
	defer l.Close()
	at.listens(l.Addr())
	c := testkit.Must(l.Accept(ctx))(t)
	defer c.Close()
	return proc.None{}, at.stay(ctx)
})

// TestDeath_Address kills a listener. The file of its socket stays, and says that there is no listener. An abstract name
// is free.
func TestDeath_Address(t *testing.T) {
	file := t.TempDir() + "/socket"
	for address, want := range map[string]error{file: syscall.EADDRINUSE, abstract(): nil} {
		at := newPost(t, "unix", address)
		p := testkit.Start(t, listening, at)
		c := testkit.Closing(t, testkit.Must(connection.Dial(testkit.Within(t), "unix", at.listener(t), options()))(t))
		at.await(t)
		testkit.Kill(t, p)
		testkit.WantNil(t, "Receive", end(c.Receive(testkit.Within(t))))
		_, err := connection.Dial(testkit.Within(t), "unix", address, options())
		testkit.WantError(t, "Dial", err, syscall.ECONNREFUSED)
		l, err := connection.Listen("unix", address, options())
		testkit.WantNilOr(t, "Listen", err, want)
		if err == nil {
			testkit.WantNil(t, "Close", l.Close())
		}
		if (err != nil) != (want != nil) {
			t.Errorf("Listen at %s after the death: %v, want %v", address, err, want)
		}
	}
}
