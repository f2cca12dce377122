package cluster_test

import (
	"context"
	"fmt"
	"log"

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
