package cluster_test

import (
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/seed-2e7ecdea/mp/cluster"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

// A link is a network between clients and a server, which can be slow and can be cut.
type link struct {
	url  string // of the server, through the link
	to   string // the server's address
	rate int    // bytes per second in each direction; 0: no bound

	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

// newLink makes a link to the server of c.
func newLink(t *testing.T, c *cluster.Cluster, rate int) *link {
	t.Helper()
	u := Must(url.Parse(c.URL()))(t)
	listener := Closing(t, Must(net.Listen("tcp", "127.0.0.1:0"))(t))
	l := &link{to: u.Host, rate: rate}
	u.Host = listener.Addr().String()
	l.url = u.String()
	t.Cleanup(l.cut)
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			l.connect(near)
		}
	}()
	return l
}

// connect leads a client to the server, unless the link is cut.
func (l *link) connect(near net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	far, err := net.Dial("tcp", l.to)
	if err != nil || l.isCut {
		near.Close() // the client tries again
		if err == nil {
			far.Close()
		}
		return
	}
	l.conns = append(l.conns, near, far)
	go l.pass(near, far)
	go l.pass(far, near)
}

// pass passes on what comes until the connection ends.
func (l *link) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	for b := make([]byte, 16<<10); ; {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if l.rate > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(l.rate)) // stands for the network
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// cut ends the connections, and refuses others until mend is called.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = false
}
