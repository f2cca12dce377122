// Command wordcount counts the words of a rhyme, or of the file that is named, in several processes.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/seed-2e7ecdea/mp"
)

const text = "Humpty Dumpty sat on a wall,\nHumpty Dumpty had a great fall;\nAll the King's horses and all the King's men\nCouldn't put Humpty together again.\n"

type job struct {
	Lines  *mp.Queue[string]
	Counts *mp.Queue[map[string]int]
}

var count = mp.Register("count", func(ctx context.Context, j job) (mp.None, error) {
	counts := make(map[string]int)
	for line, err := range j.Lines.All(ctx) { // until the queue is shut down and empty
		if err != nil {
			return mp.None{}, err
		}
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" ,.;\n", r) }) {
			counts[strings.ToLower(word)]++
		}
	}
	return mp.None{}, j.Counts.Put(ctx, counts)
})

func main() {
	mp.Init()
	input := text
	if len(os.Args) > 1 {
		input = string(must(os.ReadFile(os.Args[1])))
	}
	j := job{must(mp.NewQueue[string](1024)), must(mp.NewQueue[map[string]int](3))}
	group := mp.NewGroup(context.Background())
	for range 3 {
		group.Go(count.With(j))
	}
	for line := range strings.Lines(input) {
		must(0, j.Lines.Put(group.Context(), line))
	}
	must(0, j.Lines.Shutdown())
	sum := make(map[string]int)
	for range 3 {
		for word, n := range must(j.Counts.Get(group.Context())) {
			sum[word] += n
		}
	}
	must(0, group.Wait())
	words := slices.SortedFunc(maps.Keys(sum), func(a, b string) int { return cmp.Or(sum[b]-sum[a], strings.Compare(a, b)) })
	for _, word := range words[:min(5, len(words))] {
		fmt.Println(sum[word], word)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
