// Command sharedmemory shares an array in a segment of its own, whose memory is given back together.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
	"github.com/seed-2e7ecdea/mp/array"
	"github.com/seed-2e7ecdea/mp/shm"
)

var double = mp.Register("double", func(ctx context.Context, numbers *mp.Array[int64]) (mp.None, error) {
	for i, x := range numbers.All() {
		numbers.Set(i, 2*x)
	}
	return mp.None{}, nil
})

func main() {
	mp.Init()
	ctx := context.Background()
	seg := must(shm.Anonymous(1<<20, nil))
	defer seg.Close() // gives the memory of all its objects back
	numbers := must(array.NewFrom(seg, "", []int64{2, 3, 5, 7}, nil))
	check(must(double.Start(ctx, numbers, nil)).Join(ctx))
	fmt.Println(numbers.Slice())
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
