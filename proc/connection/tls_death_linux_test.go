package connection_test

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/connection"
)

// inTLS is in the handshake of TLS when it is at its point: it has what the other side has sent, and does not go on.
var inTLS = testkit.Task("connection in TLS", func(ctx context.Context, at upgradePost) (proc.None, error) {
	o := secured(stranger{})
	o.HandshakeTimeout = time.Hour
	if !at.Accepts {
		o.TLS.VerifyConnection = func(tls.ConnectionState) error { return at.Post.stay(ctx) }
		return proc.None{}, testkit.Second(connection.Dial(ctx, at.Post.Network, at.Post.Address, o))
	}
	o.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, at.Post.stay(ctx) }
	l := testkit.Must(connection.Listen(at.Post.Network, at.Post.Address, o))(stranger{})
	defer l.Close()
	at.Post.listens(l.Addr())
	return proc.None{}, testkit.Second(l.Accept(ctx))
})

// TestDeath_TLS kills, or stops, a client and a listener in the handshake of TLS.
func TestDeath_TLS(t *testing.T) {
	for name, killed := range map[string]bool{"killed": true, "stopped": false} {
		timeout := deadline
		if killed {
			timeout = time.Hour
		}
		befall := func(t *testing.T, p *proc.Call[proc.None]) {
			if killed {
				testkit.Kill(t, p)
			} else {
				testkit.Stop(t, p)
			}
		}
		check := func(t *testing.T, err error) {
			if killed && !isEnd(err) {
				t.Errorf("the handshake failed by %v, want the end of the other side", err)
			}
			if !killed {
				testkit.WantError(t, "the handshake", err, os.ErrDeadlineExceeded)
			}
		}
		t.Run("client "+name, func(t *testing.T) {
			t.Parallel()
			o := secured(t)
			refused := make(chan error, 1)
			o.HandshakeTimeout, o.Refused = timeout, func(_ net.Addr, err error) { refused <- err }
			l := testkit.Closing(t, testkit.Must(connection.Listen("tcp", "127.0.0.1:0", o))(t))
			at := upgradePost{newPost(t, "tcp", l.Addr().String()), false}
			p := testkit.Start(t, inTLS, at)
			at.Post.await(t)
			befall(t, p)
			check(t, testkit.Await(t, refused, "Refused"))
		})
		t.Run("listener "+name, func(t *testing.T) {
			t.Parallel()
			o := secured(t)
			o.HandshakeTimeout = timeout
			at := upgradePost{newPost(t, "tcp", "127.0.0.1:0"), true}
			p := testkit.Start(t, inTLS, at)
			address := at.Post.listener(t)
			dialed := testkit.Async(func() error {
				return testkit.Second(connection.Dial(context.Background(), "tcp", address, o))
			})
			at.Post.await(t)
			befall(t, p)
			check(t, testkit.Await(t, dialed, "Dial"))
		})
	}
}
