package manager_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc/connection"
	"github.com/seed-2e7ecdea/mp/proc/manager"
)

// An authority signs certificates.
type authority struct {
	form *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key := Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	der := Must(x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key))(t)
	return &authority{Must(x509.ParseCertificate(der))(t), key}
}

// An identity is what a side of a connection has, in DER: a certificate for 127.0.0.1, its key, and the certificate of the
// authority that it believes.
type identity struct{ Certificate, Key, Believes []byte }

func (a *authority) identity(t *testing.T, believes *authority) identity {
	t.Helper()
	form := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: a.form.NotBefore, NotAfter: a.form.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	key := Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	der := Must(x509.CreateCertificate(rand.Reader, form, a.form, &key.PublicKey, a.key))(t)
	return identity{der, Must(x509.MarshalPKCS8PrivateKey(key))(t), believes.form.Raw}
}

// options returns the options of a side that has this identity and that key.
func (i identity) options(key string) (*connection.Options, error) {
	private, err := x509.ParsePKCS8PrivateKey(i.Key)
	if err != nil {
		return nil, err
	}
	believed, err := x509.ParseCertificate(i.Believes)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(believed)
	return &connection.Options{Key: []byte(key), TLS: &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{i.Certificate}, PrivateKey: private}},
		RootCAs:      pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}}, nil
}

type securedJob struct {
	Address, Key string
	Identity     identity
}

// securedClient sets a key of a manager that another process serves over TLS.
var securedClient = Task("manager client over TLS", func(ctx context.Context, j securedJob) (n int, err error) {
	o, err := j.Identity.options(j.Key)
	if err != nil {
		return 0, err
	}
	conn, err := connection.Dial(ctx, "tcp", j.Address, o)
	if err != nil {
		return 0, err
	}
	m, err := manager.Connect(ctx, conn)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	var scores manager.Dict[string, int]
	if err := m.Open(ctx, "scores", &scores); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, scores.Close()) }()
	if err := scores.Set(ctx, "b", 42); err != nil {
		return 0, err
	}
	return scores.Get(ctx, "a")
})

// TestG05_TLS serves a manager over TLS with certificates of an authority at both sides. Another process uses it with
// the right certificate and key. Each of them alone is not enough.
func TestG05_TLS(t *testing.T) {
	m := newManager(t, nil)
	ctx := Within(t)
	scores := newDict[string, int](t, m)
	WantNil(t, "Set", scores.Set(ctx, "a", 41))
	WantNil(t, "Publish", m.Publish(ctx, "scores", scores))

	ours, others := newAuthority(t), newAuthority(t)
	o := Must(ours.identity(t, ours).options("the key"))(t)
	refused := make(chan error, 10)
	o.Refused = func(_ net.Addr, err error) { refused <- err }
	l := Must(connection.Listen("tcp", "127.0.0.1:0", o))(t)
	serving, cancel := context.WithCancel(ctx)
	served := Async(func() error { return m.Serve(serving, l) })
	address := l.Addr().String()

	p := Start(t, securedClient, securedJob{address, "the key", ours.identity(t, ours)})
	Want(t, "a", Result(t, p), 41)
	Want(t, "b", Must(scores.Get(ctx, "b"))(t), 42)

	dial := func(i identity, key string) (dialed, reason error) {
		t.Helper()
		c, err := connection.Dial(ctx, "tcp", address, Must(i.options(key))(t))
		if err == nil {
			WantNil(t, "Close", c.Close())
			t.Fatal("a client is admitted that must not be")
		}
		return err, Await(t, refused, "Refused")
	}
	var unknown *tls.CertificateVerificationError

	dialed, reason := dial(ours.identity(t, ours), "another key")
	WantError(t, "Dial with another key", dialed, connection.ErrAuthentication)
	WantError(t, "reason for another key", reason, connection.ErrAuthentication)

	_, reason = dial(others.identity(t, ours), "the key")
	if !errors.As(reason, &unknown) {
		t.Errorf("a certificate of another authority is refused for %v", reason)
	}

	dialed, _ = dial(ours.identity(t, others), "the key") // the listener's certificate is not of that authority
	if !errors.As(dialed, &unknown) {
		t.Errorf("a listener's certificate of another authority: %v", dialed)
	}

	_, err := connection.Dial(ctx, "tcp", address, &connection.Options{Key: []byte("the key")})
	if err == nil {
		t.Error("Dial without TLS succeeds")
	}
	Await(t, refused, "Refused")

	Eventually(t, "no session is left but this process's", func() bool { return Must(m.Stats(ctx))(t).Sessions == 1 })
	again := Start(t, securedClient, securedJob{address, "the key", ours.identity(t, ours)})
	Want(t, "a", Result(t, again), 41)
	cancel()
	WantError(t, "Serve", Await(t, served, "Serve"), context.Canceled)
	WantNil(t, "Close", l.Close())
}
