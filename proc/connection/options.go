package connection

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/seed-2e7ecdea/mp/internal/sys"
)

const (
	// DefaultMaxMessage is the length in bytes of the longest message that a Conn receives at first.
	DefaultMaxMessage = 64 << 20

	// DefaultHandshakeTimeout bounds a handshake if Options do not.
	DefaultHandshakeTimeout = 10 * time.Second

	// MaxHandshakes is the number of clients of a Listener that may be in their handshake at once. If one
	// more connects, the user (over a Unix socket) or the address (over TCP; the /64 network of an IPv6 one) that
	// has most of them loses the one that began first. If that is the new client's own, the
	// new client waits until that handshake has had half a second.
	MaxHandshakes = 128

	// MaxFiles is how many files go with one message: the kernel takes no more.
	MaxFiles = sys.MaxRights

	// Backlog is the number of clients that may have finished their handshake before Accept returns them.
	// Further clients wait in their handshake.
	Backlog = 128
)

var (
	// ErrNoKey means that Options have no key.
	ErrNoKey = errors.New("no key: set Options.Key to the same random bytes at both sides")

	// ErrAuthentication means that the other side has another key, or does not speak this protocol.
	ErrAuthentication = errors.New("authentication failed: both sides need the same key")

	// ErrUser means that the process at the other side runs as a user that is not allowed.
	ErrUser = errors.New("user of the other process is not allowed: see Options.AllowUID")

	// ErrTooLarge means that a message is longer than the receiver's limit, or than 4 GiB - 1.
	ErrTooLarge = errors.New("message too large: see SetMaxMessage")

	// ErrTooManyFiles means that SendFiles was called with more than MaxFiles files.
	ErrTooManyFiles = errors.New("too many files for one message: send them with several")

	// ErrProtocol means that the other side has sent what no Conn sends. The Conn is closed then.
	ErrProtocol = errors.New("the other side broke the protocol of connections")

	// ErrUpgrade means that a message can't be received, because the other end is in Conn.Upgrade.
	ErrUpgrade = errors.New("the other side moves to shared memory: call Upgrade")

	// ErrMessage means that Upgrade has met a message: receive it first.
	ErrMessage = errors.New("there is a message: receive it before Upgrade")

	// ErrClosed means that the Conn or the Listener was closed by this program. It is net.ErrClosed.
	ErrClosed = net.ErrClosed
)

// Options are the options of Listen and Dial. Only Key is required.
type Options struct {
	// Key is the secret that both sides have. It may have any length but 0. 32 random bytes are enough.
	Key []byte

	// MaxMessage is the length in bytes of the longest message that a Conn receives: see
	// Conn.SetMaxMessage. 0 means DefaultMaxMessage.
	MaxMessage int

	// TLS, if not nil, encrypts connections over TCP by TLS 1.3. Both sides need it. The configuration is that of a
	// server for Listen and of a client for Dial: see crypto/tls, or KeyTLS for one that needs no
	// certificates of an authority. The proofs of Key are bound to the TLS session. So an
	// attacker between the two sides fails, even with a certificate that they accept. Listen
	// and Dial fail with errors.ErrUnsupported if the network is "unix".
	TLS *tls.Config

	// HandshakeTimeout is how long a handshake may take. 0 means DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration

	// AllowUID reports whether the process at the other end of a Unix socket may run as this user. Nil
	// allows root and the effective user of this process. A Listener calls it from several
	// goroutines at once.
	AllowUID func(uid int) bool

	// Refused, if not nil, is called by a Listener for each client that it refuses, with the client's
	// address and the reason: ErrAuthentication, ErrUser, os.ErrDeadlineExceeded, ErrClosed if the
	// Listener closed it to make space or in Close, or the socket's error. It is called from several
	// goroutines at once, and Close waits for it.
	Refused func(client net.Addr, reason error)
}

// complete returns a copy of o with its defaults set.
func (o *Options) complete() (Options, error) {
	if o == nil || len(o.Key) == 0 {
		return Options{}, ErrNoKey
	}
	c := *o
	c.Key = append([]byte(nil), o.Key...)
	if c.MaxMessage == 0 {
		c.MaxMessage = DefaultMaxMessage
	}
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if c.AllowUID == nil {
		c.AllowUID = func(uid int) bool { return uid == 0 || uid == os.Geteuid() }
	}
	if c.Refused == nil {
		c.Refused = func(net.Addr, error) {}
	}
	return c, nil
}

// checkUser fails if the other end of a Unix socket belongs to a user who is not allowed.
func (o *Options) checkUser(c net.Conn) error {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil
	}
	_, uid, err := sys.Peer(u)
	if err == nil && !o.AllowUID(uid) {
		err = fmt.Errorf("user %d: %w", uid, ErrUser)
	}
	return err
}

// known fails if network is not one of those of this package, or o are not for it.
func (o *Options) known(network string) error {
	switch network {
	case "tcp", "tcp4", "tcp6":
		return nil
	case "unix":
		if runtime.GOOS != "linux" {
			return errors.ErrUnsupported
		}
		if o.TLS != nil {
			return fmt.Errorf("Options.TLS is for TCP: %w", errors.ErrUnsupported)
		}
		return nil
	}
	return fmt.Errorf("%w: use unix, tcp, tcp4 or tcp6", net.UnknownNetworkError(network))
}

// failed adds the operation and the address to err.
func failed(op, network, address string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("connection: %s %s %s: %w", op, network, address, err)
}
