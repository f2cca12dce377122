package cluster_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"github.com/seed-2e7ecdea/mp/cluster"
	. "github.com/seed-2e7ecdea/mp/internal/testkit"
	"github.com/seed-2e7ecdea/mp/proc"
)

// runNATS runs a NATS server with JetStream, which is not that of package cluster, until the end of the test.
func runNATS(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	o.NoLog, o.NoSigs, o.JetStream, o.StoreDir = true, true, true, t.TempDir()
	o.Host, o.Port = "127.0.0.1", server.RANDOM_PORT
	s := Must(server.NewServer(o))(t)
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	var why cluster.Complaint
	s.SetLogger(&why, false, false)
	s.Start()
	if o.Cluster.Name == "" && !s.ReadyForConnections(Patience) { // those of a cluster need each other
		t.Fatalf("the NATS server does not start: %s", why.First())
	}
	return s
}

// runNATSCluster runs that many NATS servers which keep each other's messages. It returns their URL.
func runNATSCluster(t *testing.T, n int) (servers []*server.Server, urls string) {
	t.Helper()
	var at []string
	for range n {
		at = append(at, freeAddress(t))
	}
	routes := server.RoutesFromStr("nats://" + strings.Join(at, ",nats://"))
	var all []string
	for i, address := range at {
		_, port, err := net.SplitHostPort(address)
		WantNil(t, "SplitHostPort", err)
		s := runNATS(t, &server.Options{
			ServerName: fmt.Sprintf("n%d", i), Routes: routes,
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: Must(strconv.Atoi(port))(t)},
		})
		servers = append(servers, s)
	}
	for _, s := range servers {
		Eventually(t, "the servers are a cluster", func() bool { return s.ReadyForConnections(time.Second) && s.JetStreamIsCurrent() })
		all = append(all, s.ClientURL())
	}
	Eventually(t, "the servers' leader knows that all can keep messages", func() bool {
		return slices.ContainsFunc(servers, func(s *server.Server) bool { return len(s.JetStreamClusterPeers()) == n })
	})
	return servers, strings.Join(all, ",")
}

// leader returns the server through which all changes of a stream go.
func leader(t *testing.T, servers []*server.Server, stream string) (found *server.Server) {
	t.Helper()
	Eventually(t, "the stream has a leader", func() bool {
		for _, s := range servers {
			if s.Running() && s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

// pauses measures the longest time between two events.
type pauses struct {
	last    time.Time
	longest time.Duration
}

func (p *pauses) add() {
	p.longest = max(p.longest, time.Since(p.last))
	p.last = time.Now()
}

func (p pauses) String() string { return p.longest.Round(time.Millisecond).String() }

// TestReplicas stops the leader of three servers while one goroutine puts and another gets, and while a pool
// maps. Nothing is lost.
func TestReplicas(t *testing.T) {
	if testing.Short() {
		t.Skip("the test takes some ten seconds")
	}
	servers, urls := runNATSCluster(t, 3)
	ctx := Within(t)
	c := open(t, &cluster.Options{URL: urls, Replicas: 3})

	const values = 600
	q := newQueue(t, c, 50, &cluster.QueueOptions[int]{Lease: 2 * time.Second})
	put := Async(func() error {
		for i := range values {
			if err := q.Put(ctx, i); err != nil {
				return err
			}
		}
		return q.Shutdown(ctx)
	})
	var longest pauses
	var victim *server.Server
	seen := make(map[int]int)
	for v, err := range q.All(ctx) {
		WantNil(t, "Get", err)
		longest.add()
		if seen[v]++; len(seen) == values/3 && victim == nil {
			victim = leader(t, servers, "mp_queue_q")
			longest = pauses{last: time.Now()}
			victim.Shutdown()
		}
	}
	WantNil(t, "Put", Await(t, put, "the goroutine that puts"))
	twice := 0
	for i := range values {
		if seen[i] == 0 {
			t.Errorf("value %d was lost", i)
		}
		twice += max(0, seen[i]-1)
	}
	t.Logf("%d values, %d of them twice; the longest time without one, after the leader had been stopped: %v", values, twice, longest)
	if twice > 1 {
		t.Errorf("%d values were got twice, but only one was being got when the server stopped", twice)
	}
}

// TestReplicasPool is TestReplicas for a pool.
func TestReplicasPool(t *testing.T) {
	if testing.Short() {
		t.Skip("the test takes some ten seconds")
	}
	servers, urls := runNATSCluster(t, 3)
	ctx := Within(t)
	c := open(t, &cluster.Options{URL: urls, Replicas: 3})
	p := newPool(t, c, &cluster.PoolOptions{Lease: 2 * time.Second})
	serve(t, c, inProcess(2))
	const calls = 2_000
	next := 0
	var longest pauses
	for got, err := range square.Map(ctx, p, numbers(calls), &proc.MapOptions{Chunk: 10}) {
		WantNil(t, "Map", err)
		if got != next*next {
			t.Fatalf("result %d is %d", next, got)
		}
		longest.add()
		if next++; next == calls/4 {
			victim := leader(t, servers, "mp_pool_p")
			longest = pauses{last: time.Now()}
			victim.Shutdown()
		}
	}
	Want(t, "results", next, calls)
	t.Logf("the longest time without a result, after the leader had been stopped: %v", longest)
}

// A tenant is an account of a server that knows its users by JWTs, and the server's operator and own account.
type tenant struct{ operator, system, account nkeys.KeyPair }

func newTenant(t *testing.T) tenant {
	t.Helper()
	return tenant{Must(nkeys.CreateOperator())(t), Must(nkeys.CreateAccount())(t), Must(nkeys.CreateAccount())(t)}
}

// public returns the public key of a pair.
func public(t *testing.T, pair nkeys.KeyPair) string {
	t.Helper()
	return Must(pair.PublicKey())(t)
}

// options returns the options of a server of the tenant.
func (x tenant) options(t *testing.T) *server.Options {
	t.Helper()
	operator := jwt.NewOperatorClaims(public(t, x.operator))
	account := jwt.NewAccountClaims(public(t, x.account))
	account.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
	}
	resolver := &server.MemAccResolver{}
	for _, claims := range []*jwt.AccountClaims{account, jwt.NewAccountClaims(public(t, x.system))} {
		WantNil(t, "Store", resolver.Store(claims.Subject, Must(claims.Encode(x.operator))(t)))
	}
	encoded := Must(operator.Encode(x.operator))(t)
	return &server.Options{
		TrustedOperators: []*jwt.OperatorClaims{Must(jwt.DecodeOperatorClaims(encoded))(t)},
		AccountResolver:  resolver, SystemAccount: public(t, x.system),
	}
}

// credentials writes the file of a user of the tenant, which expires after that time.
func (x tenant) credentials(t *testing.T, expires time.Duration) (path string) {
	t.Helper()
	pair := Must(nkeys.CreateUser())(t)
	user := jwt.NewUserClaims(public(t, pair))
	user.Expires = time.Now().Add(expires).Unix()
	text := Must(jwt.FormatUserConfig(Must(user.Encode(x.account))(t), Must(pair.Seed())(t)))(t)
	path = filepath.Join(t.TempDir(), "user.creds")
	WantNil(t, "WriteFile", os.WriteFile(path, text, 0o600))
	return path
}

// TestCredentials connects to servers elsewhere that know their users by JWTs, NKeys and certificates, and is
// refused without the right ones, by an error that says what to look at.
func TestCredentials(t *testing.T) {
	ours, others := newTenant(t), newTenant(t)
	pair, stranger := Must(nkeys.CreateUser())(t), Must(nkeys.CreateUser())(t)
	config := testTLS(t)
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, config.RootCAs
	bare := config.Clone()
	bare.Certificates = nil
	jwts := runNATS(t, ours.options(t)).ClientURL()
	keys := runNATS(t, &server.Options{Nkeys: []*server.NkeyUser{{Nkey: public(t, pair)}}}).ClientURL()
	certificates := runNATS(t, &server.Options{TLSConfig: config, TLSVerify: true}).ClientURL()
	for _, test := range []struct {
		name    string
		options cluster.Options
		refused string
	}{
		{"credentials", cluster.Options{URL: jwts, Credentials: ours.credentials(t, time.Hour)}, ""},
		{"credentials of another account", cluster.Options{URL: jwts, Credentials: others.credentials(t, time.Hour)}, "refuses the credentials"},
		{"credentials that have expired", cluster.Options{URL: jwts, Credentials: ours.credentials(t, -time.Hour)}, "refuses the credentials"},
		{"no credentials", cluster.Options{URL: jwts}, "refuses the credentials"},
		{"no file", cluster.Options{URL: jwts, Credentials: "/nonexistent/user.creds"}, "Options.Credentials"},
		{"no credentials in the file", cluster.Options{URL: jwts, Credentials: "go.mod"}, "Options.Credentials"},
		{"nkey", cluster.Options{URL: keys, Seed: string(Must(pair.Seed())(t))}, ""},
		{"another nkey", cluster.Options{URL: keys, Seed: string(Must(stranger.Seed())(t))}, "refuses the credentials"},
		{"certificate", cluster.Options{URL: certificates, TLS: config}, ""},
		{"no certificate", cluster.Options{URL: certificates, TLS: bare}, "refuses the certificate"},
		{"no TLS", cluster.Options{URL: certificates}, "Options.TLS"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := Within(t)
			begun := time.Now()
			c, err := cluster.Open(ctx, &test.options)
			if test.refused != "" {
				if err == nil || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("Open: %v, want an error with %q", err, test.refused)
				}
				if took := time.Since(begun); took > Patience/2 {
					t.Errorf("the error came after %v: it was waited for, though no wait can help", took)
				}
				return
			}
			WantNil(t, "Open", err)
			Closing(t, c)
			q := newQueue[string](t, c, 1, nil)
			WantNil(t, "Put", q.Put(ctx, "hello"))
			Want(t, "Get", Must(q.Get(ctx))(t), "hello")
		})
	}
}

// TestNoJetStream connects to a server without JetStream: Open says so at once.
func TestNoJetStream(t *testing.T) {
	s := Must(server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true}))(t)
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	s.Start()
	if !s.ReadyForConnections(Patience) {
		t.Fatal("the NATS server does not start")
	}
	begun := time.Now()
	_, err := cluster.Open(Within(t), &cluster.Options{URL: s.ClientURL()})
	if err == nil || !strings.Contains(err.Error(), "start the server with -js") || time.Since(begun) > Patience/2 {
		t.Errorf("Open of a server without JetStream, after %v: %v", time.Since(begun), err)
	}
}
