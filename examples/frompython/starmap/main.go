// Command starmap calls a function of two arguments in three processes.
package main

import (
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/seed-2e7ecdea/mp"
)

type pair struct{ A, B string }

var merge = mp.Register("merge", func(ctx context.Context, p pair) (string, error) {
	return p.A + " & " + p.B, nil
})

func main() {
	mp.Init()
	names := []string{"Brown", "Wilson", "Bartlett", "Rivera"}
	var pairs []pair
	for i, name := range names {
		pairs = append(pairs, pair{name, names[len(names)-1-i]})
	}
	p := must(mp.NewPool(3, nil))
	defer p.Close()
	for text, err := range merge.Map(context.Background(), p, slices.Values(pairs)) {
		check(err)
		fmt.Println(text)
	}
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
