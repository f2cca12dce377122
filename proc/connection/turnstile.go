package connection

import (
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

// leastHandshake is how long the Listener leaves a handshake alone before it ends it for another client of
// the same origin.
const leastHandshake = 500 * time.Millisecond

// A shake is a handshake that is running.
type shake struct {
	c      net.Conn
	origin string
	began  time.Time
}

// A turnstile holds the handshakes that are running, MaxHandshakes at most. If one more client comes:
//
//  1. The origin that has most handshakes, with the new one, must give one up: its oldest. An honest handshake
//     takes a few round trips, so the oldest one is most likely to be that of a client that does not
//     mean to end it. An origin that has few is not affected by one that has many.
//  2. If the new client is of the same origin, it waits until the oldest handshake has had leastHandshake, or
//     any handshake ends. So clients that connect again and again do not end an honest handshake
//     of their own origin.
type turnstile []shake

// victim returns the index of the handshake to end for one of that origin, -1 if there is space.
func (t turnstile) victim(origin string) int {
	if len(t) < MaxHandshakes {
		return -1
	}
	count := map[string]int{origin: 1}
	most := origin
	for _, s := range t {
		if count[s.origin]++; count[s.origin] > count[most] {
			most = s.origin
		}
	}
	return slices.IndexFunc(t, func(s shake) bool { return s.origin == most })
}

// wait returns how long a client of that origin has to wait for the handshake at that index.
func (t turnstile) wait(victim int, origin string) time.Duration {
	if victim < 0 || t[victim].origin != origin {
		return 0
	}
	return leastHandshake - time.Since(t[victim].began)
}

// originOf returns what clients have in common that count together: the user over a Unix socket, the address over
// TCP, of which an IPv6 host has 2^64.
func originOf(c net.Conn) string {
	switch a := c.RemoteAddr().(type) {
	case *net.TCPAddr:
		if a.IP.To4() == nil {
			return a.IP.Mask(net.CIDRMask(64, 128)).String()
		}
		return a.IP.String()
	default:
		if u, ok := c.(*net.UnixConn); ok {
			if _, uid, err := sys.Peer(u); err == nil {
				return strconv.Itoa(uid)
			}
		}
		return ""
	}
}
