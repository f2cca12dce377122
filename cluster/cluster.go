package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/seed-2e7ecdea/mp/ring"
)

// Options are options for Open. A nil *Options means the defaults: a server inside this process
// that keeps everything in memory and listens on a free port of 127.0.0.1.
type Options struct {
	// URL is the address of a running NATS server with JetStream, or of several, separated by commas,
	// such as "nats://10.0.0.1:4222". What Cluster.URL returns in one process is a URL for others.
	// The default "" starts a server in this process.
	URL string

	// Name separates the queues and pools of one program from those of others that use the same
	// server. The default is "mp".
	Name string

	// Token, Seed and Credentials are what a client shows to the server: a token, the seed of an
	// NKey, or the path of a file with a JWT and a seed. At most one may be set. A server in this
	// process demands the Token or the NKey of the Seed. By default it makes a random token, which
	// Cluster.URL contains.
	Token, Seed, Credentials string

	// TLS encrypts the connections. For a server in this process it must have a certificate for the
	// address, and RootCAs by which clients check it.
	TLS *tls.Config

	// Replicas is the number of servers of a NATS cluster that keep each message: 1, 3 or 5. The
	// default is 1.
	Replicas int

	// Memory makes a running server keep the messages in memory, where a restart of the server loses
	// them. By default it keeps them in files.
	Memory bool

	// The other options are for a server in this process.

	// Listen is the address on which the server listens, as "10.0.0.1:4222". Port 0 means a free
	// port. The default is "127.0.0.1:0".
	Listen string

	// Dir is the directory where the server keeps the messages. They are there again when a later
	// process opens the same Dir. By default they are in memory, and are lost when Close is called or
	// the process dies.
	Dir string

	// Sync makes the server write each message to the disk before it answers, so that a loss of power
	// loses no message. By default it does so each two minutes: a crash of the server loses no
	// message, a crash of its machine may lose the last ones.
	Sync bool

	// MaxMessage is the number of bytes of the largest message: a queue's value, for example. The
	// default is 1 MiB; the least is 64 KiB, the limit 64 MiB.
	MaxMessage int
}

// A Cluster is a connection to a NATS server, and the server itself if it runs in this process.
//
// All methods may be called by any number of goroutines at once.
type Cluster struct {
	options Options
	server  *embedded // nil: it is elsewhere
	conn    *nats.Conn
	js      jetstream.JetStream
	url     string

	mu          sync.Mutex
	reconnected chan struct{}   // closed, and replaced, when the connection is there again or a consumer has another leader
	connected   context.Context // ends, and is replaced, when the connection is lost
	disconnect  context.CancelFunc
	closed      bool
}

// requestTime bounds the wait for one answer of the server. The request is repeated after it.
const requestTime = 5 * time.Second

// firstPatience bounds the first wait. Answers that are lost, because a server is, are missed for no longer.
const firstPatience = 500 * time.Millisecond

// Open starts a server in this process, or connects to the one at Options.URL. It blocks until the
// server answers or ctx is done. It fails with ctx's error, with ErrName, or with the error of the
// server or the connection: the text says what was tried.
//
// When the connection is lost later, it is made again in the background, for ever. Calls that wait
// for the server go on then.
func Open(ctx context.Context, o *Options) (*Cluster, error) {
	c := &Cluster{reconnected: make(chan struct{})}
	c.connected, c.disconnect = context.WithCancel(context.Background())
	if o != nil {
		c.options = *o
	}
	if err := c.open(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("cluster: Open: %w", err)
	}
	return c, nil
}

func (c *Cluster) open(ctx context.Context) (err error) {
	o := &c.options
	if o.Name == "" {
		o.Name = "mp"
	}
	if err := checkName(o.Name); err != nil {
		return fmt.Errorf("Options.Name %q: %w", o.Name, err)
	}
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	credentials := 0
	for _, s := range []string{o.Token, o.Seed, o.Credentials} {
		if s != "" {
			credentials++
		}
	}
	if credentials > 1 {
		return errors.New("Options has more than one of Token, Seed and Credentials: set one")
	}
	if o.URL == "" {
		if o.Credentials != "" {
			return errors.New("Options.Credentials are for a server elsewhere: set URL, or use Token or Seed")
		}
		if c.server, err = startServer(o); err != nil {
			return err
		}
	} else if o.Credentials != "" {
		if err := checkCredentials(o.Credentials); err != nil {
			return fmt.Errorf("Options.Credentials: %w", err)
		}
	}
	for cut := 0; ; {
		err = c.connect(ctx)
		var untrusted *tls.CertificateVerificationError
		var alert tls.AlertError
		if errors.Is(err, nats.ErrTLS) {
			cut++ // by the server, after the handshake: it may have gone down, or not like the certificate
		}
		switch {
		case err == nil:
			return c.askJetStream(ctx)
		case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
			return fmt.Errorf("the server at %s refuses the credentials: %w", o.URL, err)
		case errors.As(err, &untrusted):
			return fmt.Errorf("the server at %s is not trusted; see Options.TLS.RootCAs: %w", o.URL, err)
		case errors.As(err, &alert), cut == mostCuts:
			return fmt.Errorf("the server at %s refuses the certificate; see Options.TLS.Certificates: %w", o.URL, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no server answers at %s (%w): %w", o.URL, err, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// mostCuts is how often the server may cut a connection right after the TLS handshake before Open fails. With
// TLS 1.3 this is how a server refuses a client's certificate.
const mostCuts = 5

// checkCredentials returns an error if path is not a file of credentials.
func checkCredentials(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if _, err := nkeys.ParseDecoratedJWT(text); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, err := nkeys.ParseDecoratedNKey(text); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// askJetStream waits until JetStream answers: servers that have just started may have no leader yet. It
// returns an error if the server has no JetStream.
func (c *Cluster) askJetStream(ctx context.Context) error {
	var last error
	err := c.insist(ctx, func(ctx context.Context) (err error) {
		_, err = c.js.AccountInfo(ctx)
		if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			return fmt.Errorf("%w: start the server with -js, or enable it for the account", errNoJetStream)
		}
		if err != nil {
			last = err
		}
		return err
	})
	if err != nil && ctx.Err() != nil && last != nil {
		err = fmt.Errorf("%w: %w", last, err)
	}
	if err != nil {
		return fmt.Errorf("JetStream of the server at %s does not answer: %w", c.options.URL, err)
	}
	return nil
}

// connect makes one attempt to connect.
func (c *Cluster) connect(ctx context.Context) error {
	o := &c.options
	patience := requestTime
	if deadline, ok := ctx.Deadline(); ok {
		patience = max(min(patience, time.Until(deadline)), firstPause)
	}
	options := []nats.Option{
		nats.Name("mp/cluster " + o.Name), nats.Timeout(patience),
		nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1), // requests fail at once and are repeated when the connection is there
		nats.PingInterval(3 * time.Second), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { c.lost() }),
		nats.ReconnectHandler(func(*nats.Conn) { c.ring() }),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // the calls return the errors
	}
	c.url = o.URL
	switch {
	case o.Token != "":
		options = append(options, nats.Token(o.Token))
	case o.Credentials != "":
		options = append(options, nats.UserCredentials(o.Credentials))
	case o.Seed != "":
		pair, err := nkeys.FromSeed([]byte(o.Seed))
		if err != nil {
			return fmt.Errorf("Options.Seed: %w", err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			return fmt.Errorf("Options.Seed: %w", err)
		}
		options = append(options, nats.Nkey(public, pair.Sign))
	}
	if o.TLS != nil {
		options = append(options, nats.Secure(clientTLS(o.TLS)))
	}
	if c.server != nil {
		c.url = c.server.ClientURL()
		if o.Token != "" {
			if u, err := url.Parse(c.url); err == nil {
				u.User = url.User(o.Token)
				c.url = u.String()
			}
		}
		if o.TLS == nil {
			options = append(options, nats.InProcessServer(c.server))
		}
	}
	conn, err := nats.Connect(c.url, options...)
	if err != nil {
		return err
	}
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(requestTime))
	if err != nil {
		conn.Close()
		return err
	}
	c.conn, c.js = conn, js
	return nil
}

// clientTLS returns the configuration of a client of a server with that configuration.
func clientTLS(t *tls.Config) *tls.Config {
	t = t.Clone()
	t.ClientAuth, t.ClientCAs = tls.NoClientCert, nil
	return t
}

// URL returns the server's address for Options.URL in other processes. It contains the token, if the
// server demands one: who knows the URL may use the cluster.
func (c *Cluster) URL() string { return c.url }

// Close closes the connection, and ends the server if it runs in this process. Calls that wait
// return ErrClosed. Values under leases of this process come back when their leases expire. Close
// may be called more than once.
func (c *Cluster) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	if c.conn != nil {
		c.conn.Close()
		c.ring()
	}
	c.lost()
	if c.server != nil {
		return c.server.stop()
	}
	return nil
}

// ring wakes the calls that wait for the connection.
func (c *Cluster) ring() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.reconnected)
	c.reconnected = make(chan struct{})
}

// lost ends the requests whose answers do not come any more.
func (c *Cluster) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disconnect()
	c.connected, c.disconnect = context.WithCancel(context.Background())
}

// bell returns a channel that is closed when the connection is there again, or closed for ever, or when requests for
// messages may be lost with the leader of a consumer.
func (c *Cluster) bell() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reconnected
}

// pause waits before a request is repeated: for d, or until the connection is there again. It returns
// ctx's error if that is done first, and ErrClosed if the Cluster is closed.
func (c *Cluster) pause(ctx context.Context, d time.Duration) error {
	bell := c.bell()
	if c.conn.IsClosed() {
		return ring.ErrClosed
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-bell:
	case <-timer.C:
	}
	return nil
}

// ringAtElection rings when the consumer has another leader, which does not know the requests that the old one had.
func (c *Cluster) ringAtElection(stream, consumer string) (*nats.Subscription, error) {
	return c.conn.Subscribe("$JS.EVENT.ADVISORY.CONSUMER.LEADER_ELECTED."+stream+"."+consumer, func(*nats.Msg) { c.ring() })
}

// Bounds of the time between two attempts.
const (
	firstPause = time.Millisecond
	lastPause  = 100 * time.Millisecond
)

// insist calls f, with a context that bounds one request, until f returns nil or a fatal error, or
// ctx is done. It may repeat a request that the server has carried out.
func (c *Cluster) insist(ctx context.Context, f func(ctx context.Context) error) error {
	return c.insistWith(ctx, newPatience(), f)
}

// insistWith is insist with that patience.
func (c *Cluster) insistWith(ctx context.Context, p patience, f func(ctx context.Context) error) error {
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		err := c.attempt(ctx, &p, f)
		if err == nil {
			return nil
		}
		v, err := judge(err)
		if v == fatal {
			return err
		}
		if err := c.pause(ctx, wait); err != nil {
			return err
		}
	}
}

// attempt calls f with a context that ends when p does, or when the connection is lost. If p has ended, p is
// longer next time.
func (c *Cluster) attempt(ctx context.Context, p *patience, f func(ctx context.Context) error) error {
	begun := time.Now()
	err := c.bounded(ctx, p.now, f)
	if err != nil && time.Since(begun) >= p.now {
		p.now = min(2*p.now, p.most)
	}
	return err
}

// bounded calls f with a context that ends after d, or when the connection is lost.
func (c *Cluster) bounded(ctx context.Context, d time.Duration, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	c.mu.Lock()
	connected := c.connected
	c.mu.Unlock()
	defer context.AfterFunc(connected, cancel)()
	return f(ctx)
}

// storage returns where streams keep their messages.
func (c *Cluster) storage() jetstream.StorageType {
	if c.options.Memory || c.server != nil && c.options.Dir == "" {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}
