package connection

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"time"
)

// bindingLabel is that of RFC 9266 for what both ends of a TLS session have in common, and no other session has.
const bindingLabel = "EXPORTER-Channel-Binding"

// A session is what a handshake and messages go through.
type session struct {
	socket  *socket
	shake   net.Conn // for the handshake, which takes no files
	conn    net.Conn // for messages
	binding []byte   // of TLS; it is part of the proofs
}

// newSession starts TLS over c as that side, unless config is nil.
func newSession(ctx context.Context, c net.Conn, config *tls.Config, side func(net.Conn, *tls.Config) *tls.Conn) (*session, error) {
	s := newSocket(c)
	if config == nil {
		return &session{socket: s, shake: c, conn: s}, nil
	}
	t := side(s, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	state := t.ConnectionState()
	binding, err := state.ExportKeyingMaterial(bindingLabel, nil, 32)
	if err != nil {
		return nil, err
	}
	return &session{socket: s, shake: t, conn: t, binding: binding}, nil
}

// tlsFor returns a copy of config, nil if that is nil, for an address that is dialed. It allows no version before
// TLS 1.3: the binding of earlier ones is not always unique.
func tlsFor(config *tls.Config, address string) *tls.Config {
	if config == nil {
		return nil
	}
	c := config.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS13)
	if host, _, err := net.SplitHostPort(address); err == nil && c.ServerName == "" {
		c.ServerName = host
	}
	return c
}

// KeyTLS returns a configuration for Options.TLS of both sides that needs no certificate of an authority. It makes a
// new certificate that signs itself, and accepts any of the other side: the proofs of Options.Key,
// which are bound to the TLS session, show that there is no one between the two sides. It
// fails only if the system can't make a key.
func KeyTLS() (*tls.Config, error) {
	c, err := keyTLS()
	if err != nil {
		return nil, fmt.Errorf("connection: KeyTLS: %w", err)
	}
	return c, nil
}

func keyTLS() (*tls.Config, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(100, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &private.PublicKey, private)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}},
		InsecureSkipVerify: true, // the proofs of the key verify the session
	}, nil
}
