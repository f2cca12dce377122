package connection_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc/connection"
)

// flood connects n silent clients, each of which connects again whenever it is dropped, until stop is called.
func flood(t *testing.T, dial func(ctx context.Context) (net.Conn, error), n int) (stop func()) {
	ctx, cancel := context.WithCancel(testkit.Within(t))
	var clients sync.WaitGroup
	for range n {
		clients.Go(func() {
			for ctx.Err() == nil {
				c, err := dial(ctx)
				if err != nil {
					return
				}
				undo := context.AfterFunc(ctx, func() { c.Close() })
				io.Copy(io.Discard, c) // until it is dropped
				undo()
				c.Close()
			}
		})
	}
	return func() { cancel(); clients.Wait() }
}

// TestN03_Reconnect connects honest clients beside as many silent ones of the same user as may be in their
// handshake, which connect again at once. No honest handshake may be ended.
func TestN03_Reconnect(t *testing.T) {
	o, refused := watched()
	l, address := listen(t, o)
	stop := flood(t, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", address)
	}, connection.MaxHandshakes+20)
	defer stop()
	testkit.WantError(t, "reason", testkit.Await(t, refused, "Refused"), connection.ErrClosed) // there are enough
	for range 4 {
		serves(t, l)
	}
}

// TestN03_Origins leaves a slow handshake alone while another address connects more silent clients than there may be.
func TestN03_Origins(t *testing.T) {
	o, refused := watched()
	l := testkit.Closing(t, testkit.Must(connection.Listen("tcp", "127.0.0.1:0", o))(t))
	slow := testkit.Closing(t, testkit.Must(net.Dial("tcp", l.Addr().String()))(t))
	mine, theirs := greet(t, slow)

	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	stop := flood(t, func(ctx context.Context) (net.Conn, error) {
		return other.DialContext(ctx, "tcp", l.Addr().String())
	}, connection.MaxHandshakes+20)
	defer stop()
	for range connection.MaxHandshakes + 20 { // each handshake that was there has been ended
		testkit.Await(t, refused, "Refused")
	}
	testkit.Must(slow.Write(proof("client", mine, theirs)))(t)
	testkit.WantNil(t, "Close", testkit.Must(l.Accept(testkit.Within(t)))(t).Close())
}
