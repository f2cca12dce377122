// Squares computes on as many machines as there are. Started without arguments it has the server, a
// pool and one worker of its own, and prints the command that adds another machine:
//
//	squares -listen 10.0.0.1:0
//	squares -serve nats://TOKEN@10.0.0.1:40123
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/seed-2e7ecdea/mp"
	"github.com/seed-2e7ecdea/mp/cluster"
)

var square = mp.Register("square", func(_ context.Context, x int) (int, error) { return x * x, nil })

func main() {
	mp.Init() // a worker process runs its tasks here
	listen := flag.String("listen", "127.0.0.1:0", "address of the server")
	serve := flag.String("serve", "", "URL of the server: only run calls of its pool")
	count := flag.Int("n", 5, "how many squares")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *listen, *serve, *count); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, listen, serve string, count int) error {
	c, err := cluster.Open(ctx, &cluster.Options{URL: serve, Listen: listen})
	if err != nil {
		return err
	}
	defer c.Close()
	if serve != "" {
		return cluster.Serve(ctx, c, "squares", nil)
	}
	fmt.Fprintf(os.Stderr, "on other machines: squares -serve %s\n", c.URL())
	pool, err := cluster.NewPool(ctx, c, "squares", nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	go cluster.Serve(ctx, c, "squares", &cluster.ServeOptions{Workers: 1})
	for y, err := range square.Map(ctx, pool, func(yield func(int) bool) {
		for x := 0; x < count && yield(x); x++ {
		}
	}) {
		if err != nil {
			return err
		}
		fmt.Println(y)
	}
	return nil
}
