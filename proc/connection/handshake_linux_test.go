package connection_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc/connection"
)

const (
	magic = "mp/conn\x02"
	hello = len(magic) + 32
)

// watched returns options whose Refused sends to a channel.
func watched() (*connection.Options, chan error) {
	refused := make(chan error, 10_000)
	return &connection.Options{Key: key, Refused: func(_ net.Addr, err error) { refused <- err }}, refused
}

// raw returns a connection of a hostile client.
func raw(t testing.TB, address string) net.Conn {
	c := testkit.Must(net.Dial("unix", address))(t)
	t.Cleanup(func() { c.Close() }) // again, for some tests
	return c
}

// serves checks that an honest client can connect, as long as l has accepted no other.
func serves(t testing.TB, l *connection.Listener) {
	t.Helper()
	c := testkit.Must(connection.Dial(testkit.Within(t), "unix", l.Addr().String(), options()))(t)
	defer c.Close()
	s := testkit.Must(l.Accept(testkit.Within(t)))(t)
	defer s.Close()
	testkit.WantNil(t, "Send", c.Send(testkit.Within(t), []byte("hi")))
	testkit.Want(t, "message", string(testkit.Must(s.Receive(testkit.Within(t)))(t)), "hi")
}

func TestN03_Keys(t *testing.T) {
	o, refused := watched()
	l, address := listen(t, o)
	_, err := connection.Dial(testkit.Within(t), "unix", address, &connection.Options{Key: []byte("another")})
	testkit.WantError(t, "Dial with another key", err, connection.ErrAuthentication)
	testkit.WantError(t, "reason of the listener", testkit.Await(t, refused, "Refused"), connection.ErrAuthentication)
	for _, o := range []*connection.Options{nil, {}, {Key: []byte{}}} {
		testkit.WantError(t, "Listen", testkit.Second(connection.Listen("unix", abstract(), o)), connection.ErrNoKey)
		_, err := connection.Dial(testkit.Within(t), "unix", address, o)
		testkit.WantError(t, "Dial", err, connection.ErrNoKey)
	}
	var unknown net.UnknownNetworkError
	if _, err := connection.Listen("udp", "127.0.0.1:0", options()); !errors.As(err, &unknown) {
		t.Errorf("Listen(udp): %v", err)
	}
	serves(t, l)
}

func TestN03_Users(t *testing.T) {
	asked := make(chan int, 1)
	none := options()
	none.AllowUID = func(uid int) bool { asked <- uid; return false }
	l, address := listen(t, options())
	_, err := connection.Dial(testkit.Within(t), "unix", address, none)
	testkit.WantError(t, "Dial that allows no user", err, connection.ErrUser)
	testkit.Want(t, "user of the listener", testkit.Await(t, asked, "AllowUID"), os.Geteuid())
	serves(t, l)

	reason := make(chan error, 1)
	none.Refused = func(_ net.Addr, err error) { reason <- err }
	_, address = listen(t, none)
	if c, err := connection.Dial(testkit.Within(t), "unix", address, options()); err == nil {
		c.Close()
		t.Error("a Listener that allows no user admits one")
	}
	testkit.WantError(t, "reason of the listener", testkit.Await(t, reason, "Refused"), connection.ErrUser)
}

// TestN03_Reflection sends a listener its own nonce and proof: it must not take its own words for those of a client.
func TestN03_Reflection(t *testing.T) {
	o, refused := watched()
	l, address := listen(t, o)
	c := raw(t, address)
	got := make([]byte, hello)
	testkit.Must(io.ReadFull(c, got))(t)
	testkit.Must(c.Write(got))(t)
	testkit.Must(c.Write(got[:32]))(t)
	testkit.WantError(t, "reason", testkit.Await(t, refused, "Refused"), connection.ErrAuthentication)

	// A relay that records an honest handshake, and then plays the client's part again.
	front := testkit.Closing(t, testkit.Must(net.Listen("unix", abstract()))(t))
	dialed := testkit.Async(func() error {
		c, err := connection.Dial(testkit.Within(t), "unix", front.Addr().String(), options())
		if err == nil {
			err = c.Close()
		}
		return err
	})
	honest := testkit.Closing(t, testkit.Must(front.Accept())(t))
	back := raw(t, address)
	record := make([]byte, hello+32)
	testkit.Must(io.ReadFull(back, got))(t)
	testkit.Must(honest.Write(got))(t)
	testkit.Must(io.ReadFull(honest, record))(t)
	testkit.Must(back.Write(record))(t)
	answer := make([]byte, 33)
	testkit.Must(io.ReadFull(back, answer))(t)
	testkit.Must(honest.Write(answer))(t)
	testkit.WantNil(t, "Dial by a relay", testkit.Await(t, dialed, "Dial"))
	testkit.Must(l.Accept(testkit.Within(t)))(t).Close()
	again := raw(t, address)
	testkit.Must(again.Write(record))(t)
	testkit.WantError(t, "reason", testkit.Await(t, refused, "Refused"), connection.ErrAuthentication)
	serves(t, l)
}

// TestN03_FalseListener connects to a listener without the key.
func TestN03_FalseListener(t *testing.T) {
	front := testkit.Closing(t, testkit.Must(net.Listen("unix", abstract()))(t))
	dialed := testkit.Async(func() error {
		return testkit.Second(connection.Dial(testkit.Within(t), "unix", front.Addr().String(), options()))
	})
	c := testkit.Closing(t, testkit.Must(front.Accept())(t))
	got := make([]byte, hello+32)
	testkit.Must(io.ReadFull(c, got[:hello]))(t)
	testkit.Must(c.Write(got[:hello]))(t) // the client's own nonce
	testkit.Must(io.ReadFull(c, got[hello:]))(t)
	testkit.Must(c.Write(append([]byte{1}, got[hello:]...)))(t) // and its own proof
	testkit.WantError(t, "Dial", testkit.Await(t, dialed, "Dial"), connection.ErrAuthentication)

	// One that never answers.
	ctx, cancel := context.WithCancel(context.Background())
	dialed = testkit.Async(func() error {
		return testkit.Second(connection.Dial(ctx, "unix", front.Addr().String(), options()))
	})
	c = testkit.Closing(t, testkit.Must(front.Accept())(t))
	testkit.Must(io.ReadFull(c, got[:hello]))(t)
	cancel()
	testkit.WantError(t, "Dial", testkit.Await(t, dialed, "Dial"), context.Canceled)
	short := options()
	short.HandshakeTimeout = time.Millisecond
	_, err := connection.Dial(testkit.Within(t), "unix", front.Addr().String(), short)
	testkit.WantError(t, "Dial", err, os.ErrDeadlineExceeded)
}

// TestN03_Hostile leaves more silent and babbling clients in their handshakes than a Listener has at once.
func TestN03_Hostile(t *testing.T) {
	o, refused := watched()
	l, address := listen(t, o)
	for i := range 2 * connection.MaxHandshakes {
		c := raw(t, address)
		if i%2 == 0 {
			c.Write([]byte(magic)) // half a hello; the Listener may have closed it
		}
	}
	for range connection.MaxHandshakes {
		testkit.Await(t, refused, "Refused")
	}
	serves(t, l)
	bytes := rand.NewChaCha8([32]byte{1})
	for i := range 200 {
		c := raw(t, address)
		b := make([]byte, i)
		bytes.Read(b)
		c.Write(b)
		c.Close()
	}
	serves(t, l)
}

// TestN03_Deadline lets a listener end a handshake by time.
func TestN03_Deadline(t *testing.T) {
	o, refused := watched()
	o.HandshakeTimeout = time.Millisecond
	_, address := listen(t, o)
	raw(t, address)
	testkit.WantError(t, "reason", testkit.Await(t, refused, "Refused"), os.ErrDeadlineExceeded)
}

// FuzzHandshake sends any bytes to a listener, which must neither admit the client nor stop.
func FuzzHandshake(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(magic))
	f.Add(append([]byte(magic), make([]byte, 64)...))
	f.Add(make([]byte, 200))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, refused := watched()
		l, address := listen(t, o)
		c := raw(t, address)
		c.Write(b) // fails if the listener refuses the first bytes
		c.Close()
		if testkit.Await(t, refused, "Refused") == nil {
			t.Error("refused without a reason")
		}
		serves(t, l)
	})
}

// prove does the client's part of the handshake over c.
func prove(t testing.TB, c net.Conn) {
	t.Helper()
	mine, theirs := greet(t, c)
	testkit.Must(c.Write(proof("client", mine, theirs)))(t)
	testkit.Must(io.ReadFull(c, make([]byte, 1+sha256.Size)))(t)
}

// admit does the listener's part of the handshake over c.
func admit(t testing.TB, c net.Conn) {
	t.Helper()
	mine, theirs := greet(t, c)
	testkit.Must(io.ReadFull(c, make([]byte, sha256.Size)))(t)
	testkit.Must(c.Write(append([]byte{1}, proof("server", theirs, mine)...)))(t)
}

// greet exchanges hellos, and returns the nonces.
func greet(t testing.TB, c net.Conn) (mine, theirs []byte) {
	t.Helper()
	mine, theirs = make([]byte, hello), make([]byte, hello)
	copy(mine, magic)
	testkit.Must(c.Write(mine))(t)
	testkit.Must(io.ReadFull(c, theirs))(t)
	return mine[len(magic):], theirs[len(magic):]
}

func proof(role string, client, server []byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range [][]byte{[]byte(magic), []byte(role), client, server} {
		h.Write(part)
	}
	return h.Sum(nil)
}
