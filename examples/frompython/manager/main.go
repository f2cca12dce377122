// Command manager shares a dict and a list of a manager's process.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-2e7ecdea/mp"
)

type shared struct {
	D *mp.Dict[any, any]
	L *mp.List[int]
}

var f = mp.Register("f", func(ctx context.Context, s shared) (mp.None, error) {
	check(s.D.Set(ctx, 1, "1"))
	check(s.D.Set(ctx, "2", 2))
	check(s.D.Set(ctx, 0.25, nil))
	return mp.None{}, s.L.Reverse(ctx)
})

func main() {
	mp.Init()
	ctx := context.Background()
	m := must(mp.NewManager(ctx, nil))
	defer m.Close()
	s := shared{must(mp.NewDict[any, any](ctx, m)), must(mp.NewList(ctx, m, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9))}
	check(must(f.Start(ctx, s, nil)).Join(ctx))
	for _, item := range must(s.D.Items(ctx)) {
		fmt.Println(item.Key, item.Value)
	}
	fmt.Println(must(s.L.All(ctx)))
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
