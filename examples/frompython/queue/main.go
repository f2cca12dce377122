// Command queue starts a process that puts numbers into a queue, and adds them up.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

var produce = mp.Register("produce", func(ctx context.Context, q *mp.Queue[int64]) (mp.None, error) {
	for n := range int64(10) {
		if err := q.Put(ctx, n); err != nil { // blocks while 4 are in the queue
			return mp.None{}, err
		}
	}
	return mp.None{}, q.Shutdown()
})

func main() {
	mp.Init()
	ctx := context.Background()
	q := must(mp.NewQueue[int64](4))
	p := must(produce.Start(ctx, q, nil))
	sum := int64(0)
	for n, err := range q.All(ctx) { // ends when the queue is shut down and empty
		check(err)
		sum += n
	}
	fmt.Println(sum)
	check(p.Join(ctx))
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
