package cluster_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/seed-2e7ecdea/mp/cluster"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
)

// TestOpen connects to a server in this process by each kind of credentials, and is refused without
// them.
func TestOpen(t *testing.T) {
	pair := Must(nkeys.CreateUser())(t)
	seed := string(Must(pair.Seed())(t))
	config := testTLS(t)
	for _, test := range []struct {
		name           string
		server, client cluster.Options
		bare           bool // the client's URL is without the token
		refused        string
	}{
		{name: "url with token"},
		{name: "token", server: cluster.Options{Token: "secret"}, client: cluster.Options{Token: "secret"}, bare: true},
		{name: "no token", bare: true, refused: "refuses the credentials"},
		{name: "wrong token", client: cluster.Options{Token: "x"}, bare: true, refused: "refuses the credentials"},
		{name: "nkey", server: cluster.Options{Seed: seed}, client: cluster.Options{Seed: seed}},
		{name: "no nkey", server: cluster.Options{Seed: seed}, refused: "refuses the credentials"},
		{name: "tls", server: cluster.Options{TLS: config}, client: cluster.Options{TLS: config}},
		{name: "tls of another authority", server: cluster.Options{TLS: config}, client: cluster.Options{TLS: testTLS(t)}, refused: "is not trusted"},
		{name: "directory", server: cluster.Options{Dir: t.TempDir(), Sync: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := open(t, &test.server)
			test.client.URL = server.URL()
			if at := strings.Index(test.client.URL, "@"); test.bare && at > 0 {
				test.client.URL = "nats://" + test.client.URL[at+1:]
			}
			ctx := Within(t)
			if test.refused != "" {
				_, err := cluster.Open(ctx, &test.client)
				if err == nil || !strings.Contains(err.Error(), test.refused) {
					t.Fatalf("Open: %v, want an error with %q", err, test.refused)
				}
				return
			}
			q := newQueue[string](t, server, 1, nil)
			WantNil(t, "Put", q.Put(ctx, "hello"))
			client := open(t, &test.client)
			far := Closing(t, Must(cluster.OpenQueue[string](ctx, client, "q", nil))(t))
			Want(t, "Get", Must(far.Get(ctx))(t), "hello")
		})
	}
}

// testTLS returns a configuration with a new certificate for 127.0.0.1, which is its own authority.
func testTLS(t *testing.T) *tls.Config {
	t.Helper()
	key := Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der := Must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))(t)
	pool := x509.NewCertPool()
	pool.AddCert(Must(x509.ParseCertificate(der))(t))
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: pool}
}

// TestOpenErrors gives Open options that it must refuse, with texts that say what to do.
func TestOpenErrors(t *testing.T) {
	taken := Closing(t, Must(net.Listen("tcp", "127.0.0.1:0"))(t)).Addr().String()
	for _, test := range []struct {
		options cluster.Options
		want    string
	}{
		{cluster.Options{Name: "a.b"}, "must have 1 to 64 letters"},
		{cluster.Options{Token: "a", Seed: "b"}, "more than one of Token"},
		{cluster.Options{Credentials: "file"}, "set URL"},
		{cluster.Options{Listen: "nowhere"}, "Options.Listen"},
		{cluster.Options{MaxMessage: 1 << 40 >> 10}, "64 MiB"},
		{cluster.Options{Seed: "x"}, "Options.Seed"},
		{cluster.Options{Dir: "/dev/null/x"}, "/dev/null/x"},
		{cluster.Options{Listen: taken}, "is " + taken + " free"},
		{cluster.Options{URL: "nats://" + taken}, "no server answers"},
	} {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(Within(t), 300*time.Millisecond)
		_, err := cluster.Open(ctx, &test.options)
		cancel()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Open(%+v): %v, want an error with %q", test.options, err, test.want)
		}
		if took := time.Since(begun); took > Patience/8 {
			t.Errorf("Open(%+v) failed after %v: it was waited for, though no wait can help", test.options, took)
		}
	}
}
