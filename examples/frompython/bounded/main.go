// Command bounded fills and drains a small queue by several processes each.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

type job struct {
	Q     *mp.Queue[int64]
	First int64
}

var produce = mp.Register("produce", func(ctx context.Context, j job) (mp.None, error) {
	for n := j.First; n < j.First+100; n++ {
		if err := j.Q.Put(ctx, n); err != nil {
			return mp.None{}, err
		}
	}
	return mp.None{}, nil
})

var consume = mp.Register("consume", func(ctx context.Context, q *mp.Queue[int64]) (int64, error) {
	var total int64
	for n, err := range q.All(ctx) {
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
})

func main() {
	mp.Init()
	ctx := context.Background()
	q := must(mp.NewQueue[int64](4))
	producers := mp.NewGroup(ctx)
	for i := range int64(4) {
		producers.Go(produce.With(job{q, 100 * i}))
	}
	var consumers []*mp.Call[int64]
	for range 3 {
		consumers = append(consumers, must(consume.Start(ctx, q, nil)))
	}
	check(producers.Wait())
	check(q.Shutdown())
	var total int64
	for _, p := range consumers {
		total += must(p.Result(ctx))
	}
	fmt.Println(total)
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
