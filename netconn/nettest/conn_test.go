package nettest_test

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/seed-2e7ecdea/mp/netconn"
	"github.com/seed-2e7ecdea/mp/ring"
	"github.com/seed-2e7ecdea/mp/shm"
)

// TestConn checks all that x/net demands of a net.Conn.
func TestConn(t *testing.T) {
	seg, err := shm.Anonymous(64<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		a, b, err := ring.NewPipe(seg, "", nil)
		if err != nil {
			return nil, nil, nil, err
		}
		x, y := netconn.New(a), netconn.New(b)
		return x, y, func() { x.Close(); y.Close() }, nil
	})
}
