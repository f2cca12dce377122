package connection_test

import (
	"context"
	"os"
	"testing"

	"github.com/seed-2e7ecdea/mp/internal/leak"
	"github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
	"github.com/seed-2e7ecdea/mp/proc/connection"
)

func TestMain(m *testing.M) {
	proc.Init()
	os.Exit(testkit.Main(m))
}

var key = []byte("the key of the tests")

func options() *connection.Options { return &connection.Options{Key: key} }

// abstract returns an unused abstract name.
func abstract() string { return "@" + leak.Name("connection") }

// listen returns a Listener at a new abstract name.
func listen(t testing.TB, o *connection.Options) (l *connection.Listener, address string) {
	address = abstract()
	return testkit.Closing(t, testkit.Must(connection.Listen("unix", address, o))(t)), address
}

// connect returns both ends of a connection.
func connect(t testing.TB, network, address string) (a, b *connection.Conn) {
	t.Helper()
	return connectWith(t, network, address, options())
}

// connectWith is connect, with options of both sides.
func connectWith(t testing.TB, network, address string, o *connection.Options) (a, b *connection.Conn) {
	t.Helper()
	l := testkit.Must(connection.Listen(network, address, o))(t)
	defer l.Close()
	a = testkit.Closing(t, testkit.Must(connection.Dial(testkit.Within(t), network, l.Addr().String(), o))(t))
	b = testkit.Closing(t, testkit.Must(l.Accept(testkit.Within(t)))(t))
	return a, b
}

// canceled returns a context that is done.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
