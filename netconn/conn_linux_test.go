package netconn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/netconn"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/ring"
)

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(Main(m))
}

func newConns(t *testing.T) (a, b *netconn.Conn) {
	t.Helper()
	x, y, err := ring.NewPipe(Anonymous(t, 4<<20), "", nil)
	WantNil(t, "NewPipe", err)
	a, b = netconn.New(x), netconn.New(y)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// TestErrors has the rules of net.Conn for errors.
func TestErrors(t *testing.T) {
	a, b := newConns(t)
	buf := make([]byte, 10)
	past := time.Now().Add(-time.Hour)
	WantNil(t, "SetDeadline", a.SetDeadline(past))
	_, err := a.Write(buf)
	WantError(t, "Write", err, os.ErrDeadlineExceeded)
	_, err = a.Read(buf)
	WantError(t, "Read", err, os.ErrDeadlineExceeded)
	var failure net.Error
	if !errors.As(err, &failure) || !failure.Timeout() {
		t.Errorf("%v is no timeout", err)
	}
	WantNil(t, "SetDeadline", a.SetDeadline(time.Time{}))
	_, err = a.Write(buf)
	WantNil(t, "Write", err)
	// A deadline ends a Read that blocks already, and a later one lets the next Read go on.
	read := Async(func() error { return Second(a.Read(buf)) })
	AwaitAsleep(t, os.Getpid(), 1)
	WantNil(t, "SetReadDeadline", a.SetReadDeadline(time.Now().Add(5*time.Millisecond)))
	WantError(t, "Read", Await(t, read, "Read"), os.ErrDeadlineExceeded)
	WantNil(t, "SetReadDeadline", a.SetReadDeadline(time.Now().Add(time.Hour)))
	_, err = b.Write(buf)
	WantNil(t, "Write", err)
	n, err := a.Read(buf)
	if n != 10 || err != nil {
		t.Errorf("Read: %d, %v", n, err)
	}
	// Close ends a Read that blocks. The other end reads what is there, then io.EOF.
	read = Async(func() error { return Second(a.Read(buf)) })
	AwaitAsleep(t, os.Getpid(), 1)
	WantNil(t, "Close", a.Close())
	WantError(t, "Read", Await(t, read, "Read"), net.ErrClosed)
	WantError(t, "Close", a.Close(), net.ErrClosed)
	WantError(t, "Write", Second(a.Write(buf)), net.ErrClosed)
	WantError(t, "SetDeadline", a.SetDeadline(past), net.ErrClosed)
	rest, err := io.ReadAll(b)
	if len(rest) != 10 || err != nil {
		t.Errorf("ReadAll: %d bytes, %v", len(rest), err)
	}
	WantError(t, "Write", Second(b.Write(buf)), syscall.EPIPE)
	Want(t, "network", b.LocalAddr().Network(), "mp")
	if s := b.RemoteAddr().String(); s == "" {
		t.Error("the end has no address")
	}
}

// Words is a service.
type Words struct{}

// Count counts the words of text.
func (Words) Count(text string, n *int) error { *n = len(strings.Fields(text)); return nil }

// serve serves the calls that come by the pipe, in a child.
var serve = proc.Register("serve", func(_ context.Context, c *ring.Conn) (proc.None, error) {
	server := rpc.NewServer()
	if err := server.Register(Words{}); err != nil {
		return proc.None{}, err
	}
	server.ServeConn(netconn.New(c))
	return proc.None{}, nil
})

// TestRPC calls a child by net/rpc.
func TestRPC(t *testing.T) {
	a, b, err := ring.NewPipe(Anonymous(t, 4<<20), "", nil)
	WantNil(t, "NewPipe", err)
	p := Start(t, serve, b)
	WantNil(t, "Close", b.Close())
	client := rpc.NewClient(netconn.New(a))
	for _, n := range []int{0, 3, 100_000} {
		var got int
		call := client.Go("Words.Count", strings.Repeat("word ", n), &got, nil)
		WantNil(t, "Call", Await(t, call.Done, "call").Error)
		Want(t, "words", got, n)
	}
	WantNil(t, "Close", client.Close())
	Result(t, p)
}

// TestHTTP sends requests to a server by a pipe.
func TestHTTP(t *testing.T) {
	a, b := newConns(t)
	l := &oneConn{conns: make(chan net.Conn, 1)}
	l.conns <- b
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	})}
	served := Async(func() error { return server.Serve(l) })
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return a, nil },
	}}
	for _, n := range []int{0, 10, 1 << 20} {
		want := strings.Repeat("x", n)
		r := Must(client.Post("http://pipe/echo", "text/plain", strings.NewReader(want)))(t)
		got := Must(io.ReadAll(r.Body))(t)
		WantNil(t, "Close", r.Body.Close())
		if string(got) != want {
			t.Errorf("%d bytes came back of %d", len(got), n)
		}
	}
	WantNil(t, "Close", server.Close())
	WantError(t, "Serve", Await(t, served, "server"), http.ErrServerClosed)
}

// oneConn is a listener that accepts what is in conns.
type oneConn struct{ conns chan net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { close(l.conns); return nil }
func (l *oneConn) Addr() net.Addr { return netconn.Addr("") }
