package connection_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc/connection"
	"github.com/seed-2e7ecdea/mp/ring"
)

func secured(t testing.TB) *connection.Options {
	o := options()
	o.TLS = testkit.Must(connection.KeyTLS())(t)
	return o
}

// TestTLS exchanges messages over TLS, with contexts that end, polls, and the end of messages.
func TestTLS(t *testing.T) {
	l := testkit.Closing(t, testkit.Must(connection.Listen("tcp", "127.0.0.1:0", secured(t)))(t))
	a := testkit.Closing(t, testkit.Must(connection.Dial(testkit.Within(t), "tcp", l.Addr().String(), secured(t)))(t))
	b := testkit.Closing(t, testkit.Must(l.Accept(testkit.Within(t)))(t))
	testkit.WantError(t, "TryPoll", b.TryPoll(), ring.ErrEmpty)
	ctx, cancel := context.WithCancel(testkit.Within(t))
	waiting := testkit.Async(func() error { return testkit.Second(b.Receive(ctx)) })
	cancel()
	testkit.WantError(t, "Receive", testkit.Await(t, waiting, "Receive"), context.Canceled)
	for _, size := range []int{0, 1, 3000, 64<<10 + 1, 3 << 20} {
		msg := bytes.Repeat([]byte{byte(size)}, size)
		sent := testkit.Async(func() error { return a.Send(testkit.Within(t), msg) })
		testkit.WantNil(t, "Poll", b.Poll(testkit.Within(t)))
		testkit.WantNil(t, "TryPoll", b.TryPoll())
		got := testkit.Must(b.Receive(testkit.Within(t)))(t)
		testkit.WantNil(t, "Send", testkit.Await(t, sent, "Send"))
		testkit.Want(t, "message", bytes.Equal(got, msg), true)
	}
	testkit.WantError(t, "SendFiles", a.SendFiles(testkit.Within(t), nil, nil), errors.ErrUnsupported)
	testkit.WantNil(t, "Send", a.Send(testkit.Within(t), []byte("last")))
	testkit.WantNil(t, "Close", a.Close())
	testkit.Want(t, "message", string(testkit.Must(b.Receive(testkit.Within(t)))(t)), "last")
	testkit.WantError(t, "Receive at the end", testkit.Second(b.Receive(testkit.Within(t))), io.EOF)

	_, err := connection.Listen("unix", abstract(), secured(t))
	testkit.WantError(t, "Listen", err, errors.ErrUnsupported)
	_, err = connection.Dial(testkit.Within(t), "unix", abstract(), secured(t))
	testkit.WantError(t, "Dial", err, errors.ErrUnsupported)
	wrong := secured(t)
	wrong.Key = []byte("another")
	_, err = connection.Dial(testkit.Within(t), "tcp", l.Addr().String(), wrong)
	testkit.WantError(t, "Dial with another key", err, connection.ErrAuthentication)
	if c, err := connection.Dial(testkit.Within(t), "tcp", l.Addr().String(), options()); err == nil {
		c.Close()
		t.Error("Dial without TLS succeeds")
	}
}

// TestTLS_Middle puts a relay between the two sides, which has a TLS session with each and passes all bytes on. Both
// sides accept its certificate, but the proofs of the key must fail.
func TestTLS_Middle(t *testing.T) {
	o := secured(t)
	refused := make(chan error, 1)
	o.Refused = func(_ net.Addr, err error) { refused <- err }
	l := testkit.Closing(t, testkit.Must(connection.Listen("tcp", "127.0.0.1:0", o))(t))
	config := testkit.Must(connection.KeyTLS())(t)
	middle := testkit.Closing(t, testkit.Must(tls.Listen("tcp", "127.0.0.1:0", config))(t))
	relayed := testkit.Async(func() error {
		front, err := middle.Accept()
		if err != nil {
			return err
		}
		defer front.Close()
		back, err := tls.Dial("tcp", l.Addr().String(), config)
		if err != nil {
			return err
		}
		defer back.Close()
		one := testkit.Async(func() error { io.Copy(back, front); return back.CloseWrite() })
		io.Copy(front, back) // until the listener closes
		front.Close()
		return <-one
	})
	_, err := connection.Dial(testkit.Within(t), "tcp", middle.Addr().String(), secured(t))
	testkit.WantError(t, "Dial through the relay", err, connection.ErrAuthentication)
	testkit.WantError(t, "reason", testkit.Await(t, refused, "Refused"), connection.ErrAuthentication)
	testkit.Await(t, relayed, "relay")
}
