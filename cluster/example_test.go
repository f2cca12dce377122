package cluster_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"os"

	"github.com/seed-2e7ecdea/mp/cluster"
)

// A server inside the program, and a queue. Other processes open the same queue by the URL.
func Example() {
	ctx := context.Background()
	c, err := cluster.Open(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	q, err := cluster.NewQueue[string](ctx, c, "words", 100, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer q.Close()

	other, err := cluster.Open(ctx, &cluster.Options{URL: c.URL()}) // on any machine that reaches it
	if err != nil {
		log.Fatal(err)
	}
	defer other.Close()
	words, err := cluster.OpenQueue[string](ctx, other, "words", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer words.Close()
	for _, w := range []string{"some", "words"} {
		if err := words.Put(ctx, w); err != nil {
			log.Fatal(err)
		}
	}
	if err := words.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	for w, err := range q.All(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(w)
	}
	// Output:
	// some
	// words
}

// A pool whose workers are on other machines. Here they are goroutines of the same program.
func ExampleNewPool() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, err := cluster.Open(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	pool, err := cluster.NewPool(ctx, c, "squares", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()

	served := make(chan error)
	go func() { served <- cluster.Serve(ctx, c, "squares", inProcess(2)) }() // on any machine
	for y, err := range square.Map(ctx, pool, numbers(4)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(y)
	}
	cancel()
	if err := <-served; err != nil {
		log.Fatal(err)
	}
	// Output:
	// 0
	// 1
	// 4
	// 9
}

// The user's JWT and seed are in a file, as "nsc generate creds" writes it.
func ExampleOpen_credentials() {
	c, err := cluster.Open(context.Background(), &cluster.Options{
		URL:         "nats://nats.example.com",
		Credentials: "/etc/mp/user.creds",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
}

// The server knows the user by the public key of an NKey. Its seed is secret.
func ExampleOpen_seed() {
	c, err := cluster.Open(context.Background(), &cluster.Options{
		URL:  "nats://nats.example.com",
		Seed: os.Getenv("NKEY_SEED"),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
}

// The client checks the server's certificate by that of an authority, and shows a certificate of its own. The URL has the
// addresses of several servers.
func ExampleOpen_tls() {
	text, err := os.ReadFile("/etc/mp/authority.pem")
	if err != nil {
		log.Fatal(err)
	}
	authority := x509.NewCertPool()
	if !authority.AppendCertsFromPEM(text) {
		log.Fatal("/etc/mp/authority.pem has no certificate")
	}
	certificate, err := tls.LoadX509KeyPair("/etc/mp/client.pem", "/etc/mp/client.key")
	if err != nil {
		log.Fatal(err)
	}
	c, err := cluster.Open(context.Background(), &cluster.Options{
		URL: "nats://n1.example.com,nats://n2.example.com,nats://n3.example.com",
		TLS: &tls.Config{RootCAs: authority, Certificates: []tls.Certificate{certificate}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
}
