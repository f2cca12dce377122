// Command manager lets three workers count words in one dict, which a manager's process holds.
package main

import (
	"context"
	"fmt"
	"log"
	"maps"
	"slices"
	"strings"

	"github.com/seed-2e7ecdea/mp"
	"github.com/seed-2e7ecdea/mp/proc/manager"
)

type job struct {
	Counts *mp.Dict[string, int]
	Text   string
}

// The function runs in the manager's process, so that no worker's count is lost.
var add = manager.OnDict("add", func(_ context.Context, d *manager.DictState[string, int], words []string) (mp.None, error) {
	for _, word := range words {
		n, _ := d.Get(word)
		d.Set(word, n+1)
	}
	return mp.None{}, nil
})

var count = mp.Register("count", func(ctx context.Context, j job) (mp.None, error) {
	return add.Apply(ctx, j.Counts, strings.Fields(j.Text)) // one trip
})

func main() {
	mp.Init()
	ctx := context.Background()
	m, err := mp.NewManager(ctx, nil)
	check(err)
	defer m.Close()
	counts, err := mp.NewDict[string, int](ctx, m)
	check(err)
	workers := mp.NewGroup(ctx)
	for _, text := range []string{"to be or not to be", "that is the question", "be that as it may"} {
		workers.Go(count.With(job{counts, text}))
	}
	check(workers.Wait())
	words, err := counts.Copy(ctx)
	check(err)
	for _, word := range slices.Sorted(maps.Keys(words)) {
		if words[word] > 1 {
			fmt.Println(words[word], word)
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
